#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace penstock::controlplane {

struct CloseDatabase {
  void operator()(sqlite3* database) const;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const;
};

/// One statement with its values. What goes wrong is kept and shows in failed(): a chain of calls
/// needs one look at its end.
class Statement {
 public:
  Statement(sqlite3* database, std::string_view sql);

  Statement& bind(std::string_view text);
  Statement& bind(uint64_t number);
  /// True: there is a row.
  bool step();
  /// Runs to the end; false when it did not get there.
  bool run();
  [[nodiscard]] bool failed() const { return failed_; }

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] uint64_t number(int column) const;

 private:
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
  int bound_ = 0;
  bool failed_ = false;
};

/// What the control plane must not lose and no file of the operator says: one SQLite file in
/// state_dir, for its owner alone. Not for several threads at once.
class Store {
 public:
  /// Makes the file when it is not there, and brings an older one up to date. The error says what
  /// is wrong and what to do.
  [[nodiscard]] static std::expected<Store, std::string> open(const std::string& path);

  [[nodiscard]] Statement statement(std::string_view sql) const { return {database_.get(), sql}; }
  /// How many rows the last statement changed.
  [[nodiscard]] uint64_t changed() const;
  /// Why the last one failed.
  [[nodiscard]] std::string problem() const;

 private:
  explicit Store(std::unique_ptr<sqlite3, CloseDatabase> database)
      : database_(std::move(database)) {}
  [[nodiscard]] bool execute(const char* sql) const;
  /// What is wrong; empty when all is well.
  [[nodiscard]] std::string migrate();

  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

}  // namespace penstock::controlplane
