#pragma once

#include <memory>

#include "dataplane/tls/certificate_set.h"
#include "penstock/base/assert.h"
#include "penstock/base/spsc_ring.h"

namespace penstock::tls {

/// The way of certificate sets from main to one worker, and back to be freed: a worker frees no
/// list of contexts and waits for nobody. Main makes one feed per worker, offers the worker's first
/// set before it starts, and lives longer than it.
///
/// Main, in its housekeeping:
///     if (store.look(now).changed) for (each worker) feed.offer(store.make_set());
///     for (each worker) feed.keep();
/// The worker, once per poll:
///     const CertificateSet* certificates = feed.current();  // null: there are none, refuse TLS
///     ... TlsLayer::accept(*certificates) ...
/// What current() gave is valid until its next call; layers hold what they need themselves.
class TlsFeed {
 public:
  TlsFeed() = default;
  TlsFeed(const TlsFeed&) = delete;
  TlsFeed& operator=(const TlsFeed&) = delete;
  /// Once the worker has ended.
  ~TlsFeed() {
    collect();
    Offer left[capacity];
    for (uint32_t count = offered_.pop(left); count > 0; count = offered_.pop(left)) {
      for (uint32_t i = 0; i < count; ++i) delete left[i].set;
    }
    delete current_;
  }

  /// Main: the newest set, which may be none. Overtakes what a stalled worker has not taken.
  void offer(std::unique_ptr<const CertificateSet> set) {
    waiting_ = std::move(set);
    is_waiting_ = true;
    keep();
  }

  /// Main: frees what came back and hands on what there was no room for.
  void keep() {
    collect();
    if (!is_waiting_ || !offered_.push({waiting_.get()})) return;
    static_cast<void>(waiting_.release());
    is_waiting_ = false;
  }

  /// The worker.
  [[nodiscard]] const CertificateSet* current() {
    if (offered_.empty()) return current_;
    Offer newer[1];
    while (offered_.pop(newer) == 1) {
      // Main collects before each offer, and so has never more out than are on their way or here.
      const bool room = returned_.push({current_});
      PENSTOCK_ASSERT(room);
      current_ = newer[0].set;
    }
    return current_;
  }

 private:
  static constexpr uint32_t capacity = 4;
  struct Offer {
    const CertificateSet* set = nullptr;
  };

  void collect() {
    Offer back[2 * capacity];
    const uint32_t count = returned_.pop(back);
    for (uint32_t i = 0; i < count; ++i) delete back[i].set;
  }

  std::unique_ptr<const CertificateSet> waiting_;  // main's
  bool is_waiting_ = false;
  SpscRing<Offer, capacity> offered_;
  SpscRing<Offer, 2 * capacity> returned_;
  const CertificateSet* current_ = nullptr;  // the worker's
};

}  // namespace penstock::tls
