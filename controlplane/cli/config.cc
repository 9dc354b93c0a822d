#include "penstock/config/config.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"
#include "controlplane/config_file.h"
#include "controlplane/file.h"

namespace penstock::controlplane::cli {

namespace {

std::string joined(const Json& list, std::string_view between = ", ") {
  std::string out;
  for (const Json& part : list) {
    if (!out.empty()) out += between;
    out += part.is_string() ? printable(part.get_ref<const std::string&>()) : part.dump();
  }
  return out;
}

void add_restarts(const Json& answer, std::string& out) {
  const Json& dataplane = rows_of(answer, "restart_needed");
  const Json& control = rows_of(answer, "restart_needed_control");
  if (!dataplane.empty()) {
    out += fmt::format("takes effect when penstockd is restarted: {}\n", joined(dataplane));
  }
  if (!control.empty()) {
    out += fmt::format("takes effect when penstock-control is restarted (no stream notices): {}\n",
                       joined(control));
  }
}

/// Works with no process running: the same parser that both processes use reads the file.
ExitCode check_file(const Context& context, const std::string& path) {
  if (const auto text = read_file(path, config_file_bytes_max); !text) {
    return fail(context, {.text = fmt::format("cannot read {}: {}", printable(path), text.error()),
                          .hint = "give the path of a configuration file"});
  }
  // The very look that a reload begins with: at the files that it names, too.
  const auto loaded = load_settings(path);
  Json problems = Json::array();
  Json warnings = Json::array();
  if (loaded) {
    for (const std::string& caution : all_cautions(*loaded)) warnings.push_back(caution);
  } else {
    for (const config::Problem& problem : loaded.error())
      problems.push_back({{"file", problem.file}, {"line", problem.line}, {"text", problem.text}});
  }
  const Json result = {{"ok", loaded.has_value()}, {"problems", problems}, {"warnings", warnings}};
  if (context.json) {
    std::cout << json_text(result);
  } else {
    const bool all_defaults =
        loaded && loaded->config == config::parse("", path).value_or(loaded->config);
    (loaded ? std::cout : std::cerr) << render_check(path, result, all_defaults);
  }
  return loaded ? ExitCode::ok : ExitCode::failed;
}

/// Shows each key by one convention: what runs, and then what the file says where that is another.
class KeyFacts {
 public:
  KeyFacts(Facts& facts, const Json& config)
      : facts_(facts), waiting_(rows_of(config, "waiting")) {}

  void add(const std::string& key, const std::string& value, Colour colour = Colour::plain) {
    for (const Json& row : waiting_) {
      if (text_of(row, "key") != key) continue;
      facts_.add(key,
                 fmt::format("{} (file: {}, needs restart)", text_of(row, "running"),
                             text_of(row, "file")),
                 Colour::yellow);
      return;
    }
    facts_.add(key, value, colour);
  }

