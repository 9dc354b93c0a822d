#include "controlplane/reconciler.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

namespace penstock::controlplane {
namespace {

bool bit(const control::WantedState& state, size_t index) {
  return (state.tuned_live[index / 32] >> (index % 32) & 1) != 0;
}

void set_bit(control::WantedState& state, size_t index) {
  state.tuned_live[index / 32] |= uint32_t{1} << (index % 32);
}

bool same_but_epoch(control::WantedState a, const control::WantedState& b) {
  a.epoch = b.epoch;
  return std::memcmp(&a, &b, sizeof a) == 0;
}
static_assert(std::has_unique_object_representations_v<control::WantedState>);

/// A list of control::Wanted is already `text`, as far as it is long.
template <size_t Capacity>
bool holds(const std::array<char, Capacity>& list, std::string_view text) {
  return text.empty() || std::memcmp(list.data(), text.data(), text.size()) == 0;
}

}  // namespace

std::string_view source_name(TunableSource source) {
  switch (source) {
    case TunableSource::fallback:
      return "default";
    case TunableSource::file:
      return "file";
    case TunableSource::live:
      return "live";
  }
  return "default";
}

Reconciler::Reconciler(Settings settings)
    : initial_(settings), settings_(std::make_shared<const Settings>(std::move(settings))) {
  hash_lists();
}

void Reconciler::hash_lists() {
  keys_hash_ = control::fnv1a(settings_->keys_text);
  certificates_hash_ = control::fnv1a(settings_->certificates_text);
}

void Reconciler::adopt(const Attachment& attachment) {
  const std::lock_guard lock(mutex_);
  auto started = config::parse(attachment.started_config(), "started");
  started_.reset();
  if (started && !attachment.started_config().empty()) started_ = std::move(*started);

  control::Wanted& region = attachment.region().wanted();
  // An earlier control process may have died within its write. We hold the lock, so nobody else
  // writes; what it left may be half of two states, and each part is checked before it is taken
  // over.
  region.state.repair();
  control::WantedState present;
  if (!region.state.read(present)) return;
  draining_ = present.draining == 1;
  drain_to_ = draining_ ? present.drain_to.view() : std::string_view{};
  if (!users_told_) adopt_users(region, present);
  if (std::exchange(adopted_, true)) return;
  for (size_t i = 0; i < control::tunable_count; ++i) {
    const control::TunableInfo& info = control::tunable_table[i];
    const bool taken = bit(present, i) && info.live && info.accepts(present.tunables[i]);
    if (taken && !live_[i]) live_[i] = present.tunables[i];
  }
  const bool level_live =
      bit(present, control::tuned_log_level_bit) && present.log_level <= control::LogLevel::error;
  if (level_live && !live_log_level_) live_log_level_ = present.log_level;
}

void Reconciler::adopt_users(const control::Wanted& region, const control::WantedState& present) {
  if (present.users_bytes == 0 || present.users_bytes > region.users.size()) return;
  std::string text(region.users.data(), present.users_bytes);
  if (control::fnv1a(text) != present.users_hash) return;
  users_text_ = std::move(text);
  users_hash_ = present.users_hash;
}

control::WantedState Reconciler::wanted() const {
  const config::Config& config = settings_->config;
  control::WantedState state;
  for (size_t i = 0; i < control::tunable_count; ++i) {
    state.tunables[i] = live_[i].value_or(config.tunables[i]);
    if (live_[i]) set_bit(state, i);
  }
  state.log_level = live_log_level_.value_or(config.log_level);
  if (live_log_level_) set_bit(state, control::tuned_log_level_bit);
  state.admission = config.publish;
  state.draining = draining_ ? 1 : 0;
  state.drain_to.set(drain_to_);
  state.keys_bytes = static_cast<uint32_t>(settings_->keys_text.size());
  state.keys_hash = keys_hash_;
  state.certificates_bytes = static_cast<uint32_t>(settings_->certificates_text.size());
  state.certificates_hash = certificates_hash_;
  state.certificate_files = settings_->certificate_files;
  state.tls_tickets = config.tls_tickets;
  state.login_offer = config.login_offer;
  state.users_bytes = static_cast<uint32_t>(users_text_.size());
  state.users_hash = users_hash_;
  return state;
}

bool Reconciler::reconcile(Attachment& attachment) {
  const std::lock_guard lock(mutex_);
  control::Wanted& region = attachment.region().wanted();
  control::WantedState present;
  const bool readable = region.state.read(present);
  if (!readable) region.state.repair();
  control::WantedState next = wanted();
  const std::string& keys = settings_->keys_text;
  const std::string& certificates = settings_->certificates_text;
  const bool keys_there = holds(region.keys, keys);
  const bool certificates_there = holds(region.certificates, certificates);
  const bool users_there = holds(region.users, users_text_);
  epoch_ = std::max(epoch_, readable ? present.epoch : 0);
  // Epoch 0 is a region that nobody has written yet: workers take it for "nothing wanted". A data
  // plane that came back counts from 1 again; what it runs with may be what is wanted to the byte,
  // and yet whoever waits for the epoch of an earlier order would wait for ever.
  const bool lists_there = keys_there && certificates_there && users_there;
  const bool counted = readable && present.epoch != 0 && present.epoch == epoch_;
  if (counted && lists_there && same_but_epoch(present, next)) return false;

  // Lists first: until the state is there, its hashes tell readers that these are not theirs.
  if (!keys_there) std::memcpy(region.keys.data(), keys.data(), keys.size());
  if (!certificates_there) {
    std::memcpy(region.certificates.data(), certificates.data(), certificates.size());
  }
  if (!users_there) std::memcpy(region.users.data(), users_text_.data(), users_text_.size());
  next.epoch = ++epoch_;
  region.state.write(next);
  attachment.ring_all();
  return true;
}

std::shared_ptr<const Settings> Reconciler::settings() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

config::Config Reconciler::running() const {
  const std::lock_guard lock(mutex_);
  config::Config config = settings_->config;
  if (!started_) return config;
  config.rtmp = started_->rtmp;
  config.rtmps = started_->rtmps;
  config.rtmpt = started_->rtmpt;
  config.rtmpts = started_->rtmpts;
  config.sniff = started_->sniff;
  config.proxy_from = started_->proxy_from;
  config.rtmpe_enabled = started_->rtmpe_enabled;
  return config;
}

Reloaded Reconciler::replace(Settings settings) {
  const std::lock_guard lock(mutex_);
  Reloaded reloaded;
  for (const SeenCertificate& seen : settings.certificates) {
    const bool same = std::ranges::any_of(settings_->certificates, [&](const auto& before) {
      return before.path == seen.path && before.mark == seen.mark;
    });
    if (!same) reloaded.certificates.push_back(seen.text);
  }
  reloaded.changed = changed_keys(settings_->config, settings.config);
  settings_ = std::make_shared<const Settings>(std::move(settings));
  hash_lists();
  reloaded.restart_needed = dataplane_keys_behind();
  reloaded.restart_needed_control =
      keys_for_control_restart(changed_keys(initial_.config, settings_->config));
  for (size_t i = 0; i < control::tunable_count; ++i) {
    const bool kept = live_[i] && *live_[i] != settings_->config.tunables[i];
    if (kept) reloaded.kept_live.emplace_back(control::tunable_table[i].key);
  }
  return reloaded;
}

std::expected<void, TuneRefusal> Reconciler::tune(control::Tunable tunable, uint64_t value) {
  const control::TunableInfo& info = control::tunable_info(tunable);
  if (!info.live) return std::unexpected(TuneRefusal::not_live);
  if (!info.accepts(value)) return std::unexpected(TuneRefusal::out_of_range);
  const std::lock_guard lock(mutex_);
  live_[static_cast<size_t>(tunable)] = value;
  return {};
}

std::expected<void, TuneRefusal> Reconciler::untune(control::Tunable tunable) {
  if (!control::tunable_info(tunable).live) return std::unexpected(TuneRefusal::not_live);
  const std::lock_guard lock(mutex_);
  live_[static_cast<size_t>(tunable)].reset();
  return {};
}

void Reconciler::set_log_level(std::optional<control::LogLevel> level) {
  const std::lock_guard lock(mutex_);
  live_log_level_ = level;
}

void Reconciler::set_draining(bool draining, std::string to) {
  const std::lock_guard lock(mutex_);
  draining_ = draining;
  drain_to_ = std::move(to);
}

TunableView Reconciler::tunable(control::Tunable tunable) const {
  const std::lock_guard lock(mutex_);
  const auto index = static_cast<size_t>(tunable);
  TunableView view{.info = control::tunable_info(tunable)};
  view.file_value = settings_->config.tunables[index];
  view.value = live_[index].value_or(view.file_value);
  view.source =
      view.file_value == view.info.fallback ? TunableSource::fallback : TunableSource::file;
  if (live_[index]) view.source = TunableSource::live;
  if (!view.info.live && started_) {
    view.value = started_->tunables[index];
    view.restart_needed = view.value != view.file_value;
  }
  return view;
}

control::LogLevel Reconciler::log_level() const {
  const std::lock_guard lock(mutex_);
  return live_log_level_.value_or(settings_->config.log_level);
}

bool Reconciler::log_level_live() const {
  const std::lock_guard lock(mutex_);
  return live_log_level_.has_value();
}

void Reconciler::set_users(std::string users_text) {
  const std::lock_guard lock(mutex_);
  users_told_ = true;
  users_text_ = std::move(users_text);
  users_hash_ = control::fnv1a(users_text_);
}

bool Reconciler::draining() const {
  const std::lock_guard lock(mutex_);
  return draining_;
}

uint64_t Reconciler::wanted_epoch() const {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

std::vector<std::string> Reconciler::dataplane_keys_behind() const {
  if (!started_) return {};
  return keys_for_dataplane_restart(changed_keys(*started_, settings_->config));
}

std::vector<std::string> Reconciler::restart_needed() const {
  const std::lock_guard lock(mutex_);
  return dataplane_keys_behind();
}

std::vector<std::string> Reconciler::restart_needed_control() const {
  const std::lock_guard lock(mutex_);
  return keys_for_control_restart(changed_keys(initial_.config, settings_->config));
}

std::vector<WaitingKey> Reconciler::waiting() const {
  const std::lock_guard lock(mutex_);
  const config::Config& file = settings_->config;
  std::vector<WaitingKey> rows;
  for (const std::string& key : dataplane_keys_behind())
    rows.push_back({key, value_text(*started_, key), value_text(file, key), "penstockd"});
  for (const std::string& key :
       keys_for_control_restart(changed_keys(initial_.config, settings_->config))) {
    const auto listed = std::ranges::find(rows, key, &WaitingKey::key);
    if (listed != rows.end()) {
      listed->restart = "both";
      continue;
    }
    rows.push_back(
        {key, value_text(initial_.config, key), value_text(file, key), "penstock-control"});
  }
  return rows;
}

bool wait_applied(const Attachment& attachment, uint64_t epoch,
                  std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (applied_epoch(attachment.region()) < epoch) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace penstock::controlplane
