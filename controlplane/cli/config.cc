#include "penstock/config/config.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

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
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    return fail(context, {.text = fmt::format("cannot read {}: {}", path, std::strerror(errno)),
                          .hint = "give the path of a configuration file"});
  }
  const auto parsed = config::parse(text, path);
  Json problems = Json::array();
  if (!parsed) {
    for (const config::Problem& problem : parsed.error()) {
      problems.push_back({{"file", problem.file}, {"line", problem.line}, {"text", problem.text}});
    }
  }
  if (context.json) {
    std::cout << json_text({{"ok", parsed.has_value()}, {"problems", problems}});
  } else if (parsed) {
    std::cout << path << ": ok\n";
  } else {
    for (const config::Problem& problem : parsed.error()) {
      std::cerr << printable(problem.to_string()) << '\n';
    }
    std::cerr << fmt::format("{}: {} problem{}\n", path, problems.size(),
                             problems.size() == 1 ? "" : "s");
  }
  return parsed ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

std::string render_config(const Json& config, const Paint& paint) {
  Facts facts;
  facts.add("file", text_of(config, "file"));
  facts.add("dataplane.engine", text_of(config, "engine"));
  facts.add("dataplane.workers", joined(rows_of(config, "workers")));
  facts.add("dataplane.state_dir", text_of(config, "state_dir"));
  facts.add("listen.rtmp", joined(rows_of(config, "rtmp")));
  facts.add("admission.publish", text_of(config, "publish"));
  facts.add("admission.keys",
            fmt::format("{} (not shown)", count_of(part_of(config, "keys"), "count")));
  facts.add("control.http", text_of(config, "http"));
  facts.add("control.socket", text_of(config, "socket"));
  if (const std::string token = text_of(config, "token_file"); !token.empty()) {
    facts.add("control.token_file", token);
  }
  facts.add("log.format", text_of(config, "log_format"));
  facts.add("log.level", text_of(config, "log_level"));
  for (const Json& tunable : rows_of(config, "tunables")) {
    const std::string source = text_of(tunable, "source");
    std::string value = human_tunable(count_of(tunable, "value"), text_of(tunable, "unit"));
    if (source == "default") value += ", default";
    if (source == "live") value += ", set live";
    facts.add(text_of(tunable, "key"), value, source == "live" ? Colour::yellow : Colour::plain);
  }
  std::string out = facts.render(paint);
  add_restarts(config, out);
  return out;
}

std::string render_reload(const Json& reload) {
  const Json& changed = rows_of(reload, "changed");
  std::string out;
  if (changed.empty()) {
    out = "read again; nothing changed\n";
  } else {
    out = fmt::format("read again; changed: {}\n", joined(changed));
    if (!flag_of(reload, "applied")) out += "not applied by every worker yet; see status\n";
  }
  add_restarts(reload, out);
  if (const Json& kept = rows_of(reload, "kept_live"); !kept.empty()) {
    out += fmt::format("kept as set live, though the file says otherwise: {} (tune reset KEY)\n",
                       joined(kept));
  }
  return out;
}

void add_config(const Verb& program) {
  const Verb verb = program.add("config", "The configuration: check, show, reload");
  verb.examples({"config check penstock.toml", "config show", "config reload"});

  auto path = std::make_shared<std::string>();
  const Verb check = verb.add("check", "Say what is wrong with a file; needs no process running");
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
