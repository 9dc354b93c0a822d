#include "penstock/tunnel/layer.h"

#include <algorithm>

namespace penstock::tunnel {

void seal_gathered(Layer& layer, std::span<const Bytes> slices, std::vector<uint8_t>& gathered,
                   std::vector<uint8_t>& to_peer) {
  const auto flush = [&] {
    if (gathered.empty()) return;
    to_peer.reserve(to_peer.size() + gathered.size() + 64);
    layer.seal(gathered, to_peer);
    gathered.clear();
  };
  for (Bytes slice : slices) {
    while (!slice.empty()) {
      const size_t count = std::min(slice.size(), seal_bytes_max - gathered.size());
      const Bytes part = slice.first(count);
      gathered.insert(gathered.end(), part.begin(), part.end());
      slice = slice.subspan(count);
      if (gathered.size() == seal_bytes_max) flush();
    }
  }
  flush();
}

}  // namespace penstock::tunnel
