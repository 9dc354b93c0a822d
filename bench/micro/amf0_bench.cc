// What peers say in AMF0: a connect, as FFmpeg and as OBS send it, and onMetaData of OBS. Once per
// connection, so its cost matters when all come back at once; and it is what an attacker may repeat
// commands_per_second_max times a second.

#include <benchmark/benchmark.h>

#include <vector>

#include "penstock/amf/amf0.h"
#include "penstock/base/assert.h"
#include "penstock/rtmp/command.h"
#include "penstock/rtmp/metadata.h"

namespace {

using namespace penstock;

constexpr uint8_t type_command = 20;

std::vector<uint8_t> connect_body(bool obs) {
  std::vector<uint8_t> body;
  amf::Amf0Writer writer(body);
  writer.string("connect");
  writer.number(1);
  writer.object_begin();
  writer.property("app", "live");
  writer.property("type", "nonprivate");
  writer.property("flashVer", "FMLE/3.0 (compatible; Lavf59.27.100)");
  if (obs) writer.property("swfUrl", "rtmp://ingest.example.net:1935/live");
  writer.property("tcUrl", "rtmp://ingest.example.net:1935/live");
  if (obs) {
    writer.property("fourCcList");
    writer.strict_array_begin(3);
    for (const char* codec : {"av01", "hvc1", "vp09"}) writer.string(codec);
    writer.property("videoFourCcInfoMap");
    writer.object_begin();
    for (const char* codec : {"av01", "hvc1", "vp09"}) writer.property(codec, 2.0);
    writer.object_end();
    writer.property("capsEx", 3.0);
  }
  writer.object_end();
  return body;
}

std::vector<uint8_t> metadata_body() {
  std::vector<uint8_t> body;
  amf::Amf0Writer writer(body);
  writer.string("onMetaData");
  writer.ecma_array_begin(20);
  for (const char* name :
       {"duration", "fileSize", "width", "height", "videocodecid", "videodatarate", "framerate",
        "audiocodecid", "audiodatarate", "audiosamplerate", "audiosamplesize", "audiochannels"}) {
    writer.property(name, 1280.0);
  }
  for (const char* name : {"stereo", "2.1", "3.1", "4.0", "4.1", "5.1", "7.1"}) {
    writer.property(name, false);
  }
  writer.property("encoder", "obs-output module (libobs version 30.2.3)");
  writer.object_end();
  return body;
}

void decode(benchmark::State& state, const std::vector<uint8_t>& body) {
  for (auto _ : state) {
    const auto values = amf::read_amf0(body);
    PENSTOCK_ASSERT(values.has_value());
    benchmark::DoNotOptimize(values);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK_CAPTURE(decode, connect_of_ffmpeg, connect_body(false));
BENCHMARK_CAPTURE(decode, connect_of_obs, connect_body(true));
BENCHMARK_CAPTURE(decode, metadata_of_obs, metadata_body());

/// With what the session does with it: the command, and the views into it.
void understand_connect(benchmark::State& state) {
  const std::vector<uint8_t> body = connect_body(true);
  for (auto _ : state) {
    const auto command = rtmp::parse_command(type_command, body);
    PENSTOCK_ASSERT(command.has_value());
    benchmark::DoNotOptimize(rtmp::parse_connect(*command));
  }
}
BENCHMARK(understand_connect);

void understand_metadata(benchmark::State& state) {
  const std::vector<uint8_t> body = metadata_body();
  for (auto _ : state) benchmark::DoNotOptimize(rtmp::read_metadata(body));
}
BENCHMARK(understand_metadata);

}  // namespace

BENCHMARK_MAIN();
