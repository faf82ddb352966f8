/* indexed.c: ops whose elements come from several operands, a fill value, or places known only
 * while running: pad, concat, the gathers, dyn_slice, dyn_update.
 *
 * eval_<op>: the interpreter's copy.  index_<op>: the same over Dims as a list of cases; conditions
 * that the scope proves are dropped, cases that it refutes are not listed.  Run-time indices come
 * from q->load: those of the gathers must be inside [0, extent) (an error otherwise), those of
 * dyn_slice and dyn_update are clamped into it.
 */
#include <string.h>
#include "ops.h"

/* ---- lists of cases ---- */

typedef struct Cases {
    VEC(IndexCase) list;
    bool closed;
} Cases;
typedef struct Conditions {
    VEC(Fact) list;
    bool never;
} Conditions;

static void condition_add(IndexQuery *q, Conditions *c, Relation relation, Dim a, Dim b) {
    Truth t = prove(q->g->cx, q->scope, relation, a, b);
    if (t == NO)
        c->never = true;
    if (t == UNKNOWN)
        vec_push(q->arena, &c->list, (Fact){relation, a, b});
}

/* After a case without conditions nothing else is reached. */
static void case_add(IndexQuery *q, Cases *cases, uint32_t operand, const Dim *at,
                     Conditions *when) {
    if (cases->closed || when->never)
        return;
    vec_push(q->arena, &cases->list, (IndexCase){operand, at, when->list.at, when->list.n});
    cases->closed = when->list.n == 0;
}

static uint32_t cases_done(const Cases *c, const IndexCase **cases) {
    *cases = c->list.at;
    return c->list.n;
}

static Dim *copy_dims(IndexQuery *q, const Dim *from, uint32_t n) {
    return arena_copy(q->arena, from, n * sizeof *from);
}

/* ---- pad ---- */

bool eval_pad(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    uint32_t rank = in[0].rank;
    const int64_t *interior = attr_ints(n, ATTR_interior, NULL);
    int64_t low[MAX_RANK], box[MAX_RANK];
    Tensor x, fill = in[1];
    if (!interp_dims(ip, attr_dims(n, ATTR_low, NULL), rank, low) || !tensor_dense(ip, &in[0], &x))
        return false;
    if (!tensor_new(ip, n->type, out))
        return false;
    Tensor filled = tensor_splat(out->dtype, rank, out->dims, tensor_at(&fill, 0));
    if (!tensor_dense(ip, &filled, out))
        return false;
    Strided to = strided_of(out), from = strided_of(&x);
    int64_t to_offset = 0, from_offset = 0;
    for (uint32_t i = 0; i < rank; i++) {
        int64_t step = interior[i] + 1,
                first = low[i] < 0 ? -floor_div(low[i], step) : 0; /* ceil(-low / step) */
        int64_t end = floor_div(out->dims[i] - 1 - low[i], step) + 1;
        if (end > x.dims[i])
            end = x.dims[i];
        box[i] = end - first;
        if (box[i] <= 0)
            return true;
        from_offset += first * from.stride[i];
        to_offset += (low[i] + first * step) * to.stride[i];
        to.stride[i] *= step;
    }
    int64_t bytes = dtype_bytes(out->dtype);
    from.at += from_offset * bytes;
    to.at += to_offset * bytes;
    strided_copy(bytes, rank, box, to, from);
    return true;
}

uint32_t index_pad(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    const TypeInfo *x = val_type(q->g, q->node->in[0]);
    const Dim *low = attr_dims(q->node, ATTR_low, NULL);
    const int64_t *interior = attr_ints(q->node, ATTR_interior, NULL);
    Cases list = {0};
    Conditions inside = {0}, always = {0};
    Dim *at = copy_dims(q, q->at, x->rank), zero = dim_const(cx, 0);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t step = interior[i] + 1;
        Dim offset = dim_sub(cx, q->at[i], low[i]);
        condition_add(q, &inside, REL_LE, zero, offset);
        condition_add(q, &inside, REL_LT, offset,
                      dim_addi(cx, dim_muli(cx, x->dims[i], step), 1 - step));
        if (step != 1)
            condition_add(q, &inside, REL_DIVIDES, dim_const(cx, step), offset);
        at[i] = step == 1 ? offset
                          : dim_simplify(cx, q->scope, dim_fdiv(cx, offset, dim_const(cx, step)));
    }
    case_add(q, &list, 0, at, &inside);
    case_add(q, &list, 1, copy_dims(q, at, 0), &always);
    return cases_done(&list, cases);
}

