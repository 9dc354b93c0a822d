// EXPECT: could not convert|invalid initialization|could not bind|cannot convert
#include "penstock/rtmp/session.h"

// true could be read as allowed or as refused; a verdict says which.
void use(penstock::rtmp::Session& session) {
#ifdef MISUSE
  session.answer_publish(1, true);
#else
  session.answer_publish(1, penstock::rtmp::Verdict{});
#endif
}
