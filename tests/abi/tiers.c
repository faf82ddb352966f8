/* tiers.c: prints the answers of libraries (or, with LINKED, of digits linked statically), equal on each of their tiers. */
#include "host.h"
#ifdef LINKED
#include "digits.h"
#endif

enum { N = 8 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], out[N * DIGITS_OUT];
static int runs;

static void run_tiers(const ingot_model *m) {
    REQUIRE(INGOT_HAS(ingot_model, m, tiers) && m->n_tiers >= 1);
    for (uint32_t tier = 0; tier <= m->n_tiers + 1; tier++) { /* none asked for; each; one more than there are */
        ingot_options o = {.size = sizeof o, .tier = tier};
        ingot_context *c;
        OK(m->create(m, &o, &c, &host_error));
        for (int64_t n = 1; n <= N; n++) OK(digits_call(m, c, n, image, out, 1));
        if (!runs++) memcpy(expected, out, sizeof out);
        REQUIRE(memcmp(out, expected, sizeof out) == 0);
        m->destroy(c);
    }
}

int main(int argc, char **argv) {
    random_floats(image, N * DIGITS_IN, 13);
#ifdef LINKED
    (void)argc, (void)argv;
    run_tiers(digits_model());
#else
    for (int i = 1; i < argc; i++) run_tiers(model_open(argv[i], NULL));
#endif
    for (int i = 0; i < N * DIGITS_OUT; i++) {
        uint32_t bits;
        memcpy(&bits, &expected[i], sizeof bits);
        printf("%08x\n", bits);
    }
    return 0;
}
