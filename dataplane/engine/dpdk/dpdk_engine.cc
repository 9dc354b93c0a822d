#include "dataplane/engine/dpdk/dpdk_engine.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "dataplane/engine/dpdk/environment.h"
#include "penstock/base/assert.h"

namespace penstock::engine {
namespace {

constexpr uint32_t no_place = UINT32_MAX;
// The kernel's default of 50 us would be added to each short sleep.
constexpr unsigned long timer_slack_ns = 1000;
// Longer would overflow what the kernel takes.
constexpr uint64_t sleep_ns_max = 3600 * ns_per_s;
// What ends connections has so many turns to go out.
constexpr int end_turns = 200;

Instant monotonic_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return {static_cast<uint64_t>(time.tv_sec) * ns_per_s + static_cast<uint64_t>(time.tv_nsec)};
}

CloseReason reason_of(tcp::EndReason reason) {
  switch (reason) {
    case tcp::EndReason::ours:
      return CloseReason::ours;
    case tcp::EndReason::reset:
      return CloseReason::reset;
    case tcp::EndReason::refused:
      return CloseReason::refused;
    case tcp::EndReason::timeout:
    case tcp::EndReason::unreachable:
      return CloseReason::timeout;
  }
  return CloseReason::reset;
}

tcp::SocketAddress to_stack(const Endpoint& endpoint) {
  tcp::SocketAddress address;
  address.address.ipv6 = endpoint.ipv6;
  std::copy_n(endpoint.address, endpoint.ipv6 ? 16 : 4, address.address.bytes.begin());
  address.port = endpoint.port;
  return address;
}

Endpoint from_stack(const tcp::SocketAddress& address) {
  Endpoint endpoint;
  std::copy(address.address.bytes.begin(), address.address.bytes.end(), endpoint.address);
  endpoint.port = address.port;
  endpoint.ipv6 = address.address.ipv6;
  return endpoint;
}

SendQueueFacts facts_of(const DpdkEngineParts& parts) {
  const DeviceOffloads& offloads = parts.device->offloads();
  return {parts.device->port(), parts.queue, offloads.slices, offloads.own_memory_access,
          offloads.checksums_out};
}

}  // namespace

