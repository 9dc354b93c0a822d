#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace penstock::conformance {

/// Two network namespaces without names, joined by a virtual Ethernet pair: they end with the
/// process, however it ends. In the one lies the interface `device` without an address, for an
/// engine that takes it raw; in the other the kernel is the peer, with addresses.
class NetworkLab {
 public:
  static constexpr const char* device = "lab0";
  static constexpr const char* peer_interface = "lab1";
  static constexpr const char* peer4 = "10.99.0.1";
  static constexpr const char* engine4 = "10.99.0.2";
  static constexpr const char* peer6 = "fd99::1";
  static constexpr const char* engine6 = "fd99::2";

  /// Null, and why, where this host or user may not.
  static std::unique_ptr<NetworkLab> make(uint32_t queues, std::string& why);
  NetworkLab(const NetworkLab&) = delete;
  NetworkLab& operator=(const NetworkLab&) = delete;
  ~NetworkLab();

  /// Runs `what` on this thread as if it were there. What it opens stays there.
  void in_engine_side(const std::function<void()>& what) const { in(engine_side_, what); }
  void in_peer_side(const std::function<void()>& what) const { in(peer_side_, what); }
  /// A command of the shell on one side; whether it ended well.
  [[nodiscard]] bool run_in_peer_side(const std::string& command) const;
  [[nodiscard]] bool run_in_engine_side(const std::string& command) const;

 private:
  NetworkLab() = default;
  [[nodiscard]] bool lay_cable(uint32_t queues, std::string& why);
  static void in(int side, const std::function<void()>& what);

  int engine_side_ = -1;
  int peer_side_ = -1;
};

}  // namespace penstock::conformance
