// EXPECT: deleted
#include "penstock/base/spsc_ring.h"

using Ring = penstock::SpscRing<uint32_t, 16>;

void use(Ring& ring) {
#ifdef MISUSE
  Ring second = ring;
#else
  Ring& second = ring;
#endif
  (void)second.empty();
}
