#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/limits.h"

// What AMF0 and AMF3 bodies hold, as a tree (AMF0 specification 2.1; AMF3 specification 3.1).
namespace penstock::amf {

// What a peer says once may be referred to many times, and every mention is a copy here. Without
// references the text of a tree is at most the message's; four times the largest message leaves
// room for any honest sender.
constexpr size_t amf_text_bytes_max = 4 * data_bytes_max;

enum class Type : uint8_t {
  undefined,
  null,
  unsupported,  // AMF0 only
  boolean,
  number,
  integer,  // AMF3 only, 29 bit signed
  string,
  xml_document,
  xml,  // AMF3 only
  date,
  byte_array,  // AMF3 only
  object,      // anonymous or typed
  external,    // AMF3 only: a class that writes itself
  ecma_array,  // AMF0 only: members
  array,       // AMF0 strict array: items; AMF3 array: members and items
  vector_int,  // AMF3 only, as the next four
  vector_uint,
  vector_double,
  vector_object,
  dictionary,  // items: key, value, key, value ...
  reference,   // to a complex value of the same message (AMF0) or of the same AMF3 value
};

struct Member;

/// One value with everything below it. References stay references (an index), so a tree is a tree
/// even when the peer's graph has cycles, and nothing is expanded. Members keep their order and
/// their duplicates; the last of a name wins.
///
/// Text is bytes as the peer sent them; it need not be UTF-8.
struct Value {
  Type type = Type::undefined;
  bool amf3 = false;    // in an AMF0 body: came after the 0x11 switch, and is written so again
  bool dynamic = true;  // AMF3 object: members beyond the sealed ones are allowed
  bool fixed = false;   // AMF3 vectors: fixed length; dictionary: weak keys
  uint32_t sealed = 0;  // AMF3 object: how many of the members are of its traits
  uint32_t index =
      0;  // reference: position among the complex values in order of appearance, outermost first
  double numeric = 0;  // number, integer; boolean: 0 or 1; date: ms since 1970 UTC
  std::string
      text;  // string, xml, xml_document, byte_array; external: flag bytes of DSA, DSC and DSK
  std::string class_name;  // object, external, vector_object; empty: anonymous
  std::vector<Member> members;
  std::vector<Value> items;

  [[nodiscard]] bool is_null() const { return type == Type::null || type == Type::undefined; }
  /// Objects and arrays with names: what find() looks into.
  [[nodiscard]] bool has_members() const {
    return type == Type::object || type == Type::ecma_array || type == Type::array;
  }

  /// The value itself, when it is of that kind; nothing is converted from text.
  [[nodiscard]] std::optional<double> as_number() const;  // may be NaN or infinite
  /// A number that is a whole one within 0 ... 2^32 - 1: the only way from a peer's number to an id
  /// or a size.
  [[nodiscard]] std::optional<uint32_t> as_u32() const;
  [[nodiscard]] std::optional<std::string_view> as_string() const;  // string, xml and xml_document
  [[nodiscard]] std::optional<bool> as_boolean() const;

  /// A member by name: as written, otherwise whatever the case of its letters ("tcurl" has been
  /// seen for "tcUrl"). Null when there is none, or when this has no members. The last of equal
  /// names.
  [[nodiscard]] const Value* find(std::string_view name) const;
  [[nodiscard]] std::optional<double> find_number(std::string_view name) const;
  [[nodiscard]] std::optional<uint32_t> find_u32(std::string_view name) const;
  [[nodiscard]] std::optional<std::string_view> find_string(std::string_view name) const;
  [[nodiscard]] std::optional<bool> find_boolean(std::string_view name) const;

  /// Appends a member; returns this, for chains.
  Value& add(std::string_view name, Value value);
};

struct Member {
  std::string name;
  Value value;
};

/// The same on the wire: numbers by their bits, so that a NaN equals itself.
[[nodiscard]] bool operator==(const Value& left, const Value& right);
[[nodiscard]] bool operator==(const Member& left, const Member& right);

/// The same in AMF0; nothing when it holds what AMF0 cannot say (byte arrays, vectors,
/// dictionaries, classes that write themselves), or refers to another part of itself.
[[nodiscard]] std::optional<Value> in_amf0(Value value);

[[nodiscard]] Value undefined();
[[nodiscard]] Value null();
[[nodiscard]] Value boolean(bool value);
[[nodiscard]] Value number(double value);
[[nodiscard]] Value string(std::string_view text);
[[nodiscard]] Value object();
[[nodiscard]] Value ecma_array();
[[nodiscard]] Value strict_array(std::vector<Value> items);
[[nodiscard]] Value date(double ms_since_1970);

/// What a reference of an AMF0 body means: `values` is the body's. Null when there is no such
/// value.
[[nodiscard]] const Value* referenced(std::span<const Value> values, const Value& reference);
/// The same within one AMF3 value.
[[nodiscard]] const Value* referenced_amf3(const Value& root, const Value& reference);

}  // namespace penstock::amf
