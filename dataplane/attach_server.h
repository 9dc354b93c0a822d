#pragma once

#include <expected>
#include <string>

#include "penstock/control/attach.h"

namespace penstock::dataplane {

/// Hands the shared region to one control process at a time (control/attach.h). Never waits: every
/// call takes what is there. Owner: main.
class AttachServer {
 public:
  /// Listens at `path` (mode 0600); a socket left there by a dead process is replaced.
  [[nodiscard]] static std::expected<AttachServer, std::string> listen(std::string path);
  AttachServer(AttachServer&& other) noexcept;
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;
  AttachServer& operator=(AttachServer&&) = delete;
  ~AttachServer();

  [[nodiscard]] int listener() const { return listener_; }
  [[nodiscard]] int attached() const { return attached_; }  // -1: nobody

  /// Greets who has connected; the one before is let go. True when somebody new is attached.
  bool accept(const control::AttachHello& hello, const std::string& config,
              control::AttachDescriptors descriptors);
  /// Reads what the attached process sent. True when it rang.
  bool take_bells();

 private:
  AttachServer(std::string path, int listener) : path_(std::move(path)), listener_(listener) {}

  std::string path_;
  int listener_ = -1;
  int attached_ = -1;
};

}  // namespace penstock::dataplane
