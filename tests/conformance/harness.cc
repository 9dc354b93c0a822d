#include "tests/conformance/harness.h"

#include <algorithm>

#include "penstock/base/prng.h"

namespace penstock::conformance {

using engine::EngineEvent;
using engine::EngineEventKind;

size_t Harness::poll(uint64_t wait_ms) {
  ++polls_;
  const auto got = engine().poll(events_, world_->now().after_ms(wait_ms));
  EXPECT_LE(got.size(), events_.size());
  for (const EngineEvent& event : got) record(event);
  return got.size();
}

bool Harness::run_until(const std::function<bool()>& done, uint64_t limit_ms) {
  const Instant limit = world_->now().after_ms(limit_ms);
  while (!done()) {
    if (world_->now() >= limit) return false;
    poll(1);
  }
  return true;
}

void Harness::run_for(uint64_t ms) {
  const Instant limit = world_->now().after_ms(ms);
  while (world_->now() < limit) poll(1);
}

void Harness::record(const EngineEvent& event) {
  const std::pair key{event.id.index, event.id.generation};
  if (event.kind == EngineEventKind::accepted) {
    EXPECT_FALSE(by_id_.contains(key)) << "an id was given twice";
    Connection& connection = connections_.emplace_back();
    connection.id = event.id;
    connection.peer = event.peer;
    connection.echo = echo_all;
    by_id_[key] = &connection;
    return;
  }
  ASSERT_TRUE(by_id_.contains(key)) << "event of an id that was never accepted";
  Connection& connection = *by_id_[key];
  EXPECT_EQ(connection.closed, 0) << "event after closed";
  switch (event.kind) {
    case EngineEventKind::accepted:
      break;
    case EngineEventKind::connected:
      EXPECT_TRUE(connection.connecting) << "connected twice, or was accepted";
      connection.connecting = false;
      break;
    case EngineEventKind::received:
      EXPECT_FALSE(connection.connecting) << "received before connected";
      EXPECT_FALSE(event.bytes.empty());
      EXPECT_FALSE(connection.ended) << "received after ended";
      connection.received.insert(connection.received.end(), event.bytes.begin(), event.bytes.end());
      ++connection.receives;
      if (connection.echo) send(connection, event.bytes);
      break;
    case EngineEventKind::ended:
      EXPECT_FALSE(connection.ended) << "ended twice";
      connection.ended = true;
      break;
    case EngineEventKind::sent:
      EXPECT_FALSE(connection.connecting) << "sent before connected";
      EXPECT_GT(event.sent_bytes, 0U);
      connection.sent += event.sent_bytes;
      EXPECT_LE(connection.sent, connection.given) << "more sent than given";
      break;
    case EngineEventKind::closed:
      ++connection.closed;
      connection.reason = event.reason;
      break;
    case EngineEventKind::identified:
    case EngineEventKind::failed:
    case EngineEventKind::dropped:
      ADD_FAILURE() << "an event of layers, from an engine that has none";
      break;
  }
}

std::pair<std::unique_ptr<Peer>, Connection*> Harness::connect() {
  const size_t before = connections_.size();
  std::unique_ptr<Peer> peer = world_->connect();
  if (peer == nullptr || !run_until([&] { return connections_.size() > before; }, 2000)) {
    ADD_FAILURE() << "not accepted";
    std::abort();  // every test would go on with a null pointer
  }
  return {std::move(peer), &connections_.back()};
}

Connection* Harness::begin(const engine::Endpoint& to) {
  const auto id = engine().connect(to);
  if (!id) return nullptr;
  const std::pair key{id->index, id->generation};
  EXPECT_FALSE(by_id_.contains(key)) << "an id was given twice";
  Connection& connection = connections_.emplace_back();
  connection.id = *id;
  connection.connecting = true;
  by_id_[key] = &connection;
  return &connection;
}

std::unique_ptr<Peer> Harness::accept() {
  std::unique_ptr<Peer> peer;
  EXPECT_TRUE(run_until([&] { return (peer = world_->accept()) != nullptr; }));
  return peer;
}

void Harness::send(Connection& connection, Bytes bytes, size_t slices) {
  const auto& kept = connection.kept.emplace_back(bytes.begin(), bytes.end());
  std::vector<Bytes> parts;
  const size_t part = kept.size() / slices;
  for (size_t i = 0; i < slices; ++i) {
    parts.push_back(Bytes{kept}.subspan(i * part, i + 1 == slices ? kept.size() - i * part : part));
  }
  connection.given += kept.size();
  engine().send(connection.id, parts);
}

std::vector<uint8_t> pattern(size_t bytes, uint64_t seed) {
  std::vector<uint8_t> out(bytes);
  Prng(seed).fill(out);
  return out;
}

void Exchange::step() {
  if (written < to_write.size()) written += peer->write(Bytes{to_write}.subspan(written));
  uint8_t chunk[65536];
  while (const size_t bytes = peer->read(chunk)) got.insert(got.end(), chunk, chunk + bytes);
}

}  // namespace penstock::conformance
