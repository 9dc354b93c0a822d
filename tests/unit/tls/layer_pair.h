#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "dataplane/tls/tls_layer.h"
#include "penstock/base/prng.h"
#include "tests/unit/tls/made_certificate.h"

namespace penstock::tls {

using ByteVector = std::vector<uint8_t>;

inline ByteVector some_bytes(size_t count, uint64_t seed = 1) {
  ByteVector bytes(count);
  Prng prng(seed);
  prng.fill(bytes);
  return bytes;
}

/// One side with what it is still to send and what it got out of the records.
struct Side {
  std::unique_ptr<TlsLayer> layer;
  ByteVector to_peer;
  ByteVector plain;
  Fault fault = Fault::count_;

  /// Takes `input` by the rules of tunnel::Layer, with so much room at a time.
  void take(Bytes input, size_t room_bytes = 4096) {
    ByteVector room(room_bytes);
    while (fault == Fault::count_) {
      const auto opened = layer->open(input, room, to_peer);
      if (!opened) {
        fault = opened.error();
        return;
      }
      plain.insert(plain.end(), room.begin(),
                   room.begin() + static_cast<ptrdiff_t>(opened->output_bytes));
      input = input.subspan(opened->input_bytes);
      if (opened->input_bytes == 0 && opened->output_bytes == 0) return;
    }
  }
  void seal(Bytes bytes) { layer->seal(bytes, to_peer); }
};

/// Both sides of one connection.
struct Pair {
  Side accepting;
  Side initiating;

  explicit Pair(const CertificateSet& set,
                InitiatorContext::Versions versions = InitiatorContext::Versions::any,
                const std::string& server_name = {})
      : context(std::make_unique<InitiatorContext>(versions)) {
    accepting.layer = TlsLayer::accept(set);
    initiating.layer = TlsLayer::initiate(*context, server_name);
    initiating.take({});
  }

  /// Delivers what there is, each way in pieces of at most `piece` bytes, until both are quiet.
  void deliver(size_t piece = SIZE_MAX, size_t room_bytes = 4096) {
    while (!accepting.to_peer.empty() || !initiating.to_peer.empty()) {
      move(initiating, accepting, piece, room_bytes);
      move(accepting, initiating, piece, room_bytes);
    }
  }
  [[nodiscard]] bool established() const {
    return accepting.layer->established() && initiating.layer->established();
  }

  static void move(Side& from, Side& to, size_t piece, size_t room_bytes) {
    const ByteVector bytes = std::move(from.to_peer);
    from.to_peer.clear();
    for (size_t at = 0; at < bytes.size();) {
      const size_t count = std::min(piece, bytes.size() - at);
      to.take(Bytes(bytes).subspan(at, count), room_bytes);
      at += count;
    }
  }

  std::unique_ptr<InitiatorContext> context;
};

}  // namespace penstock::tls
