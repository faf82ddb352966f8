/* view.c: ops that only say where a result's element comes from in one operand: reshape, permute,
 * broadcast, slice.
 *
 * eval_<op>: the interpreter's copy (a strided one; reshape shares the memory).  index_<op>: the
 * same over Dims, for fusion and lowering; always one case without conditions.
 */
#include "ops.h"

static uint32_t single_case(IndexQuery *q, const Dim *at, const IndexCase **cases) {
    IndexCase *c = arena_new_array(q->arena, IndexCase, 1);
    *c = (IndexCase){.operand = 0, .at = at};
    *cases = c;
    return 1;
}

/* ---- reshape ---- */

bool eval_reshape(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const TypeInfo *t = type_info(ip->cx, n->type);
    *out = in[0];
    out->rank = t->rank;
    if (!interp_dims(ip, t->dims, t->rank, out->dims))
        return false;
    if (tensor_elements(out) == tensor_elements(&in[0]))
        return true;
    diag_error(ip->cx, ip->loc, "reshape: %lld elements do not fill a shape of %lld",
               (long long)tensor_elements(&in[0]), (long long)tensor_elements(out));
    return false;
}

/* A run of axes: [from, to). */
typedef struct Span {
    uint32_t from, to;
} Span;

static bool span_same(IndexQuery *q, const Dim *a, Span x, const Dim *b, Span y) {
    Context *cx = q->g->cx;
    return dim_same(dim_product(cx, a + x.from, x.to - x.from),
                    dim_product(cx, b + y.from, y.to - y.from));
}

/* The shortest runs of result and operand axes with the same product, from the front or from the back. */
static bool next_group(IndexQuery *q, const Dim *r, Span result, const Dim *d, Span operand, bool back, Span *x, Span *y) {
    uint32_t nx = result.to - result.from, ny = operand.to - operand.from;
    for (uint32_t sum = 2; sum <= nx + ny; sum++) {
        for (uint32_t a = 1; a < sum && a <= nx; a++) {
            uint32_t b = sum - a;
            if (b > ny) continue;
            *x = back ? (Span){result.to - a, result.to} : (Span){result.from, result.from + a};
            *y = back ? (Span){operand.to - b, operand.to} : (Span){operand.from, operand.from + b};
            if (span_same(q, r, *x, d, *y)) return true;
        }
    }
    return false;
}

/* One group: its result indices, row-major, as one number, taken apart again over its operand axes.
 */
static void reshape_group(IndexQuery *q, const Dim *r, Span x, const Dim *d, Span y, Dim *at) {
    Context *cx = q->g->cx;
    Dim linear = dim_const(cx, 0);
    for (uint32_t i = x.from; i < x.to; i++)
        linear = dim_add(cx, dim_mul(cx, linear, r[i]), q->at[i]);
    for (uint32_t j = y.to; j-- > y.from;) {
        if (dim_is(cx, d[j], 1) || dim_is(cx, d[j], 0)) {
            at[j] = dim_const(cx, 0);
        } else if (j == y.from) {
            at[j] = linear;
        } else {
            at[j] = dim_simplify(cx, q->scope, dim_mod(cx, linear, d[j]));
            linear = dim_simplify(cx, q->scope, dim_fdiv(cx, linear, d[j]));
        }
    }
}

/* Axes of extent 1 at either end carry no index: skipping them lets the others meet. */
static void skip_ones(IndexQuery *q, const Dim *dims, Span *s, Dim *at) {
    Context *cx = q->g->cx;
    while (s->from < s->to && dim_is(cx, dims[s->from], 1)) {
        if (at)
            at[s->from] = dim_const(cx, 0);
        s->from++;
    }
    while (s->from < s->to && dim_is(cx, dims[s->to - 1], 1)) {
        if (at)
            at[s->to - 1] = dim_const(cx, 0);
        s->to--;
    }
}

/* Groups whose products agree are treated each on its own, so that divisions appear only where axes
 * really mix. */
uint32_t index_reshape(IndexQuery *q, const IndexCase **cases) {
    const TypeInfo *from = val_type(q->g, q->node->in[0]), *to = type_info(q->g->cx, q->node->type);
    Dim *at = arena_new_array(q->arena, Dim, from->rank);
    Span result = {0, to->rank}, operand = {0, from->rank}, x, y;
    for (;;) {
        skip_ones(q, to->dims, &result, NULL);
        skip_ones(q, from->dims, &operand, at);
        if (result.from == result.to || operand.from == operand.to)
            break;
        if (next_group(q, to->dims, result, from->dims, operand, false, &x, &y)) {
            result.from = x.to;
            operand.from = y.to;
        } else if (next_group(q, to->dims, result, from->dims, operand, true, &x, &y)) {
            result.to = x.from;
            operand.to = y.from;
        } else {
            break;
        }
        reshape_group(q, to->dims, x, from->dims, y, at);
    }
    reshape_group(q, to->dims, result, from->dims, operand, at);
    return single_case(q, at, cases);
}

/* ---- permute ---- */

