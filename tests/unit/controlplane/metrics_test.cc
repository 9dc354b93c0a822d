#include "controlplane/metrics.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/unit/controlplane/plane.h"

namespace penstock::controlplane {
namespace {

class MetricsTest : public Plane {
 protected:
  /// Value by series as it is written; every line must be of the text format (Prometheus,
  /// exposition formats 0.0.4).
  std::map<std::string, double> scrape() {
    static const std::regex sample(
        R"re(^([a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z_]+="([^"\\]|\\.)*",?)+\})?) (\S+)$)re");
    static const std::regex comment(R"(^# (HELP|TYPE) [a-z_]+ .*$)");
    std::map<std::string, double> series;
    std::istringstream text(ask("GET", "/metrics").body);
    std::string line;
    while (std::getline(text, line)) {
      std::smatch found;
      if (line.starts_with("#")) {
        EXPECT_TRUE(std::regex_match(line, comment)) << line;
      } else if (std::regex_match(line, found, sample)) {
        EXPECT_TRUE(series.emplace(found[1], std::stod(found[5])).second) << "twice: " << line;
      } else {
        ADD_FAILURE() << "no line of the format: " << line;
      }
    }
    return series;
  }
};

TEST_F(MetricsTest, counters_gauges_faults_and_streams_are_there_by_worker_and_name) {
  start_dataplane();
  control::WorkerArea& area = dataplane->region().worker(1);
  area.counters[static_cast<size_t>(control::Counter::bytes_received)].set(12'345);
  area.counters[static_cast<size_t>(control::Counter::connections)].set(3);
  area.faults[static_cast<size_t>(Fault::amf_depth)].set(2);
  dataplane->put_stream(0, 0, stream_row(1, "live/\"quoted\"\\", 4));
  const auto series = scrape();
  EXPECT_EQ(series.at("penstock_dataplane_up"), 1);
  EXPECT_EQ(series.at(R"(penstock_bytes_received_total{worker="1"})"), 12'345);
  EXPECT_EQ(series.at(R"(penstock_bytes_received_total{worker="0"})"), 0);
  EXPECT_EQ(series.at(R"(penstock_connections{worker="1"})"), 3);
  EXPECT_EQ(series.at(R"(penstock_faults_total{worker="1",fault="amf_depth"})"), 2);
  EXPECT_EQ(series.at(R"(penstock_stream_subscribers{stream="live/\"quoted\"\\"})"), 4);
  EXPECT_NEAR(series.at(R"(penstock_stream_fps{stream="live/\"quoted\"\\"})"), 29.97, 1e-6);
  EXPECT_EQ(series.at("penstock_streams"), 1);
}

TEST_F(MetricsTest,
       links_are_there_where_an_engine_has_a_device_and_whatever_its_driver_calls_things) {
  start_dataplane();
  EXPECT_FALSE(ask("GET", "/metrics").body.find("penstock_link_up") != std::string::npos);
  const auto row = std::make_unique<control::LinkRow>();
  row->device.set("net_af_packet0,iface=\"a\"");
  row->driver.set("net_af_packet");
  row->up = 1;
  row->mbps = 10'000;
  const std::pair<control::LinkNumberKind, const char*> numbers[] = {
      {control::LinkNumberKind::engine, "packets_received"},
      {control::LinkNumberKind::tcp, "timeouts"},
      {control::LinkNumberKind::device, "rx-q0 \xFF\n#"},
      {control::LinkNumberKind::device, "rx_q0____"},  // the same once it is clean
      {static_cast<control::LinkNumberKind>(7), "damage"},
  };
  for (const auto& [kind, name] : numbers) {
    control::LinkNumber& number = row->numbers[row->numbers_used++];
    number.kind = kind;
    number.name.set(name);
    number.value = 40 + row->numbers_used;
  }
  row->numbers_used = 1'000'000;  // damage
  dataplane->region().worker(1).link.write(*row);
  const auto series = scrape();
  const std::string device = R"(device="net_af_packet0,iface=\"a\"")";
  EXPECT_EQ(series.at("penstock_link_up{worker=\"1\"," + device + ",driver=\"net_af_packet\"}"), 1);
  EXPECT_EQ(series.at(R"(penstock_engine_total{worker="1",counter="packets_received"})"), 41);
  EXPECT_EQ(series.at(R"(penstock_tcp_total{worker="1",counter="timeouts"})"), 42);
  EXPECT_EQ(series.at("penstock_device_total{" + device + ",counter=\"rx_q0____\"}"), 43);
  const auto answer = ask_json("GET", "/api/v1/workers");
  ASSERT_EQ(answer["links"].size(), 1u);
  EXPECT_EQ(answer["links"][0]["worker"], 1);
  EXPECT_EQ(answer["links"][0]["bits_per_second"], 10'000'000'000u);
  EXPECT_EQ(answer["links"][0]["numbers"]["tcp"]["timeouts"], 42);
}

TEST_F(MetricsTest, every_counter_of_the_region_is_exported) {
  start_dataplane();
  const auto series = scrape();
  for (const control::CounterInfo& info : control::counter_table) {
    const std::string name = "penstock_" + std::string(info.name) + (info.gauge ? "" : "_total");
    EXPECT_TRUE(series.contains(name + R"({worker="0"})")) << name;
  }
}

TEST_F(MetricsTest, names_of_strangers_do_not_break_the_format) {
  start_dataplane();
  dataplane->put_stream(0, 0, stream_row(1, "live/\xFF\n# TYPE x\x01"));
  dataplane->put_stream(0, 1, stream_row(2, "live/\xC3\x28"));
  EXPECT_EQ(scrape().at("penstock_streams"), 2);
}

TEST_F(MetricsTest, without_a_data_plane_there_is_little_but_valid_text) {
  const auto series = scrape();
  EXPECT_EQ(series.at("penstock_dataplane_up"), 0);
}

}  // namespace
}  // namespace penstock::controlplane
