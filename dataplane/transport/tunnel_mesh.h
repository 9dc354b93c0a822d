#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/engine/engine.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/limits.h"
#include "penstock/base/spsc_ring.h"
#include "penstock/tunnel/rtmpt.h"

namespace penstock::transport {

using WorkerId = uint32_t;

/// Names a tunnel of one worker. The index is reused, the generation makes a late call miss.
struct TunnelId {
  uint32_t index = 0;  // below tunnels_max
  uint32_t generation = 0;
  constexpr bool operator==(const TunnelId&) const = default;
};

/// A request of a carrier, until nobody needs to know of it any more. Made and freed by the home,
/// the worker whose carrier it came on. The owner, the worker whose tunnel it is for, has it while
/// `step` is asked, written or lost; it is in at most one ring at any time.
struct TunnelRequest {
  enum class Step : uint8_t {
    asked,     // to the owner
    answered,  // to the home
    written,   // to the owner: the answer went out
    lost,      // to the owner: the carrier went before that
    settled,   // to the home, to be freed
  };

  Step step{};
  WorkerId home = 0;
  WorkerId owner = 0;
  engine::ConnectionId carrier;
  bool keep_alive = true;
  bool secure = false;
  // What is asked
  tunnel::RtmptVerb verb{};
  uint32_t sequence = 0;
  std::string session;
  Bytes run;  // the body, where the carrier is the owner's own and its input holds all of it
  std::vector<uint8_t> body;
  // What is answered
  TunnelId tunnel;
  bool counts = false;  // the tunnel waits to hear whether it was written
  bool served = false;  // by a tunnel
  bool close_after = false;
  Fault fault = Fault::count_;
  std::vector<uint8_t> answer;  // as it goes out
  // The home's
  uint64_t number = 0;  // which of the carrier's answers it is
};

/// What lies between the Tunnels of all workers. A connection of a session may land on any of them,
/// because the kernel deals connections out; its requests travel to the worker that has the session
/// and come back answered. Made before the workers, gone after them.
class TunnelMesh {
 public:
  TunnelMesh(uint32_t workers, uint32_t tunnels_max);
  TunnelMesh(const TunnelMesh&) = delete;
  TunnelMesh& operator=(const TunnelMesh&) = delete;

  [[nodiscard]] uint32_t workers() const { return static_cast<uint32_t>(desks_.size()); }

  /// Home only. Null when as many are under way between the two as their rings hold.
  [[nodiscard]] TunnelRequest* take(WorkerId home, WorkerId owner);
  /// Home only.
  void give_back(TunnelRequest* request);
  /// Home only: requests that were taken and not given back.
  [[nodiscard]] uint32_t under_way(WorkerId home) const;

  /// To the other end of the request. There is always room: see take().
  void push(WorkerId from, WorkerId to, TunnelRequest* request);
  /// A bit for each worker that `from` pushed something to since the last time.
  [[nodiscard]] uint64_t take_pushed(WorkerId from);
  /// A bit for each worker that pushed something to `to`; to be popped until there is nothing.
  [[nodiscard]] uint64_t take_rung(WorkerId to);
  [[nodiscard]] uint32_t pop(WorkerId from, WorkerId to, std::span<TunnelRequest*> out);

 private:
  using Ring = SpscRing<TunnelRequest*, sized_at_start>;

  /// What only one worker touches, but for its bell.
  struct alignas(cache_line_bytes) Desk {
    std::vector<std::unique_ptr<TunnelRequest>> made;
    std::vector<TunnelRequest*> free;
    std::vector<uint32_t> under_way;  // by owner
    uint64_t pushed = 0;
    Doorbell bell;
  };

  [[nodiscard]] Ring& ring(WorkerId from, WorkerId to) { return *rings_[from * workers() + to]; }

  uint32_t under_way_max_;
  std::vector<std::unique_ptr<Desk>> desks_;
  std::vector<std::unique_ptr<Ring>> rings_;  // [from][to]
};

}  // namespace penstock::transport
