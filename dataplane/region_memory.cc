#include "dataplane/region_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace penstock::dataplane {

std::expected<RegionMemory, std::string> RegionMemory::create(control::RegionPlan plan) {
  const auto failed = [&](const char* what) {
    return std::unexpected("shared region of " + std::to_string(plan.region_bytes()) +
                           " bytes: " + what + ": " + std::strerror(errno) +
                           "; lower limits.streams_max or limits.connections_max");
  };
  const int descriptor = memfd_create("penstock-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return failed("memfd_create");
  RegionMemory memory(plan, descriptor, nullptr);
  if (ftruncate(descriptor, static_cast<off_t>(plan.region_bytes())) != 0) return failed("size");
  if (fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("seal");
  }
  void* base =
      mmap(nullptr, plan.region_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (base == MAP_FAILED) return failed("map");
  memory.base_ = base;
  // Zeroed pages are the valid empty state of every cell, ring and row; only the header says
  // something.
  control::RegionHeader& header = memory.region().header();
  header.magic = control::region_magic;
  header.version = control::region_version;
  header.workers = plan.workers;
  header.streams_max = plan.streams_max;
  header.connections_max = plan.connections_max;
  header.region_bytes = plan.region_bytes();
  header.process_id = static_cast<uint32_t>(getpid());
  return memory;
}

RegionMemory::RegionMemory(RegionMemory&& other) noexcept
    : plan_(other.plan_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      base_(std::exchange(other.base_, nullptr)) {}

RegionMemory::~RegionMemory() {
  if (base_ != nullptr) munmap(base_, plan_.region_bytes());
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace penstock::dataplane
