#include "controlplane/api/orders.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "controlplane/api/request.h"
#include "controlplane/api/views.h"
#include "controlplane/text.h"

namespace penstock::controlplane::api {
namespace {

Answer done(const json& value) { return {.body = to_text(value)}; }

/// One command to one worker.
std::optional<Answer> order(Parts& parts, uint32_t worker, const control::Command& command) {
  const auto attachment = parts.link.current();
  if (!attachment) return not_attached();
  if (attachment->order(worker, command)) return std::nullopt;
  return refusal(503, fmt::format("worker {} takes no orders: its command ring is full", worker),
                 "try again; if it stays so, the worker hangs: see penstockctl workers");
}

Answer tuned(Parts& parts, control::Tunable tunable, uint64_t previous) {
  const Pushed pushed = push(parts);
  const TunableView now = parts.reconciler.tunable(tunable);
  parts.log.write(
      control::LogLevel::info, "tuned",
      {{"key", now.info.key}, {"from", previous}, {"to", now.value}, {"epoch", pushed.epoch}});
  return done({{"key", now.info.key},
               {"value", now.value},
               {"previous", previous},
               {"source", source_name(now.source)},
               {"epoch", pushed.epoch},
               {"applied", pushed.applied},
               {"note", note(parts)}});
}

Answer tune_refused(TuneRefusal why, const control::TunableInfo& info) {
  if (why == TuneRefusal::not_live) {
    return refusal(409, fmt::format("{} is fixed while penstockd runs", info.key),
                   "set it in the configuration file and restart penstockd");
  }
  return refusal(422, fmt::format("{}: the value is out of range", info.key),
                 fmt::format("accepted: {} to {} {}", info.min, info.max, info.unit));
}

// As in WantedState, with its zero.
constexpr size_t drain_url_bytes_max = sizeof(control::WantedState::drain_to) - 1;

/// Absolute, or relative to what the peer has; workers pass on nothing else.
bool is_url(std::string_view url) {
  const size_t slashes = url.find("//");
  const bool absolute = url.starts_with("rtmp") && url.find("://") != std::string_view::npos;
  // "rtmp://", "rtmp:///live", "//:1935": nowhere.
  if (absolute || slashes == 0) {
    const std::string_view host = url.substr(slashes + 2);
    if (host.empty() || host.find_first_of("/:?#") == 0) return false;
  }
  return url.size() <= drain_url_bytes_max && (absolute || url.starts_with("/")) &&
         std::ranges::all_of(url, [](char c) { return c > ' ' && c < 0x7F; });
}

Answer set_draining(Parts& parts, bool draining, const std::string& to) {
  // A drain belongs to the run that is drained: without one there is nothing to remember it for.
  if (!parts.link.current()) return not_attached();
  parts.reconciler.set_draining(draining, to);
  const Pushed pushed = push(parts);
  parts.log.write(control::LogLevel::info, draining ? "draining" : "no longer draining",
                  {{"epoch", pushed.epoch}});
  return done({{"draining", draining},
               {"to", to},
               {"epoch", pushed.epoch},
               {"applied", pushed.applied},
               {"note", note(parts)}});
}

Answer level_set(Parts& parts) {
  const Pushed pushed = push(parts);
  return done({{"level", log_level_name(parts.reconciler.log_level())},
               {"source", parts.reconciler.log_level_live() ? "live" : "file"},
               {"epoch", pushed.epoch},
               {"applied", pushed.applied},
               {"note", note(parts)}});
}

}  // namespace

std::string note(const Parts& parts) {
  if (!parts.link.current()) {
    return fmt::format(
        "{}: nothing runs with it yet; penstock-control keeps it and hands it over when penstockd "
        "starts",
        not_attached_text);
  }
  // Long enough for a disk that is slow, and short enough for who waits at a terminal.
  constexpr std::chrono::milliseconds keep_patience{400};
  const auto attachment = parts.link.current();
  const uint64_t epoch = parts.reconciler.wanted_epoch();
  if (attachment && applied_epoch(attachment->region()) >= epoch)
    wait_kept(attachment->region(), epoch, keep_patience);
  return kept_ailment(parts);
}

Answer kick_stream(Parts& parts, const Request& request, const std::string& name) {
  const auto reason = reason_of(request, "kicked by the operator");
  if (!reason) return reason.error();
  const auto stream = find_stream(parts, name);
  if (!stream) return stream.error();
  control::Command command;
  command.kind = control::CommandKind::kick_stream;
  command.stream_id = stream->stream_id;
  command.connection_id = stream->connection_id;
  command.text.set(*reason);
  if (auto refused = order(parts, stream->worker, command)) return *refused;
  parts.log.write(control::LogLevel::info, "stream kicked",
                  {{"stream", stream->name}, {"worker", stream->worker}, {"reason", *reason}});
  return done({{"name", stream->name},
               {"stream_id", std::to_string(stream->stream_id)},
               {"worker", stream->worker}});
}

Answer kick_connection(Parts& parts, const Request& request, const std::string& id) {
  const auto reason = reason_of(request, "kicked by the operator");
  if (!reason) return reason.error();
  const auto connection = find_connection(parts, id);
  if (!connection) return connection.error();
  control::Command command;
  command.kind = control::CommandKind::kick_connection;
  command.connection_id = connection->connection_id;
  command.text.set(*reason);
  if (auto refused = order(parts, connection->worker, command)) return *refused;
  parts.log.write(control::LogLevel::info, "connection kicked",
                  {{"connection", connection->connection_id},
                   {"worker", connection->worker},
                   {"reason", *reason}});
  return done({{"connection_id", std::to_string(connection->connection_id)},
               {"worker", connection->worker}});
}

Answer trace_connection(Parts& parts, const Request& request, const std::string& id) {
  const auto body = body_object(request);
  if (!body) return body.error();
  const auto on = body->find("on");
  if (on == body->end() || !on->is_boolean())
    return refusal(400, "on is missing", "for example {\"on\": true}");
  const auto connection = find_connection(parts, id);
  if (!connection) return connection.error();
  control::Command command;
  command.kind = control::CommandKind::trace;
  command.connection_id = connection->connection_id;
  command.allowed = on->get<bool>() ? 1 : 0;
  if (auto refused = order(parts, connection->worker, command)) return *refused;
  return done({{"connection_id", std::to_string(connection->connection_id)},
               {"worker", connection->worker}});
}

Answer reload_config(Parts& parts, const Request&, const std::string&) {
  const auto reloaded = reload(parts);
  if (!reloaded) {
    Answer refused = refusal(422, "the configuration file has errors; nothing was changed",
                             "mend the file, try penstockctl config check, and reload again");
    json body = json::parse(refused.body);
    body["problems"] = view(reloaded.error());
    refused.body = to_text(body);
    return refused;
  }
  const Pushed pushed = push(parts);
  std::string remark = note(parts);
  if (!parts.reconciler.settings()->config.certificates.empty()) {
    const std::string problem = certificate_problem(parts, pushed.epoch, apply_patience);
    remark += (remark.empty() || problem.empty() ? "" : "; ") + problem;
  }
  return done({{"changed", reloaded->changed},
               {"certificates", reloaded->certificates},
               {"restart_needed", reloaded->restart_needed},
               {"restart_needed_control", reloaded->restart_needed_control},
               {"kept_live", reloaded->kept_live},
               {"epoch", pushed.epoch},
               {"applied", pushed.applied},
               {"note", remark}});
}

Answer check_config(Parts&, const Request& request, const std::string&) {
  const auto name = request.query.find("file");
  const std::string file =
      name == request.query.end() ? "penstock.toml" : clean_text(name->second, 1024);
  const auto settings = check_settings(request.body, file);
  return done({{"ok", settings.has_value()},
               {"problems", view(settings ? Problems{} : settings.error())},
               {"warnings", settings ? all_cautions(*settings) : std::vector<std::string>{}}});
}

Answer set_tunable(Parts& parts, const Request& request, const std::string& key) {
  const auto tunable = control::find_tunable(key);
  if (!tunable) return no_tunable(key);
  const auto body = body_object(request);
  if (!body) return body.error();
  const auto value = body->find("value");
  if (value == body->end() || !value->is_number_integer()) {
    return refusal(400, "value is missing or not a whole number", "for example {\"value\": 1000}");
  }
  const control::TunableInfo& info = control::tunable_info(*tunable);
  if (!value->is_number_unsigned()) return tune_refused(TuneRefusal::out_of_range, info);
  const uint64_t previous = parts.reconciler.tunable(*tunable).value;
  const auto accepted = parts.reconciler.tune(*tunable, value->get<uint64_t>());
  if (!accepted) return tune_refused(accepted.error(), info);
  return tuned(parts, *tunable, previous);
}

Answer reset_tunable(Parts& parts, const Request&, const std::string& key) {
  const auto tunable = control::find_tunable(key);
  if (!tunable) return no_tunable(key);
  const uint64_t previous = parts.reconciler.tunable(*tunable).value;
  const auto accepted = parts.reconciler.untune(*tunable);
  if (!accepted) return tune_refused(accepted.error(), control::tunable_info(*tunable));
  return tuned(parts, *tunable, previous);
}

Answer drain(Parts& parts, const Request& request, const std::string&) {
  const auto body = body_object(request);
  if (!body) return body.error();
  std::string to;
  if (const auto given = body->find("to"); given != body->end()) {
    if (!given->is_string() || !is_url(given->get_ref<const std::string&>())) {
      return refusal(422, "to is not a URL that a peer can be sent to",
                     "for example rtmp://other.example.com:1935, //other.example.com or /live");
    }
    to = given->get<std::string>();
  }
  return set_draining(parts, true, to);
}
Answer undrain(Parts& parts, const Request&, const std::string&) {
  return set_draining(parts, false, {});
}

Answer set_log_level(Parts& parts, const Request& request, const std::string&) {
  const auto body = body_object(request);
  if (!body) return body.error();
  const auto name = body->find("level");
  if (name == body->end() || !name->is_string())
    return refusal(400, "level is missing", "for example {\"level\": \"debug\"}");
  const auto level = find_log_level(name->get<std::string>());
  if (!level) return refusal(422, "no such level", "accepted: trace, debug, info, warning, error");
  parts.reconciler.set_log_level(*level);
  return level_set(parts);
}

Answer reset_log_level(Parts& parts, const Request&, const std::string&) {
  parts.reconciler.set_log_level(std::nullopt);
  return level_set(parts);
}

}  // namespace penstock::controlplane::api
