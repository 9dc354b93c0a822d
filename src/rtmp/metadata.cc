#include "penstock/rtmp/metadata.h"

#include "penstock/amf/amf0.h"

namespace penstock::rtmp {
namespace {

constexpr size_t encoder_bytes_max = 60;
constexpr uint32_t side_max = 65'535;  // pixels; more is not a picture but a mistake

uint32_t side(const amf::Value& facts, std::string_view key) {
  const uint32_t value = facts.find_u32(key).value_or(0);
  return value <= side_max ? value : 0;
}

}  // namespace

MetadataFacts read_metadata(Bytes body) {
  MetadataFacts facts;
  amf::Amf0Reader reader(amf::skip_format_byte(body));
  if (!reader.next()) return facts;  // the name, which the session has looked at
  const auto value = reader.next();
  if (!value) return facts;
  facts.width = side(*value, "width");
  facts.height = side(*value, "height");
  for (const char c : value->find_string("encoder").value_or("")) {
    if (facts.encoder.size() == encoder_bytes_max) break;
    facts.encoder += c >= 0x20 && c < 0x7F ? c : '?';
  }
  return facts;
}

}  // namespace penstock::rtmp
