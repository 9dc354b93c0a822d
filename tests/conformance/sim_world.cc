#include "tests/conformance/world.h"
#include "tests/sim/sim_engine.h"
#include "tests/sim/sim_network.h"

namespace penstock::conformance {
namespace {

class SimulatedPeer final : public Peer {
 public:
  explicit SimulatedPeer(sim::SimPeer peer) : peer_(std::move(peer)) {}
  ~SimulatedPeer() override { peer_.close(); }
  size_t write(Bytes bytes) override { return peer_.write(bytes); }
  size_t read(MutableBytes out) override { return peer_.read(out); }
  bool at_end() override { return peer_.at_end(); }
  bool was_reset() override { return peer_.was_reset(); }
  void finish() override { peer_.finish(); }
  void reset() override { peer_.reset(); }

 private:
  sim::SimPeer peer_;
};

class SimWorld final : public World {
 public:
  SimWorld(const WorldOptions& options, const sim::NetworkFaults& faults)
      : network_(20261123, faults),
        engine_(network_, options.connections_max, sim::ClockMode::engine_advances) {
    network_.listen(remote().port);
  }
  engine::Engine& engine() override { return engine_; }
  Instant now() override { return network_.now(); }
  std::unique_ptr<Peer> connect() override {
    return std::make_unique<SimulatedPeer>(network_.connect(engine_));
  }
  engine::Endpoint remote() override { return {.address = {10, 0, 0, 9}, .port = 1935}; }
  engine::Endpoint nobody() override { return {.address = {10, 0, 0, 9}, .port = 9}; }
  std::unique_ptr<Peer> accept() override {
    sim::SimPeer peer = network_.accept();
    return peer.valid() ? std::make_unique<SimulatedPeer>(std::move(peer)) : nullptr;
  }
  void set_descriptors_dry(bool dry) override { engine_.set_descriptors_dry(dry); }
  bool is_real() const override { return false; }

 private:
  sim::SimNetwork network_;
  sim::SimEngine engine_;
};

}  // namespace

std::unique_ptr<World> make_calm_sim(const WorldOptions& options) {
  return std::make_unique<SimWorld>(options, sim::NetworkFaults{});
}

std::unique_ptr<World> make_rough_sim(const WorldOptions& options) {
  return std::make_unique<SimWorld>(options, sim::NetworkFaults{.short_receive = 300,
                                                                .partial_send = 300,
                                                                .stall = 200,
                                                                .delay_ns_max = 2 * ns_per_ms,
                                                                .window_bytes_min = 8192,
                                                                .window_bytes_max = 65536});
}

}  // namespace penstock::conformance
