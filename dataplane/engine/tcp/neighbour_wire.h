#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/types.h"
#include "dataplane/engine/tcp/wire.h"

// ARP (RFC 826) and neighbour discovery (RFC 4861) as bytes. Both ask who has an address and answer
// it; one form here serves both.
namespace penstock::engine::tcp {

struct NeighbourMessage {
  bool request = false;
  bool solicited = false;  // an answer to somebody's question, not an announcement
  IpAddress sender;        // unspecified: who asks has no address yet (a probe for duplicates)
  IpAddress target;        // request: who is asked for; otherwise whose address it is about
  std::optional<MacAddress> mac;  // of the sender of a request, or of the target
};

[[nodiscard]] bool is_unspecified(const IpAddress& address);

/// Nothing when it is malformed, or not Ethernet and IPv4.
[[nodiscard]] std::optional<NeighbourMessage> parse_arp(Bytes message);

/// Whether an ICMPv6 message is neighbour discovery (types 133 to 137), which parse_ndp() takes.
[[nodiscard]] bool is_ndp(Bytes message);
/// Nothing when it is malformed, did not come from the link itself, or is a redirect or about
/// routers: gateways are configured, and nobody on the link may change them.
[[nodiscard]] std::optional<NeighbourMessage> parse_ndp(const ParsedPacket& packet);

/// Asks who has `target`: `mac`, or everybody on the link.
void write_request(PacketOut& packet, const OwnAddresses& own, LocalAddress source,
                   const IpAddress& target, const std::optional<MacAddress>& mac);
/// Says that we have `which`: to the one who asked, or, without one, to everybody.
struct Asker {
  IpAddress address;  // unspecified: everybody is told
  MacAddress mac;
};
void write_answer(PacketOut& packet, const OwnAddresses& own, LocalAddress which,
                  const std::optional<Asker>& asker);

}  // namespace penstock::engine::tcp
