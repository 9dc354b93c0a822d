#include "dataplane/tls/certificate_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "tests/unit/tls/layer_pair.h"

namespace penstock::tls {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class CertificateStoreTest : public testing::Test {
 protected:
  CertificateStoreTest() {
    std::string pattern = testing::TempDir() + "penstock-tls-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~CertificateStoreTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    // As renewals do: written beside and renamed, so that the mark of the file differs for sure.
    std::ofstream(path(name + ".new")) << text;
    ::chmod(path(name + ".new").c_str(), 0600);
    std::filesystem::rename(path(name + ".new"), path(name));
  }
  void write(const std::string& name, const MadeCertificate& made) const {
    write(name + ".pem", made.cert);
    write(name + ".key", made.key);
  }
  config::Certificate wanted(const std::string& name) const {
    return {path(name + ".pem"), path(name + ".key"), {}};
  }
  static std::string all(const CertificateStore::Outcome& outcome) {
    std::string text;
    for (const CertificateStore::Line& line : outcome.lines) {
      text += std::string(config::log_level_name(line.level)) + " " + line.text + "\n";
    }
    return text;
  }

  std::string folder_;
  CertificateStore store_;
  int64_t now_ = std::time(nullptr);
};

TEST_F(CertificateStoreTest, loads_a_list_and_says_so) {
  write("a", make_certificate({.names = {"a.example", "b.example"}}));
  const auto outcome = store_.want({wanted("a")}, 2, now_);
  EXPECT_TRUE(outcome.changed);
  EXPECT_THAT(all(outcome), testing::StartsWith("info certificate " + path("a.pem") +
                                                " serves a.example, b.example: EC 256, ends 2"));
  EXPECT_EQ(store_.certificates(), 1u);
  EXPECT_EQ(store_.tickets(), 2u);
  EXPECT_EQ(store_.problem(), "");
  EXPECT_GT(store_.expires_unix_s(), now_);
  ASSERT_NE(store_.make_set(), nullptr);
  const auto again = store_.want({wanted("a")}, 2, now_);
  EXPECT_FALSE(again.changed);
  EXPECT_THAT(again.lines, IsEmpty());
  EXPECT_FALSE(store_.look(now_).changed);
}

TEST_F(CertificateStoreTest, without_certificates_there_is_no_set) {
  const auto outcome = store_.want({}, 0, now_);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(store_.make_set(), nullptr);
  EXPECT_EQ(store_.problem(), "");
}

TEST_F(CertificateStoreTest, at_the_start_what_is_good_serves_and_the_rest_is_tried_again) {
  write("a", make_certificate());
  const auto outcome = store_.want({wanted("gone"), wanted("a")}, 0, now_);
  EXPECT_TRUE(outcome.changed);
  EXPECT_THAT(all(outcome), HasSubstr("error tls.certificates: " + path("gone.pem") +
                                      ": No such file or directory"));
  EXPECT_EQ(store_.certificates(), 1u);
  EXPECT_THAT(store_.problem(), HasSubstr("No such file"));
  write("gone", make_certificate());
  EXPECT_FALSE(store_.look(now_).changed) << "seen for the first time";
  EXPECT_TRUE(store_.look(now_).changed);
  EXPECT_EQ(store_.certificates(), 2u);
  EXPECT_EQ(store_.problem(), "");
}

TEST_F(CertificateStoreTest, a_renewed_file_is_read_once_it_stands_still) {
  write("a", make_certificate({.ends_s = 1000}));
  store_.want({wanted("a")}, 0, now_);
  const int64_t before = store_.expires_unix_s();
  write("a", make_certificate({.ends_s = 100'000}));
  EXPECT_FALSE(store_.look(now_).changed);
  const auto outcome = store_.look(now_);
  EXPECT_TRUE(outcome.changed);
  EXPECT_GT(store_.expires_unix_s(), before + 50'000);
  EXPECT_FALSE(store_.look(now_).changed);
}

TEST_F(CertificateStoreTest, a_bad_renewal_is_refused_with_one_line_while_the_old_one_serves) {
  write("a", make_certificate());
  store_.want({wanted("a")}, 0, now_);
  write("a.pem", make_certificate().cert);
  store_.look(now_);
  const auto outcome = store_.look(now_);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(all(outcome), "error tls.certificates: " + path("a.key") +
                              ": the key is not the certificate's: refused, the one read before "
                              "serves on\n");
  EXPECT_THAT(store_.problem(), HasSubstr("the key is not the certificate's"));
  EXPECT_EQ(store_.certificates(), 1u);
  EXPECT_NE(store_.make_set(), nullptr);
  EXPECT_THAT(store_.look(now_).lines, IsEmpty()) << "said once";
  write("a", make_certificate());
  store_.look(now_);
  EXPECT_TRUE(store_.look(now_).changed);
  EXPECT_EQ(store_.problem(), "");
}

TEST_F(CertificateStoreTest, a_bad_new_list_is_refused_as_a_whole_until_its_files_are_good) {
  write("a", make_certificate({.names = {"a.example"}}));
  write("b", make_certificate({.names = {"b.example"}}));
  store_.want({wanted("a")}, 0, now_);
  write("c.pem", "nothing");
  write("c.key", "nothing");
  const auto outcome = store_.want({wanted("b"), wanted("c")}, 3, now_);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(all(outcome), "error tls.certificates: " + path("c.pem") +
                              ": no certificate in it; accepted: PEM\n"
                              "error the new list of certificates is refused, the one before "
                              "serves on; tried again when these files change\n");
  EXPECT_EQ(store_.certificates(), 1u);
  EXPECT_EQ(store_.tickets(), 0u);
  EXPECT_THAT(store_.problem(), HasSubstr("c.pem"));
  write("c", make_certificate({.names = {"c.example"}}));
  store_.look(now_);
  EXPECT_TRUE(store_.look(now_).changed);
  EXPECT_EQ(store_.certificates(), 2u);
  EXPECT_EQ(store_.tickets(), 3u);
  EXPECT_EQ(store_.problem(), "");
}

TEST_F(CertificateStoreTest, a_list_may_be_emptied) {
  write("a", make_certificate());
  store_.want({wanted("a")}, 0, now_);
  EXPECT_TRUE(store_.want({}, 0, now_).changed);
  EXPECT_EQ(store_.make_set(), nullptr);
}

TEST_F(CertificateStoreTest, a_key_that_everybody_may_read_is_said) {
  write("a", make_certificate());
  ::chmod(path("a.key").c_str(), 0644);
  EXPECT_THAT(all(store_.want({wanted("a")}, 0, now_)),
              HasSubstr("warning " + path("a.key") + ": is open to everybody on this host"));
}

constexpr long far_s = 100 * 86'400;

TEST_F(CertificateStoreTest, one_out_of_its_time_does_not_replace_one_that_is_not) {
  const struct {
    MadeOptions made;
    const char* text;
  } cases[] = {
      {{.names = {"a.example"}, .begins_s = -7200, .ends_s = -3600}, "has expired, on 20"},
      {{.names = {"a.example"}, .begins_s = 3600, .ends_s = far_s}, "is not valid before 20"},
  };
  for (const auto& one : cases) {
    CertificateStore store;
    write("a", make_certificate({.names = {"a.example"}, .ends_s = 2 * 86'400}));
    store.want({wanted("a")}, 0, now_);
    const int64_t ends = store.expires_unix_s();
    write("a", make_certificate(one.made));
    store.look(now_);
    const auto outcome = store.look(now_);
    EXPECT_FALSE(outcome.changed);
    EXPECT_THAT(all(outcome),
                HasSubstr("error tls.certificates: " + path("a.pem") + ": " + one.text));
    EXPECT_THAT(all(outcome), HasSubstr("refused, the one read before serves on"));
    EXPECT_EQ(store.expires_unix_s(), ends);
    EXPECT_THAT(store.problem(), HasSubstr("the one read before serves on"));
    EXPECT_THAT(store.look(now_).lines, IsEmpty()) << "said once";
    // At the end of the old one there is nothing better to serve any more; or it has begun.
    EXPECT_TRUE(store.look(ends).changed);
    EXPECT_EQ(store.problem(), "");
  }
}

TEST_F(CertificateStoreTest, a_start_with_an_expired_one_serves_it_and_warns) {
  write("a", make_certificate({.begins_s = -7200, .ends_s = -3600}));
  const auto outcome = store_.want({wanted("a")}, 0, now_);
  EXPECT_EQ(store_.certificates(), 1u);
  EXPECT_THAT(all(outcome), HasSubstr("warning " + path("a.pem") + ": has expired"));
  EXPECT_THAT(store_.cautions(now_), testing::ElementsAre(HasSubstr("has expired")));
  EXPECT_EQ(store_.problem(), "");
}

TEST_F(CertificateStoreTest, a_new_list_does_not_give_a_name_to_an_expired_one) {
  write("a", make_certificate({.names = {"a.example"}, .ends_s = far_s}));
  write("b", make_certificate({.names = {"a.example"}, .begins_s = -7200, .ends_s = -3600}));
  write("c", make_certificate({.names = {"c.example"}, .begins_s = -7200, .ends_s = -3600}));
  store_.want({wanted("a")}, 0, now_);
  EXPECT_FALSE(store_.want({wanted("b")}, 0, now_).changed);
  EXPECT_THAT(store_.problem(), HasSubstr("b.pem: has expired"));
  EXPECT_THAT(store_.problem(), HasSubstr("the list before serves on"));
  EXPECT_TRUE(store_.want({wanted("a"), wanted("c")}, 0, now_).changed) << "nobody else has it";
}

TEST_F(CertificateStoreTest, a_replacement_for_other_names_is_said_until_one_has_them_again) {
  write("a", make_certificate({.names = {"a.example", "b.example"}, .ends_s = far_s}));
  store_.want({wanted("a")}, 0, now_);
  EXPECT_THAT(store_.cautions(now_), IsEmpty());
  write("a", make_certificate({.names = {"c.example", "b.example"}, .ends_s = far_s}));
  const auto outcome = store_.look_at_once(now_);
  EXPECT_TRUE(outcome.changed) << "told that it is ready: no second look";
  const std::string line = path("a.pem") + ": is not for a.example, as the one before it was";
  EXPECT_THAT(all(outcome), HasSubstr("warning " + line));
  EXPECT_THAT(store_.cautions(now_), testing::ElementsAre(HasSubstr(line)));
  EXPECT_THAT(store_.look(now_).lines, IsEmpty()) << "said once";
  write("a", make_certificate({.names = {"*.example"}, .ends_s = far_s}));
  EXPECT_TRUE(store_.look_at_once(now_).changed);
  EXPECT_THAT(store_.cautions(now_), IsEmpty());
}

TEST_F(CertificateStoreTest, a_problem_says_that_others_serve_only_where_they_do) {
  write("a", make_certificate());
  store_.want({wanted("gone"), wanted("a")}, 0, now_);
  EXPECT_THAT(store_.problem(), testing::EndsWith("No such file or directory"));
}

TEST_F(CertificateStoreTest, nothing_but_files_is_read) {
  ASSERT_EQ(::mkfifo(path("a.pem").c_str(), 0600), 0);
  write("a.key", make_certificate().key);
  EXPECT_THAT(all(store_.want({wanted("a")}, 0, now_)), HasSubstr("it is not a file"));
  write("b", make_certificate());
  std::filesystem::resize_file(path("b.pem"), config::pem_bytes_max + 1);
  EXPECT_THAT(all(store_.want({wanted("b")}, 0, now_)), HasSubstr("larger than 256 KiB"));
}

TEST_F(CertificateStoreTest, no_line_has_anything_of_a_key) {
  const MadeCertificate made = make_certificate();
  write("a.pem", made.cert);
  write("a.key", make_certificate().key);
  const std::string text = all(store_.want({wanted("a")}, 0, now_));
  EXPECT_THAT(text, testing::Not(HasSubstr("PRIVATE")));
}

TEST_F(CertificateStoreTest, ticket_keys_are_changed_after_a_day) {
  write("a", make_certificate({.ends_s = 10 * 86'400}));
  store_.want({wanted("a")}, 0, now_);
  EXPECT_FALSE(store_.look(now_).changed);
  EXPECT_FALSE(store_.look(now_ + 86'399).changed);
  EXPECT_TRUE(store_.look(now_ + 86'400).changed);
  EXPECT_FALSE(store_.look(now_ + 86'401).changed);
}

}  // namespace
}  // namespace penstock::tls
