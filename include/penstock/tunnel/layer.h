#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::tunnel {

/// A layer of bytes between a connection and its session, the accepting or the initiating side of
/// it: TLS, or the cipher of RTMPE. No socket, no clock, no callback. Owner: one worker.
class Layer {
 public:
  virtual ~Layer() = default;

  struct Opened {
    size_t input_bytes = 0;   // taken from the front of `input`
    size_t output_bytes = 0;  // written to the front of `room`
  };

  /// Takes bytes of the peer and writes what they hold for the session to `room`, as far as it
  /// reaches. Called again with what is left until both numbers are 0: then all input was taken,
  /// and more is needed. What the layer itself has to say to the peer is appended to `to_peer`,
  /// also before a fault (an alert). After a fault nothing may be called but the destructor.
  [[nodiscard]] virtual std::expected<Opened, Fault> open(Bytes input, MutableBytes room,
                                                          std::vector<uint8_t>& to_peer) = 0;

  /// Appends the form in which `plain` travels. Only once established().
  virtual void seal(Bytes plain, std::vector<uint8_t>& to_peer) = 0;

  /// The handshake of the layer is over: the session may speak.
  [[nodiscard]] virtual bool established() const = 0;
  /// The peer said that it will send no more, in the layer's own way (TLS close_notify).
  [[nodiscard]] virtual bool ended() const = 0;

  /// After a fault: what exactly was wrong, for the log; may be empty. None of the peer's own text.
  [[nodiscard]] virtual std::string_view reason() const { return {}; }

  /// open() comes soon: what it touches is to be there then.
  virtual void prefetch() const {}

  /// Appends what tells the peer that no more will be sealed (TLS close_notify); may be nothing.
  virtual void finish(std::vector<uint8_t>& to_peer) = 0;
};

// What TLS puts into a record at most, and no bad portion for a stream cipher.
constexpr size_t seal_bytes_max = 16 * 1024;

/// seal() of all slices as one run of bytes: small ones share a portion (22 to 29 bytes and a pass
/// of the cipher less for each). `gathered` is empty before and after: memory that is kept.
void seal_gathered(Layer& layer, std::span<const Bytes> slices, std::vector<uint8_t>& gathered,
                   std::vector<uint8_t>& to_peer);

}  // namespace penstock::tunnel
