/* errors.c: one wrong call after the other. */
#include "host.h"
#include "pair.h"

static Pair p;
static const ingot_model *m;
static ingot_context *c;
static int cases;

static void filled(float with) {
    for (int i = 0; i < 64 * 32; i++) p.soft[i] = p.rows_of[i] = with;
    for (int i = 0; i < 64; i++) p.places[i] = -7;
}

/* words: what the text must contain, by '|'. */
static void expect(ingot_status code, const char *words, int before_running) {
    ingot_error err;
    char copy[200];
    memset(&err, 0xff, sizeof err);
    filled(-5);
    ingot_status rc = m->run(c, &p.call, &err);
    if (rc != code || err.code != code) fprintf(stderr, "status %d, expected %d: %s\n", rc, code, rc ? err.text : ""), exit(1);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok(copy, "|"); w; w = strtok(NULL, "|"))
        if (!strstr(err.text, w)) fprintf(stderr, "'%s' lacks '%s'\n", err.text, w), exit(1);
    for (int i = 0; before_running && i < 64 * 32; i++)
        REQUIRE(p.soft[i] == -5 && p.rows_of[i] == -5 && p.places[i % 64] == -7);
    REQUIRE(m->run(c, &p.call, NULL) == code); /* nobody has to take the text */
    cases++;
    pair_init(&p, 9, 5);
    OK(m->run(c, &p.call, &host_error)); /* the context still works */
    pair_check(&p);
}
#define CASE(change, code, words) (pair_init(&p, 9, 5), (void)(change), expect(code, words, 1))

static void wrong_calls(void) {
    CASE(p.in[0].dtype = INGOT_F64, INGOT_E_DTYPE, "'class'|16386|8194");
    CASE(p.out[1].dtype = INGOT_I8, INGOT_E_DTYPE, "'input_0'|2048|8194");
    CASE(p.in[1].rank = 2, INGOT_E_SHAPE, "'input:0'|rank 2|expected 1");
    CASE(p.in[1].dims[0] = 6, INGOT_E_SHAPE, "'input:0'|found 6|expected 5");
    CASE(p.in[2].dims[0] = 8, INGOT_E_SHAPE, "'a.b'|found 8|expected 9");
    CASE((p.in[0].dims[0] = p.in[2].dims[0] = 65, p.in[0].bytes = p.in[2].bytes = 1 << 20), INGOT_E_SHAPE,
         "'class'|rows|found 65|at most 64");
    CASE((p.in[0].dims[1] = p.in[1].dims[0] = 0), INGOT_E_SHAPE, "'class'|cols|found 0|at least 1");
    CASE(p.in[0].dims[1] = -1, INGOT_E_SHAPE, "'class'|-1|axis 1");
    CASE(p.in[0].dims[0] = INT64_MAX, INGOT_E_SHAPE, "'class'|9223372036854775807|axis 0");
    CASE((p.in[0].strides[0] = 6, p.in[0].strides[1] = 1), INGOT_E_ARG, "'class'|strides|dense");
    CASE(p.in[0].bytes = 179, INGOT_E_SHORT, "'class'|179|180");
    CASE(p.in[2].data = NULL, INGOT_E_SHORT, "'a.b'|0 bytes|72");
    CASE(p.in[0].data = (char *)p.class_ + 2, INGOT_E_ALIGN, "'class'|4 bytes");
    CASE(p.in[0].device = 2, INGOT_E_DEVICE, "'class'|device 2|CPU");
    CASE(p.out[0].data = p.class_, INGOT_E_ARG, "'a_b'|overlaps|input number 0");
    CASE(p.out[0].bytes = 179, INGOT_E_SHORT, "'a_b'|179|180");
    CASE(p.call.n_inputs = 2, INGOT_E_ARG, "2 inputs|expected 3");
    CASE(p.call.entry = 1, INGOT_E_ARG, "entry 0");
    CASE(p.call.size = 8, INGOT_E_ABI, "8|80");
    /* found while running: outputs are unspecified */
    pair_init(&p, 9, 5), p.index[4] = 9, expect(INGOT_E_INDEX, "position 4|found 9|limit 9", 0);
    pair_init(&p, 9, 5), p.index[0] = -10, expect(INGOT_E_INDEX, "position 0|found -10|limit 9", 0);
    pair_init(&p, 9, 5), p.out[2].bytes = 8, expect(INGOT_E_SHORT, "'places'|8 bytes|64", 0);
}

static void dims_of_short_outputs(void) {
    pair_init(&p, 9, 5);
    p.out[2].bytes = 8;
    REQUIRE(m->run(c, &p.call, NULL) == INGOT_E_SHORT);
    REQUIRE(p.out[2].rank == 2 && p.out[2].dims[0] == 1 && p.out[2].dims[1] == 8 && p.out[0].dims[0] == 9 &&
            p.out[0].dims[1] == 5);
    pair_init(&p, 9, 5);
    p.out[0].bytes = 8;
    REQUIRE(m->run(c, &p.call, NULL) == INGOT_E_SHORT && p.out[0].dims[0] == 9 && p.out[1].dims[1] == 5);
    for (int64_t rows = 0; rows <= 64; rows += 3) { /* lent, and lent again, though memory grows */
        pair_init(&p, rows, 5);
        for (int i = 0; i < 3; i++) p.out[i].data = NULL;
        OK(m->run(c, &p.call, &host_error));
        pair_check(&p);
        REQUIRE(p.out[2].bytes == (uint64_t)(p.out[2].dims[1] * 8) && (rows == 0 || p.out[0].data != p.soft));
        OK(m->run(c, &p.call, &host_error)); /* what was lent is taken as lent */
        pair_check(&p);
    }
}

/* Other functions than run. */
static void wrong_contexts(void) {
    ingot_context *x = (ingot_context *)&p;
    ingot_options o = {.size = 4};
    const int64_t beyond[2] = {1, 33};
    REQUIRE(m->create(m, &o, &x, &host_error) == INGOT_E_ABI && !x && strstr(host_error.text, "4, expected 96"));
    o.size = sizeof o, o.device = 2;
    REQUIRE(m->create(m, &o, &x, &host_error) == INGOT_E_DEVICE && !x && strstr(host_error.text, "device 2"));
    o.device = 0, o.memory[0].base = (char *)p.soft + 4, o.memory[0].bytes = sizeof p.soft;
    REQUIRE(m->create(m, &o, &x, &host_error) == INGOT_E_ALIGN && !x);
    REQUIRE(m->reserve(c, 0, beyond, &host_error) == INGOT_E_SHAPE &&
            strcmp(host_error.text, "cols = 33, expected at most 32") == 0);
    REQUIRE(m->reserve(c, 1, beyond, &host_error) == INGOT_E_ARG);
}

int main(void) {
    m = model_open("./libpair.so", NULL);
    OK(m->create(m, NULL, &c, &host_error));
    wrong_calls();
    dims_of_short_outputs();
    wrong_contexts();
    m->destroy(c);
    m->destroy(NULL);
    printf("%d wrong calls told\n", cases);
    return 0;
}
