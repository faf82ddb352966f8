/* weights.c: the same weights from everywhere, and others while the model runs. */
#include "host.h"
#include <pthread.h>

enum { N = 5, SWAPS = 2000, THREADS = 3 };
static float image[N * DIGITS_IN], expected[N * DIGITS_OUT], changed[N * DIGITS_OUT];
static const ingot_model *outside;
static ingot_weights *both[2];

static void *file_read(const char *path, uint64_t *bytes) {
    FILE *f = fopen(path, "rb");
    REQUIRE(f && !fseek(f, 0, SEEK_END));
    *bytes = (uint64_t)ftell(f);
    void *at = aligned_alloc(64, (*bytes + 63) & ~(uint64_t)63);
    rewind(f);
    REQUIRE(at && fread(at, 1, *bytes, f) == *bytes);
    fclose(f);
    return at;
}
static int32_t read_memory(void *user, uint64_t offset, void *to, uint64_t n) {
    return memcpy(to, (char *)user + offset, n), 0;
}
static int32_t read_nothing(void *user, uint64_t offset, void *to, uint64_t n) {
    return (void)user, (void)offset, (void)to, (void)n, 5;
}

static void run_with(const ingot_model *m, ingot_weights *w, const float *wanted) {
    ingot_options o = {.size = sizeof o, .weights = w};
    ingot_context *c;
    float out[N * DIGITS_OUT];
    OK(m->create(m, &o, &c, &host_error));
    if (w) m->weights_close(w); /* the context holds them */
    OK(digits_call(m, c, N, image, out, 0));
    REQUIRE(memcmp(out, wanted, sizeof out) == 0);
    m->destroy(c);
}

static ingot_weights *from(const ingot_model *m, ingot_source s) {
    ingot_weights *w;
    s.size = sizeof s;
    s.flags |= 1;
    OK(m->weights_open(m, &s, &w, &host_error));
    return w;
}

/* Runs while it swaps between its own runs; others do the same with the same weights. */
static void *load(void *arg) {
    uint32_t seed = *(uint32_t *)arg;
    ingot_error err;
    ingot_context *c;
    float out[N * DIGITS_OUT];
    ingot_options o = {.size = sizeof o, .weights = both[0]};
    REQUIRE(!outside->create(outside, &o, &c, &err));
    for (int i = 0; i < SWAPS; i++) {
        int which = random_next(&seed) & 1;
        REQUIRE(!outside->use_weights(c, both[which], &err));
        REQUIRE(!digits_call(outside, c, N, image, out, 0));
        REQUIRE(memcmp(out, which ? changed : expected, sizeof out) == 0);
    }
    outside->destroy(c);
    return NULL;
}

int main(void) {
    const ingot_model *embedded = model_open("./libdigits.so", NULL), *given = model_open("./libgiven.so", NULL);
    ingot_context *c;
    ingot_weights *w;
    uint64_t bytes;
    outside = model_open("./liboutside.so", NULL);
    random_floats(image, N * DIGITS_IN, 23);
    REQUIRE(!embedded->weights_open && outside->weights_open && given->weights_open);
    REQUIRE(memcmp(embedded->weights_sha256, outside->weights_sha256, 32) == 0);
    OK(embedded->create(embedded, NULL, &c, &host_error));
    OK(digits_call(embedded, c, N, image, expected, 0));
    embedded->destroy(c);
    void *blob = file_read("outside.weights", &bytes);
    run_with(outside, NULL, expected); /* beside the library */
    for (int i = 0; i < 2; i++) {
        const ingot_model *m = i ? given : outside;
        run_with(m, from(m, (ingot_source){.path = "outside.weights"}), expected);
        run_with(m, from(m, (ingot_source){.path = "outside.weights", .flags = 2}), expected);
        run_with(m, from(m, (ingot_source){.memory = {blob, bytes}}), expected);
        run_with(m, from(m, (ingot_source){.read = read_memory, .user = blob}), expected);
    }
    ingot_source bad = {.size = sizeof bad, .path = "damaged.weights", .flags = 1};
    REQUIRE(outside->weights_open(outside, &bad, &w, &host_error) == INGOT_E_WEIGHTS && !w &&
            strstr(host_error.text, "damaged.weights: the hash"));
    bad.path = "pair.graph";
    REQUIRE(outside->weights_open(outside, &bad, &w, &host_error) == INGOT_E_WEIGHTS &&
            strstr(host_error.text, "pair.graph: these are no weights"));
    bad.path = "nowhere";
    REQUIRE(outside->weights_open(outside, &bad, &w, &host_error) == INGOT_E_WEIGHTS &&
            strstr(host_error.text, "nowhere: cannot be opened"));
    bad.path = NULL, bad.read = read_nothing;
    REQUIRE(outside->weights_open(outside, &bad, &w, &host_error) == INGOT_E_WEIGHTS);
    REQUIRE(given->create(given, NULL, &c, &host_error) == INGOT_E_WEIGHTS && !c);
    /* others, under load */
    both[0] = from(outside, (ingot_source){.path = "outside.weights"});
    both[1] = from(outside, (ingot_source){.path = "other.weights"});
    ingot_options o = {.size = sizeof o, .weights = both[1]};
    OK(outside->create(outside, &o, &c, &host_error));
    OK(digits_call(outside, c, N, image, changed, 0));
    outside->destroy(c);
    REQUIRE(memcmp(changed, expected, sizeof changed) != 0);
    pthread_t thread[THREADS];
    uint32_t seed[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) seed[i] = i + 1, REQUIRE(!pthread_create(&thread[i], NULL, load, &seed[i]));
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    outside->weights_close(both[0]);
    outside->weights_close(both[1]);
    free(blob);
    printf("9 sources agree; %d swaps gave old or new results\n", SWAPS * THREADS);
    return 0;
}
