#include "tests/sim/ways.h"

#include <algorithm>
#include <utility>

namespace penstock::sim {
namespace {

// Whoever gets nothing on so many connections in a row is not wanted.
constexpr uint32_t refused_max = 20;
constexpr uint64_t connect_again_ms_max = 300;

// Of a record of TLS: type, version, length.
constexpr size_t record_head_bytes = 5;

}  // namespace

DirectWay::DirectWay(SimPeer peer, std::unique_ptr<tunnel::Layer> layer, bool sealed)
    : peer_(std::move(peer)), layer_(std::move(layer)), sealed_(sealed) {
  std::vector<uint8_t> nothing;
  if (layer_ != nullptr) open({}, nothing);
}

void DirectWay::send(Bytes plain) {
  if (ended_ || failed_) return;
  if (!established()) {
    waiting_.insert(waiting_.end(), plain.begin(), plain.end());
  } else if (layer_ != nullptr) {
    layer_->seal(plain, unsent_);
  } else {
    unsent_.insert(unsent_.end(), plain.begin(), plain.end());
  }
}

size_t DirectWay::read(size_t bytes_max, std::vector<uint8_t>& plain) {
  uint8_t chunk[16 * 1024];
  while (failed_ && peer_.read(chunk) > 0) {  // up to the end, which is still of interest
  }
  if (failed_) return 0;
  const size_t bytes = peer_.read(MutableBytes{chunk}.first(std::min(bytes_max, sizeof chunk)));
  if (bytes == 0) return 0;
  if (layer_ == nullptr) {
    plain.insert(plain.end(), chunk, chunk + bytes);
  } else {
    open({chunk, bytes}, plain);
  }
  return bytes;
}

void DirectWay::open(Bytes sealed, std::vector<uint8_t>& plain) {
  uint8_t room[4096];
  for (;;) {
    const auto opened = layer_->open(sealed, room, unsent_);
    failed_ = !opened;
    if (failed_ || (opened->input_bytes == 0 && opened->output_bytes == 0)) return;
    sealed = sealed.subspan(opened->input_bytes);
    plain.insert(plain.end(), room, room + opened->output_bytes);
  }
}

void DirectWay::flush() {
  if (unsent_at_ == unsent_.size()) {
    unsent_.clear();
    unsent_at_ = 0;
  }
  if (!waiting_.empty() && established()) send(std::exchange(waiting_, {}));
  while (unsent_at_ < unsent_.size()) {
    const size_t bytes = peer_.write(Bytes{unsent_}.subspan(unsent_at_));
    if (bytes == 0) break;
    unsent_at_ += bytes;
  }
}

void DirectWay::finish() {
  if (ended_ || failed_ || !established()) return;
  if (layer_ != nullptr) layer_->finish(unsent_);
  ended_ = true;
}

void DirectWay::close(bool with_reset) {
  if (with_reset) {
    peer_.reset();
  } else {
    peer_.close();
  }
}

bool DirectWay::spoil(Prng& prng) {
  uint8_t garbage[512];
  prng.fill(garbage);
  if (ended_ || failed_) return false;
  if (!sealed_ || !established()) {
    unsent_.insert(unsent_.end(), std::begin(garbage), std::end(garbage));
    return !sealed_;
  }
  const size_t from = unsent_.size();
  std::vector<uint8_t> sink;
  switch (prng.below(4)) {
    case 0:  // a record with a bit turned over, behind one that is as it should be
      layer_->seal(Bytes{garbage}.first(1), unsent_);
      layer_->seal(garbage, unsent_);
      unsent_.back() ^= 1;
      break;
    case 1:  // one that says it is of another length
      layer_->seal(garbage, unsent_);
      unsent_[from + record_head_bytes - 1] ^= static_cast<uint8_t>(1 + prng.below(255));
      unsent_.insert(unsent_.end(), std::begin(garbage), std::end(garbage));
      break;
    case 2:  // no record at all
      unsent_.insert(unsent_.end(), std::begin(garbage), std::end(garbage));
      break;
    case 3: {  // a fatal alert: what our own side says to a record that is none
      const uint8_t none[] = {0x17, 3,  3,  0,  32, 1,  2,  3,  4,  5,  6,  7,  8,
                              9,    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                              22,   23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
      open(none, sink);
      break;
    }
  }
  ended_ = true;
  return false;
}

TunnelWay::TunnelWay(SimNetwork& network, Connect connect, uint32_t loss, uint64_t seed)
    : network_(network),
      connect_(std::move(connect)),
      loss_(loss),
      prng_(seed),
      initiator_(
          {.ident = prng_.chance(300), .post_bytes_max = prng_.chance(500) ? 16'384U : 65'536U},
          network.now()) {}

void TunnelWay::send(Bytes plain) { initiator_.send(plain, network_.now()); }
void TunnelWay::finish() { initiator_.finish(network_.now()); }

void TunnelWay::fail(Fault fault) {
  fault_ = fault;
  if (carrier_ != nullptr) carrier_->close(prng_.chance(300));
  if (spare_ != nullptr && prng_.chance(500)) spare_->close(false);
}

size_t TunnelWay::read(size_t bytes_max, std::vector<uint8_t>& plain) {
  if (carrier_ == nullptr || finished()) return 0;
  std::vector<uint8_t> http;
  const size_t bytes = carrier_->read(bytes_max, http);
  if (!http.empty()) {
    refused_ = 0;
    const auto fed = initiator_.feed(http, plain, network_.now());
    closed_ = initiator_.closed();
    if (!fed) {
      fail(fed.error());
    } else if (closed_) {
      carrier_->close(false);
    }
    return bytes;
  }
  if (carrier_->failed() || carrier_->at_end() || carrier_->was_reset()) {
    carrier_->close(false);
    lose_carrier();
  } else if (carriers_ > 0 && prng_.chance(loss_)) {
    switch (prng_.below(4)) {
      case 0:
        carrier_->close(true);
        break;
      case 1:
        carrier_->close(false);
        break;
      case 2:
        if (carrier_->sealed()) carrier_->spoil(prng_);
        carrier_->flush();
        if (prng_.chance(500)) carrier_->close(false);
        break;
      case 3:  // left open, and nothing that comes on it is read any more
        break;
    }
    lose_carrier();
  }
  return bytes;
}

void TunnelWay::lose_carrier() {
  carrier_.reset();
  initiator_.carrier_lost();
  if (++refused_ >= refused_max) fail(Fault::http_timeout);
}

void TunnelWay::take_carrier() {
  const bool other = spare_ != nullptr && !spare_->at_end() && !spare_->was_reset();
  if (carrier_ == nullptr && other) {
    carrier_ = std::move(spare_);
  } else if (carrier_ == nullptr && network_.now() >= connect_at_) {
    carrier_ = connect_();
    ++carriers_;
    connect_at_ = network_.now().after_ms(prng_.below(connect_again_ms_max));
  } else if (carrier_ != nullptr && other && prng_.chance(300)) {
    std::swap(carrier_, spare_);
  } else if (carrier_ != nullptr && carrier_->established() && spare_ == nullptr &&
             network_.now() >= connect_at_ && prng_.chance(loss_)) {
    spare_ = std::exchange(carrier_, connect_());
    ++carriers_;
  }
}

void TunnelWay::flush() {
  if (finished()) return;
  if (initiator_.deadline() <= network_.now()) initiator_.expire(network_.now());
  // Between requests; one that is under way stays where it is.
  if (carrier_ == nullptr || !initiator_.outbox().empty()) take_carrier();
  if (carrier_ == nullptr) return;
  if (!initiator_.outbox().empty()) {
    Bytes request = initiator_.outbox();
    if (prng_.chance(100)) {  // as if the rest came in a packet of its own
      carrier_->send(request.first(1));
      carrier_->flush();
      request = request.subspan(1);
    }
    carrier_->send(request);
    initiator_.outbox().clear();
  }
  carrier_->flush();
}

void TunnelWay::close(bool with_reset) {
  for (DirectWay* way : {carrier_.get(), spare_.get()}) {
    if (way != nullptr) way->close(with_reset);
  }
}

bool TunnelWay::spoil(Prng& prng) {
  uint8_t garbage[512];
  prng.fill(garbage);
  send(garbage);
  return true;
}

}  // namespace penstock::sim
