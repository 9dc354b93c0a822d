// What a publisher's bytes cost between the socket and the owner: through the chunk reader alone,
// and through a session.
//
// The stream is 73 messages/s, 30 of video and 43 of audio, at about 1 Mbit/s (a 1 s run is 125
// KB), read in runs of 16 KiB as a receive slab has them. Items are messages.

#include <benchmark/benchmark.h>

#include <vector>

#include "penstock/amf/amf0.h"
#include "penstock/base/assert.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/initiator.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/session.h"
#include "penstock/rtmp/wire.h"

namespace {

using namespace penstock;
using namespace penstock::rtmp;

constexpr size_t run_bytes = 16 * 1024;
constexpr uint32_t video_bytes = 3'600;
constexpr uint32_t audio_bytes = 370;
constexpr int64_t messages_per_second = 73;

void add(std::vector<uint8_t>& stream, uint32_t chunk_bytes, const WireHeader& header) {
  const std::vector<uint8_t> payload(header.message_bytes, 0x5A);
  const size_t at = stream.size();
  stream.resize(at + wire_bytes(header, chunk_bytes));
  wire_write(stream.data() + at, header, chunk_bytes, 0, payload);
}

/// One second of a stream.
std::vector<uint8_t> second_of_media(uint32_t chunk_bytes) {
  std::vector<uint8_t> stream;
  uint32_t audio = 0;
  for (uint32_t video = 0; video < 30; ++video) {
    add(stream, chunk_bytes,
        {.chunk_stream_id = 6,
         .message_type = 9,
         .timestamp = video * 33,
         .message_bytes = video_bytes,
         .message_stream_id = 1});
    for (; audio * 30 < (video + 1) * 43; ++audio) {
      add(stream, chunk_bytes,
          {.chunk_stream_id = 4,
           .message_type = 8,
           .timestamp = audio * 23,
           .message_bytes = audio_bytes,
           .message_stream_id = 1});
    }
  }
  return stream;
}

size_t chunks_of(uint32_t message_bytes, uint32_t chunk_bytes) {
  return (message_bytes + chunk_bytes - 1) / chunk_bytes;
}

void report(benchmark::State& state, size_t stream_bytes) {
  const auto chunk_bytes = static_cast<uint32_t>(state.range(0));
  const size_t chunks =
      30 * chunks_of(video_bytes, chunk_bytes) + 43 * chunks_of(audio_bytes, chunk_bytes);
  state.counters["per_chunk"] = benchmark::Counter(
      static_cast<double>(chunks),
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.SetItemsProcessed(state.iterations() * messages_per_second);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(stream_bytes));
}

void read_chunks(benchmark::State& state) {
  const auto chunk_bytes = static_cast<uint32_t>(state.range(0));
  const std::vector<uint8_t> stream = second_of_media(chunk_bytes);
  ChunkReader reader;
  PENSTOCK_ASSERT(reader.set_chunk_size(chunk_bytes));
  uint64_t payload = 0;
  for (auto _ : state) {
    for (Bytes left = stream; !left.empty();) {
      const Bytes run = left.first(std::min(run_bytes, left.size()));
      left = left.subspan(run.size());
      reader.feed(run);
      for (;;) {
        const auto piece = reader.next();
        PENSTOCK_ASSERT(piece.has_value());
        if (!*piece) break;
        payload += (*piece)->bytes.size();
      }
    }
  }
  benchmark::DoNotOptimize(payload);
  report(state, stream.size());
}
BENCHMARK(read_chunks)->Arg(128)->Arg(4096)->Arg(65536);

void pull(Session& session, uint64_t& payload) {
  for (;;) {
    const auto event = session.next();
    PENSTOCK_ASSERT(event.has_value());
    if (std::holds_alternative<NeedInput>(*event)) return;
    if (const auto* piece = std::get_if<MediaPiece>(&*event)) payload += piece->bytes.size();
    if (const auto* asked = std::get_if<PublishAsked>(&*event)) {
      session.answer_publish(asked->message_stream_id, {});
    }
  }
}

/// Both sides talk until the initiator publishes.
void begin_publish(Session& session, Initiator& initiator) {
  uint64_t payload = 0;
  while (!initiator.started()) {
    const std::vector<uint8_t> up = initiator.outbox().take();
    session.feed(up, Instant{1});
    pull(session, payload);
    const std::vector<uint8_t> down = session.outbox().take();
    initiator.feed(down);
    for (;;) {
      const auto event = initiator.next();
      PENSTOCK_ASSERT(event.has_value());
      if (std::holds_alternative<InputUsed>(*event)) break;
    }
  }
}

void read_session(benchmark::State& state) {
  const auto chunk_bytes = static_cast<uint32_t>(state.range(0));
  const std::vector<uint8_t> stream = second_of_media(chunk_bytes);
  const SessionSettings settings;
  Session session(settings, 1, Instant{1});
  Initiator initiator(
      {.app = "live", .name = "cam", .tc_url = "rtmp://h/live", .chunk_bytes = chunk_bytes}, 1);
  begin_publish(session, initiator);
  uint64_t payload = 0;
  uint64_t second = 0;
  for (auto _ : state) {
    ++second;
    for (Bytes left = stream; !left.empty();) {
      const Bytes run = left.first(std::min(run_bytes, left.size()));
      left = left.subspan(run.size());
      session.feed(run, Instant{second * ns_per_s});
      pull(session, payload);
    }
    benchmark::DoNotOptimize(session.outbox().take());
  }
  benchmark::DoNotOptimize(payload);
  report(state, stream.size());
}
BENCHMARK(read_session)->Arg(128)->Arg(4096)->Arg(65536);

}  // namespace

BENCHMARK_MAIN();
