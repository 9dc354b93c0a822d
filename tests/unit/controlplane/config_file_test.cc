#include "controlplane/config_file.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>

#include "controlplane/state_dir.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

struct AddressCase {
  std::string_view text;
  bool valid;
  std::string_view host;
  bool loopback;
};

TEST(http_address, knows_addresses_and_what_is_loopback) {
  const AddressCase cases[] = {
      {"127.0.0.1:8935", true, "127.0.0.1", true},
      {"[::1]:8935", true, "::1", true},
      {"localhost:8935", true, "localhost", true},
      {"127.9.9.9:1", true, "127.9.9.9", true},
      {"0.0.0.0:8935", true, "0.0.0.0", false},
      {":8935", true, "::", false},
      {"[::]:8935", true, "::", false},
      {"127.evil.example:8935", true, "127.evil.example", false},
      {"127.0.0.1", false, "", false},
      {"127.0.0.1:0", false, "", false},
      {"127.0.0.1:65536", false, "", false},
      {"::1:8935", false, "", false},
      {"a b:8935", false, "", false},
      {"", false, "", false},
  };
  for (const AddressCase& one : cases) {
    const auto address = parse_http_address(one.text);
    ASSERT_EQ(address.has_value(), one.valid) << one.text;
    if (!one.valid) continue;
    EXPECT_EQ(address->host, one.host);
    EXPECT_EQ(address->loopback(), one.loopback) << one.text;
  }
}

std::string problems_of(const TempDir& folder, const std::string& text) {
  const auto settings = load_settings(folder.write("p.toml", text));
  if (settings) return "";
  std::string all;
  for (const config::Problem& problem : settings.error()) all += problem.to_string() + "\n";
  return all;
}

