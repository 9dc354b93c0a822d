#include "penstock/tunnel/rtmpe_layer.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::tunnel {

std::expected<Layer::Opened, Fault> RtmpeLayer::open(Bytes input, MutableBytes room,
                                                     std::vector<uint8_t>& to_peer) {
  Opened opened;
  if (handshake_) [[unlikely]] {
    const auto used = handshake_->feed(input, to_peer);
    if (!used) return std::unexpected(used.error());
    opened.input_bytes = *used;
    if (!handshake_->done()) return opened;
    receiving_.emplace(handshake_->keys().receiving);
    sending_.emplace(handshake_->keys().sending);
    echo_differs_ = handshake_->echo_differs();
    handshake_.reset();
  }
  // What came in one read with the peer's last packet is enciphered already.
  const Bytes rest = input.subspan(opened.input_bytes);
  const Bytes cipher = rest.first(std::min(rest.size(), room.size()));
  receiving_->apply(cipher, room.data());
  opened.input_bytes += cipher.size();
  opened.output_bytes = cipher.size();
  return opened;
}

void RtmpeLayer::seal(Bytes plain, std::vector<uint8_t>& to_peer) {
  PENSTOCK_ASSERT(established());
  const size_t before = to_peer.size();
  to_peer.resize(before + plain.size());
  sending_->apply(plain, to_peer.data() + before);
}

}  // namespace penstock::tunnel
