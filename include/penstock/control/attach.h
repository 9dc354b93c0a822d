#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "penstock/base/bytes.h"
#include "penstock/control/layout.h"

// How a control process comes by the shared region. The data plane listens on the Unix socket
// `<state_dir>/dataplane.sock` (SOCK_SEQPACKET, mode 0600). To who connects it sends at once one
// packet: AttachHello, then config_bytes of text, with two SCM_RIGHTS descriptors: the region's
// memfd and an eventfd. The memfd is sealed with F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL: a
// control process refuses one that could shrink under it. The eventfd, the same for every control
// process of a run, becomes readable when a worker asks while RegionHeader::questions says that the
// control plane sleeps; it does not block.
//
// The connection stays open: it is the presence of both. When it hangs up, the other side is gone.
// When another control process connects, the data plane closes the older one's connection; there is
// never more than one.
//
// The control process may send AttachBell packets; nothing else is sent in either direction.
// Packets of another size are ignored.
//
// Before it listens, the data plane has written Wanted from what it started with (epoch >= 1), so
// that a control process finds there what is applied. draining starts as 0 in each run: a drain
// ends with the run that was drained.
namespace penstock::control {

constexpr std::string_view attach_socket_name = "dataplane.sock";
constexpr uint64_t attach_magic = 0x3148'4354'5453'4E50;  // "PNSTTCH1" little-endian
constexpr uint32_t attach_version = 2;

// The configuration without its keys: 14 tunables of at most 60 characters, 64 core numbers, some
// addresses and paths (each at most 4 KiB by PATH_MAX, three of them). 16 KiB holds it; a longer
// one is not sent (config_bytes = 0).
constexpr size_t attach_config_bytes_max = 16 * 1024;

struct AttachHello {
  uint64_t magic = attach_magic;
  uint32_t version = attach_version;
  uint32_t region_version = control::region_version;
  uint64_t region_bytes = 0;
  uint64_t run_id = 0;  // as in RegionHeader
  uint32_t process_id = 0;
  uint32_t config_bytes = 0;  // TOML behind this struct: config::render() of what the data plane
                              // was started with, keys left out
  Text<32> software;          // version of the data plane: "0.1.0"
};
static_assert(std::is_trivially_copyable_v<AttachHello>);
static_assert(sizeof(AttachHello) == 72);
static_assert(offsetof(AttachHello, region_bytes) == 16);
static_assert(offsetof(AttachHello, config_bytes) == 36);
static_assert(offsetof(AttachHello, software) == 40);

/// As they are sent.
struct AttachDescriptors {
  int region = -1;
  int questions = -1;  // the eventfd
};
static_assert(sizeof(AttachDescriptors) == 2 * sizeof(int));

constexpr size_t attach_packet_bytes_max = sizeof(AttachHello) + attach_config_bytes_max;

/// Control process to data plane: these workers have commands, or a new wanted state, and should
/// look now. A hint that may be lost (a worker looks by itself at least every 100 ms): the data
/// plane calls Engine::wake() of each.
struct AttachBell {
  uint64_t workers = 0;  // bit per worker
};
static_assert(sizeof(AttachBell) == 8);
static_assert(workers_max <= 64);

struct AttachPacket {
  AttachHello hello;
  std::string_view config;  // into the bytes given
};

/// The hello in a packet of a stranger, or nothing when it is not one that this version
/// understands.
[[nodiscard]] inline std::optional<AttachPacket> read_attach_packet(Bytes packet) {
  if (packet.size() < sizeof(AttachHello)) return std::nullopt;
  AttachPacket read;
  std::memcpy(static_cast<void*>(&read.hello), packet.data(), sizeof(AttachHello));
  const bool understood = read.hello.magic == attach_magic &&
                          read.hello.version == attach_version &&
                          read.hello.region_version == control::region_version;
  const Bytes config = packet.subspan(sizeof(AttachHello));
  if (!understood || read.hello.config_bytes != config.size()) return std::nullopt;
  if (config.size() > attach_config_bytes_max) return std::nullopt;
  read.config = as_text(config);
  return read;
}

}  // namespace penstock::control
