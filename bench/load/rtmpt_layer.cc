#include "bench/load/rtmpt_layer.h"

#include <algorithm>
#include <utility>

namespace penstock::load {

RtmptLayer::RtmptLayer(std::string host, Instant (*now)())
    : now_(now), requests_({.host = std::move(host)}, now()) {}

std::expected<tunnel::Layer::Opened, Fault> RtmptLayer::open(Bytes input, MutableBytes room,
                                                             std::vector<uint8_t>& to_peer) {
  if (given_ == received_.size()) {
    received_.clear();
    given_ = 0;
  }
  if (!input.empty()) {
    if (const auto fed = requests_.feed(input, received_, now_()); !fed)
      return std::unexpected(fed.error());
  }
  take_requests(to_peer);
  const Bytes rest = Bytes(received_).subspan(given_);
  const Bytes fits = rest.first(std::min(rest.size(), room.size()));
  copy_bytes(room.data(), fits);
  given_ += fits.size();
  return Opened{.input_bytes = input.size(), .output_bytes = fits.size()};
}

void RtmptLayer::seal(Bytes plain, std::vector<uint8_t>& to_peer) {
  requests_.send(plain, now_());
  take_requests(to_peer);
}

void RtmptLayer::finish(std::vector<uint8_t>& to_peer) {
  requests_.finish(now_());
  take_requests(to_peer);
}

void RtmptLayer::expire(std::vector<uint8_t>& to_peer) {
  requests_.expire(now_());
  take_requests(to_peer);
}

void RtmptLayer::take_requests(std::vector<uint8_t>& to_peer) {
  std::vector<uint8_t>& outbox = requests_.outbox();
  to_peer.insert(to_peer.end(), outbox.begin(), outbox.end());
  outbox.clear();
}

}  // namespace penstock::load
