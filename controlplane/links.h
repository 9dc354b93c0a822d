#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/region.h"

namespace penstock::controlplane {

struct LinkNumber {
  control::LinkNumberKind kind{};
  std::string name;
  uint64_t value = 0;
};

/// The network device of a worker's engine, where that has one of its own (not the kernel's).
struct Link {
  uint32_t worker = 0;
  std::string device;
  std::string driver;
  std::string offloads;
  bool up = false;
  uint64_t bits_per_second = 0;  // 0: not known
  std::vector<LinkNumber> numbers;
  uint32_t numbers_left_out = 0;
};

/// Clean, whatever the region said. Workers whose row is being written just now are not among them.
[[nodiscard]] std::vector<Link> links(const Attachment& attachment);

/// "engine", "tcp", "device".
[[nodiscard]] std::string_view kind_name(control::LinkNumberKind kind);

}  // namespace penstock::controlplane
