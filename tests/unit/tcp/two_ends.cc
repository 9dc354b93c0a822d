#include "tests/unit/tcp/two_ends.h"

#include <algorithm>

namespace penstock::engine::tcp {
namespace {

constexpr uint64_t header_bytes = 66;  // Ethernet, IPv4, TCP and timestamps: what a rate counts

}  // namespace

StackOptions small_stack() {
  StackOptions options;
  options.connections_max = 1;
  options.sent_segments_max = 8192;
  options.held_packets_max = 512;
  options.receive_blocks = 256;
  return options;
}

End::End(const EndOptions& options, uint64_t seed)
    : options_(options), parts_(options_.stack, counters_), prng_(seed) {
  own_first_ = static_cast<uint32_t>(prng_.next());
  // Numbers that wrap soon are what is worth testing.
  if (prng_.chance(500)) own_first_ |= 0xffff0000;
}

void End::open(bool active, Instant now) {
  start_ = now;
  if (!active) return;
  opened_ = true;
  connection_.open_active(parts_,
                          {.own_first = own_first_,
                           .segment_bytes_max = 1460,
                           .timestamp_offset = static_cast<uint32_t>(prng_.next())},
                          now);
}

/// What the half-open table of a stack does, for one peer.
void End::handshake(const SegmentIn& segment, Instant now) {
  if (segment.has(flag::syn)) {
    const bool scaled =
        options_.scaling && segment.options.window_scale != TcpOptions::no_window_scale;
    scale_ = scaled ? segment.options.window_scale : 0;
    syn_seen_ = true;
    syn_ = segment;
    syn_.payload = {};
    syn_ack_at_ = now;
    return;
  }
  if (!syn_seen_ || !segment.has(flag::ack) || segment.acknowledgment != own_first_ + 1) return;
  syn_ack_at_ = Instant::never();
  const TcpOptions& asked = syn_.options;
  opened_ = true;
  const bool scaling = options_.scaling && asked.window_scale != TcpOptions::no_window_scale;
  connection_.open_passive(
      parts_,
      {.own_first = own_first_,
       .peer_first = syn_.sequence,
       .peer_window = syn_.window,
       .negotiated = {.segment_bytes_max = std::min<uint16_t>(asked.segment_bytes_max, 1460),
                      .window_scaling = scaling,
                      .peer_window_scale = asked.window_scale,
                      .own_window_scale = window_scale_for(options_.stack.receive_window_max),
                      .sack = options_.sack && asked.sack_permitted,
                      .timestamps = options_.timestamps && asked.has_timestamps,
                      .ecn = options_.stack.ecn && syn_.has(flag::ece | flag::cwr)},
       .timestamp_recent = asked.timestamp},
      now);
}

void End::note_window(const SegmentIn& segment) {
  if (segment.has(flag::syn)) {
    const bool scaling = segment.options.window_scale != TcpOptions::no_window_scale;
    scale_ = scaling ? segment.options.window_scale : 0;
  }
  if (!segment.has(flag::ack)) return;
  const uint32_t window =
      segment.has(flag::syn) ? segment.window : uint32_t{segment.window} << scale_;
  const uint32_t edge = segment.acknowledgment + window;
  if (!edge_known_ || after(edge, edge_)) edge_ = edge;
  edge_known_ = true;
}

/// Nothing beyond the window, and of SACK only the first may tell of what was acknowledged.
void End::check_segment(const SegmentOut& segment, size_t bytes) {
  const uint32_t end = segment.sequence + static_cast<uint32_t>(bytes);
  if (bytes > 0 && edge_known_ && after(end, edge_)) wrong_segment_ = "beyond the window";
  const TcpOptions& options = segment.options;
  for (size_t i = 0; i < options.sack_count; ++i) {
    const SequenceRange& range = options.sacks[i];
    const bool below = at_or_before(range.begin, segment.acknowledgment);
    if (!before(range.begin, range.end)) wrong_segment_ = "an empty range";
    if (i > 0 && below) wrong_segment_ = "a range that is acknowledged";
  }
  if ((segment.flags & flag::ack) != 0 && bytes > 1460) wrong_segment_ = "too long";
}

void End::emit(const SegmentOut& segment) {
  Packet packet;
  SegmentIn& in = packet.segment;
  in.sequence = segment.sequence;
  in.acknowledgment = segment.acknowledgment;
  in.window = segment.window;
  in.flags = segment.flags;
  in.ecn = segment.ecn;
  in.options = segment.options;
  for (size_t i = 0; i < segment.slice_count; ++i) {
    const Bytes slice = segment.slices[i];
    packet.bytes.insert(packet.bytes.end(), slice.begin(), slice.end());
  }
  check_segment(segment, packet.bytes.size());
  out_.push_back(std::move(packet));
  ++segments_out_;
}

void End::answer_late(const SegmentIn& segment) {
  // An ACK is not answered by another: both ends may be here.
  if (!time_wait_ || segment.has(flag::rst) || segment.sequence_bytes() == 0) return;
  SegmentOut out;
  out.sequence = time_wait_->send_next;
  out.acknowledgment = time_wait_->receive_next;
  out.window = time_wait_->window;
  out.flags = flag::ack;
  if (time_wait_->timestamps) {
    out.options.has_timestamps = true;
    out.options.timestamp = segment.options.timestamp_echo;
    out.options.timestamp_echo = segment.options.timestamp;
  }
  emit(out);
}

void End::take_input(std::vector<std::unique_ptr<Packet>> arrived, Instant now) {
  parts_.memory.recycle();
  for (std::unique_ptr<Packet>& packet : arrived) {
    ++segments_in_;
    packet->segment.payload = packet->bytes;
    packet->segment.token = {reinterpret_cast<uintptr_t>(packet.get())};
    if (!opened_) {
      handshake(packet->segment, now);
      if (!opened_) continue;
    }
    if (connection_.gone()) {
      answer_late(packet->segment);
      continue;
    }
    const SegmentIn& segment = packet->segment;
    note_window(segment);
    if (connection_.receive(segment, now)) lent_[segment.token.value] = std::move(packet);
    if (connection_.gone()) time_wait_ = connection_.time_wait();
  }
  held_max_ = std::max<uint64_t>(held_max_, lent_.size());
}

void End::give_back() {
  PacketToken room[64];
  for (;;) {
    const auto tokens = parts_.memory.released().take(room);
    for (const PacketToken token : tokens) wrong_bytes_ |= lent_.erase(token.value) != 1;
    if (tokens.size() < std::size(room)) return;
  }
}

void End::take_events(Instant now) {
  StackEvent event;
  while (opened_ && connection_.next_event(event, now)) {
    switch (event.kind) {
      case StackEventKind::accepted:
      case StackEventKind::connected:
        connected_ = true;
        break;
      case StackEventKind::received:
        ++received_events_;
        for (const uint8_t byte : event.bytes) wrong_bytes_ |= byte != pattern_at(received_++);
        break;
      case StackEventKind::ended:
        ended_ = true;
        break;
      case StackEventKind::sent:
        reported_sent_ += event.sent_bytes;
        break;
      case StackEventKind::closed:
        wrong_bytes_ |= closed_;
        closed_ = true;
        closed_at_ = now;
        reason_ = event.reason;
        break;
    }
  }
  while (!kept_.empty() && (kept_from_ + kept_.front().size <= reported_sent_ || closed_)) {
    // Whoever looks at it now sees it.
    std::fill_n(kept_.front().bytes.get(), kept_.front().size, uint8_t{0xee});
    kept_from_ += kept_.front().size;
    kept_.pop_front();
  }
}

void End::write(Instant now) {
  if (!opened_ || closed_) return;
  uint64_t allowed = options_.send_bytes;
  if (options_.bytes_per_s != 0) {
    // Frames of an encoder: 30 a second.
    const uint64_t frames = now.since(start_) * 30 / ns_per_s;
    allowed = std::min(allowed, frames * (options_.bytes_per_s / 30));
  }
  while (written_ < allowed &&
         (options_.bytes_per_s != 0 || written_ - reported_sent_ < 4 * options_.write_bytes_max)) {
    const uint64_t size = std::min(allowed - written_, 1 + prng_.below(options_.write_bytes_max));
    auto bytes = std::make_unique_for_overwrite<uint8_t[]>(size);
    for (uint64_t i = 0; i < size; ++i) bytes[i] = pattern_at(written_ + i);
    std::vector<Bytes> slices;
    for (uint64_t at = 0; at < size;) {
      const uint64_t part = std::min(size - at, 1 + prng_.below(prng_.chance(200) ? 300 : 9000));
      slices.push_back({bytes.get() + at, part});
      at += part;
    }
    kept_.push_back({std::move(bytes), size});
    written_ += size;
    connection_.send(slices, now);
  }
  backlog_max_ = std::max(backlog_max_, written_ - reported_sent_);
  if (written_ == options_.send_bytes && options_.ends && !finished_) {
    finished_ = true;
    connection_.finish(now);
  }
}

void End::send_out(Instant now) {
  if (syn_ack_at_ <= now && !opened_) {
    const bool scaling =
        options_.scaling && syn_.options.window_scale != TcpOptions::no_window_scale;
    SegmentOut out;
    out.sequence = own_first_;
    out.acknowledgment = syn_.sequence + 1;
    out.window = static_cast<uint16_t>(first_window_bytes);
    out.flags = flag::syn | flag::ack;
    if (options_.stack.ecn && syn_.has(flag::ece | flag::cwr)) out.flags |= flag::ece;
    out.options.segment_bytes_max = 1460;
    if (scaling) out.options.window_scale = window_scale_for(options_.stack.receive_window_max);
    out.options.sack_permitted = options_.sack && syn_.options.sack_permitted;
    if (options_.timestamps && syn_.options.has_timestamps) {
      out.options.has_timestamps = true;
      out.options.timestamp = static_cast<uint32_t>(now.ns / ns_per_ms);
      out.options.timestamp_echo = syn_.options.timestamp;
    }
    emit(out);
    syn_ack_at_ = now.after_ns(ns_per_s);
  }
  if (parts_.records.left() > 0) connection_.feed();
  SegmentOut out;
  while (opened_ && connection_.wants_output() && connection_.transmit(out, now)) {
    emit(out);
    ++parts_.packets_out;
    in_device_.emplace_back(now.after_ns(options_.device_delay_ns), parts_.packets_out);
  }
}

void End::turn(std::vector<std::unique_ptr<Packet>> arrived, Instant now) {
  give_back();
  while (!in_device_.empty() && in_device_.front().first <= now) {
    parts_.packets_transmitted = in_device_.front().second;
    in_device_.pop_front();
  }
  take_input(std::move(arrived), now);
  if (opened_ && connection_.deadline() <= now) connection_.expire(now);
  if (opened_ && connection_.gone() && !time_wait_) time_wait_ = connection_.time_wait();
  take_events(now);
  if (opened_ && !closed_) {
    if (close_when_received_ && received_ > 0) {
      close_when_received_ = false;
      connection_.close(now);
    }
    if (reading_ && prng_.chance(options_.pauses_per_1000)) {
      reading_ = false;
      read_again_at_ = now.after_ms(1 + prng_.below(500));
      connection_.set_reading(false, now);
    } else if (!reading_ && read_again_at_ <= now) {
      reading_ = true;
      read_again_at_ = Instant::never();
      connection_.set_reading(true, now);
    }
    if (options_.low_water_max > 1) {
      connection_.set_low_water(1 + static_cast<uint32_t>(prng_.below(options_.low_water_max)));
    }
  }
  write(now);
  send_out(now);
}

Instant End::wake_at(Instant now) const {
  Instant at = std::min(syn_ack_at_, read_again_at_);
  if (closed_) at = Instant::never();
  if (!in_device_.empty()) at = std::min(at, in_device_.front().first);
  if (opened_) {
    at = std::min(at, connection_.deadline());
    if (connection_.has_event()) at = now;
    if (options_.low_water_max > 1 && !closed_) at = std::min(at, now.after_ms(100));
    if (options_.bytes_per_s != 0 && written_ < options_.send_bytes && !closed_) {
      at = std::min(at, now.after_ms(5));
    }
  }
  return at;
}

std::string End::leaks() {
  parts_.memory.recycle();
  give_back();
  std::string found;
  const auto check = [&](const char* what, uint64_t left) {
    if (left != 0) found += std::string(what) + ": " + std::to_string(left) + "; ";
  };
  check("packets", lent_.size());
  check("held", parts_.memory.packets_held());
  check("blocks", parts_.memory.blocks_used());
  check("records", parts_.records.in_use());
  check("send blocks", parts_.blocks.in_use());
  return found;
}

TwoEnds::TwoEnds(uint64_t seed, const EndOptions& active, const EndOptions& passive,
                 const LinkOptions& there, const LinkOptions& back, bool simultaneous)
    : active_(active, seed * 3), passive_(passive, seed * 3 + 1), prng_(seed * 3 + 2) {
  there_.options = there;
  back_.options = back;
  active_.open(true, now_);
  passive_.open(simultaneous, now_);
}

void TwoEnds::put(Link& link, std::vector<Packet>& packets) {
  const LinkOptions& options = link.options;
  for (Packet& packet : packets) {
    if (prng_.below(10000) < options.loss_per_10000) {
      ++lost_;
      continue;
    }
    Instant at = now_;
    if (options.bytes_per_s != 0) {
      const Instant begin = std::max(link.free_at, now_);
      const uint64_t queued = begin.since(now_) * options.bytes_per_s / ns_per_s;
      if (queued > options.queue_bytes) {
        ++lost_;
        continue;
      }
      if (queued > options.mark_above_bytes && packet.segment.ecn != Ecn::not_capable) {
        packet.segment.ecn = Ecn::experienced;
      }
      link.free_at =
          begin.after_ns((packet.bytes.size() + header_bytes) * ns_per_s / options.bytes_per_s);
      at = link.free_at;
    }
    const int copies = prng_.below(10000) < options.duplicates_per_10000 ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
      const uint64_t jitter = options.jitter_ns == 0 ? 0 : prng_.below(options.jitter_ns);
      link.flying.emplace(at.after_ns(options.delay_ns + jitter), std::make_unique<Packet>(packet));
    }
  }
  packets.clear();
}

