#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

std::string_view effect_of(const Json& tunable) {
  return flag_of(tunable, "live") ? "at once" : "needs restart";
}

std::string target_of(const std::string& key) { return "/api/v1/tunables/" + escaped(key); }

ExitCode set_tunable(const Context& context, const std::string& key, const std::string& text) {
  // Its unit and range come from the process that will use the value: it may be of another version
  // than this program.
  const Answer known = context.api.get(target_of(key));
  if (!known) return fail(context, known.error());
  const std::string unit = text_of(*known, "unit");
  if (!flag_of(*known, "live")) {
    return fail(context,
                {.text = fmt::format("{} takes a restart of penstockd", text_of(*known, "key")),
                 .hint = "set it in the configuration file and restart penstockd"});
  }
  const std::optional<uint64_t> value = parse_tunable(text, unit);
  const uint64_t min = count_of(*known, "min");
  const uint64_t max = count_of(*known, "max");
  if (!value || *value < min || *value > max) {
    return fail_usage(context, {.text = fmt::format("{} is {} {}", printable(text),
                                                    value ? "out of range for" : "no value for",
                                                    text_of(*known, "key")),
                                .hint = fmt::format("accepted: {} to {} {}, written as {}", min,
                                                    max, unit, forms_of(unit))});
  }
  return show(context, context.api.put(target_of(key), {{"value", *value}}),
              [&](const Json& result) { return render_tune_set(result, unit); });
}

ExitCode reset_tunable(const Context& context, const std::string& key) {
  const Answer known = context.api.get(target_of(key));
  if (!known) return fail(context, known.error());
  return show(context, context.api.erase(target_of(key)),
              [&](const Json& result) { return render_tune_set(result, text_of(*known, "unit")); });
}

}  // namespace

std::string render_tunables(const Json& tunables, const Paint& paint) {
  Table table({{"KEY"},
               {"VALUE", Align::right},
               {"UNIT"},
               {"RANGE", Align::right},
               {"TAKES EFFECT"},
               {"FROM"},
               {"MEANING"}});
  bool waiting = false;
  for (const Json& row : rows_of(tunables, "tunables")) {
    const bool waits = flag_of(row, "restart_needed");
    waiting = waiting || waits;
    const std::string source = text_of(row, "source");
    table.add({text_of(row, "key"),
               std::to_string(count_of(row, "value")),
               text_of(row, "unit"),
               fmt::format("{}..{}", count_of(row, "min"), count_of(row, "max")),
               {std::string(effect_of(row)) + (waits ? " (waiting)" : ""),
                waits ? Colour::yellow : Colour::plain},
               {source, source == "live" ? Colour::yellow : Colour::plain},
               text_of(row, "help")});
  }
  std::string out = table.render(paint);
  if (waiting) out += "waiting: the file says another value, restart penstockd to use it\n";
  return out;
}

std::string render_tunable(const Json& tunable, const Paint& paint) {
  const std::string unit = text_of(tunable, "unit");
  Facts facts;
  facts.add("key", text_of(tunable, "key"));
  facts.add("value", human_tunable(count_of(tunable, "value"), unit));
  facts.add("from", text_of(tunable, "source"));
  facts.add("unit", unit);
  facts.add("range", fmt::format("{} to {}", human_tunable(count_of(tunable, "min"), unit),
                                 human_tunable(count_of(tunable, "max"), unit)));
  facts.add("default", human_tunable(count_of(tunable, "default"), unit));
  facts.add("file says", human_tunable(count_of(tunable, "file_value"), unit));
  facts.add("takes effect", flag_of(tunable, "live") ? "at once" : "when penstockd is restarted",
            flag_of(tunable, "restart_needed") ? Colour::yellow : Colour::plain);
  facts.add("meaning", text_of(tunable, "help"));
  return facts.render(paint);
}

std::string render_tune_set(const Json& result, const std::string& unit) {
  const std::string note = text_of(result, "note");
  const bool applied = flag_of(result, "applied");
  const std::string_view effect = applied        ? "takes effect at once: every worker runs with it"
                                  : note.empty() ? "accepted, not applied by every worker yet"
                                                 : "accepted";
  return fmt::format("{}: {} -> {}, {}\n", text_of(result, "key"),
                     human_tunable(count_of(result, "previous"), unit),
                     human_tunable(count_of(result, "value"), unit), effect) +
         note_line(result);
}

void add_tune(const Verb& program) {
  struct Arguments {
    std::string key;
    std::string value;
  };
  auto arguments = std::make_shared<Arguments>();
  const std::string key_help = "limits.gop_bytes, or only gop_bytes";
  const Verb verb = program.add("tune", "Limits and times: list, get, set, reset");
  verb.examples({"tune list", "tune get gop_bytes", "tune set limits.gop_bytes 4MiB",
                 "tune reset limits.gop_bytes"});

  const Verb list = verb.add("list", "Every tunable, with its range");
  list.examples({"tune list", "tune list --json"});
  list.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/tunables"),
                [&](const Json& tunables) { return render_tunables(tunables, context.paint); });
  });

  const Verb get = verb.add("get", "One tunable");
  get.needed("key", arguments->key, key_help);
  get.examples({"tune get limits.gop_bytes", "tune get gop_bytes --json | jq .value"});
  get.runs([arguments](const Context& context) {
    return show(context, context.api.get(target_of(arguments->key)),
                [&](const Json& tunable) { return render_tunable(tunable, context.paint); });
  });

  const Verb set = verb.add("set", "Set a live tunable, without a restart");
  set.needed("key", arguments->key, key_help);
  set.needed("value", arguments->value, "a number; also 4MiB, 500k (bytes) or 8s (times)");
  set.examples({"tune set limits.gop_bytes 4MiB", "tune set gop_bytes 0",
                "tune set liveness.silent_publisher_ms 20s"});
  set.runs([arguments](const Context& context) {
    return set_tunable(context, arguments->key, arguments->value);
  });

  const Verb reset = verb.add("reset", "Back to what the configuration file says");
  reset.needed("key", arguments->key, key_help);
  reset.examples({"tune reset limits.gop_bytes"});
  reset.runs(
      [arguments](const Context& context) { return reset_tunable(context, arguments->key); });
}

}  // namespace penstock::controlplane::cli
