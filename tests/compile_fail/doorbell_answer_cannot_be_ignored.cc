// EXPECT: unused-result|nodiscard
#include "penstock/base/spsc_ring.h"

// Who is told to wake and does not leaves a worker asleep.
void use(penstock::Doorbell& doorbell) {
#ifdef MISUSE
  doorbell.ring(0);
#else
  (void)doorbell.ring(0);
#endif
}
