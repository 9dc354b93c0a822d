#include "controlplane/api/views.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "controlplane/clock.h"
#include "controlplane/links.h"
#include "controlplane/text.h"

namespace penstock::controlplane::api {
namespace {

constexpr std::array<std::string_view, 5> role_names = {"handshake", "idle", "publisher",
                                                        "subscriber", "waiting"};

std::string_view role_name(control::ConnectionRole role) {
  const auto index = static_cast<size_t>(role);
  return index < role_names.size() ? role_names[index] : "unknown";
}

/// One value per worker and their sum, from a cell of each.
template <typename CellOf>
void add_cells(json& entry, const std::shared_ptr<Attachment>& attachment, CellOf cell_of) {
  uint64_t total = 0;
  json values = json::array();
  const uint32_t workers = attachment ? attachment->workers() : 0;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    const uint64_t value = cell_of(attachment->region().worker(worker)).get();
    total += value;
    values.push_back(value);
  }
  entry["total"] = total;
  entry["workers"] = std::move(values);
}

uint64_t counter_of(const control::WorkerArea& area, control::Counter counter) {
  return area.counters[static_cast<size_t>(counter)].get();
}

uint64_t counter_sum(const std::shared_ptr<Attachment>& attachment, control::Counter counter) {
  uint64_t total = 0;
  if (!attachment) return 0;
  for (uint32_t worker = 0; worker < attachment->workers(); ++worker) {
    total += counter_of(attachment->region().worker(worker), counter);
  }
  return total;
}

json control_view(const Parts& parts) {
  return {{"process_id", ::getpid()},
          {"version", software_version()},
          {"started", rfc3339(parts.started_unix_ms)},
          {"uptime_s", seconds_between(parts.started_unix_ms, unix_ms())}};
}

json dataplane_view(const std::shared_ptr<Attachment>& attachment) {
  if (!attachment) {
    return {{"attached", false}, {"process_id", 0}, {"version", ""},        {"run_id", ""},
            {"started", ""},     {"uptime_s", 0},   {"heartbeat_age_ms", 0}};
  }
  uint64_t oldest_ms = 0;
  for (uint32_t worker = 0; worker < attachment->workers(); ++worker) {
    oldest_ms = std::max(oldest_ms, heartbeat_age_ms(attachment->region(), worker, monotonic_ns()));
  }
  return {{"attached", true},
          {"process_id", attachment->hello().process_id},
          {"version", clean_text(attachment->hello().software.view())},
          {"run_id", fmt::format("{:016x}", attachment->hello().run_id)},
          {"started", rfc3339(attachment->started_unix_ms())},
          {"uptime_s", seconds_between(attachment->started_unix_ms(), unix_ms())},
          {"heartbeat_age_ms", oldest_ms}};
}

json worker_view(const control::WorkerArea& area, uint32_t worker, uint64_t heartbeat_age,
                 const WorkerRates& rates) {
  return {{"worker", worker},
          {"core", area.core.get()},
          {"alive", heartbeat_age <= heartbeat_stale_ms},
          {"heartbeat_age_ms", heartbeat_age},
          {"applied_epoch", area.applied_epoch.observe()},
          {"busy_percent", rates.busy_percent},
          {"connections", counter_of(area, control::Counter::connections)},
          {"publishers", counter_of(area, control::Counter::publishers)},
          {"subscribers", counter_of(area, control::Counter::subscribers)},
          {"bytes_received", counter_of(area, control::Counter::bytes_received)},
          {"bytes_sent", counter_of(area, control::Counter::bytes_sent)},
          {"bits_per_second_in", rates.bits_per_second_in},
          {"bits_per_second_out", rates.bits_per_second_out},
          {"frame_memory_bytes", counter_of(area, control::Counter::frame_bytes)},
          {"frame_memory_bytes_max", area.frame_memory_bytes.get()}};
}

json link_view(const Link& link) {
  json numbers = {{"engine", json::object()}, {"tcp", json::object()}, {"device", json::object()}};
  for (const LinkNumber& number : link.numbers) {
    numbers[std::string(kind_name(number.kind))][number.name] = number.value;
  }
  return {{"worker", link.worker},
          {"device", link.device},
          {"driver", link.driver},
          {"offloads", link.offloads},
          {"up", link.up},
          {"bits_per_second", link.bits_per_second},
          {"numbers", std::move(numbers)},
          {"numbers_left_out", link.numbers_left_out}};
}

json dpdk_view(const config::DpdkConfig& dpdk) {
  const auto address = [](const std::optional<config::AddressPrefix>& given) {
    return given ? config::to_string(*given) : "";
  };
  return {{"devices", dpdk.devices},
          {"hugepages", dpdk.hugepages},
          {"memory_mb", dpdk.memory_mb},
          {"file_prefix", dpdk.file_prefix},
          {"address", address(dpdk.address)},
          {"address6", address(dpdk.address6)},
          {"gateway", dpdk.gateway ? dpdk.gateway->host : ""},
          {"gateway6", dpdk.gateway6 ? dpdk.gateway6->host : ""},
          {"vlan", dpdk.vlan},
          {"mtu", dpdk.mtu},
          {"exception_interface", dpdk.exception_interface}};
}

json tls_view(const std::shared_ptr<Attachment>& attachment) {
  control::TlsRow row;
  if (attachment && !attachment->region().header().tls.read(row)) row = {};
  const auto time = [](uint64_t unix_ms) { return unix_ms == 0 ? "" : rfc3339(unix_ms); };
  return {{"path", clean_text(row.path.view())},
          {"certificates", row.certificates},
          {"tickets", row.tickets},
          {"loaded", time(row.loaded_unix_ms)},
          {"expires", time(row.expires_unix_s * 1000)},
          {"problem", clean_text(row.problem.view())}};
}

}  // namespace

