#include "controlplane/cli/render.h"

#include <gtest/gtest.h>

namespace penstock::controlplane::cli {
namespace {

const Paint plain(false);

Json stream_row() {
  return Json::parse(R"({
    "name": "live/cam1", "stream_id": "7", "worker": 1, "connection_id": "42",
    "publisher": "10.0.0.9:50123", "encoder": "FMLE/3.0", "since": "2026-11-23T04:05:06.789Z",
    "since_unix_ms": 1, "duration_s": 185,
    "video": {"codec": "H.264", "width": 1280, "height": 720, "fps": 29.97,
              "bits_per_second": 2400000, "keyframe_interval_ms": 2000},
    "audio": {"codec": "AAC", "sample_rate": 44100, "channels": 2, "bits_per_second": 128000},
    "av_drift_ms": -12, "timestamp_jumps": 0, "last_timestamp_ms": 185000, "subscribers": 3,
    "frames_received": 12345, "frames_skipped": 4, "frames_dropped": 0,
    "bytes_received": 58000000, "bytes_sent": 174000000, "gop_bytes": 600000})");
}

TEST(RenderStreams, one_line_per_stream) {
  const Json streams = {{"streams", {stream_row()}}, {"total", 1}};
  EXPECT_EQ(render_streams(streams, plain),
            "NAME       VIDEO  SIZE        FPS  AUDIO      BITRATE  SUBSCRIBERS  DROPS   LIVE  "
            "WORKER  PUBLISHER\n"
            "live/cam1  H.264  1280x720  29.97  AAC    2.53 Mbit/s            3      4  3m05s  "
            "     1  10.0.0.9:50123\n");
}

TEST(RenderStreams, none_is_said_and_a_cut_list_too) {
  EXPECT_EQ(render_streams({{"streams", Json::array()}, {"total", 0}}, plain),
            "no streams are live\n");
  const std::string cut = render_streams({{"streams", {stream_row()}}, {"total", 9}}, plain);
  EXPECT_NE(cut.find("1 of 9 streams\n"), std::string::npos);
}

TEST(RenderStream, everything_that_is_known_is_there) {
  const std::string text = render_stream(stream_row(), plain);
  for (const char* part : {"live/cam1", "10.0.0.9:50123 (connection 42)", "FMLE/3.0", "(3m05s)",
                           "H.264 1280x720 29.97 fps", "2.40 Mbit/s", "2 s", "AAC 44.1 kHz stereo",
                           "128 kbit/s", "-12 ms", "12,345", "55.3 MiB", "585.9 KiB"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  }
}

TEST(RenderStream, absent_tracks_are_a_dash) {
  const Json bare = Json::parse(R"({"video": {"codec": "-"}, "audio": {"codec": "-"}})");
  EXPECT_EQ(video_text(bare), "-");
  EXPECT_EQ(audio_text(bare), "-");
  EXPECT_EQ(audio_text(Json::parse(R"({"audio": {"codec": "Opus", "channels": 6}})")),
            "Opus 6 channels");
}

TEST(RenderStatus, health_and_what_is_wrong_come_first) {
  const Json status = Json::parse(R"({
    "control": {"process_id": 11, "version": "0.1.0", "uptime_s": 60},
    "dataplane": {"attached": false}, "healthy": false, "config_file": "penstock.toml",
    "epoch": {"wanted": 5, "applied": 4}, "draining": true, "log_level": "info",
    "connections": 3, "connections_max": 16384, "warnings": ["penstockd does not answer"]})");
  const std::string text = render_status(status, plain);
  EXPECT_EQ(text.rfind("health", 0), 0U);
  for (const char* part : {"not healthy", "not attached", "waits for penstockd",
                           "no: penstockd is not attached", "warning: penstockd does not answer"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  }
  for (const char* part : {"yes", "applied up to", "streams", "16,384"}) {
    EXPECT_EQ(text.find(part), std::string::npos) << part << " says what nobody knows\n" << text;
  }
}

TEST(RenderStatus, what_is_not_applied_and_a_drain_are_said) {
  const Json status = Json::parse(R"({
    "dataplane": {"attached": true}, "healthy": true, "epoch": {"wanted": 5, "applied": 4},
    "draining": true, "connections": 3, "connections_max": 16384})");
  const std::string text = render_status(status, plain);
  for (const char* part : {"applied up to 4", "no: draining", "3 of 16,384"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  }
}

TEST(RenderStatus, empty_answer_of_another_version_is_no_crash) {
  EXPECT_FALSE(render_status(Json::object(), plain).empty());
  EXPECT_FALSE(render_status(Json::array(), plain).empty());
  EXPECT_FALSE(render_stream(Json(), plain).empty());
}

TEST(RenderConnections, rows_and_their_empty_form) {
  EXPECT_EQ(render_connections({{"connections", Json::array()}}, plain), "no connections\n");
  const Json row = {{"connection_id", "42"}, {"role", "subscriber"}, {"peer", "[::1]:5"},
                    {"stream", "live/a"},    {"duration_s", 5},      {"queued_bytes", 2048},
                    {"worker", 0},           {"software", "LNX 9"}};
  const std::string text = render_connections({{"connections", {row}}, {"total", 1}}, plain);
  EXPECT_NE(text.find("42  subscriber  [::1]:5  live/a    5s"), std::string::npos) << text;
  EXPECT_NE(text.find("2.0 KiB"), std::string::npos);
}

TEST(RenderWorkers, silent_worker_is_said) {
  const Json row = {{"worker", 0}, {"core", 3}, {"alive", false}, {"heartbeat_age_ms", 900}};
  const std::string text = render_workers({{"workers", {row}}}, plain);
  EXPECT_NE(text.find("silent for 900 ms"), std::string::npos) << text;
  EXPECT_NE(render_workers({{"workers", Json::array()}}, plain).find("not attached"),
            std::string::npos);
}

TEST(RenderWorkers, links_stand_below_and_numbers_that_are_0_are_left_out) {
  const Json workers = Json::parse(R"({"workers": [{"worker": 0, "core": 2, "alive": true}],
    "links": [{"worker": 0, "device": "0000:3b:00.0", "up": true, "bits_per_second": 25000000000,
               "numbers": {"engine": {"redirections_full": 2, "turns": 0},
                           "tcp": {"packets_in": 77, "segments_retransmitted": 5},
                           "device": {"rx_missed_errors": 3}}},
              {"worker": 1, "device": "0000:3b:00.1", "up": false}]})");
  const std::string text = render_workers(workers, plain);
  for (const char* part : {"0000:3b:00.0  up, 25", "down", "DROPPED", "77"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  const std::string numbers = render_numbers(workers, plain);
  EXPECT_NE(numbers.find("tcp.segments_retransmitted"), std::string::npos) << numbers;
  EXPECT_EQ(numbers.find("turns"), std::string::npos) << numbers;
}

TEST(RenderCounters, zeros_are_left_out_unless_asked_for) {
  const Json counters = Json::parse(R"({
    "counters": [{"name": "sends", "gauge": false, "help": "handed over", "total": 1500,
                  "workers": [1000, 500]},
                 {"name": "ticks", "gauge": false, "help": "turns", "total": 0,
                  "workers": [0, 0]}],
    "faults": [{"name": "peer_reset", "fatal": true, "text": "connection reset", "total": 2,
                "workers": [2, 0]}]})");
  EXPECT_EQ(render_counters(counters, false, plain),
            "COUNTER  TOTAL     W0   W1  MEANING\n"
            "sends    1,500  1,000  500  handed over\n"
            "\n"
            "FAULT       TOTAL  W0  W1  MEANING\n"
            "peer_reset      2   2   0  connection reset\n");
  EXPECT_NE(render_counters(counters, true, plain).find("ticks"), std::string::npos);
  EXPECT_NE(render_counters(Json::object(), false, plain).find("--all"), std::string::npos);
}

TEST(RenderTunables, says_when_each_takes_effect_and_what_waits) {
  const Json tunables = Json::parse(R"({"tunables": [
    {"key": "limits.gop_bytes", "name": "gop_bytes", "value": 4194304, "default": 2097152,
     "min": 0, "max": 268435456, "unit": "bytes", "live": true, "source": "live",
     "file_value": 2097152, "restart_needed": false, "help": "memory"},
    {"key": "limits.connections_max", "name": "connections_max", "value": 16384, "default": 16384,
     "min": 1, "max": 1000000, "unit": "connections", "live": false, "source": "file",
     "file_value": 20000, "restart_needed": true, "help": "connections"}]})");
  const std::string text = render_tunables(tunables, plain);
  EXPECT_NE(text.find("at once"), std::string::npos) << text;
  EXPECT_NE(text.find("needs restart (waiting)"), std::string::npos) << text;
  EXPECT_NE(text.find("0..268435456"), std::string::npos) << text;
  const std::string one = render_tunable(tunables["tunables"][0], plain);
  EXPECT_NE(one.find("4194304 (4.0 MiB)"), std::string::npos) << one;
  EXPECT_NE(one.find("at once"), std::string::npos) << one;
}

