#pragma once

#include <expected>
#include <string>

#include "penstock/control/layout.h"

namespace penstock::dataplane {

/// The shared region's memory: a memfd that can neither shrink nor grow, so that no peer process
/// can make a read of it fault. Owner: main.
class RegionMemory {
 public:
  [[nodiscard]] static std::expected<RegionMemory, std::string> create(control::RegionPlan plan);
  RegionMemory(RegionMemory&& other) noexcept;
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;
  RegionMemory& operator=(RegionMemory&&) = delete;
  ~RegionMemory();

  [[nodiscard]] control::Region region() const { return {base_, plan_}; }
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  RegionMemory(control::RegionPlan plan, int descriptor, void* base)
      : plan_(plan), descriptor_(descriptor), base_(base) {}

  control::RegionPlan plan_;
  int descriptor_ = -1;
  void* base_ = nullptr;
};

}  // namespace penstock::dataplane
