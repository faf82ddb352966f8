/* crowded.c: more workers than CPUs: what a run costs the processor beside a run of one thread.  Not wall time: others on the
 * machine count little; the best of several rounds.  And the caller's CPU is its own. */
#include "host.h"
#include <sched.h>
#include <time.h>

enum { N = 64, RUNS = 200, ROUNDS = 7 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], out[N * DIGITS_OUT];

static double seconds(const ingot_model *m, ingot_context *c, const float *want) {
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec from, to;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (int i = 0; i < RUNS; i++) OK(digits_call(m, c, N, image, out, 0));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        double took = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        if (took < best) best = took;
        if (want) REQUIRE(memcmp(out, want, sizeof out) == 0);
    }
    return best;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
}

static double pooled(const ingot_model *m, int32_t workers, int pin_before, int pin_after) {
    cpu_set_t all;
    REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) first++;
    ingot_parallel pool;
    ingot_context *c;
    ingot_options o = {.size = sizeof o, .parallel = &pool};
    if (pin_before) pin(first);
    OK(m->pool_open(workers, &pool, &host_error));
    if (pin_after) pin(first); /* the caller alone: workers stay where they may */
    OK(m->create(m, &o, &c, &host_error));
    double took = seconds(m, c, expected);
    m->destroy(c);
    m->pool_close(&pool);
    REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
    return took;
}

typedef struct Closed { int cpu; int32_t found; } Closed;

static void look(void *arg, int64_t i, int32_t worker) {
    Closed *closed = arg;
    cpu_set_t set;
    (void)i;
    if (!worker || sched_getaffinity(0, sizeof set, &set) || !CPU_ISSET(closed->cpu, &set)) return;
    __atomic_store_n(&closed->found, 1, __ATOMIC_SEQ_CST);
}

/* Wherever the caller goes, its CPU is closed to the workers that take part. */
static void stay_apart(const ingot_model *m) {
    cpu_set_t all;
    REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    ingot_parallel pool;
    OK(m->pool_open(4, &pool, &host_error));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || CPU_COUNT(&all) < 2) continue;
        Closed closed = {.cpu = cpu};
        pin(cpu);
        for (int run = 0; run < RUNS; run++) pool.run(pool.user, pool.workers, pool.workers, look, &closed);
        REQUIRE(!closed.found);
        REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
    }
    m->pool_close(&pool);
}

int main(void) {
    const ingot_model *m = model_open("./libpooled.so", NULL);
    ingot_context *c;
    random_floats(image, N * DIGITS_IN, 11);
    OK(m->create(m, NULL, &c, &host_error));
    OK(digits_call(m, c, N, image, expected, 0));
    double alone = seconds(m, c, expected), one = pooled(m, 2, 1, 0), many = pooled(m, 64, 1, 0), late = pooled(m, 4, 0, 1);
    m->destroy(c);
    stay_apart(m);
    printf(
        "processor's time of %d runs: %.1f ms alone; on one CPU 2 workers %.2fx, 64 workers %.2fx; 4 workers, the caller "
        "pinned %.2fx\n",
        RUNS, 1e3 * alone, one / alone, many / alone, late / alone);
    REQUIRE(one < 2 * alone && many < 2 * alone);
    REQUIRE(late < 5 * alone); /* they may spin while they wait */
    return 0;
}
