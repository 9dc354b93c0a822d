#pragma once

#include <cstdint>
#include <string>

#include "controlplane/parts.h"
#include "controlplane/verdicts.h"

namespace penstock::controlplane {

/// The loop of the process: attaches, beats, answers verdicts, mirrors, reconciles. One thread;
/// turn() never blocks for longer than an attach may take, and whoever calls it waits in between.
class Steering {
 public:
  Steering(Parts& parts, std::string attach_path);

  /// One turn; how long the caller may wait before the next.
  uint32_t turn(uint64_t now_ns);
  /// To be waited on together with what else ends the wait; -1: none.
  [[nodiscard]] int socket() const;
  [[nodiscard]] int bell() const;

 private:
  void try_attach(uint64_t now_ns);
  /// How many questions were answered.
  size_t steer(Attachment& attachment, uint64_t now_ns);
  void mirror(Attachment& attachment, uint64_t now_ns);
  void keep_history(uint64_t now_ns);
  void lose(Attachment& attachment, uint64_t now_ns);

  Parts& parts_;
  const std::string attach_path_;
  Verdicts verdicts_;
  std::string complaint_;  // of the last failed attach: said once, not ten times a second
  uint64_t attached_at_ns_ = 0;
  uint64_t attach_at_ns_ = 0;
  uint64_t mirror_at_ns_ = 0;
  uint64_t reconcile_at_ns_ = 0;
  bool history_complained_ = false;
};

}  // namespace penstock::controlplane
