// EXPECT: unused-result|nodiscard
#include "penstock/base/spsc_ring.h"

// A full ring is a drop that somebody has to count.
void use(penstock::SpscRing<uint32_t, 16>& ring) {
#ifdef MISUSE
  ring.push(1);
#else
  if (!ring.push(1)) return;
#endif
}
