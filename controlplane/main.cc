// penstock-control: wires the control process. Everything it does lies in the parts; nobody
// includes this file.

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "controlplane/api/server.h"
#include "controlplane/clock.h"
#include "controlplane/parts.h"
#include "controlplane/state_dir.h"
#include "controlplane/steering.h"

namespace penstock::controlplane {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

constexpr std::string_view examples = R"(
Examples:
  penstock-control --config /etc/penstock/penstock.toml
  curl http://127.0.0.1:8935/api/v1/status          what it sees
  curl http://127.0.0.1:8935/api/v1/openapi.json    what can be asked
  kill -HUP PID                                     read the configuration file again

It may be started before penstockd, and ended and started again at any time: streams go on without it.
Exit code 0: ended by SIGTERM or SIGINT; 1: could not start; 2: wrong usage.)";

struct Options {
  std::string config_file;
  bool go_on = false;
  int exit_code = 0;
};

Options parse_options(int count, char** arguments) {
  Options options;
  CLI::App app("Penstock's control plane: steers and shows what penstockd does.",
               "penstock-control");
  app.add_option("--config", options.config_file, "configuration file (TOML)")
      ->required()
      ->type_name("FILE");
  app.set_version_flag("--version", "penstock-control " + std::string(software_version()));
  app.footer(std::string(examples));
  try {
    app.parse(count, arguments);
    options.go_on = true;
  } catch (const CLI::ParseError& stopped) {
    options.exit_code = app.exit(stopped) == 0 ? 0 : exit_usage;
  }
  return options;
}

int failed(std::string_view why) {
  std::fprintf(stderr, "penstock-control: %.*s\n", static_cast<int>(why.size()), why.data());
  return exit_failed;
}

/// Signals as readable events of the loop. Blocked before any thread starts, so that none of them
/// is interrupted.
int open_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&wanted, signal);
  pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

/// False: asked to end.
bool take_signals(Parts& parts, int signals) {
  signalfd_siginfo signal{};
  while (::read(signals, &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo != SIGHUP) return false;
    if (reload(parts)) push(parts, {});
  }
  return true;
}

void steer_until_told(Parts& parts, Steering& steering, int signals) {
  while (true) {
    const uint32_t wait_ms = steering.turn(monotonic_ns());
    // A hang-up of the data plane ends the wait, and a worker that asks.
    std::array<pollfd, 3> watched{pollfd{signals, POLLIN, 0}, pollfd{steering.socket(), POLLIN, 0},
                                  pollfd{steering.bell(), POLLIN, 0}};
    const int ready = ::poll(watched.data(), watched.size(), static_cast<int>(wait_ms));
    if (ready > 0 && watched[0].revents != 0 && !take_signals(parts, signals)) return;
  }
}

int run(const std::string& config_file) {
  // Absolute: whoever reads it in a status is in another folder.
  std::error_code unknown;
  const auto path = std::filesystem::absolute(config_file, unknown).lexically_normal();
  auto settings = load_settings(unknown ? config_file : path.string(), BadCertificate::is_said);
  if (!settings) {
    for (const config::Problem& problem : settings.error()) failed(problem.to_string());
    return failed("the configuration has errors; nothing was started");
  }
  const auto state = StateDir::take(settings->config.state_dir);
  if (!state) return failed(state.error());

  const int signals = open_signals();
  Parts parts(*settings, state->file("history.jsonl"));
  // Without users streams go on, and so do logins with those that the data plane has.
  if (parts.users.open(state->file("store.db"))) {
    parts.reconciler.set_users(parts.users.text());
  } else {
    parts.log.write(control::LogLevel::error, users_unknown(parts));
  }
  const auto local = api::Server::listen_unix(parts, settings->socket);
  if (!local) return failed(local.error());
  const auto http = api::Server::listen_tcp(parts, settings->http);
  if (!http) return failed(http.error());
  parts.log.write(control::LogLevel::info, "control plane started",
                  {{"version", software_version()},
                   {"http", settings->config.http},
                   {"socket", settings->socket},
                   {"pid", static_cast<uint64_t>(::getpid())}});
  tell_cautions(parts, *settings);

  Steering steering(parts, state->file(control::attach_socket_name.data()));
  steer_until_told(parts, steering, signals);
  parts.log.write(control::LogLevel::info, "control plane stopped");
  return 0;
}

}  // namespace
}  // namespace penstock::controlplane

int main(int count, char** arguments) {
  using namespace penstock::controlplane;
  const Options options = parse_options(count, arguments);
  if (!options.go_on) return options.exit_code;
  try {
    return run(options.config_file);
  } catch (const std::exception& caught) {
    return failed(std::string("ended by a fault of its own: ") + caught.what());
  }
}
