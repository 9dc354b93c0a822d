#pragma once

#include <memory>
#include <string>

#include "dataplane/engine/engine.h"

namespace penstock::conformance {

/// The other end of a connection, played by the test.
class Peer {
 public:
  virtual ~Peer() = default;
  /// As much as fits now; returns how much that was.
  virtual size_t write(Bytes bytes) = 0;
  /// What is there now, up to out.size().
  virtual size_t read(MutableBytes out) = 0;
  /// After read() has returned 0: nothing more will come, in order.
  virtual bool at_end() = 0;
  virtual bool was_reset() = 0;
  virtual void finish() = 0;
  virtual void reset() = 0;
};

/// One engine and the network it stands in.
class World {
 public:
  virtual ~World() = default;
  virtual engine::Engine& engine() = 0;
  virtual Instant now() = 0;
  /// Null when the host refuses.
  virtual std::unique_ptr<Peer> connect() = 0;
  /// Where engines may connect to, and somewhere that nobody listens.
  virtual engine::Endpoint remote() = 0;
  virtual engine::Endpoint nobody() = 0;
  /// The test's end of what an engine connected to remote(); null when none has come.
  virtual std::unique_ptr<Peer> accept() = 0;
  /// While true the engine's process can open no descriptor; `connect()` works all the same.
  virtual void set_descriptors_dry(bool dry) = 0;
  /// Whether time passes by itself and other threads may call wake().
  virtual bool is_real() const = 0;
  /// Whether each connection of the engine takes a descriptor of its process.
  virtual bool takes_descriptors() const { return true; }
};

struct WorldOptions {
  uint32_t connections_max = 256;
};

/// A named way to make a world; the suite runs over all of them.
struct WorldKind {
  std::string name;
  std::unique_ptr<World> (*make)(const WorldOptions&);
  /// Why there is no such world here; empty: there is.
  std::string (*missing)() = nullptr;
};

std::unique_ptr<World> make_calm_sim(const WorldOptions&);
/// Short receives, partial sends, stalls, small windows.
std::unique_ptr<World> make_rough_sim(const WorldOptions&);
std::unique_ptr<World> make_uring(const WorldOptions&);
/// One receive per slab, as on kernels before 6.12.
std::unique_ptr<World> make_uring_single_receive_slabs(const WorldOptions&);
/// So little receive memory that receives find none all the time.
std::unique_ptr<World> make_uring_scarce(const WorldOptions&);
/// Penstock's own TCP over a virtual Ethernet pair, against the kernel's TCP in another network
/// namespace; over IPv4, over IPv6, and through a device that takes no slices.
std::unique_ptr<World> make_dpdk(const WorldOptions&);
std::unique_ptr<World> make_dpdk_ipv6(const WorldOptions&);
std::unique_ptr<World> make_dpdk_xdp(const WorldOptions&);
std::string missing_dpdk();
std::string missing_dpdk_xdp();

}  // namespace penstock::conformance
