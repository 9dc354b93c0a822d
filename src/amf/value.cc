#include "penstock/amf/value.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::amf {
namespace {

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  // ASCII only: the names that this serves are Adobe's.
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(),
                    [lower](char a, char b) { return lower(a) == lower(b); });
}

bool complex_in_amf0(const Value& value) {
  return value.type == Type::object || value.type == Type::ecma_array || value.type == Type::array;
}

bool complex_in_amf3(const Value& value) {
  switch (value.type) {
    case Type::xml_document:
    case Type::xml:
    case Type::date:
    case Type::byte_array:
    case Type::object:
    case Type::external:
    case Type::ecma_array:
    case Type::array:
    case Type::vector_int:
    case Type::vector_uint:
    case Type::vector_double:
    case Type::vector_object:
    case Type::dictionary:
      return true;
    default:
      return false;
  }
}

// Finds the complex value that has `skip` others before it. Depth is that of the tree, which its
// reader has bounded.
const Value* nth_in_amf0(const Value& value, uint32_t& skip) {
  if (value.amf3) return nullptr;  // has tables of its own
  if (complex_in_amf0(value) && skip-- == 0) return &value;
  for (const Member& member : value.members) {
    if (const Value* found = nth_in_amf0(member.value, skip)) return found;
  }
  for (const Value& item : value.items) {
    if (const Value* found = nth_in_amf0(item, skip)) return found;
  }
  return nullptr;
}

const Value* nth_in_amf3(const Value& value, uint32_t& skip) {
  if (complex_in_amf3(value) && skip-- == 0) return &value;
  for (const Member& member : value.members) {
    if (const Value* found = nth_in_amf3(member.value, skip)) return found;
  }
  for (const Value& item : value.items) {
    if (const Value* found = nth_in_amf3(item, skip)) return found;
  }
  return nullptr;
}

Value of_type(Type type) {
  Value value;
  value.type = type;
  return value;
}

}  // namespace

std::optional<double> Value::as_number() const {
  if (type == Type::number || type == Type::integer) return numeric;
  return std::nullopt;
}

std::optional<uint32_t> Value::as_u32() const {
  const std::optional<double> value = as_number();
  // Written so that a NaN fails too.
  if (!value || !(*value >= 0 && *value <= UINT32_MAX) || std::trunc(*value) != *value)
    return std::nullopt;
  return static_cast<uint32_t>(*value);
}

std::optional<std::string_view> Value::as_string() const {
  if (type == Type::string || type == Type::xml || type == Type::xml_document) return text;
  return std::nullopt;
}

std::optional<bool> Value::as_boolean() const {
  if (type == Type::boolean) return numeric != 0;
  return std::nullopt;
}

const Value* Value::find(std::string_view name) const {
  if (!has_members()) return nullptr;
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->name == name) return &member->value;
  }
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (equal_ignoring_case(member->name, name)) return &member->value;
  }
  return nullptr;
}

std::optional<double> Value::find_number(std::string_view name) const {
  const Value* value = find(name);
  return value ? value->as_number() : std::nullopt;
}

std::optional<uint32_t> Value::find_u32(std::string_view name) const {
  const Value* value = find(name);
  return value ? value->as_u32() : std::nullopt;
}

std::optional<std::string_view> Value::find_string(std::string_view name) const {
  const Value* value = find(name);
  return value ? value->as_string() : std::nullopt;
}

std::optional<bool> Value::find_boolean(std::string_view name) const {
  const Value* value = find(name);
  return value ? value->as_boolean() : std::nullopt;
}

std::optional<Value> in_amf0(Value value) {
  // A reference of AMF0 stays right only while every complex value keeps its position.
  switch (value.type) {
    case Type::byte_array:
    case Type::external:
    case Type::vector_int:
    case Type::vector_uint:
    case Type::vector_double:
    case Type::vector_object:
    case Type::dictionary:
    case Type::reference:
      return std::nullopt;
    default:
      break;
  }
  value.amf3 = false;
  for (Member& member : value.members) {
    auto made = in_amf0(std::move(member.value));
    if (!made) return std::nullopt;
    member.value = std::move(*made);
  }
  for (Value& item : value.items) {
    auto made = in_amf0(std::move(item));
    if (!made) return std::nullopt;
    item = std::move(*made);
  }
  return value;
}

Value& Value::add(std::string_view name, Value value) {
  members.push_back(Member{std::string{name}, std::move(value)});
  return *this;
}

bool operator==(const Value& left, const Value& right) {
  return left.type == right.type && left.amf3 == right.amf3 && left.dynamic == right.dynamic &&
         left.fixed == right.fixed && left.sealed == right.sealed && left.index == right.index &&
         std::bit_cast<uint64_t>(left.numeric) == std::bit_cast<uint64_t>(right.numeric) &&
         left.text == right.text && left.class_name == right.class_name &&
         left.members == right.members && left.items == right.items;
}

bool operator==(const Member& left, const Member& right) {
  return left.name == right.name && left.value == right.value;
}

Value undefined() { return of_type(Type::undefined); }

Value null() { return of_type(Type::null); }

Value boolean(bool value) {
  Value made = of_type(Type::boolean);
  made.numeric = value ? 1 : 0;
  return made;
}

Value number(double value) {
  Value made = of_type(Type::number);
  made.numeric = value;
  return made;
}

Value string(std::string_view text) {
  Value made = of_type(Type::string);
  made.text = text;
  return made;
}

Value object() { return of_type(Type::object); }

Value ecma_array() { return of_type(Type::ecma_array); }

Value strict_array(std::vector<Value> items) {
  Value made = of_type(Type::array);
  made.items = std::move(items);
  return made;
}

Value date(double ms_since_1970) {
  Value made = of_type(Type::date);
  made.numeric = ms_since_1970;
  return made;
}

const Value* referenced(std::span<const Value> values, const Value& reference) {
  if (reference.type != Type::reference) return nullptr;
  uint32_t skip = reference.index;
  for (const Value& value : values) {
    if (const Value* found = nth_in_amf0(value, skip)) return found;
  }
  return nullptr;
}

const Value* referenced_amf3(const Value& root, const Value& reference) {
  if (reference.type != Type::reference) return nullptr;
  uint32_t skip = reference.index;
  return nth_in_amf3(root, skip);
}

}  // namespace penstock::amf
