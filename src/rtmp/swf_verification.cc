#include "penstock/rtmp/swf_verification.h"

#include "penstock/rtmp/handshake_digest.h"
#include "penstock/rtmp/message.h"

namespace penstock::rtmp {

Digest swf_hash(Bytes uncompressed_file) {
  return hmac_sha256(flash_player_text(), uncompressed_file);
}

std::array<uint8_t, 44> swf_verify_response(uint32_t file_bytes, Bytes file_hash, Bytes s1_end) {
  std::array<uint8_t, 44> body{};
  store_u16(body.data(), user_control::swf_verify_response);
  body[2] = body[3] = 1;
  store_u32(body.data() + 4, file_bytes);
  store_u32(body.data() + 8, file_bytes);
  copy_bytes(body.data() + 12, hmac_sha256(s1_end, file_hash));
  return body;
}

}  // namespace penstock::rtmp
