#include <algorithm>

#include "dataplane/transport/transport_engine.h"
#include "penstock/base/assert.h"
#include "penstock/tunnel/proxy_header.h"
#include "penstock/tunnel/sniff.h"

// What a peer speaks, from its first bytes.
namespace penstock::transport {

/// The common case of a listener that takes everything: the first bytes are of plain RTMP, and this
/// and all that follows passes through.
bool TransportEngine::first_bytes(Stack& stack, Bytes bytes) {
  if (stack.stage != Stage::sniffing || !stack.kept.empty() || stack.may_proxy || stack.proxied ||
      !stack.accepts.rtmp) {
    return false;
  }
  if (tunnel::sniff(bytes) != tunnel::Spoken::rtmp) return false;
  PENSTOCK_ASSERT(stack.outgoing.empty());  // a worker answers, it does not begin
  forget(stack.id);
  return true;
}

void TransportEngine::sniff(Stack& stack, Bytes bytes) {
  std::vector<uint8_t> gathered;
  if (!stack.kept.empty()) {
    gathered.swap(stack.kept);
    gathered.insert(gathered.end(), bytes.begin(), bytes.end());
    bytes = gathered;
  }
  if (stack.may_proxy && !take_proxy_header(stack, bytes)) return;
  switch (tunnel::sniff(bytes)) {
    case tunnel::Spoken::need_more:
      stack.kept.assign(bytes.begin(), bytes.end());
      return;
    case tunnel::Spoken::rtmp:
      if (!stack.accepts.rtmp) return fail(stack, Fault::transport_disabled, "RTMP");
      become_session(stack);
      open(stack, bytes);
      return;
    case tunnel::Spoken::rtmpe:
      if (!stack.accepts.rtmpe) return fail(stack, Fault::transport_disabled, "RTMPE");
      begin_layer(stack, options_.make_rtmpe(), bytes);
      return;
    case tunnel::Spoken::tls:
      if (!stack.accepts.tls()) return fail(stack, Fault::transport_disabled, "RTMPS");
      stack.secure = true;
      begin_layer(stack, options_.make_tls(), bytes);
      return;
    case tunnel::Spoken::http:
      if (!stack.accepts.http) return fail(stack, Fault::transport_disabled, "RTMPT");
      become_carrier(stack);
      if (!gathered.empty()) lent_.push_back(std::move(gathered));
      tunnels_.carrier_received(stack.id, bytes, now_);
      return;
    case tunnel::Spoken::proxy_header:
      return fail(stack, stack.proxied ? Fault::proxy_header_malformed : Fault::proxy_unexpected);
    case tunnel::Spoken::unknown:
      return fail(stack, Fault::transport_unknown);
  }
}

/// False when the header is not all there yet, or none at all.
bool TransportEngine::take_proxy_header(Stack& stack, Bytes& bytes) {
  const tunnel::Spoken spoken = tunnel::sniff(bytes);
  if (spoken == tunnel::Spoken::need_more) {
    stack.kept.assign(bytes.begin(), bytes.end());
    return false;
  }
  stack.may_proxy = spoken == tunnel::Spoken::proxy_header;
  if (!stack.may_proxy) return true;
  const auto header = tunnel::read_proxy_header(bytes);
  if (!header) {
    fail(stack, header.error());
    return false;
  }
  if (!*header) {
    stack.kept.assign(bytes.begin(), bytes.end());
    return false;
  }
  stack.may_proxy = false;  // one, and not another one inside of it
  stack.proxied = true;
  if (const auto& peer = (*header)->peer) {
    std::copy(peer->address.begin(), peer->address.end(), stack.peer.address);
    stack.peer.port = peer->port;
    stack.peer.ipv6 = peer->ipv6;
  }
  bytes = bytes.subspan((*header)->header_bytes);
  return true;
}

}  // namespace penstock::transport
