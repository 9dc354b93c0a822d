#include "controlplane/parts.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "controlplane/clock.h"
#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

// Above this share of a limit an operator should hear of it: time to act before peers are refused.
constexpr uint64_t near_limit_percent = 90;

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

uint64_t sum(const control::Region& region, control::Counter counter) {
  uint64_t total = 0;
  for (uint32_t worker = 0; worker < region.plan().workers; ++worker) {
    total += region.worker(worker).counters[static_cast<size_t>(counter)].get();
  }
  return total;
}

void warn_of_limits(const Parts& parts, const control::Region& region,
                    std::vector<std::string>& lines) {
  const uint64_t connections = sum(region, control::Counter::connections);
  const uint64_t connections_max = connections_allowed(parts);
  if (near_limit(connections, connections_max)) {
    lines.push_back(fmt::format("connections: {} of {} (limits.connections_max)", connections,
                                connections_max));
  }
  const uint64_t memory = sum(region, control::Counter::frame_bytes);
  const uint64_t memory_max = parts.reconciler.tunable(control::Tunable::frame_memory_bytes).value;
  if (near_limit(memory, memory_max)) {
    lines.push_back(fmt::format("frame memory: {} of {} bytes (limits.frame_memory_bytes)", memory,
                                memory_max));
  }
}

