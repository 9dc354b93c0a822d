#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <expected>
#include <string>

namespace penstock::dataplane {

/// The whole of a small file, or errno. Start and housekeeping only.
[[nodiscard]] inline std::expected<std::string, int> read_text_file(const std::string& path) {
  // The largest configuration is keys_bytes_max of keys with quotes and commas around each.
  constexpr size_t bytes_max = 16 * 1024 * 1024;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::unexpected(errno);
  std::string text;
  char piece[16 * 1024];
  while (true) {
    const ssize_t count = ::read(descriptor, piece, sizeof(piece));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || text.size() + static_cast<size_t>(count) > bytes_max) {
      const int cause = count < 0 ? errno : count > 0 ? EFBIG : 0;
      ::close(descriptor);
      if (cause != 0) return std::unexpected(cause);
      return text;
    }
    text.append(piece, static_cast<size_t>(count));
  }
}

}  // namespace penstock::dataplane
