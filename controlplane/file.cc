#include "controlplane/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace penstock::controlplane {
namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "it is a directory";
  if (S_ISFIFO(mode)) return "it is a pipe";
  if (S_ISSOCK(mode)) return "it is a socket";
  return "it is a device";
}

std::string too_large(size_t bytes_max) {
  const size_t mebi = 1024 * 1024;
  return "larger than " + (bytes_max >= mebi ? std::to_string(bytes_max / mebi) + " MiB"
                                             : std::to_string(bytes_max) + " bytes");
}

std::expected<std::string, std::string> read_all(int file, size_t bytes_max) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return std::unexpected(std::string(std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) {
    return std::unexpected(std::string(kind_of(status.st_mode)) + ", not a file");
  }
  if (static_cast<size_t>(status.st_size) > bytes_max) return std::unexpected(too_large(bytes_max));
  // One byte more shows a file that grows under our eyes, or says 0 (/proc).
  std::string text;
  while (text.size() <= bytes_max) {
    const size_t had = text.size();
    const size_t piece = std::min<size_t>(64 * 1024, bytes_max + 1 - had);
    text.resize(had + piece);
    const ssize_t count = ::read(file, text.data() + had, piece);
    if (count < 0 && errno != EINTR) return std::unexpected(std::string(std::strerror(errno)));
    text.resize(had + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count == 0) return text;
  }
  return std::unexpected(too_large(bytes_max));
}

}  // namespace

std::expected<std::string, std::string> read_file(const std::string& path, size_t bytes_max) {
  // Without O_NONBLOCK the open of a pipe waits for somebody who writes.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return std::unexpected(std::string(std::strerror(errno)));
  auto text = read_all(file, bytes_max);
  ::close(file);
  return text;
}

}  // namespace penstock::controlplane
