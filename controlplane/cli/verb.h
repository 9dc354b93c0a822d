#pragma once

#include <string>

#include "controlplane/cli/api_socket.h"
#include "controlplane/cli/arguments.h"
#include "controlplane/cli/table.h"

// What the files of the verbs share. A verb is a file: it declares its arguments, asks the API, and
// renders the answer with a pure function that the tests call.
namespace penstock::controlplane::cli {

/// What every verb runs with.
struct Context {
  ApiSocket api;
  bool json = false;
  Paint paint{false};
};

/// Each adds its verb to the program.
void add_status(const Verb& program);
void add_streams(const Verb& program);
void add_stream(const Verb& program);
void add_connections(const Verb& program);
void add_connection(const Verb& program);
void add_workers(const Verb& program);
void add_counters(const Verb& program);
void add_top(const Verb& program);
void add_config(const Verb& program);
void add_tune(const Verb& program);
void add_drain(const Verb& program);
void add_history(const Verb& program);
void add_log_level(const Verb& program);
void add_user(const Verb& program);
void add_version(const Verb& program);

/// Prints the failure (with --json as an object) on stderr. Always ExitCode::failed.
ExitCode fail(const Context& context, const Failure& failure);

/// The same for what was typed wrong. Always ExitCode::usage.
ExitCode fail_usage(const Context& context, const Failure& failure);

/// Prints the answer as JSON, or what `render` makes of it.
ExitCode show(const Context& context, const Answer& answer,
              const std::function<std::string(const Json&)>& render);

/// JSON as it is printed: two spaces deep, one newline at the end.
[[nodiscard]] std::string json_text(const Json& value);

}  // namespace penstock::controlplane::cli