 private:
  Facts& facts_;
  const Json& waiting_;
};

void add_tunable(KeyFacts& facts, const Json& tunable) {
  const std::string source = text_of(tunable, "source");
  const std::string unit = text_of(tunable, "unit");
  std::string value = human_tunable(count_of(tunable, "value"), unit);
  if (source == "default") value += ", default";
  if (source == "live") value += ", set live";
  const uint64_t file_value = count_of(tunable, "file_value");
  if (file_value != count_of(tunable, "value"))
    value += fmt::format(" (file: {})", human_tunable(file_value, unit));
  facts.add(text_of(tunable, "key"), value, source == "live" ? Colour::yellow : Colour::plain);
}

/// Of a section that is there or used.
void add_dpdk(KeyFacts& keys, const Json& config) {
  const Json& dpdk = part_of(config, "dpdk");
  const Json& devices = rows_of(dpdk, "devices");
  if (devices.empty() && text_of(config, "engine") != "dpdk") return;
  keys.add("dpdk.devices", devices.empty() ? "none" : joined(devices, " "));
  keys.add("dpdk.hugepages", flag_of(dpdk, "hugepages") ? "true" : "false");
  keys.add("dpdk.memory_mb", std::to_string(count_of(dpdk, "memory_mb")));
  keys.add("dpdk.file_prefix", text_of(dpdk, "file_prefix"));
  for (const char* name : {"address", "address6", "gateway", "gateway6", "exception_interface"}) {
    const std::string value = text_of(dpdk, name);
    keys.add(fmt::format("dpdk.{}", name), value.empty() ? "none" : value);
  }
  const uint64_t vlan = count_of(dpdk, "vlan");
  keys.add("dpdk.vlan", vlan == 0 ? "none" : std::to_string(vlan));
  keys.add("dpdk.mtu", std::to_string(count_of(dpdk, "mtu")));
}

}  // namespace

std::string render_config(const Json& config, const Paint& paint) {
  Facts facts;
  facts.add("file", text_of(config, "file"));
  KeyFacts keys(facts, config);
  keys.add("dataplane.engine", text_of(config, "engine"));
  keys.add("dataplane.workers", joined(rows_of(config, "workers")));
  keys.add("dataplane.state_dir", text_of(config, "state_dir"));
  add_dpdk(keys, config);
  for (const char* name : {"rtmp", "rtmps", "rtmpt", "rtmpts"}) {
    const Json& listeners = rows_of(config, name);
    keys.add(fmt::format("listen.{}", name), listeners.empty() ? "none" : joined(listeners));
  }
  keys.add("listen.sniff", flag_of(config, "sniff") ? "true" : "false");
  if (const Json& prefixes = rows_of(config, "proxy_from"); !prefixes.empty()) {
    keys.add("listen.proxy_from", joined(prefixes));
  }
  for (size_t number = 0; const Json& row : rows_of(config, "certificates")) {
    const Json& names = rows_of(row, "names");
    keys.add(fmt::format("tls.certificates[{}]", ++number),
             fmt::format("{} for {}", text_of(row, "cert"),
                         names.empty() ? "the names in it" : joined(names)));
  }
  keys.add("tls.tickets", human_count(count_of(config, "tls_tickets")));
  keys.add("rtmpe.enabled", flag_of(config, "rtmpe_enabled") ? "true" : "false",
           flag_of(config, "rtmpe_enabled") ? Colour::yellow : Colour::plain);
  keys.add("admission.publish", text_of(config, "publish"));
  keys.add("admission.login_offer", text_of(config, "login_offer"));
  keys.add("admission.keys",
           fmt::format("{} (not shown)", count_of(part_of(config, "keys"), "count")));
  keys.add("control.http", text_of(config, "http"));
  keys.add("control.socket", text_of(config, "socket"));
  if (const std::string token = text_of(config, "token_file"); !token.empty()) {
    keys.add("control.token_file", token);
  }
  keys.add("log.format", text_of(config, "log_format"));
  keys.add("log.level", text_of(config, "log_level"));
  for (const Json& tunable : rows_of(config, "tunables")) add_tunable(keys, tunable);
  std::string out = facts.render(paint);
  add_restarts(config, out);
  return out;
}

std::string render_check(const std::string& path, const Json& result, bool all_defaults) {
  std::string out;
  for (const Json& problem : rows_of(result, "problems")) out += problem_text(problem) + "\n";
  for (const Json& warning : rows_of(result, "warnings")) {
    if (warning.is_string())
      out += path + ": warning: " + printable(warning.get_ref<const std::string&>()) + "\n";
  }
  const size_t problems = rows_of(result, "problems").size();
  if (flag_of(result, "ok")) return out + path + (all_defaults ? ": ok, all defaults\n" : ": ok\n");
  return out + fmt::format("{}: {} problem{}\n", path, problems, problems == 1 ? "" : "s");
}

std::string render_reload(const Json& reload) {
  const Json& changed = rows_of(reload, "changed");
  const Json& certificates = rows_of(reload, "certificates");
  std::string out;
  if (changed.empty()) {
    out = certificates.empty() ? "read again; nothing changed\n"
                               : "read again; no key changed, certificate files did\n";
  } else {
    out = fmt::format("read again; changed: {}\n", joined(changed));
    const bool late = !flag_of(reload, "applied") && text_of(reload, "note").empty();
    if (late) out += "not applied by every worker yet; see status\n";
  }
  for (const Json& one : certificates) {
    if (one.is_string())
      out += "certificate read again: " + printable(one.get_ref<const std::string&>()) + "\n";
  }
  add_restarts(reload, out);
  if (const Json& kept = rows_of(reload, "kept_live"); !kept.empty()) {
    out += fmt::format("kept as set live, though the file says otherwise: {} (tune reset KEY)\n",
                       joined(kept));
  }
  out += note_line(reload);
  return out;
}

void add_config(const Verb& program) {
  const Verb verb = program.add("config", "The configuration: check, show, reload");
  verb.examples({"config check penstock.toml", "config show", "config reload"});

  auto path = std::make_shared<std::string>();
  const Verb check = verb.add("check",
                              "Say what is wrong with a file and the files that it names, as a "
                              "reload would; needs no process "
                              "running. Certificates that are not absolute lie beside the file");
  check.needed("file", *path, "configuration file");
  check.examples({"config check penstock.toml", "config check penstock.toml --json"});
  check.runs([path](const Context& context) { return check_file(context, *path); });

  const Verb show_verb = verb.add("show", "What runs, and what waits for a restart");
  show_verb.examples({"config show", "config show --json | jq .restart_needed"});
  show_verb.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/config"),
                [&](const Json& config) { return render_config(config, context.paint); });
  });

  const Verb reload = verb.add("reload", "Read the file again; a bad one changes nothing");
  reload.examples({"config reload"});
  reload.runs([](const Context& context) {
    return show(context, context.api.post("/api/v1/config/reload"), render_reload);
  });
}

}  // namespace penstock::controlplane::cli
