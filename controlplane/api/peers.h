#pragma once

#include <httplib.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

// How peers share the threads of a door. The library gives a thread to a connection from its accept
// on, and a peer that sends nothing, or a byte now and then, keeps it for seconds.
namespace penstock::controlplane::api {

/// The threads, and what waits for one.
class ThreadQueue final : public httplib::TaskQueue {
 public:
  explicit ThreadQueue(size_t threads);

  void enqueue(std::function<void()> task) override;
  /// Runs what waits, and ends the threads.
  void shutdown() override;

  /// Connections that no thread has looked at.
  [[nodiscard]] size_t waiting() const;
  [[nodiscard]] bool ending() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable something_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

/// A connection, with a deadline for the whole request and less patience while others wait.
class PeerStream final : public httplib::Stream {
 public:
  PeerStream(int socket, const ThreadQueue& queue);

  /// Waits for the request's method, or for what stands in its place. Empty: none has come.
  [[nodiscard]] std::string_view method();

  [[nodiscard]] bool is_readable() const override;
  [[nodiscard]] bool is_writable() const override;
  ssize_t read(char* into, size_t bytes_max) override;
  ssize_t write(const char* bytes, size_t count) override;
  using httplib::Stream::write;
  // Nobody asks; the library puts them into headers.
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  [[nodiscard]] socket_t socket() const override { return socket_; }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] bool wait_for_bytes();
  [[nodiscard]] bool fill();

  const int socket_;
  const ThreadQueue& queue_;
  const Clock::time_point began_ = Clock::now();
  std::vector<char> bytes_;
  size_t taken_ = 0;
};

/// The library's server, with these threads and streams.
class PeerServer final : public httplib::Server {
 public:
  explicit PeerServer(size_t threads);

  /// The library lets five connections wait for accept; a burst of peers is more.
  void widen_backlog();

 private:
  bool process_and_close_socket(socket_t socket) override;

  ThreadQueue* queue_ = nullptr;  // the library's, from the beginning to the end of listening
};

}  // namespace penstock::controlplane::api
