#pragma once

#include <termios.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::controlplane::cli {

struct ScreenSize {
  size_t columns = 80;
  size_t rows = 24;
};

enum class ScreenInput : uint8_t { time_passed, resized, quit };

/// The whole terminal for as long as it lives: alternate screen, no cursor, no echo. The destructor
/// gives the terminal back, and so does every signal that asks the program to end, because those
/// are only noted and end wait(). One at a time.
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// Both ends are a terminal that knows escape sequences.
  [[nodiscard]] static bool available();
  [[nodiscard]] ScreenSize size() const;
  /// Replaces what is shown. One write, and no clearing first: nothing flickers.
  void draw(std::string_view picture);
  /// Until the time has passed, the size changed, or q, Ctrl-C or a signal asked to end.
  ScreenInput wait(double seconds);

 private:
  termios before_{};
};

}  // namespace penstock::controlplane::cli
