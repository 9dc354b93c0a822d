#include "dataplane/engine/tcp/checksum.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::engine::tcp {
namespace {

// Every function here adds 32-bit halves into 64-bit lanes: no carry is lost below 2^32 additions,
// which is 16 GiB.

uint64_t sum_tail(const uint8_t* at, size_t bytes) {
  uint64_t sum = 0;
  for (; bytes >= 4; at += 4, bytes -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (bytes >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2;
    bytes -= 2;
  }
  if (bytes == 1) sum += *at;
  return sum;
}

#if defined(__x86_64__)

// Two accumulators: one chain of additions would wait for itself.
__attribute__((target("avx2"))) uint64_t sum_avx2(const uint8_t* at, size_t bytes) {
  const __m256i low_halves = _mm256_set1_epi64x(0xffffffff);
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (; bytes >= 64; at += 64, bytes -= 64) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 32));
    even = _mm256_add_epi64(even, _mm256_and_si256(first, low_halves));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(first, 32));
    even = _mm256_add_epi64(even, _mm256_and_si256(second, low_halves));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(second, 32));
  }
  if (bytes >= 32) {
    const __m256i last = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    even = _mm256_add_epi64(even, _mm256_and_si256(last, low_halves));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(last, 32));
    at += 32;
    bytes -= 32;
  }
  const __m256i both = _mm256_add_epi64(even, odd);
  const __m128i half =
      _mm_add_epi64(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  return static_cast<uint64_t>(_mm_extract_epi64(half, 0)) +
         static_cast<uint64_t>(_mm_extract_epi64(half, 1)) + sum_tail(at, bytes);
}

uint64_t sum_sse2(const uint8_t* at, size_t bytes) {
  const __m128i low_halves = _mm_set_epi32(0, -1, 0, -1);
  __m128i even = _mm_setzero_si128();
  __m128i odd = _mm_setzero_si128();
  for (; bytes >= 16; at += 16, bytes -= 16) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    even = _mm_add_epi64(even, _mm_and_si128(words, low_halves));
    odd = _mm_add_epi64(odd, _mm_srli_epi64(words, 32));
  }
  const __m128i both = _mm_add_epi64(even, odd);
  return static_cast<uint64_t>(_mm_cvtsi128_si64(both)) +
         static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both))) +
         sum_tail(at, bytes);
}

// A branch that is always taken the same way, not an ifunc: those run before sanitizers are set up.
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;

uint64_t sum_words(const uint8_t* at, size_t bytes) {
  if (bytes < 32) return sum_tail(at, bytes);
  return has_avx2 ? sum_avx2(at, bytes) : sum_sse2(at, bytes);
}

#else

uint64_t sum_words(const uint8_t* at, size_t bytes) { return sum_tail(at, bytes); }

#endif

}  // namespace

void Checksum::add(Bytes part) {
  uint64_t words = sum_words(part.data(), part.size());
  if (odd_) {
    // The part begins in the middle of a word: its own words are the other way round.
    words = swapped(folded(words));
  }
  // Folded once so that no number of parts overflows: each adds less than 2^33.
  sum_ += (words >> 32) + (words & 0xffffffff);
  odd_ ^= (part.size() & 1) != 0;
}

}  // namespace penstock::engine::tcp
