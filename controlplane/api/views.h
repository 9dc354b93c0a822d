#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "controlplane/parts.h"

// Rows and settings as the API shows them. Field by field what openapi.json says.
namespace penstock::controlplane::api {

using nlohmann::json;

[[nodiscard]] json view(const Stream& stream, uint64_t until_unix_ms);
[[nodiscard]] json view(const EndedStream& ended);
[[nodiscard]] json view(const Connection& connection, uint64_t now_unix_ms);
[[nodiscard]] json view(const TunableView& tunable);
[[nodiscard]] json view(const Problems& problems);
[[nodiscard]] json status_view(const Parts& parts);
[[nodiscard]] json workers_view(const Parts& parts);
[[nodiscard]] json counters_view(const Parts& parts);
[[nodiscard]] json config_view(const Parts& parts);
[[nodiscard]] json tunables_view(const Parts& parts);
[[nodiscard]] json version_view(const Parts& parts);

/// Never throws: text that is not UTF-8 is replaced.
[[nodiscard]] std::string to_text(const json& value);

}  // namespace penstock::controlplane::api
