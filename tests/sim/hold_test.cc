#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_record.h"
#include "dataplane/worker.h"
#include "penstock/rtmp/initiator.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/sim_engine.h"
#include "tests/sim/zeroed_memory.h"

// One worker that always takes itself for loaded: when sound waits, for what, and how long; what a
// GOP cache says that it holds; what the engine is asked to gather.
namespace penstock::sim {
namespace {

using control::Tunable;

constexpr uint32_t connections_max = 8;
constexpr uint64_t frame_memory_bytes = 64U << 20;
constexpr uint64_t hold_ms = 50;  // the default of coalesce_ms
constexpr uint8_t audio = 8;
constexpr uint8_t video = 9;

/// A publisher or player of "live/cam".
class Peer {
 public:
  Peer(SimNetwork& network, SimEngine& engine, bool publish)
      : wire_(network.connect(engine)),
        initiator_({.publish = publish, .app = "live", .name = "cam", .tc_url = "rtmp://sim/live"},
                   1) {}

  void step() {
    const std::vector<uint8_t> out = initiator_.outbox().take();
    unsent_.insert(unsent_.end(), out.begin(), out.end());
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(wire_.write(unsent_)));
    std::vector<uint8_t> in(65536);
    while (const size_t bytes = wire_.read(in)) {
      initiator_.feed(Bytes{in}.first(bytes));
      for (;;) {
        const auto event = initiator_.next();
        ASSERT_TRUE(event.has_value());
        if (std::holds_alternative<rtmp::InputUsed>(*event)) break;
        if (const auto* message = std::get_if<rtmp::MessageReceived>(&*event)) {
          if (message->type == audio) ++sounds;
          if (message->type == video) ++pictures;
        }
      }
    }
  }
  void send(uint8_t type, uint32_t timestamp, std::vector<uint8_t> body, size_t bytes) {
    body.resize(bytes, 0x55);
    initiator_.send(type, timestamp, body);
  }
  void leave() {
    initiator_.finish();
    step();
    wire_.finish();
  }
  [[nodiscard]] bool started() const { return initiator_.started(); }

  int sounds = 0;
  int pictures = 0;

 private:
  SimPeer wire_;
  rtmp::Initiator initiator_;
  std::vector<uint8_t> unsent_;
};

/// Keeps what the worker last asked for.
class AskedEngine final : public SimEngine {
 public:
  using SimEngine::SimEngine;
  void set_low_water(engine::ConnectionId id, uint32_t bytes, engine::Rest kind) override {
    mark = bytes;
    rest = kind;
    SimEngine::set_low_water(id, bytes, kind);
  }
  void set_gather_max(uint64_t ns) override { gather_ns = ns; }

  uint32_t mark = 0;
  engine::Rest rest = engine::Rest::comes_too;
  uint64_t gather_ns = 0;
};

class Hold : public testing::Test {
 protected:
  Hold() {
    set(Tunable::coalesce_from, 0);
    worker_ = std::make_unique<dataplane::Worker>(
        dataplane::WorkerParts{.engine = &engine_,
                               .engines = {&engine_},
                               .mesh = &mesh_,
                               .region = region_,
                               .log = &log_,
                               .frame_memory = {frame_memory_.get(), frame_memory_bytes},
                               .random_seed = 1,
                               .unix_minus_monotonic_ms = 1'700'000'000'000},
        network_.now());
  }

