#include "dataplane/tls/kernel_tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

namespace penstock::tls {
namespace {

class Socket {
 public:
  explicit Socket(int number) : number_(number) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

}  // namespace

bool kernel_tls_available() {
  // The kernel takes the request on an established connection only.
  const Socket listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Socket peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t bytes = sizeof(address);
  const bool connected = ::bind(listener.get(), generic, bytes) == 0 &&
                         ::listen(listener.get(), 1) == 0 &&
                         ::getsockname(listener.get(), generic, &bytes) == 0 &&
                         ::connect(peer.get(), generic, bytes) == 0;
  constexpr char name[] = "tls";
  return connected && ::setsockopt(peer.get(), IPPROTO_TCP, TCP_ULP, name, sizeof(name)) == 0;
}

std::string records_path_text(bool kernel_has_it) {
  return kernel_has_it ? "user space: the kernel has tls, the engine does not use it"
                       : "user space: the kernel has no tls module";
}

}  // namespace penstock::tls
