/* peak.c: the FMA peak of one core, in f32 GFLOP/s: what bench/floor.py sets matrix products against.
 *
 * Independent chains of fused multiply-adds in registers, nothing else; the best of many short rounds, so that a busy machine
 * harms little.  usage: peak 8|16 (lanes: AVX2 or AVX-512).  Prints one number.
 * Source: the vendors' manuals: latency 4, two a cycle: 8 chains suffice; 12 leave room.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, STEPS = 200000, ROUNDS = 40 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One function per vector width: the loop is the same, the type and the target differ. */
#define ROUND(name, lanes, features)                                                                                    \
    typedef float name##_vector __attribute__((vector_size(4 * (lanes))));                                              \
    __attribute__((target(features), optimize("O2", "fp-contract=fast"))) static float name(float seed) {               \
        name##_vector acc[CHAINS], x = {0}, y = {0};                                                                    \
        for (int i = 0; i < CHAINS; i++) acc[i] = x + seed * (float)i;                                                  \
        x += seed, y += 1e-9f * seed;                                                                                   \
        for (int step = 0; step < STEPS; step++) {                                                                      \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * x + y;                          \
            __asm__ volatile("" : "+v"(x), "+v"(y));                                                                    \
        }                                                                                                               \
        name##_vector sum = acc[0];                                                                                     \
        for (int i = 1; i < CHAINS; i++) sum += acc[i];                                                                 \
        return sum[0];                                                                                                  \
    }
ROUND(round_avx2, 8, "avx2,fma")
ROUND(round_avx512, 16, "avx512f")

int main(int argc, char **argv) {
    int lanes = argc > 1 ? atoi(argv[1]) : 8;
    if (lanes != 8 && lanes != 16) {
        fputs("usage: peak 8|16\n", stderr);
        return 2;
    }
    double best = 1e9;
    volatile float sink = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now();
        sink += lanes == 16 ? round_avx512(0.5f) : round_avx2(0.5f);
        double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    printf("%.1f\n", 2.0 * CHAINS * lanes * STEPS / best * 1e-9);
    return 0;
}
