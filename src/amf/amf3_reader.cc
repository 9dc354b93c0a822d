#include <bit>
#include <utility>

#include "penstock/amf/amf3.h"
#include "src/amf/flex.h"
#include "src/amf/markers.h"

namespace penstock::amf {
namespace {

Value of_type(Type type) {
  Value value;
  value.type = type;
  return value;
}

}  // namespace

std::expected<Value, Fault> Amf3Reader::next() {
  if (!state_) return std::unexpected(state_.error());
  Read read = value(depth_);
  if (!read) state_ = std::unexpected(read.error());
  return read;
}

Amf3Reader::Read Amf3Reader::value(size_t depth) {
  if (left() == 0) return std::unexpected(Fault::amf_truncated);
  if (budget_.nodes == 0) return std::unexpected(Fault::amf_size);
  --budget_.nodes;
  const uint8_t marker = bytes_[position_++];
  switch (marker) {
    case amf3::undefined:
      return undefined();
    case amf3::null:
      return null();
    case amf3::boolean_false:
      return boolean(false);
    case amf3::boolean_true:
      return boolean(true);
    case amf3::integer: {
      const std::expected<uint32_t, Fault> bits = u29();
      if (!bits) return std::unexpected(bits.error());
      Value value = of_type(Type::integer);
      // Two's complement of 29 bits.
      value.numeric = static_cast<int32_t>(*bits << 3) >> 3;
      return value;
    }
    case amf3::number: {
      const std::expected<double, Fault> read = number();
      if (!read) return std::unexpected(read.error());
      return amf::number(*read);
    }
    case amf3::string:
      return string();
    case amf3::xml_document:
    case amf3::date:
    case amf3::array:
    case amf3::object:
    case amf3::xml:
    case amf3::byte_array:
    case amf3::vector_int:
    case amf3::vector_uint:
    case amf3::vector_double:
    case amf3::vector_object:
    case amf3::dictionary:
      return complex(marker, depth);
    default:
      return std::unexpected(Fault::amf_marker);
  }
}

Amf3Reader::Read Amf3Reader::string() {
  const std::expected<Text, Fault> read = text();
  if (!read) return std::unexpected(read.error());
  if (read->dangling) return null();
  Value value = of_type(Type::string);
  if (Done done = copy(value.text, read->text); !done) return std::unexpected(done.error());
  return value;
}

Amf3Reader::Read Amf3Reader::complex(uint8_t marker, size_t depth) {
  const std::expected<uint32_t, Fault> header = u29();
  if (!header) return std::unexpected(header.error());
  const uint32_t rest = *header >> 1;
  if ((*header & 1) == 0) {
    if (rest >= objects_ && dangling_ == Dangling::null) return null();
    if (rest >= objects_) return std::unexpected(Fault::amf_reference);
    Value value = of_type(Type::reference);
    value.index = rest;
    return value;
  }
  if (depth >= amf_depth_max) return std::unexpected(Fault::amf_depth);
  // Counted before its contents, so that they may refer to it.
  ++objects_;
  switch (marker) {
    case amf3::array:
      return array(rest, depth);
    case amf3::object:
      return object(*header, depth);
    case amf3::vector_int:
    case amf3::vector_uint:
    case amf3::vector_double:
      return vector_numbers(marker, rest);
    case amf3::vector_object:
      return vector_objects(rest, depth);
    case amf3::dictionary:
      return dictionary(rest, depth);
    default:
      return leaf(marker, rest);
  }
}

Amf3Reader::Read Amf3Reader::leaf(uint8_t marker, uint32_t length) {
  if (marker == amf3::date) {
    const std::expected<double, Fault> ms = number();
    if (!ms) return std::unexpected(ms.error());
    return date(*ms);
  }
  Value value = of_type(marker == amf3::xml            ? Type::xml
                        : marker == amf3::xml_document ? Type::xml_document
                                                       : Type::byte_array);
  const std::expected<std::string_view, Fault> bytes = raw(length);
  if (!bytes) return std::unexpected(bytes.error());
  if (Done done = copy(value.text, *bytes); !done) return std::unexpected(done.error());
  return value;
}

Amf3Reader::Read Amf3Reader::array(uint32_t count, size_t depth) {
  Value value = of_type(Type::array);
  if (Done done = named_until_empty(value, depth); !done) return std::unexpected(done.error());
  if (Done done = items(value, count, depth); !done) return std::unexpected(done.error());
  return value;
}

Amf3Reader::Read Amf3Reader::object(uint32_t header, size_t depth) {
  const std::expected<uint32_t, Fault> number = traits(header);
  if (!number) return std::unexpected(number.error());
  // By number and not by reference: values inside may add traits, which moves the table.
  Value value = of_type(traits_[*number].external ? Type::external : Type::object);
  value.dynamic = traits_[*number].dynamic;
  value.sealed = static_cast<uint32_t>(traits_[*number].names.size());
  if (Done done = copy(value.class_name, traits_[*number].class_name); !done) {
    return std::unexpected(done.error());
  }
  if (value.type == Type::external) {
    if (Done done = external(value, depth); !done) return std::unexpected(done.error());
    return value;
  }
  for (uint32_t i = 0; i < value.sealed; ++i) {
    if (Done done = member(value, traits_[*number].names[i], depth); !done) {
      return std::unexpected(done.error());
    }
  }
  if (value.dynamic) {
    if (Done done = named_until_empty(value, depth); !done) return std::unexpected(done.error());
  }
  return value;
}

// The number of the traits that an object's header means (U29O, AMF3 3.12).
std::expected<uint32_t, Fault> Amf3Reader::traits(uint32_t header) {
  constexpr uint32_t inline_bit = 2;
  constexpr uint32_t external_bit = 4;
  constexpr uint32_t dynamic_bit = 8;
  if ((header & inline_bit) == 0) {
    if (header >> 2 >= traits_.size()) return std::unexpected(Fault::amf_reference);
    return header >> 2;
  }
  Traits traits;
  traits.external = (header & external_bit) != 0;
  traits.dynamic = !traits.external && (header & dynamic_bit) != 0;
  const std::expected<std::string_view, Fault> class_name = name();
  if (!class_name) return std::unexpected(class_name.error());
  traits.class_name = *class_name;
  const uint32_t sealed = traits.external ? 0 : header >> 4;
  // Every name takes a byte at least, and every one is a value later.
  if (sealed > left()) return std::unexpected(Fault::amf_truncated);
  if (sealed > budget_.nodes) return std::unexpected(Fault::amf_size);
  for (uint32_t i = 0; i < sealed; ++i) {
    const std::expected<std::string_view, Fault> member_name = name();
    if (!member_name) return std::unexpected(member_name.error());
    traits.names.push_back(*member_name);
  }
  traits_.push_back(std::move(traits));
  return static_cast<uint32_t>(traits_.size() - 1);
}

Amf3Reader::Read Amf3Reader::vector_numbers(uint8_t marker, uint32_t count) {
  Value value = of_type(marker == amf3::vector_int    ? Type::vector_int
                        : marker == amf3::vector_uint ? Type::vector_uint
                                                      : Type::vector_double);
  const std::expected<uint8_t, Fault> fixed = byte();
  if (!fixed) return std::unexpected(fixed.error());
  value.fixed = *fixed != 0;
  const size_t item_bytes = marker == amf3::vector_double ? 8 : 4;
  if (count > left() / item_bytes) return std::unexpected(Fault::amf_truncated);
  if (count > budget_.nodes) return std::unexpected(Fault::amf_size);
  budget_.nodes -= count;
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* at = bytes_.data() + position_;
    double item = 0;
    if (marker == amf3::vector_int) item = static_cast<int32_t>(load_u32(at));
    if (marker == amf3::vector_uint) item = load_u32(at);
    if (marker == amf3::vector_double) item = std::bit_cast<double>(load_u64(at));
    position_ += item_bytes;
    value.items.push_back(amf::number(item));
  }
  return value;
}

