#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "controlplane/config_file.h"
#include "controlplane/log.h"
#include "controlplane/region.h"

namespace penstock::controlplane {

struct Verdict {
  bool allowed = false;
  std::string_view text;  // told to the peer when refused; a literal
};

/// The policy: everybody plays; who publishes is open, or those names that are in the list of keys,
/// or those who have logged in: of them a worker knows, and does not ask.
[[nodiscard]] Verdict judge(const config::Config& config, const control::VerdictRequest& request);

/// Answers what the workers ask. Never in a worker's way: a ring that is full means that the worker
/// decides by itself.
class Verdicts {
 public:
  explicit Verdicts(Log& log) : log_(log) {}

  /// One round over all workers; how many were answered.
  size_t answer(Attachment& attachment, const config::Config& config);

  [[nodiscard]] uint64_t allowed() const { return allowed_; }
  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  void tell(Attachment& attachment, uint32_t worker, const control::VerdictRequest& request,
            const Verdict& verdict);

  Log& log_;
  std::array<control::VerdictRequest, 32>
      requests_;  // 76 KB: a member, so that a look at empty rings clears nothing
  uint64_t allowed_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace penstock::controlplane
