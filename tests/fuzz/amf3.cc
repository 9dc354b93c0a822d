// AMF3 values: what is read, written and read again is the same value, and the second writing the
// same bytes.

#include "penstock/amf/amf3.h"

#include "penstock/base/assert.h"

using namespace penstock;

namespace {

std::vector<uint8_t> written(const amf::Value& value) {
  std::vector<uint8_t> bytes;
  amf::Amf3Writer(bytes).write(value);
  return bytes;
}

void look_up(const amf::Value& value, const amf::Value& root) {
  if (value.type == amf::Type::reference) {
    PENSTOCK_ASSERT(amf::referenced_amf3(root, value) != nullptr);
  }
  for (const amf::Member& member : value.members) look_up(member.value, root);
  for (const amf::Value& item : value.items) look_up(item, root);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input{data, size};
  amf::Amf3Reader reader(input);
  const std::expected<amf::Value, Fault> value = reader.next();
  PENSTOCK_ASSERT(reader.position() <= size);
  if (!value) {
    PENSTOCK_ASSERT(reader.next().error() == value.error());
    return 0;
  }
  look_up(*value, *value);
  const std::vector<uint8_t> bytes = written(*value);
  amf::Amf3Reader again_reader(bytes);
  const std::expected<amf::Value, Fault> again = again_reader.next();
  PENSTOCK_ASSERT(again.has_value());
  PENSTOCK_ASSERT(*again == *value);
  PENSTOCK_ASSERT(again_reader.at_end());
  PENSTOCK_ASSERT(written(*again) == bytes);
  return 0;
}
