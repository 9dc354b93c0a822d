#include "penstock/tunnel/rtmpt.h"

#include <algorithm>
#include <charconv>

namespace penstock::tunnel {
namespace {

constexpr uint32_t patience_answers = 10;
constexpr uint32_t doublings_max = 5;

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool is_session_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

std::optional<RtmptRequest> parse_session(RtmptVerb verb, std::string_view rest) {
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  RtmptRequest request{.verb = verb, .session = rest.substr(0, slash)};
  if (request.session.empty() || request.session.size() > rtmpt_session_bytes_max ||
      !std::ranges::all_of(request.session, is_session_character)) {
    return std::nullopt;
  }
  const std::string_view number = rest.substr(slash + 1);
  const char* end = number.data() + number.size();
  const auto parsed = std::from_chars(number.data(), end, request.sequence);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return request;
}

}  // namespace

std::optional<RtmptRequest> parse_rtmpt_target(std::string_view target) {
  if (target == "/fcs/ident" || target == "/fcs/ident2") return RtmptRequest{};
  if (target == "/open/1") return RtmptRequest{.verb = RtmptVerb::open};
  if (take(target, "/send/")) return parse_session(RtmptVerb::send, target);
  if (take(target, "/idle/")) return parse_session(RtmptVerb::idle, target);
  if (take(target, "/close/")) return parse_session(RtmptVerb::close, target);
  return std::nullopt;
}

uint8_t RtmptInterval::if_empty() const {
  const uint32_t doublings =
      empty_answers_ < patience_answers ? 0 : empty_answers_ - patience_answers + 1;
  return doublings == 0 ? uint8_t{1}
                        : static_cast<uint8_t>((1u << std::min(doublings, doublings_max)) + 1);
}

uint8_t RtmptInterval::next(bool with_data) {
  if (with_data) {
    empty_answers_ = 0;
    return 1;
  }
  const uint8_t interval = if_empty();
  empty_answers_ = std::min(empty_answers_ + 1, patience_answers + doublings_max);
  return interval;
}

}  // namespace penstock::tunnel
