#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock {

// X(name, fatal, text): what a peer did wrong. A fatal fault ends the connection that did it, and
// nothing else; a tolerated one is counted and the connection goes on. The position is the fault's
// number in counters, reports and logs: append only.
#define PENSTOCK_FAULTS(X)                                                                     \
  X(handshake_version, true, "first byte is not a version that this listener speaks")          \
  X(handshake_timeout, true, "handshake not complete in time")                                 \
  X(handshake_digest, true, "handshake needs a digest and has none that verifies")             \
  X(chunk_header_without_base, true, "first chunk of a chunk stream has a type 2 or 3 header") \
  X(chunk_inside_message, true, "new message header inside an unfinished message")             \
  X(chunk_size_zero, true, "chunk size 0")                                                     \
  X(chunk_streams_exceeded, true, "too many chunk streams")                                    \
  X(partial_messages_exceeded, true, "too many or too large messages unfinished at once")      \
  X(message_too_large, true, "message larger than message_bytes_max")                          \
  X(control_malformed, true, "control message too short")                                      \
  X(amf_truncated, true, "AMF value ends early")                                               \
  X(amf_marker, true, "unknown or reserved AMF marker")                                        \
  X(amf_depth, true, "AMF values nested too deeply")                                           \
  X(amf_size, true, "AMF value with too many elements")                                        \
  X(amf_reference, true, "AMF reference to nothing")                                           \
  X(command_malformed, true, "command without name, transaction or needed argument")           \
  X(command_unexpected, true, "command not allowed in this state")                             \
  X(command_flood, true, "too many commands or pings per second")                              \
  X(message_streams_exceeded, true, "too many message streams on one connection")              \
  X(name_invalid, true, "stream name empty, too long or with forbidden characters")            \
  X(connect_timeout, true, "no connect command in time")                                       \
  X(publish_timeout, true, "connected, then neither published nor played in time")             \
  X(first_media_timeout, true, "published, then sent no media in time")                        \
  X(silent_publisher, true, "publisher sent nothing for too long")                             \
  X(write_stalled, true, "took no bytes for too long")                                         \
  X(peer_reset, true, "connection reset")                                                      \
  X(metadata_malformed, false, "data message is not AMF")                                      \
  X(aggregate_malformed, false, "aggregate message truncated")                                 \
  X(media_without_publish, false, "media outside a published stream")                          \
  X(media_header_unknown, false, "audio or video header of an unknown form")                   \
  X(message_type_unknown, false, "message type that RTMP does not define")                     \
  X(handshake_echo, false, "C2 does not echo S1")                                              \
  X(chunk_state_reset, false, "type 0 header replaced an unfinished message")                  \
  X(metadata_flood, false, "metadata more often than it can be relayed")                       \
  X(message_flood, true, "more messages per second than any encoder sends")                    \
  X(transport_unknown, true, "first bytes are of no protocol that this listener speaks")       \
  X(transport_disabled, true, "first bytes are of a protocol that is switched off here")       \
  X(proxy_header_malformed, true, "PROXY header too long or malformed")                        \
  X(tls_handshake, true, "TLS handshake failed")                                               \
  X(tls_record, true, "TLS record that does not decrypt, or an alert")                         \
  X(rtmpe_key, true, "RTMPE public key out of range")                                          \
  X(http_malformed, true, "HTTP request malformed or ambiguous")                               \
  X(http_too_large, true, "HTTP header or body too large")                                     \
  X(tunnel_request, true, "HTTP request that is none of RTMPT's")                              \
  X(tunnel_unknown, false, "RTMPT request for a session that is not there")                    \
  X(tunnel_sequence, true, "RTMPT request missing, the next ones came without it")             \
  X(tunnel_timeout, true, "RTMPT session without a request for too long")                      \
  X(tunnels_exceeded, true, "too many RTMPT sessions")                                         \
  X(login_failed, true, "publisher login refused")                                             \
  X(login_flood, true, "too many failed logins of this user, or of all, at one address")       \
  X(shared_object_malformed, false, "shared object message malformed")                         \
  X(handshakes_exceeded, true,                                                                 \
    "more TLS or RTMPE handshakes of one address than can be taken in time")                   \
  X(http_timeout, true, "no whole HTTP request of an RTMPT session in time")                   \
  X(proxy_unexpected, true, "PROXY header from a peer that is not in listen.proxy_from")

enum class Fault : uint8_t {
#define PENSTOCK_FAULT_NAME(name, fatal, text) name,
  PENSTOCK_FAULTS(PENSTOCK_FAULT_NAME)
#undef PENSTOCK_FAULT_NAME
      count_  // number of faults; never a value
};

constexpr size_t fault_count = static_cast<size_t>(Fault::count_);

struct FaultInfo {
  std::string_view name;
  bool fatal;
  std::string_view text;
};

/// What is known of a fault. `fault` may come from shared memory: an unknown number reads as
/// "unknown".
[[nodiscard]] constexpr FaultInfo fault_info(Fault fault) {
  constexpr FaultInfo table[] = {
#define PENSTOCK_FAULT_INFO(name, fatal, text) {#name, fatal, text},
      PENSTOCK_FAULTS(PENSTOCK_FAULT_INFO)
#undef PENSTOCK_FAULT_INFO
  };
  const auto index = static_cast<size_t>(fault);
  return index < fault_count ? table[index] : FaultInfo{"unknown", true, "unknown fault"};
}

}  // namespace penstock
