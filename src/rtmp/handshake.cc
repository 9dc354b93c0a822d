#include "penstock/rtmp/handshake.h"

#include <algorithm>
#include <cstring>

#include "penstock/base/prng.h"

namespace penstock::rtmp {
namespace {

// FFmpeg's player wants a valid digest exactly when the first byte is 3 or more; any such version
// is as good as another.
constexpr std::array<uint8_t, 4> digest_version = {4, 5, 0, 1};

constexpr size_t version_at = 4;
constexpr size_t random_at = 8;

void fill_random(MutableBytes out, Prng& prng) {
  size_t at = 0;
  for (; at + 8 <= out.size(); at += 8) {
    const uint64_t word = prng.next();
    std::memcpy(out.data() + at, &word, 8);
  }
  prng.fill(out.subspan(at));
}

}  // namespace

std::expected<size_t, Fault> Handshake::feed(Bytes input, Outbox& outbox) {
  size_t used = 0;
  if (step_ == Step::version && !input.empty()) {
    if (input[0] != handshake_version_plain) return std::unexpected(Fault::handshake_version);
    step_ = Step::first_packet;
    used = 1;
  }
  while (step_ != Step::version && step_ != Step::done) {
    const size_t count = std::min(input.size() - used, packet_.size() - received_);
    copy_bytes(packet_.data() + received_, input.subspan(used, count));
    used += count;
    received_ = static_cast<uint16_t>(received_ + count);
    if (received_ < packet_.size()) break;
    received_ = 0;
    if (step_ == Step::first_packet) {
      answer(outbox);
      step_ = Step::second_packet;
    } else {
      echo_differs_ = !second_packet_matches();
      step_ = Step::done;
    }
  }
  return used;
}

void Handshake::answer(Outbox& outbox) {
  std::array<uint8_t, 1 + 2 * handshake_packet_bytes> answer;
  answer[0] = handshake_version_plain;
  const MutableBytes s1 = MutableBytes(answer).subspan(1, handshake_packet_bytes);
  const MutableBytes s2 = MutableBytes(answer).subspan(1 + handshake_packet_bytes);
  // Whoever sends version 0 has not signed; looking anyway would cost OBS, librtmp and GStreamer
  // two HMACs each.
  if (load_u32(packet_.data() + version_at) != 0)
    scheme_ = find_digest(packet_, flash_player_text());
  if (scheme_) {
    answer_digest(s1, s2);
  } else {
    answer_simple(s1, s2);
  }
  copy_bytes(s1_.data(), s1);
  outbox.append(answer);
}

void Handshake::answer_simple(MutableBytes s1, MutableBytes s2) {
  Prng prng(random_seed_);
  // Time 0, and version 0: with anything else FFmpeg's player insists on a digest.
  std::fill_n(s1.begin(), random_at, uint8_t{0});
  fill_random(s1.subspan(random_at), prng);
  // librtmp and OBS compare all 1536 bytes, so the time that we read C1 at is not put in.
  copy_bytes(s2.data(), packet_);
}

void Handshake::answer_digest(MutableBytes s1, MutableBytes s2) {
  Prng prng(random_seed_);
  std::fill_n(s1.begin(), version_at, uint8_t{0});
  copy_bytes(s1.data() + version_at, digest_version);
  fill_random(s1.subspan(random_at), prng);
  write_digest(s1, *scheme_, media_server_text());
  fill_random(s2.first(handshake_signed_bytes), prng);
  const Digest key = signature_key(media_server_key(), digest_of(packet_, *scheme_));
  copy_bytes(s2.data() + handshake_signed_bytes, packet_signature(s2, key));
}

bool Handshake::second_packet_matches() const {
  // Bytes 4..7 may hold the time at which the peer read S1 (GStreamer puts it in).
  const bool echo = std::memcmp(packet_.data(), s1_.data(), version_at) == 0 &&
                    std::memcmp(packet_.data() + random_at, s1_.data() + random_at,
                                handshake_packet_bytes - random_at) == 0;
  if (echo || !scheme_) return echo;
  const Digest key = signature_key(flash_player_key(), digest_of(s1_, *scheme_));
  return equal_constant_time(packet_signature(packet_, key), Bytes(packet_).last(sizeof(Digest)));
}

}  // namespace penstock::rtmp
