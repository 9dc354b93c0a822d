// EXPECT: could not convert|no viable conversion|cannot convert|no known conversion
#include "dataplane/engine/engine.h"

// An index without its generation would hit a connection that came later.
void use(penstock::engine::Engine& engine, penstock::engine::ConnectionId id) {
#ifdef MISUSE
  engine.close(id.index);
#else
  engine.close(id);
#endif
}
