#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::tunnel {

// 2 characters for the worker, 3 for its place there, 22 that nobody can guess: 22 * log2(62) = 131
// bits. FFmpeg keeps 63 characters, others 32.
constexpr size_t tunnel_name_bytes = 27;
constexpr uint32_t tunnel_workers_max = 62 * 62;
constexpr uint32_t tunnel_places_max = 62 * 62 * 62;

/// The session id of a tunnel: the only thing that a request proves its right with, and the way to
/// the worker that has the session.
class TunnelName {
 public:
  /// False when the host gives no randomness.
  [[nodiscard]] bool make(uint32_t worker, uint32_t place);
  /// Takes the same time wherever the two differ.
  [[nodiscard]] bool matches(std::string_view name) const;
  [[nodiscard]] std::string_view text() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, tunnel_name_bytes> text_{};
};

struct TunnelPlace {
  uint32_t worker = 0;
  uint32_t place = 0;
};

/// Where a session of this name would be, if there is one. None for a name that is none of ours.
[[nodiscard]] std::optional<TunnelPlace> tunnel_place(std::string_view name);

}  // namespace penstock::tunnel
