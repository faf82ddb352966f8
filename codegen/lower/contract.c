/* contract.c: a contraction or convolution computed inside one element (or one vector of elements): the general path, for
 * every dtype, grouping and shape that the tiled templates do not take; depthwise convolutions are at home here.
 *
 * Same order as the tiles, so the choice of template changes no bit: K is cut into chunks (attribute chunk; whole filter
 * taps where a tap is smaller than a chunk), each one ascending fma chain from +0 (two by two where a dot's operands are bf16),
 * chunk sums added left to right.
 * Taps outside the image are skipped, which equals adding +0.
 */
#include "lower.h"

typedef struct Contraction {
    const Node *node;
    DType compute;
    bool fma;
    bool pairs;              /* of bf16: dot_bf16's order */
    const Dim *at;           /* of the result */
    const TypeInfo *x, *w;
    Dim x_at[MAX_RANK], w_at[MAX_RANK];
    Dim extent;              /* of the innermost summation axis */
    uint32_t x_axis, w_axis; /* that axis in the operands */
    uint32_t taps;           /* spatial axes of a convolution */
    Dim channel;             /* first input channel of the group */
    uint32_t lanes;
} Contraction;

LVal contract_step(LoopBuilder *b, bool fused, LVal x, LVal w, LVal acc) {
    if (dtype_is_float((DType)loop_type(b, acc).dtype) && fused) return l_fma(b, x, w, acc);
    return l_add(b, acc, l_mul(b, x, w));
}

static LVal zero(Kernel *k, const Contraction *c) {
    LType t = lt_vector(c->compute, c->lanes);
    return dtype_is_float(c->compute) ? l_float(k->b, t, 0) : l_int(k->b, t, 0);
}

static LVal element(Kernel *k, const Contraction *c, Val v, const Dim *at) {
    return l_splat(k->b, l_convert(k->b, kernel_eval(k, v, at), c->compute), c->lanes);
}

/* acc += x[i] w[i]. */
static void add_product(Kernel *k, Contraction *c, Dim i, LVal *acc) {
    c->x_at[c->x_axis] = dim_add(k->cx, c->channel, i);
    c->w_at[c->w_axis] = i;
    LVal x = element(k, c, c->node->in[0], c->x_at), w = element(k, c, c->node->in[1], c->w_at);
    *acc = contract_step(k->b, c->fma, x, w, *acc);
}

/* for i in [begin, end): acc += x[i] w[i]; of pairs the second first. */
static void inner_loop(Kernel *k, Contraction *c, LVal begin, LVal end, LVal *acc) {
    LoopBuilder *b = k->b;
    KernelLoop loop;
    if (c->pairs) {
        LVal whole = l_add(b, begin, l_bin(b, LOP_and, l_sub(b, end, begin), l_i64(b, -2)));
        Dim i = kernel_loop(k, &loop, begin, whole, dim_addi(k->cx, c->extent, -1), 2, acc, 1);
        add_product(k, c, dim_addi(k->cx, i, 1), acc);
        add_product(k, c, i, acc);
        kernel_loop_end(k, &loop, acc, 1);
        begin = whole;
    }
    Dim i = kernel_loop(k, &loop, begin, end, c->extent, 1, acc, 1);
    add_product(k, c, i, acc);
    kernel_loop_end(k, &loop, acc, 1);
}

/* The innermost axis, chunk by chunk, onto *sum. */
static void chunked_axis(Kernel *k, Contraction *c, LVal *sum) {
    int64_t chunk = attr_int(c->node, ATTR_chunk);
    Dim size = dim_const(k->cx, chunk);
    if (prove(k->cx, k->scope, REL_LE, c->extent, size) == YES) {
        inner_loop(k, c, l_i64(k->b, 0), kernel_dim(k, c->extent), sum);
        return;
    }
    LVal index, end = kernel_dim(k, c->extent);
    LFor loop = l_for(k->b, l_i64(k->b, 0), end, chunk, LOOP_SERIAL, sum, 1, &index);
    uint32_t memo = k->memo.n;
    LVal acc = zero(k, c);
    inner_loop(k, c, index, l_min(k->b, end, l_add(k->b, index, l_i64(k->b, chunk))), &acc);
    *sum = l_add(k->b, *sum, acc);
    k->memo.n = memo;
    l_for_end(k->b, &loop, sum, 1);
}

static void tap_axis(Kernel *k, Contraction *c, uint32_t axis, LVal *acc);