json view(const Stream& stream, uint64_t until_unix_ms) {
  return {{"name", stream.name},
          {"stream_id", std::to_string(stream.stream_id)},
          {"worker", stream.worker},
          {"connection_id", std::to_string(stream.connection_id)},
          {"publisher", stream.publisher},
          {"encoder", stream.encoder},
          {"since", rfc3339(stream.since_unix_ms)},
          {"since_unix_ms", stream.since_unix_ms},
          {"duration_s", seconds_between(stream.since_unix_ms, until_unix_ms)},
          {"video",
           {{"codec", stream.video_codec},
            {"width", stream.width},
            {"height", stream.height},
            {"fps", static_cast<double>(stream.fps_milli) / 1000},
            {"bits_per_second", stream.video_bits_per_second},
            {"keyframe_interval_ms", stream.keyframe_interval_ms}}},
          {"audio",
           {{"codec", stream.audio_codec},
            {"sample_rate", stream.sample_rate},
            {"channels", stream.channels},
            {"bits_per_second", stream.audio_bits_per_second}}},
          {"av_drift_ms", stream.av_drift_ms},
          {"timestamp_jumps", stream.timestamp_jumps},
          {"last_timestamp_ms", stream.last_timestamp_ms},
          {"subscribers", stream.subscribers},
          {"frames_received", stream.frames_received},
          {"frames_skipped", stream.frames_skipped},
          {"frames_dropped", stream.frames_dropped},
          {"bytes_received", stream.bytes_received},
          {"bytes_sent", stream.bytes_sent},
          {"gop_bytes", stream.gop_bytes}};
}

json view(const EndedStream& ended) {
  json row = view(ended.stream, ended.ended_unix_ms);
  row["ended"] = rfc3339(ended.ended_unix_ms);
  row["ended_unix_ms"] = ended.ended_unix_ms;
  row["reason"] = ended.reason;
  return row;
}

