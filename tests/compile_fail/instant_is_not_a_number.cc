// EXPECT: no match for|invalid operands
#include "penstock/base/time.h"

// Adding two points in time means nothing, and a plain number has no unit: after_ns() and after_ms() say it.
penstock::Instant later(penstock::Instant now) {
#ifdef MISUSE
  return now + 5;
#else
  return now.after_ms(5);
#endif
}
