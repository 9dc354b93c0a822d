#include "controlplane/cli/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string>

#include "penstock/base/assert.h"

namespace penstock::controlplane::cli {

namespace {

volatile std::sig_atomic_t end_asked = 0;
volatile std::sig_atomic_t size_changed = 0;
bool screen_taken = false;

void on_signal(int signal) {
  if (signal == SIGWINCH) {
    size_changed = 1;
  } else {
    end_asked = 1;
  }
}

constexpr int signals_taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      end_asked = 1;  // the terminal is gone
      return;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

sigset_t taken_set() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals_taken) sigaddset(&set, signal);
  return set;
}

}  // namespace

bool Screen::available() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0 && kind != nullptr &&
         std::string_view(kind) != "dumb";
}

Screen::Screen() {
  PENSTOCK_ASSERT(!screen_taken);
  screen_taken = true;
  end_asked = 0;
  size_changed = 0;
  // Blocked but for the time in ppoll(): a signal between the look at the flag and the wait would
  // otherwise be slept through.
  const sigset_t set = taken_set();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int signal : signals_taken) ::sigaction(signal, &action, nullptr);

  ::tcgetattr(STDIN_FILENO, &before_);
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  write_all("\x1b[?1049h\x1b[?25l\x1b[2J");  // alternate screen, cursor off, clear
}

Screen::~Screen() {
  write_all("\x1b[?25h\x1b[?1049l");
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (const int signal : signals_taken) ::sigaction(signal, &action, nullptr);
  // What came in meanwhile has been answered by ending; it must not end us a second time with
  // another exit code.
  const sigset_t set = taken_set();
  const timespec at_once{};
  while (::sigtimedwait(&set, nullptr, &at_once) > 0) {
  }
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  screen_taken = false;
}

ScreenSize Screen::size() const {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) return {};
  return {window.ws_col, window.ws_row};
}

void Screen::draw(std::string_view picture) {
  std::string out = "\x1b[H";
  for (const char c : picture) {
    if (c == '\n') {
      out += "\x1b[K\r\n";  // what an older, longer line left behind
    } else {
      out += c;
    }
  }
  out += "\x1b[K\x1b[J";
  write_all(out);
}

ScreenInput Screen::wait(double seconds) {
  sigset_t none;
  sigemptyset(&none);
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  const auto end_ns = static_cast<int64_t>(until.tv_sec) * 1'000'000'000 + until.tv_nsec +
                      static_cast<int64_t>(seconds * 1e9);
  while (end_asked == 0) {
    if (size_changed != 0) {
      size_changed = 0;
      return ScreenInput::resized;
    }
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t left_ns =
        end_ns - (static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
    if (left_ns <= 0) return ScreenInput::time_passed;
    const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
    pollfd keys{STDIN_FILENO, POLLIN, 0};
    if (::ppoll(&keys, 1, &left, &none) <= 0) continue;
    char pressed[64];
    const ssize_t count = ::read(STDIN_FILENO, pressed, sizeof pressed);
    // Readable and nothing to read: the terminal is gone.
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return ScreenInput::quit;
    for (ssize_t i = 0; i < count; ++i) {
      if (pressed[i] == 'q' || pressed[i] == 'Q' || pressed[i] == 3) return ScreenInput::quit;
    }
  }
  return ScreenInput::quit;
}

}  // namespace penstock::controlplane::cli
