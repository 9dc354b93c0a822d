#include "dataplane/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace penstock::dataplane {

Bell::Bell(Doorbell& doorbell)
    : doorbell_(doorbell), descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Bell::~Bell() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Bell::ring(uint32_t ringer) {
  // The result does not matter: a count at its end has been rung often enough.
  if (doorbell_.ring(ringer)) static_cast<void>(eventfd_write(descriptor_, 1));
}

int Bell::prepare_sleep(int wait_ms) {
  doorbell_.prepare_sleep();
  return doorbell_.anybody_rang() ? 0 : wait_ms;
}

void Bell::woke_up() {
  doorbell_.woke_up();
  eventfd_t rings = 0;
  static_cast<void>(eventfd_read(descriptor_, &rings));
  static_cast<void>(doorbell_.take_rung());
}

}  // namespace penstock::dataplane
