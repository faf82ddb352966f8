/* threads.c: who runs a model's kernels, and that it does not show in results. */
#include "host.h"
#include <sched.h>

enum { N = 37 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], out[N * DIGITS_OUT];
static int most;

static void serial(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    (void)user, (void)workers;
    most = n > most ? (int)n : most;
    for (int64_t i = 0; i < n; i++) task(arg, i, 0);
}
static void reversed(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    (void)user;
    for (int64_t i = n; i-- > 0;) task(arg, i, (int32_t)(i % workers));
}
static void shuffled(void *user, int64_t n, int32_t workers, ingot_task task, void *arg) {
    int64_t order[256];
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = random_next((uint32_t *)user) % (i + 1), t = order[i];
        order[i] = order[k], order[k] = t;
    }
    for (int64_t i = 0; i < n; i++) task(arg, order[i], workers - 1);
}

static void compare(const ingot_model *m, const ingot_parallel *p) {
    ingot_options o = {.size = sizeof o, .parallel = p};
    ingot_context *c;
    OK(m->create(m, &o, &c, &host_error));
    for (int32_t workers = 0; workers <= 7; workers++) {
        memset(out, 0xff, sizeof out);
        OK(digits_call(m, c, N, image, out, workers));
        REQUIRE(memcmp(out, expected, sizeof out) == 0);
    }
    m->destroy(c);
}

int main(void) {
    const ingot_model *plain = model_open("./libdigits.so", NULL), *m = model_open("./libpooled.so", NULL);
    uint32_t seed = 1;
    ingot_context *c;
    random_floats(image, N * DIGITS_IN, 11);
    REQUIRE(plain->pool_open == NULL && m->pool_open != NULL);
    OK(plain->create(plain, NULL, &c, &host_error));
    OK(digits_call(plain, c, N, image, expected, 0));
    plain->destroy(c);
    ingot_parallel p = {.size = sizeof p, .workers = 7, .user = &seed, .run = serial}, pool;
    compare(m, NULL);
    compare(m, &p);
    REQUIRE(most > 1); /* kernels were cut */
    p.run = reversed;
    compare(m, &p);
    p.run = shuffled;
    for (int i = 0; i < 20; i++) compare(m, &p);
    REQUIRE(threads_now() == 1);
    OK(m->pool_open(4, &pool, &host_error));
    REQUIRE(pool.workers == 4);
    cpu_set_t set; /* no more threads than CPUs; a quota may allow fewer */
    REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
    REQUIRE(threads_now() >= 1 && threads_now() <= (CPU_COUNT(&set) < 4 ? CPU_COUNT(&set) : 4));
    compare(m, &pool);
    m->pool_close(&pool);
    REQUIRE(threads_left(1));
    puts("one thread unless asked for; serial, reversed, shuffled and pooled runs have the same bits");
    return 0;
}
