// TCP options: the same as a naive reader finds, and what is written reads back the same.
//
// Input: the bytes of the options, at most 40 of which a header has; beyond them the reader is
// asked all the same.

#include <algorithm>
#include <vector>

#include "dataplane/engine/tcp/wire.h"
#include "penstock/base/assert.h"

using namespace penstock;
using namespace penstock::engine::tcp;

namespace {

/// By the letter of RFC 9293 (3.1), option after option, a copy of each.
bool naive(std::vector<uint8_t> bytes, TcpOptions& options) {
  while (!bytes.empty()) {
    if (bytes[0] == 0) return true;
    if (bytes[0] == 1) {
      bytes.erase(bytes.begin());
      continue;
    }
    if (bytes.size() < 2 || bytes[1] < 2 || bytes[1] > bytes.size()) return false;
    const std::vector<uint8_t> one(bytes.begin(), bytes.begin() + bytes[1]);
    bytes.erase(bytes.begin(), bytes.begin() + one[1]);
    const auto word = [&](size_t at) {
      return uint32_t{one[at]} << 24 | uint32_t{one[at + 1]} << 16 | uint32_t{one[at + 2]} << 8 |
             one[at + 3];
    };
    if (one[0] == 2 && one.size() == 4) {
      options.segment_bytes_max = static_cast<uint16_t>(one[2] * 256 + one[3]);
    } else if (one[0] == 3 && one.size() == 3) {
      options.window_scale = std::min<uint8_t>(one[2], 14);
    } else if (one[0] == 4 && one.size() == 2) {
      options.sack_permitted = true;
    } else if (one[0] == 5 && one.size() % 8 == 2) {
      options.sack_count = 0;
      for (size_t at = 2; at + 8 <= one.size() && options.sack_count < 4; at += 8) {
        options.sacks[options.sack_count++] = {word(at), word(at + 4)};
      }
    } else if (one[0] == 8 && one.size() == 10) {
      options.has_timestamps = true;
      options.timestamp = word(2);
      options.timestamp_echo = word(6);
    }
  }
  return true;
}

void expect_same(const TcpOptions& left, const TcpOptions& right) {
  PENSTOCK_ASSERT(left.segment_bytes_max == right.segment_bytes_max);
  PENSTOCK_ASSERT(left.window_scale == right.window_scale);
  PENSTOCK_ASSERT(left.sack_permitted == right.sack_permitted);
  PENSTOCK_ASSERT(left.has_timestamps == right.has_timestamps);
  PENSTOCK_ASSERT(left.timestamp == right.timestamp);
  PENSTOCK_ASSERT(left.timestamp_echo == right.timestamp_echo);
  PENSTOCK_ASSERT(left.sack_count == right.sack_count);
  PENSTOCK_ASSERT(
      std::equal(left.sacks.begin(), left.sacks.begin() + left.sack_count, right.sacks.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes bytes(data, std::min<size_t>(size, 255));
  TcpOptions read;
  TcpOptions expected;
  const bool good = parse_tcp_options(bytes, read);
  PENSTOCK_ASSERT(good == naive({bytes.begin(), bytes.end()}, expected));
  expect_same(read, expected);

  // A SYN has no SACK, and others have nothing but SACK and timestamps.
  for (const bool syn : {false, true}) {
    TcpOptions written = read;
    if (syn) {
      written.sack_count = 0;
    } else {
      written.segment_bytes_max = 0;
      written.window_scale = TcpOptions::no_window_scale;
      written.sack_permitted = false;
      if (written.has_timestamps) written.sack_count = std::min<uint8_t>(written.sack_count, 3);
    }
    uint8_t room[40];
    const size_t length = write_tcp_options(written, syn, room);
    PENSTOCK_ASSERT(length <= sizeof(room) && length % 4 == 0);
    TcpOptions again;
    PENSTOCK_ASSERT(parse_tcp_options({room, length}, again));
    if (!again.has_timestamps) again.timestamp = again.timestamp_echo = 0;
    if (!written.has_timestamps) written.timestamp = written.timestamp_echo = 0;
    expect_same(again, written);
  }
  return 0;
}
