#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

ExitCode show_level(const Context& context) {
  const Answer status = context.api.get("/api/v1/status");
  if (!status) return fail(context, status.error());
  return show(context, Json{{"level", text_of(*status, "log_level")}},
              [](const Json& now) { return text_of(now, "level") + "\n"; });
}

}  // namespace

void add_log_level(const Verb& program) {
  struct Arguments {
    std::string level;
    bool reset = false;
  };
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("log-level", "Log level of both processes: see it, set it");
  verb.word("level", arguments->level, "trace, debug, info, warning or error",
            {"trace", "debug", "info", "warning", "error"});
  verb.flag("--reset", arguments->reset, "back to what the configuration file says");
  verb.examples({"log-level", "log-level debug", "log-level --reset"});
  verb.runs([arguments](const Context& context) {
    if (arguments->level.empty() && !arguments->reset) return show_level(context);
    const std::string target = "/api/v1/log/level";
    const Answer answer = arguments->reset ? context.api.erase(target)
                                           : context.api.put(target, {{"level", arguments->level}});
    return show(context, answer, [](const Json& result) {
      const bool applied = flag_of(result, "applied");
      const std::string_view effect = applied ? ", in effect in both processes"
                                      : text_of(result, "note").empty()
                                          ? ", not applied by every worker yet"
                                          : "";
      return fmt::format("log level is {}{}\n", text_of(result, "level"), effect) +
             note_line(result);
    });
  });
}

}  // namespace penstock::controlplane::cli
