#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <vector>

#include "penstock/amf/value.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::amf {

/// What one body may still use; values after the AMF3 switch draw on the same.
struct ReadBudget {
  size_t nodes = amf_nodes_max;
  size_t text_bytes = amf_text_bytes_max;
};

/// Reads the values of one AMF0 body (one command or data message) in order. `body` must outlive
/// the reader, not the values. References of a body count from its first value, so a body has one
/// reader.
class Amf0Reader {
 public:
  explicit Amf0Reader(Bytes body) : body_(body) {}
  Amf0Reader(const Amf0Reader&) = delete;
  Amf0Reader& operator=(const Amf0Reader&) = delete;

  [[nodiscard]] bool at_end() const { return position_ == body_.size(); }
  /// Bytes read so far: where the next value starts.
  [[nodiscard]] size_t position() const { return position_; }

  /// amf_truncated (also at the end), amf_marker, amf_depth, amf_size, amf_reference. After a fault
  /// there is nothing more to read: the same fault comes again.
  [[nodiscard]] std::expected<Value, Fault> next();

 private:
  using Read = std::expected<Value, Fault>;
  using Done = std::expected<void, Fault>;

  [[nodiscard]] size_t left() const { return body_.size() - position_; }
  [[nodiscard]] Read value(size_t depth);
  [[nodiscard]] Read number(Type type);
  [[nodiscard]] Read text_value(Type type, size_t length_bytes);
  [[nodiscard]] Read reference();
  [[nodiscard]] Read complex(uint8_t marker, size_t depth);
  [[nodiscard]] Read amf3_value(size_t depth);
  [[nodiscard]] Done members(Value& into, size_t depth, bool end_may_lack, uint32_t declared);
  [[nodiscard]] Done items(Value& into, size_t depth);
  [[nodiscard]] std::expected<uint32_t, Fault> length(size_t length_bytes);
  [[nodiscard]] std::expected<std::string, Fault> text(size_t length_bytes);

  Bytes body_;
  size_t position_ = 0;
  size_t complex_values_ = 0;
  size_t amf3_values_ = 0;
  ReadBudget budget_;
  std::expected<void, Fault> state_;
};

/// All values of a body.
[[nodiscard]] std::expected<std::vector<Value>, Fault> read_amf0(Bytes body);

/// The AMF0 part of a message of type 15, 16 or 17: without its format byte 0. Some old senders
/// leave that byte out and start with a string; their body is returned whole.
[[nodiscard]] Bytes skip_format_byte(Bytes body);

/// Appends AMF0 to `out`, which must outlive the writer. Begin and end are the caller's to pair.
///
///     writer.string("_result"); writer.number(1); writer.null();
///     writer.object_begin(); writer.property("code", "NetStream.Play.Start"); writer.object_end();
class Amf0Writer {
 public:
  explicit Amf0Writer(std::vector<uint8_t>& out) : out_(out) {
    if (out.capacity() == 0) out.reserve(body_bytes_usual);
  }
  Amf0Writer(const Amf0Writer&) = delete;
  Amf0Writer& operator=(const Amf0Writer&) = delete;

  void number(double value);
  void boolean(bool value);
  void string(std::string_view text);  // a long string when it needs more than 16 bits of length
  void null();
  void undefined();
  void date(double ms_since_1970);

  void object_begin();
  void ecma_array_begin(uint32_t members);
  void object_end();                        // of objects and of ECMA arrays
  void strict_array_begin(uint32_t items);  // `items` values follow; there is no end

  /// The name of the value that is written next. Names are cut at 65535 bytes.
  void property(std::string_view name);
  void property(std::string_view name, double value);
  void property(std::string_view name, bool value);
  void property(std::string_view name, std::string_view text);
  void property(std::string_view name, const char* text) { property(name, std::string_view{text}); }

  /// A whole tree. What AMF0 cannot say is written as AMF3 after the switch.
  void write(const Value& value);

 private:
  // Our largest body, the answer to connect, takes 240 bytes; grown by doubling from nothing, each
  // cost six allocations.
  static constexpr size_t body_bytes_usual = 256;

  void short_text(std::string_view text);
  void long_text(uint8_t marker, std::string_view text);
  void members(const Value& value);
  void array(const Value& value);

  std::vector<uint8_t>& out_;
};

}  // namespace penstock::amf
