#include "controlplane/cli/suggest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "controlplane/cli/fields.h"
#include "penstock/base/limits.h"
#include "penstock/config/closest.h"

namespace penstock::controlplane::cli {

std::string unknown_command(std::string_view given, std::string_view of,
                            const std::vector<std::string>& known) {
  const size_t shown_bytes_max = 64;
  const std::string shown = printable(given.substr(0, shown_bytes_max));
  const std::vector<std::string_view> words(known.begin(), known.end());
  const std::string_view near = config::closest(given, words);
  const std::string text = fmt::format("unknown command {}", shown);
  if (!near.empty()) return fmt::format("{}: did you mean {} {}?", text, of, near);
  return fmt::format("{}: there are {}", text, fmt::join(words, ", "));
}

std::string problem_of_stream_name(std::string_view name) {
  if (name.empty()) return "a stream's name is missing: it is app/name, as in live/cam1";
  if (name.find('/') == std::string_view::npos) {
    return fmt::format("{} is no stream's name: it is app/name, as in live/cam1",
                       printable(name.substr(0, 64)));
  }
  // What a peer sent that is not UTF-8 is shown as U+FFFD, three bytes for one.
  if (name.size() > 3 * stream_name_bytes_max) {
    return fmt::format("a stream's name of {} bytes: the longest that a stream can have is {}",
                       name.size(), stream_name_bytes_max);
  }
  return {};
}

}  // namespace penstock::controlplane::cli
