#include "controlplane/reconciler.h"

#include <gtest/gtest.h>

#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

using control::Tunable;

class ReconcilerTest : public testing::Test {
 protected:
  std::shared_ptr<Attachment> attach() { return Attachment::attach(dataplane->path()).value(); }
  /// What a control process does when it comes up.
  std::unique_ptr<Reconciler> begin(const Settings& with) {
    auto reconciler = std::make_unique<Reconciler>(with);
    attachment = attach();
    reconciler->adopt(*attachment);
    reconciler->reconcile(*attachment);
    return reconciler;
  }
  uint64_t wanted_value(Tunable tunable) {
    return control::value_of(dataplane->wanted().tunables, tunable);
  }

  TempDir folder;
  Settings settings = settings_with(folder);
  std::unique_ptr<FakeDataplane> dataplane = std::make_unique<FakeDataplane>(folder.path());
  std::shared_ptr<Attachment> attachment;
};

TEST_F(ReconcilerTest, writes_what_differs_with_a_new_epoch_and_is_silent_otherwise) {
  settings.config.tunables[static_cast<size_t>(Tunable::gop_bytes)] = 123'456;
  const auto reconciler = begin(settings);
  EXPECT_EQ(dataplane->wanted().epoch, 2u);
  EXPECT_EQ(wanted_value(Tunable::gop_bytes), 123'456u);
  EXPECT_FALSE(reconciler->reconcile(*attachment));
  EXPECT_EQ(dataplane->wanted().epoch, 2u);
  EXPECT_TRUE(wait_applied(*attachment, 2, std::chrono::milliseconds(1'000)));
}

TEST_F(ReconcilerTest, a_region_that_says_otherwise_is_put_right_whoever_wrote_it) {
  const auto reconciler = begin(settings);
  control::WantedState other = dataplane->wanted();
  other.draining = 1;
  other.epoch += 5;
  dataplane->region().wanted().state.write(other);
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  EXPECT_EQ(dataplane->wanted().draining, 0u);
  EXPECT_GT(dataplane->wanted().epoch, other.epoch);
}

TEST_F(ReconcilerTest, keys_are_written_with_their_hash) {
  set_keys(settings, {"live/a", "live/b"});
  const auto reconciler = begin(settings);
  const control::WantedState state = dataplane->wanted();
  EXPECT_EQ(state.admission, control::AdmissionMode::keys);
  const std::string_view keys(dataplane->region().wanted().keys.data(), state.keys_bytes);
  EXPECT_EQ(keys, "live/a\nlive/b\n");
  EXPECT_EQ(state.keys_hash, control::fnv1a(keys));
  // A writer that died between the list and the state leaves a list that the state's hash does not
  // fit.
  dataplane->region().wanted().keys[0] = 'X';
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  EXPECT_EQ(dataplane->region().wanted().keys[0], 'l');
}

TEST_F(ReconcilerTest, other_lists_have_other_hashes) {
  set_keys(settings, {"live/a"});
  const auto reconciler = begin(settings);
  set_keys(settings, {"live/b"});
  reconciler->replace(settings);
  reconciler->set_users("bob\tsalt\tadobe\tllnw\n");
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  const control::WantedState state = dataplane->wanted();
  EXPECT_EQ(state.keys_hash, control::fnv1a("live/b\n"));
  EXPECT_EQ(state.users_hash, control::fnv1a("bob\tsalt\tadobe\tllnw\n"));
}

TEST_F(ReconcilerTest, certificates_travel_as_paths_with_their_hash) {
  settings.certificates_text = "a.pem\ta.key\n";
  settings.config.tls_tickets = 2;
  const auto reconciler = begin(settings);
  const control::WantedState state = dataplane->wanted();
  const std::string_view text(dataplane->region().wanted().certificates.data(),
                              state.certificates_bytes);
  EXPECT_EQ(text, settings.certificates_text);
  EXPECT_EQ(state.certificates_hash, control::fnv1a(text));
  EXPECT_EQ(state.tls_tickets, 2u);
  dataplane->region().wanted().certificates[0] = 'X';
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  EXPECT_EQ(dataplane->region().wanted().certificates[0], 'a');
  EXPECT_FALSE(reconciler->reconcile(*attachment));
}

TEST_F(ReconcilerTest, live_tunables_outlive_this_process_in_the_region) {
  {
    const auto reconciler = begin(settings);
    ASSERT_TRUE(reconciler->tune(Tunable::gop_bytes, 4'096).has_value());
    reconciler->set_log_level(control::LogLevel::debug);
    reconciler->reconcile(*attachment);
  }
  const auto next = begin(settings);
  EXPECT_EQ(next->tunable(Tunable::gop_bytes).value, 4'096u);
  EXPECT_EQ(next->tunable(Tunable::gop_bytes).source, TunableSource::live);
  EXPECT_EQ(next->log_level(), control::LogLevel::debug);
  EXPECT_TRUE(next->log_level_live());
  EXPECT_EQ(wanted_value(Tunable::gop_bytes), 4'096u);
  ASSERT_TRUE(next->untune(Tunable::gop_bytes).has_value());
  next->set_log_level(std::nullopt);
  next->reconcile(*attachment);
  EXPECT_EQ(wanted_value(Tunable::gop_bytes), control::tunable_info(Tunable::gop_bytes).fallback);
  EXPECT_EQ(dataplane->wanted().tuned_live[0], 0u);
  EXPECT_EQ(dataplane->wanted().tuned_live[1], 0u);
}

TEST_F(ReconcilerTest, live_tunables_outlive_the_data_plane_in_this_process) {
  const auto reconciler = begin(settings);
  ASSERT_TRUE(reconciler->tune(Tunable::gop_bytes, 4'096).has_value());
  reconciler->set_draining(true);
  reconciler->reconcile(*attachment);
  EXPECT_EQ(dataplane->wanted().draining, 1u);
  dataplane.reset();
  dataplane = std::make_unique<FakeDataplane>(folder.path(), FakeDataplane::Shape{.run_id = 2});
  attachment = attach();
  reconciler->adopt(*attachment);
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  EXPECT_EQ(wanted_value(Tunable::gop_bytes), 4'096u);
  EXPECT_EQ(dataplane->wanted().draining, 0u) << "a drain ends with the run that was drained";
  EXPECT_FALSE(reconciler->draining());
}

TEST_F(ReconcilerTest, a_data_plane_that_came_back_with_the_same_content_is_counted_on) {
  settings.config.tunables[static_cast<size_t>(Tunable::gop_bytes)] = 123'456;
  const auto reconciler = begin(settings);
  ASSERT_EQ(reconciler->wanted_epoch(), 2u);
  control::WantedState same = dataplane->wanted();
  dataplane.reset();
  dataplane = std::make_unique<FakeDataplane>(folder.path(), FakeDataplane::Shape{.run_id = 2});
  same.epoch = 1;
  dataplane->region().wanted().state.write(same);
  attachment = attach();
  reconciler->adopt(*attachment);
  EXPECT_TRUE(reconciler->reconcile(*attachment));
  EXPECT_TRUE(wait_applied(*attachment, reconciler->wanted_epoch(), std::chrono::seconds(1)));
  EXPECT_FALSE(reconciler->reconcile(*attachment)) << "once";
}

TEST_F(ReconcilerTest, a_drain_is_taken_over_by_the_next_control_process) {
  begin(settings)->set_draining(true);
  control::WantedState state = dataplane->wanted();
  state.draining = 1;
  state.epoch = 9;
  dataplane->region().wanted().state.write(state);
  EXPECT_TRUE(begin(settings)->draining());
  EXPECT_EQ(dataplane->wanted().draining, 1u);
}

TEST_F(ReconcilerTest, what_the_region_says_was_tuned_is_checked_before_it_is_believed) {
  control::WantedState state = dataplane->wanted();
  state.tuned_live[0] = state.tuned_live[1] = UINT32_MAX;
  state.tunables.fill(UINT64_MAX);
  state.log_level = static_cast<control::LogLevel>(4'000'000'000);
  state.draining = 77;
  dataplane->region().wanted().state.write(state);
  const auto reconciler = begin(settings);
  for (size_t i = 0; i < control::tunable_count; ++i) {
    EXPECT_EQ(reconciler->tunable(static_cast<Tunable>(i)).value,
              control::tunable_table[i].fallback);
  }
  EXPECT_EQ(reconciler->log_level(), settings.config.log_level);
  EXPECT_FALSE(reconciler->draining());
  EXPECT_EQ(dataplane->wanted().tuned_live[0], 0u);
}

TEST_F(ReconcilerTest, a_predecessor_that_died_within_its_write_is_no_obstacle) {
  // An odd sequence number: the first four bytes of the slot.
  auto* sequence = reinterpret_cast<uint32_t*>(&dataplane->region().wanted().state);
  *sequence |= 1;
  const auto reconciler = begin(settings);
  EXPECT_FALSE(reconciler->reconcile(*attachment));
  EXPECT_EQ(dataplane->wanted().log_level, settings.config.log_level);
}

TEST_F(ReconcilerTest, refuses_what_is_out_of_range_or_fixed_at_start) {
  Reconciler reconciler(settings);
  const auto& range = control::tunable_info(Tunable::handshake_ms);
  EXPECT_EQ(reconciler.tune(Tunable::handshake_ms, range.max + 1).error(),
            TuneRefusal::out_of_range);
  EXPECT_EQ(reconciler.tune(Tunable::handshake_ms, range.min - 1).error(),
            TuneRefusal::out_of_range);
  EXPECT_TRUE(reconciler.tune(Tunable::handshake_ms, range.max).has_value());
  EXPECT_EQ(reconciler.tune(Tunable::connections_max, 100).error(), TuneRefusal::not_live);
  EXPECT_EQ(reconciler.untune(Tunable::connections_max).error(), TuneRefusal::not_live);
  EXPECT_EQ(reconciler.tunable(Tunable::handshake_ms).value, range.max);
}

TEST_F(ReconcilerTest, a_reload_keeps_what_was_set_live_and_says_so) {
  const auto reconciler = begin(settings);
  ASSERT_TRUE(reconciler->tune(Tunable::gop_bytes, 4'096).has_value());
  Settings next = settings;
  next.config.tunables[static_cast<size_t>(Tunable::gop_bytes)] = 9'999;
  next.config.tunables[static_cast<size_t>(Tunable::gather_ms)] = 7;
  const Reloaded reloaded = reconciler->replace(next);
  EXPECT_EQ(reloaded.changed,
            (std::vector<std::string>{"limits.gop_bytes", "dataplane.gather_ms"}));
  EXPECT_EQ(reloaded.kept_live, std::vector<std::string>{"limits.gop_bytes"});
  reconciler->reconcile(*attachment);
  EXPECT_EQ(wanted_value(Tunable::gop_bytes), 4'096u);
  EXPECT_EQ(wanted_value(Tunable::gather_ms), 7u);
}

TEST_F(ReconcilerTest, says_which_keys_need_a_restart_of_which_process) {
  dataplane.reset();
  const std::string started = config::render(settings.config);
  dataplane =
      std::make_unique<FakeDataplane>(folder.path(), FakeDataplane::Shape{.config = started});
  const auto reconciler = begin(settings);
  EXPECT_EQ(reconciler->restart_needed(), std::vector<std::string>{});
  Settings next = settings;
  next.config.workers = {0, 1};
  next.config.rtmp.push_back({"127.0.0.1", 1936, false});
  next.config.http = "127.0.0.1:9999";
  next.config.tunables[static_cast<size_t>(Tunable::connections_max)] = 100;
  next.config.tunables[static_cast<size_t>(Tunable::gop_bytes)] = 100'000;
  const Reloaded reloaded = reconciler->replace(next);
  EXPECT_EQ(reloaded.restart_needed, (std::vector<std::string>{"dataplane.workers", "listen.rtmp",
                                                               "limits.connections_max"}));
  EXPECT_EQ(reloaded.restart_needed_control, std::vector<std::string>{"control.http"});
  const TunableView fixed = reconciler->tunable(Tunable::connections_max);
  EXPECT_EQ(fixed.value, control::tunable_info(Tunable::connections_max).fallback) << "what runs";
  EXPECT_EQ(fixed.file_value, 100u);
  EXPECT_TRUE(fixed.restart_needed);
  reconciler->replace(settings);
  EXPECT_TRUE(reconciler->restart_needed().empty()) << "level-triggered: back is back";
}

TEST_F(ReconcilerTest, wait_applied_ends_when_a_worker_does_not_follow) {
  const auto reconciler = begin(settings);
  EXPECT_FALSE(wait_applied(*attachment, UINT64_MAX, std::chrono::milliseconds(20)));
}

}  // namespace
}  // namespace penstock::controlplane
