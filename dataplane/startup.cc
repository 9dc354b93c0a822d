#include "dataplane/startup.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/block_pool.h"
#include "dataplane/text_file.h"

namespace penstock::dataplane {
namespace {

// Rings, region, sockets of the control plane, files.
constexpr uint64_t descriptors_beside_connections = 256;

constexpr uint32_t lock_retry_ms = 50;

/// mkdir -p, for its owner alone.
bool make_folders(const std::string& path) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    if (::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST) return false;
  }
  return true;
}

/// dataplane.state_dir of a file that does not parse, as far as a line says it: a half-edited file
/// must not keep a crashed data plane from what it had applied. Empty when no line does.
std::string state_dir_in(std::string_view text) {
  constexpr std::string_view key = "state_dir";
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    const size_t open = line.find_first_of("\"'");
    if (open == std::string_view::npos || line.substr(0, open).find('=') == std::string_view::npos)
      continue;
    const size_t close = line.find(line[open], open + 1);
    if (close != std::string_view::npos)
      return std::string(line.substr(open + 1, close - open - 1));
  }
  return {};
}

std::string joined(const std::vector<config::Problem>& problems) {
  std::string text;
  for (const config::Problem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += problem.to_string();
  }
  return text;
}

}  // namespace

std::string usage_text() {
  return "Usage: penstockd --config FILE [--state-dir DIR] [--ignore-applied]\n"
         "\n"
         "The data plane of Penstock: takes RTMP streams from publishers and gives them to "
         "subscribers.\n"
         "\n"
         "  --config FILE      configuration (penstock.toml)\n"
         "  --state-dir DIR    use DIR instead of the file's dataplane.state_dir\n"
         "  --ignore-applied   after an unclean end, start from FILE and not from the "
         "configuration\n"
         "                     that was last applied (DIR/applied.toml)\n"
         "  --help             this text\n"
         "  --version          the version\n"
         "\n"
         "Examples:\n"
         "  penstockd --config /etc/penstock/penstock.toml\n"
         "  penstockctl config check penstock.toml && penstockd --config penstock.toml\n"
         "\n"
         "Exit codes: 0 stopped as asked, 1 could not start, 2 wrong usage.\n";
}

std::expected<Options, std::string> parse_options(int argc, char** argv) {
  static const option long_options[] = {
      {"config", required_argument, nullptr, 'c'},   {"state-dir", required_argument, nullptr, 's'},
      {"ignore-applied", no_argument, nullptr, 'i'}, {"help", no_argument, nullptr, 'h'},
      {"version", no_argument, nullptr, 'v'},        {}};
  Options options;
  opterr = 0;
  int choice = 0;
  while ((choice = getopt_long(argc, argv, "hv", long_options, nullptr)) != -1) {
    switch (choice) {
      case 'c':
        options.config_path = optarg;
        break;
      case 's':
        options.state_dir = optarg;
        break;
      case 'i':
        options.ignore_applied = true;
        break;
      case 'h':
        options.help = true;
        break;
      case 'v':
        options.version = true;
        break;
      default:
        return std::unexpected("unknown option or missing value: " + std::string(argv[optind - 1]));
    }
  }
  if (optind < argc) return std::unexpected("unexpected argument: " + std::string(argv[optind]));
  if (options.config_path.empty() && !options.help && !options.version) {
    return std::unexpected("--config FILE is needed");
  }
  return options;
}

std::expected<StateFolder, std::string> StateFolder::take(const std::string& path,
                                                          uint32_t wait_ms) {
  if (!make_folders(path)) {
    return std::unexpected(path + ": " + std::strerror(errno) +
                           ": set dataplane.state_dir to a folder that can be written");
  }
  const std::string lock_path = path + "/penstockd.lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) {
    return std::unexpected(lock_path + ": " + std::strerror(errno) +
                           ": set dataplane.state_dir to a folder that can be written");
  }
  StateFolder folder(path, lock);
  uint32_t waited_ms = 0;
  while (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (waited_ms >= wait_ms) {
      const std::string holder = read_text_file(lock_path).value_or("");
      return std::unexpected(path + ": penstockd" +
                             (holder.empty() ? "" : " (process " + holder + ")") +
                             " uses this state folder: stop it, or set another "
                             "dataplane.state_dir");
    }
    usleep(lock_retry_ms * 1000);
    waited_ms += lock_retry_ms;
  }
  const std::string self = std::to_string(getpid());
  if (::ftruncate(lock, 0) != 0 || ::write(lock, self.data(), self.size()) < 0) {
    // Only a message of another process would be poorer: the lock is what counts.
  }
  return folder;
}

