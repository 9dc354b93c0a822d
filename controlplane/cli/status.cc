#include <fmt/format.h>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

std::string process_text(const Json& process) {
  return fmt::format("process {}, version {}, up {}", count_of(process, "process_id"),
                     text_of(process, "version"), human_duration(count_of(process, "uptime_s")));
}

std::string used_of(uint64_t used, uint64_t limit, std::string (*human)(uint64_t)) {
  return limit == 0 ? human(used) : fmt::format("{} of {}", human(used), human(limit));
}

std::string warning_lines(const Json& status, const Paint& paint) {
  std::string out;
  for (const Json& warning : rows_of(status, "warnings")) {
    if (!warning.is_string()) continue;
    out += paint(Colour::yellow, "warning") + ": " +
           printable(warning.get_ref<const std::string&>()) + "\n";
  }
  return out;
}

}  // namespace

std::string render_status(const Json& status, const Paint& paint) {
  const Json& dataplane = part_of(status, "dataplane");
  const bool attached = flag_of(dataplane, "attached");
  const bool healthy = flag_of(status, "healthy");
  const uint64_t wanted = count_of(part_of(status, "epoch"), "wanted");
  const uint64_t applied = count_of(part_of(status, "epoch"), "applied");

  Facts facts;
  facts.add("health", healthy ? "healthy" : "not healthy", healthy ? Colour::green : Colour::red);
  facts.add("penstockd", attached ? process_text(dataplane) : "not attached: is penstockd running?",
            attached ? Colour::plain : Colour::red);
  facts.add("penstock-control", process_text(part_of(status, "control")));
  facts.add("config file", text_of(status, "config_file"));
  if (!attached) {
    // Nothing below is known of a process that is not there: zeros would read as an idle box.
    facts.add("config state", "waits for penstockd", Colour::yellow);
    facts.add("accepting", "no: penstockd is not attached", Colour::red);
    facts.add("log level", text_of(status, "log_level"));
    return facts.render(paint) + warning_lines(status, paint);
  }
  facts.add("config state",
            applied == wanted ? fmt::format("epoch {}, applied by every worker", wanted)
                              : fmt::format("epoch {}, applied up to {}", wanted, applied),
            applied == wanted ? Colour::plain : Colour::yellow);
  facts.add("accepting", flag_of(status, "draining") ? "no: draining" : "yes",
            flag_of(status, "draining") ? Colour::yellow : Colour::plain);
  facts.add("log level", text_of(status, "log_level"));
  facts.add("workers", human_count(count_of(status, "workers")));
  facts.add("streams", human_count(count_of(status, "streams")));
  facts.add("subscribers", human_count(count_of(status, "subscribers")));
  facts.add("connections", used_of(count_of(status, "connections"),
                                   count_of(status, "connections_max"), human_count));
  facts.add("frame memory", used_of(count_of(status, "frame_memory_bytes"),
                                    count_of(status, "frame_memory_bytes_max"), human_bytes));
  facts.add("in", fmt::format("{}, {} so far",
                              human_bits_per_second(count_of(status, "bits_per_second_in")),
                              human_bytes(count_of(status, "bytes_received"))));
  facts.add("out", fmt::format("{}, {} so far",
                               human_bits_per_second(count_of(status, "bits_per_second_out")),
                               human_bytes(count_of(status, "bytes_sent"))));
  const Json& tls = part_of(status, "tls");
  if (const uint64_t certificates = count_of(tls, "certificates"); certificates != 0) {
    facts.add("certificates", fmt::format("{}, the first ends {}", human_count(certificates),
                                          text_of(tls, "expires")));
  }
  return facts.render(paint) + warning_lines(status, paint);
}

void add_status(const Verb& program) {
  const Verb verb = program.add("status", "Both processes, totals and warnings");
  verb.examples({"status", "status --json | jq .healthy"});
  verb.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/status"),
                [&](const Json& status) { return render_status(status, context.paint); });
  });
}

}  // namespace penstock::controlplane::cli
