#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "dataplane/frame.h"
#include "penstock/base/limits.h"

// What relaying by copy costs and what it saves (dataplane/README.md, "Decisions"): a message of
// 1712 bytes, the average of a 1 Mbit/s camera, is copied into a frame once, and then sent to each
// subscriber; or it stays where it was received, and each send has a slice for the header and one
// or two for the payload.
namespace penstock::dataplane {
namespace {

constexpr size_t message_bytes = 1712;
constexpr size_t messages_per_send = 4;
constexpr size_t arena_bytes = 64 << 20;

rtmp::WireHeader header() {
  return {.chunk_stream_id = 7,
          .message_type = 9,
          .timestamp = 1000,
          .message_bytes = message_bytes,
          .message_stream_id = 1};
}

void copy_into_a_frame(benchmark::State& state) {
  const std::unique_ptr<uint8_t, decltype(&std::free)> arena{
      static_cast<uint8_t*>(std::aligned_alloc(block_bytes_min, arena_bytes)), &std::free};
  FramePool pool(MutableBytes{arena.get(), arena_bytes});
  FrameLog log;
  // As large as what 1000 connections have in flight, so that the source is not always in the
  // nearest cache.
  std::vector<uint8_t> received(message_bytes * 1024, 7);
  size_t at = 0;
  for (auto _ : state) {
    Frame* frame = log.begin(pool, header(), chunk_bytes_out);
    rtmp::wire_write(frame->bytes, header(), chunk_bytes_out, 0,
                     {received.data() + at, message_bytes});
    benchmark::DoNotOptimize(frame->bytes);
    pool.release(frame);
    at = (at + message_bytes) % received.size();
  }
  log.clear(pool);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * message_bytes));
}
BENCHMARK(copy_into_a_frame);

struct Connection {
  int from = -1;
  int to = -1;
};

Connection connect_on_loopback() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  Connection made;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::abort();
  }
  made.from = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(made.from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(made.from, reinterpret_cast<sockaddr*>(&address), length) != 0) std::abort();
  made.to = accept(listener, nullptr, nullptr);
  close(listener);
  return made;
}

/// One send of four messages to one subscriber, and the subscriber's read without a copy, so that
/// the sender's side shows.
void send_slices(benchmark::State& state) {
  const auto slices_per_message = static_cast<size_t>(state.range(0));  // 0: the whole send is one
  const Connection connection = connect_on_loopback();
  std::vector<uint8_t> bytes((message_bytes + 12) * messages_per_send, 7);
  std::vector<iovec> slices;
  for (size_t message = 0; message < messages_per_send && slices_per_message > 0; ++message) {
    uint8_t* at = bytes.data() + message * (message_bytes + 12);
    slices.push_back({at, 12});
    const size_t pieces = slices_per_message - 1;
    for (size_t piece = 0; piece < pieces; ++piece) {
      slices.push_back({at + 12 + piece * (message_bytes / pieces), message_bytes / pieces});
    }
  }
  if (slices.empty()) slices.push_back({bytes.data(), bytes.size()});
  for (auto _ : state) {
    msghdr message{};
    message.msg_iov = slices.data();
    message.msg_iovlen = slices.size();
    const ssize_t sent = sendmsg(connection.from, &message, MSG_NOSIGNAL);
    for (ssize_t got = 0; got < sent;) {
      const ssize_t count = recv(connection.to, nullptr, 1 << 20, MSG_TRUNC);
      if (count <= 0) std::abort();
      got += count;
    }
  }
  close(connection.from);
  close(connection.to);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(send_slices)->ArgName("slices_per_message")->Arg(0)->Arg(2)->Arg(3);

}  // namespace
}  // namespace penstock::dataplane

BENCHMARK_MAIN();