json view(const Connection& connection, uint64_t now_unix_ms) {
  return {{"connection_id", std::to_string(connection.connection_id)},
          {"role", role_name(connection.role)},
          {"worker", connection.worker},
          {"peer", connection.peer},
          {"software", connection.software},
          {"transport", connection.transport},
          {"stream", connection.stream},
          {"since", rfc3339(connection.since_unix_ms)},
          {"since_unix_ms", connection.since_unix_ms},
          {"duration_s", seconds_between(connection.since_unix_ms, now_unix_ms)},
          {"bytes_received", connection.bytes_received},
          {"bytes_sent", connection.bytes_sent},
          {"queued_bytes", connection.queued_bytes},
          {"frames_skipped", connection.frames_skipped}};
}

json view(const TunableView& tunable) {
  return {{"key", tunable.info.key},
          {"name", tunable.info.name},
          {"value", tunable.value},
          {"default", tunable.info.fallback},
          {"min", tunable.info.min},
          {"max", tunable.info.max},
          {"unit", tunable.info.unit},
          {"live", tunable.info.live},
          {"source", source_name(tunable.source)},
          {"file_value", tunable.file_value},
          {"restart_needed", tunable.restart_needed},
          {"help", tunable.info.help}};
}

json view(const Problems& problems) {
  json rows = json::array();
  for (const config::Problem& problem : problems) {
    rows.push_back({{"file", problem.file}, {"line", problem.line}, {"text", problem.text}});
  }
  return rows;
}

json status_view(const Parts& parts) {
  const auto attachment = parts.link.current();
  uint64_t bits_in = 0;
  uint64_t bits_out = 0;
  if (attachment) {
    for (const WorkerRates& rates : parts.rates.workers()) {
      bits_in += rates.bits_per_second_in;
      bits_out += rates.bits_per_second_out;
    }
  }
  const auto sum = [&attachment](control::Counter counter) {
    return counter_sum(attachment, counter);
  };
  return {{"control", control_view(parts)},
          {"dataplane", dataplane_view(attachment)},
          {"healthy", ailment(parts).empty() && tls_ailment(parts).empty()},
          {"config_file", parts.reconciler.settings()->file},
          {"epoch",
           {{"wanted", parts.reconciler.wanted_epoch()},
            {"applied", attachment ? applied_epoch(attachment->region()) : 0}}},
          {"draining", parts.reconciler.draining()},
          {"log_level", log_level_name(parts.reconciler.log_level())},
          {"workers", attachment ? attachment->workers() : 0},
          {"streams", parts.catalog.streams().size()},
          {"subscribers", sum(control::Counter::subscribers)},
          {"connections", sum(control::Counter::connections)},
          {"connections_max", connections_allowed(parts)},
          {"frame_memory_bytes", sum(control::Counter::frame_bytes)},
          {"frame_memory_bytes_max",
           parts.reconciler.tunable(control::Tunable::frame_memory_bytes).value},
          {"bytes_received", sum(control::Counter::bytes_received)},
          {"bytes_sent", sum(control::Counter::bytes_sent)},
          {"bits_per_second_in", bits_in},
          {"bits_per_second_out", bits_out},
          {"tls", tls_view(attachment)},
          {"warnings", warnings(parts)}};
}

json workers_view(const Parts& parts) {
  json rows = json::array();
  const auto attachment = parts.link.current();
  const uint32_t workers = attachment ? attachment->workers() : 0;
  std::vector<WorkerRates> rates = parts.rates.workers();
  rates.resize(workers);
  for (uint32_t worker = 0; worker < workers; ++worker) {
    const uint64_t age_ms = heartbeat_age_ms(attachment->region(), worker, monotonic_ns());
    rows.push_back(worker_view(attachment->region().worker(worker), worker, age_ms, rates[worker]));
  }
  json link_rows = json::array();
  if (attachment) {
    for (const Link& link : links(*attachment)) link_rows.push_back(link_view(link));
  }
  return {
      {"workers", std::move(rows)}, {"links", std::move(link_rows)}, {"tls", tls_view(attachment)}};
}

