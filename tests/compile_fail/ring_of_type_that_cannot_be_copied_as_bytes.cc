// EXPECT: static assertion failed|static_assert failed
#include <string>

#include "penstock/base/spsc_ring.h"

// A ring may lie between two processes: a pointer in it would point nowhere.
#ifdef MISUSE
penstock::SpscRing<std::string, 8> ring;
#else
penstock::SpscRing<uint64_t, 8> ring;
#endif
