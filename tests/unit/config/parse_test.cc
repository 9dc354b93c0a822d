#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "penstock/base/limits.h"
#include "penstock/config/config.h"

namespace penstock::config {
namespace {

using control::Tunable;
using control::value_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> problems_of(std::string_view text) {
  std::vector<std::string> problems;
  const auto config = parse(text, "p.toml");
  if (config) return problems;
  for (const Problem& problem : config.error()) problems.push_back(problem.to_string());
  return problems;
}

TEST(ConfigParse, empty_file_is_all_defaults) {
  const auto config = parse("", "p.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->engine, "uring");
  EXPECT_THAT(config->workers, ElementsAre(0U));
  EXPECT_EQ(config->state_dir, "state");
  EXPECT_THAT(config->rtmp, ElementsAre(ListenAddress{"127.0.0.1", 1935, false}));
  EXPECT_EQ(config->publish, control::AdmissionMode::open);
  EXPECT_TRUE(config->keys.empty());
  EXPECT_EQ(config->http, "127.0.0.1:8935");
  EXPECT_EQ(config->socket, "state/control.sock");
  EXPECT_EQ(config->tunables, control::tunable_defaults());
}

struct PortCase {
  std::string_view rtmp;
  std::string_view http;
  bool same;
};

TEST(ConfigParse, http_on_a_port_of_rtmp_is_a_problem_with_its_line) {
  const PortCase cases[] = {
      {"127.0.0.1:1935", "127.0.0.1:1935", true},  {"127.0.0.1:1935", "localhost:1935", true},
      {":1935", "127.0.0.1:1935", true},           {":1935", "[::1]:1935", true},
      {"0.0.0.0:1935", "127.0.0.1:1935", true},    {"0.0.0.0:1935", "[::1]:1935", false},
      {"127.0.0.1:1935", "127.0.0.2:1935", false}, {"127.0.0.1:1935", "127.0.0.1:1936", false},
      {"[::1]:1935", "127.0.0.1:1935", false},     {"[0::1]:1935", "[::1]:1935", true},
  };
  for (const PortCase& one : cases) {
    const std::string text = "[listen]\nrtmp = [\"" + std::string(one.rtmp) +
                             "\"]\n[control]\nhttp = \"" + std::string(one.http) + "\"\n";
    const auto problems = problems_of(text);
    ASSERT_EQ(problems.size(), one.same ? 1U : 0U) << text;
    if (one.same) {
      EXPECT_THAT(problems[0], HasSubstr("p.toml:4: control.http"));
    }
  }
  EXPECT_THAT(problems_of("[listen]\nrtmp = [\"127.0.0.1:8935\"]\n"),
              ElementsAre(HasSubstr("p.toml:2: control.http")));
}

TEST(ConfigParse, a_problem_without_a_line_does_not_name_line_0) {
  EXPECT_EQ((Problem{"p.toml", 0, "is empty"}.to_string()), "p.toml: is empty");
  EXPECT_EQ((Problem{"p.toml", 3, "x"}.to_string()), "p.toml:3: x");
}

TEST(ConfigCautions, key_mode_without_a_key_is_accepted_and_said) {
  const auto without = parse("[admission]\npublish = \"keys\"\n", "p.toml");
  ASSERT_TRUE(without);
  EXPECT_THAT(cautions(*without), ElementsAre(HasSubstr("nobody may publish")));
  const auto with = parse("[admission]\npublish = \"keys\"\nkeys = [\"live/a\"]\n", "p.toml");
  ASSERT_TRUE(with);
  EXPECT_TRUE(cautions(*with).empty());
  EXPECT_TRUE(cautions(Config{}).empty());
}

TEST(ConfigParse, every_key_is_read) {
  const auto config = parse(R"(
[dataplane]
engine = "uring"
workers = [3, 1]
state_dir = "/var/lib/penstock"
gather_ms = 0
[listen]
rtmp = ["127.0.0.1:1936", "[::1]:1937", ":1938"]
[admission]
publish = "keys"
keys = ["live/b", "live/a", "live/b"]
verdict_ms = 250
[limits]
connections_max = 100
message_bytes_max = 4096
subscriber_queue_bytes = 65_536
gop_bytes = 0
[liveness]
first_media_ms = 600000
[control]
http = "0.0.0.0:80"
socket = "/run/p.sock"
token_file = "/etc/token"
[log]
format = "json"
level = "warning"
)",
                            "p.toml");
  ASSERT_TRUE(config) << config.error()[0].to_string();
  EXPECT_THAT(config->workers, ElementsAre(3U, 1U));
  EXPECT_EQ(config->state_dir, "/var/lib/penstock");
  EXPECT_THAT(config->rtmp,
              ElementsAre(ListenAddress{"127.0.0.1", 1936, false}, ListenAddress{"::1", 1937, true},
                          ListenAddress{"0.0.0.0", 1938, false}, ListenAddress{"::", 1938, true}));
  EXPECT_EQ(config->publish, control::AdmissionMode::keys);
  EXPECT_THAT(config->keys, ElementsAre("live/a", "live/b"));
  EXPECT_EQ(value_of(config->tunables, Tunable::gather_ms), 0U);
  EXPECT_EQ(value_of(config->tunables, Tunable::verdict_ms), 250U);
  EXPECT_EQ(value_of(config->tunables, Tunable::connections_max), 100U);
  EXPECT_EQ(value_of(config->tunables, Tunable::message_bytes_max), 4096U);
  EXPECT_EQ(value_of(config->tunables, Tunable::subscriber_queue_bytes), 65536U);
  EXPECT_EQ(value_of(config->tunables, Tunable::gop_bytes), 0U);
  EXPECT_EQ(value_of(config->tunables, Tunable::first_media_ms), 600'000U);
  EXPECT_EQ(config->http, "0.0.0.0:80");
  EXPECT_EQ(config->socket, "/run/p.sock");
  EXPECT_EQ(config->token_file, "/etc/token");
  EXPECT_EQ(config->log_format, LogFormat::json);
  EXPECT_EQ(config->log_level, control::LogLevel::warning);
}

TEST(ConfigParse, every_tunable_takes_its_bounds_and_nothing_beyond) {
  for (size_t i = 0; i < control::tunable_count; ++i) {
    const control::TunableInfo& info = control::tunable_table[i];
    SCOPED_TRACE(info.key);
    const auto with = [&info](const std::string& value) {
      return parse(std::string{info.key} + " = " + value + "\n", "p.toml");
    };
    for (const uint64_t value : {info.min, info.max}) {
      const auto config = with(std::to_string(value));
      ASSERT_TRUE(config);
      EXPECT_EQ(config->tunables[i], value);
    }
    EXPECT_FALSE(with(std::to_string(info.max + 1)));
    EXPECT_FALSE(with(info.min == 0 ? "-1" : std::to_string(info.min - 1)));
    EXPECT_FALSE(with("-9223372036854775808"));
    EXPECT_FALSE(with("\"1\""));
    EXPECT_FALSE(with("1.5"));
    EXPECT_FALSE(with("[1]"));
  }
}

TEST(ConfigParse, each_problem_says_where_and_what_would_be_accepted) {
  const struct {
    const char* text;
    const char* problem;
  } cases[] = {
      {"[limits]\n\ngop_bytes = -1",
       "p.toml:3: limits.gop_bytes: -1 is out of range; accepted: 0 to 268435456 bytes"},
      {"[limits]\ngop_bytes = \"2 MB\"",
       "p.toml:2: limits.gop_bytes: a text; accepted: a whole number, 0 to 268435456 bytes"},
      {"[limits]\nconnections_max = 0",
       "p.toml:2: limits.connections_max: 0 is out of range; accepted: 1 to 1000000 connections"},
      {"[limits]\ngop_byte = 1", "p.toml:2: limits.gop_byte: unknown key; did you mean gop_bytes?"},
      {"[limits]\nGOP-Bytes = 1",
       "p.toml:2: limits.GOP-Bytes: unknown key; did you mean gop_bytes?"},
      {"[limits]\nrtmp = []", "p.toml:2: limits.rtmp: unknown key; did you mean listen.rtmp?"},
      {"[listen]\ncolour = 1",
       "p.toml:2: listen.colour: unknown key; accepted: rtmp, rtmps, rtmpt, "
       "rtmpts, sniff, proxy_from"},
      {"\n[limit]\ngop_bytes = 1", "p.toml:2: \"limit\": unknown section; did you mean [limits]?"},
      {"[colour]",
       "p.toml:1: \"colour\": unknown section; accepted: dataplane, listen, tls, rtmpe, dpdk, "
       "admission, control, log, limits, liveness, rtmpt"},
      {"workers = [0]",
       "p.toml:1: \"workers\": a key outside of a section; did you mean dataplane.workers?"},
      {"colour = 1",
       "p.toml:1: \"colour\": a key outside of a section; accepted: keys in [dataplane, listen, "
       "tls, rtmpe, dpdk, admission, control, log, limits, liveness, rtmpt]"},
      {"limits = 3", "p.toml:1: limits: a whole number; accepted: a section, [limits]"},
      {"[[limits]]", "p.toml:1: limits: a list; accepted: a section, [limits]"},
      {"[dataplane]\nengine = \"io_uring\"",
       "p.toml:2: dataplane.engine: \"io_uring\" is not one of \"uring\", \"dpdk\"; did you mean "
       "\"uring\"?"},
      {"[dataplane]\nworkers = 2",
       "p.toml:2: dataplane.workers: a whole number; accepted: a list of 1 to 64 core numbers, "
       "as in [0, 1]"},
      {"[dataplane]\nworkers = []",
       "p.toml:2: dataplane.workers: 0 cores; accepted: a list of 1 to 64 core numbers, as in [0, "
       "1]"},
      {"[dataplane]\nworkers = [0,\n1,\n0]",
       "p.toml:4: dataplane.workers: core 0 is there twice; accepted: every core once"},
      {"[dataplane]\nworkers = [-1]",
       "p.toml:2: dataplane.workers: -1 is no core; accepted: 0 to 1023"},
      {"[dataplane]\nworkers = [1024]",
       "p.toml:2: dataplane.workers: 1024 is no core; accepted: 0 to 1023"},
      {"[dataplane]\nworkers = [\"0\"]",
       "p.toml:2: dataplane.workers: a text; accepted: core numbers, 0 to 1023"},
      {"[dataplane]\nstate_dir = \"\"",
       "p.toml:2: dataplane.state_dir: \"\" is no path; accepted: 1 to 4095 bytes without control "
       "characters"},
      {"[dataplane]\nstate_dir = \"a\\u0000b\"",
       "p.toml:2: dataplane.state_dir: \"a?b\" is no path; accepted: 1 to 4095 bytes without "
       "control characters"},
      {"[listen]\nrtmp = \":1935\"",
       "p.toml:2: listen.rtmp: a text; accepted: a list of addresses, as in [\"127.0.0.1:1935\"]"},
      {"[listen]\nrtmp = []",
       "p.toml:2: listen.rtmp: 0 addresses; accepted: 1 to 64, or none when listen.rtmps, "
       "listen.rtmpt or listen.rtmpts has some"},
      {"[listen]\nrtmp = [\"localhost:1935\"]",
       "p.toml:2: listen.rtmp: \"localhost:1935\" is no address to listen on; accepted: an address "
       "in numbers and a port, as "
       "in \"127.0.0.1:1935\", \"[::1]:1935\" or \":1935\""},
      {"[listen]\nrtmp = [1935]",
       "p.toml:2: listen.rtmp: a whole number; accepted: an address in numbers and a port, as in "
       "\"127.0.0.1:1935\", \"[::1]:1935\" or \":1935\""},
      {"[listen]\nrtmp = [\"[::1]:1\",\n\"[0:0::1]:1\"]",
       "p.toml:3: listen.rtmp: \"[0:0::1]:1\" is there twice; accepted: every address once"},
      {"[listen]\nrtmp = [\":1\", \"0.0.0.0:1\"]",
       "p.toml:2: listen.rtmp: \"0.0.0.0:1\" is there twice; accepted: every address once"},
      {"[listen]\nrtmp = [\"[::]:1\", \":1\"]",
       "p.toml:2: listen.rtmp: \":1\" is there twice; accepted: every address once"},
      {"[admission]\npublish = \"key\"",
       "p.toml:2: admission.publish: \"key\" is not one of \"open\", \"keys\", \"login\"; did "
       "you mean \"keys\"?"},
      {"[admission]\nkeys = [\"live/a\",\n\"live//secret\"]",
       "p.toml:3: admission.keys: entry 2 is no stream name; accepted: \"app/name\", without "
       "query, empty parts, \"..\" and "
       "control characters, at most 255 bytes"},
      {"[admission]\nkeys = \"live/a\"",
       "p.toml:2: admission.keys: a text; accepted: a list of stream names, as in "
       "[\"live/camera1\"]"},
      {"[admission]\nkeys = [1]",
       "p.toml:2: admission.keys: a whole number; accepted: stream names, as in \"live/camera1\""},
      {"[control]\nhttp = \"8935\"",
       "p.toml:2: control.http: \"8935\" is no address to listen on; accepted: an address in "
       "numbers and a port, as in \"127.0.0.1:8935\" or \"[::1]:8935\""},
      {"[control]\nhttp = \"0.0.0.0:8935\"",
       "p.toml:2: control.http: \"0.0.0.0:8935\" is reachable by others; accepted: a loopback "
       "address, or control.token_file "
       "as well"},
      {"[control]\nhttp = \":8935\"",
       "p.toml:2: control.http: \":8935\" is reachable by others; accepted: a loopback "
       "address, or control.token_file as well"},
      {"[control]\nhttp = true",
       "p.toml:2: control.http: true or false; accepted: an address in numbers and a port, as in "
       "\"127.0.0.1:8935\" or \"[::1]:8935\""},
      {"[log]\nlevel = \"warn\"",
       "p.toml:2: log.level: \"warn\" is not one of \"trace\", \"debug\", \"info\", \"warning\", "
       "\"error\"; did you mean \"warning\"?"},
      {"[log]\nformat = 1.5",
       "p.toml:2: log.format: a number with a point; accepted: \"text\", \"json\""},
      {"[log]\nformat = 2024-01-01",
       "p.toml:2: log.format: a date or time; accepted: \"text\", \"json\""},
      {"[log.format]", "p.toml:1: log.format: a section; accepted: \"text\", \"json\""},
  };
  for (const auto& c : cases) EXPECT_THAT(problems_of(c.text), ElementsAre(c.problem)) << c.text;
}

TEST(ConfigParse, loopback_http_needs_no_token) {
  for (const char* address : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_THAT(problems_of("[control]\nhttp = \"" + std::string{address} + "\""), ElementsAre())
        << address;
  }
  for (const char* address : {"128.0.0.1:1", "[::]:1", "[::2]:1"}) {
    EXPECT_EQ(problems_of("[control]\nhttp = \"" + std::string{address} + "\"").size(), 1U)
        << address;
  }
}

TEST(ConfigParse, all_problems_are_reported_in_the_order_of_lines) {
  const auto problems = problems_of(R"([limits]
gop_bytes = -1
[dataplane]
workers = [0, 0, 5000]
engin = "uring"
[listen]
rtmp = ["nowhere", "127.0.0.1:0"]
[control]
http = "0.0.0.0:1"
[whatever]
)");
  ASSERT_EQ(problems.size(), 8U);
  const char* starts[] = {
      "p.toml:2: limits.gop_bytes", "p.toml:4: dataplane.workers", "p.toml:4: dataplane.workers",
      "p.toml:5: dataplane.engin:", "p.toml:7: listen.rtmp",       "p.toml:7: listen.rtmp",
      "p.toml:9: control.http",     "p.toml:10: \"whatever\""};
  for (size_t i = 0; i < problems.size(); ++i)
    EXPECT_THAT(problems[i], testing::StartsWith(starts[i]));
}

TEST(ConfigParse, what_is_not_toml_has_its_line) {
  const struct {
    const char* text;
    const char* start;
  } cases[] = {
      {"[limits]\ngop_bytes = \n", "p.toml:2: not TOML: "},
      {"[limits\n", "p.toml:1: not TOML: "},
      {"[a]\nb = 1\nb = 2\n", "p.toml:3: not TOML: "},
      {"[a]\n[b]\n[a]\n", "p.toml:3: not TOML: "},
      {"a = \"\xff\"", "p.toml:1: not TOML: "},
  };
  for (const auto& c : cases) {
    const auto problems = problems_of(c.text);
    ASSERT_EQ(problems.size(), 1U) << c.text;
    EXPECT_THAT(problems[0], testing::StartsWith(c.start)) << c.text;
  }
}

TEST(ConfigParse, every_key_of_the_variants_is_read) {
  const auto config = parse(R"(
[listen]
rtmp = []
rtmps = [":443"]
rtmpt = ["127.0.0.1:80"]
rtmpts = ["[::1]:8443"]
sniff = false
proxy_from = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]
[tls]
tickets = 2
handshakes_per_second = 7
[[tls.certificates]]
cert = "a.pem"
key = "a.key"
[[tls.certificates]]
cert = "b.pem"
key = "b.key"
names = ["Example.com", "*.example.com"]
[rtmpt]
idle_ms = 1000
sessions_max = 3
[rtmpe]
enabled = true
handshakes_per_second = 9
[admission]
publish = "login"
)",
                            "p.toml");
  ASSERT_TRUE(config) << config.error()[0].to_string();
  EXPECT_TRUE(config->rtmp.empty());
  EXPECT_THAT(config->rtmps,
              ElementsAre(ListenAddress{"0.0.0.0", 443, false}, ListenAddress{"::", 443, true}));
  EXPECT_THAT(config->rtmpt, ElementsAre(ListenAddress{"127.0.0.1", 80, false}));
  EXPECT_THAT(config->rtmpts, ElementsAre(ListenAddress{"::1", 8443, true}));
  EXPECT_FALSE(config->sniff);
  ASSERT_EQ(config->proxy_from.size(), 3U);
  EXPECT_EQ(to_string(config->proxy_from[1]), "fd00::/8");
  EXPECT_EQ(to_string(config->proxy_from[2]), "192.0.2.7/32");
  EXPECT_THAT(config->certificates,
              ElementsAre(Certificate{"a.pem", "a.key", {}},
                          Certificate{"b.pem", "b.key", {"example.com", "*.example.com"}}));
  EXPECT_EQ(config->tls_tickets, 2U);
  EXPECT_EQ(value_of(config->tunables, Tunable::tls_handshakes_per_second), 7U);
  EXPECT_EQ(value_of(config->tunables, Tunable::rtmpt_idle_ms), 1000U);
  EXPECT_EQ(value_of(config->tunables, Tunable::rtmpt_sessions_max), 3U);
  EXPECT_TRUE(config->rtmpe_enabled);
  EXPECT_EQ(value_of(config->tunables, Tunable::rtmpe_handshakes_per_second), 9U);
  EXPECT_EQ(config->publish, control::AdmissionMode::login);
}

TEST(ConfigParse, certificates_in_one_line_are_the_same) {
  const auto config =
      parse("[tls]\ncertificates = [{cert = \"a\", key = \"b\", names = [\"c.d\"]}]\n", "p.toml");
  ASSERT_TRUE(config);
  EXPECT_THAT(config->certificates, ElementsAre(Certificate{"a", "b", {"c.d"}}));
}

TEST(ConfigParse, problems_of_the_variants_say_what_would_be_accepted) {
  const struct {
    const char* text;
    const char* start;
  } cases[] = {
      {"[listen]\nrtmp = []\nrtmps = []", "p.toml:2: listen.rtmp: 0 addresses; accepted: 1 to 64"},
      {"[listen]\nrtmp = [\":1\"]\nrtmps = [\":1\"]",
       "p.toml:3: listen.rtmps: \":1\" is in listen.rtmp, too; accepted: every address once"},
      {"[listen]\nrtmps = [\":1935\"]",
       "p.toml:2: listen.rtmps: \":1935\" (0.0.0.0:1935) is the port of listen.rtmp, which is "},
      {"[listen]\nrtmpt = [\":8935\"]",
       "p.toml:2: control.http: \"127.0.0.1:8935\" is the port of listen.rtmpt"},
      {"[listen]\nsniff = 1", "p.toml:2: listen.sniff: a whole number; accepted: true or false"},
      {"[listen]\nproxy_from = [\"10.0.0.1/8\"]",
       "p.toml:2: listen.proxy_from: \"10.0.0.1/8\" is no network; accepted: an address in "
       "numbers with the length of its network"},
      {"[listen]\nproxy_from = [\"balancer\"]", "p.toml:2: listen.proxy_from: \"balancer\" is no"},
      {"[tls]\ncertificates = \"a.pem\"",
       "p.toml:2: tls.certificates: a text; accepted: a list of certificates, as in [{cert = "},
      {"[tls]\ncertificates = [\"a.pem\"]", "p.toml:2: tls.certificates[1]: a text; accepted: "},
      {"[tls]\ncertificates = [{cert = \"a\"}]", "p.toml:2: tls.certificates[1]: no key; accepted"},
      {"[[tls.certificates]]\ncert = \"a\"\nkey = \"b\"\nname = \"c\"",
       "p.toml:4: tls.certificates[1].name: unknown key; did you mean names?"},
      {"[tls]\ncertificates = [{cert = \"a\", key = \"\"}]",
       "p.toml:2: tls.certificates[1].key: \"\" is no path; accepted: "},
      {"[tls]\ncertificates = [{cert = \"a\", key = \"b\", names = [\"a b\"]}]",
       "p.toml:2: tls.certificates[1].names: \"a b\" is no name; accepted: a host name, as in "},
      {"[tls]\ncertificates = [{cert = \"a\", key = \"b\", names = [\"*.com\"]}]",
       "p.toml:2: tls.certificates[1].names: \"*.com\" is no name"},
      {"[tls]\ncertificates = [{cert = \"a\", key = \"b\", names = [\"c.d\", \"C.d\"]}]",
       "p.toml:2: tls.certificates[1].names: \"C.d\" is there twice; accepted: every name once"},
      {"[tls]\ntickets = 9", "p.toml:2: tls.tickets: 9 is out of range; accepted: 0 to 8"},
      {"[rtmpe]\nenabled = \"yes\"", "p.toml:2: rtmpe.enabled: a text; accepted: true or false"},
  };
  for (const auto& c : cases) {
    const auto problems = problems_of(c.text);
    ASSERT_EQ(problems.size(), 1U) << c.text;
    EXPECT_THAT(problems[0], testing::StartsWith(c.start)) << c.text;
  }
}

TEST(ConfigParse, certificates_are_bounded) {
  std::string text = "[tls]\ncertificates = [\n";
  for (size_t i = 0; i <= certificates_max; ++i) text += "{cert = \"c\", key = \"k\"},\n";
  EXPECT_THAT(problems_of(text + "]"),
              ElementsAre(HasSubstr("65 certificates; accepted: at most")));
  text = "[tls]\ncertificates = [\n";
  for (size_t i = 0; i < 20; ++i)
    text += "{cert = \"" + std::string(4000, 'c') + "\", key = \"k\"},\n";
  EXPECT_THAT(problems_of(text + "]"),
              ElementsAre(HasSubstr("bytes of paths and names; accepted: at most 65536")));
}

TEST(ConfigCautions, what_of_the_variants_is_probably_not_meant_is_said) {
  const struct {
    const char* text;
    const char* caution;
  } cases[] = {
      {"[listen]\nrtmps = [\":443\"]", "listen.rtmps has addresses and tls.certificates is empty"},
      {"[listen]\nrtmpts = [\":443\"]",
       "listen.rtmpts has addresses and tls.certificates is empty"},
      {"[listen]\nsniff = false\n[tls]\ncertificates = [{cert = \"a\", key = \"b\"}]",
       "nobody can use them"},
      {"[tls]\ntickets = 1", "rtmpdump"},
      {"[rtmpe]\nenabled = true", "obfuscation"},
      {"[listen]\nproxy_from = [\"0.0.0.0/0\"]", "any peer may then say"},
  };
  for (const auto& c : cases) {
    const auto config = parse(c.text, "p.toml");
    ASSERT_TRUE(config) << c.text;
    EXPECT_THAT(cautions(*config), ElementsAre(HasSubstr(c.caution))) << c.text;
  }
}

TEST(ConfigParse, files_of_certificates_lie_beside_the_configuration) {
  const std::string text =
      "[[tls.certificates]]\ncert = \"tls/a.pem\"\nkey = \"/etc/a.key\"\n\n"
      "[[tls.certificates]]\ncert = \"b.pem\"\nkey = \"b.key\"\n";
  const auto config = parse(text, "/etc/penstock/penstock.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->certificates,
            (std::vector<Certificate>{{"/etc/penstock/tls/a.pem", "/etc/a.key", {}},
                                      {"/etc/penstock/b.pem", "/etc/penstock/b.key", {}}}));
  EXPECT_EQ(config->certificates[0].line, 2u);
  EXPECT_EQ(config->certificates[1].line, 6u);
  const auto kept = parse(render(*config), "/var/lib/penstock/applied.toml");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->certificates, config->certificates) << "also when read from elsewhere";
  EXPECT_EQ(parse(text, "p.toml")->certificates[1].cert, "b.pem");
}

