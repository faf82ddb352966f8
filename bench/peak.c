/* peak.c: what one machine can do, in the run that it is compared with: bench/bounds.py calls it.
 *
 * usage: peak fma 8|16 THREADS       f32 GFLOP/s of fused multiply-adds in registers (lanes: AVX2 or AVX-512)
 *        peak read BYTES THREADS     GB/s read, again and again, from a buffer of that size, in four streams
 *        peak copy BYTES THREADS     GB/s read and written, together that size
 * Each thread has its share of the buffer; threads start a round together, each by its own processor time; a round is as slow
 * as its slowest thread, and the best of many short rounds counts, so that a busy machine harms little.  Prints one number.
 * Build: -O2 -ffp-contract=fast.
 * Source: the vendors' manuals: latency 4, two multiply-adds a cycle: 8 chains suffice; 12 leave room.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, STEPS = 200000, ROUNDS = 30, MOST_THREADS = 256 };

typedef struct Work Work;
struct Work {
    double (*round)(Work *); /* does it, returns FLOPs or bytes */
    float *data;
    int64_t floats; /* of this thread */
    int64_t times;  /* over the buffer, a round */
    volatile float sink;
    double done, seconds; /* this thread's last round */
    pthread_barrier_t *together;
    pthread_t thread;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One function per vector width: the loops are the same, the type and the target differ. */
#define WIDTH(lanes, features)                                                                                          \
    typedef float Vector##lanes __attribute__((vector_size(4 * (lanes)), aligned(4 * (lanes)), may_alias));             \
    __attribute__((target(features))) static double fma##lanes(Work *w) {                                               \
        Vector##lanes acc[CHAINS], x = {0}, y = {0};                                                                    \
        for (int i = 0; i < CHAINS; i++) acc[i] = x + 0.5f * (float)i;                                                  \
        x += 0.5f, y += 1e-9f;                                                                                          \
        for (int step = 0; step < STEPS; step++) {                                                                      \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * x + y;                          \
            __asm__ volatile("" : "+v"(x), "+v"(y));                                                                    \
        }                                                                                                               \
        for (int i = 1; i < CHAINS; i++) acc[0] += acc[i];                                                              \
        w->sink = acc[0][0];                                                                                            \
        return 2.0 * (double)CHAINS * (lanes) * (double)STEPS;                                                          \
    }                                                                                                                   \
    __attribute__((target(features))) static double read##lanes(Work *w) {                                              \
        Vector##lanes acc[8] = {{0}};                                                                                   \
        for (int64_t t = 0; t < w->times; t++)                                                                          \
            for (int64_t i = 0; i < w->floats / 4; i += 4 * (lanes))                                                    \
                _Pragma("GCC unroll 16") for (int j = 0; j < 16; j++)                                                   \
                    acc[j % 8] += *(const Vector##lanes *)(w->data + i + (j / 4) * (w->floats / 4) + j % 4 * (lanes));  \
        for (int j = 1; j < 8; j++) acc[0] += acc[j];                                                                   \
        w->sink = acc[0][0];                                                                                            \
        return (double)w->times * (double)w->floats * 4;                                                                \
    }
WIDTH(8, "avx2,fma")
WIDTH(16, "avx512f")

static double copy(Work *w) {
    int64_t half = w->floats / 2;
    for (int64_t t = 0; t < w->times; t++) {
        memcpy(w->data + half, w->data, (size_t)half * 4);
        __asm__ volatile("" ::: "memory");
    }
    return (double)w->times * (double)half * 8;
}

static void *thread(void *argument) {
    Work *w = argument;
    for (int64_t i = 0; i < w->floats; i++) w->data[i] = 1e-9f; /* first touched by the thread that reads it */
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(w->together);
        double start = now();
        w->done = w->round(w);
        w->seconds = now() - start;
        pthread_barrier_wait(w->together); /* main reads the times between this barrier and the next */
        pthread_barrier_wait(w->together);
    }
    return NULL;
}

static int usage(void) {
    fputs("usage: peak fma 8|16 THREADS | peak read|copy BYTES THREADS\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    static Work works[MOST_THREADS];
    if (argc != 4) return usage();
    int64_t amount = atoll(argv[2]), threads = atoll(argv[3]);
    if (amount < 1 || threads < 1 || threads > MOST_THREADS) return usage();
    Work one = {.times = 1};
    int wide = __builtin_cpu_supports("avx512f");
    if (!strcmp(argv[1], "fma") && (amount == 8 || amount == 16)) one.round = amount == 16 ? fma16 : fma8;
    else if (!strcmp(argv[1], "read")) one.round = wide ? read16 : read8;
    else if (!strcmp(argv[1], "copy")) one.round = copy;
    else return usage();

    if (strcmp(argv[1], "fma")) {
        one.floats = (amount / 4 / threads + 511) / 512 * 512;
        one.times = 1 + ((int64_t)16 << 20) / (4 * one.floats * threads); /* a millisecond or so at least */
    }
    float *data = one.floats ? aligned_alloc(4096, (size_t)(4 * one.floats * threads + 4095) / 4096 * 4096) : NULL;
    if (one.floats && !data) return fputs("peak: out of memory\n", stderr), 4;
    pthread_barrier_t together;
    if (pthread_barrier_init(&together, NULL, (unsigned)threads + 1)) return 4;
    one.together = &together;
    for (int64_t i = 0; i < threads; i++) {
        works[i] = one;
        works[i].data = data ? data + i * one.floats : NULL;
        if (pthread_create(&works[i].thread, NULL, thread, &works[i])) return fputs("peak: no thread\n", stderr), 4;
    }
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double done = 0, slowest = 0;
        pthread_barrier_wait(&together);
        pthread_barrier_wait(&together);
        for (int64_t j = 0; j < threads; j++) {
            done += works[j].done;
            if (works[j].seconds > slowest) slowest = works[j].seconds;
        }
        if (done / slowest > best) best = done / slowest;
        pthread_barrier_wait(&together);
    }
    for (int64_t i = 0; i < threads; i++) pthread_join(works[i].thread, NULL);
    printf("%.2f\n", best * 1e-9);
    return 0;
}