/* Copies in[0] as seen through `from` into a fresh result. */
static bool eval_strided(Interp *ip, const Node *n, const Tensor *in, Strided from, Tensor *out) {
    if (!tensor_new(ip, n->type, out))
        return false;
    if (in->splat) {
        *out = tensor_splat(out->dtype, out->rank, out->dims, in->value);
        return true;
    }
    strided_copy(dtype_bytes(in->dtype), out->rank, out->dims, strided_of(out), from);
    return true;
}

bool eval_permute(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const int64_t *perm = attr_ints(n, ATTR_perm, NULL);
    Strided operand = strided_of(&in[0]), from = operand;
    for (uint32_t i = 0; i < in[0].rank; i++)
        from.stride[i] = operand.stride[perm[i]];
    return eval_strided(ip, n, in, from, out);
}

uint32_t index_permute(IndexQuery *q, const IndexCase **cases) {
    uint32_t rank;
    const int64_t *perm = attr_ints(q->node, ATTR_perm, &rank);
    Dim *at = arena_new_array(q->arena, Dim, rank);
    for (uint32_t i = 0; i < rank; i++)
        at[perm[i]] = q->at[i];
    return single_case(q, at, cases);
}

/* ---- broadcast ---- */

bool eval_broadcast(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    const TypeInfo *t = type_info(ip->cx, n->type);
    const int64_t *axes = attr_ints(n, ATTR_axes, NULL);
    Strided operand = strided_of(&in[0]), from = {.at = operand.at};
    for (uint32_t i = 0; i < in[0].rank; i++) {
        int64_t extent;
        if (!interp_dim(ip, t->dims[axes[i]], &extent))
            return false;
        if (in[0].dims[i] == 1)
            continue;
        if (in[0].dims[i] != extent) {
            diag_error(ip->cx, ip->loc, "broadcast: axis %u has extent %lld, expected 1 or %lld", i,
                       (long long)in[0].dims[i], (long long)extent);
            return false;
        }
        from.stride[axes[i]] = operand.stride[i];
    }
    return eval_strided(ip, n, in, from, out);
}

uint32_t index_broadcast(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    const TypeInfo *from = val_type(q->g, q->node->in[0]), *to = type_info(cx, q->node->type);
    const int64_t *axes = attr_ints(q->node, ATTR_axes, NULL);
    Dim *at = arena_new_array(q->arena, Dim, from->rank), one = dim_const(cx, 1);
    for (uint32_t i = 0; i < from->rank; i++) {
        Dim e = from->dims[i], r = to->dims[axes[i]], index = q->at[axes[i]];
        if (dim_is(cx, e, 1)) {
            at[i] = dim_const(cx, 0);
        } else if (dim_same(e, r) || prove(cx, q->scope, REL_EQ, e, r) == YES ||
                   prove(cx, q->scope, REL_NE, e, one) == YES) {
            at[i] = index;
        } else if (prove(cx, q->scope, REL_EQ, e, one) == YES) {
            at[i] = dim_const(cx, 0);
        } else {
            /* e - max(e - 1, 1) is 0 where e is 1 and 1 beyond; affine in the index, so that it
             * hoists. */
            Dim step = dim_sub(cx, e, dim_max(cx, dim_addi(cx, e, -1), one));
            at[i] = dim_mul(cx, index, step);
        }
    }
    return single_case(q, at, cases);
}

/* ---- slice ---- */

bool eval_slice(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    uint32_t rank;
    const Dim *start = attr_dims(n, ATTR_start, &rank);
    const int64_t *step = attr_ints(n, ATTR_step, NULL);
    const TypeInfo *t = type_info(ip->cx, n->type);
    int64_t first[MAX_RANK], dims[MAX_RANK], offset = 0;
    if (!interp_dims(ip, start, rank, first) || !interp_dims(ip, t->dims, rank, dims))
        return false;
    Strided from = strided_of(&in[0]);
    bool empty = product_of(dims, rank) == 0;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t last = first[i] + (dims[i] - 1) * step[i], extent = in[0].dims[i];
        if (!empty && (first[i] < 0 || first[i] >= extent || last < 0 || last >= extent)) {
            diag_error(ip->cx, ip->loc, "slice: axis %u reads [%lld .. %lld], its extent is %lld",
                       i, (long long)first[i], (long long)last, (long long)extent);
            return false;
        }
        offset += first[i] * from.stride[i];
        from.stride[i] *= step[i];
    }
    if (!empty && from.at)
        from.at += offset * dtype_bytes(in[0].dtype);
    return eval_strided(ip, n, in, from, out);
}

uint32_t index_slice(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    uint32_t rank;
    const Dim *start = attr_dims(q->node, ATTR_start, &rank);
    const int64_t *step = attr_ints(q->node, ATTR_step, NULL);
    Dim *at = arena_new_array(q->arena, Dim, rank);
    for (uint32_t i = 0; i < rank; i++)
        at[i] = dim_add(cx, start[i], dim_muli(cx, q->at[i], step[i]));
    return single_case(q, at, cases);
}
