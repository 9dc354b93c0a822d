#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <thread>

#include "dataplane/attach_server.h"
#include "dataplane/bell.h"
#include "dataplane/engine/uring/uring_engine.h"
#include "dataplane/log_writer.h"
#include "dataplane/main_dpdk.h"
#include "dataplane/startup.h"
#include "dataplane/tls/certificate_store.h"
#include "dataplane/tls/kernel_tls.h"
#include "dataplane/tls/tls_feed.h"
#include "dataplane/tls/tls_layer.h"
#include "dataplane/transport/transport_setup.h"
#include "dataplane/worker.h"
#include "penstock/tunnel/rtmpe_layer.h"

// penstockd: wires the data plane, then keeps house (log lines, the control plane's socket, the
// applied configuration) while the workers run.
namespace penstock::dataplane {
namespace {

// Log rings hold 4096 records; at 20 ms between looks that is 200,000 records a second. While there
// are none main sleeps until somebody rings, or the certificates' files are to be looked at: every
// look takes a worker's core from it.
constexpr int housekeeping_busy_ms = 20;

constexpr uint32_t port_retry_ms = 50;

// A renewed certificate is in use after two looks; that of a reload with the next.
constexpr uint64_t certificates_look_ns = 1 * ns_per_s;

// What a publisher costs beside frames: Connection, Session and Stream (0.4 + 1.6 + 2.0 KiB), their
// vectors and the allocator's rounding.
constexpr uint64_t connection_bytes = 6 * 1024;
// A TLS connection takes 13 KB; a first flight that waits for its turn is 16 KiB at most, and TLS
// has not begun then.
constexpr uint64_t layer_bytes = 16 * 1024;

Instant monotonic_now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return {static_cast<uint64_t>(time.tv_sec) * ns_per_s + static_cast<uint64_t>(time.tv_nsec)};
}

uint64_t unix_now_ms() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000 +
         static_cast<uint64_t>(time.tv_nsec) / ns_per_ms;
}

uint64_t random_word() {
  uint64_t word = 0;
  while (getrandom(&word, sizeof(word), 0) != static_cast<ssize_t>(sizeof(word))) {
  }
  return word;
}

int fail(const std::string& text) {
  std::fprintf(stderr, "penstockd: %s\n", text.c_str());
  return 1;
}

/// Whole lines, as many as there is room for.
std::string lines_within(const std::vector<std::string>& lines, size_t bytes_max) {
  std::string text;
  for (const std::string& line : lines) {
    if (text.size() + line.size() + 1 > bytes_max) break;
    text += line + '\n';
  }
  return text;
}

/// One worker with everything that is its own.
struct Core {
  uint32_t number = 0;
  MutableBytes frame_memory;
  engine::Engine* engine = nullptr;            // `uring`, or one of DataPlane::dpdk_'s
  std::unique_ptr<engine::UringEngine> uring;  // none with the engine "dpdk"
  std::unique_ptr<AdmissionFeed> admission = std::make_unique<AdmissionFeed>();
  std::unique_ptr<tls::TlsFeed> certificates;
  std::unique_ptr<transport::TransportEngine> transport;  // none where only plain RTMP is spoken
  std::unique_ptr<LogRing> log;
  std::unique_ptr<StopFlag> stopped = std::make_unique<StopFlag>();  // its worker has no peer left
  std::thread thread;
};

class DataPlane {
 public:
  DataPlane(Start start, StateFolder folder, RegionMemory memory, AttachServer attach)
      : start_(std::move(start)),
        folder_(std::move(folder)),
        memory_(std::move(memory)),
        attach_(std::move(attach)),
        applied_file_(folder_.path()),
        mesh_(static_cast<uint32_t>(start_.applied.config.workers.size())),
        tunnel_mesh_(static_cast<uint32_t>(start_.applied.config.workers.size()),
                     transport::tunnels_max(start_.applied.config)) {}

  std::expected<void, std::string> prepare();
  int run();

 private:
  std::expected<void, std::string> prepare_core(const std::vector<engine::Endpoint>& endpoints,
                                                uint32_t number);
  std::expected<void, std::string> prepare_ports(const std::vector<engine::Endpoint>& endpoints);
  void prepare_descriptors();
  void prepare_transport();
  void print_memory() const;
  void start_workers();
  void work(const WorkerParts& parts);
  void keep_house(int signals);
  bool keep_admission();
  void keep_applied();
  void keep_certificates();
  void keep_links();
  void say_ports() const;
  void serve(const tls::CertificateStore::Outcome& outcome);
  void wake_all();

