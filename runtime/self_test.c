/* self_test.c: runs that the compiler made before, repeated: inputs by seed, and the hash of what came out then.
 *
 * Linked into artifacts that were compiled with self-tests.  The compiler computes the hashes with this very code.  No floating
 * point is used: elements are small multiples of 1/64, exact in every format but those of 8 bits, which get 0 or the smallest
 * subnormal.  NaNs count as one NaN.  Memory is the heap's, for the time of a test.
 * Source: splitmix64 (Vigna), FNV-1a.
 */
#include "ingot_frame.h"
#include <stdlib.h>
#include <string.h>

#define refuse ingot_rt_error

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Bits of a format's mantissa, and its exponent's bias; 0 where elements are integers, or as small as them. */
static int32_t mantissa_of(ingot_dtype t, int32_t *bias) {
    *bias = t == INGOT_F64 ? 1023 : t == INGOT_F16 ? 15 : 127;
    return t == INGOT_F64 ? 52 : t == INGOT_F32 ? 23 : t == INGOT_F16 ? 10 : t == INGOT_BF16 ? 7 : 0;
}

/* k / 64 for |k| < 128. */
static uint64_t float_bits(int32_t k, int32_t mantissa, int32_t bias, int32_t width) {
    uint64_t size = (uint64_t)(k < 0 ? -k : k), sign = k < 0;
    int32_t e = 0;
    if (!k) return 0;
    while (size >> (e + 1)) e++;
    uint64_t fraction = size << (mantissa - e) & ((UINT64_C(1) << mantissa) - 1);
    return sign << (width - 1) | (uint64_t)(bias + e - 6) << mantissa | fraction;
}

static void fill(ingot_tensor *t, uint64_t n, uint64_t width, uint64_t seed) {
    int32_t bias, mantissa = mantissa_of(t->dtype, &bias);
    uint8_t *at = (uint8_t *)t->data;
    for (; n--; at += width) {
        uint64_t bits = next_random(&seed);
        bits = mantissa ? float_bits((int32_t)(bits % 255) - 127, mantissa, bias, (int32_t)width * 8) : bits & 1;
        memcpy(at, &bits, width);
    }
}

static uint64_t hash_tensor(uint64_t h, const ingot_tensor *t, uint64_t width) {
    int32_t bias, mantissa = mantissa_of(t->dtype, &bias);
    uint64_t n = 1, sign = UINT64_C(1) << (width * 8 - 1), infinity = sign - (mantissa ? UINT64_C(1) << mantissa : 0);
    const uint8_t *at = (const uint8_t *)t->data;
    for (int32_t d = 0; d < t->rank; d++) {
        n *= (uint64_t)t->dims[d];
        h = (h ^ (uint64_t)t->dims[d]) * UINT64_C(0x100000001B3);
    }
    for (; n--; at += width) {
        uint64_t bits = 0;
        memcpy(&bits, at, width);
        if (mantissa && (bits & (sign - 1)) > infinity) bits = sign - 1;
        h = (h ^ bits) * UINT64_C(0x100000001B3);
        h ^= h >> 29;
    }
    return h;
}

/* Tensors over the memory; NULL: counts it alone. */
static uint64_t place(const ingot_rt_model *m, const ingot_rt_test *test, ingot_tensor *tensors, uint8_t *memory) {
    const int64_t *dims = test->dims;
    uint64_t used = 0;
    for (uint32_t k = 0; k < m->n_inputs + m->n_outputs; k++) {
        const ingot_tensor_info *info = m->tensors[k];
        uint64_t width = (info->dtype + 0x700) >> 11, n = 1, bytes;
        int input = k < m->n_inputs;
        for (int32_t d = 0; input && d < info->rank; d++) n *= (uint64_t)dims[d];
        bytes = input ? n * width : (uint64_t)test->output_bytes[k - m->n_inputs];
        if (memory) {
            ingot_tensor *t = &tensors[k];
            memset(t, 0, sizeof *t);
            t->data = memory + used;
            t->bytes = bytes;
            if (!input && info->alias >= 0) t->data = tensors[info->alias].data;
            t->dtype = info->dtype;
            t->rank = info->rank;
            for (int32_t d = 0; input && d < info->rank; d++) t->dims[d] = dims[d];
            if (input) fill(t, n, width, test->seed + k * UINT64_C(0xD1B54A32D192ED03));
        }
        if (input) dims += info->rank;
        used += (bytes + 127) & ~(uint64_t)63; /* empty tensors have memory of their own too */
    }
    for (uint32_t i = 0; memory && i < test->n_sets; i++) {
        const int64_t *set = test->sets + 3 * i;
        uint64_t width = (tensors[set[0]].dtype + 0x700) >> 11;
        memcpy((uint8_t *)tensors[set[0]].data + (uint64_t)set[1] * width, &set[2], width);
    }
    return used;
}

ingot_status ingot_rt_test_run(ingot_context *c, const ingot_rt_test *test, uint64_t *hash, ingot_error *err) {
    const ingot_rt_model *m = c->m;
    uint64_t bytes = place(m, test, NULL, NULL), n = m->n_inputs + m->n_outputs;
    uint8_t *memory = (uint8_t *)malloc(n * sizeof(ingot_tensor) + bytes + 63);
    if (!memory) return refuse(err, "\010a self-test needs %d bytes of memory", NULL, (int64_t)bytes, 0, 0);
    uint8_t *data = (uint8_t *)(((uintptr_t)memory + n * sizeof(ingot_tensor) + 63) & ~(uintptr_t)63);
    ingot_tensor *tensors = (ingot_tensor *)(void *)memory;
    ingot_call call;
    place(m, test, tensors, data);
    memset(&call, 0, sizeof call);
    call.size = sizeof call;
    call.n_inputs = m->n_inputs;
    call.n_outputs = m->n_outputs;
    call.inputs = tensors;
    call.outputs = tensors + m->n_inputs;
    ingot_status rc = ingot_rt_run(c, &call, err);
    *hash = UINT64_C(0xCBF29CE484222325);
    for (uint32_t k = m->n_inputs; !rc && k < n; k++) *hash = hash_tensor(*hash, &tensors[k], (tensors[k].dtype + 0x700) >> 11);
    free(memory);
    return rc;
}

ingot_status ingot_rt_self_test(ingot_context *c, ingot_error *err) {
    const ingot_rt_model *m = c->m;
    for (uint32_t i = 0; i < m->n_tests; i++) {
        uint64_t hash;
        ingot_status rc = ingot_rt_test_run(c, &m->tests[i], &hash, err);
        if (rc) return rc;
        if (hash != m->tests[i].hash)
            return refuse(err, "\022self-test %d of %d: the outputs are not those of the compiler's run; are library, "
                               "weights and memory intact?",
                          NULL, (int64_t)i + 1, m->n_tests, 0);
    }
    return INGOT_OK;
}
#undef refuse
