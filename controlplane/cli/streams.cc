#include <fmt/format.h>

#include "controlplane/cli/render.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string render_streams(const Json& streams, const Paint& paint) {
  const Json& rows = rows_of(streams, "streams");
  if (rows.empty()) return "no streams are live\n";
  Table table({{"NAME"},
               {"VIDEO"},
               {"SIZE"},
               {"FPS", Align::right},
               {"AUDIO"},
               {"BITRATE", Align::right},
               {"SUBSCRIBERS", Align::right},
               {"DROPS", Align::right},
               {"LIVE", Align::right},
               {"WORKER", Align::right},
               {"PUBLISHER"}});
  for (const Json& row : rows) {
    const Json& video = part_of(row, "video");
    const Json& audio = part_of(row, "audio");
    const uint64_t width = count_of(video, "width");
    const double fps = number_of(video, "fps");
    const uint64_t bits = count_of(video, "bits_per_second") + count_of(audio, "bits_per_second");
    const uint64_t drops = count_of(row, "frames_dropped") + count_of(row, "frames_skipped");
    table.add({text_of(row, "name"),
               text_of(video, "codec"),
               width == 0 ? "-" : fmt::format("{}x{}", width, count_of(video, "height")),
               fps > 0 ? human_decimal(fps) : "-",
               text_of(audio, "codec"),
               human_bits_per_second(bits),
               human_count(count_of(row, "subscribers")),
               {human_count(drops), drops == 0 ? Colour::plain : Colour::yellow},
               human_duration(count_of(row, "duration_s")),
               human_count(count_of(row, "worker")),
               text_of(row, "publisher")});
  }
  std::string out = table.render(paint);
  if (const uint64_t total = count_of(streams, "total"); total > rows.size()) {
    out += fmt::format("{} of {} streams\n", rows.size(), total);
  }
  return out;
}

void add_streams(const Verb& program) {
  const Verb verb = program.add("streams", "Live streams");
  verb.examples({"streams", "streams --json | jq -r '.streams[].name'"});
  verb.runs([](const Context& context) {
    return show(context, context.api.get("/api/v1/streams"),
                [&](const Json& streams) { return render_streams(streams, context.paint); });
  });
}

}  // namespace penstock::controlplane::cli
