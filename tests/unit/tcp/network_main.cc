// TCP over an in-memory network, from one number each: network --seeds=N [--first=N]
// [--against=self|kernel]
// [--trace].

#include <charconv>
#include <cstdio>
#include <string_view>

#include "tests/unit/tcp/network_run.h"

using namespace penstock::engine::tcp;

namespace {

bool take_number(std::string_view argument, std::string_view name, uint64_t& value) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  return std::from_chars(argument.data(), argument.data() + argument.size(), value).ec ==
         std::errc{};
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 1000;
  uint64_t first = 1;
  bool self = true;
  bool kernel = true;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (take_number(argument, "--seeds=", seeds) || take_number(argument, "--first=", first)) {
      continue;
    }
    if (argument == "--trace") {
      trace = true;
      continue;
    }
    self = argument == "--against=self";
    kernel = argument == "--against=kernel";
    if (self || kernel) continue;
    std::fprintf(stderr, "usage: %s [--seeds=N] [--first=N] [--against=self|kernel] [--trace]\n",
                 argv[0]);
    return 2;
  }
  uint64_t failed = 0;
  for (const NetworkPeer against : {NetworkPeer::self, NetworkPeer::kernel}) {
    if (against == NetworkPeer::self ? !self : !kernel) continue;
    const char* name = against == NetworkPeer::self ? "self" : "kernel";
    for (uint64_t seed = first; seed < first + seeds; ++seed) {
      const std::string wrong = run_network_seed(seed, against, trace);
      if (wrong.empty()) continue;
      ++failed;
      std::printf("%s\n  %s --seeds=1 --first=%llu --against=%s\n", wrong.c_str(), argv[0],
                  static_cast<unsigned long long>(seed), name);
    }
    std::printf("against %s: %llu seeds\n", name, static_cast<unsigned long long>(seeds));
  }
  return failed == 0 ? 0 : 1;
}
