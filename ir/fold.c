/* fold.c: what emit does where the graph folds: bit-exact laws, splats kept as splats, and constant
 * folding through the reference semantics within limits.fold_bytes and half of limits.fuel.
 *
 * A law applies only if it changes no bit and keeps the type: x + 0 is not x for a float (x = -0).
 * Nothing here fails: a node whose evaluation would be an error (an index out of range, perhaps in
 * a branch never taken) stays as it is.
 */
#include <math.h>
#include <string.h>
#include "ops/ops.h"

#define NO_VALUE      ((Val){0})
#define FREE_BYTES    65536 /* results up to this size may outgrow their operands */
#define WIDENED_BYTES (INT64_C(16) << 20) /* weights of 8 bits become what kernels multiply, but for the largest */
#define IOTA_ELEMENTS 1024  /* longer ones stay computed */

/* ---- questions about operands ---- */

static bool same(Val a, Val b) { return a.id == b.id; }

/* v is a splat of the integer, or of the float with exactly this sign of zero. */
static bool is_splat(const Graph *g, Val v, int value) {
    Scalar s;
    if (!val_splat(g, v, &s))
        return false;
    if (dtype_is_float(val_dtype(g, v)))
        return s.f == value && !signbit(s.f) == (value >= 0);
    return dtype_is_signed(val_dtype(g, v)) ? s.i == value : value >= 0 && s.u == (uint64_t)value;
}

static bool is_negative_zero(const Graph *g, Val v) {
    Scalar s;
    return val_splat(g, v, &s) && dtype_is_float(val_dtype(g, v)) && s.f == 0 && signbit(s.f);
}

static bool is_all_ones(const Graph *g, Val v) {
    Scalar s;
    DType t = val_dtype(g, v);
    if (!val_splat(g, v, &s) || dtype_is_float(t))
        return false;
    return dtype_is_signed(t) ? s.i == -1 : s.u == UINT64_MAX >> (64 - dtype_info[t].value_bits);
}

static bool is_floating(const Graph *g, Val v) { return dtype_is_float(val_dtype(g, v)); }

/* ---- laws of elementwise ops ---- */

typedef Val LawFn(Graph *, const Node *);

static Val law_add(Graph *g, const Node *n) {
    Val a = n->in[0], b = n->in[1];
    if (is_negative_zero(g, b))
        return a; /* x + -0 => x */
    if (is_negative_zero(g, a))
        return b; /* -0 + x => x */
    if (is_floating(g, a))
        return NO_VALUE;
    if (is_splat(g, b, 0))
        return a;                            /* integer x + 0 => x */
    return is_splat(g, a, 0) ? b : NO_VALUE; /* integer 0 + x => x */
}

static Val law_sub(Graph *g, const Node *n) {
    return is_splat(g, n->in[1], 0) ? n->in[0] : NO_VALUE; /* x - 0 => x */
}

/* permute(x) * number => permute(x * number), as with reshape: where x lies, nothing has to be gathered */
static Val scale_first(Graph *g, const Node *n, Val x, Val by) {
    Node view = *node(g, x);
    Scalar number;
    if ((view.op != OP_permute && view.op != OP_reshape) || !val_splat(g, by, &number))
        return NO_VALUE;
    const TypeInfo *t = val_type(g, view.in[0]);
    Val one = b_splat(g, n->loc, t->dtype, number, t->rank, t->dims);
    Val scaled = b_binary(g, n->loc, OP_mul, view.in[0], one);
    return emit(g, view.op, view.loc, &scaled, 1, view.attrs, view.n_attrs);
}

static Val law_mul(Graph *g, const Node *n) {
    Val a = n->in[0], b = n->in[1], scaled;
    if ((scaled = scale_first(g, n, a, b)).id || (scaled = scale_first(g, n, b, a)).id)
        return scaled;
    if (is_splat(g, b, 1))
        return a; /* x * 1 => x */
    if (is_splat(g, a, 1))
        return b; /* 1 * x => x */
    if (is_floating(g, a))
        return NO_VALUE;
    if (is_splat(g, b, 0))
        return b;                            /* integer x * 0 => 0 */
    return is_splat(g, a, 0) ? a : NO_VALUE; /* integer 0 * x => 0 */
}

