#include "penstock/rtmp/handshake_digest.h"

#include <array>

#include "penstock/base/assert.h"

namespace penstock::rtmp {
namespace {

// "Genuine Adobe Flash Player 001" and the tail that both keys share.
constexpr std::array<uint8_t, 62> flash_player = {
    0x47, 0x65, 0x6E, 0x75, 0x69, 0x6E, 0x65, 0x20, 0x41, 0x64, 0x6F, 0x62, 0x65, 0x20, 0x46, 0x6C,
    0x61, 0x73, 0x68, 0x20, 0x50, 0x6C, 0x61, 0x79, 0x65, 0x72, 0x20, 0x30, 0x30, 0x31, 0xF0, 0xEE,
    0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E, 0xEC,
    0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
};

// "Genuine Adobe Flash Media Server 001" and the tail that both keys share.
constexpr std::array<uint8_t, 68> media_server = {
    0x47, 0x65, 0x6E, 0x75, 0x69, 0x6E, 0x65, 0x20, 0x41, 0x64, 0x6F, 0x62, 0x65, 0x20,
    0x46, 0x6C, 0x61, 0x73, 0x68, 0x20, 0x4D, 0x65, 0x64, 0x69, 0x61, 0x20, 0x53, 0x65,
    0x72, 0x76, 0x65, 0x72, 0x20, 0x30, 0x30, 0x31, 0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68,
    0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E, 0xEC, 0x5D, 0x2D,
    0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
};

// A packet is time (4), version (4) and two blocks of 764 bytes. Each block has four bytes whose
// sum says where its content lies: before the content in a digest block, after it in a key block.
constexpr size_t first_block = 8;
constexpr size_t block_bytes = 764;
constexpr size_t second_block = first_block + block_bytes;
constexpr size_t dh_key_bytes = 128;
constexpr size_t digest_positions = block_bytes - 4 - sizeof(Digest);  // 728
constexpr size_t key_positions = block_bytes - 4 - dh_key_bytes;       // 632

size_t sum4(Bytes packet, size_t at) {
  return size_t{packet[at]} + packet[at + 1] + packet[at + 2] + packet[at + 3];
}

}  // namespace

Bytes flash_player_key() { return flash_player; }
Bytes flash_player_text() { return Bytes(flash_player).first(30); }
Bytes media_server_key() { return media_server; }
Bytes media_server_text() { return Bytes(media_server).first(36); }

size_t digest_offset(Bytes packet, DigestScheme scheme) {
  PENSTOCK_ASSERT(packet.size() == handshake_packet_bytes);
  const size_t block = scheme == DigestScheme::digest_first ? first_block : second_block;
  return block + 4 + sum4(packet, block) % digest_positions;
}

size_t dh_key_offset(Bytes packet, DigestScheme scheme) {
  PENSTOCK_ASSERT(packet.size() == handshake_packet_bytes);
  const size_t block = scheme == DigestScheme::digest_first ? second_block : first_block;
  return block + sum4(packet, block + block_bytes - 4) % key_positions;
}

bool both_keys_fit(Bytes packet) {
  const size_t key_at = dh_key_offset(packet, DigestScheme::digest_first);
  const size_t digest_at = digest_offset(packet, DigestScheme::key_first);
  const size_t digest_end = digest_at + sizeof(Digest);
  // Both lie in the second block: four bytes that place the digest, content, four that place the
  // key. A key never reaches the latter, but three positions of the digest do.
  const bool places_whole =
      key_at >= second_block + 4 && digest_end <= second_block + block_bytes - 4;
  return places_whole && (key_at + dh_key_bytes <= digest_at || digest_end <= key_at);
}

Digest packet_digest(Bytes packet, size_t digest_at, Bytes key) {
  return hmac_sha256(key, packet.first(digest_at), packet.subspan(digest_at + sizeof(Digest)));
}

std::optional<DigestScheme> find_digest(Bytes packet, Bytes key) {
  // digest_first is what FFmpeg sends, by far the most frequent peer that signs.
  for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
    const size_t at = digest_offset(packet, scheme);
    if (equal_constant_time(packet_digest(packet, at, key), packet.subspan(at, sizeof(Digest)))) {
      return scheme;
    }
  }
  return std::nullopt;
}

void write_digest(MutableBytes packet, DigestScheme scheme, Bytes key) {
  const size_t at = digest_offset(packet, scheme);
  copy_bytes(packet.data() + at, packet_digest(packet, at, key));
}

Bytes digest_of(Bytes packet, DigestScheme scheme) {
  return packet.subspan(digest_offset(packet, scheme), sizeof(Digest));
}

Digest signature_key(Bytes whole_key, Bytes peer_digest) {
  return hmac_sha256(whole_key, peer_digest);
}

Digest packet_signature(Bytes packet, const Digest& key) {
  return hmac_sha256(key, packet.first(handshake_signed_bytes));
}

}  // namespace penstock::rtmp
