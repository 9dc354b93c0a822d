#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/address_text.h"
#include "dataplane/applied_config.h"
#include "dataplane/log_writer.h"
#include "dataplane/startup.h"

namespace penstock::dataplane {
namespace {

std::string scratch_folder() {
  std::string pattern = testing::TempDir() + "penstock-XXXXXX";
  return mkdtemp(pattern.data());
}

TEST(address_text, is_what_people_write) {
  engine::Endpoint four;
  four.address[0] = 127;
  four.address[3] = 1;
  four.port = 1935;
  EXPECT_EQ(address_text(four), "127.0.0.1:1935");
  engine::Endpoint six;
  six.ipv6 = true;
  six.port = 80;
  EXPECT_EQ(address_text(six), "[::]:80");
  six.address[15] = 1;
  EXPECT_EQ(address_text(six), "[::1]:80");
  six.address[0] = 0x20;
  six.address[1] = 0x01;
  six.address[2] = 0x0d;
  six.address[3] = 0xb8;
  six.address[11] = 5;
  EXPECT_EQ(address_text(six), "[2001:db8::5:0:1]:80");
}

TEST(applied_config, comes_back_as_it_was_stored) {
  const AppliedConfigFile file(scratch_folder());
  ASSERT_TRUE(file.load().has_value());
  EXPECT_FALSE(file.load()->has_value()) << "nothing there yet";
  AppliedConfig applied;
  applied.config.rtmp = {{"127.0.0.1", 1935, false}};
  applied.config.publish = control::AdmissionMode::keys;
  applied.config.keys = {"live/a", "live/b"};
  applied.config.tunables[static_cast<size_t>(control::Tunable::gop_bytes)] = 12'345;
  applied.tuned_live = uint64_t{1} << static_cast<size_t>(control::Tunable::gop_bytes) |
                       uint64_t{1} << control::tuned_log_level_bit;
  ASSERT_TRUE(file.store(applied).has_value());
  struct stat info {};
  ASSERT_EQ(stat(file.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u) << "keys are in it";
  const auto loaded = file.load();
  ASSERT_TRUE(loaded.has_value() && loaded->has_value());
  EXPECT_EQ((*loaded)->config.keys, applied.config.keys);
  EXPECT_EQ((*loaded)->config.tunables, applied.config.tunables);
  EXPECT_EQ((*loaded)->config.publish, applied.config.publish);
  EXPECT_EQ((*loaded)->tuned_live, applied.tuned_live);
  file.remove();
  EXPECT_FALSE(file.load()->has_value());
}

TEST(applied_config, what_has_not_changed_is_not_written_again) {
  const std::string folder = scratch_folder();
  const AppliedConfigFile file(folder);
  AppliedConfig applied{.users = "bob\tsalt\tadobe\tllnw\n"};
  applied.config.rtmp = {{"127.0.0.1", 1935, false}};
  const auto file_of_users = [&] {
    struct stat info {};
    EXPECT_EQ(stat((folder + "/applied_users").c_str(), &info), 0);
    return info.st_ino;
  };
  ASSERT_TRUE(file.store(applied).has_value());
  const ino_t first = file_of_users();
  applied.config.tunables[static_cast<size_t>(control::Tunable::gop_bytes)] = 12'345;
  ASSERT_TRUE(file.store(applied).has_value());
  EXPECT_EQ(file_of_users(), first);
  EXPECT_EQ((*file.load())->config.tunables, applied.config.tunables);
  applied.users += "eve\tsalt\tadobe\tllnw\n";
  ASSERT_TRUE(file.store(applied).has_value());
  EXPECT_NE(file_of_users(), first);
  EXPECT_EQ(file.users(), applied.users);
}

TEST(applied_config, a_damaged_file_is_a_problem_with_a_place) {
  const AppliedConfigFile file(scratch_folder());
  std::ofstream(file.path()) << "[limits]\ngop_bytes = \"many\"\n# complete\n";
  const auto loaded = file.load();
  ASSERT_FALSE(loaded.has_value());
  EXPECT_NE(loaded.error().find("applied.toml:2"), std::string::npos) << loaded.error();
}

TEST(applied_config, a_file_that_was_cut_short_is_not_believed) {
  const AppliedConfigFile file(scratch_folder());
  AppliedConfig applied;
  applied.config.rtmp = {{"127.0.0.1", 1935, false}};
  ASSERT_TRUE(file.store(applied).has_value());
  std::string whole;
  std::getline(std::ifstream(file.path()), whole, '\0');
  for (const size_t length : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(file.path(), std::ios::trunc) << whole.substr(0, length);
    EXPECT_FALSE(file.load().has_value()) << length << " bytes";
  }
}

TEST(start, a_broken_file_does_not_keep_a_crashed_data_plane_down) {
  const std::string folder = scratch_folder();
  const std::string path = folder + "/penstock.toml";
  AppliedConfig applied;
  applied.config.rtmp = {{"127.0.0.1", 4321, false}};
  ASSERT_TRUE(AppliedConfigFile(folder + "/state").path().ends_with("applied.toml"));
  std::ofstream(path) << "[dataplane]\nstate_dir = \"" << folder << "/state\"\nzz ==\n";
  EXPECT_FALSE(choose_start({.config_path = path}).has_value()) << "nothing was applied";
  ASSERT_EQ(mkdir((folder + "/state").c_str(), 0700), 0);
  ASSERT_TRUE(AppliedConfigFile(folder + "/state").store(applied).has_value());
  const auto start = choose_start({.config_path = path});
  ASSERT_TRUE(start.has_value()) << start.error();
  EXPECT_EQ(start->applied.config.rtmp[0].port, 4321);
  EXPECT_EQ(start->state_dir, folder + "/state");
  EXPECT_NE(start->note.find("penstock.toml:3"), std::string::npos) << start->note;
  EXPECT_FALSE(choose_start({.config_path = path, .ignore_applied = true}).has_value());
}

TEST(state_folder, a_second_process_is_told_who_holds_it) {
  const std::string folder = scratch_folder();
  const auto first = StateFolder::take(folder, 0);
  ASSERT_TRUE(first.has_value());
  const auto second = StateFolder::take(folder, 0);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find(std::to_string(getpid())), std::string::npos) << second.error();
}

TEST(applied_config, wanted_state_and_merge_are_inverse) {
  AppliedConfig applied;
  applied.config.rtmp = {{"127.0.0.1", 1935, false}};
  applied.config.keys = {"live/a", "live/b"};
  applied.config.publish = control::AdmissionMode::keys;
  applied.config.certificates = {{"a.pem", "a.key", {}}, {"b.pem", "b.key", {"b.example"}}};
  applied.config.tls_tickets = 2;
  applied.tuned_live = 5;
  WantedLists lists;
  const control::WantedState wanted = wanted_state(applied, lists);
  EXPECT_EQ(lists.keys, "live/a\nlive/b\n");
  EXPECT_EQ(wanted.keys_hash, control::fnv1a(lists.keys));
  EXPECT_EQ(wanted.certificates_hash, control::fnv1a(lists.certificates));
  config::Config other = applied.config;
  other.keys = {"live/old"};
  other.publish = control::AdmissionMode::open;
  other.certificates = {{"old.pem", "old.key", {}}};
  other.tls_tickets = 0;
  const AppliedConfig back = merge(other, wanted, lists);
  EXPECT_EQ(back.config.certificates, applied.config.certificates);
  EXPECT_EQ(back.config.tls_tickets, 2u);
  EXPECT_EQ(back.config.keys, applied.config.keys);
  EXPECT_EQ(back.config.publish, control::AdmissionMode::keys);
  EXPECT_EQ(back.tuned_live, 5u);
}

TEST(applied_config, lists_that_are_being_written_are_not_read) {
  AppliedConfig applied;
  applied.config.keys = {"live/a"};
  applied.config.certificates = {{"a.pem", "a.key", {}}};
  WantedLists lists;
  control::WantedState state = wanted_state(applied, lists);
  const auto wanted = std::make_unique<control::Wanted>();
  std::ranges::copy(lists.keys, wanted->keys.begin());
  EXPECT_FALSE(read_lists(*wanted, state).has_value());
  std::ranges::copy(lists.certificates, wanted->certificates.begin());
  ASSERT_TRUE(read_lists(*wanted, state).has_value());
  EXPECT_EQ(read_lists(*wanted, state)->certificates, lists.certificates);
  state.certificates_bytes = UINT32_MAX;
  EXPECT_FALSE(read_lists(*wanted, state).has_value());
}

LogRecord record() {
  LogRecord made;
  made.unix_ms = 1'763'868'306'789;
  made.event = LogEvent::publish_started;
  made.level = control::LogLevel::info;
  made.connection_id = 7;
  made.name.set("live/cam\n1\"");
  made.peer.set("192.0.2.7:4000");
  made.detail.set("OBS\x1b[2J");
  return made;
}

TEST(log_line, stays_one_line_whatever_a_peer_is_called) {
  EXPECT_EQ(log_line(record(), config::LogFormat::text),
            "2025-11-23T03:25:06.789Z info publish started: OBS?[2J stream=live/cam?1\" "
            "peer=192.0.2.7:4000 connection=7 worker=0");
}

TEST(log_line, names_its_number_and_keeps_names_of_people) {
  LogRecord ended = record();
  ended.event = LogEvent::publish_ended;
  ended.name.set("live/kämera");
  ended.detail.set(
      "a\xC2\x9B"
      "31mb");
  ended.number = 44;
  ended.suppressed = 7;
  const std::string line = log_line(ended, config::LogFormat::text);
  EXPECT_NE(line.find("stream=live/kämera "), std::string::npos) << line;
  EXPECT_NE(line.find("bytes_received=44 (and 7 more like this)"), std::string::npos) << line;
  EXPECT_EQ(line.find("\xC2\x9B"), std::string::npos) << "no terminal sequence from a peer";
}

TEST(log_line, json_can_be_read_back) {
  const auto line = nlohmann::json::parse(log_line(record(), config::LogFormat::json));
  EXPECT_EQ(line["event"], "publish_started");
  EXPECT_EQ(line["stream"], "live/cam?1\"");
  EXPECT_EQ(line["connection"], 7);
  EXPECT_EQ(line["time"], "2025-11-23T03:25:06.789Z");
}

}  // namespace
}  // namespace penstock::dataplane
