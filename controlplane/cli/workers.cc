#include <fmt/format.h>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string render_workers(const Json& workers, const Paint& paint) {
  const Json& rows = rows_of(workers, "workers");
  if (rows.empty()) return "no workers: penstockd is not attached\n";
  Table table({{"WORKER", Align::right},
               {"CORE", Align::right},
               {"STATE"},
               {"BUSY", Align::right},
               {"CONNECTIONS", Align::right},
               {"PUBLISHERS", Align::right},
               {"SUBSCRIBERS", Align::right},
               {"IN", Align::right},
               {"OUT", Align::right},
               {"FRAME MEMORY", Align::right}});
  for (const Json& row : rows) {
    const bool alive = flag_of(row, "alive");
    const double busy = number_of(row, "busy_percent");
    table.add(
        {human_count(count_of(row, "worker")),
         human_count(count_of(row, "core")),
         {alive ? "alive" : fmt::format("silent for {} ms", count_of(row, "heartbeat_age_ms")),
          alive ? Colour::green : Colour::red},
         {fmt::format("{:.1f}%", busy), busy >= 90 ? Colour::yellow : Colour::plain},
         human_count(count_of(row, "connections")),
         human_count(count_of(row, "publishers")),
         human_count(count_of(row, "subscribers")),
         human_bits_per_second(count_of(row, "bits_per_second_in")),
         human_bits_per_second(count_of(row, "bits_per_second_out")),
         human_bytes(count_of(row, "frame_memory_bytes"))});
  }
  const Json& tls = part_of(workers, "tls");
  const std::string path = text_of(tls, "path");
  if (path.empty()) return table.render(paint);
  return table.render(paint) + fmt::format("\nTLS records: {}\n", path);
}

void add_workers(const Verb& program) {
  const Verb verb = program.add("workers", "Workers: load and traffic of each core");
  verb.examples({"workers", "workers --json | jq '.workers[] | {worker, busy_percent}'"});
  verb.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/workers"),
                [&](const Json& workers) { return render_workers(workers, context.paint); });
  });
}

}  // namespace penstock::controlplane::cli
