// EXPECT: static assertion failed|static_assert failed
#include "penstock/base/spsc_ring.h"

#ifdef MISUSE
penstock::SpscRing<uint32_t, 12> ring;
#else
penstock::SpscRing<uint32_t, 16> ring;
#endif