  Peer& join(bool publish) {
    peers_.push_back(std::make_unique<Peer>(network_, engine_, publish));
    for (int i = 0; i < 50 && !peers_.back()->started(); ++i) run_ms(2);
    EXPECT_TRUE(peers_.back()->started());
    return *peers_.back();
  }
  void run_ms(uint64_t ms) {
    for (; ms > 0; --ms) {
      network_.advance_to(network_.now().after_ms(1));
      for (auto& peer : peers_) peer->step();
      worker_->wait(network_.now());
      worker_->tick(network_.now());
      for (auto& peer : peers_) peer->step();
      dataplane::LogRecord records[16];
      while (log_.pop(records) > 0) {
      }
    }
  }
  void sound(Peer& publisher) { publisher.send(audio, ++at_, {0xAF, 1}, 300); }
  void picture(Peer& publisher, bool key, size_t bytes = 2000) {
    publisher.send(video, ++at_, {static_cast<uint8_t>(key ? 0x17 : 0x27), 1, 0, 0, 0}, bytes);
  }
  /// `count` pictures, so far apart.
  void pictures(Peer& publisher, int count, uint32_t interval_ms = 33) {
    for (; count > 0; --count) {
      at_ += interval_ms - 1;
      picture(publisher, false);
      run_ms(interval_ms);
    }
  }
  void set(Tunable tunable, uint64_t value) {
    control::TunableValues values = control::tunable_defaults();
    values[static_cast<size_t>(tunable)] = value;
    control_.write_state(values);
  }
  uint64_t gop_bytes() {
    for (uint64_t i = 0; i < region_.worker(0).stream_slots_used.observe(); ++i) {
      control::StreamRow row;
      if (region_.streams(0)[i].read(row) && row.stream_id != 0) return row.gop_bytes;
    }
    return 0;
  }

  SimNetwork network_{1, {}};
  control::RegionPlan plan_{1, connections_max, connections_max};
  ZeroedMemory region_memory_ = zeroed_memory(plan_.region_bytes());
  ZeroedMemory frame_memory_ = zeroed_memory(frame_memory_bytes);
  control::Region region_{region_memory_.get(), plan_};
  SimControl control_{region_, ControlMode::absent, 1};
  dataplane::Mesh mesh_{1};
  dataplane::LogRing log_;
  AskedEngine engine_{network_, connections_max, ClockMode::caller_advances};
  std::unique_ptr<dataplane::Worker> worker_;
  std::vector<std::unique_ptr<Peer>> peers_;
  uint32_t at_ = 0;
};

TEST_F(Hold, sound_goes_out_with_the_next_picture_which_does_not_wait) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  run_ms(3);
  EXPECT_EQ(player.pictures, 1);
  sound(publisher);
  run_ms(hold_ms / 2);
  EXPECT_EQ(player.sounds, 0);
  picture(publisher, false);
  run_ms(3);
  EXPECT_EQ(player.pictures, 2);
  EXPECT_EQ(player.sounds, 1);
}

TEST_F(Hold, sound_without_a_picture_waits_for_coalesce_ms_and_no_longer) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  run_ms(3);
  for (int i = 1; i <= 5; ++i) {
    sound(publisher);
    run_ms(hold_ms - 5);
    EXPECT_EQ(player.sounds, i - 1);
    run_ms(10);
    EXPECT_EQ(player.sounds, i);
  }
}

TEST_F(Hold, a_stream_of_sound_alone_does_not_wait) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  sound(publisher);
  run_ms(3);
  EXPECT_EQ(player.sounds, 1);
}

TEST_F(Hold, what_waits_when_the_publisher_leaves_does_not_hold_its_successor) {
  Peer& player = join(false);
  Peer& first = join(true);
  run_ms(100);
  picture(first, true);
  run_ms(3);
  sound(first);
  run_ms(3);
  first.leave();
  run_ms(5);
  Peer& second = join(true);
  picture(second, true);
  run_ms(3);
  const int before = player.sounds;
  sound(second);
  run_ms(hold_ms + 5);
  EXPECT_EQ(player.sounds, before + 1);
}

TEST_F(Hold, under_more_load_small_pictures_go_out_in_pairs) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  pictures(publisher, 40);  // their interval is known by now
  for (int pair = 0; pair < 5; ++pair) {
    const int before = player.pictures;
    pictures(publisher, 2);
    EXPECT_EQ(player.pictures - before, 2);
  }
  // Whichever of two it is: one comes at once and takes the other along.
  const int before = player.pictures;
  pictures(publisher, 1);
  const int first = player.pictures - before;
  pictures(publisher, 1);
  EXPECT_EQ(first == 0 || first == 2, true) << first;
  EXPECT_EQ(player.pictures - before, 2);
}

