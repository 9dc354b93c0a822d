#pragma once

#include <expected>
#include <string>

namespace penstock::controlplane {

/// The folder of what outlives a process, and the right to be its one control process for as long
/// as the object lives (the kernel gives the lock back when a process dies in whatever way).
class StateDir {
 public:
  /// Makes the folder when it is not there. The error says what is wrong and what to do about it.
  [[nodiscard]] static std::expected<StateDir, std::string> take(const std::string& path);
  StateDir(StateDir&& other) noexcept;
  StateDir& operator=(StateDir&&) = delete;
  ~StateDir();

  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  StateDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;
};

}  // namespace penstock::controlplane
