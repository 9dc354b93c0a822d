#include "controlplane/api/api.h"

#include "penstock/base/prng.h"
#include "tests/unit/controlplane/plane.h"

namespace penstock::controlplane::api {
namespace {

using nlohmann::json;

class ApiTest : public Plane {
 protected:
  void SetUp() override { start_dataplane(); }
  void expect_refusal(const Answer& answer, int status) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const json body = json::parse(answer.body);
    EXPECT_FALSE(body.at("error").get<std::string>().empty());
    EXPECT_TRUE(body.at("hint").is_string());
  }
};

TEST_F(ApiTest, a_stream_is_shown_with_everything_that_is_known) {
  control::StreamRow row = stream_row(UINT64_MAX, "app/with/slashes/name", 2);
  row.av_drift_ms = -12;
  row.keyframe_interval_ms = 2'000;
  row.video_bits_per_second = 3'000'000;
  row.audio_bits_per_second = 128'000;
  row.timestamp_jumps = 1;
  row.frames_dropped = 4;
  dataplane->put_stream(0, 0, row);
  dataplane->put_stream(1, 0, replica_row(UINT64_MAX, "app/with/slashes/name", 1));
  const json stream = ask_json("GET", "/api/v1/streams/app/with/slashes/name");
  EXPECT_EQ(stream["name"], "app/with/slashes/name");
  EXPECT_EQ(stream["stream_id"], "18446744073709551615");
  EXPECT_EQ(stream["video"]["codec"], "H.264");
  EXPECT_EQ(stream["video"]["width"], 1920);
  EXPECT_EQ(stream["video"]["fps"], 29.97);
  EXPECT_EQ(stream["video"]["bits_per_second"], 3'000'000);
  EXPECT_EQ(stream["video"]["keyframe_interval_ms"], 2'000);
  EXPECT_EQ(stream["audio"]["codec"], "AAC");
  EXPECT_EQ(stream["audio"]["bits_per_second"], 128'000);
  EXPECT_EQ(stream["av_drift_ms"], -12);
  EXPECT_EQ(stream["timestamp_jumps"], 1);
  EXPECT_EQ(stream["subscribers"], 3);
  EXPECT_EQ(stream["frames_skipped"], 7);
  EXPECT_EQ(stream["frames_dropped"], 4);
  EXPECT_EQ(stream["bytes_received"], 1'000'000);
  EXPECT_EQ(stream["bytes_sent"], 3'000);
  EXPECT_EQ(stream["publisher"], "127.0.0.1:50000");
  EXPECT_EQ(stream["encoder"], "test/1.0");
  EXPECT_EQ(stream["worker"], 0);
  EXPECT_EQ(stream["duration_s"], 10);
  EXPECT_EQ(ask_json("GET", "/api/v1/streams")["streams"][0], stream);
}

TEST_F(ApiTest, lists_come_in_pages_with_their_total) {
  for (uint32_t i = 0; i < 5; ++i)
    dataplane->put_stream(0, i, stream_row(i + 1, "live/" + std::to_string(i)));
  const json page = ask_json("GET", "/api/v1/streams", "", {{"limit", "2"}, {"offset", "3"}});
  EXPECT_EQ(page["total"], 5);
  ASSERT_EQ(page["streams"].size(), 2u);
  EXPECT_EQ(page["streams"][0]["name"], "live/3");
  expect_refusal(ask("GET", "/api/v1/streams", "", {{"limit", "0"}}), 400);
  expect_refusal(ask("GET", "/api/v1/streams", "", {{"limit", "many"}}), 400);
  expect_refusal(ask("GET", "/api/v1/connections", "", {{"offset", "-1"}}), 400);
  EXPECT_EQ(ask_json("GET", "/api/v1/streams", "", {{"offset", "18446744073709551615"}})["streams"]
                .size(),
            0u);
}

TEST_F(ApiTest, status_tells_both_processes_and_what_an_operator_should_know) {
  dataplane->region().worker(0).counters[static_cast<size_t>(control::Counter::connections)].set(
      16'000);
  json status = ask_json("GET", "/api/v1/status");
  EXPECT_TRUE(status["dataplane"]["attached"]);
  EXPECT_EQ(status["dataplane"]["version"], "9.9.9");
  EXPECT_EQ(status["control"]["process_id"], ::getpid());
  EXPECT_EQ(status["connections"], 16'000);
  EXPECT_TRUE(status["healthy"]);
  ASSERT_EQ(status["warnings"].size(), 1u) << status["warnings"];
  EXPECT_NE(status["warnings"][0].get<std::string>().find("connections"), std::string::npos);
  ask("POST", "/api/v1/drain");
  status = ask_json("GET", "/api/v1/status");
  EXPECT_TRUE(status["draining"]);
  EXPECT_EQ(status["warnings"].size(), 2u);
}

TEST_F(ApiTest, without_a_data_plane_it_answers_and_orders_are_refused) {
  dataplane.reset();
  turn();
  EXPECT_FALSE(ask_json("GET", "/api/v1/status")["dataplane"]["attached"]);
  for (const char* path : {"/api/v1/streams", "/api/v1/streams/live/a", "/api/v1/connections",
                           "/api/v1/connections/1", "/api/v1/workers", "/api/v1/counters"}) {
    const Answer refused = ask("GET", path);
    expect_refusal(refused, 503);
    EXPECT_EQ(json::parse(refused.body)["error"], "penstockd is not attached") << path;
  }
  EXPECT_EQ(ask("GET", "/api/v1/history").status, 200);
  EXPECT_EQ(ask("GET", "/api/v1/streams", "", {{"ended", "1"}}).status, 200);
  EXPECT_EQ(ask("GET", "/metrics").status, 200);
  const Answer health = ask("GET", "/healthz");
  EXPECT_EQ(health.status, 503);
  EXPECT_NE(health.body.find("not attached"), std::string::npos);
  expect_refusal(ask("POST", "/api/v1/streams/live/a/kick"), 503);
  expect_refusal(ask("POST", "/api/v1/connections/1/kick"), 503);
  expect_refusal(ask("POST", "/api/v1/drain"), 503);
  const json tuned = ask_json("PUT", "/api/v1/tunables/gop_bytes", R"({"value": 5000})");
  EXPECT_EQ(tuned["applied"], false);
  EXPECT_EQ(tuned["value"], 5'000);
  EXPECT_NE(tuned["note"].get<std::string>().find("penstockd is not attached"), std::string::npos);
}

TEST_F(ApiTest, what_is_not_live_is_repeated_with_where_to_look) {
  const json refused = json::parse(ask("GET", "/api/v1/streams/live/cam9").body);
  EXPECT_EQ(refused["error"], "no such stream is live: live/cam9");
  EXPECT_NE(refused["hint"].get<std::string>().find("penstockctl history"), std::string::npos);
  EXPECT_EQ(json::parse(ask("POST", "/api/v1/streams/live/cam9/kick").body), refused);
  const Answer too_long = ask("GET", "/api/v1/streams/live/" + std::string(800, 'x'));
  expect_refusal(too_long, 400);
  EXPECT_NE(too_long.body.find("at most 255"), std::string::npos) << too_long.body;
  EXPECT_NE(ask("GET", "/api/v1/connections/77").body.find("77"), std::string::npos);
}

TEST(near_limit, is_a_tenth_below_it_at_most_whatever_its_size) {
  EXPECT_FALSE(near_limit(0, 50));
  EXPECT_FALSE(near_limit(44, 50));
  EXPECT_TRUE(near_limit(45, 50));
  EXPECT_FALSE(near_limit(0, 1));
  EXPECT_TRUE(near_limit(1, 1));
  EXPECT_FALSE(near_limit(899, 1'000));
  EXPECT_TRUE(near_limit(900, 1'000));
  EXPECT_FALSE(near_limit(5, 0)) << "no limit";
  EXPECT_FALSE(near_limit(UINT64_MAX / 2, UINT64_MAX));
  EXPECT_TRUE(near_limit(UINT64_MAX, UINT64_MAX));
}

TEST_F(ApiTest, a_configuration_that_does_not_get_to_the_disk_is_said) {
  const auto gauge = [this] {
    const std::string text = ask("GET", "/metrics").body;
    const size_t at = text.find("\npenstock_applied_config_kept ");
    return at == std::string::npos ? '?' : text.at(at + 30);
  };
  dataplane->keep(false);
  dataplane->region().header().kept_epoch.publish(0);
  turn(300);
  EXPECT_EQ(ask_json("GET", "/api/v1/status")["warnings"].size(), 0u) << "it may still be writing";
  EXPECT_EQ(gauge(), '1');
  turn(3'500);
  const json warnings = ask_json("GET", "/api/v1/status")["warnings"];
  ASSERT_EQ(warnings.size(), 1u) << warnings;
  EXPECT_NE(warnings[0].get<std::string>().find("cannot be kept on disk"), std::string::npos);
  EXPECT_EQ(gauge(), '0');
  EXPECT_NE(ask_json("DELETE", "/api/v1/log/level")["note"].get<std::string>().find("kept on disk"),
            std::string::npos);
  const auto attachment = parts->link.current();
  dataplane->region().header().kept_epoch.publish(applied_epoch(attachment->region()));
  turn(300);
  EXPECT_EQ(ask_json("GET", "/api/v1/status")["warnings"].size(), 0u);
  EXPECT_EQ(gauge(), '1');
  dataplane->region().header().kept_epoch.publish(0);
  turn(300);
  EXPECT_EQ(gauge(), '1') << "the patience begins anew";
}

TEST_F(ApiTest, an_order_says_that_it_is_not_kept_when_the_data_plane_says_so) {
  EXPECT_EQ(ask_json("PUT", "/api/v1/tunables/gop_bytes", R"({"value": 4096})")["note"], "");
  dataplane->keep(false, "state/applied_live: No space left on device");
  for (const auto& [method, path, body] :
       {std::array{"PUT", "/api/v1/tunables/gop_bytes", R"({"value": 8192})"},
        std::array{"PUT", "/api/v1/log/level", R"({"level": "debug"})"},
        std::array{"POST", "/api/v1/users", R"({"name": "bob", "password": "12345678"})"},
        std::array{"POST", "/api/v1/drain", "{}"}}) {
    const json answer = ask_json(method, path, body);
    EXPECT_NE(answer["note"].get<std::string>().find("No space left on device"), std::string::npos)
        << path << answer;
    EXPECT_NE(answer["note"].get<std::string>().find("is lost when penstockd restarts"),
              std::string::npos);
  }
  ask("DELETE", "/api/v1/drain");
  const json warnings = ask_json("GET", "/api/v1/status")["warnings"];
  ASSERT_EQ(warnings.size(), 1u) << warnings;
  EXPECT_NE(warnings[0].get<std::string>().find("No space left"), std::string::npos);
  dataplane->keep(true);
  turn(300);
  EXPECT_EQ(ask_json("GET", "/api/v1/status")["warnings"].size(), 0u);
}

TEST_F(ApiTest, a_history_that_cannot_be_written_is_a_warning_as_long_as_it_holds) {
  EndedStream ended;
  ended.stream.name = "live/a";
  ended.ended_unix_ms = 1;
  std::filesystem::create_directories(folder.file("history.jsonl"));
  EXPECT_FALSE(parts->history.add({ended}));
  json warnings = ask_json("GET", "/api/v1/status")["warnings"];
  ASSERT_EQ(warnings.size(), 1u) << warnings;
  EXPECT_NE(warnings[0].get<std::string>().find("history"), std::string::npos);
  std::filesystem::remove(folder.file("history.jsonl"));
  EXPECT_TRUE(eventually([&] { return parts->history.add({}); })) << "tried again by itself";
  EXPECT_EQ(ask_json("GET", "/api/v1/status")["warnings"].size(), 0u);
  EXPECT_NE(folder.read("history.jsonl").find("live/a"), std::string::npos);
}

TEST_F(ApiTest, certificates_are_told_of_by_who_serves_them_and_once) {
  const std::string tls =
      "[listen]\nrtmps = [\":23051\"]\n[[tls.certificates]]\ncert = \"a.pem\"\n"
      "key = \"a.key\"\n";
  start_dataplane({.run_id = 8, .config = config_text(tls)});
  control::TlsRow row;
  row.problem.set("a.pem: No such file or directory");
  dataplane->put_tls(row);
  json status = ask_json("GET", "/api/v1/status");
  EXPECT_EQ(status["healthy"], false) << "nobody can connect";
  EXPECT_EQ(ask("GET", "/healthz").status, 200) << "and plain RTMP is well";
  std::string all = status["warnings"].dump();
  EXPECT_NE(all.find("nobody can connect to listen.rtmps"), std::string::npos) << all;
  EXPECT_NE(all.find("certificates: a.pem: No such file or directory\""), std::string::npos) << all;
  row.problem.set("");
  row.certificates = 1;
  row.cautions.set("a.pem: has expired, on 2026-11-22\na.pem: is not for b.example\n");
  dataplane->put_tls(row);
  status = ask_json("GET", "/api/v1/status");
  EXPECT_EQ(status["healthy"], true);
  all = status["warnings"].dump();
  EXPECT_EQ(all.find("has expired"), all.rfind("has expired")) << all;
  EXPECT_NE(all.find("certificates: a.pem: has expired, on 2026-11-22\""), std::string::npos)
      << all;
  EXPECT_NE(all.find("certificates: a.pem: is not for b.example\""), std::string::npos) << all;
}

TEST_F(ApiTest, rtmpe_is_warned_of_as_long_as_it_runs) {
  const auto warned = [this] {
    return ask_json("GET", "/api/v1/status")["warnings"].dump().find("obfuscation") !=
           std::string::npos;
  };
  const std::string on = "[rtmpe]\nenabled = true\n";
  start_dataplane({.run_id = 8, .config = config_text("")});
  folder.write("penstock.toml", config_text(on));
  ASSERT_EQ(ask("POST", "/api/v1/config/reload").status, 200);
  EXPECT_FALSE(warned()) << "it waits for a restart";
  start_dataplane({.run_id = 9, .config = config_text(on)});
  EXPECT_TRUE(warned());
  folder.write("penstock.toml", config_text(""));
  ASSERT_EQ(ask("POST", "/api/v1/config/reload").status, 200);
  EXPECT_TRUE(warned()) << "it runs still";
}

TEST_F(ApiTest, places_that_there_are_no_descriptors_for_are_not_shown) {
  dataplane->region().header().connections_allowed.set(30);
  EXPECT_EQ(ask_json("GET", "/api/v1/status")["connections_max"], 30);
}

TEST_F(ApiTest, a_short_name_that_several_have_names_them) {
  const json refused = ask_json("GET", "/api/v1/tunables/handshakes_per_second");
  EXPECT_EQ(refused["hint"],
            "did you mean tls.handshakes_per_second or rtmpe.handshakes_per_second?");
}

TEST_F(ApiTest, what_runs_and_what_the_file_says_are_both_told) {
  start_dataplane({.run_id = 9, .config = config_text("")});
  folder.write("penstock.toml",
               config_text("[listen]\nrtmp = [\"127.0.0.1:23051\"]\n[control]\nhttp = "
                           "\"127.0.0.1:23052\"\n[limits]\nconnections_max = 50\n"));
  ASSERT_EQ(ask("POST", "/api/v1/config/reload").status, 200);
  const json waiting = ask_json("GET", "/api/v1/config")["waiting"];
  ASSERT_EQ(waiting.size(), 3u) << waiting;
  EXPECT_EQ(waiting[0], (json{{"key", "listen.rtmp"},
                              {"running", "127.0.0.1:1935"},
                              {"file", "127.0.0.1:23051"},
                              {"restart", "penstockd"}}));
  EXPECT_EQ(waiting[1]["key"], "limits.connections_max");
  EXPECT_EQ(waiting[1]["running"], "16384");
  EXPECT_EQ(waiting[1]["file"], "50");
  EXPECT_EQ(waiting[2]["key"], "control.http");
  EXPECT_EQ(waiting[2]["restart"], "penstock-control");
}

TEST_F(ApiTest, health_is_bad_when_a_worker_is_not_heard_of) {
  EXPECT_EQ(ask("GET", "/healthz").status, 200);
  start_dataplane({.run_id = 3, .beating = false});
  turn(2'000);
  ASSERT_NE(parts->link.current(), nullptr);
  dataplane->region().worker(1).heartbeat_ns.set(monotonic_ns() - 5'000'000'000);
  const Answer health = ask("GET", "/healthz");
  EXPECT_EQ(health.status, 503);
  EXPECT_NE(health.body.find("worker 1"), std::string::npos);
  EXPECT_FALSE(ask_json("GET", "/api/v1/workers")["workers"][1]["alive"]);
}

TEST_F(ApiTest, kicking_a_stream_orders_its_worker) {
  dataplane->put_stream(1, 0, stream_row(5, "a/b/c"));
  const json kicked =
      ask_json("POST", "/api/v1/streams/a/b/c/kick", R"({"reason": "maintenance\n"})");
  EXPECT_EQ(kicked["stream_id"], "5");
  ASSERT_TRUE(eventually([&] { return dataplane->commands(1).size() == 1; }));
  const control::Command command = dataplane->commands(1)[0];
  EXPECT_EQ(command.kind, control::CommandKind::kick_stream);
  EXPECT_EQ(command.stream_id, 5u);
  EXPECT_EQ(command.text.view(), "maintenance?");
  expect_refusal(ask("POST", "/api/v1/streams/a/b/nobody/kick"), 404);
  expect_refusal(ask("POST", "/api/v1/streams/a/b/c/kick", "{\"reason\": 7}"), 400);
  expect_refusal(ask("POST", "/api/v1/streams/a/b/c/kick", "no json"), 400);
  const std::string long_reason(5'000, 'x');
  EXPECT_EQ(ask("POST", "/api/v1/streams/a/b/c/kick", json{{"reason", long_reason}}.dump()).status,
            200);
}

TEST_F(ApiTest, connections_are_kicked_and_traced_by_id) {
  control::ConnectionRow row;
  row.connection_id = 42;
  row.role = control::ConnectionRole::subscriber;
  row.name.set("live/a");
  dataplane->put_connection(1, 0, row);
  EXPECT_EQ(ask_json("GET", "/api/v1/connections", "", {{"stream", "live/a"}})["total"], 1);
  EXPECT_EQ(ask_json("GET", "/api/v1/connections", "", {{"stream", "live/b"}})["total"], 0);
  EXPECT_EQ(ask_json("GET", "/api/v1/connections", "", {{"worker", "0"}})["total"], 0);
  EXPECT_EQ(ask_json("GET", "/api/v1/connections/42")["role"], "subscriber");
  EXPECT_EQ(ask("POST", "/api/v1/connections/42/trace", R"({"on": true})").status, 200);
  EXPECT_EQ(ask("POST", "/api/v1/connections/42/kick").status, 200);
  ASSERT_TRUE(eventually([&] { return dataplane->commands(1).size() == 2; }));
  EXPECT_EQ(dataplane->commands(1)[0].kind, control::CommandKind::trace);
  EXPECT_EQ(dataplane->commands(1)[0].allowed, 1u);
  EXPECT_EQ(dataplane->commands(1)[1].kind, control::CommandKind::kick_connection);
  EXPECT_EQ(dataplane->commands(1)[1].connection_id, 42u);
  expect_refusal(ask("POST", "/api/v1/connections/42/trace", "{}"), 400);
  expect_refusal(ask("POST", "/api/v1/connections/43/kick"), 404);
  expect_refusal(ask("POST", "/api/v1/connections/x/kick"), 400);
  expect_refusal(ask("GET", "/api/v1/connections/0"), 404);
}

TEST_F(ApiTest, tunables_are_set_within_their_range_and_applied) {
  json tuned = ask_json("PUT", "/api/v1/tunables/limits.gop_bytes", R"({"value": 5000})");
  EXPECT_EQ(tuned["applied"], true);
  EXPECT_EQ(tuned["source"], "live");
  EXPECT_EQ(tuned["previous"], control::tunable_info(control::Tunable::gop_bytes).fallback);
  EXPECT_EQ(control::value_of(dataplane->wanted().tunables, control::Tunable::gop_bytes), 5'000u);
  EXPECT_EQ(ask_json("GET", "/api/v1/tunables/gop_bytes")["value"], 5'000);
  const uint64_t epoch = dataplane->wanted().epoch;
  for (const char* bad : {R"({"value": 999999999999})", R"({"value": -1})"}) {
    expect_refusal(ask("PUT", "/api/v1/tunables/gop_bytes", bad), 422);
  }
  for (const char* bad :
       {"", "{}", R"({"value": "5"})", R"({"value": 1.5})", R"({"value": 1e99})", "[5]", "5"}) {
    expect_refusal(ask("PUT", "/api/v1/tunables/gop_bytes", bad), 400);
  }
  expect_refusal(ask("PUT", "/api/v1/tunables/connections_max", R"({"value": 5})"), 409);
  expect_refusal(ask("PUT", "/api/v1/tunables/nothing", R"({"value": 5})"), 404);
  EXPECT_EQ(dataplane->wanted().epoch, epoch) << "a refusal changes nothing";
  tuned = ask_json("DELETE", "/api/v1/tunables/gop_bytes");
  EXPECT_EQ(tuned["source"], "default");
  EXPECT_EQ(ask_json("GET", "/api/v1/tunables")["tunables"].size(), control::tunable_count);
}

TEST_F(ApiTest, a_bad_file_is_refused_with_all_problems_and_changes_nothing) {
  folder.write("penstock.toml", config_text("[limits]\ngop_bytes = 77777\n"));
  EXPECT_EQ(ask_json("POST", "/api/v1/config/reload")["changed"], json{"limits.gop_bytes"});
  const control::WantedState before = dataplane->wanted();
  EXPECT_EQ(control::value_of(before.tunables, control::Tunable::gop_bytes), 77'777u);
  folder.write(
      "penstock.toml",
      config_text(
          "[limits]\ngop_bytes = -5\nsubscriber_queue_bytes = \"big\"\n[nonsense]\nx = 1\n"));
  const Answer refused = ask("POST", "/api/v1/config/reload");
  expect_refusal(refused, 422);
  EXPECT_GE(json::parse(refused.body)["problems"].size(), 3u) << refused.body;
  turn(5'000);
  EXPECT_EQ(dataplane->wanted().epoch, before.epoch);
  EXPECT_EQ(ask_json("GET", "/api/v1/tunables/gop_bytes")["value"], 77'777);
  folder.write("penstock.toml", "[[[");
  expect_refusal(ask("POST", "/api/v1/config/reload"), 422);
  std::filesystem::remove(folder.file("penstock.toml"));
  expect_refusal(ask("POST", "/api/v1/config/reload"), 422);
}

TEST_F(ApiTest, a_configuration_is_checked_without_being_taken) {
  json checked = ask_json("POST", "/api/v1/config/check", config_text("[limits]\ngop_bytes = 1\n"));
  EXPECT_EQ(checked["ok"], true);
  EXPECT_EQ(checked["warnings"].size(), 0u);
  checked = ask_json("POST", "/api/v1/config/check", "[admission]\npublish = \"keys\"\n");
  EXPECT_EQ(checked["ok"], true);
  EXPECT_EQ(checked["warnings"].size(), 1u);
  checked = ask_json("POST", "/api/v1/config/check",
                     "[limits]\ngop_bytes = \"x\"\nunknown_key = 1\n", {{"file", "my.toml"}});
  EXPECT_EQ(checked["ok"], false);
  ASSERT_GE(checked["problems"].size(), 2u);
  EXPECT_EQ(checked["problems"][0]["file"], "my.toml");
  EXPECT_EQ(checked["problems"][0]["line"], 2);
  EXPECT_EQ(ask_json("POST", "/api/v1/config/check", "\xFF\xFE\x00")["ok"], false);
}

TEST_F(ApiTest, keys_are_counted_and_not_told) {
  folder.write(
      "penstock.toml",
      config_text("[admission]\npublish = \"keys\"\nkeys = [\"live/sesame\", \"live/b\"]\n"));
  EXPECT_EQ(ask("POST", "/api/v1/config/reload").status, 200);
  const Answer config = ask("GET", "/api/v1/config");
  EXPECT_EQ(json::parse(config.body)["keys"]["count"], 2);
  EXPECT_EQ(json::parse(config.body)["publish"], "keys");
  EXPECT_EQ(config.body.find("sesame"), std::string::npos);
}

TEST_F(ApiTest, log_level_is_switched_for_both_processes) {
  const json set = ask_json("PUT", "/api/v1/log/level", R"({"level": "debug"})");
  EXPECT_EQ(set["applied"], true);
  EXPECT_EQ(dataplane->wanted().log_level, control::LogLevel::debug);
  EXPECT_EQ(parts->log.level(), control::LogLevel::debug);
  expect_refusal(ask("PUT", "/api/v1/log/level", R"({"level": "loud"})"), 422);
  expect_refusal(ask("PUT", "/api/v1/log/level", R"({"level": 3})"), 400);
  EXPECT_EQ(ask_json("DELETE", "/api/v1/log/level")["level"], "error");
  EXPECT_EQ(dataplane->wanted().log_level, control::LogLevel::error);
}

TEST_F(ApiTest, drain_is_switched_on_and_off) {
  EXPECT_EQ(ask_json("POST", "/api/v1/drain")["draining"], true);
  EXPECT_EQ(dataplane->wanted().draining, 1u);
  EXPECT_EQ(dataplane->wanted().drain_to.view(), "");
  EXPECT_EQ(ask_json("DELETE", "/api/v1/drain")["draining"], false);
  EXPECT_EQ(dataplane->wanted().draining, 0u);
}

TEST_F(ApiTest, drain_has_a_target_that_ends_with_it) {
  for (const char* to :
       {"rtmp://other.example:1936", "rtmps://other/live?x=1", "//other", "/live"}) {
    const std::string body = std::string(R"({"to": ")") + to + R"("})";
    EXPECT_EQ(ask_json("POST", "/api/v1/drain", body)["to"], to);
    EXPECT_EQ(dataplane->wanted().drain_to.view(), to);
  }
  ask_json("DELETE", "/api/v1/drain");
  EXPECT_EQ(dataplane->wanted().drain_to.view(), "");
  for (const std::string& wrong :
       {std::string(R"({"to": 5})"), std::string(R"({"to": ""})"),
        std::string(R"({"to": "other.example"})"), std::string(R"({"to": "http://other"})"),
        std::string(R"({"to": "rtmp://a b"})"), std::string(R"({"to": "rtmp://"})"),
        std::string(R"({"to": "rtmp:///live"})"), std::string(R"({"to": "rtmp://:1935"})"),
        std::string(R"({"to": "//"})"), R"({"to": "rtmp://)" + std::string(300, 'x') + R"("})"}) {
    expect_refusal(ask("POST", "/api/v1/drain", wrong), 422);
  }
  EXPECT_EQ(dataplane->wanted().draining, 0u);
}

TEST_F(ApiTest, unknown_paths_and_methods_say_what_there_is) {
  expect_refusal(ask("GET", "/"), 404);
  expect_refusal(ask("GET", ""), 404);
  expect_refusal(ask("GET", "/api/v1/streams/"), 404);
  expect_refusal(ask("GET", "/api/v1/tunables/a/b"), 404);
  const Answer wrong = ask("PATCH", "/api/v1/tunables/gop_bytes");
  expect_refusal(wrong, 405);
  EXPECT_EQ(wrong.allow, "GET, PUT, DELETE");
}

TEST_F(ApiTest, nothing_in_the_region_makes_an_answer_fail) {
  // All of the workers' memory as noise, while everything is asked for.
  Prng noise(7);
  std::vector<uint8_t> bytes(sizeof(control::StreamRow));
  for (int round = 0; round < 50; ++round) {
    control::StreamRow stream;
    noise.fill(bytes);
    std::memcpy(static_cast<void*>(&stream), bytes.data(), sizeof stream);
    stream.role = static_cast<control::StreamRole>(noise.below(2));
    dataplane->put_stream(static_cast<uint32_t>(noise.below(2)),
                          static_cast<uint32_t>(noise.below(64)), stream);
    (void)dataplane->region().worker(0).ended.push(stream);
    control::ConnectionRow connection;
    std::memcpy(static_cast<void*>(&connection), bytes.data(), sizeof connection);
    dataplane->put_connection(0, static_cast<uint32_t>(noise.below(64)), connection);
    for (control::Cell& cell : dataplane->region().worker(0).counters) cell.set(noise.next());
    dataplane->region().worker(0).busy_ns.set(noise.next());
    dataplane->region().worker(0).core.set(noise.next());
    turn(600);
    for (const RouteInfo& route : routes()) {
      if (route.method != "GET" || route.path.find('{') != std::string_view::npos) continue;
      const Answer answer = ask("GET", std::string(route.path));
      EXPECT_EQ(answer.status, 200) << route.path << answer.body;
      if (answer.content_type == "application/json") {
        EXPECT_TRUE(json::accept(answer.body));
      }
    }
  }
  EXPECT_GT(parts->history.size(), 0u);
  EXPECT_EQ(History(folder.file("history.jsonl")).size(), parts->history.size());
}

}  // namespace
}  // namespace penstock::controlplane::api
