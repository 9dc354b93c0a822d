#pragma once

#include <cstdint>
#include <string>

#include "penstock/base/bytes.h"

namespace penstock::rtmp {

/// What onMetaData says of its stream, for people: encoders leave parts out and some lie, so
/// nothing is decided by it.
struct MetadataFacts {
  std::string encoder;  // printable ASCII, at most 60 bytes; empty when not said
  uint32_t width = 0;   // 0: not said
  uint32_t height = 0;
};

/// `body` as in DataMessage: AMF0 "onMetaData" and an object or ECMA array. Malformed reads as
/// nothing said.
[[nodiscard]] MetadataFacts read_metadata(Bytes body);

}  // namespace penstock::rtmp
