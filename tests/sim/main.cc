#include <time.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "tests/sim/scenario.h"

// sim --seed N [--trace]          one run; says what it is made of
// sim --seconds S [--first N]     seeds from N on for so long
// sim --seeds COUNT [--first N]   so many seeds
// There only when a sanitizer is.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

double seconds_now() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

bool run_seed(uint64_t seed, bool trace, bool tell, const char* program, uint64_t& media_checked) {
  // The seed that is running must be known when an assert or a sanitizer ends the process.
  static char line[160];
  std::snprintf(line, sizeof line, "replay with: %s --seed %llu\n", program,
                static_cast<unsigned long long>(seed));
  setenv("PENSTOCK_SIM_REPLAY", line, 1);
  penstock::sim::Scenario scenario(seed, trace);
  if (tell)
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                scenario.describe().c_str());
  const penstock::sim::Outcome outcome = scenario.run();
  media_checked += outcome.media_checked;
  if (tell) {
    std::printf(
        "%llu steps, %llu media messages checked, %llu of them over %u carriers of tunnels\n",
        static_cast<unsigned long long>(outcome.steps),
        static_cast<unsigned long long>(outcome.media_checked),
        static_cast<unsigned long long>(outcome.media_tunneled), outcome.carriers);
  }
  if (outcome.failures.empty()) return true;
  std::printf("seed %llu (%s):\n", static_cast<unsigned long long>(seed),
              scenario.describe().c_str());
  for (const std::string& failure : outcome.failures) std::printf("  %s\n", failure.c_str());
  std::printf("%s", line);
  return false;
}

void tell_replay() {
  const char* line = std::getenv("PENSTOCK_SIM_REPLAY");
  if (line != nullptr) std::fputs(line, stderr);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t first = 1;
  uint64_t count = UINT64_MAX;
  double seconds = 1e18;
  bool one = false;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--trace") {
      trace = true;
      continue;
    }
    if (i + 1 == argc) {
      std::fprintf(stderr,
                   "usage: %s [--seed N [--trace]] [--first N] [--seeds COUNT] [--seconds S]\n",
                   argv[0]);
      return 2;
    }
    const char* value = argv[++i];
    if (option == "--seed") {
      first = std::strtoull(value, nullptr, 10);
      count = 1;
      one = true;
    } else if (option == "--first") {
      first = std::strtoull(value, nullptr, 10);
    } else if (option == "--seeds") {
      count = std::strtoull(value, nullptr, 10);
    } else if (option == "--seconds") {
      seconds = std::strtod(value, nullptr);
    } else {
      std::fprintf(stderr, "%s: unknown option %s\n", argv[0], argv[i - 1]);
      return 2;
    }
  }
  // However the process ends, the line that replays the run comes out with it.
  const auto tell_and_end = [](int number) {
    tell_replay();
    std::signal(number, SIG_DFL);
    std::raise(number);
  };
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(tell_replay);
  } else {
    std::signal(SIGSEGV, tell_and_end);
  }
  std::signal(SIGABRT, tell_and_end);
  const double until = seconds_now() + seconds;
  uint64_t done = 0;
  uint64_t media_checked = 0;
  int failed = 0;
  for (; done < count && seconds_now() < until && failed < 5; ++done) {
    if (!run_seed(first + done, trace, one, argv[0], media_checked)) ++failed;
  }
  std::printf("%llu seeds from %llu, %llu media messages checked, %d failed\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(media_checked), failed);
  return failed == 0 ? 0 : 1;
}