json counters_view(const Parts& parts) {
  const auto attachment = parts.link.current();
  json counters = json::array();
  for (size_t i = 0; i < control::counter_count; ++i) {
    const control::CounterInfo& info = control::counter_table[i];
    json entry = {{"name", info.name}, {"gauge", info.gauge}, {"help", info.help}};
    add_cells(entry, attachment, [i](const control::WorkerArea& area) -> const control::Cell& {
      return area.counters[i];
    });
    counters.push_back(std::move(entry));
  }
  json faults = json::array();
  for (size_t i = 0; i < fault_count; ++i) {
    const FaultInfo info = fault_info(static_cast<Fault>(i));
    json entry = {{"name", info.name}, {"fatal", info.fatal}, {"text", info.text}};
    add_cells(entry, attachment, [i](const control::WorkerArea& area) -> const control::Cell& {
      return area.faults[i];
    });
    faults.push_back(std::move(entry));
  }
  return {{"counters", std::move(counters)}, {"faults", std::move(faults)}};
}

json config_view(const Parts& parts) {
  const auto settings = parts.reconciler.settings();
  const config::Config& config = settings->config;
  json listeners = json::object();
  for (const auto& [key, list] : config::listener_lists(config)) {
    json& rows = listeners[std::string(key.substr(key.find('.') + 1))] = json::array();
    for (const config::ListenAddress& address : *list) rows.push_back(config::to_string(address));
  }
  json proxy_from = json::array();
  for (const config::AddressPrefix& prefix : config.proxy_from)
    proxy_from.push_back(config::to_string(prefix));
  json certificates = json::array();
  for (const config::Certificate& one : config.certificates)
    certificates.push_back({{"cert", one.cert}, {"key", one.key}, {"names", one.names}});
  json waiting = json::array();
  for (const WaitingKey& row : parts.reconciler.waiting()) {
    waiting.push_back(
        {{"key", row.key}, {"running", row.running}, {"file", row.file}, {"restart", row.restart}});
  }
  return {{"file", settings->file},
          {"engine", config.engine},
          {"workers", config.workers},
          {"state_dir", config.state_dir},
          {"dpdk", dpdk_view(config.dpdk)},
          {"rtmp", std::move(listeners["rtmp"])},
          {"rtmps", std::move(listeners["rtmps"])},
          {"rtmpt", std::move(listeners["rtmpt"])},
          {"rtmpts", std::move(listeners["rtmpts"])},
          {"sniff", config.sniff},
          {"proxy_from", std::move(proxy_from)},
          {"certificates", std::move(certificates)},
          {"tls_tickets", config.tls_tickets},
          {"rtmpe_enabled", config.rtmpe_enabled},
          {"publish", config::admission_name(config.publish)},
          {"login_offer", config::login_offer_name(config.login_offer)},
          {"keys", {{"count", config.keys.size()}}},
          {"http", config.http},
          {"socket", settings->socket},
          {"token_file", config.token_file},
          {"log_format", config.log_format == config::LogFormat::json ? "json" : "text"},
          {"log_level", log_level_name(parts.reconciler.log_level())},
          {"tunables", tunables_view(parts)["tunables"]},
          {"restart_needed", parts.reconciler.restart_needed()},
          {"restart_needed_control", parts.reconciler.restart_needed_control()},
          {"waiting", std::move(waiting)}};
}

json tunables_view(const Parts& parts) {
  json rows = json::array();
  for (size_t i = 0; i < control::tunable_count; ++i) {
    rows.push_back(view(parts.reconciler.tunable(static_cast<control::Tunable>(i))));
  }
  return {{"tunables", std::move(rows)}};
}

json version_view(const Parts& parts) {
  const auto attachment = parts.link.current();
  return {{"control", software_version()},
          {"dataplane", attachment ? clean_text(attachment->hello().software.view()) : ""}};
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace penstock::controlplane::api
