#pragma once

#include <expected>
#include <string>

#include "bench/load/media_loop.h"
#include "bench/load/options.h"

namespace penstock::load {

/// A loop of the tags of an FLV file (its bytes, not its path): metadata and sequence headers that
/// stand before the first frame become the preamble. The loop is as long as the last tag and one
/// more frame of its kind.
[[nodiscard]] std::expected<MediaLoop, std::string> make_flv_loop(Bytes file, uint32_t chunk_bytes);

/// What the options ask for: the file's, or the synthetic one.
[[nodiscard]] std::expected<MediaLoop, std::string> make_loop_for(const Options& options);

}  // namespace penstock::load
