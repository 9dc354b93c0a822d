// EXPECT: deleted
#include "penstock/rtmp/session.h"

using penstock::rtmp::Session;

void use(Session& session) {
#ifdef MISUSE
  Session second = session;
#else
  Session& second = session;
#endif
  (void)second.deadline();
}