/// What serves is the data plane's to tell; without one, what the files would do is.
void warn_of_certificates(const Parts& parts, std::vector<std::string>& lines) {
  const auto attachment = parts.link.current();
  control::TlsRow row;
  if (!attachment || !attachment->region().header().tls.read(row)) {
    const auto settings = parts.reconciler.settings();
    lines.insert(lines.end(), settings->certificate_cautions.begin(),
                 settings->certificate_cautions.end());
    return;
  }
  if (!row.problem.view().empty())
    lines.push_back("certificates: " + clean_text(row.problem.view()));
  for (std::string_view rest = row.cautions.view(); !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    lines.push_back("certificates: " + clean_text(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

}  // namespace

bool near_limit(uint64_t value, uint64_t limit) {
  if (limit == 0) return false;
  // In parts of 100 and the rest, so that neither product leaves 64 bits; rounded up, so that a
  // limit below 100 is not near at 0.
  const uint64_t rest = (limit % 100 * near_limit_percent + 99) / 100;
  return value >= limit / 100 * near_limit_percent + rest;
}

Parts::Parts(const Settings& settings, std::string history_path)
    : started_unix_ms(unix_ms()),
      log(settings.config.log_format, settings.config.log_level),
      history(std::move(history_path)),
      reconciler(settings) {}

std::string_view software_version() { return PENSTOCK_VERSION; }

Pushed push(Parts& parts, std::chrono::milliseconds patience) {
  parts.log.set_level(parts.reconciler.log_level());
  const auto attachment = parts.link.current();
  if (!attachment) return {parts.reconciler.wanted_epoch(), false};
  parts.reconciler.reconcile(*attachment);
  const uint64_t epoch = parts.reconciler.wanted_epoch();
  return {epoch, wait_applied(*attachment, epoch, patience)};
}

void tell_cautions(Parts& parts, const Settings& settings) {
  std::vector<std::string> lines = config::cautions(settings.config);
  lines.insert(lines.end(), settings.cautions.begin(), settings.cautions.end());
  for (const std::string& line : lines) parts.log.write(control::LogLevel::warning, line);
}

std::expected<Reloaded, Problems> reload(Parts& parts) {
  auto settings = load_settings(parts.reconciler.settings()->file);
  if (!settings) {
    for (const config::Problem& problem : settings.error()) {
      parts.log.write(control::LogLevel::error, "configuration refused",
                      {{"problem", problem.to_string()}});
    }
    return std::unexpected(std::move(settings.error()));
  }
  parts.log.set_format(settings->config.log_format);
  tell_cautions(parts, *settings);
  Reloaded reloaded = parts.reconciler.replace(std::move(*settings));
  parts.log.write(
      control::LogLevel::info, "configuration reloaded",
      {{"changed", joined(reloaded.changed)}, {"restart_needed", joined(reloaded.restart_needed)}});
  for (const std::string& text : reloaded.certificates) {
    parts.log.write(control::LogLevel::info, "certificate files read again",
                    {{"certificate", text}});
  }
  return reloaded;
}

void look(Parts& parts) {
  constexpr uint64_t age_ms_max = 50;
  if (const auto attachment = parts.link.current())
    parts.catalog.refresh(*attachment, monotonic_ns(), age_ms_max);
}

std::string ailment(const Parts& parts) {
  const auto attachment = parts.link.current();
  if (!attachment) return fmt::format("{}: {}", not_attached_text, not_attached_hint);
  const uint64_t now_ns = monotonic_ns();
  for (uint32_t worker = 0; worker < attachment->workers(); ++worker) {
    const uint64_t age_ms = heartbeat_age_ms(attachment->region(), worker, now_ns);
    if (age_ms > heartbeat_stale_ms)
      return fmt::format("worker {} has not been heard of for {} ms", worker, age_ms);
  }
  return {};
}

std::string kept_ailment(const Parts& parts) {
  const auto attachment = parts.link.current();
  if (!attachment) return {};
  std::string why = keeping_problem(attachment->region());
  if (why.empty() && parts.kept.kept()) return {};
  if (why.empty()) why = "is the disk full?";
  return fmt::format(
      "the applied configuration cannot be kept on disk ({}): what was set, added or changed since "
      "is lost when penstockd restarts",
      why);
}

std::string tls_ailment(const Parts& parts) {
  const auto attachment = parts.link.current();
  control::TlsRow row;
  if (!attachment || !attachment->region().header().tls.read(row) || row.certificates != 0)
    return {};
  const config::Config running = parts.reconciler.running();
  if (running.rtmps.empty() && running.rtmpts.empty()) return {};
  return fmt::format("nobody can connect to {}: no certificate can be used",
                     running.rtmps.empty()    ? "listen.rtmpts"
                     : running.rtmpts.empty() ? "listen.rtmps"
                                              : "listen.rtmps and listen.rtmpts");
}

uint64_t connections_allowed(const Parts& parts) {
  const uint64_t wanted = parts.reconciler.tunable(control::Tunable::connections_max).value;
  const auto attachment = parts.link.current();
  const uint64_t allowed = attachment ? attachment->region().header().connections_allowed.get() : 0;
  return allowed == 0 ? wanted : std::min(wanted, allowed);
}

std::string certificate_problem(const Parts& parts, uint64_t epoch,
                                std::chrono::milliseconds patience) {
  const auto attachment = parts.link.current();
  if (!attachment) return {};
  const auto until = std::chrono::steady_clock::now() + patience;
  while (true) {
    control::TlsRow row;
    if (attachment->region().header().tls.read(row) && row.wanted_epoch >= epoch) {
      const std::string problem = clean_text(row.problem.view());
      return problem.empty() ? problem : "certificates: " + problem;
    }
    if (std::chrono::steady_clock::now() >= until) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string users_unknown(const Parts& parts) {
  const std::string problem = parts.users.problem();
  if (problem.empty()) return {};
  return fmt::format(
      "users cannot be shown or changed, and logins go on with those last applied: {}; then "
      "restart penstock-control",
      problem);
}

std::vector<std::string> warnings(const Parts& parts) {
  std::vector<std::string> lines;
  if (std::string line = ailment(parts); !line.empty()) lines.push_back(std::move(line));
  const Reconciler& reconciler = parts.reconciler;
  if (std::string line = tls_ailment(parts); !line.empty()) lines.push_back(std::move(line));
  // Of what runs: what waits for a restart is said below.
  for (std::string& caution : config::cautions(reconciler.running()))
    lines.push_back(std::move(caution));
  for (const std::string& caution : reconciler.settings()->cautions) lines.push_back(caution);
  if (const auto keys = reconciler.restart_needed(); !keys.empty()) {
    lines.push_back("restart of penstockd needed for: " + joined(keys));
  }
  if (const auto keys = reconciler.restart_needed_control(); !keys.empty()) {
    lines.push_back("restart of penstock-control needed for: " + joined(keys));
  }
  if (std::string line = users_unknown(parts); !line.empty()) {
    lines.push_back(std::move(line));
  } else if (reconciler.settings()->config.publish == control::AdmissionMode::login &&
             parts.users.size() == 0) {
    lines.emplace_back(
        "admission.publish is \"login\" and there are no users: nobody may publish (penstockctl "
        "user "
        "add)");
  }
  if (reconciler.draining())
    lines.emplace_back("draining: new connections are refused (penstockctl drain --off)");
  if (!parts.history.written()) {
    lines.emplace_back(
        "the history of ended streams cannot be written to state_dir (is the disk full?): it is "
        "lost when penstock-control restarts");
  }
  warn_of_certificates(parts, lines);
  const auto attachment = parts.link.current();
  if (!attachment) return lines;
  if (applied_epoch(attachment->region()) < reconciler.wanted_epoch()) {
    lines.emplace_back("not every worker has applied the latest settings yet");
  }
  if (std::string line = kept_ailment(parts); !line.empty()) lines.push_back(std::move(line));
  warn_of_limits(parts, attachment->region(), lines);
  return lines;
}

}  // namespace penstock::controlplane
