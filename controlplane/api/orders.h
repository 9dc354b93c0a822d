#pragma once

#include <string>

#include "controlplane/api/api.h"

// Requests that change something. `name` is the route's parameter, or empty.
namespace penstock::controlplane::api {

[[nodiscard]] Answer kick_stream(Parts& parts, const Request& request, const std::string& name);
[[nodiscard]] Answer kick_connection(Parts& parts, const Request& request, const std::string& id);
[[nodiscard]] Answer trace_connection(Parts& parts, const Request& request, const std::string& id);
[[nodiscard]] Answer reload_config(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer check_config(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer set_tunable(Parts& parts, const Request& request, const std::string& key);
[[nodiscard]] Answer reset_tunable(Parts& parts, const Request& request, const std::string& key);
[[nodiscard]] Answer drain(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer undrain(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer users(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer add_user(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer change_user(Parts& parts, const Request& request, const std::string& name);
[[nodiscard]] Answer remove_user(Parts& parts, const Request& request, const std::string& name);
[[nodiscard]] Answer set_log_level(Parts& parts, const Request& request, const std::string& none);
[[nodiscard]] Answer reset_log_level(Parts& parts, const Request& request, const std::string& none);

/// What the operator should know of an order that was taken; empty when all is well.
[[nodiscard]] std::string note(const Parts& parts);

}  // namespace penstock::controlplane::api
