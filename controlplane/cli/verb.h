#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "controlplane/cli/api_socket.h"
#include "controlplane/cli/table.h"

// What the files of the verbs share. A verb is a file: it declares its options, asks the API, and
// renders the answer with a pure function that the tests call.
namespace penstock::controlplane::cli {

enum class ExitCode : int { ok = 0, failed = 1, usage = 2 };

/// What every verb runs with.
struct Context {
  ApiSocket api;
  bool json = false;
  Paint paint{false};
};

using Action = std::function<ExitCode(const Context&)>;

/// Adds the verb to the program. The parser stores into `selected` what is to run.
void add_status(CLI::App& app, Action& selected);
void add_streams(CLI::App& app, Action& selected);
void add_stream(CLI::App& app, Action& selected);
void add_connections(CLI::App& app, Action& selected);
void add_connection(CLI::App& app, Action& selected);
void add_workers(CLI::App& app, Action& selected);
void add_counters(CLI::App& app, Action& selected);
void add_top(CLI::App& app, Action& selected);
void add_config(CLI::App& app, Action& selected);
void add_tune(CLI::App& app, Action& selected);
void add_drain(CLI::App& app, Action& selected);
void add_history(CLI::App& app, Action& selected);
void add_log_level(CLI::App& app, Action& selected);
void add_version(CLI::App& app, Action& selected);

/// Prints the failure (with --json as an object) on stderr. Always ExitCode::failed.
ExitCode fail(const Context& context, const Failure& failure);

/// Prints the answer as JSON, or what `render` makes of it.
ExitCode show(const Context& context, const Answer& answer,
              const std::function<std::string(const Json&)>& render);

/// JSON as it is printed: two spaces deep, one newline at the end.
[[nodiscard]] std::string json_text(const Json& value);

/// "Examples:" and the lines, as they stand below a verb's help.
[[nodiscard]] std::string examples(std::initializer_list<std::string_view> lines);

}  // namespace penstock::controlplane::cli
