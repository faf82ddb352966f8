/* ops_index.c: ONNX operators that read or write at indices found while running: Gather*, Scatter*, NonZero, Compress.
 *
 * Negative indices count from the end; the Graph ops know only those from 0 on, so that they are wrapped here unless they
 * are constants without negative ones.  Bounds are checked when running.
 */
#include "onnx.h"
#include <stdio.h>
#include <string.h>

/* Whether no element of a constant is negative; false where it is none. */
static bool never_negative(Call *c, Val index) {
    Const data;
    int64_t n;
    if (!val_const(c->g, index, &data) || !dim_const_value(c->cx, type_elements(c->cx, node(c->g, index)->type), &n))
        return false;
    if (n > 1 << 20) return false;
    bool sign = dtype_is_signed(val_dtype(c->g, index));
    for (int64_t i = 0; i < n && sign; i++)
        if (const_element(c->cx, data, (uint64_t)i).i < 0) return false;
    return true;
}

static Val wrapped(Call *c, Val index, Dim extent) {
    if (!index.id) return index;
    return never_negative(c, index) || !dtype_is_signed(val_dtype(c->g, index)) ? to(c, index, DT_i64)
                                                                                : wrap_index(c, index, extent);
}

Val import_gather(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    uint32_t axis;
    if (!x.id || !index.id || !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    index = wrapped(c, index, val_dim(c->g, x, axis));
    return index.id ? b_gather(c->g, c->loc, x, index, axis, 0) : index;
}

Val import_gather_elements(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    uint32_t axis;
    if (!x.id || !index.id || !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    Val pair[2] = {x, wrapped(c, index, val_dim(c->g, x, axis))};
    Attr a = {.key = ATTR_axis, .as.i = axis};
    return pair[1].id ? emit(c->g, OP_gather_elements, c->loc, pair, 2, &a, 1) : NO_VAL;
}

/* The last axis of the indices names positions on axes batch, batch + 1, … of x. */
static Val wrapped_tuple(Call *c, Val index, Val x, uint32_t batch) {
    int64_t k;
    if (!index.id || never_negative(c, index)) return to(c, index, DT_i64);
    uint32_t rank = val_rank(c->g, index);
    if (rank == 0 || !dim_const_value(c->cx, val_dim(c->g, index, rank - 1), &k))
        return fail(c, "the last extent of the indices has to be known");
    if (k > (int64_t)val_rank(c->g, x) - batch || k < 0)
        return fail(c, "the indices name %lld axes, the operand has %u", (long long)k, val_rank(c->g, x) - batch);
    if (k == 0) return to(c, index, DT_i64);
    Val extents[MAX_RANK], all;
    Dim one = dim_k(c, 1);
    for (uint32_t i = 0; i < k; i++)
        extents[i] = b_reshape(c->g, c->loc, b_dim(c->g, c->loc, val_dim(c->g, x, batch + i)), 1, &one);
    all = k == 1 ? extents[0] : b_concat(c->g, c->loc, extents, (uint32_t)k, 0);
    index = to(c, index, DT_i64);
    return sel(c, ew2(c, OP_lt, index, numt(c, DT_i64, 0)), ew2(c, OP_add, index, all), index);
}

Val import_gather_nd(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    int64_t batch = attr_i(c, "batch_dims", 0);
    if (!x.id || !index.id) return NO_VAL;
    if (batch < 0 || batch >= val_rank(c->g, x))
        return fail(c, "batch_dims is %lld for rank %u", (long long)batch, val_rank(c->g, x));
    Val pair[2] = {x, wrapped_tuple(c, index, x, (uint32_t)batch)};
    Attr a = {.key = ATTR_batch, .as.i = batch};
    return pair[1].id ? emit(c->g, OP_gather_nd, c->loc, pair, 2, &a, 1) : NO_VAL;
}

/* "none" in ONNX; what the Graph op calls it.  NULL after a diagnostic. */
static const char *combine_of(Call *c) {
    const char *reduction = attr_s(c, "reduction", "none");
    static const char *const known[][2] = {
        {"none", "set"}, {"add", "add"}, {"mul", "mul"}, {"min", "min"}, {"max", "max"}};
    for (uint32_t i = 0; i < COUNT(known); i++)
        if (strcmp(reduction, known[i][0]) == 0) return intern(c->cx, known[i][1]);
    fail(c, "reduction '%s' is not known; known are none, add, mul, min and max", reduction);
    return NULL;
}

Val import_scatter_elements(Call *c) {
    Val x = in(c, 0), index = in(c, 1), update = in(c, 2);
    const char *combine = combine_of(c);
    uint32_t axis;
    if (!x.id || !index.id || !update.id || !combine || !norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis))
        return NO_VAL;
    Val triple[3] = {x, wrapped(c, index, val_dim(c->g, x, axis)), update};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = axis}, {.key = ATTR_combine, .as.text = combine}};
    return triple[1].id ? emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2) : NO_VAL;
}

