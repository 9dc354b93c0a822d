#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bench/load/expectation.h"
#include "bench/load/synthetic_gop.h"
#include "dataplane/engine/engine.h"

namespace penstock::load {

enum class Mode : uint8_t { canonical, publish, play, mixed, blast, connect, churn, slow };
[[nodiscard]] std::string_view mode_name(Mode mode);

struct Options {
  Mode mode = Mode::canonical;
  engine::Transport variant = engine::Transport::rtmp;
  std::string server = "127.0.0.1:1935";
  engine::Endpoint endpoint;
  std::string app = "live";
  std::string name = "load";
  std::string query;
  uint32_t publishers = 0;
  uint32_t players = 0;
  uint32_t streams = 1;  // that players are dealt to
  SyntheticMedia media;
  uint32_t chunk_bytes = 4096;
  std::string flv;
  double ramp_s = 0;
  double warmup_s = 0;
  double duration_s = 0;
  bool digest = false;
  bool raw = false;
  uint64_t read_bits_per_second = 0;  // slow; 0: as it comes
  uint32_t count = 0;                 // connect
  uint32_t concurrency = 0;           // connect, churn
  double life_s = 0;                  // churn: a connection's mean life
  double storm_s = 0;                 // churn: all at once, so often; 0: never
  std::optional<uint32_t> core;
  std::string congestion;
  bool spin = false;
  std::vector<uint32_t> server_pids;
  std::vector<Expectation> expectations;
  bool json = false;
  std::string percentiles;  // file, or -
};

/// The program ends without having run: help that was asked for (code 0) or wrong usage (2).
struct EarlyExit {
  int code = 0;
  std::string out;
  std::string err;
};

/// Everything but the server's address is checked and settled; see resolve().
[[nodiscard]] std::variant<Options, EarlyExit> parse_options(int argc, const char* const* argv);

}  // namespace penstock::load