std::vector<std::unique_ptr<Packet>> TwoEnds::arrived(Link& link) const {
  std::vector<std::unique_ptr<Packet>> packets;
  while (!link.flying.empty() && link.flying.begin()->first <= now_) {
    packets.push_back(std::move(link.flying.begin()->second));
    link.flying.erase(link.flying.begin());
  }
  return packets;
}

bool TwoEnds::step() {
  passive_.turn(arrived(there_), now_);
  put(back_, passive_.out_);
  active_.turn(arrived(back_), now_);
  put(there_, active_.out_);
  Instant next = std::min(active_.wake_at(now_), passive_.wake_at(now_));
  if (!there_.flying.empty()) next = std::min(next, there_.flying.begin()->first);
  if (!back_.flying.empty()) next = std::min(next, back_.flying.begin()->first);
  if (next == Instant::never()) return false;
  // A loop that polls comes round every 50 us at the least: that is what makes batches.
  now_ = std::max(next, now_.after_ns(50 * ns_per_us));
  return true;
}

bool TwoEnds::run(uint64_t limit_ns) {
  return run_until(
      [&] {
        return active_.through() && passive_.through() && there_.flying.empty() &&
               back_.flying.empty();
      },
      limit_ns);
}

}  // namespace penstock::engine::tcp