TEST_F(Hold, a_picture_waits_for_coalesce_ms_and_no_longer) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  pictures(publisher, 40);
  const int before = player.pictures;
  at_ += 32;
  picture(publisher, false);
  run_ms(3);
  if (player.pictures != before) {  // it took along another: then the next one waits
    at_ += 32;
    picture(publisher, false);
    run_ms(3);
  }
  const int waiting = player.pictures;
  run_ms(hold_ms - 8);
  EXPECT_EQ(player.pictures, waiting);
  run_ms(10);
  EXPECT_EQ(player.pictures, waiting + 1);
}

TEST_F(Hold, keyframes_and_rare_or_large_pictures_do_not_wait) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  pictures(publisher, 40);
  for (int i = 0; i < 4; ++i) {
    pictures(publisher, i % 2);
    const int before = player.pictures;
    picture(publisher, true);
    run_ms(3);
    EXPECT_GE(player.pictures, before + 1);
  }
  pictures(publisher, 40, 100);
  for (int i = 0; i < 4; ++i) {
    const int before = player.pictures;
    at_ += 99;
    picture(publisher, false);
    run_ms(3);
    EXPECT_EQ(player.pictures, before + 1);
    run_ms(97);
  }
  for (int i = 0; i < 200; ++i) {
    const int before = player.pictures;
    at_ += 32;
    picture(publisher, false, 8000);
    run_ms(3);
    if (i > 100) {
      EXPECT_EQ(player.pictures, before + 1);
    }
    run_ms(30);
  }
}

// A second track whose keyframe never came is for nobody, and takes nothing along.
TEST_F(Hold, pictures_of_a_side_track_hold_and_release_nothing) {
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  run_ms(3);
  for (int i = 0; i < 80; ++i) {
    const int before = player.pictures;
    at_ += 16;
    picture(publisher, false);
    run_ms(16);
    at_ += 16;
    publisher.send(video, ++at_, {0xA6, 0x01, 'a', 'v', 'c', '1', 1, 0, 0, 0}, 2000);
    run_ms(17);
    at_ += 32;
    picture(publisher, false);
    run_ms(33);
    EXPECT_GE(player.pictures, before + 1) << i;
    EXPECT_LE(player.pictures, before + 3) << i;
  }
}

TEST_F(Hold, with_less_to_do_pictures_do_not_wait) {
  set(Tunable::coalesce_from, 1000);
  Peer& publisher = join(true);
  Peer& player = join(false);
  run_ms(100);
  picture(publisher, true);
  run_ms(3);
  for (int i = 0; i < 60; ++i) {
    const int before = player.pictures;
    at_ += 32;
    picture(publisher, false);
    run_ms(3);
    EXPECT_EQ(player.pictures, before + 1);
    run_ms(30);
  }
}

