#include "tests/unit/tcp/stack_pair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace penstock::engine::tcp {

bool Host::turn(Instant now, std::vector<std::vector<uint8_t>>& out) {
  bool any = false;
  std::array<PacketToken, 7> tokens;
  for (bool more = true; more;) {
    const auto back = stack_.take_released(tokens);
    for (const PacketToken token : back) {
      EXPECT_EQ(lent_.erase(token.value), 1u) << "a token came back twice";
    }
    more = back.size() == tokens.size();
  }
  std::vector<PacketIn> packets;
  for (std::vector<uint8_t>& bytes : arrived_) {
    const uintptr_t token = next_token_++;
    const auto& kept = lent_[token] = std::move(bytes);
    packets.push_back({.bytes = kept, .token = {token}});
  }
  arrived_.clear();
  any = !packets.empty();
  stack_.input(packets, now);
  for (const PacketIn& packet : stack_.exceptions()) {
    exceptions_.emplace_back(packet.bytes.begin(), packet.bytes.end());
  }
  stack_.expire(now);
  take_events(now, any);
  std::array<PacketOut, 5> room;
  for (bool more = true; more;) {
    const auto sent = stack_.output(room, now);
    for (const PacketOut& packet : sent) out.push_back(bytes_of(packet));
    packets_out_ += sent.size();
    more = sent.size() == room.size();
  }
  stack_.transmitted(packets_out_);
  any = any || !out.empty();
  return any;
}

void Host::take_events(Instant now, bool& any) {
  std::array<StackEvent, 3> room;
  for (bool more = true; more;) {
    const auto events = stack_.events(room);
    more = events.size() == room.size();
    any = any || !events.empty();
    for (const StackEvent& event : events) {
      if (event.kind == StackEventKind::accepted) {
        peers_.push_back(std::make_unique<Peer>());
        peers_.back()->id = event.id;
      }
      Peer& of = peer(event.id);
      EXPECT_FALSE(of.closed) << "an event after `closed`";
      switch (event.kind) {
        case StackEventKind::accepted:
        case StackEventKind::connected:
          of.connected = true;
          of.address = event.peer;
          of.port = event.port;
          break;
        case StackEventKind::received:
          of.received += as_text(event.bytes);
          if (echoes_) send(event.id, std::string(as_text(event.bytes)), now);
          break;
        case StackEventKind::ended:
          of.ended = true;
          break;
        case StackEventKind::sent:
          of.sent_bytes += event.sent_bytes;
          break;
        case StackEventKind::closed:
          of.closed = event.reason;
          break;
      }
    }
  }
}

ConnectionId Host::connect(const IpAddress& address, uint16_t port, Instant now) {
  const auto id = stack_.connect({address, port}, now);
  EXPECT_TRUE(id.has_value());
  adopt(id.value_or(ConnectionId{}));
  return peers_.back()->id;
}

void Host::adopt(ConnectionId id) {
  peers_.push_back(std::make_unique<Peer>());
  peers_.back()->id = id;
}

void Host::close_all(Instant now) {
  for (const auto& each : peers_) {
    if (!each->closed) stack_.close(each->id, now);
  }
}

void Host::send(ConnectionId id, std::string text, Instant now) {
  texts_.push_back(std::move(text));
  const Bytes slice = as_bytes(texts_.back());
  stack_.send(id, {&slice, 1}, now);
}

void Host::close_ended(Instant now) {
  for (const auto& each : peers_) {
    if (each->ended && !each->closed) stack_.close(each->id, now);
  }
}

Host::Peer& Host::peer(ConnectionId id) {
  const auto found = std::find_if(peers_.rbegin(), peers_.rend(),
                                  [&](const auto& other) { return other->id == id; });
  EXPECT_NE(found, peers_.rend()) << "an event of nobody";
  return **found;
}

bool StackPair::turn() {
  std::vector<std::vector<uint8_t>> from_left;
  std::vector<std::vector<uint8_t>> from_right;
  bool any = left_.turn(now_, from_left);
  any = right_.turn(now_, from_right) || any;
  for (auto& bytes : from_left) {
    if (!passes_ || passes_(true, bytes)) right_.arrive(std::move(bytes));
  }
  for (auto& bytes : from_right) {
    if (!passes_ || passes_(false, bytes)) left_.arrive(std::move(bytes));
  }
  return any;
}

void StackPair::run(uint64_t ns) {
  const Instant end = now_.after_ns(ns);
  for (uint64_t turns = 0; now_ < end; ++turns) {
    ASSERT_LT(turns, 1'000'000u) << "it does not come to rest";
    if (turn()) {
      now_ = now_.after_ns(delay_ns_);
      continue;
    }
    const Instant next = std::min(left_.stack_.deadline(), right_.stack_.deadline());
    now_ = std::min(end, std::max(next, now_.after_ns(1)));
  }
  turn();
}

}  // namespace penstock::engine::tcp