Amf3Reader::Read Amf3Reader::vector_objects(uint32_t count, size_t depth) {
  Value value = of_type(Type::vector_object);
  const std::expected<uint8_t, Fault> fixed = byte();
  if (!fixed) return std::unexpected(fixed.error());
  value.fixed = *fixed != 0;
  const std::expected<std::string_view, Fault> class_name = name();
  if (!class_name) return std::unexpected(class_name.error());
  if (Done done = copy(value.class_name, *class_name); !done) return std::unexpected(done.error());
  if (Done done = items(value, count, depth); !done) return std::unexpected(done.error());
  return value;
}

Amf3Reader::Read Amf3Reader::dictionary(uint32_t count, size_t depth) {
  Value value = of_type(Type::dictionary);
  const std::expected<uint8_t, Fault> weak = byte();
  if (!weak) return std::unexpected(weak.error());
  value.fixed = *weak != 0;
  // A count has 28 bits, so twice as many fit.
  if (Done done = items(value, count * 2, depth); !done) return std::unexpected(done.error());
  return value;
}

Amf3Reader::Done Amf3Reader::items(Value& into, uint32_t count, size_t depth) {
  // Every item takes a byte at least. Beyond that the count is not believed.
  if (count > left()) return std::unexpected(Fault::amf_truncated);
  for (uint32_t i = 0; i < count; ++i) {
    Read read = value(depth + 1);
    if (!read) return std::unexpected(read.error());
    into.items.push_back(*std::move(read));
  }
  return {};
}

