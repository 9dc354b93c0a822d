#include "penstock/tunnel/rtmpt_initiator.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "penstock/base/assert.h"
#include "penstock/tunnel/http_request.h"
#include "penstock/tunnel/rtmpt.h"
#include "src/tunnel/http_head.h"

namespace penstock::tunnel {
namespace {

constexpr uint8_t zero[] = {0};

// Larger than any server's answer; FMS gives 64 KiB.
constexpr uint64_t answer_bytes_max = 16 * 1024 * 1024;

void append(std::vector<uint8_t>& to, std::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
}

}  // namespace

RtmptInitiator::RtmptInitiator(RtmptInitiatorSettings settings, Instant now)
    : settings_(std::move(settings)), stage_(settings_.ident ? Stage::ident : Stage::opening) {
  ask_next(now);
}

void RtmptInitiator::ask(std::string_view what, Bytes body) {
  PENSTOCK_ASSERT(!waiting_);
  std::string head = "POST /" + std::string(what);
  if (stage_ == Stage::open) head += "/" + session_ + "/" + std::to_string(sequence_++);
  // The fields that FFmpeg and librtmp send.
  head += " HTTP/1.1\r\nHost: " + settings_.host +
          "\r\nAccept: */*\r\nUser-Agent: Shockwave Flash\r\nConnection: Keep-Alive\r\n"
          "Cache-Control: no-cache\r\nContent-Type: application/x-fcs\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n";
  request_.clear();
  append(request_, head);
  request_.insert(request_.end(), body.begin(), body.end());
  outbox_.insert(outbox_.end(), request_.begin(), request_.end());
  waiting_ = true;
  poll_at_ = Instant::never();
}

void RtmptInitiator::ask_next(Instant now) {
  if (waiting_) return;
  switch (stage_) {
    case Stage::ident:
      return ask("fcs/ident2", zero);
    case Stage::opening:
      return ask("open/1", zero);
    case Stage::closing:
    case Stage::closed:
      return;
    case Stage::open:
      break;
  }
  if (!unsent_.empty()) {
    posted_bytes_ = std::min(unsent_.size(), settings_.post_bytes_max);
    ask("send", Bytes(unsent_).first(posted_bytes_));
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(posted_bytes_));
  } else if (finishing_) {
    ask("close", zero);
    stage_ = Stage::closing;
  } else if (poll_at_ <= now) {
    ask("idle", zero);
  }
}

void RtmptInitiator::send(Bytes bytes, Instant now) {
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
  ask_next(now);
}

void RtmptInitiator::finish(Instant now) {
  finishing_ = true;
  ask_next(now);
}

void RtmptInitiator::expire(Instant now) { ask_next(now); }

Instant RtmptInitiator::deadline() const { return waiting_ ? Instant::never() : poll_at_; }

void RtmptInitiator::carrier_lost() {
  answer_.clear();
  outbox_.clear();
  if (waiting_) outbox_ = request_;
}

std::expected<void, Fault> RtmptInitiator::feed(Bytes input, std::vector<uint8_t>& received,
                                                Instant now) {
  answer_.insert(answer_.end(), input.begin(), input.end());
  while (!answer_.empty()) {
    const size_t head_bytes = http_head_bytes(answer_);
    if (head_bytes == 0) {
      if (answer_.size() > http_head_bytes_max) return std::unexpected(Fault::http_too_large);
      return {};
    }
    const std::optional<HttpAnswerHead> head = parse_answer_head(Bytes(answer_).first(head_bytes));
    // One request, one answer.
    if (!head || !waiting_) return std::unexpected(Fault::http_malformed);
    if (head->content_bytes > answer_bytes_max) return std::unexpected(Fault::http_too_large);
    if (answer_.size() - head_bytes < head->content_bytes) return {};
    const std::vector<uint8_t> whole = std::exchange(answer_, {});
    const Bytes rest = Bytes(whole).subspan(head_bytes);
    answer_.assign(rest.begin() + static_cast<ptrdiff_t>(head->content_bytes), rest.end());
    waiting_ = false;
    const auto taken = take_answer(head->status, rest.first(head->content_bytes), received, now);
    if (!taken) return taken;
    ask_next(now);
  }
  return {};
}

std::expected<void, Fault> RtmptInitiator::take_answer(uint16_t status, Bytes body,
                                                       std::vector<uint8_t>& received,
                                                       Instant now) {
  if (stage_ == Stage::ident) {
    stage_ = Stage::opening;  // 404 is what Flash expects, and an address is of no use to us
    return {};
  }
  if (stage_ == Stage::closing) {
    stage_ = Stage::closed;
    return {};
  }
  if (status == 404) return std::unexpected(Fault::tunnel_unknown);
  if (status != 200 || body.empty()) return std::unexpected(Fault::tunnel_request);
  if (stage_ == Stage::opening) {
    std::string_view name = as_text(body);
    while (!name.empty() && name.back() <= ' ') name.remove_suffix(1);
    if (name.empty() || name.size() > rtmpt_session_bytes_max) {
      return std::unexpected(Fault::tunnel_request);
    }
    session_ = name;
    stage_ = Stage::open;
    poll_at_ = now;
    return {};
  }
  posted_bytes_ = 0;
  poll_at_ = now.after_ns(uint64_t{body[0]} * ns_per_s / 64);
  received.insert(received.end(), body.begin() + 1, body.end());
  return {};
}

}  // namespace penstock::tunnel
