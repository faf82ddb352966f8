/* machine.c: what this machine can do, measured now: the bounds that a profile holds kernels against.
 *
 * FMA peak: chains of multiply-adds in registers on all threads.  Bandwidth: reading a buffer again and again in four
 * streams, so that a size that fits a cache gives that cache's bandwidth.  Threads start a round together, each by its own
 * processor time; a round is as slow as its slowest thread, and the best of the rounds counts, so that a busy machine harms
 * little.
 * Source: bench/peak.c, where the lengths of chains and streams were tried.
 */
#define _GNU_SOURCE
#include "command.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, STEPS = 100000, ROUNDS = 12, STREAMS = 4, BLOCK = 512 /* floats */ };

typedef struct Work Work;
struct Work {
    double (*round)(Work *); /* does it, returns FLOPs or bytes */
    float *data;
    int64_t floats, times;   /* of this thread; over them, a round */
    volatile float sink;
    double done, seconds;    /* the last round */
    struct Crew *crew;
    pthread_t thread;
};
typedef struct Crew {
    pthread_mutex_t gate;    /* closed until all threads are there, or one was refused */
    pthread_barrier_t together;
    bool complete;
} Crew;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__x86_64__)
#define VECTOR_ROUNDS(lanes, features, V, set, fmadd, add, load)                                                       \
    __attribute__((target(features))) static double fma##lanes(Work *w) {                                              \
        V acc[CHAINS], x = set(0.5f), y = set(1e-9f);                                                                  \
        float out[lanes];                                                                                              \
        for (int i = 0; i < CHAINS; i++) acc[i] = set((float)i);                                                       \
        for (int step = 0; step < STEPS; step++) {                                                                     \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = fmadd(acc[i], x, y);                    \
            __asm__ volatile("" : "+v"(x), "+v"(y));                                                                   \
        }                                                                                                              \
        for (int i = 1; i < CHAINS; i++) acc[0] = add(acc[0], acc[i]);                                                 \
        memcpy(out, &acc[0], sizeof out);                                                                              \
        w->sink = out[0];                                                                                              \
        return 2.0 * (double)CHAINS * (lanes) * (double)STEPS;                                                         \
    }                                                                                                                  \
    __attribute__((target(features))) static double read##lanes(Work *w) {                                             \
        V acc[8];                                                                                                      \
        float out[lanes];                                                                                              \
        int64_t stream = w->floats / STREAMS;                                                                          \
        for (int j = 0; j < 8; j++) acc[j] = set(0);                                                                   \
        for (int64_t t = 0; t < w->times; t++)                                                                         \
            for (int64_t i = 0; i < stream; i += 4 * (lanes))                                                          \
                _Pragma("GCC unroll 16") for (int j = 0; j < 16; j++)                                                  \
                    acc[j % 8] = add(acc[j % 8], load(w->data + i + j / 4 * stream + j % 4 * (lanes)));                \
        for (int j = 1; j < 8; j++) acc[0] = add(acc[0], acc[j]);                                                      \
        memcpy(out, &acc[0], sizeof out);                                                                              \
        w->sink = out[0];                                                                                              \
        return (double)w->times * (double)w->floats * sizeof(float);                                                   \
    }
VECTOR_ROUNDS(8, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_load_ps)
VECTOR_ROUNDS(16, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_load_ps)
#endif

/* For machines without these vectors: what the compiler makes of it. */
static double fma_plain(Work *w) {
    float acc[CHAINS] = {0}, x = 0.5f, y = 1e-9f;
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * x + y;
    for (int i = 1; i < CHAINS; i++) acc[0] += acc[i];
    w->sink = acc[0];
    return 2.0 * (double)CHAINS * (double)STEPS;
}
static double read_plain(Work *w) {
    float acc[8] = {0};
    for (int64_t t = 0; t < w->times; t++)
        for (int64_t i = 0; i < w->floats; i++) acc[i % 8] += w->data[i];
    w->sink = acc[0] + acc[7];
    return (double)w->times * (double)w->floats * sizeof(float);
}