TEST(load_settings, wants_a_token_of_some_length_when_http_is_not_loopback) {
  const TempDir folder;
  const std::string open = "[control]\nhttp = \"0.0.0.0:23050\"\n";
  EXPECT_NE(problems_of(folder, open).find("token_file"), std::string::npos);
  const std::string with_token = open + "token_file = \"" + folder.file("token") + "\"\n";
  EXPECT_NE(problems_of(folder, with_token).find("No such file"), std::string::npos);
  folder.write("token", "short\n");
  EXPECT_NE(problems_of(folder, with_token).find("shorter than 16"), std::string::npos);
  folder.write("token", "0123456789 abcdef0123456789\n");
  EXPECT_NE(problems_of(folder, with_token).find("ASCII"), std::string::npos);
  folder.write("token", std::string(5'000, 'x'));
  EXPECT_NE(problems_of(folder, with_token).find("larger"), std::string::npos);
  folder.write("token", "0123456789abcdef\n");
  EXPECT_EQ(problems_of(folder, with_token), "");
  EXPECT_EQ(load_settings(folder.file("p.toml"))->token, "0123456789abcdef");
}

TEST(load_settings, a_token_that_everybody_may_read_is_said) {
  const TempDir folder;
  const std::string token = folder.write("token", "0123456789abcdef\n");
  const std::string file = folder.write("p.toml", "[control]\ntoken_file = \"" + token + "\"\n");
  ASSERT_EQ(::chmod(token.c_str(), 0640), 0);
  EXPECT_TRUE(load_settings(file)->cautions.empty());
  ASSERT_EQ(::chmod(token.c_str(), 0644), 0);
  const auto open = load_settings(file);
  ASSERT_EQ(open->cautions.size(), 1u);
  EXPECT_NE(open->cautions[0].find("chmod 600"), std::string::npos);
}

TEST(load_settings, reads_nothing_but_regular_files_of_some_size) {
  const TempDir folder;
  ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
  EXPECT_NE(load_settings(folder.file("pipe")).error().at(0).text.find("pipe"), std::string::npos);
  EXPECT_NE(load_settings("/dev/zero").error().at(0).text.find("device"), std::string::npos);
  folder.write("big", "");
  std::filesystem::resize_file(folder.file("big"), 17 * 1024 * 1024);
  EXPECT_NE(load_settings(folder.file("big")).error().at(0).text.find("larger than 16 MiB"),
            std::string::npos);
}

TEST(load_settings, names_the_file_that_cannot_be_read) {
  EXPECT_NE(
      load_settings("/nonexistent/penstock.toml").error().at(0).to_string().find("No such file"),
      std::string::npos);
  EXPECT_NE(load_settings("/tmp").error().at(0).to_string().find("directory"), std::string::npos);
}

TEST(load_settings, refuses_a_socket_path_that_the_kernel_cannot_hold) {
  const TempDir folder;
  EXPECT_NE(problems_of(folder, "[control]\nsocket = \"/tmp/" + std::string(110, 's') + "\"\n")
                .find("107"),
            std::string::npos);
}

TEST(load_settings, keys_are_in_the_form_of_the_region) {
  const TempDir folder;
  ASSERT_EQ(
      problems_of(folder, "[admission]\npublish = \"keys\"\nkeys = [\"live/b\", \"live/a\"]\n"),
      "");
  EXPECT_EQ(load_settings(folder.file("p.toml"))->keys_text, "live/a\nlive/b\n");
}

TEST(load_settings, looks_at_certificates_before_it_takes_a_file) {
  const TempDir folder;
  const std::string text = "[listen]\nrtmps = [\":443\"]\n[[tls.certificates]]\ncert = \"" +
                           folder.file("a.pem") + "\"\nkey = \"" + folder.file("a.key") + "\"\n";
  EXPECT_EQ(problems_of(folder, text), folder.file("p.toml") + ":4: tls.certificates: " +
                                           folder.file("a.pem") + ": No such file or directory\n");
  folder.write("a.pem", "nothing\n");
  folder.write("a.key", "nothing\n");
  EXPECT_NE(problems_of(folder, text).find("a.pem: no certificate in it; accepted: PEM"),
            std::string::npos);
  const auto started = load_settings(folder.file("p.toml"), BadCertificate::is_said);
  ASSERT_TRUE(started.has_value()) << "steering goes on";
  ASSERT_EQ(started->certificate_cautions.size(), 1u);
  EXPECT_NE(started->certificate_cautions[0].find("no certificate in it"), std::string::npos);
  EXPECT_EQ(started->certificates_text, folder.file("a.pem") + "\t" + folder.file("a.key") + "\n");
}

TEST(changed_keys, names_every_key_that_differs) {
  const config::Config from;
  config::Config to;
  EXPECT_TRUE(changed_keys(from, to).empty());
  to.engine = "other";
  to.workers = {3};
  to.state_dir = "x";
  to.dpdk = {.devices = {"net_ring0"},
             .hugepages = false,
             .memory_mb = 64,
             .file_prefix = "x",
             .address = config::parse_interface_address("10.0.0.2/8"),
             .address6 = config::parse_interface_address("fd00::2/8"),
             .gateway = config::parse_prefix("10.0.0.1"),
             .gateway6 = config::parse_prefix("fd00::1"),
             .vlan = 1,
             .mtu = 1280,
             .exception_interface = "x"};
  to.rtmp = {{"::", 1, true}};
  to.rtmps = to.rtmpt = to.rtmpts = {{"::", 2, true}};
  to.sniff = false;
  to.proxy_from = {*config::parse_prefix("10.0.0.0/8")};
  to.certificates = {{"c", "k", {}}};
  to.tls_tickets = 1;
  to.rtmpe_enabled = true;
  to.publish = control::AdmissionMode::keys;
  to.keys = {"a/b"};
  to.http = "127.0.0.1:1";
  to.socket = "s";
  to.token_file = "t";
  to.log_format = config::LogFormat::json;
  to.log_level = control::LogLevel::debug;
  for (uint64_t& value : to.tunables) ++value;
  const auto keys = changed_keys(from, to);
  EXPECT_EQ(keys.size(), 30 + control::tunable_count);
  EXPECT_EQ(std::ranges::count_if(keys_for_dataplane_restart(keys),
                                  [](const auto& key) { return key.starts_with("dpdk."); }),
            11)
      << "devices are taken at start";
  EXPECT_EQ(value_text(to, "dpdk.address"), "10.0.0.2/8");
}

TEST(state_dir, is_taken_by_one_process_at_a_time) {
  const TempDir folder;
  {
    const auto first = StateDir::take(folder.file("deep/state"));
    ASSERT_TRUE(first.has_value()) << first.error();
    const auto second = StateDir::take(folder.file("deep/state"));
    ASSERT_FALSE(second.has_value());
    EXPECT_NE(second.error().find("process " + std::to_string(::getpid())), std::string::npos)
        << second.error();
  }
  EXPECT_TRUE(StateDir::take(folder.file("deep/state")).has_value());
  EXPECT_NE(StateDir::take("/proc/nothing").error().find("state_dir"), std::string::npos);
}

}  // namespace
}  // namespace penstock::controlplane