/* Under the lanes for which `ok` holds; the others keep their sum. */
typedef void TapsFn(Kernel *, Contraction *, uint32_t axis, LVal *acc);
static void masked_taps(Kernel *k, Contraction *c, const Fact *inside, uint32_t n, LVal ok, TapsFn *taps, uint32_t axis,
                        LVal *acc) {
    LVal outer = k->mask, before = *acc;
    KernelScope scope;
    ok = l_splat(k->b, ok, k->lanes);
    kernel_enter(k, &scope, inside, n);
    k->mask = outer.id ? l_bin(k->b, LOP_and, outer, ok) : ok;
    taps(k, c, axis, acc);
    k->mask = outer;
    kernel_leave(k, &scope);
    *acc = l_select(k->b, ok, *acc, before);
}

/* The lanes lie along a spatial axis: every tap is visited, and positions outside the image are masked. */
static void tap_axis_masked(Kernel *k, Contraction *c, uint32_t axis, Dim base, Dim step, LVal *acc) {
    Context *cx = k->cx;
    Dim window = c->w->dims[axis];
    KernelLoop loop;
    Dim j = kernel_loop(k, &loop, l_i64(k->b, 0), kernel_dim(k, window), window, 1, acc, 1);
    c->x_at[axis + 1] = dim_add(cx, base, dim_mul(cx, j, step));
    c->w_at[axis] = j;
    Fact inside[] = {{REL_LE, dim_const(cx, 0), c->x_at[axis + 1]}, {REL_LT, c->x_at[axis + 1], c->x->dims[axis + 1]}};
    LVal ok = l_bin(k->b, LOP_and, kernel_fact(k, inside[0]), kernel_fact(k, inside[1]));
    masked_taps(k, c, inside, 2, ok, tap_axis, axis + 1, acc);
    kernel_loop_end(k, &loop, acc, 1);
}

/* One spatial axis; the tap index is a loop symbol, positions outside the image give no contribution. */
static void tap_axis(Kernel *k, Contraction *c, uint32_t axis, LVal *acc) {
    Context *cx = k->cx;
    if (axis == c->taps) {
        inner_loop(k, c, l_i64(k->b, 0), kernel_dim(k, c->extent), acc);
        return;
    }
    int64_t stride = attr_ints(c->node, ATTR_stride, NULL)[axis], step = attr_ints(c->node, ATTR_dilation, NULL)[axis];
    Dim low = attr_dims(c->node, ATTR_low, NULL)[axis], window = c->w->dims[axis], extent = c->x->dims[axis + 1];
    Dim base = dim_sub(cx, dim_muli(cx, c->at[axis + 1], stride), low), zero_dim = dim_const(cx, 0);
    Dim d = dim_const(cx, step);
    if (kernel_varies(k, base)) {
        tap_axis_masked(k, c, axis, base, d, acc);
        return;
    }
    LVal begin = kernel_dim(k, kernel_simplify(k, dim_max(cx, zero_dim, dim_cdiv(cx, dim_sub(cx, zero_dim, base), d))));
    LVal end = kernel_dim(k, kernel_simplify(k, dim_min(cx, window, dim_cdiv(cx, dim_sub(cx, extent, base), d))));
    KernelLoop loop;
    Dim j = kernel_loop(k, &loop, begin, end, window, 1, acc, 1);
    c->x_at[axis + 1] = dim_add(cx, base, dim_mul(cx, j, d));
    c->w_at[axis] = j;
    Fact inside[] = {{REL_LE, zero_dim, c->x_at[axis + 1]}, {REL_LT, c->x_at[axis + 1], extent}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 2);
    tap_axis(k, c, axis + 1, acc);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, acc, 1);
}

/* The channels of one tap. */
static void tap_channels(Kernel *k, Contraction *c, uint32_t chunked, LVal *acc) {
    if (chunked) chunked_axis(k, c, acc);
    else inner_loop(k, c, l_i64(k->b, 0), kernel_dim(k, c->extent), acc);
}

