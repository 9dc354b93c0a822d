// Tunnels of two workers: whatever carriers send, however they come and go, and whatever the
// workers do, no assertion is reached, every tunnel that opens closes once, every request is freed,
// and nothing is given to a carrier behind its last answer.
//
// Input: operations of a byte and its arguments; see Script.

#include <algorithm>
#include <memory>
#include <string>

#include "dataplane/transport/tunnels.h"
#include "penstock/base/assert.h"

using namespace penstock;
using namespace penstock::transport;

namespace {

constexpr uint32_t worker_count = 2;
constexpr uint32_t tunnels_max = 4;
constexpr size_t input_bytes_max = 4096;
constexpr size_t carriers_max = 32;

class World {
 public:
  World() {
    for (WorkerId worker = 0; worker < worker_count; ++worker) {
      tunnels_.push_back(std::make_unique<Tunnels>(mesh_, worker, tunnels_max, 4));
    }
  }

  void connect(uint8_t argument) {
    if (carriers_.size() >= carriers_max) return;
    const WorkerId worker = argument % worker_count;
    const engine::ConnectionId id{static_cast<uint32_t>(carriers_.size()), argument};
    engine::Endpoint peer{.ipv6 = (argument & 2) != 0};
    peer.address[0] = argument >> 4;
    carriers_.push_back({.worker = worker, .id = id});
    tunnels_[worker]->carrier_opened(id, peer, (argument & 4) != 0, now_);
  }
  void receive(uint8_t which, Bytes bytes) {
    Carrier* carrier = find(which);
    if (carrier == nullptr) return;
    inputs_.emplace_back(bytes.begin(), bytes.end());
    tunnels_[carrier->worker]->carrier_received(carrier->id, inputs_.back(), now_);
  }
  void post(uint8_t which, uint8_t verb, uint8_t session, uint8_t sequence) {
    static constexpr const char* verbs[] = {"/send/", "/idle/", "/close/", "/open/1"};
    std::string target = verbs[verb % 4];
    if (verb % 4 < 3) {
      target += (names_.empty() ? "none" : names_[session % names_.size()]) + "/" +
                std::to_string(sequence);
    }
    const std::string body(verb / 4 + 1, 'x');
    receive(which, as_bytes("POST " + target + " HTTP/1.1\r\nContent-Length: " +
                            std::to_string(body.size()) + "\r\n\r\n" + body));
  }
  void close_carrier(uint8_t which) {
    Carrier* carrier = find(which);
    if (carrier == nullptr) return;
    carrier->alive = false;
    tunnels_[carrier->worker]->carrier_closed(carrier->id, now_);
  }
  void sent(uint8_t which) {
    Carrier* carrier = find(which);
    if (carrier != nullptr) tunnels_[carrier->worker]->carrier_sent(carrier->id, {}, now_);
  }
  void act(uint8_t which, uint8_t what) {
    if (opened_.empty()) return;
    const auto& [worker, id] = opened_[which % opened_.size()];
    Tunnels& mine = *tunnels_[worker];
    const std::vector<uint8_t> bytes(size_t{what} * 256, 'y');
    const Bytes slice = bytes;
    if (what % 8 == 0) return mine.finish(id);
    if (what % 8 == 1) return mine.close(id);
    if (what % 8 == 2) return mine.set_reading(id, false);
    if (what % 8 == 3) return mine.set_reading(id, true);
    mine.send(id, {&slice, 1});
  }
  void turn(WorkerId worker) {
    Tunnels& mine = *tunnels_[worker];
    mine.turn(now_);
    TunnelEvent event;
    while (mine.take(event)) take(worker, event);
    CarrierAnswer answer;
    while (mine.take(answer)) take(answer);
    (void)mine.take_rung();
    PENSTOCK_ASSERT(mine.tunnel_count() <= tunnels_max);
  }
  void pass(uint64_t ms) {
    now_ = now_.after_ms(ms);
    for (WorkerId worker = 0; worker < worker_count; ++worker) turn(worker);
    inputs_.clear();
  }
  void end() {
    for (uint8_t which = 0; which < carriers_.size(); ++which) close_carrier(which);
    for (const auto& [worker, id] : opened_) tunnels_[worker]->set_reading(id, true);
    for (int i = 0; i < 6; ++i) pass(60'000);
    for (WorkerId worker = 0; worker < worker_count; ++worker) {
      PENSTOCK_ASSERT(tunnels_[worker]->tunnel_count() == 0);
      PENSTOCK_ASSERT(mesh_.under_way(worker) == 0);
    }
    PENSTOCK_ASSERT(open_count_ == 0);
  }

 private:
  struct Carrier {
    WorkerId worker = 0;
    engine::ConnectionId id;
    bool alive = true;
    bool ended = false;
  };

  Carrier* find(uint8_t which) {
    if (carriers_.empty()) return nullptr;
    Carrier& carrier = carriers_[which % carriers_.size()];
    return carrier.alive ? &carrier : nullptr;
  }

  void take(WorkerId worker, const TunnelEvent& event) {
    if (event.kind == TunnelEvent::Kind::opened) {
      opened_.emplace_back(worker, event.id);
      ++open_count_;
    }
    const auto known = std::find(opened_.begin(), opened_.end(), std::pair{worker, event.id});
    PENSTOCK_ASSERT(known != opened_.end());
    if (event.kind == TunnelEvent::Kind::closed) {
      opened_.erase(known);
      --open_count_;
    }
    for (const uint8_t byte : event.bytes) read_ += byte;  // for a sanitizer to see
  }

  void take(const CarrierAnswer& answer) {
    Carrier& carrier = carriers_[answer.carrier.index];
    PENSTOCK_ASSERT(carrier.id == answer.carrier);
    // Only the request to close it now may follow a last answer.
    PENSTOCK_ASSERT(!carrier.ended || answer.bytes.empty());
    carrier.ended = carrier.ended || answer.close_after;
    const std::string_view text = as_text(answer.bytes);
    const bool name = text.starts_with("HTTP/1.1 200") && text.ends_with("\n") &&
                      text.size() > tunnel::tunnel_name_bytes;
    if (name && names_.size() < 16) {
      const std::string_view line = text.substr(text.size() - 1 - tunnel::tunnel_name_bytes);
      names_.emplace_back(line.substr(0, tunnel::tunnel_name_bytes));
    }
  }

  TunnelMesh mesh_{worker_count, tunnels_max};
  std::vector<std::unique_ptr<Tunnels>> tunnels_;
  std::vector<Carrier> carriers_;
  std::vector<std::pair<WorkerId, TunnelId>> opened_;
  std::vector<std::string> names_;
  std::vector<std::vector<uint8_t>> inputs_;
  uint32_t open_count_ = 0;
  uint64_t read_ = 0;
  Instant now_{1000 * ns_per_s};
};

/// Takes arguments off the input; zeros behind its end.
class Script {
 public:
  explicit Script(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  uint8_t next() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  Bytes next(size_t count) {
    const Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(Bytes(data, std::min(size, input_bytes_max)));
  World world;
  while (!script.empty()) {
    const uint8_t operation = script.next();
    const uint8_t first = script.next();
    switch (operation % 8) {
      case 0:
        world.connect(first);
        break;
      case 1: {  // which carrier, how much of the input
        const uint8_t count = script.next();
        world.receive(first, script.next(count));
        break;
      }
      case 2: {  // which carrier, verb, session, sequence
        const uint8_t verb = script.next();
        const uint8_t session = script.next();
        world.post(first, verb, session, script.next());
        break;
      }
      case 3:
        world.close_carrier(first);
        break;
      case 4:
        world.sent(first);
        break;
      case 5:
        world.act(first, script.next());
        break;
      case 6:
        world.turn(first % worker_count);
        break;
      default:  // up to 65 s
        world.pass(uint64_t{first} * first);
        break;
    }
  }
  world.end();
  return 0;
}
