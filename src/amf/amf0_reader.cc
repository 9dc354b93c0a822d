#include <bit>
#include <utility>

#include "penstock/amf/amf0.h"
#include "penstock/amf/amf3.h"
#include "src/amf/markers.h"

namespace penstock::amf {
namespace {

// A command has 3 to 5 values; its object has 5 members from FFmpeg, 6 to 10 from others.
constexpr size_t values_usual = 5;
constexpr size_t members_usual = 6;

}  // namespace

std::expected<Value, Fault> Amf0Reader::next() {
  if (!state_) return std::unexpected(state_.error());
  Read read = value(0);
  if (!read) state_ = std::unexpected(read.error());
  return read;
}

// `depth`: complex values around this one.
Amf0Reader::Read Amf0Reader::value(size_t depth) {
  if (left() == 0) return std::unexpected(Fault::amf_truncated);
  if (budget_.nodes == 0) return std::unexpected(Fault::amf_size);
  --budget_.nodes;
  const uint8_t marker = body_[position_++];
  switch (marker) {
    case amf0::number:
      return number(Type::number);
    case amf0::boolean:
      if (left() == 0) return std::unexpected(Fault::amf_truncated);
      return boolean(body_[position_++] != 0);
    case amf0::string:
      return text_value(Type::string, 2);
    case amf0::long_string:
      return text_value(Type::string, 4);
    case amf0::xml_document:
      return text_value(Type::xml_document, 4);
    case amf0::null:
      return null();
    case amf0::undefined:
      return undefined();
    case amf0::unsupported: {
      Value value;
      value.type = Type::unsupported;
      return value;
    }
    case amf0::date: {
      Read read = number(Type::date);
      // The time zone that follows is reserved and means nothing.
      if (!read || left() < 2) return std::unexpected(Fault::amf_truncated);
      position_ += 2;
      return read;
    }
    case amf0::reference:
      return reference();
    case amf0::object:
    case amf0::typed_object:
    case amf0::ecma_array:
    case amf0::strict_array:
      return complex(marker, depth);
    case amf0::amf3:
      return amf3_value(depth);
    default:
      return std::unexpected(Fault::amf_marker);
  }
}

Amf0Reader::Read Amf0Reader::number(Type type) {
  if (left() < 8) return std::unexpected(Fault::amf_truncated);
  Value value;
  value.type = type;
  value.numeric = std::bit_cast<double>(load_u64(body_.data() + position_));
  position_ += 8;
  return value;
}

Amf0Reader::Read Amf0Reader::text_value(Type type, size_t length_bytes) {
  std::expected<std::string, Fault> read = text(length_bytes);
  if (!read) return std::unexpected(read.error());
  Value value;
  value.type = type;
  value.text = *std::move(read);
  return value;
}

Amf0Reader::Read Amf0Reader::reference() {
  if (left() < 2) return std::unexpected(Fault::amf_truncated);
  Value value;
  value.type = Type::reference;
  value.index = load_u16(body_.data() + position_);
  position_ += 2;
  if (value.index >= complex_values_) return std::unexpected(Fault::amf_reference);
  return value;
}

Amf0Reader::Read Amf0Reader::complex(uint8_t marker, size_t depth) {
  if (depth >= amf_depth_max) return std::unexpected(Fault::amf_depth);
  // Counted before its contents, so that they may refer to it.
  ++complex_values_;
  Value value;
  if (marker == amf0::strict_array) {
    value.type = Type::array;
    if (Done done = items(value, depth); !done) return std::unexpected(done.error());
    return value;
  }
  value.type = marker == amf0::ecma_array ? Type::ecma_array : Type::object;
  uint32_t declared = UINT32_MAX;
  if (marker == amf0::typed_object) {
    std::expected<std::string, Fault> name = text(2);
    if (!name) return std::unexpected(name.error());
    value.class_name = *std::move(name);
  } else if (marker == amf0::ecma_array) {
    const std::expected<uint32_t, Fault> count = length(4);
    if (!count) return std::unexpected(count.error());
    declared = *count;
  }
  if (Done done = members(value, depth, depth == 0, declared); !done) {
    return std::unexpected(done.error());
  }
  return value;
}

// The declared count of an ECMA array is a hint that many senders get wrong: members go on until
// the end marker. Some senders leave that marker out where the body ends; taken when nothing else
// is open, or when the count says that all members are there.
Amf0Reader::Done Amf0Reader::members(Value& into, size_t depth, bool end_may_lack,
                                     uint32_t declared) {
  while (true) {
    if (left() == 0 && (end_may_lack || into.members.size() >= declared)) return {};
    if (left() < 2) return std::unexpected(Fault::amf_truncated);
    // An empty name is the end only together with its marker; by itself it is a name that encoders
    // do send.
    if (left() >= 3 && load_u16(body_.data() + position_) == 0 &&
        body_[position_ + 2] == amf0::object_end) {
      position_ += 3;
      return {};
    }
    std::expected<std::string, Fault> name = text(2);
    if (!name) return std::unexpected(name.error());
    Read read = value(depth + 1);
    if (!read) return std::unexpected(read.error());
    if (into.members.empty()) into.members.reserve(members_usual);
    into.members.push_back(Member{*std::move(name), *std::move(read)});
  }
}

Amf0Reader::Done Amf0Reader::items(Value& into, size_t depth) {
  const std::expected<uint32_t, Fault> count = length(4);
  if (!count) return std::unexpected(count.error());
  // Every item takes a byte at least. Beyond that the count is not believed: the array grows as
  // items come.
  if (*count > left()) return std::unexpected(Fault::amf_truncated);
  for (uint32_t i = 0; i < *count; ++i) {
    Read read = value(depth + 1);
    if (!read) return std::unexpected(read.error());
    into.items.push_back(*std::move(read));
  }
  return {};
}

Amf0Reader::Read Amf0Reader::amf3_value(size_t depth) {
  const Dangling dangling = amf3_values_++ == 0 ? Dangling::fault : Dangling::null;
  Amf3Reader reader(body_.subspan(position_), budget_, depth, dangling);
  Read read = reader.next();
  position_ += reader.position();
  budget_ = reader.budget();
  if (read) read->amf3 = true;
  return read;
}

std::expected<uint32_t, Fault> Amf0Reader::length(size_t length_bytes) {
  if (left() < length_bytes) return std::unexpected(Fault::amf_truncated);
  const uint8_t* at = body_.data() + position_;
  position_ += length_bytes;
  return length_bytes == 2 ? load_u16(at) : load_u32(at);
}

std::expected<std::string, Fault> Amf0Reader::text(size_t length_bytes) {
  const std::expected<uint32_t, Fault> bytes = length(length_bytes);
  if (!bytes) return std::unexpected(bytes.error());
  if (*bytes > left()) return std::unexpected(Fault::amf_truncated);
  if (*bytes > budget_.text_bytes) return std::unexpected(Fault::amf_size);
  budget_.text_bytes -= *bytes;
  std::string read{as_text(body_.subspan(position_, *bytes))};
  position_ += *bytes;
  return read;
}

std::expected<std::vector<Value>, Fault> read_amf0(Bytes body) {
  Amf0Reader reader(body);
  std::vector<Value> values;
  if (!body.empty()) values.reserve(values_usual);
  while (!reader.at_end()) {
    std::expected<Value, Fault> value = reader.next();
    if (!value) return std::unexpected(value.error());
    values.push_back(*std::move(value));
  }
  return values;
}

Bytes skip_format_byte(Bytes body) {
  return !body.empty() && body[0] == 0 ? body.subspan(1) : body;
}

}  // namespace penstock::amf
