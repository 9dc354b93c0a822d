#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// Externalizable classes whose own format is known: those of Flex, which Flash-side applications
// send (protocol of BlazeDS, flex.messaging.io and flex.messaging.messages).
namespace penstock::amf {

enum class ExternalForm : uint8_t {
  unknown,
  one_value,       // the wrapped collection or object
  flagged_groups,  // "small messages": groups of flag bytes, each set flag followed by one value
};

struct ExternalClass {
  ExternalForm form = ExternalForm::unknown;
  size_t groups = 0;  // one per class of the message's inheritance line that adds fields
};

[[nodiscard]] constexpr ExternalClass external_class(std::string_view name) {
  if (name == "flex.messaging.io.ArrayCollection" || name == "flex.messaging.io.ArrayList" ||
      name == "flex.messaging.io.ObjectProxy") {
    return {ExternalForm::one_value, 0};
  }
  if (name == "DSA") return {ExternalForm::flagged_groups, 2};
  if (name == "DSC" || name == "DSK") return {ExternalForm::flagged_groups, 3};
  return {};
}

constexpr uint8_t flag_byte_follows = 0x80;

/// How many values follow the flag bytes of a group. Bit 6 stands for a field in the very first
/// byte (timeToLive); readers of the original skip it elsewhere.
[[nodiscard]] constexpr size_t flagged_values(uint8_t flags, bool very_first) {
  size_t count = 0;
  for (unsigned bit = 0; bit < (very_first ? 7U : 6U); ++bit) count += flags >> bit & 1U;
  return count;
}

}  // namespace penstock::amf