  Start start_;
  StateFolder folder_;
  RegionMemory memory_;
  AttachServer attach_;
  AppliedConfigFile applied_file_;
  Mesh mesh_;
  transport::TunnelMesh tunnel_mesh_;
  StopFlag stop_;
  Doorbell house_doorbell_;
  Bell house_bell_{house_doorbell_};                     // main's own
  Bell questions_{memory_.region().header().questions};  // the control plane's
  std::unique_ptr<engine::DpdkHost> dpdk_;               // outlives the engines' users in cores_
  std::unique_ptr<LinkReports> links_;
  std::vector<Core> cores_;
  std::unique_ptr<LogWriter> log_;
  std::shared_ptr<const AdmissionLists> admission_;
  uint32_t admission_sequence_ = UINT32_MAX;  // of Wanted, when its lists were last read
  uint64_t stored_epoch_ = 0;
  DescriptorLimit descriptors_;
  tls::CertificateStore certificates_;
  control::TlsRow tls_row_;
  uint64_t certificates_epoch_ = 0;  // of Wanted, when its list was last read
  uint64_t certificate_files_ = 0;   // of that
  Instant certificates_look_at_;
  bool store_failed_ = false;
  Instant store_failed_at_;
  control::KeptRow kept_row_;
};

std::expected<void, std::string> DataPlane::prepare_core(
    const std::vector<engine::Endpoint>& endpoints, uint32_t number) {
  const config::Config& config = start_.applied.config;
  const control::TunableValues& values = config.tunables;
  Core core;
  core.number = number;
  auto frame_memory = reserve_frame_memory(
      control::value_of(values, control::Tunable::frame_memory_bytes) / config.workers.size());
  if (!frame_memory) return std::unexpected(frame_memory.error());
  core.frame_memory = *frame_memory;
  if (dpdk_ != nullptr) {
    core.engine = &dpdk_->engine(cores_.size());
    dpdk_->offer_memory(core.frame_memory);
  } else {
    engine::UringOptions options;
    options.listeners = endpoints;
    options.connections_max =
        static_cast<uint32_t>(control::value_of(values, control::Tunable::connections_max));
    options.wait_us_max = control::value_of(values, control::Tunable::wait_us_max);
    auto made = engine::make_uring_engine(options);
    if (!made) return std::unexpected(made.error());
    core.uring = std::move(*made);
    core.engine = core.uring.get();
  }
  core.log = std::make_unique<LogRing>();
  cores_.push_back(std::move(core));
  return {};
}

std::expected<void, std::string> DataPlane::prepare() {
  const config::Config& config = start_.applied.config;
  if (house_bell_.descriptor() < 0 || questions_.descriptor() < 0) {
    return std::unexpected("no descriptor left for an eventfd; raise the limit (ulimit -n)");
  }
  const auto endpoints = listen_endpoints(config);
  if (!endpoints) return std::unexpected(endpoints.error());
  if (config.engine == "dpdk") {
    const uint64_t secret[2] = {random_word(), random_word()};
    auto host = start_dpdk(config, *endpoints, secret);
    if (!host) return std::unexpected(host.error());
    dpdk_ = std::move(*host);
    links_ = std::make_unique<LinkReports>(*dpdk_, memory_.region());
  } else if (auto free = prepare_ports(*endpoints); !free) {
    return free;
  }
  for (const uint32_t number : config.workers) {
    if (auto prepared = prepare_core(*endpoints, number); !prepared) return prepared;
  }
  prepare_transport();
  control::RegionHeader& header = memory_.region().header();
  header.started_unix_ms = unix_now_ms();
  header.run_id = random_word();
  control::Wanted& wanted = memory_.region().wanted();
  WantedLists lists;
  const control::WantedState state = wanted_state(start_.applied, lists);
  std::copy(lists.keys.begin(), lists.keys.end(), wanted.keys.begin());
  std::copy(lists.certificates.begin(), lists.certificates.end(), wanted.certificates.begin());
  std::copy(lists.users.begin(), lists.users.end(), wanted.users.begin());
  wanted.state.write(state);
  keep_admission();

  std::vector<LogRing*> rings;
  for (const Core& core : cores_) rings.push_back(core.log.get());
  log_ = std::make_unique<LogWriter>(rings, config.log_format);
  if (!start_.note.empty()) log_->write(control::LogLevel::warning, start_.note);
  tls_row_.path.set(tls::records_path_text(tls::kernel_tls_available()));
  keep_certificates();
  prepare_descriptors();
  header.connections_allowed.set(descriptors_.connections_max);
  print_memory();
  return {};
}