Amf3Reader::Done Amf3Reader::member(Value& into, std::string_view name, size_t depth) {
  std::string copied;
  if (Done done = copy(copied, name); !done) return done;
  Read read = value(depth + 1);
  if (!read) return std::unexpected(read.error());
  into.members.push_back(Member{std::move(copied), *std::move(read)});
  return {};
}

Amf3Reader::Done Amf3Reader::named_until_empty(Value& into, size_t depth) {
  while (true) {
    const std::expected<std::string_view, Fault> read = name();
    if (!read) return std::unexpected(read.error());
    if (read->empty()) return {};
    if (Done done = member(into, *read, depth); !done) return done;
  }
}

Amf3Reader::Done Amf3Reader::external(Value& into, size_t depth) {
  const ExternalClass known = external_class(into.class_name);
  switch (known.form) {
    case ExternalForm::one_value:
      return items(into, 1, depth);
    case ExternalForm::flagged_groups:
      return flagged_groups(into, known.groups, depth);
    case ExternalForm::unknown:
      break;
  }
  if (left() > 0) return std::unexpected(Fault::amf_marker);
  return {};
}

// The flag bytes are kept in `text`, which with the values is all there is.
Amf3Reader::Done Amf3Reader::flagged_groups(Value& into, size_t groups, size_t depth) {
  for (size_t group = 0; group < groups; ++group) {
    size_t values = 0;
    uint8_t flags = flag_byte_follows;
    for (bool very_first = group == 0; (flags & flag_byte_follows) != 0; very_first = false) {
      const std::expected<uint8_t, Fault> read = byte();
      if (!read) return std::unexpected(read.error());
      flags = *read;
      values += flagged_values(flags, very_first);
      const char flag_char = static_cast<char>(flags);
      std::string more;
      if (Done done = copy(more, {&flag_char, 1}); !done) return done;
      into.text += more;
    }
    if (Done done = items(into, static_cast<uint32_t>(values), depth); !done) return done;
  }
  return {};
}

std::expected<uint8_t, Fault> Amf3Reader::byte() {
  if (left() == 0) return std::unexpected(Fault::amf_truncated);
  return bytes_[position_++];
}

// Seven bits a byte while the high bit is set; the fourth byte, if there is one, gives all its
// eight (AMF3 1.3.1).
std::expected<uint32_t, Fault> Amf3Reader::u29() {
  uint32_t value = 0;
  for (int i = 0; i < 3; ++i) {
    if (left() == 0) return std::unexpected(Fault::amf_truncated);
    const uint8_t next = bytes_[position_++];
    value = value << 7 | (next & 0x7FU);
    if ((next & 0x80) == 0) return value;
  }
  if (left() == 0) return std::unexpected(Fault::amf_truncated);
  return value << 8 | bytes_[position_++];
}

std::expected<double, Fault> Amf3Reader::number() {
  if (left() < 8) return std::unexpected(Fault::amf_truncated);
  position_ += 8;
  return std::bit_cast<double>(load_u64(bytes_.data() + position_ - 8));
}

std::expected<std::string_view, Fault> Amf3Reader::raw(size_t length_bytes) {
  if (length_bytes > left()) return std::unexpected(Fault::amf_truncated);
  position_ += length_bytes;
  return as_text(bytes_.subspan(position_ - length_bytes, length_bytes));
}

std::expected<Amf3Reader::Text, Fault> Amf3Reader::text() {
  const std::expected<uint32_t, Fault> header = u29();
  if (!header) return std::unexpected(header.error());
  const uint32_t rest = *header >> 1;
  if ((*header & 1) == 0) {
    if (rest < strings_.size()) return Text{strings_[rest]};
    if (dangling_ == Dangling::null) return Text{.text = {}, .dangling = true};
    return std::unexpected(Fault::amf_reference);
  }
  const std::expected<std::string_view, Fault> read = raw(rest);
  if (!read) return std::unexpected(read.error());
  if (!read->empty()) strings_.push_back(*read);
  return Text{*read};
}

// A name has no null to stand for it, so a dangling one is a fault in every case.
std::expected<std::string_view, Fault> Amf3Reader::name() {
  const std::expected<Text, Fault> read = text();
  if (!read) return std::unexpected(read.error());
  if (read->dangling) return std::unexpected(Fault::amf_reference);
  return read->text;
}

Amf3Reader::Done Amf3Reader::copy(std::string& to, std::string_view from) {
  if (from.size() > budget_.text_bytes) return std::unexpected(Fault::amf_size);
  budget_.text_bytes -= from.size();
  to = from;
  return {};
}

}  // namespace penstock::amf