/* Taps in row-major order where they need several chunks: a whole number of taps a chunk, or one tap in several. */
static void chunked_taps(Kernel *k, Contraction *c, LVal *sum) {
    Context *cx = k->cx;
    int64_t chunk = attr_int(c->node, ATTR_chunk), channels = 0;
    dim_const_value(cx, c->extent, &channels);
    int64_t group = channels >= chunk ? 1 : chunk / (channels ? channels : 1);
    Dim total = dim_product(cx, c->w->dims, c->taps);
    LVal first, end = kernel_dim(k, total);
    LFor outer = l_for(k->b, l_i64(k->b, 0), end, group, LOOP_SERIAL, sum, 1, &first);
    uint32_t memo = k->memo.n;
    LVal acc = channels > chunk ? *sum : zero(k, c);
    LVal last = l_min(k->b, end, l_add(k->b, first, l_i64(k->b, group)));
    KernelLoop loop;
    Dim tap = kernel_loop(k, &loop, first, last, total, 1, &acc, 1);
    Fact facts[MAX_RANK], inside[2 * MAX_RANK];
    Dim at[MAX_RANK];
    kernel_split(k, tap, c->w->dims, c->taps, at, facts);
    LVal ok = l_bool(k->b, true);
    for (uint32_t i = 0; i < c->taps; i++) {
        int64_t stride = attr_ints(c->node, ATTR_stride, NULL)[i], step = attr_ints(c->node, ATTR_dilation, NULL)[i];
        Dim base = dim_sub(cx, dim_muli(cx, c->at[i + 1], stride), attr_dims(c->node, ATTR_low, NULL)[i]);
        c->w_at[i] = at[i];
        c->x_at[i + 1] = dim_add(cx, base, dim_muli(cx, at[i], step));
        inside[2 * i] = (Fact){REL_LE, dim_const(cx, 0), c->x_at[i + 1]};
        inside[2 * i + 1] = (Fact){REL_LT, c->x_at[i + 1], c->x->dims[i + 1]};
        ok = l_bin(k->b, LOP_and, ok, l_bin(k->b, LOP_and, kernel_fact(k, inside[2 * i]), kernel_fact(k, inside[2 * i + 1])));
    }
    if (loop_type(k->b, ok).lanes > 1) {
        masked_taps(k, c, inside, 2 * c->taps, ok, tap_channels, channels > chunk, &acc);
    } else {
        LVal before = acc, after = acc;
        KernelScope scope;
        LIf branch = l_if(k->b, ok);
        kernel_enter(k, &scope, inside, 2 * c->taps);
        tap_channels(k, c, channels > chunk, &after);
        kernel_leave(k, &scope);
        l_else(k->b, &branch, &after, 1);
        l_if_end(k->b, &branch, &before, 1, &acc);
    }
    kernel_loop_end(k, &loop, &acc, 1);
    *sum = channels > chunk ? acc : l_add(k->b, *sum, acc);
    k->memo.n = memo;
    l_for_end(k->b, &outer, sum, 1);
}

static LVal contract_conv(Kernel *k, Contraction *c) {
    Context *cx = k->cx;
    uint32_t rank = c->x->rank;
    c->taps = rank - 2;
    c->x_axis = rank - 1, c->w_axis = rank - 2;
    c->extent = c->w->dims[rank - 2];
    Dim f = c->at[rank - 1], per_group = dim_fdiv(cx, c->w->dims[rank - 1], dim_const(cx, attr_int(c->node, ATTR_groups)));
    c->channel = dim_mul(cx, kernel_simplify(k, dim_fdiv(cx, f, per_group)), c->extent);
    c->x_at[0] = c->at[0];
    c->w_at[rank - 1] = f;
    LVal sum = zero(k, c);
    Dim total = dim_mul(cx, dim_product(cx, c->w->dims, c->taps), c->extent);
    if (prove(cx, k->scope, REL_LE, total, dim_const(cx, attr_int(c->node, ATTR_chunk))) == YES) tap_axis(k, c, 0, &sum);
    else chunked_taps(k, c, &sum);
    return sum;
}

static LVal contract_dot(Kernel *k, Contraction *c) {
    uint32_t batch = (uint32_t)attr_int(c->node, ATTR_batch), xr = c->x->rank, wr = c->w->rank;
    for (uint32_t i = 0; i + 1 < xr; i++) c->x_at[i] = c->at[i];
    for (uint32_t i = 0; i < batch; i++) c->w_at[i] = c->at[i];
    c->w_at[wr - 1] = c->at[xr - 1];
    c->x_axis = xr - 1, c->w_axis = wr - 2;
    c->extent = c->x->dims[xr - 1];
    c->channel = dim_const(k->cx, 0);
    LVal sum = zero(k, c);
    chunked_axis(k, c, &sum);
    return sum;
}

LVal kernel_contract(Kernel *k, Val v, const Dim *at) {
    const Node *n = node(k->body, v);
    DType dtype = val_dtype(k->body, v);
    Contraction c = {.node = n, .at = at, .x = val_type(k->body, n->in[0]), .w = val_type(k->body, n->in[1]),
                     .compute = loop_compute_dtype(dtype), .fma = k->fma, .lanes = 1};
    c.pairs = n->op == OP_dot && c.w->dtype == DT_bf16 && k->fma;
    for (uint32_t i = 0; i < val_rank(k->body, v); i++)
        if (kernel_varies(k, at[i])) c.lanes = k->lanes;
    if (encoding_rows(c.w->encoding) > 1) diag_fatal(k->cx, "schedule: an operand in pairs or quads asks for register tiles");
    LVal mask = k->mask;
    uint32_t lanes = k->lanes;
    if (c.lanes == 1) k->lanes = 1, k->mask = (LVal){0};
    LVal sum = n->op == OP_conv ? contract_conv(k, &c) : contract_dot(k, &c);
    k->lanes = lanes, k->mask = mask;
    return l_round(k->b, sum, dtype);
}
