#include "tests/unit/tcp/network.h"

#include <algorithm>
#include <cstdio>

namespace penstock::engine::tcp {
namespace {

constexpr size_t ethernet = 14;
constexpr uint64_t held_ns = 20 * ns_per_ms;
// What a stack may hold of packets beyond held_packets_max: those of the turns under way.
constexpr size_t passing_packets = 1024;

constexpr uint8_t pattern(uint64_t position) {
  return static_cast<uint8_t>((position * 0x9E3779B97F4A7C15) >> 56);
}

constexpr uint8_t byte_of(uint32_t number, Side side, uint64_t position) {
  if (side == initiator && position < Talk::name_bytes) {
    return static_cast<uint8_t>(number >> (position * 8));
  }
  return pattern(position + number * uint64_t{1'000'003} + side * uint64_t{77'777});
}

/// ARP and ICMPv6.
bool is_neighbour(const Frame& frame) {
  const size_t type = load_u16(frame.data() + 12) == 0x8100 ? 16 : 12;
  const uint16_t ethertype = load_u16(frame.data() + type);
  return ethertype == 0x0806 || (ethertype == 0x86dd && frame[type + 2 + 6] == 58);
}

/// One line for each TCP packet, for who looks for what went wrong.
void show(const char* from, const Frame& frame, Instant now) {
  const size_t type = load_u16(frame.data() + 12) == 0x8100 ? 16 : 12;
  const bool v6 = load_u16(frame.data() + type) == 0x86dd;
  const size_t at = type + 2 + (v6 ? 40 : 20);
  if (is_neighbour(frame) || frame.size() < at + 20) return;
  const uint8_t* tcp = frame.data() + at;
  std::string flags;
  for (int bit = 0; bit < 8; ++bit) {
    if ((tcp[13] >> bit & 1) != 0) flags += "FSRP.UEW"[bit];
  }
  const size_t header = size_t{4} * (tcp[12] >> 4);
  std::printf("%11.6f %s %u-%u %s %u+%zu ack %u win %u options %zu\n",
              static_cast<double>(now.ns) / 1e9 - 24 * 3600, from, load_u16(tcp), load_u16(tcp + 2),
              flags.c_str(), load_u32(tcp + 4), frame.size() - at - header, load_u32(tcp + 8),
              load_u16(tcp + 14), header - 20);
}

/// Tells CE where the sender can hear it (RFC 3168: 5).
void mark(Frame& frame) {
  if (load_u16(frame.data() + 12) != 0x0800 || (frame[ethernet + 1] & 3) == 0) return;
  // RFC 1624: the checksum follows.
  uint8_t* ip = frame.data() + ethernet;
  const uint32_t before = load_u16(ip);
  ip[1] |= 3;
  uint32_t sum = (~load_u16(ip + 10) & 0xffffu) + (~before & 0xffffu) + load_u16(ip);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  store_u16(ip + 10, static_cast<uint16_t>(~sum));
}

}  // namespace

// Wire ------------------------------------------------------------------------------------------

/// One bit, which every checksum finds.
void Wire::damage(Frame& frame) {
  if (prng_.chance(200)) {
    frame.resize(prng_.below(frame.size()));
    return;
  }
  const size_t at = ethernet + prng_.below(frame.size() - ethernet);
  frame[at] ^= static_cast<uint8_t>(1 << prng_.below(8));
}

void Wire::put(Frame frame, Instant now) {
  // Who does not find a neighbour in three tries gives up, which is no news here.
  if (is_neighbour(frame)) {
    flying_.emplace(now.after_ns(options_.delay_ns), std::move(frame));
    return;
  }
  if (prng_.below(10000) < options_.loss_per_10000) return;
  Instant at = now;
  if (options_.bytes_per_s != 0) {
    const Instant begin = std::max(free_at_, now);
    const uint64_t queued = begin.since(now) * options_.bytes_per_s / ns_per_s;
    if (queued > options_.queue_bytes) return;
    if (queued > options_.mark_above_bytes) mark(frame);
    free_at_ = begin.after_ns(frame.size() * ns_per_s / options_.bytes_per_s);
    at = free_at_;
  }
  const int copies = prng_.below(10000) < options_.duplicates_per_10000 ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    uint64_t delay = options_.delay_ns;
    if (options_.jitter_ns != 0) delay += prng_.below(options_.jitter_ns);
    if (prng_.below(10000) < options_.held_per_10000) delay += held_ns;
    Frame one = frame;
    if (prng_.below(10000) < options_.corrupted_per_10000) damage(one);
    flying_.emplace(at.after_ns(delay), std::move(one));
  }
}

std::vector<Frame> Wire::take(Instant now) {
  std::vector<Frame> frames;
  while (!flying_.empty() && flying_.begin()->first <= now) {
    frames.push_back(std::move(flying_.begin()->second));
    flying_.erase(flying_.begin());
  }
  return frames;
}

// Talk ------------------------------------------------------------------------------------------

void Talk::received(Bytes bytes) {
  for (const uint8_t byte : bytes) {
    if (plan_ == nullptr) {
      name_[received_++] = byte;
      if (received_ < name_bytes) continue;
      uint32_t number = 0;
      for (size_t i = name_bytes; i-- > 0;) number = number << 8 | name_[i];
      if (number >= plans_.size()) {
        wrong_ = true;
        number = 0;
      }
      plan_ = &plans_[number];
      continue;
    }
    const Side from = side_ == initiator ? acceptor : initiator;
    wrong_ |= byte != byte_of(plan_->number, from, received_++);
  }
}

uint64_t Talk::writable(Instant now) const {
  if (plan_ == nullptr) return 0;
  const SidePlan& plan = own();
  if (plan.bytes_per_s == 0) return plan.send_bytes;
  const uint64_t frames = 1 + now.since(start_) * 30 / ns_per_s;
  return std::min(plan.send_bytes, frames * (plan.bytes_per_s / 30 + name_bytes));
}

void Talk::fill(uint64_t position, MutableBytes out) const {
  for (size_t i = 0; i < out.size(); ++i) out[i] = byte_of(plan_->number, side_, position + i);
}

std::string Talk::verdict() const {
  if (wrong_) return "wrong bytes";
  if (!closed_) return "it never ended";
  if (plan_ == nullptr) return {};
  const uint64_t wanted = plan_->sides[side_ == initiator ? acceptor : initiator].send_bytes;
  if (received_ > wanted) return "more bytes than were sent";
  if (plan_->closes_early()) return {};
  if (received_ != wanted) {
    return std::to_string(received_) + " of " + std::to_string(wanted) + " bytes, ended with " +
           std::to_string(static_cast<int>(*closed_));
  }
  if (!ended_) return "the end was not told";
  return *closed_ == EndReason::ours ? "" : "ended with " + std::to_string(int(*closed_));
}

// StackHost -------------------------------------------------------------------------------------

StackHost::StackHost(const StackHostOptions& options, const std::vector<Plan>& plans, uint64_t seed)
    : options_(options), plans_(plans), prng_(seed), stack_(options_.stack) {
  if (!stack_.listen(options_.port)) broken_ = "no port";
}

void StackHost::connect(const Plan& plan, Instant now) {
  talks_.emplace_back(plans_, initiator, &plan, now);
  const auto id = stack_.connect({plan.v6 ? options_.peer6 : options_.peer, options_.port}, now);
  if (!id) {
    broken_ = "no place for a connection";
    return;
  }
  open_.push_back({.id = *id, .talk = &talks_.back()});
}

StackHost::Open* StackHost::find(ConnectionId id) {
  const auto found =
      std::find_if(open_.begin(), open_.end(), [&](const Open& open) { return open.id == id; });
  return found == open_.end() ? nullptr : &*found;
}

void StackHost::give_back() {
  std::array<PacketToken, 64> room;
  for (bool more = true; more;) {
    const auto tokens = stack_.take_released(room);
    for (const PacketToken token : tokens) {
      if (lent_.erase(token.value) != 1) broken_ = "a token came back twice";
    }
    more = tokens.size() == room.size();
  }
  const size_t most = options_.stack.held_packets_max + passing_packets;
  if (lent_.size() > most) broken_ = "more packets held than may be";
}

void StackHost::forget(Open& open, bool all) {
  while (!open.kept.empty() &&
         (all || open.kept_from + open.kept.front().size <= open.reported_sent)) {
    // Whoever looks at it now sends what is wrong.
    std::fill_n(open.kept.front().bytes.get(), open.kept.front().size, uint8_t{0xee});
    open.kept_from += open.kept.front().size;
    open.kept.pop_front();
  }
}

void StackHost::take_events(Instant now) {
  std::array<StackEvent, 16> room;
  // Not always all at once: an engine has a worker to serve.
  for (uint64_t rounds = 1 + prng_.below(20); rounds > 0; --rounds) {
    const auto events = stack_.events(room);
    for (const StackEvent& event : events) {
      if (event.kind == StackEventKind::accepted) {
        talks_.emplace_back(plans_, acceptor, nullptr, now);
        open_.push_back({.id = event.id, .talk = &talks_.back()});
      }
      Open* open = find(event.id);
      if (open == nullptr) {
        broken_ = "an event of nobody";
        return;
      }
      Talk& talk = *open->talk;
      switch (event.kind) {
        case StackEventKind::accepted:
        case StackEventKind::connected:
          if (talk.connected_) broken_ = "connected twice";
          talk.connected_ = true;
          break;
        case StackEventKind::received:
          if (!talk.reading_) broken_ = "bytes without credit";
          talk.received(event.bytes);
          break;
        case StackEventKind::ended:
          talk.ended_ = true;
          break;
        case StackEventKind::sent:
          open->reported_sent += event.sent_bytes;
          forget(*open, false);
          break;
        case StackEventKind::closed:
          talk.closed_ = event.reason;
          if (event.reason == EndReason::ours && talk.plan() != nullptr &&
              !talk.plan()->closes_early() && open->reported_sent != talk.written_) {
            broken_ = "closed without `sent` for all";
          }
          forget(*open, true);
          std::erase_if(open_, [&](const Open& other) { return other.id == event.id; });
          break;
      }
    }
    more_events_ = events.size() == room.size();
    if (!more_events_) return;
  }
}

void StackHost::write(Open& open, Instant now) {
  Talk& talk = *open.talk;
  const uint64_t allowed = talk.writable(now);
  const SidePlan& plan = talk.own();
  while (talk.written_ < allowed && talk.written_ - open.reported_sent < 4 * plan.write_bytes_max) {
    const uint64_t size = std::min(allowed - talk.written_, 1 + prng_.below(plan.write_bytes_max));
    auto bytes = std::make_unique_for_overwrite<uint8_t[]>(size);
    talk.fill(talk.written_, {bytes.get(), size});
    std::vector<Bytes> slices;
    for (uint64_t at = 0; at < size;) {
      const uint64_t part = std::min(size - at, 1 + prng_.below(prng_.chance(200) ? 300 : 9000));
      slices.push_back({bytes.get() + at, part});
      at += part;
    }
    open.kept.push_back({std::move(bytes), size});
    talk.written_ += size;
    stack_.send(open.id, slices, now);
  }
  if (talk.all_written() && !talk.finished_) {
    talk.finished_ = true;
    stack_.finish(open.id, now);
  }
}

void StackHost::use(Open& open, Instant now) {
  Talk& talk = *open.talk;
  if (talk.wants_close() || (talk.plan() == nullptr && talk.ended_)) stack_.close(open.id, now);
  if (talk.plan() == nullptr || talk.wants_close()) return;
  const SidePlan& plan = talk.own();
  if (talk.reading_ && prng_.chance(plan.pauses_per_1000)) {
    talk.reading_ = false;
    talk.read_again_at_ = now.after_ms(1 + prng_.below(500));
    stack_.set_reading(open.id, false, now);
  } else if (!talk.reading_ && talk.read_again_at_ <= now) {
    talk.reading_ = true;
    talk.read_again_at_ = Instant::never();
    stack_.set_reading(open.id, true, now);
  }
  if (plan.low_water_max > 1) {
    stack_.set_low_water(open.id, 1 + static_cast<uint32_t>(prng_.below(plan.low_water_max)));
  }
  if (!talk.finished_) write(open, now);
}

void StackHost::take_output(Instant now) {
  std::array<PacketOut, 32> room;
  for (bool more = true; more;) {
    const auto packets = stack_.output(room, now);
    for (const PacketOut& packet : packets) {
      device_.push_back({now.after_ns(options_.device_delay_ns), packet});
    }
    more = packets.size() == room.size();
  }
}

void StackHost::turn(std::vector<Frame> arrived, Instant now, std::vector<Frame>& out) {
  const uint64_t before = transmitted_;
  while (!device_.empty() && device_.front().at <= now) {
    const PacketOut& packet = device_.front().packet;
    Frame frame(packet.header.begin(), packet.header.begin() + packet.header_bytes);
    for (size_t i = 0; i < packet.slice_count; ++i) {
      frame.insert(frame.end(), packet.slices[i].begin(), packet.slices[i].end());
    }
    out.push_back(std::move(frame));
    ++transmitted_;
    device_.pop_front();
  }
  if (transmitted_ != before) stack_.transmitted(transmitted_);
  give_back();
  std::vector<PacketIn> packets;
  for (Frame& frame : arrived) {
    const uintptr_t token = next_token_++;
    const Frame& kept = lent_[token] = std::move(frame);
    packets.push_back({.bytes = kept, .token = {token}});
  }
  stack_.input(packets, now);
  stack_.expire(now);
  take_events(now);
  for (Open& open : open_) use(open, now);
  take_output(now);
  give_back();
}

Instant StackHost::wake_at(Instant now) const {
  Instant at = more_events_ ? now : stack_.deadline();
  if (!device_.empty()) at = std::min(at, device_.front().at);
  for (const Open& open : open_) {
    const Talk& talk = *open.talk;
    at = std::min(at, talk.read_again_at_);
    if (talk.plan() == nullptr) continue;
    const SidePlan& plan = talk.own();
    if (plan.low_water_max > 1) at = std::min(at, now.after_ms(100));
    if (plan.bytes_per_s != 0 && !talk.all_written()) at = std::min(at, now.after_ms(5));
  }
  return at;
}

bool StackHost::quiet() const { return open_.empty() && lent_.empty() && device_.empty(); }

// The clock -------------------------------------------------------------------------------------

std::string run_network(NetworkHost& left, NetworkHost& right, Wire& there, Wire& back,
                        const std::vector<Plan>& plans, uint64_t limit_ns, bool trace) {
  // A day of uptime: nothing may depend on a clock that begins at 0.
  const Instant start{24 * 3600 * ns_per_s};
  const Instant end = start.after_ns(limit_ns);
  Instant now = start;
  size_t begun = 0;
  std::vector<Frame> out;
  while (now < end) {
    while (begun < plans.size() && start.after_ns(plans[begun].begins_ns) <= now) {
      (plans[begun].from_left ? left : right).connect(plans[begun], now);
      ++begun;
    }
    left.turn(back.take(now), now, out);
    for (Frame& frame : out) {
      if (trace) show("left ", frame, now);
      there.put(std::move(frame), now);
    }
    out.clear();
    right.turn(there.take(now), now, out);
    for (Frame& frame : out) {
      if (trace) show("right", frame, now);
      back.put(std::move(frame), now);
    }
    out.clear();
    for (NetworkHost* host : {&left, &right}) {
      if (!host->broken().empty()) return host->broken();
    }
    const bool over = begun == plans.size() && left.quiet() && right.quiet() &&
                      there.next() == Instant::never() && back.next() == Instant::never();
    if (over) break;
    Instant next = std::min({left.wake_at(now), right.wake_at(now), there.next(), back.next()});
    if (begun < plans.size()) next = std::min(next, start.after_ns(plans[begun].begins_ns));
    if (next == Instant::never()) break;
    // A loop that polls comes round every 50 us at the least: that is what makes batches.
    now = std::max(next, now.after_ns(50 * ns_per_us));
  }
  for (const NetworkHost* host : {&left, &right}) {
    const char* name = host == &left ? "left" : "right";
    size_t initiated = 0;
    for (const Talk& talk : host->talks_) {
      initiated += talk.side() == initiator ? 1 : 0;
      const std::string verdict = talk.verdict();
      if (verdict.empty()) continue;
      const std::string number = talk.plan() == nullptr ? "?" : std::to_string(talk.plan()->number);
      return std::string(name) + (talk.side() == initiator ? " initiator " : " acceptor ") +
             number + ": " + verdict;
    }
    const auto planned = std::count_if(plans.begin(), plans.end(), [&](const Plan& plan) {
      return plan.from_left == (host == &left);
    });
    if (initiated != static_cast<size_t>(planned)) return "not all connections were begun";
    if (!host->quiet()) return std::string(name) + " is not quiet";
  }
  return {};
}

}  // namespace penstock::engine::tcp
