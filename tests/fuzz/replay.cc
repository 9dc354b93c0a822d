// Runs a fuzz target without libFuzzer: every file of its corpus, then a number of seeded mutations
// of them. The same seed gives the same inputs on every machine, so what fails in a test run fails
// again from the line that is printed.

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// There only in builds with a sanitizer, which end the process without a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using penstock::Prng;
using Input = std::vector<uint8_t>;

// Enough to walk every branch near the corpus in a second or two; a longer search is libFuzzer's, or
// --runs.
constexpr uint64_t default_runs = 20'000;
// A mutation grows an input by at most its own size, eight times over; beyond this nothing new is
// found in our decoders.
constexpr size_t input_bytes_max = 1 << 20;

// The line that repeats the input under way; written before it runs, because afterwards may be too
// late.
char replay_line[4096];

void print_replay_line() {
  const char prefix[] = "\nthe input that failed; run it again with:\n  ";
  // Nothing can be done about a failed write here.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, prefix, sizeof(prefix) - 1);
  written = write(STDERR_FILENO, replay_line, std::strlen(replay_line));
}

void on_signal(int number) {
  print_replay_line();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void erase_range(Prng& prng, Input& input) {
  if (input.empty()) return;
  const size_t at = prng.below(input.size());
  const size_t count = 1 + prng.below(std::min<size_t>(input.size() - at, 16));
  input.erase(input.begin() + static_cast<ptrdiff_t>(at),
              input.begin() + static_cast<ptrdiff_t>(at + count));
}

void insert_range(Prng& prng, Input& input, const Input& from) {
  const size_t at = prng.below(input.size() + 1);
  Input piece;
  if (from.empty() || prng.chance(300)) {
    piece.resize(1 + prng.below(8));
    prng.fill(piece);
  } else {
    const size_t start = prng.below(from.size());
    const size_t count = 1 + prng.below(from.size() - start);
    piece.assign(from.begin() + static_cast<ptrdiff_t>(start),
                 from.begin() + static_cast<ptrdiff_t>(start + count));
  }
  input.insert(input.begin() + static_cast<ptrdiff_t>(at), piece.begin(), piece.end());
}

void overwrite(Prng& prng, Input& input) {
  if (input.empty()) return;
  // Lengths, counts and markers that decoders are afraid of.
  static constexpr uint8_t edges[] = {0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, 0x09, 0x11};
  const size_t at = prng.below(input.size());
  const uint8_t edge = edges[prng.below(std::size(edges))];
  const size_t count = std::min<size_t>(input.size() - at, 1 + prng.below(4));
  std::fill_n(input.begin() + static_cast<ptrdiff_t>(at), count, edge);
}

Input mutated(Prng& prng, const std::vector<Input>& corpus) {
  Input input = corpus[prng.below(corpus.size())];
  const uint64_t changes = 1 + prng.below(8);
  for (uint64_t i = 0; i < changes; ++i) {
    switch (prng.below(6)) {
      case 0:
        if (!input.empty()) {
          input[prng.below(input.size())] ^= static_cast<uint8_t>(1 << prng.below(8));
        }
        break;
      case 1:
        if (!input.empty()) input[prng.below(input.size())] = static_cast<uint8_t>(prng.next());
        break;
      case 2:
        overwrite(prng, input);
        break;
      case 3:
        erase_range(prng, input);
        break;
      case 4:
        insert_range(prng, input, corpus[prng.below(corpus.size())]);
        break;
      default:
        input.resize(prng.below(input.size() + 1));
        break;
    }
    if (input.size() > input_bytes_max) input.resize(input_bytes_max);
  }
  return input;
}

void run(const Input& input) {
  // A block of its own of exactly this size, so that a sanitizer sees the first byte read beyond
  // it.
  const Input exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

struct Options {
  uint64_t runs = default_runs;
  uint64_t seed = 1;
  uint64_t only = UINT64_MAX;  // run this one mutation and nothing else
  std::vector<std::string> paths;
};

bool take_number(std::string_view argument, std::string_view name, uint64_t& value) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  return std::from_chars(argument.data(), argument.data() + argument.size(), value).ec ==
         std::errc{};
}

std::vector<std::filesystem::path> files_of(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  // The order of a directory differs between machines; mutations pick by position.
  std::sort(files.begin(), files.end());
  return files;
}

void expect_failures(const char* program, const Options& options) {
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(number, on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(print_replay_line);
  std::snprintf(replay_line, sizeof(replay_line), "%s %s\n", program, options.paths[0].c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (take_number(argument, "--runs=", options.runs)) continue;
    if (take_number(argument, "--seed=", options.seed)) continue;
    if (take_number(argument, "--only=", options.only)) continue;
    options.paths.emplace_back(argument);
  }
  const std::vector<std::filesystem::path> files = files_of(options.paths);
  if (files.empty()) {
    std::fprintf(
        stderr,
        "usage: %s [--runs=N] [--seed=N] [--only=N] FILE|FOLDER ...\nno file given or found\n",
        argv[0]);
    return 2;
  }
  expect_failures(argv[0], options);

  std::vector<Input> corpus;
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (options.only != UINT64_MAX) continue;
    std::snprintf(replay_line, sizeof(replay_line), "%s --runs=0 %s\n", argv[0], path.c_str());
    run(corpus.back());
  }

  for (uint64_t i = 0; i < options.runs; ++i) {
    if (options.only != UINT64_MAX) i = options.only;
    int length = std::snprintf(replay_line, sizeof(replay_line), "%s --seed=%llu --only=%llu",
                               argv[0], static_cast<unsigned long long>(options.seed),
                               static_cast<unsigned long long>(i));
    for (const std::string& path : options.paths) {
      if (length < 0 || static_cast<size_t>(length) >= sizeof(replay_line)) break;
      length +=
          std::snprintf(replay_line + length, sizeof(replay_line) - static_cast<size_t>(length),
                        " %s", path.c_str());
    }
    if (static_cast<size_t>(length) + 1 < sizeof(replay_line)) std::strcat(replay_line, "\n");
    Prng prng(options.seed * 0x9E3779B97F4A7C15 + i);
    run(mutated(prng, corpus));
    if (options.only != UINT64_MAX) break;
  }
  std::printf("%zu files, %llu mutations of seed %llu\n", files.size(),
              static_cast<unsigned long long>(options.only == UINT64_MAX ? options.runs : 1),
              static_cast<unsigned long long>(options.seed));
  return 0;
}
