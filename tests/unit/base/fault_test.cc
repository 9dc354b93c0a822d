#include "penstock/base/fault.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace penstock {
namespace {

TEST(Fault, every_fault_has_a_name_and_a_text_of_its_own) {
  std::set<std::string_view> names;
  std::set<std::string_view> texts;
  for (size_t i = 0; i < fault_count; ++i) {
    const FaultInfo info = fault_info(static_cast<Fault>(i));
    EXPECT_FALSE(info.name.empty());
    EXPECT_FALSE(info.text.empty()) << info.name;
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " is there twice";
    EXPECT_TRUE(texts.insert(info.text).second) << info.text << " is there twice";
  }
}

// Names become values of a metric's label and keys of JSON.
TEST(Fault, names_are_lower_case_identifiers) {
  for (size_t i = 0; i < fault_count; ++i) {
    const std::string_view name = fault_info(static_cast<Fault>(i)).name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789"),
              std::string_view::npos)
        << name;
  }
}

TEST(Fault, info_belongs_to_the_enumerator) {
  struct Case {
    Fault fault;
    std::string_view name;
    bool fatal;
  };
  const Case cases[] = {{Fault::handshake_version, "handshake_version", true},
                        {Fault::silent_publisher, "silent_publisher", true},
                        {Fault::metadata_malformed, "metadata_malformed", false},
                        {Fault::handshake_echo, "handshake_echo", false}};
  for (const Case& c : cases) {
    EXPECT_EQ(fault_info(c.fault).name, c.name);
    EXPECT_EQ(fault_info(c.fault).fatal, c.fatal) << c.name;
  }
}

TEST(Fault, number_from_shared_memory_that_names_no_fault_reads_as_unknown) {
  EXPECT_EQ(fault_info(Fault::count_).name, "unknown");
  EXPECT_EQ(fault_info(static_cast<Fault>(255)).name, "unknown");
}

// The position is the fault's number in the shared region: a reader of an older version must find
// the same faults.
TEST(Fault, numbers_of_the_first_release_stay) {
  EXPECT_EQ(static_cast<int>(Fault::handshake_version), 0);
  EXPECT_EQ(static_cast<int>(Fault::message_too_large), 8);
  EXPECT_EQ(static_cast<int>(Fault::silent_publisher), 23);
  EXPECT_EQ(static_cast<int>(Fault::message_flood), 34);
}

}  // namespace
}  // namespace penstock
