#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

// RTMPT: the parts that need no connection yet, which requests there are and how slowly to ask a
// peer to poll.
namespace penstock::tunnel {

enum class RtmptVerb : uint8_t { ident, open, send, idle, close };

/// The target of a request, as "/send/SESSION/SEQUENCE".
struct RtmptRequest {
  RtmptVerb verb = RtmptVerb::ident;
  std::string_view session;  // of send, idle and close
  uint32_t sequence = 0;
};

// We hand out tunnel_name_bytes; a peer's may be as long as the longest that any known server hands
// out.
constexpr size_t rtmpt_session_bytes_max = 64;

/// None for a target that is not RTMPT's, has a session id that nobody handed out (it must be
/// letters and digits) or a sequence number that is none.
[[nodiscard]] std::optional<RtmptRequest> parse_rtmpt_target(std::string_view target);

/// The first byte of every answer to send and idle: in how many 1/64 s the peer shall ask again.
class RtmptInterval {
 public:
  /// An answer is on its way, with or without data; returns its interval.
  uint8_t next(bool with_data);
  /// What the next answer would have if it were without data.
  [[nodiscard]] uint8_t if_empty() const;

 private:
  // A delay that doubles from 2 to 32 after ten answers without data; what is sent is one more.
  uint32_t empty_answers_ = 0;
};

}  // namespace penstock::tunnel