/// The kernel's, where it is the kernel's TCP that listens.
std::expected<void, std::string> DataPlane::prepare_ports(
    const std::vector<engine::Endpoint>& endpoints) {
  for (const engine::Endpoint& endpoint : endpoints) {
    // A process that was killed may still be letting go of its ports.
    auto taken = engine::endpoint_in_use(endpoint);
    for (uint32_t waited_ms = 0; taken && waited_ms < restart_wait_ms; waited_ms += port_retry_ms) {
      usleep(port_retry_ms * 1000);
      taken = engine::endpoint_in_use(endpoint);
    }
    if (taken) return std::unexpected(*taken);
  }
  return {};
}

/// Connections of our own TCP have none.
void DataPlane::prepare_descriptors() {
  const uint64_t connections_max =
      control::value_of(start_.applied.config.tunables, control::Tunable::connections_max);
  descriptors_ = raise_descriptor_limit(dpdk_ != nullptr ? 0 : connections_max);
  if (!descriptors_.shortfall.empty()) {
    log_->write(control::LogLevel::warning, descriptors_.shortfall);
  }
  if (dpdk_ != nullptr) descriptors_.connections_max = connections_max;
}

/// Between every engine and its worker, unless plain RTMP is all that is spoken.
void DataPlane::prepare_transport() {
  const config::Config& config = start_.applied.config;
  if (!transport::needs_transport(config)) return;
  std::vector<engine::Engine*> engines;
  for (const Core& core : cores_) engines.push_back(core.engine);
  for (uint32_t id = 0; id < cores_.size(); ++id) {
    Core& core = cores_[id];
    transport::TransportOptions options = transport::transport_options(config);
    core.certificates = std::make_unique<tls::TlsFeed>();
    options.make_tls = [feed = core.certificates.get()]() -> std::unique_ptr<tunnel::Layer> {
      const tls::CertificateSet* certificates = feed->current();
      if (certificates == nullptr) return nullptr;
      return tls::TlsLayer::accept(*certificates);
    };
    if (config.rtmpe_enabled) {
      options.make_rtmpe = [seed = random_word()]() mutable {
        return std::make_unique<tunnel::RtmpeLayer>(tunnel::RtmpeSettings{.random_seed = ++seed});
      };
    }
    options.now = monotonic_now;
    options.mesh = &tunnel_mesh_;
    options.id = id;
    options.engines = engines;
    core.transport = std::make_unique<transport::TransportEngine>(*core.engine, std::move(options));
  }
}

/// The sum that everything was sized to, one line per holder.
void DataPlane::print_memory() const {
  const auto line = [&](std::string_view holder, uint64_t bytes) {
    char text[128];
    std::snprintf(text, sizeof(text), "memory: %-28.*s %10.1f MiB", static_cast<int>(holder.size()),
                  holder.data(), static_cast<double>(bytes) / (1024 * 1024));
    log_->write(control::LogLevel::info, text);
    return bytes;
  };
  uint64_t engines = dpdk_ != nullptr ? dpdk_->memory_bytes() : 0;
  uint64_t frames = 0;
  for (const Core& core : cores_) {
    if (core.uring != nullptr) engines += core.uring->memory_bytes();
    frames += core.frame_memory.size();
  }
  uint64_t sum = line("shared region", memory_.region().plan().region_bytes());
  sum += line("rings between workers", Mesh::bytes(mesh_.workers()));
  sum += line("engines", engines);
  sum += line("log rings", sizeof(LogRing) * cores_.size());
  sum += line("frames (touched when used)", frames);
  const uint64_t connections_max =
      control::value_of(start_.applied.config.tunables, control::Tunable::connections_max);
  sum += line("connections, at most", connections_max * connection_bytes);
  if (transport::needs_transport(start_.applied.config)) {
    sum += line("TLS and first flights, at most", connections_max * layer_bytes);
    sum +=
        line("unfinished requests, at most", cores_.size() * transport::Tunnels::partial_bytes_max);
    sum += line("opened by layers, at most", cores_.size() * transport::PlainArena::bytes_max);
  }
  line("sum", sum);
}