static Val law_div(Graph *g, const Node *n) {
    return is_splat(g, n->in[1], 1) ? n->in[0] : NO_VALUE; /* x / 1 => x */
}

static Val law_idempotent(Graph *g, const Node *n) {
    (void)g;
    return same(n->in[0], n->in[1]) ? n->in[0] : NO_VALUE; /* max(x, x) => x, min(x, x) => x */
}

static Val law_and(Graph *g, const Node *n) {
    Val a = n->in[0], b = n->in[1];
    if (same(a, b) || is_all_ones(g, b))
        return a; /* x & x => x, x & ~0 => x */
    if (is_all_ones(g, a))
        return b; /* ~0 & x => x */
    if (is_splat(g, b, 0))
        return b;                            /* x & 0 => 0 */
    return is_splat(g, a, 0) ? a : NO_VALUE; /* 0 & x => 0 */
}

static Val law_or(Graph *g, const Node *n) {
    Val a = n->in[0], b = n->in[1];
    if (same(a, b) || is_splat(g, b, 0))
        return a; /* x | x => x, x | 0 => x */
    if (is_splat(g, a, 0))
        return b; /* 0 | x => x */
    if (is_all_ones(g, b))
        return b;                            /* x | ~0 => ~0 */
    return is_all_ones(g, a) ? a : NO_VALUE; /* ~0 | x => ~0 */
}

static Val law_select(Graph *g, const Node *n) {
    Scalar c;
    if (same(n->in[1], n->in[2]))
        return n->in[1]; /* select(c, x, x) => x */
    if (!val_splat(g, n->in[0], &c))
        return NO_VALUE;
    return c.u ? n->in[1] : n->in[2]; /* select(true, x, y) => x */
}

static Val law_involution(Graph *g, const Node *n) {
    return val_op(g, n->in[0]) == n->op ? val_in(g, n->in[0], 0)
                                        : NO_VALUE; /* neg(neg(x)) => x, not(not(x)) => x */
}

/* ---- laws of views ---- */

static bool type_kept(Graph *g, const Node *n) { return n->type.id == node(g, n->in[0])->type.id; }

static Val law_reshape(Graph *g, const Node *n) {
    Val x = n->in[0];
    const TypeInfo *t = type_info(g->cx, n->type);
    if (type_kept(g, n))
        return x; /* reshape to the same dims => x */
    if (val_op(g, x) != OP_reshape)
        return NO_VALUE;
    return b_reshape(g, n->loc, val_in(g, x, 0), t->rank,
                     t->dims); /* reshape(reshape(x)) => reshape(x) */
}

