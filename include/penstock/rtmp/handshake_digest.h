#pragma once

#include <cstdint>
#include <optional>

#include "penstock/base/bytes.h"
#include "penstock/rtmp/hmac.h"

// The signed ("digest", FP9) form of the handshake packets C1, S1, C2 and S2.
namespace penstock::rtmp {

constexpr size_t handshake_packet_bytes = 1536;
constexpr size_t handshake_signed_bytes = handshake_packet_bytes - sizeof(Digest);  // of C2 and S2

/// Which half of C1 (S1) holds the digest; the other one holds the Diffie-Hellman key. Some servers
/// number them the other way round, so they have names here.
enum class DigestScheme : uint8_t { digest_first, key_first };

// The whole keys sign C2 and S2; their text alone, without the common tail, keys the digests of C1
// and S1.
[[nodiscard]] Bytes flash_player_key();   // 62 bytes
[[nodiscard]] Bytes flash_player_text();  // 30
[[nodiscard]] Bytes media_server_key();   // 68
[[nodiscard]] Bytes media_server_text();  // 36

// `packet` is a whole C1 or S1. The positions are in range whatever it holds.
[[nodiscard]] size_t digest_offset(Bytes packet, DigestScheme scheme);
[[nodiscard]] size_t dh_key_offset(Bytes packet, DigestScheme scheme);

/// `packet`, which has its digest under key_first, can hold a key where digest_first has it too,
/// without either touching the other or the bytes that say where both are.
[[nodiscard]] bool both_keys_fit(Bytes packet);

/// The digest that belongs at `digest_at`: over everything but its own place.
[[nodiscard]] Digest packet_digest(Bytes packet, size_t digest_at, Bytes key);

/// The scheme under which the digest of `packet` verifies.
[[nodiscard]] std::optional<DigestScheme> find_digest(Bytes packet, Bytes key);

/// Writes the digest; everything else of the packet must be in place.
void write_digest(MutableBytes packet, DigestScheme scheme, Bytes key);

/// The digest of `packet`, where `scheme` puts it.
[[nodiscard]] Bytes digest_of(Bytes packet, DigestScheme scheme);

/// Key of the signature of S2 (C2): `whole_key` is the signer's, `peer_digest` the one of the C1
/// (S1) that is answered.
[[nodiscard]] Digest signature_key(Bytes whole_key, Bytes peer_digest);

/// The signature of S2 (C2), which is its last 32 bytes.
[[nodiscard]] Digest packet_signature(Bytes packet, const Digest& key);

}  // namespace penstock::rtmp
