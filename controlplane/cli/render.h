#pragma once

#include <string>

#include "controlplane/cli/fields.h"
#include "controlplane/cli/table.h"

// Answers of the API as text. Pure; each lives in the file of its verb.
namespace penstock::controlplane::cli {

[[nodiscard]] std::string render_status(const Json& status, const Paint& paint);
[[nodiscard]] std::string render_streams(const Json& streams, const Paint& paint);
[[nodiscard]] std::string render_stream(const Json& stream, const Paint& paint);
[[nodiscard]] std::string render_connections(const Json& connections, const Paint& paint);
[[nodiscard]] std::string render_connection(const Json& connection, const Paint& paint);
[[nodiscard]] std::string render_workers(const Json& workers, const Paint& paint);
/// All that engines with network devices of their own have counted, but for what is 0.
[[nodiscard]] std::string render_numbers(const Json& workers, const Paint& paint);
/// Without `all`, what is 0 is left out.
[[nodiscard]] std::string render_counters(const Json& counters, bool all, const Paint& paint);
[[nodiscard]] std::string render_config(const Json& config, const Paint& paint);
/// What an order's answer adds for the operator, as a line; empty when there is nothing.
[[nodiscard]] std::string note_line(const Json& result);
/// `result` as the API's ConfigCheck; `all_defaults`: nothing is set.
[[nodiscard]] std::string render_check(const std::string& path, const Json& result,
                                       bool all_defaults);
[[nodiscard]] std::string render_reload(const Json& reload);
[[nodiscard]] std::string render_tunables(const Json& tunables, const Paint& paint);
[[nodiscard]] std::string render_tunable(const Json& tunable, const Paint& paint);
[[nodiscard]] std::string render_tune_set(const Json& result, const std::string& unit);
[[nodiscard]] std::string render_users(const Json& users, const Paint& paint);
/// `what`: "added", "changed", "removed".
[[nodiscard]] std::string render_user_changed(const Json& result, const std::string& what);
[[nodiscard]] std::string render_history(const Json& history, const Paint& paint);

/// One picture of `top`, exactly `rows` lines of at most `columns`, without a final newline.
struct TopPicture {
  Json status;
  Json streams;
  Json workers;
  size_t columns = 80;
  size_t rows = 24;
};
[[nodiscard]] std::string render_top(const TopPicture& picture, const Paint& paint);

/// "H.264 1280x720 30 fps", "AAC 44.1 kHz stereo"; "-" without the track.
[[nodiscard]] std::string video_text(const Json& stream);
[[nodiscard]] std::string audio_text(const Json& stream);

}  // namespace penstock::controlplane::cli
