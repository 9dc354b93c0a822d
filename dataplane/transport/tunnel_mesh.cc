#include "dataplane/transport/tunnel_mesh.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "penstock/base/assert.h"

namespace penstock::transport {
namespace {

// A body this large is not kept for the next request: with all requests of a worker in use at some
// time it would be 1 MiB each.
constexpr size_t body_bytes_kept = 16 * 1024;

/// A tunnel has one request under way, two when the fate of its last answer is still to be told,
/// and carriers are spread evenly: one of W lands on a given worker. Twice that, so that a full
/// ring is rare; never less than 64.
uint32_t under_way_max(uint32_t workers, uint32_t tunnels_max) {
  return std::bit_ceil(std::clamp(4 * (tunnels_max / workers), 64u, 16'384u));
}

}  // namespace

TunnelMesh::TunnelMesh(uint32_t workers, uint32_t tunnels_max)
    : under_way_max_(under_way_max(workers, tunnels_max)) {
  PENSTOCK_ASSERT(workers > 0 && workers <= workers_max);
  for (WorkerId worker = 0; worker < workers; ++worker) {
    desks_.push_back(std::make_unique<Desk>());
    desks_.back()->under_way.resize(workers);
  }
  // A ring holds what the one has asked and what the other has answered.
  for (WorkerId from = 0; from < workers; ++from) {
    for (WorkerId to = 0; to < workers; ++to) {
      rings_.push_back(from == to ? nullptr : std::make_unique<Ring>(2 * under_way_max_));
    }
  }
}

TunnelRequest* TunnelMesh::take(WorkerId home, WorkerId owner) {
  Desk& desk = *desks_[home];
  if (home != owner && desk.under_way[owner] == under_way_max_) return nullptr;
  ++desk.under_way[owner];
  if (desk.free.empty()) {
    desk.made.push_back(std::make_unique<TunnelRequest>());
    desk.free.push_back(desk.made.back().get());
  }
  TunnelRequest* request = desk.free.back();
  desk.free.pop_back();
  request->home = home;
  request->owner = owner;
  return request;
}

void TunnelMesh::give_back(TunnelRequest* request) {
  Desk& desk = *desks_[request->home];
  PENSTOCK_ASSERT(desk.under_way[request->owner] > 0);
  --desk.under_way[request->owner];
  std::vector<uint8_t> body = std::move(request->body);
  std::string session = std::move(request->session);
  *request = {};
  if (body.capacity() <= body_bytes_kept) request->body = std::move(body);
  request->body.clear();
  request->session = std::move(session);
  desk.free.push_back(request);
}

uint32_t TunnelMesh::under_way(WorkerId home) const {
  const Desk& desk = *desks_[home];
  return std::accumulate(desk.under_way.begin(), desk.under_way.end(), 0u);
}

void TunnelMesh::push(WorkerId from, WorkerId to, TunnelRequest* request) {
  const bool pushed = ring(from, to).push(request);
  PENSTOCK_ASSERT(pushed);
  // Nobody sleeps on this bell: its bits say where to look, take_pushed() whom to wake.
  (void)desks_[to]->bell.ring(from);
  desks_[from]->pushed |= uint64_t{1} << to;
}

uint64_t TunnelMesh::take_pushed(WorkerId from) { return std::exchange(desks_[from]->pushed, 0); }

uint64_t TunnelMesh::take_rung(WorkerId to) { return desks_[to]->bell.take_rung(); }

uint32_t TunnelMesh::pop(WorkerId from, WorkerId to, std::span<TunnelRequest*> out) {
  return ring(from, to).pop(out);
}

}  // namespace penstock::transport
