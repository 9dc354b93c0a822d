#include "controlplane/api/peers.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "controlplane/api/api.h"

namespace penstock::controlplane::api {
namespace {

using std::chrono::milliseconds;

// A peer that sends nothing has a second, and the whole request five.
constexpr milliseconds silent_patience{1'000};
constexpr milliseconds request_patience{5'000};
constexpr int write_patience_ms = 5'000;
// While others wait for a thread: 600 idle peers before 32 threads are 0.4 s of waiting.
constexpr milliseconds silent_patience_pressed{20};
constexpr milliseconds request_patience_pressed{1'000};
// So many wait that each has had time to send while it did: what is not there now is not waited
// for.
constexpr size_t crowd = 64;
constexpr int slice_ms = 10;

// The longest method that the library knows is OPTIONS.
constexpr size_t method_bytes_max = 16;
constexpr size_t read_bytes = 4'096;
constexpr int backlog = 512;

bool ready(int socket, short events, int patience_ms) {
  pollfd watched{socket, events, 0};
  return ::poll(&watched, 1, patience_ms) > 0;
}

/// Methods that the library reads; another one it takes for noise.
bool readable_method(std::string_view method) {
  constexpr std::array<std::string_view, 10> known = {
      "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"};
  return std::ranges::find(known, method) != known.end();
}

bool looks_like_method(std::string_view method) {
  return !method.empty() && std::ranges::all_of(method, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
  });
}

std::string not_implemented() {
  const Answer answer =
      refusal(501, "this method is not known here", "accepted: GET, HEAD, POST, PUT, DELETE");
  return "HTTP/1.1 501 Not Implemented\r\nContent-Type: " + answer.content_type +
         "\r\nContent-Length: " + std::to_string(answer.body.size()) +
         "\r\nConnection: close\r\n\r\n" + answer.body;
}

}  // namespace

ThreadQueue::ThreadQueue(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

void ThreadQueue::enqueue(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  something_.notify_one();
}

void ThreadQueue::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  something_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

size_t ThreadQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return tasks_.size();
}

bool ThreadQueue::ending() const {
  const std::lock_guard lock(mutex_);
  return ending_;
}

void ThreadQueue::run() {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      something_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

PeerStream::PeerStream(int socket, const ThreadQueue& queue) : socket_(socket), queue_(queue) {}

bool PeerStream::wait_for_bytes() {
  const bool silent = bytes_.empty();
  while (true) {
    const size_t waiting = queue_.waiting();
    const bool pressed = waiting > 0 || queue_.ending();
    const auto age = Clock::now() - began_;
    milliseconds patience = silent ? silent_patience : request_patience;
    if (pressed) patience = silent ? silent_patience_pressed : request_patience_pressed;
    const bool over = age >= patience || (silent && waiting > crowd);
    if (ready(socket_, POLLIN, over ? 0 : slice_ms)) return true;
    if (over) return false;
  }
}

bool PeerStream::fill() {
  if (!wait_for_bytes()) return false;
  const size_t had = bytes_.size();
  bytes_.resize(had + read_bytes);
  const ssize_t count = ::recv(socket_, bytes_.data() + had, read_bytes, 0);
  bytes_.resize(had + static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return count > 0;
}

std::string_view PeerStream::method() {
  while (true) {
    const std::string_view sent(bytes_.data(), bytes_.size());
    const size_t space = sent.find(' ');
    if (space != std::string_view::npos) return sent.substr(0, std::min(space, method_bytes_max));
    if (sent.size() >= method_bytes_max) return sent.substr(0, method_bytes_max);
    if (!fill()) return {};
  }
}

bool PeerStream::is_readable() const { return taken_ < bytes_.size() || ready(socket_, POLLIN, 0); }

bool PeerStream::is_writable() const { return ready(socket_, POLLOUT, write_patience_ms); }

ssize_t PeerStream::read(char* into, size_t bytes_max) {
  if (taken_ == bytes_.size()) {
    // Kept: a request's first byte is what shows that the peer is not silent.
    if (bytes_.size() > 1) bytes_.resize(1);
    taken_ = bytes_.size();
    if (!fill()) return -1;
  }
  const size_t count = std::min(bytes_max, bytes_.size() - taken_);
  std::memcpy(into, bytes_.data() + taken_, count);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t PeerStream::write(const char* bytes, size_t count) {
  if (!is_writable()) return -1;
  return ::send(socket_, bytes, count, MSG_NOSIGNAL);
}

void PeerStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void PeerStream::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

PeerServer::PeerServer(size_t threads) {
  new_task_queue = [this, threads] { return queue_ = new ThreadQueue(threads); };
}

void PeerServer::widen_backlog() { ::listen(svr_sock_, backlog); }

bool PeerServer::process_and_close_socket(socket_t socket) {
  PeerStream stream(socket, *queue_);
  const std::string_view method = stream.method();
  bool served = false;
  if (looks_like_method(method) && !readable_method(method)) {
    served = stream.write(not_implemented()) > 0;
  } else if (!method.empty()) {
    bool closed = false;
    // One request per connection: what a refused request left unread is never taken for the next
    // one (a page of another origin could put a request into a body), and nobody holds a thread by
    // being idle.
    served = process_request(stream, true, closed, nullptr);
  }
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return served;
}

}  // namespace penstock::controlplane::api