TEST(CertificatesText, other_text_is_refused) {
  const std::vector<Certificate> some = {{"a", "b", {}}, {"c", "d", {"e.f", "*.e.f"}}};
  EXPECT_EQ(parse_certificates_text(certificates_text(some)), some);
  EXPECT_EQ(parse_certificates_text(""), std::vector<Certificate>{});
  for (const char* text : {"a\tb", "a\n", "\n", "a\t\n", "\tb\n", "a\tb\t\n", "a\tb\n\n"}) {
    EXPECT_FALSE(parse_certificates_text(text)) << text;
  }
  std::string many;
  for (size_t i = 0; i <= certificates_max; ++i) many += "a\tb\n";
  EXPECT_FALSE(parse_certificates_text(many));
}

TEST(ConfigParse, workers_are_at_most_64) {
  const auto list_of = [](size_t count) {
    std::string text = "[dataplane]\nworkers = [";
    for (size_t i = 0; i < count; ++i) text += std::to_string(i) + ",";
    return text + "]";
  };
  EXPECT_THAT(problems_of(list_of(64)), ElementsAre());
  EXPECT_THAT(problems_of(list_of(65)),
              ElementsAre(HasSubstr("65 cores; accepted: a list of 1 to 64")));
}

TEST(ConfigParse, no_key_of_admission_is_in_a_problem) {
  for (const std::string& problem :
       problems_of("[admission]\nkeys = [\"secret\", \"a//secret\", \"secret/..\"]")) {
    EXPECT_THAT(problem, testing::Not(HasSubstr("secret")));
  }
}

