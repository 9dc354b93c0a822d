#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/mailbox.h"

namespace penstock::dataplane {

/// Who publishes what, for the names whose home is one worker. Every name has one home (by hash),
/// so of two workers that claim it at once exactly one is first, and no lock and no control plane
/// is in it. Owner: the home worker.
class Directory {
 public:
  struct Claimed {
    bool granted = false;
    uint64_t number = 0;      // grows with every claim granted at this home
    uint64_t interested = 0;  // bit per worker with subscribers
  };
  struct Owner {
    uint64_t stream_id = 0;  // 0: nobody publishes the name
    WorkerId worker = 0;
  };

  /// The home of `name` among `workers`.
  [[nodiscard]] static WorkerId home_of(std::string_view name, uint32_t workers) {
    return static_cast<WorkerId>(control::fnv1a(name) % workers);
  }

  Claimed claim(std::string_view name, uint64_t stream_id, WorkerId worker);
  /// Does nothing when stream_id is not the publisher: a release that comes late cannot free a
  /// successor's name.
  void release(std::string_view name, uint64_t stream_id);
  /// Returns the present publisher, which is to be told.
  Owner set_interest(std::string_view name, WorkerId worker, bool on);

  [[nodiscard]] size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Owner owner;
    uint64_t interested = 0;
  };
  void erase_if_unused(const std::string& name);

  std::unordered_map<std::string, Entry> entries_;
  uint64_t claims_granted_ = 0;
};

}  // namespace penstock::dataplane
