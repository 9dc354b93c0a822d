#include "controlplane/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "controlplane/clock.h"

namespace penstock::controlplane {
namespace {

// Another process has no business in the file, but an operator's sqlite3 may look into it.
constexpr int busy_ms = 2000;

// Each step once, in order; a file knows how many it has had. Append only: a step that was released
// is never changed.
constexpr std::array<const char*, 1> migrations = {
    R"(
    CREATE TABLE settings (
      key TEXT PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE users (
      name TEXT PRIMARY KEY,
      salt TEXT NOT NULL,
      adobe_hash TEXT NOT NULL,
      llnw_hash TEXT NOT NULL,
      allow TEXT NOT NULL,
      created_unix_ms INTEGER NOT NULL,
      changed_unix_ms INTEGER NOT NULL
    ) STRICT;
    )",
};

constexpr const char* what_to_do =
    "; move it away to begin with an empty one, or put a backup in its place";
/// What to do about a store that cannot be used. One on a full disk is whole: moved away, its users
/// would be gone.
std::string advice(const std::string& problem, const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/'));
  if (problem == sqlite3_errstr(SQLITE_FULL)) return "; free space in " + folder;
  if (problem == sqlite3_errstr(SQLITE_IOERR))
    return "; look at the disk of " + folder + ": is it full, or failing?";
  return what_to_do;
}

constexpr const char* newer_text =
    "a newer version of penstock-control has written it, and an older one cannot read it";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// SQLite would make it by the umask, and its journal takes the mode over.
std::expected<void, std::string> make_private(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool made = file >= 0 && ::fchmod(file, 0600) == 0;
  const int cause = errno;
  if (file >= 0) ::close(file);
  if (made) return {};
  if (cause == ENOSPC || cause == EDQUOT) {
    return std::unexpected("cannot open " + path + ": " + std::strerror(cause) +
                           "; free space in " + path.substr(0, path.rfind('/')));
  }
  return std::unexpected(
      "cannot open " + path + ": " + std::strerror(cause) +
      "; state_dir and what is in it have to belong to the user that penstock-control runs as");
}

}  // namespace

void CloseDatabase::operator()(sqlite3* database) const { sqlite3_close_v2(database); }
void FinalizeStatement::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Statement(sqlite3* database, std::string_view sql) {
  sqlite3_stmt* made = nullptr;
  failed_ = sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &made,
                               nullptr) != SQLITE_OK;
  statement_.reset(made);
}

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL.
  const char* start = text.empty() ? "" : text.data();
  failed_ =
      failed_ || sqlite3_bind_text(statement_.get(), ++bound_, start, static_cast<int>(text.size()),
                                   SQLITE_TRANSIENT) != SQLITE_OK;
  return *this;
}

Statement& Statement::bind(uint64_t number) {
  failed_ = failed_ || sqlite3_bind_int64(statement_.get(), ++bound_,
                                          static_cast<sqlite3_int64>(number)) != SQLITE_OK;
  return *this;
}

bool Statement::step() {
  if (failed_) return false;
  const int outcome = sqlite3_step(statement_.get());
  failed_ = outcome != SQLITE_ROW && outcome != SQLITE_DONE;
  return outcome == SQLITE_ROW;
}

bool Statement::run() {
  while (step()) {
  }
  return !failed_;
}

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int bytes = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(bytes));
}

uint64_t Statement::number(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::expected<Store, std::string> Store::open(const std::string& path) {
  if (auto file = make_private(path); !file) return std::unexpected(file.error());
  sqlite3* opened = nullptr;
  const int outcome =
      sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, nullptr);
  Store store{std::unique_ptr<sqlite3, CloseDatabase>(opened)};
  if (outcome == SQLITE_OK) {
    sqlite3_busy_timeout(opened, busy_ms);
    const std::string problem = store.migrate();
    if (problem.empty()) return store;
    return std::unexpected("cannot use " + path + ": " + problem + advice(problem, path));
  }
  return std::unexpected("cannot use " + path + ": " + store.problem() +
                         advice(store.problem(), path));
}

std::string Store::migrate() {
  // What was removed is overwritten in the file: it is what passwords are checked against.
  const bool ready = execute("PRAGMA secure_delete = ON") && execute("PRAGMA synchronous = FULL") &&
                     execute(
                         "CREATE TABLE IF NOT EXISTS migrations ("
                         "version INTEGER PRIMARY KEY, applied_unix_ms INTEGER NOT NULL) STRICT");
  if (!ready) return problem();
  Statement had = statement("SELECT coalesce(max(version), 0) FROM migrations");
  if (!had.step()) return problem();
  const uint64_t version = had.number(0);
  if (version > migrations.size()) return newer_text;
  // A page that is damaged would else be found when it is too late: at a change, or at a login of
  // the user on it. 4 MiB at most take some milliseconds.
  Statement whole = statement("PRAGMA quick_check(1)");
  if (!whole.step()) return problem();
  if (whole.text(0) != "ok") return "it is damaged: " + first_line(whole.text(0));
  for (uint64_t next = version; next < migrations.size(); ++next) {
    const bool done =
        execute("BEGIN IMMEDIATE") && execute(migrations[next]) &&
        statement("INSERT INTO migrations VALUES (?, ?)").bind(next + 1).bind(unix_ms()).run() &&
        execute("COMMIT");
    if (done) continue;
    std::string why = problem();
    (void)execute("ROLLBACK");
    return why;
  }
  return {};
}

uint64_t Store::changed() const { return static_cast<uint64_t>(sqlite3_changes(database_.get())); }

std::string Store::problem() const {
  return database_ == nullptr ? "out of memory" : sqlite3_errmsg(database_.get());
}

bool Store::execute(const char* sql) const {
  return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

}  // namespace penstock::controlplane
