/* sha256_x86.c: SHA-256's compression by the SHA instructions of x86-64, where the machine has them: some 2 GB/s.
 *
 * Stands beside sha256.c, which asks it for long runs of blocks.  Invariant: the same state as compress() there, bit for bit;
 * tests/unit/test_base.c compares the two.  The instructions keep the state as ABEF and CDGH, four words of message a step.
 * Source: Intel, "Intel SHA Extensions", July 2013.
 */
#include "base.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static bool has_sha(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3)) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

#define NEEDS __attribute__((target("sha,sse4.1,ssse3")))

/* Four rounds on (ABEF, CDGH) with the message words w of step `step`. */
NEEDS static inline void four_rounds(__m128i *abef, __m128i *cdgh, __m128i w, int step) {
    __m128i k = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)&sha256_round_constants[4 * step]));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, k);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(k, 0x0E));
}

/* w[step] from the four groups of words before it. */
NEEDS static inline __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

NEEDS static void compress_block(__m128i *abef, __m128i *cdgh, const uint8_t *block) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i w[4], abef_before = *abef, cdgh_before = *cdgh;
    for (int i = 0; i < 4; i++) {
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i)), big_endian);
        four_rounds(abef, cdgh, w[i], i);
    }
    for (int step = 4; step < 16; step += 4)
        for (int i = 0; i < 4; i++) {
            w[i] = next_words(w[i], w[(i + 1) & 3], w[(i + 2) & 3], w[(i + 3) & 3]);
            four_rounds(abef, cdgh, w[i], step + i);
        }
    *abef = _mm_add_epi32(*abef, abef_before);
    *cdgh = _mm_add_epi32(*cdgh, cdgh_before);
}

NEEDS static void compress_blocks(uint32_t h[8], const uint8_t *blocks, size_t n) {
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)h),
            high = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));
    __m128i badc = _mm_shuffle_epi32(low, 0xB1), hgfe = _mm_shuffle_epi32(high, 0x1B);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
    for (; n > 0; n--, blocks += 64) compress_block(&abef, &cdgh, blocks);
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool sha256_blocks_x86(uint32_t h[8], const uint8_t *blocks, size_t n) {
    if (!has_sha()) return false;
    compress_blocks(h, blocks, n);
    return true;
}
#else
bool sha256_blocks_x86(uint32_t h[8], const uint8_t *blocks, size_t n) {
    (void)h, (void)blocks, (void)n;
    return false;
}
#endif
