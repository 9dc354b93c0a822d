#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/types.h"
#include "dataplane/engine/tcp/wire.h"

// ICMP (RFC 792, 1191) and ICMPv6 (RFC 4443) beside neighbour discovery: pings, and what routers
// say about segments of ours.
namespace penstock::engine::tcp {

enum class IcmpTrouble : uint8_t {
  too_big,  // path MTU (RFC 8201, 1191)
  hard,     // nobody takes it: ends a handshake of ours, and nothing else (RFC 5927: 5.2)
  passing,  // no route and the like: retransmission is the answer (RFC 5461)
};

/// What an ICMP error says about a segment that claims to be ours.
struct IcmpError {
  IcmpTrouble trouble{};
  uint16_t mtu = 0;  // of too_big; 0: not said (before RFC 1191)
  FlowKey flow;      // the segment's: we are its source
  uint32_t sequence = 0;
};

/// Nothing when it is no such error, malformed, or not about TCP from one of our addresses.
[[nodiscard]] std::optional<IcmpError> parse_icmp_error(const ParsedPacket& packet,
                                                        const OwnAddresses& own);

/// The data of an echo request behind its 8 bytes of header; nothing when it is none.
[[nodiscard]] std::optional<Bytes> echo_request_data(const ParsedPacket& packet);
/// The answer. `data` is what `echo_request_data` said, at a place that stays put.
void write_echo_reply(PacketOut& packet, const OwnAddresses& own, const ParsedPacket& request,
                      const MacAddress& to, Bytes data, bool ip_checksum_offload);

}  // namespace penstock::engine::tcp
