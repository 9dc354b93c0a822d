#pragma once

#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::tunnel {

/// What the first bytes of a connection say that it speaks.
enum class Spoken : uint8_t {
  need_more,  // all of what is here begins more than one of the others
  rtmp,
  rtmpe,
  tls,
  http,
  proxy_header,
  unknown,
};

/// `first` are the first bytes of a connection, or of what a layer below it carries. RTMP is told
/// by its version byte alone: 3, or 6, 8 and 9 where it is enciphered (RTMP 1.0, 5.2.2). 'P' begins
/// both POST and PROXY, and carriage return only the second form of the PROXY header.
[[nodiscard]] Spoken sniff(Bytes first);

}  // namespace penstock::tunnel
