#include "penstock/rtmp/aggregate.h"

#include <gtest/gtest.h>

#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

using test::Octets;

struct Part {
  uint8_t type;
  uint32_t timestamp;
  Octets payload;
  bool operator==(const Part&) const = default;
};

struct Split {
  std::vector<Part> parts;
  int faults = 0;
};

Split split(const Octets& body, uint32_t timestamp, size_t run_bytes) {
  AggregateReader reader(static_cast<uint32_t>(body.size()), timestamp);
  Split result;
  Octets payload;
  for (size_t at = 0; at < body.size(); at += run_bytes) {
    const Octets run = test::octets(Bytes(body).subspan(at, std::min(run_bytes, body.size() - at)));
    reader.feed(run);
    for (;;) {
      const auto piece = reader.next();
      if (!piece) {
        EXPECT_EQ(piece.error(), Fault::aggregate_malformed);
        ++result.faults;
        continue;
      }
      if (!*piece) break;
      EXPECT_EQ((*piece)->offset, payload.size());
      test::append(payload, (*piece)->bytes);
      if (payload.size() < (*piece)->message_bytes) continue;
      result.parts.push_back(
          {(*piece)->message_type, (*piece)->timestamp, std::exchange(payload, {})});
    }
  }
  EXPECT_TRUE(payload.empty()) << "a message that cannot be completed has not begun";
  return result;
}

TEST(AggregateReader, vector_comes_apart_at_every_cut) {
  const auto json = test::load_vectors("flv_ertmp.json", "aggregate");
  const Octets body = test::from_hex(json["hex"].get<std::string>());
  std::vector<Part> expected;
  for (const auto& one : json["expect"]) {
    expected.push_back(
        {one["type"], one["timestamp"], test::from_hex(one["payload"].get<std::string>())});
  }
  for (size_t run_bytes = 1; run_bytes <= body.size(); ++run_bytes) {
    const Split result = split(body, json["message_timestamp"], run_bytes);
    EXPECT_EQ(result.parts, expected) << run_bytes;
    EXPECT_EQ(result.faults, 0);
  }
}

TEST(AggregateReader, last_back_pointer_may_be_missing_and_any_other_cut_drops_the_rest) {
  const auto json = test::load_vectors("flv_ertmp.json", "aggregate");
  const Octets whole = test::from_hex(json["hex"].get<std::string>());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const Octets body(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
    const size_t tags = bytes >= 54 ? 3 : bytes >= 35 ? 2 : bytes >= 15 ? 1 : 0;
    const bool cut_in_back_pointer =
        (bytes >= 15 && bytes <= 19) || (bytes >= 35 && bytes <= 39) || bytes >= 54;
    for (const size_t run_bytes : {size_t{1}, size_t{5}, whole.size()}) {
      const Split result = split(body, 5000, run_bytes);
      EXPECT_EQ(result.parts.size(), tags) << bytes;
      EXPECT_EQ(result.faults, cut_in_back_pointer || bytes == 0 ? 0 : 1) << bytes;
    }
  }
}

TEST(Aggregate, what_is_written_reads_back) {
  const Part parts[] = {{9, 0xFFFFFFF0, Octets(300, 1)}, {8, 5, {}}, {18, 0x1000000, Octets(7, 2)}};
  Octets body;
  for (const Part& part : parts) {
    const auto bytes = static_cast<uint32_t>(part.payload.size());
    test::append(body, aggregate_header(part.type, bytes, part.timestamp));
    test::append(body, part.payload);
    test::append(body, aggregate_back_pointer(bytes));
  }
  const Split read = split(body, parts[0].timestamp, 50);
  EXPECT_EQ(read.parts, std::vector<Part>(std::begin(parts), std::end(parts)));
  EXPECT_EQ(read.faults, 0);
}

TEST(AggregateReader, timestamps_move_so_that_the_first_has_the_aggregates_and_wrap) {
  // Tags at 0xFFFFFFF0 (its upper byte last) and 0x10.
  const Octets body = test::from_hex(
      "08000000 fffff0ff 000000 0000000b"
      "08000000 00001000 000000 0000000b");
  EXPECT_EQ(split(body, 5, 1).parts, (std::vector<Part>{{8, 5, {}}, {8, 5 + 0x20, {}}}));
}

}  // namespace
}  // namespace penstock::rtmp
