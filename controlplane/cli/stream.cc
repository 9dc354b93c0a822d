#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "controlplane/cli/render.h"
#include "controlplane/cli/suggest.h"
#include "controlplane/cli/units.h"
#include "controlplane/cli/verb.h"

namespace penstock::controlplane::cli {

std::string video_text(const Json& stream) {
  const Json& video = part_of(stream, "video");
  std::string text = text_of(video, "codec");
  if (text.empty() || text == "-") return "-";
  if (const uint64_t width = count_of(video, "width"); width > 0) {
    text += fmt::format(" {}x{}", width, count_of(video, "height"));
  }
  if (const double fps = number_of(video, "fps"); fps > 0) {
    text += " " + human_decimal(fps) + " fps";
  }
  return text;
}

std::string audio_text(const Json& stream) {
  const Json& audio = part_of(stream, "audio");
  std::string text = text_of(audio, "codec");
  if (text.empty() || text == "-") return "-";
  if (const uint64_t rate = count_of(audio, "sample_rate"); rate > 0) {
    text += " " + human_decimal(static_cast<double>(rate) / 1000) + " kHz";
  }
  const uint64_t channels = count_of(audio, "channels");
  if (channels == 1) return text + " mono";
  if (channels == 2) return text + " stereo";
  return channels == 0 ? text : text + fmt::format(" {} channels", channels);
}

std::string render_stream(const Json& stream, const Paint& paint) {
  const Json& video = part_of(stream, "video");
  const Json& audio = part_of(stream, "audio");
  const uint64_t interval_ms = count_of(video, "keyframe_interval_ms");
  const uint64_t skipped = count_of(stream, "frames_skipped");
  const uint64_t dropped = count_of(stream, "frames_dropped");

  Facts facts;
  facts.add("name", text_of(stream, "name"));
  facts.add("publisher", fmt::format("{} (connection {})", text_of(stream, "publisher"),
                                     text_of(stream, "connection_id")));
  facts.add("encoder", text_of(stream, "encoder"));
  facts.add("since", fmt::format("{} ({})", text_of(stream, "since"),
                                 human_duration(count_of(stream, "duration_s"))));
  if (const std::string ended = text_of(stream, "ended"); !ended.empty()) {
    facts.add("ended", fmt::format("{}: {}", ended, text_of(stream, "reason")));
  }
  facts.add("worker", human_count(count_of(stream, "worker")));
  facts.add("video", video_text(stream));
  facts.add("  bitrate", human_bits_per_second(count_of(video, "bits_per_second")));
  facts.add("  keyframe every",
            interval_ms == 0 ? "not known yet"
                             : human_decimal(static_cast<double>(interval_ms) / 1000) + " s");
  facts.add("audio", audio_text(stream));
  facts.add("  bitrate", human_bits_per_second(count_of(audio, "bits_per_second")));
  facts.add("A/V drift", fmt::format("{} ms", signed_of(stream, "av_drift_ms")));
  facts.add("timestamp jumps", human_count(count_of(stream, "timestamp_jumps")));
  facts.add("subscribers", human_count(count_of(stream, "subscribers")));
  facts.add("frames", human_count(count_of(stream, "frames_received")));
  facts.add("frames skipped", human_count(skipped), skipped == 0 ? Colour::plain : Colour::yellow);
  facts.add("frames dropped", human_count(dropped), dropped == 0 ? Colour::plain : Colour::red);
  facts.add("received", human_bytes(count_of(stream, "bytes_received")));
  facts.add("sent", human_bytes(count_of(stream, "bytes_sent")));
  facts.add("GOP cache", human_bytes(count_of(stream, "gop_bytes")));
  return facts.render(paint);
}

void add_stream(const Verb& program) {
  struct Arguments {
    std::string name;
    std::string reason;
  };
  auto arguments = std::make_shared<Arguments>();
  const Verb verb = program.add("stream", "One stream: show it, kick its publisher");
  verb.examples({"stream show live/cam1", "stream kick live/cam1"});

  const Verb show_verb = verb.add("show", "Everything that is known of a live stream");
  show_verb.needed("name", arguments->name, "app/name", problem_of_stream_name);
  show_verb.examples({"stream show live/cam1", "stream show live/cam1 --json"});
  show_verb.runs([arguments](const Context& context) {
    return show(context, context.api.get("/api/v1/streams/" + escaped(arguments->name)),
                [&](const Json& stream) { return render_stream(stream, context.paint); });
  });

  const Verb kick = verb.add("kick", "End the publish and close its publisher");
  kick.needed("name", arguments->name, "app/name", problem_of_stream_name);
  kick.text("--reason", arguments->reason, "told to the publisher, kept in the history");
  kick.examples({"stream kick live/cam1", "stream kick live/cam1 --reason 'wrong name'"});
  kick.runs([arguments](const Context& context) {
    Json body = Json::object();
    if (!arguments->reason.empty()) body["reason"] = arguments->reason;
    const std::string target = "/api/v1/streams/" + escaped(arguments->name) + "/kick";
    return show(context, context.api.post(target, body), [&](const Json& result) {
      return fmt::format("kicked {} on worker {}\n", text_of(result, "name"),
                         count_of(result, "worker"));
    });
  });
}

}  // namespace penstock::controlplane::cli
