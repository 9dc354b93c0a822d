#pragma once

#include <cstdint>
#include <expected>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/api/api.h"

// What a request says, checked; a refusal is the Answer to send.
namespace penstock::controlplane::api {

struct Page {
  size_t offset = 0;
  size_t limit = 0;
};

[[nodiscard]] std::expected<Page, Answer> page_of(const Request& request);

/// A number in the query, or nothing when it is not there.
[[nodiscard]] std::expected<std::optional<uint64_t>, Answer> query_number(const Request& request,
                                                                          const std::string& key);

/// The body as a JSON object. An empty body is an empty object.
[[nodiscard]] std::expected<nlohmann::json, Answer> body_object(const Request& request);

/// The live stream, or the connection, that a path names. What is not there is repeated in the
/// refusal: the operator sees the slip of the hand.
[[nodiscard]] std::expected<Stream, Answer> find_stream(Parts& parts, const std::string& name);
[[nodiscard]] std::expected<Connection, Answer> find_connection(Parts& parts,
                                                                const std::string& id);

/// The refusal of a key that is none; a short name that several keys have gets them as its hint.
[[nodiscard]] Answer no_tunable(const std::string& key);

/// The text of `reason` in the body, or `fallback`; cleaned and cut to what a command can carry.
[[nodiscard]] std::expected<std::string, Answer> reason_of(const Request& request,
                                                           std::string_view fallback);

}  // namespace penstock::controlplane::api