DpdkEngine::DpdkEngine(DpdkEngineParts parts)
    : parts_(std::move(parts)),
      stack_(parts_.stack),
      transmitter_(facts_of(parts_), *parts_.pools, counters_),
      bell_(parts_.crossings->bell(parts_.id)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      interrupts_(parts_.device->offloads().interrupts),
      trusts_queue_(parts_.steering->follows_device()),
      places_(parts_.connections_max) {
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
  // The stack has a quarter more places than connections, and some.
  of_stack_.resize(size_t{parts_.connections_max} * 2 + 64, no_place);
  free_.reserve(2 * places_.size());  // half of them may have been taken
  for (uint32_t i = 0; i < places_.size(); ++i) free_.push_back(i);
  set_accepting(true);
  rte_seqcount_init(&told_sequence_);
  if (parts_.id == 0) stack_.announce();
}

DpdkEngine::~DpdkEngine() {
  if (wake_fd_ >= 0) ::close(wake_fd_);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

void DpdkEngine::adopt_thread() {
  adopted_ = true;
  join_dpdk();
  prctl(PR_SET_TIMERSLACK, timer_slack_ns, 0, 0, 0);
  if (!interrupts_) return;
  // The driver's descriptor of this queue becomes one of ours.
  const int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(parts_.device->port(), parts_.queue);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  interrupts_ = fd >= 0 && epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

// Places ------------------------------------------------------------------------------------------

DpdkEngine::Place* DpdkEngine::find(ConnectionId id) {
  if (id.index >= places_.size()) return nullptr;
  Place& place = places_[id.index];
  return place.in_use && place.generation == id.generation ? &place : nullptr;
}

/// First in, first out, so that generations age evenly. There is always one: the stack reports no
/// more connections than this at a time.
uint32_t DpdkEngine::take_place(tcp::ConnectionId stack_id) {
  PENSTOCK_ASSERT(free_first_ < free_.size());
  const uint32_t index = free_[free_first_++];
  if (free_first_ == free_.size() || free_first_ >= places_.size()) {
    free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(free_first_));
    free_first_ = 0;
  }
  places_[index].stack_id = stack_id;
  places_[index].in_use = true;
  PENSTOCK_ASSERT(stack_id.index < of_stack_.size());
  of_stack_[stack_id.index] = index;
  return index;
}

// A turn ------------------------------------------------------------------------------------------

std::span<EngineEvent> DpdkEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  PENSTOCK_ASSERT(!events.empty());
  if (!adopted_) adopt_thread();
  while (true) {
    now_ = monotonic_now();
    const uint64_t rung = bell_.take_rung() | std::exchange(unvisited_, 0);
    give_back();
    send_out();
    const size_t received = receive(rung);
    if (stack_.deadline() <= now_) stack_.expire(now_);
    const size_t count = report(events);
    ++counters_.turns;
    if (received == 0) ++counters_.turns_empty;
    if (now_.since(told_at_) >= told_every_ns) tell();
    const bool woken = (rung & uint64_t{1} << Crossings::ringer_wake) != 0;
    if (count > 0 || woken || now_ >= wake_at) return events.first(count);
    if (received > 0) {
      idle_.busy(now_);
    } else {
      // What timers, news of neighbours and announcements have made is not slept over.
      send_out();
      wait(wake_at);
    }
  }
}

/// Packets whose bytes the caller has seen, or that the stack did not want.
void DpdkEngine::give_back() {
  std::array<tcp::PacketToken, burst_packets> tokens;
  std::array<rte_mbuf*, burst_packets> packets;
  while (true) {
    const auto released = stack_.take_released(tokens);
    for (size_t i = 0; i < released.size(); ++i) {
      packets[i] = reinterpret_cast<rte_mbuf*>(released[i].value);
    }
    rte_pktmbuf_free_bulk(packets.data(), static_cast<unsigned>(released.size()));
    if (released.size() < tokens.size()) return;
  }
}

void DpdkEngine::send_out() {
  if (transmitter_.waits()) transmitter_.flush();
  bool more = true;
  while (more) {
    const size_t room = transmitter_.room();
    if (room == 0) {
      // The device is full: what it has finished may make room the next time.
      transmitter_.reclaim(now_);
      more = false;
    }
    const auto packets = stack_.output(std::span(output_).first(room), now_);
    for (const tcp::PacketOut& packet : packets) transmitter_.add(packet);
    if (packets.size() < room || room == 0) more = false;
    if (!packets.empty()) {
      transmitter_.flush();
      idle_.busy(now_);
    }
    if (const uint64_t through = transmitter_.transmitted(); through != transmitted_told_) {
      transmitted_told_ = through;
      stack_.transmitted(through);
    }
  }
}

bool DpdkEngine::convert(const tcp::StackEvent& from, EngineEvent& to) {
  to = {};
  switch (from.kind) {
    case tcp::StackEventKind::accepted: {
      const uint32_t index = take_place(from.id);
      to.kind = EngineEventKind::accepted;
      to.id = {index, places_[index].generation};
      to.peer = from_stack(from.peer);
      const auto port = std::find(parts_.ports.begin(), parts_.ports.end(), from.port);
      to.listener = static_cast<uint16_t>(port - parts_.ports.begin());
      return true;
    }
    case tcp::StackEventKind::connected:
      to.kind = EngineEventKind::connected;
      to.peer = from_stack(from.peer);
      break;
    case tcp::StackEventKind::received:
      to.kind = EngineEventKind::received;
      to.bytes = from.bytes;
      break;
    case tcp::StackEventKind::ended:
      to.kind = EngineEventKind::ended;
      break;
    case tcp::StackEventKind::sent:
      to.kind = EngineEventKind::sent;
      to.sent_bytes = from.sent_bytes;
      break;
    case tcp::StackEventKind::closed:
      to.kind = EngineEventKind::closed;
      to.reason = reason_of(from.reason);
      break;
  }
  const uint32_t index = of_stack_[from.id.index];
  // Of a connection whose begin was never reported nothing can be said.
  if (index == no_place) return false;
  Place& place = places_[index];
  to.id = {index, place.generation};
  if (from.kind == tcp::StackEventKind::closed) {
    of_stack_[from.id.index] = no_place;
    place.in_use = false;
    ++place.generation;
    free_.push_back(index);
  }
  return true;
}

size_t DpdkEngine::report(std::span<EngineEvent> events) {
  size_t count = 0;
  while (count < events.size()) {
    const size_t room = std::min(events.size() - count, reported_.size());
    const auto found = stack_.events(std::span(reported_).first(room));
    for (const tcp::StackEvent& event : found) {
      if (convert(event, events[count])) ++count;
    }
    if (found.size() < room) break;
  }
  return count;
}

// Waiting -----------------------------------------------------------------------------------------

void DpdkEngine::wait(Instant wake_at) {
  if (unvisited_ != 0) return;
  const Instant until = std::min(wake_at, stack_.deadline());
  Idle::Choice choice = idle_.choose(now_, until, interrupts_);
  if (choice.step == Idle::Step::look) return;
  if (choice.step == Idle::Step::pause) {
    for (int i = 0; i < 32; ++i) rte_pause();
    return;
  }
  if (transmitter_.in_flight() || transmitter_.waits()) {
    // The device has something of ours and will not say when it is done with it.
    transmitter_.reclaim(now_);
    choice.sleep_ns = std::min(choice.sleep_ns, 1 * ns_per_ms);
  }
  sleep(std::min(choice.sleep_ns, sleep_ns_max));
}

void DpdkEngine::sleep(uint64_t ns) {
  bell_.prepare_sleep();
  if (bell_.anybody_rang() || (interrupts_ && !interrupt_armed())) {
    bell_.woke_up();
    return;
  }
  const timespec timeout{static_cast<time_t>(ns / ns_per_s), static_cast<long>(ns % ns_per_s)};
  epoll_event ready[2];
  const int count = epoll_pwait2(epoll_fd_, ready, 2, &timeout, nullptr);
  bell_.woke_up();
  if (interrupts_) rte_eth_dev_rx_intr_disable(parts_.device->port(), parts_.queue);
  ++counters_.sleeps;
  counters_.slept_ns += monotonic_now().since(now_);
  if (count <= 0) return;
  idle_.busy(monotonic_now());
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t taken = read(wake_fd_, &rings, sizeof rings);
}

/// A packet that came before the interrupt was armed would be slept over.
bool DpdkEngine::interrupt_armed() {
  const uint16_t port = parts_.device->port();
  if (rte_eth_dev_rx_intr_enable(port, parts_.queue) != 0) {
    interrupts_ = false;
    return false;
  }
  const int waiting = rte_eth_rx_queue_count(port, parts_.queue);
  if (waiting == 0) return true;
  rte_eth_dev_rx_intr_disable(port, parts_.queue);
  // A driver that cannot say so might be slept over.
  if (waiting < 0) interrupts_ = false;
  return false;
}

void DpdkEngine::ring(uint32_t ringer) {
  if (!bell_.ring(ringer)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

// The caller's ------------------------------------------------------------------------------------

std::optional<ConnectionId> DpdkEngine::connect(const Endpoint& peer) {
  now_ = monotonic_now();
  struct Here {
    const Steering* steering;
    size_t id;
  } here{parts_.steering, parts_.id};
  // Answers must come to this worker.
  const auto usable = [](const tcp::Flow& flow, void* context) {
    const auto* me = static_cast<const Here*>(context);
    return me->steering->owner(flow) == me->id;
  };
  const auto id = stack_.connect(to_stack(peer), now_, usable, &here);
  if (!id) return std::nullopt;
  const uint32_t index = take_place(*id);
  return ConnectionId{index, places_[index].generation};
}

void DpdkEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  PENSTOCK_ASSERT(slices.size() <= send_slices_max);
  if (const Place* place = find(id)) stack_.send(place->stack_id, slices, now_);
}

void DpdkEngine::set_reading(ConnectionId id, bool on) {
  if (const Place* place = find(id)) stack_.set_reading(place->stack_id, on, now_);
}

void DpdkEngine::set_low_water(ConnectionId id, uint32_t bytes, Rest) {
  if (const Place* place = find(id)) stack_.set_low_water(place->stack_id, bytes);
}

void DpdkEngine::finish(ConnectionId id) {
  if (const Place* place = find(id)) stack_.finish(place->stack_id, now_);
}

void DpdkEngine::close(ConnectionId id) {
  if (const Place* place = find(id)) stack_.close(place->stack_id, now_);
}

bool DpdkEngine::set_accepting(bool on) {
  bool all = true;
  for (const uint16_t port : parts_.ports) {
    if (on) {
      all = stack_.listen(port) && all;
    } else {
      stack_.stop_listening(port);
    }
  }
  return all;
}

EngineCounts DpdkEngine::counts() const {
  return {.refused = stack_.counters().connections_full, .unseen = 0};
}

void DpdkEngine::end() {
  now_ = monotonic_now();
  // Where a stop was forced, the caller's bytes are gone before all `closed` were reported.
  transmitter_.forget_slices();
  set_accepting(false);
  for (const Place& place : places_) {
    if (place.in_use) stack_.close(place.stack_id, now_);
  }
  for (int i = 0; i < end_turns; ++i) {
    send_out();
    if (!transmitter_.waits()) return;
  }
}

// What is told ------------------------------------------------------------------------------------

void DpdkEngine::tell() {
  told_at_ = now_;
  rte_seqcount_write_begin(&told_sequence_);
  told_.engine = counters_;
  told_.tcp = stack_.counters();
  rte_seqcount_write_end(&told_sequence_);
}

DpdkEngine::Told DpdkEngine::told() const {
  Told copy;
  uint32_t sequence = 0;
  do {
    sequence = rte_seqcount_read_begin(&told_sequence_);
    copy = told_;
  } while (rte_seqcount_read_retry(&told_sequence_, sequence));
  return copy;
}

uint64_t DpdkEngine::memory_bytes() const {
  return sizeof(DpdkEngine) + stack_.memory_bytes() + places_.size() * (sizeof(Place) + 8) +
         of_stack_.size() * sizeof(uint32_t);
}

}  // namespace penstock::engine