typedef struct Rounds { double (*fma)(Work *), (*read)(Work *); } Rounds;
static Rounds rounds_here(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return (Rounds){fma16, read16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (Rounds){fma8, read8};
#endif
    return (Rounds){fma_plain, read_plain};
}

static void *work_thread(void *argument) {
    Work *w = argument;
    pthread_mutex_lock(&w->crew->gate);
    pthread_mutex_unlock(&w->crew->gate);
    if (!w->crew->complete) return NULL;
    for (int64_t i = 0; i < w->floats; i++) w->data[i] = 1e-9f; /* first touched by the thread that reads it */
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&w->crew->together);
        double start = seconds();
        w->done = w->round(w);
        w->seconds = seconds() - start;
        pthread_barrier_wait(&w->crew->together); /* the caller reads the times between this barrier and the next */
        pthread_barrier_wait(&w->crew->together);
    }
    return NULL;
}

/* Per second on n threads that are all there; as many of works were started. */
static double best_round(Work *works, int n, pthread_barrier_t *together) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double done = 0, slowest = 1e-9;
        pthread_barrier_wait(together);
        pthread_barrier_wait(together);
        for (int k = 0; k < n; k++) {
            done += works[k].done;
            if (works[k].seconds > slowest) slowest = works[k].seconds;
        }
        if (done / slowest > best) best = done / slowest;
        pthread_barrier_wait(together);
    }
    return best;
}

/* Per second; 0 where a thread is refused. */
static double run_crew(Work *works, int threads) {
    Crew crew = {.complete = false};
    double best = 0;
    int n = 0;
    if (pthread_mutex_init(&crew.gate, NULL)) return 0;
    if (!pthread_barrier_init(&crew.together, NULL, (unsigned)threads + 1)) {
        pthread_mutex_lock(&crew.gate);
        for (; n < threads; n++) {
            works[n].crew = &crew;
            if (pthread_create(&works[n].thread, NULL, work_thread, &works[n])) break;
        }
        crew.complete = n == threads;
        pthread_mutex_unlock(&crew.gate);
        if (crew.complete) best = best_round(works, threads, &crew.together);
        for (int i = 0; i < n; i++) pthread_join(works[i].thread, NULL);
        pthread_barrier_destroy(&crew.together);
    }
    pthread_mutex_destroy(&crew.gate);
    return best;
}

/* Each thread runs a copy of `one` over its share of the memory; 0 where there is none. */
static double measure(Work one, int threads) {
    Work *works = calloc((size_t)threads, sizeof *works);
    size_t bytes = (size_t)one.floats * sizeof(float) * (size_t)threads;
    float *data = bytes ? aligned_alloc(64, bytes) : NULL;
    double best = 0;
    for (int i = 0; works && i < threads; i++) works[i] = one, works[i].data = data ? data + i * one.floats : NULL;
    if (works && (data || !bytes)) best = run_crew(works, threads);
    free(works);
    free(data);
    return best;
}

double machine_flops(Machine *m) {
    if (m->flops <= 0) m->flops = measure((Work){.round = rounds_here().fma, .times = 1}, m->threads);
    return m->flops;
}

/* Of a buffer of 2^k bytes, on all threads together. */
static double bandwidth_at(Machine *m, int k) {
    int64_t each = ((INT64_C(1) << k) / (int64_t)sizeof(float) / m->threads + BLOCK - 1) / BLOCK * BLOCK;
    Work one = {.round = rounds_here().read, .floats = each, .times = 1 + (INT64_C(8) << 20) / (4 * each * m->threads)};
    if (m->read[k] <= 0) m->read[k] = measure(one, m->threads);
    return m->read[k];
}

double machine_bandwidth(Machine *m, double bytes) {
    int k = LEAST_SIZE;
    while (k < MOST_SIZE && bytes >= (double)(INT64_C(2) << k)) k++;
    double low = (double)(INT64_C(1) << k), part = bytes > low ? (bytes - low) / low : 0;
    if (k == MOST_SIZE || part <= 0) return bandwidth_at(m, k);
    return bandwidth_at(m, k) * (1 - part) + bandwidth_at(m, k + 1) * part;
}
