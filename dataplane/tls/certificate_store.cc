#include "dataplane/tls/certificate_store.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "penstock/base/assert.h"

namespace penstock::tls {
namespace {

// Who has the keys can read the recorded sessions that were resumed under them: not for longer than
// a day.
constexpr int64_t ticket_keys_s = 24 * 3600;

FileMark mark_of(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .bytes = static_cast<uint64_t>(status.st_size),
          .modified_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

FileMark mark_at(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? mark_of(status) : FileMark{};
}

/// A key that everybody on this host may read is none.
bool open_to_all(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && (status.st_mode & 0007) != 0;
}

struct ReadFile {
  std::string text;
  FileMark mark;
};

std::expected<void, std::string> read_all(int file, ReadFile& into) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return std::unexpected(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return std::unexpected("it is not a file");
  into.mark = mark_of(status);
  // One block, so that a key does not stay behind in a smaller one that was outgrown.
  into.text.resize(config::pem_bytes_max + 1);
  size_t filled = 0;
  while (filled < into.text.size()) {
    const ssize_t count = ::read(file, into.text.data() + filled, into.text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(std::strerror(errno));
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  if (filled > config::pem_bytes_max) return std::unexpected("it is larger than 256 KiB");
  into.text.resize(filled);
  return {};
}

std::expected<ReadFile, std::string> read_file(const std::string& path) {
  // Without O_NONBLOCK the open of a pipe waits for somebody who writes.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return std::unexpected(path + ": " + std::strerror(errno));
  ReadFile read;
  const auto done = read_all(file, read);
  ::close(file);
  if (done) return read;
  OPENSSL_cleanse(read.text.data(), read.text.size());
  return std::unexpected(path + ": " + done.error());
}

std::string loaded_text(const LoadedCertificate& one) {
  std::string names;
  for (const std::string& name : one.names()) {
    if (names.size() > 200) {
      names += " ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  return "certificate " + one.wanted.cert + " serves" + (names.empty() ? "" : " " + names) + ": " +
         one.facts.key + ", ends " + config::day_text(one.facts.ends_unix_s);
}

}  // namespace

CertificateStore::CertificateStore() { draw_ticket_keys(0); }

CertificateStore::~CertificateStore() {
  OPENSSL_cleanse(settings_.ticket_keys.data(), settings_.ticket_keys.size());
}

void CertificateStore::draw_ticket_keys(int64_t now_unix_s) {
  const bool drawn =
      RAND_bytes(settings_.ticket_keys.data(), static_cast<int>(settings_.ticket_keys.size())) == 1;
  PENSTOCK_ASSERT(drawn);  // the kernel's generator does not fail once it has begun
  ticket_keys_unix_s_ = now_unix_s;
}

CertificateStore::Marks CertificateStore::marks_of(const config::Certificate& wanted) {
  return {mark_at(wanted.cert), mark_at(wanted.key)};
}

/// What serves now, is within its time, and would lose a name to `next`, which is not. Null:
/// nothing.
const LoadedCertificate* CertificateStore::better(const LoadedCertificate& next,
                                                  int64_t now_unix_s) const {
  if (next.facts.valid_at(now_unix_s)) return nullptr;
  for (const Entry& entry : serving_) {
    if (entry.loaded == nullptr || !entry.loaded->facts.valid_at(now_unix_s)) continue;
    const bool same_files =
        entry.wanted.cert == next.wanted.cert && entry.wanted.key == next.wanted.key;
    const bool shared = std::ranges::any_of(next.names(), [&](const std::string& name) {
      return std::ranges::find(entry.loaded->names(), name) != entry.loaded->names().end();
    });
    if (same_files || shared) return entry.loaded.get();
  }
  return nullptr;
}

/// Reads both files. True when they are good: `loaded` is new then.
bool CertificateStore::read(Entry& entry, int64_t now_unix_s, std::vector<Line>& lines) const {
  const auto refuse = [&](std::string text) {
    entry.problem = std::move(text);
    return false;
  };
  entry.again_unix_s = 0;
  entry.read = entry.seen = marks_of(entry.wanted);
  auto cert = read_file(entry.wanted.cert);
  if (!cert) return refuse(cert.error());
  auto key = read_file(entry.wanted.key);
  if (!key) return refuse(key.error());
  entry.read = entry.seen = {cert->mark, key->mark};
  auto one = std::make_shared<LoadedCertificate>();
  one->wanted = entry.wanted;
  one->cert = std::move(cert->text);
  one->key = std::move(key->text);
  auto facts = config::look_at_certificate(one->cert, one->key);
  if (!facts) {
    const config::CertificateProblem& bad = facts.error();
    return refuse((bad.of_key ? entry.wanted.key : entry.wanted.cert) + ": " + bad.text);
  }
  one->facts = std::move(*facts);
  // OpenSSL has a last word (the digest that it is signed with, for one).
  const LoadedCertificate* alone = one.get();
  if (const auto tried = CertificateSet::make({&alone, 1}, settings_); !tried)
    return refuse(tried.error());
  if (const LoadedCertificate* valid = better(*one, now_unix_s); valid != nullptr) {
    const bool early = one->facts.begins_unix_s > now_unix_s;
    entry.again_unix_s = early ? std::min(one->facts.begins_unix_s, valid->facts.ends_unix_s)
                               : valid->facts.ends_unix_s;
    return refuse(entry.wanted.cert + ": " +
                  (early ? "is not valid before " + config::day_text(one->facts.begins_unix_s)
                         : "has expired, on " + config::day_text(one->facts.ends_unix_s)));
  }
  lines.push_back({control::LogLevel::info, loaded_text(*one)});
  entry.problem.clear();
  if (entry.loaded != nullptr) {
    std::vector<std::string> before = std::move(entry.lost);
    before.insert(before.end(), entry.loaded->facts.names.begin(), entry.loaded->facts.names.end());
    entry.lost.clear();
    std::ranges::copy_if(before, std::back_inserter(entry.lost),
                         [&](const std::string& name) { return !one->facts.covers(name); });
  }
  entry.loaded = std::move(one);
  return true;
}

void CertificateStore::serve(Entries entries, uint32_t tickets, int64_t now_unix_s,
                             Outcome& outcome) {
  serving_ = std::move(entries);
  settings_.tickets = tickets;
  refused_.reset();
  outcome.changed = true;
  say_cautions(now_unix_s, outcome);
}

std::vector<std::string> CertificateStore::cautions(int64_t now_unix_s) const {
  std::vector<config::ListedCertificate> listed;
  std::vector<std::string> lines;
  for (const Entry& entry : serving_) {
    if (entry.loaded == nullptr) continue;
    listed.push_back({entry.wanted.cert, &entry.wanted.names, &entry.loaded->facts});
    if (open_to_all(entry.wanted.key)) {
      lines.push_back(entry.wanted.key + ": is open to everybody on this host: chmod 600 it");
    }
    std::string lost;
    for (const std::string& name : entry.lost) lost += (lost.empty() ? "" : ", ") + name;
    if (lost.empty()) continue;
    lines.push_back(entry.wanted.cert + ": is not for " + lost +
                    ", as the one before it was: encoders that check refuse it");
  }
  std::vector<std::string> all = config::certificate_cautions(listed, now_unix_s);
  all.insert(all.end(), lines.begin(), lines.end());
  return all;
}

/// Each once, when it begins to hold.
void CertificateStore::say_cautions(int64_t now_unix_s, Outcome& outcome) {
  std::vector<std::string> now = cautions(now_unix_s);
  for (const std::string& line : now) {
    if (std::ranges::find(said_, line) != said_.end()) continue;
    outcome.lines.push_back({control::LogLevel::warning, line});
  }
  said_ = std::move(now);
}

CertificateStore::Outcome CertificateStore::want(const std::vector<config::Certificate>& list,
                                                 uint32_t tickets, int64_t now_unix_s) {
  Outcome outcome;
  if (wanted_ == list && wanted_tickets_ == tickets) return outcome;
  const bool first = !wanted_.has_value();
  wanted_ = list;
  wanted_tickets_ = tickets;
  Entries entries;
  for (const config::Certificate& wanted : list) {
    Entry entry{.wanted = wanted};
    if (!read(entry, now_unix_s, outcome.lines)) {
      outcome.lines.push_back({control::LogLevel::error, "tls.certificates: " + entry.problem});
    }
    entries.push_back(std::move(entry));
  }
  const bool good =
      std::ranges::all_of(entries, [](const Entry& one) { return one.loaded != nullptr; });
  if (good || certificates() == 0) {
    serve(std::move(entries), tickets, now_unix_s, outcome);
    outcome.changed = !first || certificates() != 0;
    return outcome;
  }
  refused_ = std::move(entries);
  std::erase_if(outcome.lines, [](const Line& line) {
    return line.level == control::LogLevel::info;  // nothing of it serves
  });
  outcome.lines.push_back({control::LogLevel::error,
                           "the new list of certificates is refused, the one before serves on; "
                           "tried again when these files change"});
  return outcome;
}

/// True when something good was read.
bool CertificateStore::look_at(Entries& entries, int64_t now_unix_s, bool at_once,
                               std::vector<Line>& lines) const {
  bool any = false;
  for (Entry& entry : entries) {
    const Marks now = marks_of(entry.wanted);
    const bool still = at_once || now == entry.seen;
    entry.seen = now;
    const bool due = entry.again_unix_s != 0 && now_unix_s >= entry.again_unix_s;
    if (!still || (now == entry.read && !due)) continue;
    if (read(entry, now_unix_s, lines)) {
      any = true;
      continue;
    }
    lines.push_back({control::LogLevel::error,
                     "tls.certificates: " + entry.problem +
                         (entry.loaded ? ": refused, the one read before serves on" : "")});
  }
  return any;
}

CertificateStore::Outcome CertificateStore::look(int64_t now_unix_s) {
  return look(now_unix_s, false);
}

CertificateStore::Outcome CertificateStore::look_at_once(int64_t now_unix_s) {
  return look(now_unix_s, true);
}

CertificateStore::Outcome CertificateStore::look(int64_t now_unix_s, bool at_once) {
  Outcome outcome;
  outcome.changed = look_at(serving_, now_unix_s, at_once, outcome.lines);
  if (refused_) {
    look_at(*refused_, now_unix_s, at_once, outcome.lines);
    const bool good =
        std::ranges::all_of(*refused_, [](const Entry& one) { return one.loaded != nullptr; });
    if (good) serve(std::move(*refused_), wanted_tickets_, now_unix_s, outcome);
  }
  say_cautions(now_unix_s, outcome);
  if (ticket_keys_unix_s_ == 0) ticket_keys_unix_s_ = now_unix_s;
  if (now_unix_s - ticket_keys_unix_s_ >= ticket_keys_s) {
    draw_ticket_keys(now_unix_s);
    outcome.changed = outcome.changed || certificates() != 0;
  }
  return outcome;
}

std::unique_ptr<const CertificateSet> CertificateStore::make_set() const {
  std::vector<const LoadedCertificate*> loaded;
  for (const Entry& entry : serving_) {
    if (entry.loaded) loaded.push_back(entry.loaded.get());
  }
  if (loaded.empty()) return nullptr;
  auto set = CertificateSet::make(loaded, settings_);
  // Each of them was tried when it was read; together nothing is added that could be refused.
  PENSTOCK_ASSERT(set.has_value());
  return std::move(*set);
}

uint32_t CertificateStore::certificates() const {
  return static_cast<uint32_t>(
      std::ranges::count_if(serving_, [](const Entry& one) { return one.loaded != nullptr; }));
}

int64_t CertificateStore::expires_unix_s() const {
  int64_t first = 0;
  for (const Entry& entry : serving_) {
    if (!entry.loaded) continue;
    const int64_t ends = entry.loaded->facts.ends_unix_s;
    first = first == 0 ? ends : std::min(first, ends);
  }
  return first;
}

std::string CertificateStore::problem() const {
  for (const Entries* entries : {refused_ ? &*refused_ : &serving_, &serving_}) {
    for (const Entry& entry : *entries) {
      if (entry.problem.empty()) continue;
      if (entries != &serving_) return entry.problem + ": the list before serves on";
      return entry.problem + (entry.loaded ? ": the one read before serves on" : "");
    }
  }
  return {};
}

}  // namespace penstock::tls
