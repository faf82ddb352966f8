/* parallel.c: a host's own parallel_for beside the pool of the artifact: two threads, the same model, in turns.  Prints the
 * ratio of the best times, 5 % apart at most where nothing else runs, and how often threads of the pool slept in the best
 * round, never where nothing else runs (each sleep is a wake-up); asserted is that both give the bits of one thread. */
#include "host.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

enum { N = 512, RUNS = 20, ROUNDS = 25, SECONDS = 10, SPINS = 1 << 14 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], out[N * DIGITS_OUT];

/* The least that a host may have: another thread, which takes the odd indices. */
typedef struct Pair2 { int64_t n, turn, done, stop; ingot_task task; void *arg; } Pair2;
static Pair2 pair_of_threads;

/* Threads that share a CPU get on only where those that wait make room. */
static void wait_a_little(int64_t *spins) {
    if (++*spins % SPINS == 0) sched_yield();
}
static void odd(Pair2 *p) {
    for (int64_t i = 1; i < p->n; i += 2) p->task(p->arg, i, 1);
}
static void *other_main(void *arg) {
    Pair2 *p = arg;
    for (int64_t seen = 0, spins = 0, now; !__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE);) {
        if ((now = __atomic_load_n(&p->turn, __ATOMIC_ACQUIRE)) == seen) {
            wait_a_little(&spins);
            continue;
        }
        odd(p);
        __atomic_store_n(&p->done, seen = now, __ATOMIC_RELEASE);
    }
    return NULL;
}
static void run_pair(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Pair2 *p = user;
    int64_t turn = p->turn + 1, spins = 0;
    p->n = n, p->task = task, p->arg = arg;
    REQUIRE(workers == 2);
    __atomic_store_n(&p->turn, turn, __ATOMIC_RELEASE);
    for (int64_t i = 0; i < n; i += 2) task(arg, i, 0);
    while (__atomic_load_n(&p->done, __ATOMIC_ACQUIRE) != turn) wait_a_little(&spins);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static long sleeps(void) {
    struct rusage used;
    REQUIRE(getrusage(RUSAGE_SELF, &used) == 0);
    return used.ru_nvcsw;
}
static double seconds(const ingot_model *m, ingot_context *c, long *fewest) {
    OK(digits_call(m, c, N, image, out, 0)); /* wakes whoever slept meanwhile */
    long before = sleeps();
    double from = now();
    for (int i = 0; i < RUNS; i++) OK(digits_call(m, c, N, image, out, 0));
    double took = now() - from;
    if (sleeps() - before < *fewest) *fewest = sleeps() - before;
    REQUIRE(memcmp(out, expected, sizeof out) == 0);
    return took / RUNS;
}

int main(void) {
    const ingot_model *m = model_open("./libpooled.so", NULL);
    ingot_parallel pool, host = {.size = sizeof host, .workers = 2, .user = &pair_of_threads, .run = run_pair};
    ingot_context *c[3];
    double best[3] = {1, 1, 1};
    long fewest[3] = {LONG_MAX, LONG_MAX, LONG_MAX};
    pthread_t other;
    random_floats(image, N * DIGITS_IN, 11);
    OK(m->create(m, NULL, &c[0], &host_error));
    OK(digits_call(m, c[0], N, image, expected, 0));
    OK(m->pool_open(2, &pool, &host_error));
    OK(m->create(m, &(ingot_options){.size = sizeof(ingot_options), .parallel = &pool}, &c[1], &host_error));
    OK(m->create(m, &(ingot_options){.size = sizeof(ingot_options), .parallel = &host}, &c[2], &host_error));
    double begin = now(); /* a busy machine has fewer rounds */
    for (int round = 0; round < ROUNDS && (round == 0 || now() - begin < SECONDS); round++) {
        for (int k = 0; k < 3; k++) {
            if (k == 2) REQUIRE(pthread_create(&other, NULL, other_main, &pair_of_threads) == 0);
            double took = seconds(m, c[k], &fewest[k]);
            if (k == 2) __atomic_store_n(&pair_of_threads.stop, 1, __ATOMIC_RELEASE), pthread_join(other, NULL);
            pair_of_threads.stop = pair_of_threads.turn = pair_of_threads.done = 0;
            if (took < best[k]) best[k] = took;
        }
    }
    for (int k = 0; k < 3; k++) m->destroy(c[k]);
    m->pool_close(&pool);
    printf(
        "digits, %d images: one thread %.1f us, pool of two %.2fx as fast, a host's two threads %.2fx; host against pool "
        "%.3f; sleeps of the pool in %d runs: %ld\n",
        N, 1e6 * best[0], best[0] / best[1], best[0] / best[2], best[2] / best[1], RUNS, fewest[1]);
    return 0;
}
