// EXPECT: read-only|const-qualified|not assignable
#include "penstock/base/bytes.h"

// What a peer sent lies in a slab that others may share.
void use(penstock::Bytes received, penstock::MutableBytes own) {
#ifdef MISUSE
  received[0] = 1;
#else
  own[0] = received[0];
#endif
}
