#include <algorithm>
#include <bit>
#include <string>

#include "penstock/amf/amf0.h"
#include "penstock/amf/amf3.h"
#include "src/amf/markers.h"

namespace penstock::amf {
namespace {

void append_u16(std::vector<uint8_t>& out, uint16_t value) {
  uint8_t bytes[2];
  store_u16(bytes, value);
  out.insert(out.end(), bytes, bytes + 2);
}

void append_u32(std::vector<uint8_t>& out, uint32_t value) {
  uint8_t bytes[4];
  store_u32(bytes, value);
  out.insert(out.end(), bytes, bytes + 4);
}

void append_number(std::vector<uint8_t>& out, double value) {
  uint8_t bytes[8];
  store_u64(bytes, std::bit_cast<uint64_t>(value));
  out.insert(out.end(), bytes, bytes + 8);
}

}  // namespace

void Amf0Writer::number(double value) {
  out_.push_back(amf0::number);
  append_number(out_, value);
}

void Amf0Writer::boolean(bool value) {
  out_.push_back(amf0::boolean);
  out_.push_back(value ? 1 : 0);
}

void Amf0Writer::string(std::string_view text) {
  if (text.size() > UINT16_MAX) return long_text(amf0::long_string, text);
  out_.push_back(amf0::string);
  short_text(text);
}

void Amf0Writer::null() { out_.push_back(amf0::null); }

void Amf0Writer::undefined() { out_.push_back(amf0::undefined); }

void Amf0Writer::date(double ms_since_1970) {
  out_.push_back(amf0::date);
  append_number(out_, ms_since_1970);
  append_u16(out_, 0);
}

void Amf0Writer::object_begin() { out_.push_back(amf0::object); }

void Amf0Writer::ecma_array_begin(uint32_t members) {
  out_.push_back(amf0::ecma_array);
  append_u32(out_, members);
}

void Amf0Writer::object_end() {
  append_u16(out_, 0);
  out_.push_back(amf0::object_end);
}

void Amf0Writer::strict_array_begin(uint32_t items) {
  out_.push_back(amf0::strict_array);
  append_u32(out_, items);
}

void Amf0Writer::property(std::string_view name) { short_text(name); }

void Amf0Writer::property(std::string_view name, double value) {
  property(name);
  number(value);
}

void Amf0Writer::property(std::string_view name, bool value) {
  property(name);
  boolean(value);
}

void Amf0Writer::property(std::string_view name, std::string_view text) {
  property(name);
  string(text);
}

void Amf0Writer::write(const Value& value) {
  if (value.amf3) {
    out_.push_back(amf0::amf3);
    return Amf3Writer(out_).write(value);
  }
  switch (value.type) {
    case Type::undefined:
      return undefined();
    case Type::null:
      return null();
    case Type::unsupported:
      return out_.push_back(amf0::unsupported);
    case Type::boolean:
      return boolean(value.numeric != 0);
    case Type::number:
    case Type::integer:
      return number(value.numeric);
    case Type::string:
      return string(value.text);
    case Type::xml_document:
    case Type::xml:
      return long_text(amf0::xml_document, value.text);
    case Type::date:
      return date(value.numeric);
    case Type::object:
      out_.push_back(value.class_name.empty() ? amf0::object : amf0::typed_object);
      if (!value.class_name.empty()) short_text(value.class_name);
      return members(value);
    case Type::ecma_array:
      ecma_array_begin(static_cast<uint32_t>(value.members.size()));
      return members(value);
    case Type::array:
      return array(value);
    case Type::reference:
      out_.push_back(amf0::reference);
      return append_u16(out_, static_cast<uint16_t>(value.index));
    case Type::byte_array:
    case Type::external:
    case Type::vector_int:
    case Type::vector_uint:
    case Type::vector_double:
    case Type::vector_object:
    case Type::dictionary:
      out_.push_back(amf0::amf3);
      return Amf3Writer(out_).write(value);
  }
}

void Amf0Writer::short_text(std::string_view text) {
  const size_t bytes = std::min<size_t>(text.size(), UINT16_MAX);
  append_u16(out_, static_cast<uint16_t>(bytes));
  out_.insert(out_.end(), text.begin(), text.begin() + static_cast<ptrdiff_t>(bytes));
}

void Amf0Writer::long_text(uint8_t marker, std::string_view text) {
  out_.push_back(marker);
  append_u32(out_, static_cast<uint32_t>(text.size()));
  out_.insert(out_.end(), text.begin(), text.end());
}

void Amf0Writer::members(const Value& value) {
  for (const Member& member : value.members) {
    property(member.name);
    write(member.value);
  }
  object_end();
}

// An AMF3 array may have names and items at once; AMF0 has no such thing, so its items get their
// positions as names.
void Amf0Writer::array(const Value& value) {
  if (value.members.empty()) {
    strict_array_begin(static_cast<uint32_t>(value.items.size()));
    for (const Value& item : value.items) write(item);
    return;
  }
  ecma_array_begin(static_cast<uint32_t>(value.members.size() + value.items.size()));
  for (const Member& member : value.members) {
    property(member.name);
    write(member.value);
  }
  for (size_t i = 0; i < value.items.size(); ++i) {
    property(std::to_string(i));
    write(value.items[i]);
  }
  object_end();
}

}  // namespace penstock::amf
