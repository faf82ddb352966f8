/* sha256.c: SHA-256, for names of cached and side files that must not collide.
 *
 * Invariant: `block` holds the last n % 64 bytes, not yet compressed.  Plain C, some 300 MB/s; long runs of blocks go to
 * sha256_x86.c where the machine has instructions for them.
 * Source: FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3, 6.2.
 */
#include <string.h>

#include "base.h"

const uint32_t sha256_round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

static uint32_t load_be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store_be32(uint8_t *at, uint32_t x) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(x >> (24 - 8 * i));
}

static void compress(uint32_t h[8], const uint8_t block[64]) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) w[i] = load_be32(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) +
               (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
    for (int i = 0; i < 64; i++) {
        uint32_t t1 =
            last + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + sha256_round_constants[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        last = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += last;
}

enum { LONG_RUN = 4096 }; /* asking the machine what it has takes as long as some blocks */

void sha256_init(Sha256 *sha) {
    *sha = (Sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                          0x5be0cd19}};
}

void sha256_add(Sha256 *sha, const void *from, size_t n) {
    const uint8_t *at = from;
    size_t held = sha->n % 64;
    sha->n += n;
    if (held) {
        size_t take = n < 64 - held ? n : 64 - held;
        if (take) memcpy(sha->block + held, at, take);
        at += take;
        n -= take;
        if (held + take < 64) return;
        compress(sha->h, sha->block);
    }
    if (n >= LONG_RUN && sha256_blocks_x86(sha->h, at, n / 64)) at += n / 64 * 64, n %= 64;
    for (; n >= 64; at += 64, n -= 64) compress(sha->h, at);
    if (n) memcpy(sha->block, at, n);
}

void sha256_end(Sha256 *sha, uint8_t out[32]) {
    uint64_t bits = sha->n * 8;
    uint8_t tail[72] = {0x80}; /* a one bit, zeros up to 8 short of a block, the length in bits */
    size_t pad = 64 - (sha->n + 8) % 64;
    store_be32(tail + pad, (uint32_t)(bits >> 32));
    store_be32(tail + pad + 4, (uint32_t)bits);
    sha256_add(sha, tail, pad + 8);
    for (int i = 0; i < 8; i++) store_be32(out + 4 * i, sha->h[i]);
}

bool sha256_sink(void *sha, const void *bytes, size_t n) {
    sha256_add(sha, bytes, n);
    return true;
}
