#pragma once

#include <cstdint>
#include <optional>

#include "penstock/base/bytes.h"
#include "penstock/tunnel/http_request.h"

namespace penstock::tunnel {

/// The length of the head at the front of `bytes`, its empty line included; 0 when it does not end
/// there. The first `searched` bytes are known to hold no end.
[[nodiscard]] size_t http_head_bytes(Bytes bytes, size_t searched = 0);

/// `head` is a whole head with its empty line. None for one that is malformed, or whose body's
/// length could be read in two ways.
[[nodiscard]] std::optional<HttpRequestHead> parse_request_head(Bytes head);

struct HttpAnswerHead {
  uint16_t status = 0;
  uint64_t content_bytes = 0;
  bool keep_alive = true;
};
[[nodiscard]] std::optional<HttpAnswerHead> parse_answer_head(Bytes head);

}  // namespace penstock::tunnel
