#include "dataplane/engine/dpdk/environment.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace penstock::engine {
namespace {

namespace fs = std::filesystem;

/// The last line that DPDK wrote, from whichever of its threads.
class Complaints {
 public:
  void write(std::string_view text) {
    for (const char c : text) {
      if (c == '\n') {
        if (!line_.empty()) last_ = std::exchange(line_, {});
      } else if (line_.size() < line_bytes_max) {
        line_ += c;
      }
    }
  }
  std::string take() { return std::exchange(last_, {}); }

 private:
  static constexpr size_t line_bytes_max = 300;
  std::string line_;
  std::string last_;
};

Complaints& complaints() {
  static Complaints instance;
  return instance;
}

/// stdio holds its lock while it calls this.
ssize_t note_complaint(void*, const char* text, size_t bytes) {
  complaints().write({text, bytes});
  return static_cast<ssize_t>(bytes);
}

FILE* complaint_stream() {
  static FILE* const stream = [] {
    FILE* made = fopencookie(nullptr, "w", {.write = note_complaint});
    if (made != nullptr) setvbuf(made, nullptr, _IOLBF, 1024);
    return made;
  }();
  return stream;
}

uint64_t number_in(const fs::path& file) {
  std::ifstream stream(file);
  uint64_t number = 0;
  stream >> number;
  return stream ? number : 0;
}

/// Asked before DPDK is, which can be asked once only.
std::expected<void, std::string> check_hugepages(uint32_t memory_mb) {
  std::error_code unknown;
  uint64_t free_bytes = 0;
  uint64_t page_kb = 0;
  for (const auto& entry : fs::directory_iterator("/sys/kernel/mm/hugepages", unknown)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    uint64_t kb = 0;
    const size_t digits = name.find('-') + 1;
    std::from_chars(name.data() + digits, name.data() + name.size(), kb);
    free_bytes += number_in(entry.path() / "free_hugepages") * kb * 1024;
    if (page_kb == 0 || kb < page_kb) page_kb = kb;
  }
  const uint64_t wanted_bytes = uint64_t{memory_mb} << 20;
  if (free_bytes >= wanted_bytes) return {};
  if (page_kb == 0) {
    return std::unexpected("hugepages: this kernel has none; set dpdk.hugepages = false");
  }
  return std::unexpected("hugepages: " + std::to_string(free_bytes >> 20) +
                         " MiB are free and dpdk.memory_mb is " + std::to_string(memory_mb) +
                         "; run: sysctl -w vm.nr_hugepages=" +
                         std::to_string((wanted_bytes / 1024 + page_kb - 1) / page_kb + 8) +
                         " (or set dpdk.hugepages = false, which is slower)");
}

std::string start_failure(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "DPDK does not start without rights: run penstockd as root, or give it what "
             "dataplane/engine/dpdk/README.md lists";
    case ENOMEM:
      return "DPDK does not start: not enough memory; lower dpdk.memory_mb or reserve more "
             "hugepages";
    case EALREADY:
      return "DPDK does not start a second time in one process; start penstockd anew";
    default:
      return std::string("DPDK does not start: ") + rte_strerror(error);
  }
}

/// EAL pins the thread that starts it to a core, and its threads inherit that.
class KeepAffinity {
 public:
  KeepAffinity() { known_ = sched_getaffinity(0, sizeof(set_), &set_) == 0; }
  ~KeepAffinity() {
    if (known_) sched_setaffinity(0, sizeof(set_), &set_);
  }
  KeepAffinity(const KeepAffinity&) = delete;
  KeepAffinity& operator=(const KeepAffinity&) = delete;
  [[nodiscard]] int first_core() const {
    for (int core = 0; known_ && core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set_)) return core;
    }
    return 0;
  }

 private:
  cpu_set_t set_{};
  bool known_ = false;
};

std::vector<std::string> arguments_for(const EnvironmentOptions& options, int core) {
  // By -l, DPDK would number its threads as the cores, and it has fewer numbers than large machines
  // have cores (RTE_MAX_LCORE).
  std::vector<std::string> arguments{"penstockd",
                                     "--lcores",
                                     "0@" + std::to_string(core),
                                     "-m",
                                     std::to_string(options.memory_mb),
                                     "--file-prefix=" + options.file_prefix,
                                     "--no-telemetry",
                                     "--log-level=warning"};
  // Neither leaves files behind that a second process could open, or that a killed one would leave.
  if (options.hugepages) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.emplace_back("--no-huge");
    arguments.emplace_back("--no-shconf");
  }
  if (options.pci_devices.empty()) {
    arguments.emplace_back("--no-pci");
  } else {
    for (const std::string& device : options.pci_devices) {
      arguments.emplace_back("-a");
      arguments.push_back(device);
    }
  }
  return arguments;
}

bool environment_runs = false;

}  // namespace

std::expected<void, std::string> start_environment(const EnvironmentOptions& options) {
  if (environment_runs) return {};
  if (options.hugepages) {
    if (auto enough = check_hugepages(options.memory_mb); !enough) return enough;
  }
  if (FILE* stream = complaint_stream(); stream != nullptr) rte_openlog_stream(stream);
  const KeepAffinity affinity;
  std::vector<std::string> arguments = arguments_for(options, affinity.first_core());
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(words.size()), words.data()) < 0) {
    return std::unexpected(with_complaint(start_failure(rte_errno)));
  }
  environment_runs = true;
  return {};
}

std::string take_dpdk_complaint() {
  FILE* stream = complaint_stream();
  if (stream == nullptr) return {};
  flockfile(stream);
  fflush_unlocked(stream);
  std::string complaint = complaints().take();
  funlockfile(stream);
  return complaint;
}

std::string with_complaint(std::string cause) {
  const std::string complaint = take_dpdk_complaint();
  return complaint.empty() ? cause : cause + " (" + complaint + ")";
}

void join_dpdk() {
  struct Membership {
    Membership() { joined = rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0; }
    ~Membership() {
      if (joined) rte_thread_unregister();
    }
    bool joined = false;
  };
  static thread_local Membership membership;
}

}  // namespace penstock::engine