static Val law_permute(Graph *g, const Node *n) {
    Val x = n->in[0];
    uint32_t rank;
    const int64_t *perm = attr_ints(n, ATTR_perm, &rank);
    bool identity = true;
    for (uint32_t i = 0; i < rank; i++)
        identity = identity && perm[i] == (int64_t)i;
    if (identity)
        return x; /* permute(x, identity) => x */
    if (val_op(g, x) != OP_permute)
        return NO_VALUE;
    const int64_t *inner = attr_ints(node(g, x), ATTR_perm, NULL);
    int64_t both[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        both[i] = inner[perm[i]];
    return b_permute(g, n->loc, val_in(g, x, 0),
                     both); /* permute(permute(x, q), p) => permute(x, q[p]) */
}

static Val law_broadcast(Graph *g, const Node *n) {
    Val x = n->in[0];
    const int64_t *axes = attr_ints(n, ATTR_axes, NULL);
    const TypeInfo *t = type_info(g->cx, n->type);
    if (type_kept(g, n)) {
        bool identity = true;
        for (uint32_t i = 0; i < t->rank; i++)
            identity = identity && axes[i] == (int64_t)i;
        if (identity)
            return x; /* broadcast to the same dims => x */
    }
    if (val_op(g, x) != OP_broadcast)
        return NO_VALUE;
    Val origin = val_in(g, x, 0);
    const int64_t *inner = attr_ints(node(g, x), ATTR_axes, NULL);
    int64_t both[MAX_RANK];
    for (uint32_t i = 0; i < val_rank(g, origin); i++) {
        Dim e = val_dim(g, origin, i), middle = val_dim(g, x, (uint32_t)inner[i]);
        both[i] = axes[inner[i]];
        bool decided = dim_is(g->cx, e, 1) || dim_same(e, t->dims[both[i]]) ||
                       dim_same(middle, t->dims[both[i]]);
        if (!decided)
            return NO_VALUE;
    }
    return b_broadcast(g, n->loc, origin, t->rank, t->dims,
                       both); /* broadcast(broadcast(x, a), b) => broadcast(x, b[a]) */
}

static Val law_slice(Graph *g, const Node *n) {
    const Dim *start = attr_dims(n, ATTR_start, NULL);
    const int64_t *step = attr_ints(n, ATTR_step, NULL);
    if (!type_kept(g, n))
        return NO_VALUE;
    for (uint32_t i = 0; i < val_rank(g, n->in[0]); i++)
        if (!dim_is(g->cx, start[i], 0) || step[i] != 1)
            return NO_VALUE;
    return n->in[0]; /* slice of everything => x */
}

static Val law_pad(Graph *g, const Node *n) {
    const Dim *low = attr_dims(n, ATTR_low, NULL), *high = attr_dims(n, ATTR_high, NULL);
    const int64_t *interior = attr_ints(n, ATTR_interior, NULL);
    for (uint32_t i = 0; i < val_rank(g, n->in[0]); i++)
        if (!dim_is(g->cx, low[i], 0) || !dim_is(g->cx, high[i], 0) || interior[i] != 0)
            return NO_VALUE;
    return n->in[0]; /* pad by nothing => x */
}

static Val law_concat(Graph *g, const Node *n) {
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis), kept = 0;
    if (n->n_in == 1)
        return n->in[0]; /* concat(x) => x */
    Val *parts = arena_new_array(g->arena, Val, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!dim_is(g->cx, val_dim(g, n->in[i], axis), 0))
            parts[kept++] = n->in[i];
    if (kept == n->n_in || kept == 0)
        return NO_VALUE;
    return b_concat(g, n->loc, parts, kept, axis); /* concat(x, empty, y) => concat(x, y) */
}

static Val law_reduce(Graph *g, const Node *n) {
    uint32_t n_axes;
    (void)attr_ints(n, ATTR_axes, &n_axes);
    (void)g;
    return n_axes == 0 ? n->in[0] : NO_VALUE; /* reduce over no axes => x */
}

static Val law_get(Graph *g, const Node *n) {
    if (val_op(g, n->in[0]) != OP_tuple)
        return NO_VALUE;
    return val_in(g, n->in[0],
                  (uint32_t)attr_int(n, ATTR_index)); /* get(tuple(.., x, ..), i) => x */
}

static Val law_dim(Graph *g, const Node *n) {
    int64_t value;
    if (!dim_const_value(g->cx, attr_dim(n, ATTR_value), &value))
        return NO_VALUE;
    return b_int(g, n->loc, DT_i64, value); /* dim(constant) => const */
}

/* gather(x, a number that lies inside) => slice, without the axis */
static Val law_gather(Graph *g, const Node *n) {
    Context *cx = g->cx;
    Scalar index;
    const TypeInfo *x = val_type(g, n->in[0]);
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis);
    if (attr_int(n, ATTR_batch) || val_rank(g, n->in[1]) || !val_splat(g, n->in[1], &index))
        return NO_VALUE;
    if (index.i < 0 || prove(cx, NULL, REL_LT, dim_const(cx, index.i), x->dims[axis]) != YES)
        return NO_VALUE;
    const TypeInfo *y = type_info(cx, n->type);
    Val one = b_slice_axis(g, n->loc, n->in[0], axis, dim_const(cx, index.i), dim_const(cx, 1));
    return b_reshape(g, n->loc, one, y->rank, y->dims);
}

