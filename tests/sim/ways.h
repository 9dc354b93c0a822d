#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "penstock/base/fault.h"
#include "penstock/tunnel/layer.h"
#include "penstock/tunnel/rtmpt_initiator.h"
#include "tests/sim/sim_network.h"

namespace penstock::sim {

/// How the bytes of a simulated peer get to an engine and back.
class Way {
 public:
  virtual ~Way() = default;

  virtual void send(Bytes plain) = 0;
  /// Takes at most so many bytes off the network, appends what they hold, and says how many it
  /// were.
  virtual size_t read(size_t bytes_max, std::vector<uint8_t>& plain) = 0;
  virtual void flush() = 0;
  /// Nothing follows what was sent.
  virtual void finish() = 0;
  virtual void close(bool with_reset) = 0;
  /// Sends what the protocol of this way does not take. True: it may look like RTMP all the same.
  virtual bool spoil(Prng& prng) = 0;

  /// Given to send(), and not on its way yet.
  [[nodiscard]] virtual size_t unsent_bytes() const = 0;
  /// After finish(): all of it went out.
  [[nodiscard]] virtual bool finished() const = 0;
  [[nodiscard]] virtual bool at_end() const = 0;
  [[nodiscard]] virtual bool was_reset() const = 0;
  /// The other side sent what this way does not understand.
  [[nodiscard]] virtual bool failed() const = 0;
};

/// One connection, through a layer if there is one.
class DirectWay final : public Way {
 public:
  explicit DirectWay(SimPeer peer) : peer_(std::move(peer)) {}
  /// `sealed`: what is changed on its way is noticed by the layer (TLS; not RTMPE).
  DirectWay(SimPeer peer, std::unique_ptr<tunnel::Layer> layer, bool sealed);

  void send(Bytes plain) override;
  size_t read(size_t bytes_max, std::vector<uint8_t>& plain) override;
  void flush() override;
  void finish() override;
  void close(bool with_reset) override;
  bool spoil(Prng& prng) override;
  [[nodiscard]] size_t unsent_bytes() const override {
    return waiting_.size() + unsent_.size() - unsent_at_;
  }
  [[nodiscard]] bool finished() const override { return unsent_bytes() == 0; }
  [[nodiscard]] bool at_end() const override { return peer_.at_end(); }
  [[nodiscard]] bool was_reset() const override { return peer_.was_reset(); }
  [[nodiscard]] bool failed() const override { return failed_; }

  [[nodiscard]] bool sealed() const { return sealed_; }
  [[nodiscard]] bool established() const { return layer_ == nullptr || layer_->established(); }

 private:
  void open(Bytes sealed, std::vector<uint8_t>& plain);

  SimPeer peer_;
  std::unique_ptr<tunnel::Layer> layer_;
  bool sealed_ = false;
  bool failed_ = false;
  bool ended_ = false;            // nothing more is sent
  std::vector<uint8_t> waiting_;  // for the layer
  std::vector<uint8_t> unsent_;
  size_t unsent_at_ = 0;
};

/// RTMPT over connections that are lost, spoilt, left open and changed for others.
class TunnelWay final : public Way {
 public:
  /// A new connection, to any worker; within TLS or not.
  using Connect = std::function<std::unique_ptr<DirectWay>()>;
  /// `loss`: of its carrier, per thousand turns.
  TunnelWay(SimNetwork& network, Connect connect, uint32_t loss, uint64_t seed);

  void send(Bytes plain) override;
  size_t read(size_t bytes_max, std::vector<uint8_t>& plain) override;
  void flush() override;
  void finish() override;
  void close(bool with_reset) override;
  bool spoil(Prng& prng) override;
  [[nodiscard]] size_t unsent_bytes() const override { return initiator_.unsent_bytes(); }
  [[nodiscard]] bool finished() const override { return closed_ || fault_.has_value(); }
  [[nodiscard]] bool at_end() const override { return closed_ || fault_ == Fault::tunnel_unknown; }
  [[nodiscard]] bool was_reset() const override { return false; }
  [[nodiscard]] bool failed() const override {
    return fault_.has_value() && fault_ != Fault::tunnel_unknown;
  }

  /// It was a session and is none any more, though it was not closed from here.
  [[nodiscard]] bool ended_by_other_side() const { return initiator_.open() && fault_; }
  [[nodiscard]] uint32_t carriers() const { return carriers_; }

 private:
  void lose_carrier();
  void take_carrier();
  void fail(Fault fault);

  SimNetwork& network_;
  Connect connect_;
  uint32_t loss_;
  Prng prng_;
  tunnel::RtmptInitiator initiator_;
  std::unique_ptr<DirectWay> carrier_;
  std::unique_ptr<DirectWay> spare_;  // another one that is open, and idle
  uint32_t carriers_ = 0;
  uint32_t refused_ = 0;  // carriers in a row on which nothing came
  Instant connect_at_;
  bool closed_ = false;
  std::optional<Fault> fault_;
};

}  // namespace penstock::sim
