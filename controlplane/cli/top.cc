#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/screen.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

namespace {

uint64_t bits_of(const Json& stream) {
  return count_of(part_of(stream, "video"), "bits_per_second") +
         count_of(part_of(stream, "audio"), "bits_per_second");
}

std::string summary_line(const Json& status, const Paint& paint) {
  const bool healthy = flag_of(status, "healthy");
  return paint(healthy ? Colour::green : Colour::red, healthy ? "healthy" : "not healthy") +
         (flag_of(status, "draining") ? "  " + paint(Colour::yellow, "draining") : "") +
         fmt::format("  up {}  streams {}  subscribers {}  connections {}  in {}  out {}",
                     human_duration(count_of(part_of(status, "dataplane"), "uptime_s")),
                     human_count(count_of(status, "streams")),
                     human_count(count_of(status, "subscribers")),
                     human_count(count_of(status, "connections")),
                     human_bits_per_second(count_of(status, "bits_per_second_in")),
                     human_bits_per_second(count_of(status, "bits_per_second_out")));
}

std::string workers_line(const Json& workers) {
  std::string line = "busy";
  for (const Json& row : rows_of(workers, "workers")) {
    line += fmt::format("  w{} {:.0f}%", count_of(row, "worker"), number_of(row, "busy_percent"));
    if (!flag_of(row, "alive")) line += " silent";
  }
  return line;
}

/// The busiest streams by bitrate first: those are the ones that an operator looks for.
std::vector<Json> sorted_streams(const Json& streams) {
  std::vector<Json> rows(rows_of(streams, "streams").begin(), rows_of(streams, "streams").end());
  // By name where the bitrate is the same: rows must not jump from one picture to the next. (Not
  // stable_sort: its memory comes from a function that is deprecated, and clang says so.)
  std::sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) {
    const uint64_t bits_a = bits_of(a);
    const uint64_t bits_b = bits_of(b);
    return bits_a != bits_b ? bits_a > bits_b : text_of(a, "name") < text_of(b, "name");
  });
  return rows;
}

Table stream_table(const std::vector<Json>& rows, size_t rows_max) {
  Table table({{"NAME"},
               {"BITRATE", Align::right},
               {"FPS", Align::right},
               {"SUBS", Align::right},
               {"DROPS", Align::right},
               {"VIDEO"},
               {"AUDIO"},
               {"LIVE", Align::right},
               {"PUBLISHER"}});
  for (size_t i = 0; i < rows.size() && i < rows_max; ++i) {
    const Json& row = rows[i];
    const Json& video = part_of(row, "video");
    const uint64_t drops = count_of(row, "frames_dropped") + count_of(row, "frames_skipped");
    const uint64_t width = count_of(video, "width");
    table.add({text_of(row, "name"),
               human_bits_per_second(bits_of(row)),
               human_decimal(number_of(video, "fps")),
               human_count(count_of(row, "subscribers")),
               {human_count(drops), drops == 0 ? Colour::plain : Colour::yellow},
               text_of(video, "codec") +
                   (width == 0 ? "" : fmt::format(" {}x{}", width, count_of(video, "height"))),
               text_of(part_of(row, "audio"), "codec"),
               human_duration(count_of(row, "duration_s")),
               text_of(row, "publisher")});
  }
  return table;
}

}  // namespace

std::string render_top(const TopPicture& picture, const Paint& paint) {
  std::vector<std::string> lines;
  // The first line may be coloured: it is cut before it is painted.
  const std::string plain = summary_line(picture.status, Paint(false));
  lines.push_back(display_width(plain) <= picture.columns ? summary_line(picture.status, paint)
                                                          : fit(plain, picture.columns));
  lines.push_back(fit(workers_line(picture.workers), picture.columns));
  lines.emplace_back();
  const std::vector<Json> rows = sorted_streams(picture.streams);
  // Three lines above, the heading, and one below that says what was left out.
  const size_t room = picture.rows > 5 ? picture.rows - 5 : 0;
  if (rows.empty()) {
    lines.push_back(fit("no streams are live", picture.columns));
  } else {
    const std::string table = stream_table(rows, room).render(paint, picture.columns);
    for (size_t begin = 0; begin < table.size();) {
      const size_t end = table.find('\n', begin);
      lines.push_back(table.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  lines.resize(std::max<size_t>(picture.rows, 1));
  const size_t hidden = rows.size() > room ? rows.size() - room : 0;
  lines.back() = fit(hidden == 0 ? "q: quit" : fmt::format("{} more streams; q: quit", hidden),
                     picture.columns);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) out += (i == 0 ? "" : "\n") + lines[i];
  return out;
}

namespace {

std::expected<TopPicture, Failure> picture_now(const Context& context) {
  TopPicture picture;
  const Answer status = context.api.get("/api/v1/status");
  if (!status) return std::unexpected(status.error());
  const Answer streams = context.api.get("/api/v1/streams");
  if (!streams) return std::unexpected(streams.error());
  const Answer workers = context.api.get("/api/v1/workers");
  if (!workers) return std::unexpected(workers.error());
  picture.status = *status;
  picture.streams = *streams;
  picture.workers = *workers;
  return picture;
}

/// Without a terminal, or with --once: one picture as lines, as long as it gets.
ExitCode print_once(const Context& context) {
  std::expected<TopPicture, Failure> picture = picture_now(context);
  if (!picture) return fail(context, picture.error());
  if (context.json) {
    std::cout << json_text({{"status", picture->status},
                            {"streams", rows_of(picture->streams, "streams")},
                            {"workers", rows_of(picture->workers, "workers")}});
    return ExitCode::ok;
  }
  std::cout << summary_line(picture->status, context.paint) << '\n'
            << workers_line(picture->workers) << "\n\n"
            << stream_table(sorted_streams(picture->streams), SIZE_MAX).render(context.paint);
  return ExitCode::ok;
}

ExitCode run_live(const Context& context, double seconds) {
  // A first failure is said as by every other verb; later ones are shown while it goes on trying,
  // because the control process may be restarted under our eyes.
  if (const auto first = picture_now(context); !first) return fail(context, first.error());
  Screen screen;
  while (true) {
    std::expected<TopPicture, Failure> picture = picture_now(context);
    const ScreenSize size = screen.size();
    if (picture) {
      picture->columns = size.columns;
      picture->rows = size.rows;
      screen.draw(render_top(*picture, context.paint));
    } else {
      screen.draw(fit(picture.error().text + "; trying again, q: quit", size.columns));
    }
    if (screen.wait(seconds) == ScreenInput::quit) return ExitCode::ok;
  }
}

}  // namespace

void add_top(const Verb& program) {
  struct Arguments {
    double seconds = 1.0;
    bool once = false;
  };
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("top", "Streams by bitrate, live; q or Ctrl-C ends it");
  verb.decimal("--interval", arguments->seconds, "seconds between two pictures (1)", 0.1, 3600.0);
  verb.flag("--once", arguments->once, "one picture as plain lines, for scripts");
  verb.examples({"top", "top --interval 0.5", "top --once"});
  verb.runs([arguments](const Context& context) {
    if (arguments->once || context.json || !Screen::available()) return print_once(context);
    return run_live(context, arguments->seconds);
  });
}

}  // namespace penstock::controlplane::cli
