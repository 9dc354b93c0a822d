#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::controlplane::cli {

/// "unknown command bogus: did you mean ...?", or which commands there are. `of` is the command
/// that it stands below, with the program's name.
[[nodiscard]] std::string unknown_command(std::string_view given, std::string_view of,
                                          const std::vector<std::string>& known);

/// What is wrong with a stream's name on the command line; empty when nothing is.
[[nodiscard]] std::string problem_of_stream_name(std::string_view name);

}  // namespace penstock::controlplane::cli