void DataPlane::start_workers() {
  std::vector<engine::Engine*> engines;
  for (const Core& core : cores_) engines.push_back(core.engine);
  const int64_t offset =
      static_cast<int64_t>(unix_now_ms()) - static_cast<int64_t>(monotonic_now().ns / ns_per_ms);
  rtmp::Digest login_secret{};
  for (size_t i = 0; i < login_secret.size(); i += 8) store_u64(&login_secret[i], random_word());
  for (WorkerId id = 0; id < cores_.size(); ++id) {
    Core& core = cores_[id];
    memory_.region().worker(id).core.set(core.number);
    const WorkerParts parts{.id = id,
                            .engine = core.transport != nullptr
                                          ? static_cast<engine::Engine*>(core.transport.get())
                                          : core.engine,
                            .engines = engines,
                            .mesh = &mesh_,
                            .region = memory_.region(),
                            .log = core.log.get(),
                            .frame_memory = core.frame_memory,
                            .admission = core.admission.get(),
                            .random_seed = random_word(),
                            .login_secret = login_secret,
                            .unix_minus_monotonic_ms = offset,
                            .connections_max = descriptors_.connections_max,
                            .stop = &stop_,
                            .tuned = transport::rates_of(core.transport.get()),
                            .ring_main = [this, id] { house_bell_.ring(id); },
                            .ring_control = [this, id] { questions_.ring(id); }};
    core.thread = std::thread([this, parts, number = core.number] {
      pin_to_core(number);
      work(parts);
    });
  }
}

/// The life of a worker. Its device's queue may get packets of others' connections, whose last
/// bytes would go unacknowledged if it did not hand them over: it goes on until all have let go of
/// theirs.
void DataPlane::work(const WorkerParts& parts) {
  Worker worker(parts, monotonic_now());
  const auto turn = [&worker] {
    worker.wait(monotonic_now());
    worker.tick(monotonic_now());
  };
  while (!worker.stopped()) turn();
  cores_[parts.id].stopped->raise();
  const auto all_stopped = [this] {
    return std::ranges::all_of(cores_, [](const Core& core) { return core.stopped->raised(); });
  };
  while (!all_stopped()) turn();
  wake_all();
}

void DataPlane::wake_all() {
  for (Core& core : cores_) core.engine->wake();
}

/// Keys and users are parsed here and nowhere else. True: workers have been offered other ones.
bool DataPlane::keep_admission() {
  for (const Core& core : cores_) core.admission->keep();
  const control::Wanted& wanted = memory_.region().wanted();
  const uint32_t sequence = wanted.state.sequence();
  control::WantedState state;
  if (sequence == admission_sequence_ || !wanted.state.read(state)) return false;
  // Whoever writes lists writes the state after them: what is not whole now is not looked at again
  // until then.
  admission_sequence_ = sequence;
  if (admission_ != nullptr && admission_->are_of(state)) return false;
  auto lists = read_lists(wanted, state);
  if (!lists) return false;
  admission_ = std::make_shared<const AdmissionLists>(state, std::move(lists->keys), lists->users);
  for (const Core& core : cores_) core.admission->offer(admission_);
  return true;
}

/// Writes to disk what every worker has applied, once they all have.
void DataPlane::keep_applied() {
  // A disk that is full now is full a moment later.
  if (store_failed_ && monotonic_now().since(store_failed_at_) < 1 * ns_per_s) return;
  control::WantedState wanted;
  if (!memory_.region().wanted().state.read(wanted) || wanted.epoch == stored_epoch_) return;
  for (WorkerId id = 0; id < cores_.size(); ++id) {
    if (memory_.region().worker(id).applied_epoch.observe() != wanted.epoch) return;
  }
  const auto lists = read_lists(memory_.region().wanted(), wanted);
  if (!lists) return;
  const auto stored = applied_file_.store(merge(start_.applied.config, wanted, *lists));
  if (!stored) {
    if (!store_failed_) {
      log_->write(control::LogLevel::error,
                  "the applied configuration cannot be kept: " + stored.error() +
                      ": after a crash the data plane would start from an older one");
    }
    if (!store_failed_) kept_row_.failing_since_unix_ms = unix_now_ms();
    kept_row_.problem.set(stored.error());
    memory_.region().header().kept.write(kept_row_);
    store_failed_ = true;
    store_failed_at_ = monotonic_now();
    return;
  }
  if (store_failed_) {
    memory_.region().header().kept.write(kept_row_ = {});
    log_->write(control::LogLevel::info, "the applied configuration is kept again");
  }
  store_failed_ = false;
  stored_epoch_ = wanted.epoch;
  memory_.region().header().kept_epoch.publish(stored_epoch_);
}

