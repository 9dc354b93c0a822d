#pragma once

#include "dataplane/engine/address_key.h"

namespace penstock::transport {

using engine::address_key;
using engine::AddressKey;

}  // namespace penstock::transport
