/* memory.c: contexts in memory of the caller, as small as query says. */
#include "host.h"
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

static uint64_t bytes_for(const ingot_model *m, const int64_t *sizes, ingot_tensor *outputs, uint32_t n) {
    ingot_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.size = sizeof plan, plan.outputs = outputs, plan.n_outputs = n;
    OK(m->query(m, 0, sizes, &plan, &host_error));
    return plan.context[INGOT_HOST];
}

/* A context in exactly `bytes` bytes that end at a page without access. */
static ingot_context *context_in(const ingot_model *m, uint64_t bytes, uint8_t **map, uint64_t *whole) {
    uint64_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
    ingot_options o = {.size = sizeof o};
    ingot_context *c;
    *whole = pages + 2 * PAGE;
    *map = mmap(NULL, *whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(*map != MAP_FAILED && !mprotect(*map + PAGE, pages, PROT_READ | PROT_WRITE) && bytes % 64 == 0);
    memset(*map + PAGE, 0xa5, pages);
    o.memory[INGOT_HOST].base = *map + PAGE + (pages - bytes);
    o.memory[INGOT_HOST].bytes = bytes;
    OK(m->create(m, &o, &c, &host_error));
    return c;
}

static void one_fewer(const ingot_model *m, uint64_t bytes, const int64_t *sizes) {
    ingot_options o = {.size = sizeof o};
    ingot_context *c = NULL;
    void *base = aligned_alloc(64, bytes);
    o.memory[INGOT_HOST].base = base;
    o.memory[INGOT_HOST].bytes = bytes - 1;
    ingot_status rc = m->create(m, &o, &c, &host_error);
    if (!rc) rc = m->reserve(c, 0, sizes, &host_error);
    REQUIRE(rc == INGOT_E_MEMORY);
    char expected[40];
    snprintf(expected, sizeof expected, "%llu", (unsigned long long)bytes);
    REQUIRE(strstr(host_error.text, expected) != NULL);
    free(base);
}

static void pair_once(const ingot_model *m, int64_t rows, int64_t cols, uint32_t *seed) {
    static Pair p;
    const int64_t sizes[2] = {rows, cols};
    const int64_t smaller[2] = {random_next(seed) % (rows + 1), 1 + random_next(seed) % cols};
    ingot_tensor outputs[3];
    uint8_t *map;
    uint64_t whole, bytes = bytes_for(m, sizes, outputs, 3);
    REQUIRE(bytes_for(m, smaller, NULL, 0) <= bytes);
    REQUIRE(outputs[0].bytes == (uint64_t)(rows * cols * 4) && outputs[2].bytes == (uint64_t)rows * 8 && outputs[1].rank == 2);
    ingot_context *c = context_in(m, bytes, &map, &whole);
    OK(m->reserve(c, 0, sizes, &host_error));
    pair_init(&p, rows, cols);
    OK(m->run(c, &p.call, &host_error));
    pair_check(&p);
    pair_init(&p, smaller[0], smaller[1]);
    OK(m->run(c, &p.call, &host_error));
    pair_check(&p);
    if (bytes < bytes_for(m, (const int64_t[2]){64, 32}, NULL, 0)) {
        pair_init(&p, 64, 32);
        REQUIRE(m->run(c, &p.call, &host_error) == INGOT_E_RESERVE);
    }
    m->destroy(c);
    munmap(map, whole);
    one_fewer(m, bytes, sizes);
}

int main(void) {
    const ingot_model *m = model_open("./libpair.so", NULL), *d = model_open("./libdigits.so", NULL);
    static float image[64 * DIGITS_IN], out[64 * DIGITS_OUT];
    uint32_t seed = 17;
    uint64_t last = 0, whole;
    for (int i = 0; i < 2000; i++) pair_once(m, random_next(&seed) % 65, 1 + random_next(&seed) % 32, &seed);
    for (int64_t n = 0; n <= 64; n += 8) {
        uint8_t *map;
        uint64_t bytes = bytes_for(d, &n, NULL, 0);
        REQUIRE(bytes >= last);
        ingot_context *c = context_in(d, last = bytes, &map, &whole);
        OK(d->reserve(c, 0, &n, &host_error));
        OK(digits_call(d, c, n, image, out, 0));
        d->destroy(c);
        munmap(map, whole);
        one_fewer(d, bytes, &n);
    }
    const int64_t beyond[2] = {65, 1};
    ingot_plan plan = {.size = sizeof plan};
    REQUIRE(m->query(m, 0, beyond, &plan, &host_error) == INGOT_E_SHAPE);
    REQUIRE(strcmp(host_error.text, "rows = 65, expected at most 64") == 0);
    printf("2000 sizes: what query says suffices, one byte fewer does not; digits at batch 64: %llu bytes\n",
           (unsigned long long)last);
    return 0;
}