TEST(ConfigParse, keys_are_bounded_in_all) {
  std::string text = "[admission]\nkeys = [\n";
  const std::string pad(200, 'k');
  for (int i = 0; i < 21'000; ++i) text += "\"live/" + pad + std::to_string(i) + "\",\n";
  EXPECT_THAT(problems_of(text + "]"), ElementsAre(HasSubstr("accepted: at most 4194304")));
}

TEST(ConfigParse, socket_must_fit_into_its_address) {
  EXPECT_THAT(problems_of("[control]\nsocket = \"" + std::string(107, 's') + "\""), ElementsAre());
  EXPECT_THAT(problems_of("[control]\nsocket = \"" + std::string(108, 's') + "\""),
              ElementsAre(HasSubstr("p.toml:2: control.socket: 108 bytes; accepted: at most 107")));
  EXPECT_THAT(problems_of("\n[dataplane]\nstate_dir = \"" + std::string(100, 's') + "\""),
              ElementsAre(HasSubstr("p.toml:3: dataplane.state_dir: too long for a socket in it")));
  EXPECT_THAT(problems_of("[dataplane]\nstate_dir = \"" + std::string(100, 's') +
                          "\"\n[control]\nsocket = \"s\""),
              ElementsAre());
}

TEST(ConfigParse, hostile_text_ends_in_problems) {
  EXPECT_EQ(problems_of(std::string("a = ") + std::string(100'000, '[')).size(), 1U);
  EXPECT_EQ(problems_of("[limits]\n\"" + std::string(10'000, 'x') + "\" = 1").size(), 1U);
  EXPECT_LT(problems_of("[limits]\n\"" + std::string(10'000, 'x') + "\" = 1")[0].size(), 500U);
}

TEST(ConfigParse, keys_that_toml_stumbles_over_are_problems_too) {
  for (const char* text : {"[\xC3\xA9]", "[a\xC3\xA9]", "\xC3\xA9 = 1", "a = \xC3\xA9",
                           "a.\xC3\xA9 = 1", "[ = 1", "[limits\xC3\xA9]\n", "a.= 1", "[a.]", "[.a]",
                           "= 1", "[]", "\xC2\xA0[limits]", "\xE2\x80\x80 = 1"}) {
    EXPECT_EQ(problems_of(text).size(), 1U) << text;
  }
}

TEST(ConfigParse, cut_text_keeps_characters_whole) {
  std::string key = "x";
  for (int i = 0; i < 100; ++i) key += "\xC3\xA9";
  const std::string problem = problems_of("[limits]\n\"" + key + "\" = 1").at(0);
  EXPECT_THAT(problem, HasSubstr("\xC3\xA9...: unknown key"));
}

TEST(StreamName, as_the_protocol_makes_them) {
  const struct {
    std::string name;
    bool good;
  } cases[] = {
      {"live/a", true},
      {"live/a/b", true},
      {"live/a..b", true},
      {"live/\xC3\xA9", true},
      {"live/a b", true},
      {"live/...", true},
      {"live", false},
      {"", false},
      {"/", false},
      {"/live/a", false},
      {"live/a/", false},
      {"live//a", false},
      {"live/..", false},
      {"../a", false},
      {"live/./a", false},
      {"live/a\n", false},
      {"live/a\x7F", false},
      {std::string("live/\0a", 7), false},
      {"live/a?k=1", false},
      {"a/" + std::string(253, 'x'), true},
      {"a/" + std::string(254, 'x'), false},
  };
  for (const auto& c : cases) EXPECT_EQ(is_stream_name(c.name), c.good) << c.name;
}

}  // namespace
}  // namespace penstock::config