/* ---- concat ---- */

bool eval_concat(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    if (!tensor_new(ip, n->type, out))
        return false;
    int64_t axis = attr_int(n, ATTR_axis), start = 0, bytes = dtype_bytes(out->dtype);
    for (uint32_t k = 0; k < n->n_in; k++) {
        Tensor x;
        if (!tensor_dense(ip, &in[k], &x))
            return false;
        for (uint32_t i = 0; i < x.rank; i++) {
            bool fits =
                i == (uint32_t)axis ? start + x.dims[i] <= out->dims[i] : x.dims[i] == out->dims[i];
            if (fits)
                continue;
            diag_error(ip->cx, ip->loc,
                       "concat: operand %u has extent %lld in axis %u, expected %lld", k,
                       (long long)x.dims[i], i,
                       (long long)(i == (uint32_t)axis ? out->dims[i] - start : out->dims[i]));
            return false;
        }
        Strided to = strided_of(out);
        if (tensor_elements(&x))
            to.at += start * to.stride[axis] * bytes;
        strided_copy(bytes, x.rank, x.dims, to, strided_of(&x));
        start += x.dims[axis];
    }
    return true;
}

/* Cases by ascending end along the axis: earlier ones have failed, so that no lower bound is
 * needed. */
uint32_t index_concat(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    uint32_t axis = (uint32_t)attr_int(q->node, ATTR_axis),
             rank = type_info(cx, q->node->type)->rank;
    Cases list = {0};
    Dim start = dim_const(cx, 0);
    for (uint32_t k = 0; k < q->node->n_in; k++) {
        Dim end = dim_add(cx, start, val_dim(q->g, q->node->in[k], axis));
        Dim *at = copy_dims(q, q->at, rank);
        at[axis] = dim_sub(cx, at[axis], start);
        Conditions when = {0};
        if (k + 1 < q->node->n_in)
            condition_add(q, &when, REL_LT, q->at[axis], end);
        if (prove(cx, q->scope, REL_LT, q->at[axis], start) == YES)
            when.never = true;
        case_add(q, &list, k, at, &when);
        start = end;
    }
    return cases_done(&list, cases);
}

/* ---- gather ---- */

/* y[b.., o.., j.., i..] = x[b.., o.., index[b.., j..], i..] with b the batch axes and o the others
 * before axis. */
bool eval_gather(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis), batch = (uint32_t)attr_int(n, ATTR_batch);
    Tensor x;
    if (!tensor_dense(ip, &in[0], &x) || !tensor_new(ip, n->type, out))
        return false;
    const Tensor *indices = &in[1];
    int64_t batches = product_of(x.dims, batch), outer = product_of(x.dims + batch, axis - batch);
    int64_t inner = product_of(x.dims + axis + 1, x.rank - axis - 1), extent = x.dims[axis];
    int64_t picks = product_of(indices->dims + batch, indices->rank - batch);
    size_t bytes = (size_t)(inner * dtype_bytes(x.dtype));
    uint8_t *to = out->data;
    const uint8_t *from = x.data;
    for (int64_t b = 0; b < batches; b++) {
        for (int64_t o = 0; o < outer; o++) {
            for (int64_t j = 0; j < picks; j++) {
                int64_t pick = tensor_int(indices, b * picks + j);
                if (!index_check(ip, n, indices, b * picks + j, pick, extent))
                    return false;
                if (bytes)
                    memcpy(to, from + (size_t)((b * outer + o) * extent + pick) * bytes, bytes);
                to += bytes;
            }
        }
    }
    return true;
}

uint32_t index_gather(IndexQuery *q, const IndexCase **cases) {
    uint32_t axis = (uint32_t)attr_int(q->node, ATTR_axis),
             batch = (uint32_t)attr_int(q->node, ATTR_batch);
    uint32_t rank = val_rank(q->g, q->node->in[0]), index_rank = val_rank(q->g, q->node->in[1]);
    Dim *pick = arena_new_array(q->arena, Dim, index_rank),
        *at = arena_new_array(q->arena, Dim, rank);
    for (uint32_t i = 0; i < index_rank; i++)
        pick[i] = i < batch ? q->at[i] : q->at[axis + i - batch];
    for (uint32_t i = 0; i < axis; i++)
        at[i] = q->at[i];
    at[axis] = q->load(q->user, 1, pick, val_dim(q->g, q->node->in[0], axis));
    for (uint32_t i = axis + 1; i < rank; i++)
        at[i] = q->at[i - 1 + index_rank - batch];
    Cases list = {0};
    Conditions always = {0};
    case_add(q, &list, 0, at, &always);
    return cases_done(&list, cases);
}