static LawFn *const laws[OP_COUNT] = {
    [OP_add] = law_add,
    [OP_sub] = law_sub,
    [OP_mul] = law_mul,
    [OP_div] = law_div,
    [OP_max] = law_idempotent,
    [OP_min] = law_idempotent,
    [OP_and] = law_and,
    [OP_or] = law_or,
    [OP_select] = law_select,
    [OP_neg] = law_involution,
    [OP_not] = law_involution,
    [OP_reshape] = law_reshape,
    [OP_permute] = law_permute,
    [OP_broadcast] = law_broadcast,
    [OP_slice] = law_slice,
    [OP_gather] = law_gather,
    [OP_pad] = law_pad,
    [OP_concat] = law_concat,
    [OP_reduce_sum] = law_reduce,
    [OP_reduce_prod] = law_reduce,
    [OP_reduce_max] = law_reduce,
    [OP_reduce_min] = law_reduce,
    [OP_get] = law_get,
    [OP_dim] = law_dim,
};

/* ---- splats ---- */

#define MAX_SPLATS 4

/* An EW op over splats is a splat, whatever the dims; so is a view of one. */
static Val fold_splats(Graph *g, const Node *n) {
    OpKind kind = op_info[n->op].kind;
    const TypeInfo *t = type_info(g->cx, n->type);
    Scalar in[MAX_SPLATS];
    if ((kind != KIND_EW && kind != KIND_VIEW) || n->n_in == 0 || n->n_in > MAX_SPLATS)
        return NO_VALUE;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!val_splat(g, n->in[i], &in[i]))
            return NO_VALUE;
    Scalar y = kind == KIND_EW ? scalar_wrap(t->dtype, ref_fn[n->op](g, n, in)) : in[0];
    return b_splat(g, n->loc, t->dtype, y, t->rank, t->dims);
}

/* ---- constants ---- */

/* Bytes of a static tensor type; false where symbolic or beyond limits.fold_bytes. */
static bool static_bytes(Context *cx, Type type, int64_t *elements, int64_t *bytes) {
    const TypeInfo *t = type_info(cx, type);
    if (t->dtype == DT_none || t->encoding != ENCODING_DENSE)
        return false;
    if (!dim_const_value(cx, type_elements(cx, type), elements) ||
        !ck_mul(*elements, dtype_bytes(t->dtype), bytes))
        return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t extent;
        if (!dim_const_value(cx, t->dims[i], &extent) || extent < 0)
            return false;
    }
    return (uint64_t)*bytes <= cx->limits.fold_bytes;
}

/* Is v known now: a constant, a short iota, or one of these broadcast? */
static bool is_known(Graph *g, Val v, int64_t *elements, int64_t *bytes) {
    const Node *n = node(g, v);
    if (!static_bytes(g->cx, n->type, elements, bytes))
        return false;
    if (n->op == OP_broadcast) {
        int64_t e, b;
        return is_known(g, n->in[0], &e, &b);
    }
    return n->op == OP_const || (n->op == OP_iota && *elements <= IOTA_ELEMENTS);
}

static bool known_tensor(Interp *ip, const Graph *g, Val v, Tensor *out) {
    const Node *n = node(g, v);
    Tensor operand;
    if (n->n_in == 1 && !known_tensor(ip, g, n->in[0], &operand))
        return false;
    return eval_fn[n->op](ip, g, n, &operand, out);
}

static Val const_of_tensor(Graph *g, const Node *n, Type type, const Tensor *x) {
    Context *cx = g->cx;
    const TypeInfo *t = type_info(cx, type);
    if (x->splat)
        return b_splat(g, n->loc, x->dtype, x->value, t->rank, t->dims);
    size_t elements = (size_t)tensor_elements(x), bytes = elements * (size_t)dtype_bytes(x->dtype);
    Const c = const_data(cx, x->dtype, elements, arena_copy(cx->arena, x->data, bytes));
    return b_const(g, n->loc, c, t->rank, t->dims);
}

