#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/tls/certificate_set.h"

namespace penstock::tls {

/// What tells one state of a file from the next.
struct FileMark {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  bool operator==(const FileMark&) const = default;
};

/// Reads certificates and keeps what is good. Owner: main, which asks it about once a second; no
/// worker ever touches a file.
///
/// A list that is new must be good as a whole, or the one before serves on (at the start, what is
/// good of it serves). Of a list that serves, each certificate is read again when its files have
/// changed; while they are bad, what was read before serves on. One that has expired, or is not
/// valid yet, is bad as long as it would take a name from one that is within its time.
class CertificateStore {
 public:
  struct Line {
    control::LogLevel level;
    std::string text;
  };
  struct Outcome {
    bool changed = false;     // make_set() gives something else now
    std::vector<Line> lines;  // for the log
  };

  CertificateStore();
  CertificateStore(const CertificateStore&) = delete;
  CertificateStore& operator=(const CertificateStore&) = delete;
  ~CertificateStore();

  /// The configuration's list. Does nothing when it is the one of the last call.
  Outcome want(const std::vector<config::Certificate>& list, uint32_t tickets, int64_t now_unix_s);
  /// Looks whether files have changed. A change is read once it has stood still from one look to
  /// the next, so that nobody's half-written renewal is read.
  Outcome look(int64_t now_unix_s);
  /// The same, and what has changed is read now: somebody has said that the files are ready.
  Outcome look_at_once(int64_t now_unix_s);

  /// One worker's set of what serves; null when nothing does. Each call makes another one.
  [[nodiscard]] std::unique_ptr<const CertificateSet> make_set() const;

  [[nodiscard]] uint32_t certificates() const;  // that serve
  [[nodiscard]] uint32_t tickets() const { return settings_.tickets; }
  [[nodiscard]] int64_t expires_unix_s() const;  // the first of them to end; 0: there is none
  /// Why what is wanted is not what serves, and what does instead; empty: it is what is wanted.
  [[nodiscard]] std::string problem() const;
  /// What serves and is probably not meant, or soon ends: one line each.
  [[nodiscard]] std::vector<std::string> cautions(int64_t now_unix_s) const;

 private:
  struct Marks {
    FileMark cert;
    FileMark key;
    bool operator==(const Marks&) const = default;
  };
  struct Entry {
    config::Certificate wanted;
    Marks read;                                       // of the files when they were last read
    Marks seen;                                       // when they were last looked at
    std::shared_ptr<const LoadedCertificate> loaded;  // null: never good
    std::string problem;                              // of what was last read
    int64_t again_unix_s = 0;                         // when time alone may make it good; 0: never
    std::vector<std::string> lost;                    // names that what serves is no longer for
  };
  using Entries = std::vector<Entry>;

  [[nodiscard]] static Marks marks_of(const config::Certificate& wanted);
  bool read(Entry& entry, int64_t now_unix_s, std::vector<Line>& lines) const;
  bool look_at(Entries& entries, int64_t now_unix_s, bool at_once, std::vector<Line>& lines) const;
  Outcome look(int64_t now_unix_s, bool at_once);
  [[nodiscard]] const LoadedCertificate* better(const LoadedCertificate& next,
                                                int64_t now_unix_s) const;
  void serve(Entries entries, uint32_t tickets, int64_t now_unix_s, Outcome& outcome);
  void say_cautions(int64_t now_unix_s, Outcome& outcome);
  void draw_ticket_keys(int64_t now_unix_s);

  std::optional<std::vector<config::Certificate>> wanted_;
  uint32_t wanted_tickets_ = 0;
  Entries serving_;
  std::optional<Entries> refused_;  // the newer list, until its files are good
  ContextSettings settings_;
  int64_t ticket_keys_unix_s_ = 0;
  std::vector<std::string> said_;  // cautions that are in the log already
};

}  // namespace penstock::tls