/* ---- gather_elements ---- */

bool eval_gather_elements(Interp *ip, const Graph *g, const Node *n, const Tensor *in,
                          Tensor *out) {
    (void)g;
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis);
    Tensor x;
    if (!tensor_dense(ip, &in[0], &x) || !tensor_new(ip, n->type, out))
        return false;
    int64_t strides[MAX_RANK], at[MAX_RANK] = {0}, position = 0, elements = tensor_elements(out);
    int64_t bytes = dtype_bytes(x.dtype);
    tensor_strides(&x, strides);
    while (position < elements) {
        int64_t pick = tensor_int(&in[1], position), offset = 0;
        if (!index_check(ip, n, &in[1], position, pick, x.dims[axis]))
            return false;
        for (uint32_t i = 0; i < x.rank; i++)
            offset += (i == axis ? pick : at[i]) * strides[i];
        memcpy((uint8_t *)out->data + position * bytes, (const uint8_t *)x.data + offset * bytes,
               (size_t)bytes);
        position++;
        (void)index_next(out->dims, out->rank, at);
    }
    return true;
}

uint32_t index_gather_elements(IndexQuery *q, const IndexCase **cases) {
    uint32_t axis = (uint32_t)attr_int(q->node, ATTR_axis), rank = val_rank(q->g, q->node->in[0]);
    Dim *at = copy_dims(q, q->at, rank);
    at[axis] = q->load(q->user, 1, q->at, val_dim(q->g, q->node->in[0], axis));
    Cases list = {0};
    Conditions always = {0};
    case_add(q, &list, 0, at, &always);
    return cases_done(&list, cases);
}

/* ---- gather_nd ---- */

/* y[b.., m.., i..] = x[b.., indices[b.., m.., 0..d), i..]. */
bool eval_gather_nd(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    uint32_t batch = (uint32_t)attr_int(n, ATTR_batch);
    Tensor x;
    if (!tensor_dense(ip, &in[0], &x) || !tensor_new(ip, n->type, out))
        return false;
    const Tensor *indices = &in[1];
    uint32_t depth = (uint32_t)indices->dims[indices->rank - 1];
    int64_t batches = product_of(x.dims, batch),
            per_batch = product_of(x.dims + batch, x.rank - batch);
    int64_t picks = product_of(indices->dims + batch, indices->rank - 1 - batch);
    int64_t strides[MAX_RANK];
    tensor_strides(&x, strides);
    size_t bytes =
        (size_t)(product_of(x.dims + batch + depth, x.rank - batch - depth) * dtype_bytes(x.dtype));
    uint8_t *to = out->data;
    for (int64_t p = 0; p < batches * picks; p++) {
        int64_t offset = p / picks * per_batch;
        for (uint32_t k = 0; k < depth; k++) {
            int64_t pick = tensor_int(indices, p * depth + k);
            if (!index_check(ip, n, indices, p * depth + k, pick, x.dims[batch + k]))
                return false;
            offset += pick * strides[batch + k];
        }
        if (bytes)
            memcpy(to, (const uint8_t *)x.data + offset * dtype_bytes(x.dtype), bytes);
        to += bytes;
    }
    return true;
}

uint32_t index_gather_nd(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    uint32_t batch = (uint32_t)attr_int(q->node, ATTR_batch);
    uint32_t rank = val_rank(q->g, q->node->in[0]), index_rank = val_rank(q->g, q->node->in[1]);
    int64_t depth = 0;
    REQUIRE(cx, dim_const_value(cx, val_dim(q->g, q->node->in[1], index_rank - 1),
                                &depth)); /* by infer */
    Dim *at = arena_new_array(q->arena, Dim, rank);
    for (uint32_t i = 0; i < batch; i++)
        at[i] = q->at[i];
    for (uint32_t k = 0; k < (uint32_t)depth; k++) {
        Dim *pick = arena_new_array(q->arena, Dim, index_rank);
        for (uint32_t i = 0; i + 1 < index_rank; i++)
            pick[i] = q->at[i];
        pick[index_rank - 1] = dim_const(cx, k);
        at[batch + k] = q->load(q->user, 1, pick, val_dim(q->g, q->node->in[0], batch + k));
    }
    for (uint32_t i = batch + (uint32_t)depth; i < rank; i++)
        at[i] = q->at[index_rank - 1 + i - batch - (uint32_t)depth];
    Cases list = {0};
    Conditions always = {0};
    case_add(q, &list, 0, at, &always);
    return cases_done(&list, cases);
}

