/* donate.c: a library whose caches are donated beside the same model without: donate PLAIN DONATED. */
#include "host.h"

enum { CAPACITY = 300, BATCH = 2, HEADS = 4, LAYERS = 2, DEPTH = 16, WIDTH = HEADS * DEPTH, MOST_NEW = 33 };
enum { CACHE = LAYERS * BATCH * HEADS * CAPACITY * DEPTH };
static float caches[2][CACHE], before[2][CACHE], x[BATCH * MOST_NEW * WIDTH];

typedef struct Call { ingot_tensor in[4], out[3]; ingot_call call; } Call;

static void prepare(Call *c, int64_t new_, int64_t past, int64_t extent, float *k, float *v, int64_t *used) {
    const int64_t xs[3] = {BATCH, new_, WIDTH}, cache[5] = {LAYERS, BATCH, HEADS, extent, DEPTH};
    uint64_t bytes = (uint64_t)(LAYERS * BATCH * HEADS * extent * DEPTH) * 4;
    memset(c, 0, sizeof *c);
    *used = past;
    c->in[0] = tensor(x, sizeof x, INGOT_F32, 3, xs);
    c->in[1] = tensor(k, bytes, INGOT_F32, 5, cache);
    c->in[2] = tensor(v, bytes, INGOT_F32, 5, cache);
    c->in[3] = tensor(used, 8, INGOT_I64, 0, NULL);
    for (int i = 0; i < 3; i++) c->out[i].dtype = INGOT_F32;
    c->call = (ingot_call){.size = sizeof c->call, .n_inputs = 4, .n_outputs = 3, .inputs = c->in, .outputs = c->out};
}

/* The used part of a buffer against the whole of a dense cache. */
static void same_cache(const float *buffer, const float *dense, int64_t length) {
    for (int64_t i = 0; i < LAYERS * BATCH * HEADS; i++)
        REQUIRE(memcmp(buffer + i * CAPACITY * DEPTH, dense + i * length * DEPTH, (size_t)(length * DEPTH) * 4) == 0);
}

static int64_t steps(const ingot_model *plain, ingot_context *p, const ingot_model *donated, ingot_context *d) {
    float *k = malloc(sizeof caches[0]), *v = malloc(sizeof caches[0]);
    Call a, b;
    int64_t past = 0, used;
    for (uint32_t n = 0; past + MOST_NEW <= CAPACITY; n++) {
        int64_t new_ = n % 7 == 0 ? MOST_NEW : n % 5 == 0 ? 3 : 1, length = past + new_;
        random_floats(x, BATCH * new_ * WIDTH, n);
        prepare(&a, new_, past, past, k, v, &used), a.call.n_inputs = 3;
        OK(plain->run(p, &a.call, &host_error));
        prepare(&b, new_, past, CAPACITY, caches[0], caches[1], &used);
        if (n % 2) b.out[1].data = caches[0], b.out[1].bytes = sizeof caches[0]; /* or NULL */
        OK(donated->run(d, &b.call, &host_error));
        REQUIRE(b.out[1].data == caches[0] && b.out[2].data == caches[1] && b.out[1].dims[3] == CAPACITY);
        REQUIRE(memcmp(a.out[0].data, b.out[0].data, (size_t)(BATCH * new_ * WIDTH) * 4) == 0);
        same_cache(caches[0], a.out[1].data, length), same_cache(caches[1], a.out[2].data, length);
        size_t bytes = (size_t)(LAYERS * BATCH * HEADS * length * DEPTH) * 4;
        memcpy(k, a.out[1].data, bytes), memcpy(v, a.out[2].data, bytes);
        past = length;
    }
    free(k), free(v);
    return past;
}

/* Nothing is touched by a call that is refused. */
static void refused(const ingot_model *m, ingot_context *c, Call *call, ingot_status status, const char *text) {
    memcpy(before, caches, sizeof before);
    REQUIRE(m->run(c, &call->call, &host_error) == status);
    if (!strstr(host_error.text, text)) fprintf(stderr, "%s\n", host_error.text), exit(1);
    REQUIRE(memcmp(before, caches, sizeof before) == 0);
}

int main(int n, char **argv) {
    REQUIRE(n == 3);
    const ingot_model *plain = model_open(argv[1], NULL), *donated = model_open(argv[2], NULL);
    const ingot_entry *e = donated->entries[0];
    ingot_context *p, *d;
    ingot_parallel pool = {.size = sizeof pool};
    ingot_options options = {.size = sizeof options};
    REQUIRE(e->inputs[1]->flags == 2 && e->inputs[1]->alias == 1 && e->outputs[1]->flags == 2 && e->outputs[1]->alias == 1);
    REQUIRE(e->inputs[0]->flags == 0 && e->outputs[0]->alias == -1 && strcmp(e->inputs[3]->name, "past") == 0);
    if (donated->pool_open) {
        OK(donated->pool_open(2, &pool, &host_error));
        options.parallel = &pool;
    }
    OK(plain->create(plain, NULL, &p, &host_error));
    OK(donated->create(donated, &options, &d, &host_error));
    int64_t past = steps(plain, p, donated, d), used;
    Call call;
    prepare(&call, MOST_NEW, past, CAPACITY, caches[0], caches[1], &used);
    refused(donated, d, &call, INGOT_E_SHAPE, "no room in 'past_k' for what is appended (new+past <= past_capacity)");
    prepare(&call, 1, -1, CAPACITY, caches[0], caches[1], &used);
    refused(donated, d, &call, INGOT_E_SHAPE, "past");
    prepare(&call, 1, 5, CAPACITY, caches[0], caches[1], &used);
    call.out[1].data = before[0], call.out[1].bytes = sizeof before[0];
    refused(donated, d, &call, INGOT_E_ARG, "'k' must be NULL or lie where input 'past_k' does, which is donated to it");
    prepare(&call, 1, 5, CAPACITY, caches[0], caches[1], &used);
    call.out[0].data = caches[0], call.out[0].bytes = 4096;
    refused(donated, d, &call, INGOT_E_ARG, "'y' overlaps input number 1");
    prepare(&call, 1, 5, CAPACITY, caches[0], caches[1], &used);
    call.in[2].dims[3] = CAPACITY - 1;
    refused(donated, d, &call, INGOT_E_SHAPE, "past_capacity");
    plain->destroy(p), donated->destroy(d);
    if (donated->pool_open) donated->pool_close(&pool);
    return 0;
}
