#pragma once

#include <cstddef>
#include <cstdint>

// Limits that no configuration changes. Those that an operator may change are in
// control/tunables.h.
namespace penstock {

// "app/name". Longer names do not fit into paths of recordings (255 bytes per component on every
// file system).
constexpr size_t stream_name_bytes_max = 255;

// What follows "?" in app and name together. Signed URLs and JWTs stay below 2 KB.
constexpr size_t query_bytes_max = 2048;

// Workers are cores; 64 fits one bit mask word, and nobody has offered us a larger single-socket
// box.
constexpr size_t workers_max = 64;

// "255.255.255.255:65535" or "[ffff:...:ffff]:65535" (47) and a zero.
constexpr size_t address_text_bytes_max = 48;

// Chunk streams a peer may use at once. The most seen from one encoder is 6; each costs us 64 bytes
// of header state.
constexpr size_t chunk_streams_max = 64;

// Messages a peer may have unfinished at once. Audio, video and data interleave: 3; more is for odd
// multitrack encoders.
constexpr size_t partial_messages_max = 8;

// Message streams a peer may have open at once (createStream without deleteStream).
constexpr size_t message_streams_max = 8;

// A GStreamer or Flash publisher sends about 10 commands to start. More than 50/s is not an
// encoder.
constexpr uint32_t commands_per_second_max = 50;

// 60 fps video with 4 tracks and 100 audio messages/s is 340; 5000/s is an attack on our
// per-message cost.
constexpr uint32_t messages_per_second_max = 5000;

// AMF: a Flash object nests 4 deep; the largest onMetaData seen (keyframe index of an hour) has
// 3600 * 2 numbers.
constexpr size_t amf_depth_max = 32;
constexpr size_t amf_nodes_max = 10'000;

// A command or data message is assembled whole: 64 KiB holds every command; onMetaData with cue
// points, 256 KiB.
constexpr size_t command_bytes_max = 64 * 1024;
constexpr size_t data_bytes_max = 256 * 1024;

// Our own chunk size towards peers. FFmpeg publishers adopt it for their sending, and 65536 holds
// nearly every frame in one chunk, so that both sides save the type 3 headers.
constexpr uint32_t chunk_bytes_out = 65536;

// Every player's media comes on message stream 1, so that one serialised form serves all of them
// (protocol: 5.11).
constexpr uint32_t wire_message_stream_id = 1;

}  // namespace penstock