// A picture above 16 KiB lies in a block of its own, so that it comes between two sounds of one log
// block: that block was counted again with each sound.
TEST_F(Hold, a_gop_cache_counts_each_block_once) {
  constexpr uint64_t frames = 60;
  Peer& publisher = join(true);
  for (uint64_t i = 0; i < frames; ++i) {
    picture(publisher, i == 0, 20'000);
    sound(publisher);
    run_ms(5);
  }
  run_ms(1100);  // every row has been written
  constexpr uint64_t picture_block = 32 * 1024;
  // 60 sounds of 300 bytes fill a block of 16 KiB and begin one of 32.
  EXPECT_GE(gop_bytes(), frames * picture_block);
  EXPECT_LE(gop_bytes(), frames * picture_block + (16 + 32 + 64) * 1024);
}

// What a file pushed at the speed of the line would leave in the cache is replaced before anybody
// could join at it.
TEST_F(Hold, no_gop_is_kept_of_what_races_while_nobody_watches) {
  const auto second = [&](Peer& publisher, bool in_its_time) {
    for (int i = 0; i < 20; ++i) {
      at_ += 49;
      picture(publisher, i == 0);
      if (in_its_time) run_ms(50);
    }
    run_ms(3);
  };
  Peer& publisher = join(true);
  for (int i = 0; i < 4; ++i) second(publisher, true);
  run_ms(1100);  // every row has been written
  EXPECT_GT(gop_bytes(), 0U);
  for (int i = 0; i < 8; ++i) second(publisher, false);  // it catches up
  run_ms(1100);
  EXPECT_GT(gop_bytes(), 0U);
  for (int i = 0; i < 30; ++i) second(publisher, false);
  run_ms(1100);
  EXPECT_EQ(gop_bytes(), 0U);

  // Who comes now has the next keyframe, and what races on is kept.
  Peer& player = join(false);
  for (int i = 0; i < 3; ++i) second(publisher, false);
  EXPECT_GE(player.pictures, 40);
  player.leave();
  for (int i = 0; i < 30; ++i) second(publisher, false);
  run_ms(1100);
  EXPECT_EQ(gop_bytes(), 0U);

  // Back in its time, it is kept from the second keyframe on at the latest.
  for (int i = 0; i < 3; ++i) second(publisher, true);
  run_ms(1100);
  EXPECT_GT(gop_bytes(), 0U);
}

class Gather : public Hold {
 protected:
  /// Pictures of `bytes` at 30 per second.
  void publish_for_s(Peer& publisher, size_t bytes, int seconds) {
    for (int left = 30 * seconds; left > 0; --left) {
      at_ += 32;
      picture(publisher, left % 30 == 0, bytes);
      run_ms(33);
    }
  }
};

TEST_F(Gather, an_unwatched_stream_gathers_and_leaves_a_rest_until_somebody_comes) {
  Peer& publisher = join(true);
  publish_for_s(publisher, 4000, 4);
  const double bytes_per_s = 4000 * 1000.0 / 33;
  EXPECT_NEAR(engine_.mark, bytes_per_s * 0.120, bytes_per_s * 0.04);
  EXPECT_EQ(engine_.rest, engine::Rest::may_wait);
  EXPECT_EQ(engine_.gather_ns, 30 * ns_per_ms);

  join(false);
  EXPECT_EQ(engine_.mark, 1U);
  EXPECT_EQ(engine_.rest, engine::Rest::comes_too);
  EXPECT_EQ(engine_.gather_ns,
            control::tunable_defaults()[static_cast<size_t>(Tunable::wait_us_max)] * ns_per_us);
}

TEST_F(Gather, a_mark_that_cannot_be_higher_leaves_no_rest) {
  Peer& publisher = join(true);
  publish_for_s(publisher, 30'000, 4);
  EXPECT_EQ(engine_.mark, 32U * 1024);
  EXPECT_EQ(engine_.rest, engine::Rest::comes_too);
}

TEST_F(Gather, a_poll_never_gathers_longer_than_a_newcomer_may_wait) {
  set(Tunable::gather_ms, 1000);
  Peer& publisher = join(true);
  publish_for_s(publisher, 500, 4);
  const double bytes_per_s = 500 * 1000.0 / 33;
  EXPECT_NEAR(engine_.mark, bytes_per_s * 0.970, bytes_per_s * 0.3);
  EXPECT_EQ(engine_.gather_ns, 30 * ns_per_ms);
}

TEST_F(Gather, what_lies_below_the_mark_is_read_when_nothing_more_comes) {
  Peer& publisher = join(true);
  publish_for_s(publisher, 4000, 4);
  uint64_t silent_ms = 0;
  for (; engine_.mark > 1 && silent_ms < 5000; ++silent_ms) run_ms(1);
  EXPECT_LE(silent_ms, 1700U);
  EXPECT_EQ(engine_.rest, engine::Rest::comes_too);
}

}  // namespace
}  // namespace penstock::sim