/// Certificates are read here and nowhere else: when the configuration names others, and when the
/// files have changed. Workers get sets that are known to be good.
void DataPlane::keep_certificates() {
  for (const Core& core : cores_) {
    if (core.certificates != nullptr) core.certificates->keep();
  }
  const auto unix_s = static_cast<int64_t>(unix_now_ms() / 1000);
  control::WantedState wanted;
  if (memory_.region().wanted().state.read(wanted) && wanted.epoch != certificates_epoch_) {
    const auto lists = read_lists(memory_.region().wanted(), wanted);
    const auto list = lists ? config::parse_certificates_text(lists->certificates) : std::nullopt;
    if (list) {
      const bool told = wanted.certificate_files != certificate_files_;
      certificates_epoch_ = tls_row_.wanted_epoch = wanted.epoch;
      certificate_files_ = wanted.certificate_files;
      serve(certificates_.want(*list, wanted.tls_tickets, unix_s));
      if (told) serve(certificates_.look_at_once(unix_s));
    }
  }
  const Instant now = monotonic_now();
  if (now < certificates_look_at_) return;
  certificates_look_at_ = now.after_ns(certificates_look_ns);
  serve(certificates_.look(unix_s));
}

void DataPlane::serve(const tls::CertificateStore::Outcome& outcome) {
  for (const auto& line : outcome.lines) log_->write(line.level, line.text);
  if (outcome.changed) {
    for (const Core& core : cores_) {
      if (core.certificates != nullptr) core.certificates->offer(certificates_.make_set());
    }
  }
  const std::string problem = certificates_.problem();
  if (outcome.changed) tls_row_.loaded_unix_ms = unix_now_ms();
  if (problem.empty()) {
    tls_row_.refused_unix_ms = 0;
  } else if (tls_row_.refused_unix_ms == 0 || problem != tls_row_.problem.view()) {
    tls_row_.refused_unix_ms = unix_now_ms();
  }
  tls_row_.expires_unix_s = static_cast<uint64_t>(certificates_.expires_unix_s());
  tls_row_.certificates = certificates_.certificates();
  tls_row_.tickets = certificates_.tickets();
  tls_row_.problem.set(problem);
  const auto unix_s = static_cast<int64_t>(unix_now_ms() / 1000);
  tls_row_.cautions.set(
      lines_within(certificates_.cautions(unix_s), tls_row_.cautions.chars.size() - 1));
  memory_.region().header().tls.write(tls_row_);
}

void DataPlane::keep_house(int signals) {
  config::Config told = start_.applied.config;
  told.keys.clear();
  told.certificates.clear();
  std::string config_text = config::render(told);
  if (config_text.size() > control::attach_config_bytes_max) config_text.clear();
  control::AttachHello hello;
  hello.region_bytes = memory_.region().plan().region_bytes();
  hello.run_id = memory_.region().header().run_id;
  hello.process_id = static_cast<uint32_t>(getpid());
  hello.config_bytes = static_cast<uint32_t>(config_text.size());
  hello.software.set(PENSTOCK_VERSION);

  bool busy = true;
  while (true) {
    pollfd waits[4] = {{signals, POLLIN, 0},
                       {attach_.listener(), POLLIN, 0},
                       {attach_.attached(), POLLIN, 0},
                       {house_bell_.descriptor(), POLLIN, 0}};
    const uint64_t idle_ns = certificates_look_at_.since(monotonic_now());
    const auto idle_ms = static_cast<int>((idle_ns + ns_per_ms - 1) / ns_per_ms);
    poll(waits, 4, busy ? housekeeping_busy_ms : house_bell_.prepare_sleep(idle_ms));
    house_bell_.woke_up();
    if ((waits[0].revents & POLLIN) != 0) return;
    if ((waits[1].revents & POLLIN) != 0 &&
        attach_.accept(hello, config_text, {memory_.descriptor(), questions_.descriptor()})) {
      log_->write(control::LogLevel::info, "control plane attached");
    }
    bool rung = false;
    if (waits[2].revents != 0) {
      const bool was_attached = attach_.attached() >= 0;
      rung = attach_.take_bells();
      if (was_attached && attach_.attached() < 0) {
        log_->write(control::LogLevel::warning,
                    "control plane gone: streams go on; publish and play are decided by the policy "
                    "last applied");
      }
    }
    // The bell is for workers, who would wait for these.
    if (keep_admission() || rung) wake_all();
    keep_applied();
    keep_links();
    keep_certificates();  // last: main sleeps until its second is over, and so are the others'
    busy = log_->drain();
  }
}

