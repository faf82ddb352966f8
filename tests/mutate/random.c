/* random.c: the one source of chance: splitmix64, keyed by (seed, number). */
#include "mutate.h"

uint64_t random_bits(Random *r) {
    uint64_t z = (r->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

Random random_of(uint64_t seed, uint64_t number) {
    Random r = {seed * UINT64_C(0xD1342543DE82EF95) + number};
    random_bits(&r);
    return r;
}

uint32_t random_below(Random *r, uint32_t n) { return n ? (uint32_t)(random_bits(r) >> 32) % n : 0; }
bool random_chance(Random *r, uint32_t percent) { return random_below(r, 100) < percent; }

int64_t random_number(Random *r) {
    static const int64_t edges[] = {
        -1, 0, 1, INT64_MIN, INT64_MAX, INT64_MIN + 1, INT64_MAX - 1, INT32_MIN, INT32_MAX, (int64_t)INT32_MAX + 1,
        INT64_C(1) << 32, INT64_C(1) << 40, INT64_C(1) << 61, INT64_C(1) << 62, -(INT64_C(1) << 61), INT64_MAX / 4,
        INT64_C(0x5555555555555555), 255, 256, 65535, 65536, 1000, 4096, 1 << 20, -1000, 3037000500, 6074001001,
    };
    if (random_chance(r, 55)) return (int64_t)random_below(r, 11) - 4;
    return edges[random_below(r, (uint32_t)COUNT(edges))];
}
