#include "controlplane/steering.h"

#include "tests/unit/controlplane/plane.h"

namespace penstock::controlplane {
namespace {

class SteeringTest : public Plane {};

TEST_F(SteeringTest, waits_for_a_data_plane_and_says_so_once) {
  testing::internal::CaptureStderr();
  parts->log.set_level(control::LogLevel::info);
  for (int i = 0; i < 10; ++i) turn(200);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("waiting for the data plane"), std::string::npos);
  EXPECT_EQ(text.find("waiting"), text.rfind("waiting"));
  EXPECT_EQ(steering->socket(), -1);
  start_dataplane();
  EXPECT_GE(steering->socket(), 0);
}

TEST_F(SteeringTest, beats_and_answers_verdicts_in_each_turn) {
  start_dataplane();
  const uint64_t before = dataplane->region().header().control_heartbeat_ns.get();
  control::VerdictRequest request;
  request.request_id = 5;
  request.publish = 1;
  request.name.set("live/a");
  ASSERT_TRUE(dataplane->region().worker(0).verdicts.push(request));
  turn(10);
  EXPECT_GT(dataplane->region().header().control_heartbeat_ns.get(), before);
  ASSERT_TRUE(eventually([&] { return !dataplane->commands(0).empty(); }));
  EXPECT_EQ(dataplane->commands(0)[0].request_id, 5u);
  EXPECT_EQ(dataplane->commands(0)[0].allowed, 1u);
}

bool is_rung(const Steering& steering) {
  pollfd ready{steering.bell(), POLLIN, 0};
  return ::poll(&ready, 1, 0) == 1 && ready.revents == POLLIN;
}

TEST_F(SteeringTest, a_worker_that_asks_ends_the_sleep) {
  start_dataplane();
  EXPECT_GT(turn(), 100u) << "nothing to do until the next mirror";
  EXPECT_FALSE(is_rung(*steering));
  EXPECT_TRUE(dataplane->ask(0, {.request_id = 5}));
  EXPECT_TRUE(is_rung(*steering));
  EXPECT_FALSE(dataplane->ask(1, {.request_id = 6})) << "one ring is enough";
  EXPECT_LT(turn(), 5u) << "where one has asked others follow";
  EXPECT_FALSE(is_rung(*steering));
  EXPECT_FALSE(dataplane->ask(0, {.request_id = 7})) << "found with the next look";
  EXPECT_LT(turn(), 5u);
  EXPECT_GT(turn(), 100u);
  EXPECT_TRUE(eventually(
      [&] { return dataplane->commands(0).size() == 2 && dataplane->commands(1).size() == 1; }));
}

TEST_F(SteeringTest, a_ring_for_a_dead_control_process_is_heard_by_the_next) {
  start_dataplane();
  turn();
  steering = std::make_unique<Steering>(*parts, folder.file("dataplane.sock"));
  parts->link.set(nullptr);
  EXPECT_TRUE(dataplane->ask(0, {.request_id = 5}));
  for (uint64_t id = 6; id < 20; ++id) dataplane->ask(0, {.request_id = id});
  turn();
  EXPECT_TRUE(eventually([&] { return dataplane->commands(0).size() == 15; }));
  turn();
  EXPECT_FALSE(is_rung(*steering));
  EXPECT_TRUE(dataplane->ask(1, {.request_id = 20}));
  EXPECT_TRUE(is_rung(*steering)) << "the same bell was handed on";
}

TEST_F(SteeringTest, a_dead_data_plane_is_noticed_and_the_next_one_attached) {
  start_dataplane();
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  turn(300);
  dataplane.reset();
  turn();
  EXPECT_EQ(parts->link.current(), nullptr);
  start_dataplane({.run_id = 99});  // attaches with the second turn at the latest
  turn(2'000);
  ASSERT_NE(parts->link.current(), nullptr);
  EXPECT_EQ(parts->link.current()->hello().run_id, 99u);
  ASSERT_EQ(parts->history.size(), 1u);
  EXPECT_EQ(parts->history.newest(0, 1)[0].stream.name, "live/a");
}

TEST_F(SteeringTest, reports_of_the_last_moment_are_read_after_the_hang_up) {
  start_dataplane();
  control::StreamRow row = stream_row(1, "live/short");
  row.ended.set("shut down");
  ASSERT_TRUE(dataplane->region().worker(0).ended.push(row));
  dataplane.reset();
  turn();
  turn();
  ASSERT_EQ(parts->history.size(), 1u);
  EXPECT_EQ(parts->history.newest(0, 1)[0].reason, "shut down");
}

TEST_F(SteeringTest, the_line_of_an_ended_stream_has_its_name) {
  start_dataplane();
  parts->log.set_level(control::LogLevel::info);
  ASSERT_TRUE(dataplane->region().worker(0).ended.push(stream_row(1, "live/cam1")));
  testing::internal::CaptureStderr();
  turn(300);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("stream ended stream=live/cam1 "), std::string::npos) << text;
}

TEST_F(SteeringTest, a_new_control_process_shows_the_same_streams_with_the_same_counters_at_once) {
  start_dataplane();
  dataplane->put_stream(0, 0, stream_row(1, "live/a", 2));
  dataplane->put_stream(1, 0, replica_row(1, "live/a", 3));
  const nlohmann::json before = ask_json("GET", "/api/v1/streams/live/a");
  parts = std::make_unique<Parts>(load_settings(folder.file("penstock.toml")).value(),
                                  folder.file("history.jsonl"));
  steering = std::make_unique<Steering>(*parts, folder.file("dataplane.sock"));
  turn();
  nlohmann::json after = ask_json("GET", "/api/v1/streams/live/a");
  after["duration_s"] = before["duration_s"];
  EXPECT_EQ(after, before);
  EXPECT_TRUE(eventually([&] { return dataplane->attaches() == 2; }));
}

TEST_F(SteeringTest, who_was_thrown_out_at_once_does_not_fight_over_the_region) {
  const auto thrown_out = [this] {
    dataplane->hang_up();
    return eventually([this] {
      turn();
      return parts->link.current() == nullptr;
    });
  };
  start_dataplane();
  ASSERT_TRUE(thrown_out());
  turn(200);
  EXPECT_NE(parts->link.current(), nullptr) << "after a long attachment it comes back at once";
  ASSERT_TRUE(thrown_out());
  turn(200);
  EXPECT_EQ(parts->link.current(), nullptr) << "after a short one it waits";
  turn(1'000);
  EXPECT_NE(parts->link.current(), nullptr);
}

TEST_F(SteeringTest, history_of_an_earlier_process_is_there) {
  start_dataplane();
  control::StreamRow row = stream_row(7, "live/old");
  row.ended.set("publisher left");
  ASSERT_TRUE(dataplane->region().worker(1).ended.push(row));
  turn(300);
  parts = std::make_unique<Parts>(load_settings(folder.file("penstock.toml")).value(),
                                  folder.file("history.jsonl"));
  EXPECT_EQ(ask_json("GET", "/api/v1/history")["streams"][0]["name"], "live/old");
}

}  // namespace
}  // namespace penstock::controlplane