void DataPlane::keep_links() {
  if (links_ == nullptr) return;
  for (const std::string& line : links_->look(monotonic_now())) {
    log_->write(control::LogLevel::warning, line);
  }
}

/// A line for each list of listeners.
void DataPlane::say_ports() const {
  const config::Config& config = start_.applied.config;
  log_->write(control::LogLevel::info, "penstockd " PENSTOCK_VERSION " runs");
  if (dpdk_ != nullptr) log_->write(control::LogLevel::info, dpdk_line(*dpdk_, config));
  for (const auto& [key, list] : config::listener_lists(config)) {
    if (list->empty()) continue;
    std::string line = "listens for " + std::string(key.substr(key.find('.') + 1)) + " on";
    for (const config::ListenAddress& address : *list) line += " " + config::to_string(address);
    if (list == &config.rtmp && config.sniff && transport::needs_transport(config)) {
      line += ", and takes there what else is switched on (listen.sniff)";
    }
    log_->write(control::LogLevel::info, line);
  }
  if (config.rtmpe_enabled) {
    log_->write(control::LogLevel::warning,
                "RTMPE is on: obfuscation for legacy encoders, not security");
  }
}

int DataPlane::run() {
  // Blocked before the threads start, so that no worker is ever interrupted.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set,
            SIGHUP);  // a closed terminal is no reason to stop streams: read and ignored below
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  sigdelset(&set, SIGHUP);
  const int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

  start_workers();
  say_ports();
  keep_house(signals);

  log_->write(control::LogLevel::info, "stopping: telling every peer");
  stop_.raise();
  wake_all();
  for (Core& core : cores_) core.thread.join();
  log_->drain();
  applied_file_.remove();
  log_->write(control::LogLevel::info, "stopped");
  ::close(signals);
  return 0;
}

int run_process(int argc, char** argv) {
  auto options = parse_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, "penstockd: %s\n%s", options.error().c_str(), usage_text().c_str());
    return 2;
  }
  if (options->help) return std::fputs(usage_text().c_str(), stdout) < 0 ? 1 : 0;
  if (options->version) return std::puts("penstockd " PENSTOCK_VERSION) < 0 ? 1 : 0;
  // Absolute, as penstock-control has it: the files that it names lie beside it.
  std::error_code unknown;
  const auto path = std::filesystem::absolute(options->config_path, unknown);
  if (!unknown) options->config_path = path.lexically_normal().string();
  auto start = choose_start(*options);
  if (!start) return fail(start.error());
  const config::Config& config = start->applied.config;
  if (auto cores = check_cores(config.workers); !cores) return fail(cores.error());
  auto folder = StateFolder::take(start->state_dir);
  if (!folder) return fail(folder.error());
  const control::RegionPlan plan{
      static_cast<uint32_t>(config.workers.size()),
      static_cast<uint32_t>(control::value_of(config.tunables, control::Tunable::streams_max)),
      static_cast<uint32_t>(control::value_of(config.tunables, control::Tunable::connections_max)) +
          transport::tunnels_max(config)};
  auto memory = RegionMemory::create(plan);
  if (!memory) return fail(memory.error());
  auto attach =
      AttachServer::listen(folder->path() + "/" + std::string(control::attach_socket_name));
  if (!attach) return fail(attach.error());
  DataPlane data_plane(std::move(*start), std::move(*folder), std::move(*memory),
                       std::move(*attach));
  if (auto prepared = data_plane.prepare(); !prepared) return fail(prepared.error());
  return data_plane.run();
}

}  // namespace
}  // namespace penstock::dataplane

int main(int argc, char** argv) { return penstock::dataplane::run_process(argc, argv); }