static Val scatter_nd(Call *c, Val x, Val index, Val update, const char *combine) {
    Val triple[3] = {x, index, update};
    Attr a = {.key = ATTR_combine, .as.text = combine};
    return x.id && index.id && update.id ? emit(c->g, OP_scatter_nd, c->loc, triple, 3, &a, 1) : NO_VAL;
}

Val import_scatter_nd(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    const char *combine = combine_of(c);
    if (!x.id || !index.id || !combine) return NO_VAL;
    Val update = in(c, 2);
    uint32_t rank = val_rank(c->g, index);
    int64_t known;
    if (update.id && rank && !dim_const_value(c->cx, val_dim(c->g, index, rank - 1), &known)) {
        /* The ranks say how many axes a tuple names: rank of updates = rank - 1 + axes that stay. */
        int64_t k = (int64_t)rank - 1 + val_rank(c->g, x) - val_rank(c->g, update);
        Dims d = dims_of(c, index);
        d.at[rank - 1] = dim_k(c, k > 0 ? k : 0);
        index = shaped(c, index, &d);
        if (!index.id) return index;
    }
    return scatter_nd(c, x, wrapped_tuple(c, index, x, 0), in(c, 2), combine);
}

/* cache[b, .., write[b] + i (mod extent), ..] = update[b, .., i, ..]. */
Val import_tensor_scatter(Call *c) {
    Val x = in(c, 0), update = in(c, 1);
    uint32_t axis;
    if (!x.id || !update.id || !norm_axis(c, attr_i(c, "axis", -2), val_rank(c->g, x), &axis)) return NO_VAL;
    Dims d = dims_of(c, update);
    Val at = axis_iota(c, DT_i64, &d, axis);
    if (has_in(c, 2)) at = ew2(c, OP_add, at, per_axis(c, to(c, in(c, 2), DT_i64), 0, d.n));
    if (attr_is(c, "mode", "linear", "circular")) at = ew2(c, OP_mod, at, b_dim(c->g, c->loc, val_dim(c->g, x, axis)));
    Val triple[3] = {x, at, update};
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = axis}, {.key = ATTR_combine, .as.text = intern(c->cx, "set")}};
    return at.id ? emit(c->g, OP_scatter_elements, c->loc, triple, 3, attrs, 2) : at;
}

/* ---- extents found while running --------------------------------------------------------------------------------- */

/* At most the number of elements. */
static Val all_places(Call *c, Val x) {
    if (!x.id) return x;
    Dims d = dims_of(c, x);
    return places(c, x, c->node->n_out ? c->node->out[0] : "nonzero", "count", dim_product(c->cx, d.at, d.n));
}

Val import_nonzero(Call *c) { return all_places(c, in(c, 0)); }

Val import_compress(Call *c) {
    Val x = in(c, 0), condition = in(c, 1);
    uint32_t axis = 0;
    if (!x.id || !condition.id) return NO_VAL;
    if (find_attr(c, "axis")) {
        if (!norm_axis(c, attr_i(c, "axis", 0), val_rank(c->g, x), &axis)) return NO_VAL;
    } else {
        Dims d = dims_of(c, x), flat = {.n = 1, .at = {dim_product(c->cx, d.at, d.n)}};
        x = shaped(c, x, &flat);
    }
    if (val_rank(c->g, condition) != 1)
        return fail(c, "the condition has rank %u, 1 is needed", val_rank(c->g, condition));
    Val at = squeezed(c, all_places(c, condition), 0);
    return at.id ? b_gather(c->g, c->loc, x, at, axis, 0) : at;
}
