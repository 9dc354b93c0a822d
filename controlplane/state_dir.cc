#include "controlplane/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

/// The process that holds the lock, from what it wrote into it; for the message only.
std::string holder(int lock) {
  std::array<char, 24> text{};
  const ssize_t count = ::pread(lock, text.data(), text.size(), 0);
  const std::string_view line(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  const auto process_id = parse_number(line.substr(0, line.find('\n')));
  return process_id ? "process " + std::to_string(*process_id) : "another process";
}

}  // namespace

std::expected<StateDir, std::string> StateDir::take(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) {
    return std::unexpected("cannot make state_dir " + path + ": " + failed.message() +
                           "; set dataplane.state_dir to a folder that you may write");
  }
  const std::string file = path + "/control.lock";
  const auto advice = [&path](int cause) {
    return cause == ENOSPC || cause == EDQUOT
               ? "; free space in " + path
               : std::string("; set dataplane.state_dir to a folder that you may write");
  };
  const int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    const int cause = errno;
    return std::unexpected("cannot open " + file + ": " + std::strerror(cause) + advice(cause));
  }
  StateDir taken(path, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return std::unexpected(
        holder(lock) + " is the control process of " + path +
        "; there is one per state_dir: end it, or use another configuration file");
  }
  const std::string line = std::to_string(::getpid()) + "\n";
  const bool written = ::ftruncate(lock, 0) == 0 && ::pwrite(lock, line.data(), line.size(), 0) > 0;
  (void)written;  // only the message of the next one suffers
  return taken;
}

StateDir::StateDir(StateDir&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

StateDir::~StateDir() {
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace penstock::controlplane