TEST(RenderTuneSet, says_before_after_and_whether_it_is_in_effect) {
  Json result = {
      {"key", "limits.gop_bytes"}, {"value", 4194304}, {"previous", 0}, {"applied", true}};
  EXPECT_EQ(render_tune_set(result, "bytes"),
            "limits.gop_bytes: 0 -> 4194304 (4.0 MiB), takes effect at once: every worker runs "
            "with it\n");
  result["applied"] = false;
  EXPECT_NE(render_tune_set(result, "bytes").find("not applied"), std::string::npos);
  result["note"] = "penstockd is not attached: later";
  EXPECT_EQ(
      render_tune_set(result, "bytes"),
      "limits.gop_bytes: 0 -> 4194304 (4.0 MiB), accepted\npenstockd is not attached: later\n");
}

TEST(RenderReload, changes_and_what_they_wait_for) {
  EXPECT_EQ(render_reload(Json::object()), "read again; nothing changed\n");
  const Json reload = {{"changed", {"limits.gop_bytes", "listen.rtmp"}},
                       {"restart_needed", {"listen.rtmp"}},
                       {"restart_needed_control", Json::array()},
                       {"kept_live", {"limits.message_bytes_max"}},
                       {"applied", true}};
  const std::string text = render_reload(reload);
  EXPECT_NE(text.find("changed: limits.gop_bytes, listen.rtmp\n"), std::string::npos) << text;
  EXPECT_NE(text.find("when penstockd is restarted: listen.rtmp\n"), std::string::npos) << text;
  EXPECT_NE(text.find("limits.message_bytes_max (tune reset KEY)"), std::string::npos) << text;
}