/* ---- dyn_slice, dyn_update ---- */

/* Element i of a start vector, clamped so that `size` elements fit into `extent`. */
static int64_t clamped_start(const Tensor *starts, uint32_t i, int64_t extent, int64_t size) {
    int64_t s = tensor_int(starts, i);
    if (s > extent - size)
        s = extent - size;
    return s < 0 ? 0 : s;
}

static bool fits(Interp *ip, const Node *n, const Tensor *whole, const int64_t *part) {
    for (uint32_t i = 0; i < whole->rank; i++) {
        if (part[i] <= whole->dims[i])
            continue;
        diag_error(ip->cx, ip->loc, "%s: extent %lld of axis %u exceeds the operand's %lld",
                   op_info[n->op].name, (long long)part[i], i, (long long)whole->dims[i]);
        return false;
    }
    return true;
}

bool eval_dyn_slice(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    Tensor x;
    if (!tensor_dense(ip, &in[0], &x) || !tensor_new(ip, n->type, out) ||
        !fits(ip, n, &x, out->dims))
        return false;
    Strided from = strided_of(&x);
    int64_t offset = 0;
    for (uint32_t i = 0; i < x.rank; i++)
        offset += clamped_start(&in[1], i, x.dims[i], out->dims[i]) * from.stride[i];
    if (tensor_elements(out))
        from.at += offset * dtype_bytes(x.dtype);
    strided_copy(dtype_bytes(x.dtype), x.rank, out->dims, strided_of(out), from);
    return true;
}

bool eval_dyn_update(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    Tensor x, update;
    if (!tensor_dense(ip, &in[0], &x) || !tensor_dense(ip, &in[1], &update) ||
        !fits(ip, n, &x, update.dims))
        return false;
    if (!tensor_alloc(ip, x.dtype, x.rank, x.dims, out))
        return false;
    int64_t bytes = dtype_bytes(x.dtype), offset = 0;
    memcpy(out->data, x.data, (size_t)(tensor_elements(&x) * bytes));
    Strided to = strided_of(out);
    for (uint32_t i = 0; i < x.rank; i++)
        offset += clamped_start(&in[2], i, x.dims[i], update.dims[i]) * to.stride[i];
    if (tensor_elements(&update))
        to.at += offset * bytes;
    strided_copy(bytes, x.rank, update.dims, to, strided_of(&update));
    return true;
}

/* The clamped start of axis i as a dim: one of extent - size + 1 places; 0 where the slice is the
 * whole axis. */
static Dim load_start(IndexQuery *q, uint32_t operand, uint32_t i, Dim extent, Dim size) {
    Context *cx = q->g->cx;
    if (dim_same(extent, size))
        return dim_const(cx, 0);
    Dim *at = arena_new_array(q->arena, Dim, 1);
    at[0] = dim_const(cx, i);
    return q->load(q->user, operand, at, dim_addi(cx, dim_sub(cx, extent, size), 1));
}

uint32_t index_dyn_slice(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    const TypeInfo *x = val_type(q->g, q->node->in[0]), *y = type_info(cx, q->node->type);
    Dim *at = arena_new_array(q->arena, Dim, x->rank);
    for (uint32_t i = 0; i < x->rank; i++)
        at[i] = dim_add(cx, q->at[i], load_start(q, 1, i, x->dims[i], y->dims[i]));
    Cases list = {0};
    Conditions always = {0};
    case_add(q, &list, 0, at, &always);
    return cases_done(&list, cases);
}

uint32_t index_dyn_update(IndexQuery *q, const IndexCase **cases) {
    Context *cx = q->g->cx;
    const TypeInfo *x = val_type(q->g, q->node->in[0]), *update = val_type(q->g, q->node->in[1]);
    Dim *at = arena_new_array(q->arena, Dim, x->rank), zero = dim_const(cx, 0);
    Cases list = {0};
    Conditions inside = {0}, always = {0};
    for (uint32_t i = 0; i < x->rank; i++) {
        at[i] = dim_sub(cx, q->at[i], load_start(q, 2, i, x->dims[i], update->dims[i]));
        if (dim_same(x->dims[i], update->dims[i]))
            continue;
        condition_add(q, &inside, REL_LE, zero, at[i]);
        condition_add(q, &inside, REL_LT, at[i], update->dims[i]);
    }
    case_add(q, &list, 1, at, &inside);
    case_add(q, &list, 0, q->at, &always);
    return cases_done(&list, cases);
}