StateFolder::StateFolder(StateFolder&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

StateFolder::~StateFolder() {
  if (lock_ >= 0) ::close(lock_);
}

std::expected<Start, std::string> choose_start(const Options& options) {
  std::string problem;
  std::optional<config::Config> from_file;
  const auto text = read_text_file(options.config_path);
  if (!text) {
    problem = options.config_path + ": " + std::strerror(text.error());
  } else if (auto parsed = config::parse(*text, options.config_path); !parsed) {
    problem = joined(parsed.error());
  } else {
    from_file = std::move(*parsed);
  }
  Start start;
  start.state_dir = !options.state_dir.empty() ? options.state_dir
                    : from_file                ? from_file->state_dir
                                               : state_dir_in(text.value_or(""));
  if (start.state_dir.empty()) return std::unexpected(problem);
  const AppliedConfigFile file(start.state_dir);
  if (!options.ignore_applied) {
    auto applied = file.load();
    if (applied && *applied) {
      start.applied = std::move(**applied);
      start.applied.config.state_dir = start.state_dir;
      start.note = "the last run did not stop cleanly: starting from what it had applied (" +
                   file.path() + ")";
      if (!from_file) start.note += "; the configuration file has a problem: " + problem;
      return start;
    }
    if (!applied) start.note = applied.error() + ": not used, starting from " + options.config_path;
  }
  if (!from_file) return std::unexpected(problem);
  start.applied.config = std::move(*from_file);
  start.applied.users = file.users();
  return start;
}

std::expected<std::vector<engine::Endpoint>, std::string> listen_endpoints(
    const config::Config& config) {
  std::vector<engine::Endpoint> endpoints;
  for (const auto& [key, list] : config::listener_lists(config)) {
    for (const config::ListenAddress& listen : *list) {
      engine::Endpoint endpoint;
      endpoint.port = listen.port;
      endpoint.ipv6 = listen.ipv6;
      if (inet_pton(listen.ipv6 ? AF_INET6 : AF_INET, listen.host.c_str(), endpoint.address) != 1) {
        return std::unexpected(std::string(key) + ": " + config::to_string(listen) +
                               " is not an IP address and port");
      }
      endpoints.push_back(endpoint);
    }
  }
  return endpoints;
}

std::expected<MutableBytes, std::string> reserve_frame_memory(uint64_t bytes) {
  bytes = bytes / block_bytes_min * block_bytes_min;
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return std::unexpected("frame memory of " + std::to_string(bytes) +
                           " bytes: " + std::strerror(errno) + ": lower limits.frame_memory_bytes");
  }
  // GOP caches are written and dropped all over it: with small pages every message meets a page
  // that the TLB has forgotten. A hint; a host that has none to give goes on with small ones.
  madvise(base, bytes, MADV_HUGEPAGE);
  return MutableBytes{static_cast<uint8_t*>(base), bytes};
}

std::expected<void, std::string> check_cores(const std::vector<uint32_t>& cores) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {};
  std::string usable;
  for (uint32_t core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &allowed)) usable += (usable.empty() ? "" : ", ") + std::to_string(core);
  }
  for (const uint32_t core : cores) {
    if (core < CPU_SETSIZE && CPU_ISSET(core, &allowed)) continue;
    return std::unexpected("dataplane.workers: core " + std::to_string(core) +
                           " is not there; accepted: " + usable);
  }
  return {};
}

void pin_to_core(uint32_t core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  // check_cores() has looked; if the cpuset shrank since, running unpinned beats not running.
  static_cast<void>(pthread_setaffinity_np(pthread_self(), sizeof(set), &set));
}

DescriptorLimit raise_descriptor_limit(uint64_t connections_max) {
  const uint64_t needed = connections_max + descriptors_beside_connections;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
    return {connections_max, {}};
  rlimit raised{needed, limit.rlim_max > needed ? limit.rlim_max : needed};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return {connections_max, {}};
  raised = {limit.rlim_max, limit.rlim_max};
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &raised));
  // Refusing one connection more needs a descriptor, too: without the reserve it would hang in the
  // backlog instead.
  const uint64_t usable = limit.rlim_max > 2 * descriptors_beside_connections
                              ? limit.rlim_max - descriptors_beside_connections
                              : limit.rlim_max / 2;
  return {usable, "the descriptor limit " + std::to_string(limit.rlim_max) + " allows " +
                      std::to_string(usable) + " connections, not limits.connections_max " +
                      std::to_string(connections_max) +
                      ": raise LimitNOFILE (ulimit -n), or lower limits.connections_max"};
}

}  // namespace penstock::dataplane