TEST(RenderReload, certificate_files_are_said_without_a_changed_key) {
  const Json reload = {{"changed", Json::array()},
                       {"certificates", {"a.pem for a.example, EC 256, ends 2027-01-01"}},
                       {"note", "certificates: b.pem: has expired"}};
  EXPECT_EQ(render_reload(reload),
            "read again; no key changed, certificate files did\n"
            "certificate read again: a.pem for a.example, EC 256, ends 2027-01-01\n"
            "certificates: b.pem: has expired\n");
}

TEST(RenderConfig, keys_are_counted_and_never_shown) {
  const Json config = Json::parse(R"({"file": "p.toml", "workers": [0, 1], "rtmp": ["[::]:1935"],
    "publish": "keys", "keys": {"count": 12}, "tunables": [], "restart_needed": ["listen.rtmp"]})");
  const std::string text = render_config(config, plain);
  EXPECT_NE(text.find("12 (not shown)"), std::string::npos) << text;
  EXPECT_NE(text.find("0, 1"), std::string::npos) << text;
  EXPECT_NE(text.find("restarted: listen.rtmp"), std::string::npos) << text;
}

TEST(RenderConfig, the_section_of_an_engine_is_shown_where_it_is_there) {
  Json config = {{"engine", "uring"}, {"dpdk", {{"devices", Json::array()}}}};
  EXPECT_EQ(render_config(config, plain).find("dpdk."), std::string::npos);
  config["dpdk"] = {{"devices", {"net_af_xdp0,iface=a", "net_af_xdp1,iface=a"}},
                    {"address", "10.99.0.2/24"},
                    {"vlan", 0},
                    {"mtu", 1500}};
  const std::string text = render_config(config, plain);
  EXPECT_NE(text.find("net_af_xdp0,iface=a net_af_xdp1,iface=a\n"), std::string::npos) << text;
  EXPECT_NE(text.find("10.99.0.2/24\n"), std::string::npos) << text;
}

TEST(RenderConfig, every_key_that_waits_shows_what_runs_and_what_the_file_says) {
  const Json config = Json::parse(R"({"rtmp": ["127.0.0.1:2000"], "http": "127.0.0.1:8935",
    "tunables": [
      {"key": "limits.gop_bytes", "value": 4096, "file_value": 8192, "unit": "bytes",
       "source": "live"},
      {"key": "limits.streams_max", "value": 10, "file_value": 20, "unit": "streams",
       "source": "file", "restart_needed": true}],
    "waiting": [
      {"key": "listen.rtmp", "running": "127.0.0.1:1935", "file": "127.0.0.1:2000",
       "restart": "penstockd"},
      {"key": "limits.streams_max", "running": "10", "file": "20", "restart": "penstockd"}]})");
  const std::string text = render_config(config, plain);
  for (const char* part :
       {"127.0.0.1:1935 (file: 127.0.0.1:2000, needs restart)\n", "10 (file: 20, needs restart)\n",
        "127.0.0.1:8935\n", "4096 (4.0 KiB), set live (file: 8192 (8.0 KiB))\n"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in\n" << text;
  }
}

TEST(RenderCheck, lines_only_where_there_are_some_and_warnings_are_no_problems) {
  const Json bad = Json::parse(R"({"ok": false, "problems": [
    {"file": "p.toml", "line": 7, "text": "x"}, {"file": "p.toml", "line": 0, "text": "y"}]})");
  EXPECT_EQ(render_check("p.toml", bad, false), "p.toml:7: x\np.toml: y\np.toml: 2 problems\n");
  const Json good = Json::parse(R"({"ok": true, "problems": [], "warnings": ["nobody may"]})");
  EXPECT_EQ(render_check("p.toml", good, false), "p.toml: warning: nobody may\np.toml: ok\n");
  EXPECT_EQ(render_check("p.toml", {{"ok", true}}, true), "p.toml: ok, all defaults\n");
}

TEST(RenderHistory, reason_is_the_last_column) {
  Json row = stream_row();
  row["ended"] = "2026-11-23T05:00:00.000Z";
  row["reason"] = "publisher ended it";
  const std::string text = render_history({{"streams", {row}}, {"total", 3}}, plain);
  EXPECT_NE(text.find("10.0.0.9:50123  publisher ended it\n"), std::string::npos) << text;
  EXPECT_NE(text.find("1 of 3 ended streams"), std::string::npos) << text;
}

}  // namespace
}  // namespace penstock::controlplane::cli
