/* amx.c: libraries of digits in bf16 with the tier v4-amx, on that tier: the CPU's, or emulated (tests/unit/amx_emulator.h),
 * where it is put into the context behind the runtime's back.  The same bits for any batch and threads, near the other
 * tiers'. */
#define _GNU_SOURCE
#include "../unit/amx_emulator.h"
#include "host.h"
#include "ingot_frame.h"
#include <math.h>
#include <pthread.h>

enum { N = 40, TIER = 3, WORKERS = 3 };
static float image[N * DIGITS_IN], below[N * DIGITS_OUT], all[N * DIGITS_OUT], first[N * DIGITS_OUT];

/* A pool of the host's: the runtime's own blocks signals in its threads, and with them the emulator's. */
typedef struct Worker { pthread_t thread; int64_t n; int32_t id, workers; ingot_task task; void *arg; } Worker;

static void *work(void *arg) {
    Worker *w = arg;
    for (int64_t i = w->id; i < w->n; i += w->workers) w->task(w->arg, i, w->id);
    return NULL;
}

static void run_threads(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    Worker w[WORKERS];
    (void)user;
    for (int32_t i = 0; i < workers; i++) {
        w[i] = (Worker){.n = n, .id = i, .workers = workers, .task = task, .arg = arg};
        REQUIRE(pthread_create(&w[i].thread, NULL, work, &w[i]) == 0);
    }
    for (int32_t i = 0; i < workers; i++) REQUIRE(pthread_join(w[i].thread, NULL) == 0);
}

static ingot_context *open_tier(const ingot_model *m, int64_t tier, const ingot_parallel *p) {
    ingot_options o = {.size = sizeof o, .parallel = p, .tier = tier < TIER ? (uint32_t)tier + 1 : 0};
    ingot_context *c;
    OK(m->create(m, &o, &c, &host_error));
    c->tier = tier;
    return c;
}

static void run_tiles(const ingot_model *m, bool native, int known) {
    ingot_parallel pool = {.size = sizeof pool, .workers = WORKERS, .run = run_threads};
    REQUIRE(m->n_tiers == TIER + 1 && strcmp(m->tiers[TIER], "x86-64-v4-amx") == 0);
    ingot_context *c = open_tier(m, TIER - 1, NULL);
    OK(digits_call(m, c, N, image, below, 1));
    m->destroy(c);
    for (int threads = 0; threads < 2; threads++) {
        c = open_tier(m, TIER, threads ? &pool : NULL);
        static const int64_t batches[] = {N, 1, 15, 17, 33};
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            int64_t n = batches[b], from = n < N ? 5 : 0;
            uint64_t before = amx_count[0x5c];
            OK(digits_call(m, c, n, image + from * DIGITS_IN, n == N ? all : below, threads ? WORKERS : 1));
            REQUIRE(native || amx_count[0x5c] > before);
            if (n == N && !known++) {
                memcpy(first, all, sizeof first);
                for (int i = 0; i < N * DIGITS_OUT; i++) REQUIRE(fabsf(first[i] - below[i]) < 2e-2f * (1 + fabsf(below[i])));
                REQUIRE(memcmp(first, below, sizeof first) != 0); /* another order of sums */
            }
            REQUIRE(memcmp(n == N ? all : below, first + from * DIGITS_OUT, (size_t)(n * DIGITS_OUT) * sizeof(float)) == 0);
        }
        m->destroy(c);
    }
}

int main(int argc, char **argv) {
    bool native;
    if (!amx_prepare(&native)) return 77;
    random_floats(image, N * DIGITS_IN, 13);
    for (int i = 1; i < argc; i++) run_tiles(model_open(argv[i], NULL), native, i - 1);
    if (native) puts("native");
    return 0;
}
