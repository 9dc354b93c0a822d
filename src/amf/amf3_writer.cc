#include <algorithm>
#include <bit>
#include <cmath>

#include "penstock/amf/amf3.h"
#include "src/amf/flex.h"
#include "src/amf/markers.h"

namespace penstock::amf {
namespace {

uint8_t marker_of(Type type) {
  switch (type) {
    case Type::undefined:
    case Type::unsupported:
      return amf3::undefined;
    case Type::null:
    case Type::reference:
      return amf3::null;
    case Type::boolean:
      return amf3::boolean_true;
    case Type::number:
      return amf3::number;
    case Type::integer:
      return amf3::integer;
    case Type::string:
      return amf3::string;
    case Type::xml_document:
      return amf3::xml_document;
    case Type::xml:
      return amf3::xml;
    case Type::date:
      return amf3::date;
    case Type::byte_array:
      return amf3::byte_array;
    case Type::object:
    case Type::external:
      return amf3::object;
    case Type::ecma_array:
    case Type::array:
      return amf3::array;
    case Type::vector_int:
      return amf3::vector_int;
    case Type::vector_uint:
      return amf3::vector_uint;
    case Type::vector_double:
      return amf3::vector_double;
    case Type::vector_object:
      return amf3::vector_object;
    case Type::dictionary:
      return amf3::dictionary;
  }
  return amf3::undefined;
}

uint32_t header_of(size_t count) { return static_cast<uint32_t>(count << 1 | 1); }

}  // namespace

void Amf3Writer::write(const Value& value) {
  switch (value.type) {
    case Type::undefined:
    case Type::unsupported:
    case Type::null:
      return out_.push_back(marker_of(value.type));
    case Type::boolean:
      return out_.push_back(value.numeric != 0 ? amf3::boolean_true : amf3::boolean_false);
    case Type::number:
      out_.push_back(amf3::number);
      return number(value.numeric);
    case Type::integer:
      return integer_or_number(value.numeric);
    case Type::string:
      out_.push_back(amf3::string);
      return text(value.text);
    case Type::reference:
      return reference(value);
    default:
      return complex(value);
  }
}

void Amf3Writer::integer_or_number(double value) {
  if (!(value >= amf3::integer_min && value <= amf3::integer_max)) {
    out_.push_back(amf3::number);
    return number(value);
  }
  out_.push_back(amf3::integer);
  u29(static_cast<uint32_t>(static_cast<int32_t>(value)) & 0x1FFF'FFFF);
}

// A reference to nothing is written as null: a reader would refuse the whole message for it.
void Amf3Writer::reference(const Value& value) {
  if (value.index >= objects_.size()) return out_.push_back(amf3::null);
  out_.push_back(objects_[value.index]);
  u29(value.index << 1);
}

void Amf3Writer::complex(const Value& value) {
  const uint8_t marker = marker_of(value.type);
  out_.push_back(marker);
  objects_.push_back(marker);
  switch (value.type) {
    case Type::date:
      u29(header_of(0));
      return number(value.numeric);
    case Type::xml:
    case Type::xml_document:
    case Type::byte_array:
      return block(value.text);
    case Type::object:
    case Type::external:
      return object(value);
    case Type::ecma_array:
    case Type::array:
      return array(value);
    default:
      return vector(value);
  }
}

void Amf3Writer::array(const Value& value) {
  u29(header_of(value.items.size()));
  named_until_empty(value, 0);
  for (const Value& item : value.items) write(item);
}

void Amf3Writer::object(const Value& value) {
  traits(value);
  if (value.type == Type::external) return external(value);
  for (uint32_t i = 0; i < value.sealed && i < value.members.size(); ++i) {
    write(value.members[i].value);
  }
  if (value.dynamic) named_until_empty(value, value.sealed);
}

void Amf3Writer::traits(const Value& value) {
  const bool external = value.type == Type::external;
  const size_t sealed = external ? 0 : std::min<size_t>(value.sealed, value.members.size());
  std::string key = std::string(external        ? "x"
                                : value.dynamic ? "d"
                                                : "s") +
                    std::to_string(value.class_name.size()) + ':' + value.class_name;
  for (size_t i = 0; i < sealed; ++i) {
    const std::string& name = value.members[i].name;
    key += std::to_string(name.size()) + ':' + name;
  }
  const auto [known, added] = traits_.emplace(key, static_cast<uint32_t>(traits_.size()));
  if (!added) return u29(known->second << 2 | 1);
  if (external) {
    u29(7);
    return text(value.class_name);
  }
  u29(static_cast<uint32_t>(sealed << 4 | (value.dynamic ? 8U : 0U) | 3U));
  text(value.class_name);
  for (size_t i = 0; i < sealed; ++i) text(value.members[i].name);
}

void Amf3Writer::vector(const Value& value) {
  const bool dictionary = value.type == Type::dictionary;
  const size_t count = dictionary ? value.items.size() / 2 : value.items.size();
  u29(header_of(count));
  out_.push_back(value.fixed ? 1 : 0);
  if (value.type == Type::vector_object) text(value.class_name);
  for (size_t i = 0; i < (dictionary ? count * 2 : count); ++i) {
    const Value& item = value.items[i];
    if (dictionary || value.type == Type::vector_object) {
      write(item);
    } else if (value.type == Type::vector_double) {
      number(item.numeric);
    } else {
      // Through 64 bits: int and uint both fit, and what fits neither is cut as the wire would cut
      // it.
      const double whole = std::isfinite(item.numeric) ? std::fmod(item.numeric, 4294967296.0) : 0;
      uint8_t bytes[4];
      store_u32(bytes, static_cast<uint32_t>(static_cast<int64_t>(whole)));
      out_.insert(out_.end(), bytes, bytes + 4);
    }
  }
}

void Amf3Writer::named_until_empty(const Value& value, size_t first) {
  for (size_t i = first; i < value.members.size(); ++i) {
    if (value.members[i].name.empty()) continue;
    text(value.members[i].name);
    write(value.members[i].value);
  }
  text({});
}

void Amf3Writer::external(const Value& value) {
  size_t written = 0;
  const auto write_items = [&](size_t count) {
    for (; count > 0; --count, ++written) {
      if (written < value.items.size()) {
        write(value.items[written]);
      } else {
        out_.push_back(amf3::null);
      }
    }
  };
  const ExternalClass known = external_class(value.class_name);
  if (known.form == ExternalForm::one_value) write_items(1);
  if (known.form != ExternalForm::flagged_groups) return;
  size_t flag = 0;
  for (size_t group = 0; group < known.groups; ++group) {
    size_t values = 0;
    uint8_t flags = flag_byte_follows;
    for (bool very_first = group == 0; (flags & flag_byte_follows) != 0; very_first = false) {
      flags = flag < value.text.size() ? static_cast<uint8_t>(value.text[flag]) : 0;
      ++flag;
      out_.push_back(flags);
      values += flagged_values(flags, very_first);
    }
    write_items(values);
  }
}

void Amf3Writer::u29(uint32_t value) {
  if (value >= 0x20'0000) {
    out_.push_back(static_cast<uint8_t>(value >> 22 | 0x80));
    out_.push_back(static_cast<uint8_t>(value >> 15 | 0x80));
    out_.push_back(static_cast<uint8_t>(value >> 8 | 0x80));
    out_.push_back(static_cast<uint8_t>(value));
    return;
  }
  if (value >= 0x4000) out_.push_back(static_cast<uint8_t>(value >> 14 | 0x80));
  if (value >= 0x80) out_.push_back(static_cast<uint8_t>(value >> 7 | 0x80));
  out_.push_back(static_cast<uint8_t>(value & 0x7F));
}

void Amf3Writer::number(double value) {
  uint8_t bytes[8];
  store_u64(bytes, std::bit_cast<uint64_t>(value));
  out_.insert(out_.end(), bytes, bytes + 8);
}

void Amf3Writer::text(std::string_view text) {
  if (text.empty()) return u29(header_of(0));  // the empty string is never in the table
  const auto [known, added] = strings_.emplace(text, static_cast<uint32_t>(strings_.size()));
  if (!added) return u29(known->second << 1);
  block(text);
}

void Amf3Writer::block(std::string_view bytes) {
  u29(header_of(bytes.size()));
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

}  // namespace penstock::amf
