#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "dataplane/admission_lists.h"
#include "penstock/base/assert.h"
#include "penstock/base/spsc_ring.h"

namespace penstock::dataplane {

/// The way of admission lists from main to one worker, and back: all workers read the same lists,
/// and the last feed to hear that its worker has let go of them frees them, on main's thread. Main
/// makes one feed per worker, offers the first lists before the worker starts, and lives longer
/// than it.
class AdmissionFeed {
 public:
  AdmissionFeed() = default;
  AdmissionFeed(const AdmissionFeed&) = delete;
  AdmissionFeed& operator=(const AdmissionFeed&) = delete;

  /// Main: the newest lists. Overtakes what a stalled worker has not taken.
  void offer(std::shared_ptr<const AdmissionLists> lists) {
    waiting_ = std::move(lists);
    keep();
  }

  /// Main, now and then: frees what came back and hands on what there was no room for.
  void keep() {
    const AdmissionLists* back[2 * capacity];
    const uint32_t count = returned_.pop(back);
    for (uint32_t i = 0; i < count; ++i) {
      // Not in order: what is overtaken comes back before what it was to replace.
      std::erase_if(out_, [&](const auto& one) { return one.get() == back[i]; });
    }
    if (waiting_ == nullptr || !offered_.push(waiting_.get())) return;
    out_.push_back(std::move(waiting_));
  }

  /// The worker: the lists of `state` have come. Until take() nothing is replaced.
  [[nodiscard]] bool has(const control::WantedState& state) {
    const AdmissionLists* newer[1];
    while (offered_.pop(newer) == 1) {
      give_back(std::exchange(next_, newer[0]));
    }
    return (next_ != nullptr && next_->are_of(state)) || current().are_of(state);
  }
  /// The worker, when it has those of `state`. What current() gave before is gone.
  void take(const control::WantedState& state) {
    if (next_ == nullptr || !next_->are_of(state)) return;
    give_back(std::exchange(current_, std::exchange(next_, nullptr)));
  }
  /// The worker: what was last taken.
  [[nodiscard]] const AdmissionLists& current() const {
    return current_ == nullptr ? nothing_ : *current_;
  }

 private:
  static constexpr uint32_t capacity = 4;

  void give_back(const AdmissionLists* lists) {
    if (lists == nullptr) return;
    // Out are at most four on their way, one that waits to be taken, and the current one.
    const bool room = returned_.push(lists);
    PENSTOCK_ASSERT(room);
  }

  std::shared_ptr<const AdmissionLists> waiting_;           // main's
  std::vector<std::shared_ptr<const AdmissionLists>> out_;  // main's: what the worker may look into
  SpscRing<const AdmissionLists*, capacity> offered_;
  SpscRing<const AdmissionLists*, 2 * capacity> returned_;
  const AdmissionLists* next_ = nullptr;     // the worker's
  const AdmissionLists* current_ = nullptr;  // the worker's
  const AdmissionLists nothing_;
};

}  // namespace penstock::dataplane