static bool attrs_known(Context *cx, const Node *n) {
    int64_t value;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const Attr *a = &n->attrs[i];
        AttrType type = attr_info[a->key].type;
        if (type == AT_DIM && !dim_const_value(cx, a->as.dim, &value))
            return false;
        for (uint32_t k = 0; type == AT_DIMS && k < a->n; k++)
            if (!dim_const_value(cx, a->as.dims[k], &value))
                return false;
    }
    return true;
}

/* Abstract cost of evaluating n, and whether its results are worth keeping. */
static bool affordable(Graph *g, const Node *n, uint64_t *work) {
    Context *cx = g->cx;
    const TypeInfo *t = type_info(cx, n->type);
    int64_t operand_elements = 0, operand_bytes = 0, elements, bytes, last = 0, result_elements = 0,
            result_bytes = 0, cost;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!is_known(g, n->in[i], &elements, &bytes))
            return false;
        operand_elements += elements;
        operand_bytes += bytes;
        last = elements;
    }
    uint32_t n_results = t->dtype == DT_none ? t->rank : 1;
    for (uint32_t i = 0; i < n_results; i++) {
        if (!static_bytes(cx, t->dtype == DT_none ? t->elements[i] : n->type, &elements, &bytes))
            return false;
        result_elements += elements;
        result_bytes += bytes;
    }
    if (n->op == OP_broadcast && result_elements != operand_elements)
        return false; /* stays one copy in memory */
    int64_t growth = n->op == OP_convert && result_bytes <= WIDENED_BYTES ? 4 : 2;
    if (result_bytes > FREE_BYTES && result_bytes / growth > operand_bytes)
        return false;
    if (op_info[n->op].kind == KIND_CONTRACT) {
        if (!ck_mul(result_elements, last, &cost))
            return false;
    } else {
        cost = operand_elements + result_elements;
    }
    *work = (uint64_t)cost;
    return *work < cx->limits.fuel / 2 && cx->fuel_used < cx->limits.fuel / 2 - *work;
}

static Val fold_constants(Graph *g, const Node *n) {
    Context *cx = g->cx;
    OpKind kind = op_info[n->op].kind;
    uint64_t work;
    if (n->n_in == 0 || kind == KIND_CONTROL || kind == KIND_MACRO || kind == KIND_GROUP ||
        kind == KIND_SOURCE)
        return NO_VALUE;
    if (!attrs_known(cx, n) || !affordable(g, n, &work))
        return NO_VALUE;
    context_spend(cx, work);
    Arena *scratch = arena_new(cx);
    Interp ip = {.cx = cx, .arena = scratch, .loc = n->loc};
    uint32_t before = diag_count(cx);
    Tensor *in = arena_new_array(scratch, Tensor, n->n_in);
    const TypeInfo *t = type_info(cx, n->type);
    Tensor *out = arena_new_array(scratch, Tensor, t->dtype == DT_none ? t->rank : 1);
    bool ok = true;
    for (uint32_t i = 0; i < n->n_in && ok; i++)
        ok = known_tensor(&ip, g, n->in[i], &in[i]);
    ok = ok && eval_fn[n->op](&ip, g, n, in, out);
    Val result = NO_VALUE;
    if (!ok) {
        diag_truncate(cx, before);
    } else if (t->dtype != DT_none) {
        result = const_of_tensor(g, n, n->type, out);
    } else {
        Val *parts = arena_new_array(scratch, Val, t->rank);
        for (uint32_t i = 0; i < t->rank; i++)
            parts[i] = const_of_tensor(g, n, t->elements[i], &out[i]);
        result = emit(g, OP_tuple, n->loc, parts, t->rank, NULL, 0);
    }
    arena_free(scratch);
    return result;
}

Val fold_node(Graph *g, const Node *candidate) {
    Node n = *candidate; /* emit may move the node table underneath */
    static Val (*const steps[])(Graph *, const Node *) = {fold_splats, fold_constants};
    if (laws[n.op]) {
        Val v = laws[n.op](g, &n);
        if (v.id && node(g, v)->type.id == n.type.id)
            return v;
    }
    for (size_t i = 0; i < COUNT(steps); i++) {
        Val v = steps[i](g, &n);
        if (v.id && node(g, v)->type.id == n.type.id)
            return v;
    }
    return NO_VALUE;
}
