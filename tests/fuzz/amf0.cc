// AMF0 bodies: what is read, written and read again is the same values, and the second writing the
// same bytes.

#include "penstock/amf/amf0.h"

#include "penstock/base/assert.h"

using namespace penstock;

namespace {

// Of the values that read, as many as come before the first fault.
std::vector<amf::Value> read_prefix(Bytes body) {
  std::vector<amf::Value> values;
  amf::Amf0Reader reader(body);
  while (!reader.at_end()) {
    std::expected<amf::Value, Fault> value = reader.next();
    if (!value) {
      PENSTOCK_ASSERT(reader.next().error() == value.error());
      break;
    }
    values.push_back(*std::move(value));
  }
  PENSTOCK_ASSERT(reader.position() <= body.size());
  return values;
}

std::vector<uint8_t> written(const std::vector<amf::Value>& values) {
  std::vector<uint8_t> bytes;
  amf::Amf0Writer writer(bytes);
  for (const amf::Value& value : values) writer.write(value);
  return bytes;
}

void look_up(const amf::Value& value, const std::vector<amf::Value>& all) {
  if (value.find("tcUrl")) PENSTOCK_ASSERT(value.has_members());
  (void)value.as_u32();
  if (value.type == amf::Type::reference) (void)amf::referenced(all, value);
  for (const amf::Member& member : value.members) look_up(member.value, all);
  for (const amf::Value& item : value.items) look_up(item, all);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<amf::Value> values = read_prefix(amf::skip_format_byte({data, size}));
  for (const amf::Value& value : values) look_up(value, values);
  const std::vector<uint8_t> bytes = written(values);
  const std::expected<std::vector<amf::Value>, Fault> again = amf::read_amf0(bytes);
  PENSTOCK_ASSERT(again.has_value());
  PENSTOCK_ASSERT(*again == values);
  PENSTOCK_ASSERT(written(*again) == bytes);
  return 0;
}
