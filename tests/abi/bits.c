/* bits.c: one answer per row, whatever computes it. */
#include "host.h"

enum { N = 8, PLAIN = 0x1f80, ODD = 0xffc0 }; /* flush to zero, denormals are zero, round towards zero */
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], out[N * DIGITS_OUT];

static uint32_t mode_get(void) {
    uint32_t mode = 0;
#if defined(__x86_64__)
    __asm__ volatile("stmxcsr %0" : "=m"(mode));
#endif
    return mode;
}
static void mode_set(uint32_t mode) {
#if defined(__x86_64__)
    __asm__ volatile("ldmxcsr %0" : : "m"(mode));
#else
    (void)mode;
#endif
}

int main(int argc, char **argv) {
    int compared = 0, tiers = 0;
    uint32_t most = 0;
    random_floats(image, N * DIGITS_IN, 13);
    for (int i = 0; i < DIGITS_IN; i++) image[i] = i % 3 ? 1e-40f * (float)i : image[i]; /* denormals */
    for (int k = 1; k < argc; k++) {
        const ingot_model *m = model_open(argv[k], NULL);
        most = m->n_tiers > most ? m->n_tiers : most;
    }
    for (uint32_t a = 0; a < (uint32_t)(argc - 1) * most; a++) {
        const ingot_model *m = model_open(argv[1 + a / most], NULL);
        ingot_parallel pool;
        ingot_context *c;
        if (a % most >= m->n_tiers) continue;
        OK(m->pool_open(4, &pool, &host_error));
        ingot_options o = {.size = sizeof o, .parallel = &pool, .tier = a % most + 1}; /* no better than this one */
        OK(m->create(m, &o, &c, &host_error));
        tiers++;
        for (int32_t workers = 1; workers <= 4; workers *= 2) {
            for (uint32_t mode = PLAIN;; mode = ODD) {
                mode_set(mode);
                ingot_status rc = digits_call(m, c, N, image, out, workers);
                REQUIRE(mode_get() == (mode_get() & ~0xffc0u) + (mode & 0xffc0u));
                mode_set(PLAIN);
                OK(rc);
                if (!compared++) memcpy(expected, out, sizeof out);
                REQUIRE(memcmp(out, expected, sizeof out) == 0);
                if (mode == ODD) break;
            }
            for (int i = 0; i < N; i++) { /* a row alone */
                OK(digits_call(m, c, 1, image + i * DIGITS_IN, out, workers));
                REQUIRE(memcmp(out, expected + i * DIGITS_OUT, DIGITS_OUT * sizeof *out) == 0);
            }
        }
        m->destroy(c);
        m->pool_close(&pool);
    }
    printf("%d runs of %d libraries on %d tiers with the same bits\n", compared, argc - 1, tiers);
    return 0;
}
