#pragma once

#include <cstdio>
#include <cstdlib>

namespace penstock {

/// Ends the process: an invariant of ours does not hold. Never reachable from what a peer or an
/// operator sends.
[[noreturn]] inline void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "penstock: assertion failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace penstock

// On in release: a wrong state that goes on would hurt every stream of the core, and silently.
#define PENSTOCK_ASSERT(expression)                   \
  (__builtin_expect(static_cast<bool>(expression), 1) \
       ? static_cast<void>(0)                         \
       : ::penstock::assertion_failed(#expression, __FILE__, __LINE__))
