/* reload.c: libraries come and go; processes fork. */
#include "host.h"
#include <sys/wait.h>
#include <unistd.h>

enum { N = 4 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT];

static void run_once(const ingot_model *m, const ingot_parallel *p) {
    float out[N * DIGITS_OUT];
    ingot_options o = {.size = sizeof o, .parallel = p};
    ingot_context *c;
    OK(m->create(m, &o, &c, &host_error));
    OK(digits_call(m, c, N, image, out, 0));
    if (expected[0] == 0) memcpy(expected, out, sizeof out);
    REQUIRE(memcmp(out, expected, sizeof out) == 0);
    m->destroy(c);
}

static void cycle(int i) {
    void *handle;
    const ingot_model *m = model_open(i % 2 ? "./libpooled.so" : "./libdigits.so", &handle);
    ingot_parallel pool = {0};
    if (m->pool_open) OK(m->pool_open(3, &pool, &host_error));
    run_once(m, m->pool_open ? &pool : NULL);
    if (m->pool_open) m->pool_close(&pool);
    dlclose(handle);
    REQUIRE(!dlopen(i % 2 ? "./libpooled.so" : "./libdigits.so", RTLD_NOW | RTLD_NOLOAD)); /* it is gone */
}

static void forked(const ingot_model *m, const ingot_parallel *p, ingot_context *c) {
    int status = -1;
    pid_t child = fork();
    if (!child) {
        float out[N * DIGITS_OUT];
        if (c) { /* the parent's context */
            OK(digits_call(m, c, N, image, out, 0));
            REQUIRE(memcmp(out, expected, sizeof out) == 0);
        }
        run_once(m, p);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
    random_floats(image, N * DIGITS_IN, 29);
    for (int i = 0; i < 500; i++) cycle(i); /* the allocator's and the loader's own lists settle */
    long before = private_pages();
    for (int i = 0; i < 1000; i++) cycle(i);
    long after = private_pages();
    REQUIRE(threads_left(1));
    if (after > before + 16) fprintf(stderr, "memory grew by %ld pages\n", after - before), exit(1);
    const ingot_model *plain = model_open("./libdigits.so", NULL), *m = model_open("./libpooled.so", NULL);
    ingot_parallel pool;
    ingot_context *c;
    OK(m->pool_open(3, &pool, &host_error));
    ingot_options o = {.size = sizeof o, .parallel = &pool};
    OK(m->create(m, &o, &c, &host_error));
    float out[N * DIGITS_OUT];
    OK(digits_call(m, c, N, image, out, 0));
    for (int i = 0; i < 20; i++) forked(plain, NULL, NULL), forked(m, &pool, c);
    OK(digits_call(m, c, N, image, out, 0));
    m->destroy(c);
    m->pool_close(&pool);
    printf("1000 reloads: %ld pages before, %ld after; 40 forked children ran\n", before, after);
    return 0;
}
