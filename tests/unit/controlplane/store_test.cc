#include "controlplane/store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "controlplane/users.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

constexpr size_t page_bytes = 4096;

std::set<std::string> tables_of(const Store& store) {
  std::set<std::string> names;
  Statement tables = store.statement("SELECT name FROM sqlite_schema WHERE type = 'table'");
  while (tables.step()) names.insert(tables.text(0));
  return names;
}

uint64_t version_of(const Store& store) {
  Statement version = store.statement("SELECT max(version) FROM migrations");
  return version.step() ? version.number(0) : 0;
}

/// Why the file is not taken.
std::string refusal_of(const std::string& path) {
  const auto store = Store::open(path);
  return store ? "it is taken" : store.error();
}

/// One line that names the file and says what to do.
void expect_told(const std::string& text, const std::string& path, const std::string& what) {
  EXPECT_TRUE(text.starts_with("cannot ") && text.find(path + ": ") != std::string::npos) << text;
  EXPECT_NE(text.find(what), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
}

/// Some users, and the file's pages after that.
void fill(const TempDir& folder) {
  Users users;
  ASSERT_TRUE(users.open(folder.file("store.db")).has_value());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(users.add("user" + std::to_string(i), "secret", {"live/*"}).has_value());
  }
}

/// Not root any more, who may write everywhere, for as long as it lives; the folder is its own.
class Unprivileged {
 public:
  explicit Unprivileged(const TempDir& folder) {
    if (::geteuid() != 0) return;
    for (const char* name : {"", "/store.db"}) {
      (void)::chown((folder.path() + name).c_str(), nobody, nobody);
    }
    changed_ = ::seteuid(nobody) == 0;
  }
  ~Unprivileged() {
    if (changed_) (void)::seteuid(0);
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

 private:
  static constexpr uid_t nobody = 65534;
  bool changed_ = false;
};

TEST(store, is_made_where_there_is_none_or_an_empty_one) {
  for (const bool empty : {false, true}) {
    const TempDir folder;
    if (empty) folder.write("store.db", "");
    const auto store = Store::open(folder.file("store.db"));
    ASSERT_TRUE(store.has_value()) << store.error();
    EXPECT_EQ(tables_of(*store), (std::set<std::string>{"migrations", "settings", "users"}));
    EXPECT_EQ(version_of(*store), 1u);
    struct stat status {};
    ASSERT_EQ(::stat(folder.file("store.db").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
  }
}

TEST(store, steps_are_taken_once) {
  const TempDir folder;
  {
    // As one that was killed before its first step.
    auto store = Store::open(folder.file("store.db"));
    ASSERT_TRUE(store.has_value()) << store.error();
    for (const char* sql : {"DROP TABLE users", "DROP TABLE settings", "DELETE FROM migrations"}) {
      ASSERT_TRUE(store->statement(sql).run());
    }
  }
  for (int i = 0; i < 2; ++i) {
    const auto store = Store::open(folder.file("store.db"));
    ASSERT_TRUE(store.has_value()) << store.error();
    EXPECT_EQ(tables_of(*store), (std::set<std::string>{"migrations", "settings", "users"}));
    EXPECT_EQ(version_of(*store), 1u);
  }
}

TEST(store, a_step_that_fails_leaves_the_file_as_it_was) {
  const TempDir folder;
  {
    auto store = Store::open(folder.file("store.db"));
    ASSERT_TRUE(store.has_value()) << store.error();
    // The second table of the step is in its way.
    ASSERT_TRUE(store->statement("DROP TABLE settings").run());
    ASSERT_TRUE(store->statement("DELETE FROM migrations").run());
  }
  const std::string before = folder.read("store.db");
  expect_told(refusal_of(folder.file("store.db")), folder.file("store.db"),
              "table users already exists; move it away");
  EXPECT_EQ(folder.read("store.db"), before);
}

TEST(store, one_of_a_newer_version_is_left_alone) {
  const TempDir folder;
  {
    auto store = Store::open(folder.file("store.db"));
    ASSERT_TRUE(store.has_value()) << store.error();
    ASSERT_TRUE(store->statement("INSERT INTO migrations VALUES (1000, 1)").run());
  }
  const std::string before = folder.read("store.db");
  expect_told(refusal_of(folder.file("store.db")), folder.file("store.db"),
              "a newer version of penstock-control has written it");
  EXPECT_EQ(folder.read("store.db"), before);
}

TEST(store, what_is_no_store_is_told_with_what_to_do) {
  const TempDir folder;
  const std::string path = folder.write("store.db", std::string(8192, 'x'));
  expect_told(refusal_of(path), path, "file is not a database; move it away");
  EXPECT_EQ(folder.read("store.db"), std::string(8192, 'x')) << "and nothing is written over it";
}

TEST(store, a_damaged_page_is_found_when_it_is_opened) {
  const TempDir folder;
  fill(folder);
  const std::string path = folder.file("store.db");
  const std::string whole = folder.read("store.db");
  ASSERT_GT(whole.size(), 4 * page_bytes);
  for (size_t page = 1; page < whole.size() / page_bytes; ++page) {
    std::string damaged = whole;
    damaged.replace(page * page_bytes, page_bytes, page_bytes, '\xA5');
    folder.write("store.db", damaged);
    expect_told(refusal_of(path), path, "; move it away");
    EXPECT_EQ(folder.read("store.db"), damaged);
  }
  folder.write("store.db", whole.substr(0, whole.size() - page_bytes));
  expect_told(refusal_of(path), path, "; move it away");
  folder.write("store.db", whole);
  EXPECT_TRUE(Store::open(path).has_value());
}

TEST(store, no_file_can_be_made) {
  const TempDir folder;
  const std::string nowhere = folder.file("not-there/store.db");
  expect_told(refusal_of(nowhere), nowhere,
              "No such file or directory; state_dir and what is in it");
  ::mkdir(folder.file("store.db").c_str(), 0700);
  expect_told(refusal_of(folder.file("store.db")), folder.file("store.db"), "Is a directory; ");
  // Of somebody who would have us write elsewhere.
  folder.write("elsewhere", "");
  ASSERT_EQ(::symlink("elsewhere", folder.file("link.db").c_str()), 0);
  EXPECT_NE(refusal_of(folder.file("link.db")), "it is taken");
  EXPECT_EQ(folder.read("elsewhere"), "");
}

TEST(store, a_folder_that_cannot_be_written_is_told) {
  const TempDir folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0500), 0);
  {
    const Unprivileged unprivileged(folder);
    expect_told(refusal_of(folder.file("store.db")), folder.file("store.db"),
                "Permission denied; state_dir and what is in it");
  }
  ::chmod(folder.path().c_str(), 0700);
  fill(folder);
  ::chmod(folder.path().c_str(), 0500);
  {
    // There already, but its journal cannot be made.
    const Unprivileged unprivileged(folder);
    Users users;
    ASSERT_TRUE(users.open(folder.file("store.db")).has_value());
    EXPECT_EQ(users.size(), 100u);
    const auto added = users.add("joe", "secret", {});
    ASSERT_FALSE(added.has_value());
    EXPECT_EQ(added.error().kind, UserRefusal::Kind::store);
    EXPECT_TRUE(added.error().text.starts_with("the store cannot be written: "))
        << added.error().text;
    EXPECT_EQ(users.size(), 100u);
  }
  ::chmod(folder.path().c_str(), 0700);
}

}  // namespace
}  // namespace penstock::controlplane
