#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "penstock/amf/amf0.h"
#include "penstock/amf/value.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::amf {

/// What a reference to nothing reads as. Within one context it is a fault. Some senders keep their
/// tables over a whole message while we start anew after every switch, as the others need it; there
/// it reads as null.
enum class Dangling : uint8_t { fault, null };

/// Reads one AMF3 context: its tables of strings, objects and traits live as long as the reader. In
/// RTMP every value after a 0x11 switch is a context of its own. `bytes` must outlive the reader.
class Amf3Reader {
 public:
  /// `depth`: how deep the value already lies in the body around it.
  explicit Amf3Reader(Bytes bytes, ReadBudget budget = {}, size_t depth = 0,
                      Dangling dangling = Dangling::fault)
      : bytes_(bytes), depth_(depth), dangling_(dangling), budget_(budget) {}
  Amf3Reader(const Amf3Reader&) = delete;
  Amf3Reader& operator=(const Amf3Reader&) = delete;

  [[nodiscard]] bool at_end() const { return position_ == bytes_.size(); }
  [[nodiscard]] size_t position() const { return position_; }
  [[nodiscard]] ReadBudget budget() const { return budget_; }

  /// Faults as Amf0Reader::next; amf_marker also for an externalizable class that we do not know,
  /// because only its own code can tell where it ends. Such a class is taken when its header is the
  /// last thing there.
  [[nodiscard]] std::expected<Value, Fault> next();

 private:
  using Read = std::expected<Value, Fault>;
  using Done = std::expected<void, Fault>;

  // Views are of bytes_.
  struct Traits {
    std::string_view class_name;
    std::vector<std::string_view> names;
    bool dynamic = false;
    bool external = false;
  };
  struct Text {
    std::string_view text;
    bool dangling = false;
  };

  [[nodiscard]] size_t left() const { return bytes_.size() - position_; }
  [[nodiscard]] std::expected<uint8_t, Fault> byte();
  [[nodiscard]] std::expected<uint32_t, Fault> u29();
  [[nodiscard]] std::expected<double, Fault> number();
  [[nodiscard]] std::expected<std::string_view, Fault> raw(size_t length_bytes);
  [[nodiscard]] std::expected<Text, Fault> text();
  [[nodiscard]] std::expected<std::string_view, Fault> name();
  [[nodiscard]] std::expected<uint32_t, Fault> traits(uint32_t header);
  [[nodiscard]] Done copy(std::string& to, std::string_view from);

  [[nodiscard]] Read value(size_t depth);
  [[nodiscard]] Read string();
  [[nodiscard]] Read complex(uint8_t marker, size_t depth);
  [[nodiscard]] Read leaf(uint8_t marker, uint32_t length);
  [[nodiscard]] Read array(uint32_t count, size_t depth);
  [[nodiscard]] Read object(uint32_t header, size_t depth);
  [[nodiscard]] Read vector_numbers(uint8_t marker, uint32_t count);
  [[nodiscard]] Read vector_objects(uint32_t count, size_t depth);
  [[nodiscard]] Read dictionary(uint32_t count, size_t depth);
  [[nodiscard]] Done items(Value& into, uint32_t count, size_t depth);
  [[nodiscard]] Done member(Value& into, std::string_view name, size_t depth);
  [[nodiscard]] Done named_until_empty(Value& into, size_t depth);
  [[nodiscard]] Done external(Value& into, size_t depth);
  [[nodiscard]] Done flagged_groups(Value& into, size_t groups, size_t depth);

  Bytes bytes_;
  size_t position_ = 0;
  size_t depth_ = 0;
  Dangling dangling_ = Dangling::fault;
  ReadBudget budget_;
  std::vector<std::string_view> strings_;
  std::vector<Traits> traits_;
  uint32_t objects_ = 0;
  std::expected<void, Fault> state_;
};

/// Appends one AMF3 context to `out`, with references for repeated strings and traits. A member
/// without a name cannot be said in AMF3 except as a sealed one, and is left out.
class Amf3Writer {
 public:
  explicit Amf3Writer(std::vector<uint8_t>& out) : out_(out) {}
  Amf3Writer(const Amf3Writer&) = delete;
  Amf3Writer& operator=(const Amf3Writer&) = delete;

  void write(const Value& value);

 private:
  void u29(uint32_t value);
  void number(double value);
  void text(std::string_view text);
  void block(std::string_view bytes);
  void integer_or_number(double value);
  void complex(const Value& value);
  void reference(const Value& value);
  void array(const Value& value);
  void object(const Value& value);
  void traits(const Value& value);
  void vector(const Value& value);
  void named_until_empty(const Value& value, size_t first);
  void external(const Value& value);

  std::vector<uint8_t>& out_;
  std::unordered_map<std::string, uint32_t> strings_;
  std::unordered_map<std::string, uint32_t> traits_;  // by an encoding without references
  std::vector<uint8_t> objects_;  // marker of each: a reference is written with it
};

}  // namespace penstock::amf
