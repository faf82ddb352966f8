/* profile.c: a library with a profile tells its observer every launch, with work that follows from the sizes; others lack
 * it. */
#include "host.h"

enum { N = 5 };
typedef struct Seen { const ingot_model *m; int64_t n; uint32_t launches; uint64_t last; int64_t flops, weights; } Seen;

static void seen(void *user, const ingot_launch *l) {
    Seen *s = user;
    REQUIRE(l->size >= sizeof *l && l->kernel < s->m->n_kernels && l->kernel == s->launches);
    REQUIRE(l->begin_ns >= s->last && l->end_ns >= l->begin_ns);
    REQUIRE(l->read > 0 && l->written > 0 && l->flops >= 0 && l->weights >= 0 && l->weights <= l->read);
    const ingot_kernel *k = s->m->kernels[l->kernel];
    REQUIRE(k->size >= sizeof *k && *k->nodes && *k->kind && *k->function);
    if (strstr(k->nodes, "'conv2'")) { /* 8 x 8 x 32 of 3 x 3 x 16, a bias, and a maximum with 0 */
        REQUIRE(strcmp(k->kind, "convolution") == 0);
        REQUIRE(l->flops == s->n * 8 * 8 * 32 * (2 * 3 * 3 * 16 + 2));
        REQUIRE(l->weights == 4 * (3 * 3 * 16 * 32 + 32) && l->read == l->weights + s->n * 8 * 8 * 16 * 4);
        REQUIRE(l->written == s->n * 8 * 8 * 32 * 4);
    }
    s->launches++, s->last = l->end_ns;
    s->flops += l->flops, s->weights += l->weights;
}

static void runs(const ingot_model *m, const ingot_parallel *pool, const ingot_model *plain) {
    static float image[2 * N * DIGITS_IN], out[2 * N * DIGITS_OUT], expected[2 * N * DIGITS_OUT];
    ingot_options o = {.size = sizeof o, .parallel = pool};
    ingot_context *c, *other;
    Seen s = {.m = m, .n = N};
    random_floats(image, 2 * N * DIGITS_IN, 7);
    OK(plain->create(plain, NULL, &other, &host_error));
    OK(digits_call(plain, other, 2 * N, image, expected, 0));
    OK(m->create(m, &o, &c, &host_error));
    OK(digits_call(m, c, N, image, out, 0));
    m->observe(c, seen, &s);
    OK(digits_call(m, c, N, image, out, 0));
    REQUIRE(s.launches == m->n_kernels && s.flops > 0 && s.weights > 0);
    REQUIRE(memcmp(out, expected, N * DIGITS_OUT * sizeof *out) == 0);
    Seen twice = {.m = m, .n = 2 * N, .last = s.last};
    m->observe(c, seen, &twice);
    OK(digits_call(m, c, 2 * N, image, out, 0));
    REQUIRE(twice.flops == 2 * s.flops && twice.weights == s.weights);
    REQUIRE(memcmp(out, expected, sizeof out) == 0);
    m->observe(c, NULL, NULL);
    OK(digits_call(m, c, N, image, out, 0));
    REQUIRE(twice.launches == m->n_kernels);
    m->destroy(c);
    plain->destroy(other);
}

int main(void) {
    const ingot_model *plain = model_open("./libdigits.so", NULL);
    static const char *const profiled[] = {"./libseen.so", "./libseen_pooled.so", "./libseen_c.so"};
    REQUIRE(plain->abi == 0x00010001u && !INGOT_HAS(ingot_model, plain, observe));
    for (size_t i = 0; i < sizeof profiled / sizeof *profiled; i++) {
        const ingot_model *m = model_open(profiled[i], NULL);
        ingot_parallel pool = {.size = sizeof pool};
        REQUIRE(m->abi == INGOT_ABI && INGOT_HAS(ingot_model, m, observe) && m->observe && m->n_kernels > 5);
        if (m->pool_open) OK(m->pool_open(2, &pool, &host_error));
        runs(m, m->pool_open ? &pool : NULL, plain);
        if (m->pool_open) m->pool_close(&pool);
    }
    return 0;
}
