#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string render_history(const Json& history, const Paint& paint) {
  const Json& rows = rows_of(history, "streams");
  if (rows.empty()) return "no stream has ended yet\n";
  Table table({{"ENDED"},
               {"NAME"},
               {"LIVE", Align::right},
               {"RECEIVED", Align::right},
               {"SENT", Align::right},
               {"VIDEO"},
               {"AUDIO"},
               {"PUBLISHER"},
               {"REASON"}});
  for (const Json& row : rows) {
    table.add(
        {text_of(row, "ended"), text_of(row, "name"), human_duration(count_of(row, "duration_s")),
         human_bytes(count_of(row, "bytes_received")), human_bytes(count_of(row, "bytes_sent")),
         text_of(part_of(row, "video"), "codec"), text_of(part_of(row, "audio"), "codec"),
         text_of(row, "publisher"), text_of(row, "reason")});
  }
  std::string out = table.render(paint);
  if (const uint64_t total = count_of(history, "total"); total > rows.size()) {
    out += fmt::format("{} of {} ended streams; more with --limit\n", rows.size(), total);
  }
  return out;
}

void add_history(const Verb& program) {
  auto limit = std::make_shared<uint32_t>(50);
  const Verb verb = program.add("history", "Streams that have ended, newest first");
  verb.number("--limit", *limit, "at most so many (50 unless told otherwise)", 1, 100'000);
  verb.examples({"history", "history --limit 500 --json"});
  verb.runs([limit](const Context& context) {
    return show(context, context.api.get(fmt::format("/api/v1/history?limit={}", *limit)),
                [&](const Json& history) { return render_history(history, context.paint); });
  });
}

}  // namespace penstock::controlplane::cli
