#include "bench/load/server_usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace penstock::load {
namespace {

namespace fs = std::filesystem;

std::vector<uint32_t> numbers_in(const fs::path& folder) {
  std::vector<uint32_t> numbers;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    uint32_t number = 0;
    const auto [rest, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (wrong == std::errc{} && rest == name.data() + name.size()) numbers.push_back(number);
  }
  return numbers;
}

uint32_t parent_of(uint32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  // The name stands in parentheses and may hold anything; behind it: state, parent.
  const size_t at = text.rfind(')');
  if (at == std::string::npos) return 0;
  std::istringstream fields(text.substr(at + 1));
  std::string state;
  uint32_t parent = 0;
  fields >> state >> parent;
  return parent;
}

std::vector<uint32_t> with_descendants(std::span<const uint32_t> pids) {
  std::vector<uint32_t> family(pids.begin(), pids.end());
  // Given twice it is still one process.
  std::ranges::sort(family);
  const auto twice = std::ranges::unique(family);
  family.erase(twice.begin(), twice.end());
  std::multimap<uint32_t, uint32_t> children;
  for (const uint32_t pid : numbers_in("/proc")) children.emplace(parent_of(pid), pid);
  for (size_t i = 0; i < family.size(); ++i) {
    const auto [first, last] = children.equal_range(family[i]);
    for (auto child = first; child != last; ++child) {
      if (std::ranges::find(family, child->second) == family.end()) family.push_back(child->second);
    }
  }
  return family;
}

uint64_t cpu_ns_of(uint32_t pid) {
  uint64_t sum = 0;
  const std::string folder = fmt::format("/proc/{}/task", pid);
  for (const uint32_t thread : numbers_in(folder)) {
    std::ifstream file(fmt::format("{}/{}/schedstat", folder, thread));
    uint64_t ran_ns = 0;
    if (file >> ran_ns) sum += ran_ns;
  }
  return sum;
}

uint64_t resident_bytes_of(uint32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  uint64_t kilobytes = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
      kilobytes += std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  return kilobytes * 1024;
}

}  // namespace

ServerUsage read_server_usage(std::span<const uint32_t> pids) {
  ServerUsage usage;
  if (pids.empty()) return usage;
  for (const uint32_t pid : with_descendants(pids)) {
    if (!fs::exists(fmt::format("/proc/{}/task", pid))) continue;
    usage.pids.push_back(pid);
    usage.cpu_ns += cpu_ns_of(pid);
    usage.resident_bytes += resident_bytes_of(pid);
  }
  return usage;
}

}  // namespace penstock::load
