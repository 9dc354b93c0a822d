#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::engine::tcp {

// X(name, help). Append only within a group; the order is that of reports. Counters only grow, and
// each has one writer: the stack that it belongs to.
#define PENSTOCK_TCP_COUNTERS(X)                                                                   \
  X(packets_in, "packets taken from the device")                                                   \
  X(packets_out, "packets given to the device")                                                    \
  X(exceptions, "packets that are not this stack's and were offered to the exception path")        \
  X(malformed, "packets dropped because a header or length makes no sense")                        \
  X(other_mac, "packets dropped because they are for another Ethernet address")                    \
  X(other_vlan, "packets of another VLAN, offered to the exception path")                          \
  X(ip_checksum_bad, "IPv4 headers dropped because of their checksum")                             \
  X(ip_fragments, "IP fragments dropped: nothing is reassembled")                                  \
  X(source_bad, "packets dropped because nobody can have their source address")                    \
  X(tcp_checksum_bad, "TCP segments dropped because of their checksum")                            \
  X(tcp_segments_in, "TCP segments received")                                                      \
  X(tcp_segments_out, "TCP segments sent")                                                         \
  X(tcp_options_malformed, "TCP segments whose options end in the middle of one")                  \
  X(resets_out, "resets sent for segments that belong to nobody")                                  \
  X(resets_limited, "such resets not sent because of their rate limit")                            \
  X(arp_in, "ARP packets received")                                                                \
  X(ndp_in, "neighbour discovery packets received")                                                \
  X(neighbour_queries_out, "ARP requests and neighbour solicitations sent")                        \
  X(neighbours_learnt, "Ethernet addresses learnt")                                                \
  X(neighbours_changed, "neighbours whose Ethernet address changed")                               \
  X(neighbours_doubted, "claims of another Ethernet address for a known neighbour, checked")       \
  X(neighbours_unreachable, "neighbours that did not answer")                                      \
  X(neighbours_full, "neighbours not learnt because the table is full")                            \
  X(neighbour_news_lost, "neighbour news for other workers dropped: nobody took them")             \
  X(address_conflicts, "claims of one of our own addresses by another host")                       \
  X(waiting_dropped, "replies dropped: their neighbour was not known in time, or too many waited") \
  X(icmp_in, "ICMP and ICMPv6 packets received, but for neighbour discovery")                      \
  X(icmp_checksum_bad, "ICMP packets dropped because of their checksum")                           \
  X(echo_replies, "pings answered")                                                                \
  X(echo_limited, "pings not answered because of their rate limit or memory")                      \
  X(icmp_errors_used, "ICMP errors that told a connection something")                              \
  X(icmp_errors_ignored, "ICMP errors that match no connection or not what it has in flight")      \
  X(path_mtu_lowered, "times a smaller path MTU was learnt")                                       \
  X(path_mtu_aged, "path MTUs forgotten because of their age")                                     \
  X(syns_in, "SYNs received for a port that is listened on")                                       \
  X(syn_acks_out, "SYN-ACKs sent, with retransmissions")                                           \
  X(syn_acks_retransmitted, "SYN-ACKs sent again")                                                 \
  X(half_open_expired, "handshakes given up because the last ACK did not come")                    \
  X(half_open_reset, "handshakes that the peer reset")                                             \
  X(cookies_sent, "SYNs answered with a cookie because too many handshakes were open")             \
  X(cookies_good, "connections opened by a cookie")                                                \
  X(cookies_bad, "ACKs whose cookie was not ours or too old")                                      \
  X(connections_full, "handshakes refused because connections_max is reached")                     \
  X(connections_passive, "connections accepted")                                                   \
  X(connections_active, "connections begun")                                                       \
  X(ports_exhausted, "connections not begun because no local port was free")                       \
  X(time_wait_entered, "connections that went to TIME_WAIT")                                       \
  X(time_wait_evicted, "TIME_WAITs ended early because of their number")                           \
  X(time_wait_reused, "TIME_WAITs ended by a new SYN of the same flow")                            \
  X(time_wait_answered, "segments answered from TIME_WAIT")                                        \
  X(challenge_acks, "challenge ACKs sent (RFC 5961)")                                              \
  X(challenge_acks_limited, "challenge ACKs not sent because of their rate limit")                 \
  X(resets_in, "connections ended by a valid reset")                                               \
  X(resets_ignored, "resets outside of what is expected")                                          \
  X(bytes_received, "payload bytes given to the caller")                                           \
  X(bytes_sent, "payload bytes acknowledged")                                                      \
  X(acks_out, "segments sent for their acknowledgment only")                                       \
  X(segments_retransmitted, "segments sent again")                                                 \
  X(recoveries, "times loss was found by acknowledgments")                                         \
  X(recoveries_undone, "times such a loss, or a timeout, was none")                                \
  X(timeouts, "retransmission timeouts")                                                           \
  X(tail_probes, "tail loss probes sent (RFC 8985)")                                               \
  X(ecn_reductions, "times a congestion window was reduced because of ECN")                        \
  X(window_probes, "zero-window probes sent")                                                      \
  X(keepalives, "keepalive probes sent")                                                           \
  X(duplicates_told, "segments of ours that arrived twice, by D-SACK")                             \
  X(segments_out_of_order, "segments received behind a hole")                                      \
  X(segments_unacceptable, "segments outside of the receive window, or received before")           \
  X(beyond_window, "segments cut because they go beyond the receive window")                       \
  X(timestamps_old, "segments dropped because of an old timestamp (PAWS)")                         \
  X(timestamps_missing, "segments dropped because their timestamp is missing")                     \
  X(out_of_order_dropped, "times bytes behind a hole were dropped so that it could be filled")     \
  X(receive_memory_full, "segments dropped because nothing was left to hold their bytes")          \
  X(sent_segments_full, "segments not sent yet because sent_segments_max is reached")

/// What happened since the start, as plain numbers: read them by name or by stack_counter_table.
struct StackCounters {
#define PENSTOCK_TCP_COUNTER_MEMBER(name, help) uint64_t name = 0;
  PENSTOCK_TCP_COUNTERS(PENSTOCK_TCP_COUNTER_MEMBER)
#undef PENSTOCK_TCP_COUNTER_MEMBER
};

struct StackCounterInfo {
  std::string_view name;
  uint64_t StackCounters::*value;
  std::string_view help;
};

#define PENSTOCK_TCP_COUNTER_ONE(name, help) +1
constexpr size_t stack_counter_count = 0 PENSTOCK_TCP_COUNTERS(PENSTOCK_TCP_COUNTER_ONE);
#undef PENSTOCK_TCP_COUNTER_ONE

constexpr std::array<StackCounterInfo, stack_counter_count> stack_counter_table = {{
#define PENSTOCK_TCP_COUNTER_INFO(name, help) {#name, &StackCounters::name, help},
    PENSTOCK_TCP_COUNTERS(PENSTOCK_TCP_COUNTER_INFO)
#undef PENSTOCK_TCP_COUNTER_INFO
}};

}  // namespace penstock::engine::tcp
