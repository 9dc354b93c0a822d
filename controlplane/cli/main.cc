#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "controlplane/cli/suggest.h"
#include "controlplane/cli/verb.h"

namespace {

using namespace penstock::controlplane::cli;

/// Colours only where somebody looks at them (https://no-color.org for the wish not to).
bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != 0) return false;
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && terminal != nullptr &&
         std::string_view(terminal) != "dumb";
}

/// "penstockctl tune set", as far as the arguments named verbs.
std::string deepest_verb(const CLI::App& app) {
  std::string words = app.get_name();
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    words += " " + at->get_name();
  }
  return words;
}

/// A word where a command should stand, or nothing: then it is another mistake.
std::string unknown_word(const CLI::App& app) {
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
  std::vector<std::string> known;
  for (const CLI::App* one : deepest->get_subcommands(nullptr)) known.push_back(one->get_name());
  const std::vector<std::string> left = app.remaining(true);
  const auto word =
      std::ranges::find_if(left, [](const auto& one) { return !one.starts_with('-'); });
  if (known.empty() || word == left.end()) return {};
  return unknown_command(*word, deepest_verb(app), known);
}

int run(int argc, char** argv) {
  CLI::App app("Watches and steers a running Penstock.", "penstockctl");
  app.require_subcommand(1);
  app.fallthrough();  // the options below may also stand behind the verb
  bool json = false;
  std::string socket;
  app.add_flag("--json", json, "print JSON, as the HTTP API gives it");
  app.add_option("--socket", socket,
                 "penstock-control's socket (else PENSTOCK_SOCKET, ./state/control.sock, "
                 "/run/penstock/control.sock)")
      ->type_name("PATH");
  app.footer(
      "Exit codes: 0 done, 1 failed or not found, 2 wrong usage.\n\n"
      "Examples:\n  penstockctl status\n  penstockctl streams\n"
      "  penstockctl stream show live/cam1\n  penstockctl top\n"
      "  penstockctl config check penstock.toml\n");

  Action selected;
  const Verb program(app, selected);
  add_status(program);
  add_streams(program);
  add_stream(program);
  add_connections(program);
  add_connection(program);
  add_workers(program);
  add_counters(program);
  add_top(program);
  add_history(program);
  add_config(program);
  add_tune(program);
  add_drain(program);
  add_log_level(program);
  add_user(program);
  add_version(program);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    // Help that was asked for comes this way too, with code 0 and on stdout.
    if (wrong.get_exit_code() == 0) return app.exit(wrong);
    const std::string unknown = unknown_word(app);
    std::cerr << "penstockctl: " << (unknown.empty() ? wrong.what() : unknown)
              << "\nTry: " << deepest_verb(app) << " --help\n";
    return static_cast<int>(ExitCode::usage);
  }
  const Context context{ApiSocket(find_socket(socket)), json, Paint(wants_colour())};
  const ExitCode code = selected(context);
  std::cout.flush();
  return static_cast<int>(std::cout.good() ? code : ExitCode::failed);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& wrong) {
    std::cerr << "penstockctl: " << wrong.what() << '\n';
    return static_cast<int>(ExitCode::failed);
  }
}
