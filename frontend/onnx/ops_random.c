/* ops_random.c: RandomUniform, RandomNormal, Bernoulli, Multinomial; Dropout's mask comes from here too.
 *
 * Numbers are a hash of the element's position and a seed: attribute `seed`, or the node's output name.  A compiled model
 * is a function: every run, and every step of a loop, draws the same numbers.  Source of the hash: Steele, Lea & Flood,
 * "Fast splittable pseudorandom number generators" (2014).
 */
#include "onnx.h"
#include <string.h>

static Val word(Call *c, uint64_t k) { return b_splat(c->g, c->loc, DT_u64, (Scalar){.u = k}, 0, NULL); }

static uint64_t seed_of(Call *c) {
    const OnnxAttr *a = find_attr(c, "seed");
    uint64_t bits = 0;
    if (a)
        memcpy(&bits, &a->f, sizeof a->f);
    else if (c->node->n_out)
        bits = hash_bytes(c->node->out[0], strlen(c->node->out[0]), 0);
    return bits;
}

/* z ^= z >> shift; z *= k. */
static Val stir(Call *c, Val z, unsigned shift, uint64_t k) {
    return ew2(c, OP_mul, ew2(c, OP_xor, z, ew2(c, OP_shr, z, word(c, shift))), word(c, k));
}

Val random_uniform(Call *c, const Dims *d, uint32_t stream) {
    Val i = iota(c, DT_u64, dim_product(c->cx, d->at, d->n));
    Val z =
        ew2(c, OP_mul, ew2(c, OP_add, i, word(c, seed_of(c) * 2 + stream + 1)), word(c, UINT64_C(0x9E3779B97F4A7C15)));
    z = stir(c, stir(c, z, 30, UINT64_C(0xBF58476D1CE4E5B9)), 27, UINT64_C(0x94D049BB133111EB));
    z = ew2(c, OP_shr, ew2(c, OP_xor, z, ew2(c, OP_shr, z, word(c, 31))), word(c, 40));
    return shaped(c, ew2(c, OP_mul, to(c, z, DT_f32), numt(c, DT_f32, 0x1p-24)), d);
}

/* Box and Muller: sqrt(-2 ln(1 - u)) cos(2 pi v). */
static Val normal(Call *c, const Dims *d) {
    Val u = random_uniform(c, d, 0), v = random_uniform(c, d, 1);
    Val radius = ew1(c, OP_sqrt, ew2(c, OP_mul, numt(c, DT_f32, -2), ew1(c, OP_log1p, ew1(c, OP_neg, u))));
    return ew2(c, OP_mul, radius, ew1(c, OP_cos, ew2(c, OP_mul, v, numt(c, DT_f32, 6.283185307179586))));
}

/* Shape and dtype of the result: those of the operand (…Like) or of the attributes. */
static bool result_like(Call *c, Dims *d, DType *t) {
    int64_t stated = attr_i(c, "dtype", 0);
    const IntVec *shape = attr_list(c, "shape");
    *t = stated ? dtype_by_onnx(stated) : DT_f32;
    if (c->row->inputs) {
        Val x = in(c, 0);
        if (!x.id) return false;
        *d = dims_of(c, x);
        if (!stated) *t = val_dtype(c->g, x);
    } else {
        if (!shape || shape->n > MAX_RANK) {
            fail(c, "attribute 'shape' is missing or too long");
            return false;
        }
        d->n = shape->n;
        for (uint32_t i = 0; i < d->n; i++) d->at[i] = dim_k(c, shape->at[i]);
    }
    if (*t == DT_none) fail(c, "dtype %lld is not supported", (long long)stated);
    return *t != DT_none;
}

/* The row's param: 0 uniform, 1 normal. */
Val import_random(Call *c) {
    Dims d;
    DType t;
    if (!result_like(c, &d, &t)) return NO_VAL;
    bool bell = c->row->param != 0;
    double low = attr_f(c, "low", 0), shift = bell ? attr_f(c, "mean", 0) : low,
           scale = bell ? attr_f(c, "scale", 1) : attr_f(c, "high", 1) - low;
    Val x = bell ? normal(c, &d) : random_uniform(c, &d, 0);
    return to(c, ew2(c, OP_add, ew2(c, OP_mul, x, num(c, x, scale)), num(c, x, shift)), t);
}

Val import_bernoulli(Call *c) {
    Dims d;
    DType t;
    if (!result_like(c, &d, &t)) return NO_VAL;
    return to(c, ew2(c, OP_lt, random_uniform(c, &d, 0), to(c, in(c, 0), DT_f32)), t);
}

/* For each draw the number of classes whose cumulative probability lies at or below it. */
Val import_multinomial(Call *c) {
    Val x = to(c, in(c, 0), DT_f32);
    DType t = dtype_by_onnx(attr_i(c, "dtype", 6));
    Attr sum[3] = {{.key = ATTR_axis, .as.i = 1}, {.key = ATTR_exclusive, .as.i = 0}, {.key = ATTR_reverse, .as.i = 0}};
    if (!x.id || val_rank(c->g, x) != 2 || t == DT_none)
        return x.id ? fail(c, "needs an operand of rank 2 and a known dtype") : x;
    Val p = soft(c, OP_softmax, x, 1);
    Val steps = emit(c->g, OP_cum_sum, c->loc, &p, 1, sum, 3);
    Dims d = {.n = 2, .at = {val_dim(c->g, x, 0), dim_k(c, attr_i(c, "sample_size", 1))}};
    Val passed = ew2(c, OP_le, unsqueezed(c, steps, 1), unsqueezed(c, random_uniform(c, &d, 0), 2));
    Val k = reduce1(c, OP_reduce_sum, to(c, passed, DT_i64), 2, false);
    return to(c, ew2(c, OP_min, k, b_dim(c->g, c->loc, dim_addi(c->cx, val_dim(c->g, x, 1), -1))), t);
}
