#include <fmt/format.h>

#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/suggest.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string render_connections(const Json& connections, const Paint& paint) {
  const Json& rows = rows_of(connections, "connections");
  if (rows.empty()) return "no connections\n";
  Table table({{"ID", Align::right},
               {"ROLE"},
               {"PEER"},
               {"STREAM"},
               {"OPEN", Align::right},
               {"RECEIVED", Align::right},
               {"SENT", Align::right},
               {"QUEUED", Align::right},
               {"SKIPPED", Align::right},
               {"WORKER", Align::right},
               {"BY"},
               {"SOFTWARE"}});
  for (const Json& row : rows) {
    const uint64_t skipped = count_of(row, "frames_skipped");
    table.add({text_of(row, "connection_id"),
               text_of(row, "role"),
               text_of(row, "peer"),
               text_of(row, "stream"),
               human_duration(count_of(row, "duration_s")),
               human_bytes(count_of(row, "bytes_received")),
               human_bytes(count_of(row, "bytes_sent")),
               human_bytes(count_of(row, "queued_bytes")),
               {human_count(skipped), skipped == 0 ? Colour::plain : Colour::yellow},
               human_count(count_of(row, "worker")),
               text_of(row, "transport"),
               text_of(row, "software")});
  }
  std::string out = table.render(paint);
  if (const uint64_t total = count_of(connections, "total"); total > rows.size()) {
    out += fmt::format("{} of {} connections; more with --limit\n", rows.size(), total);
  }
  return out;
}

void add_connections(const Verb& program) {
  constexpr uint32_t every_worker = UINT32_MAX;
  struct Arguments {
    std::string stream;
    uint32_t worker = every_worker;
    uint32_t limit = 1000;
  };
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("connections", "Connections and what they do");
  verb.text("--stream", arguments->stream, "only those of this app/name", problem_of_stream_name);
  verb.number("--worker", arguments->worker, "only those of this worker", 0, 1000);
  verb.number("--limit", arguments->limit, "at most so many (1000 unless told otherwise)", 1,
              100'000);
  verb.examples({"connections", "connections --stream live/cam1",
                 "connections --json | jq '.connections | group_by(.role)'"});
  verb.runs([arguments](const Context& context) {
    std::string target = fmt::format("/api/v1/connections?limit={}", arguments->limit);
    if (!arguments->stream.empty()) target += "&stream=" + escaped(arguments->stream);
    if (arguments->worker != every_worker) target += fmt::format("&worker={}", arguments->worker);
    return show(context, context.api.get(target), [&](const Json& connections) {
      return render_connections(connections, context.paint);
    });
  });
}

}  // namespace penstock::controlplane::cli
