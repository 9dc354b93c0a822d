// EXPECT: static assertion failed|static_assert failed
#include "penstock/control/layout.h"

struct Row {
  uint32_t words[3];
};
struct WholeRow {
  uint32_t words[4];
};

#ifdef MISUSE
penstock::control::SeqSlot<Row> slot;
#else
penstock::control::SeqSlot<WholeRow> slot;
#endif
