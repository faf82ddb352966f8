/* template.c: which template computes an anchor: the one choice that passes `fuse` (what may join the kernel) and `schedule`
 * (which numbers it needs) both rest on.
 *
 * Invariant: the answer depends on the anchor and the types of its operands alone, so that it is the same in the whole graph
 * and in the kernel's body.
 */
#include "passes.h"
#include <string.h>

/* Where the op alone decides. */
static const Template op_template[OP_COUNT] = {
    [OP_arg_max] = TEMPLATE_arg,
    [OP_arg_min] = TEMPLATE_arg,
    [OP_window_arg_max] = TEMPLATE_map,
    [OP_scatter_nd] = TEMPLATE_scatter,
    [OP_scatter_elements] = TEMPLATE_scatter,
    [OP_overwrite] = TEMPLATE_overwrite,
    [OP_cum_sum] = TEMPLATE_cumulate,
    [OP_cum_prod] = TEMPLATE_cumulate,
    [OP_top_k] = TEMPLATE_top_k,
    [OP_nonzero] = TEMPLATE_nonzero,
    [OP_dot] = TEMPLATE_contraction,
    [OP_winograd] = TEMPLATE_winograd,
    [OP_attend] = TEMPLATE_attention,
};

int reduces_rows(const Graph *g, const Node *n) {
    if (op_info[n->op].kind != KIND_REDUCE || !node_attr(n, ATTR_axes) || attr_int(n, ATTR_order) == 1) return -1;
    uint32_t n_axes, rank = val_rank(g, n->in[0]);
    const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
    for (uint32_t i = 0; i < n_axes; i++)
        if (axes[i] != rank - n_axes + i) return -1;
    return (int)(rank - n_axes);
}

/* A convolution in groups so small that sixteen filters lie in several, and need at most two vectors of channels. */
bool shares_vectors(const Graph *g, const Node *n, int64_t filters) {
    enum { MOST_TAPS = 64, WIDEST = 64, MOST_CHANNELS = 16384, LANES = 16 };
    const TypeInfo *w = val_type(g, n->in[1]);
    int64_t groups = attr_int(n, ATTR_groups), channels, taps = 1;
    if (groups < 2 || w->dtype != DT_f32 || w->encoding != ENCODING_DENSE) return false;
    if (type_info(g->cx, n->type)->dtype != DT_f32) return false;
    if (!dim_const_value(g->cx, w->dims[w->rank - 2], &channels)) return false;
    for (uint32_t i = 0; i + 2 < w->rank; i++) {
        int64_t extent, reach;
        if (!dim_const_value(g->cx, w->dims[i], &extent) || extent < 1) return false;
        if (!ck_mul(taps, extent, &taps) || taps > MOST_TAPS) return false;
        if (!ck_mul(extent - 1, attr_ints(n, ATTR_dilation, NULL)[i], &reach) || reach > WIDEST) return false;
        if (attr_ints(n, ATTR_stride, NULL)[i] > WIDEST / LANES) return false;
    }
    if (filters < 1 || channels < 1 || LANES % filters || LANES / filters * channels > 2 * LANES) return false;
    if (channels * groups > MOST_CHANNELS || taps * channels > attr_int(n, ATTR_chunk)) return false;
    return !val_splat(g, n->in[0], &(Scalar){0});
}

static bool small_groups(const Graph *g, const Node *n) {
    int64_t filters;
    const TypeInfo *w = val_type(g, n->in[1]);
    return dim_const_value(g->cx, w->dims[w->rank - 1], &filters) && shares_vectors(g, n, filters / attr_int(n, ATTR_groups));
}

bool reads_planes(const Graph *g, const Node *n) {
    enum { LEAST_WIDTH = 7, MOST_STRIDE = 2 };
    static const int64_t last[] = {0, 2, 3, 1};
    if (n->op != OP_conv || val_op(g, n->in[0]) != OP_permute || val_rank(g, n->in[0]) != COUNT(last) || !small_groups(g, n))
        return false;
    const TypeInfo *x = val_type(g, n->in[0]), *w = val_type(g, n->in[1]);
    if (memcmp(attr_ints(node(g, n->in[0]), ATTR_perm, NULL), last, sizeof last)) return false;
    if (!dim_is(g->cx, w->dims[2], 1) || !dim_is(g->cx, w->dims[3], attr_int(n, ATTR_groups))) return false;
    const int64_t *stride = attr_ints(n, ATTR_stride, NULL);
    return stride[0] <= MOST_STRIDE && stride[1] <= MOST_STRIDE && dim_hint(g->cx, x->dims[2]) >= LEAST_WIDTH;
}

/* Over axes before the last, with enough columns behind them to fill a few vectors. */
static bool reduces_columns(const Graph *g, const Node *n) {
    enum { LEAST_COLUMNS = 32 };
    uint32_t n_axes, rank = val_rank(g, n->in[0]);
    if (op_info[n->op].kind != KIND_REDUCE || !node_attr(n, ATTR_axes)) return false;
    const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
    if (!n_axes || axes[n_axes - 1] + 1 >= rank) return false;
    uint32_t first = (uint32_t)axes[n_axes - 1] + 1;
    return dim_hint(g->cx, dim_product(g->cx, val_type(g, n->in[0])->dims + first, rank - first)) >= LEAST_COLUMNS;
}

/* So few filters that a panel of sixteen columns would be mostly empty, in lines of many pixels. */
static bool has_few_filters(const Graph *g, const Node *n) {
    enum { MOST_FILTERS = 6, LEAST_TAPS = 3, LEAST_WIDTH = 16, SEEN_BYTES = 1 << 18 };
    Context *cx = g->cx;
    if (n->op != OP_conv) return false;
    const TypeInfo *x = val_type(g, n->in[0]), *w = val_type(g, n->in[1]), *y = type_info(cx, n->type);
    if (w->encoding != ENCODING_PANEL16 || attr_int(n, ATTR_groups) != 1 || y->rank < 3 || y->rank > 4) return false;
    if (w->dtype != DT_f32 || x->dtype != DT_f32 || y->dtype != DT_f32 || val_splat(g, n->in[0], &(Scalar){0})) return false;
    int64_t taps[2] = {1, 1}, seen[2] = {1, 1}, channels, filters, bytes;
    for (uint32_t i = 0, to = 4 - y->rank; i < y->rank - 2; i++, to++) {
        if (attr_ints(n, ATTR_stride, NULL)[i] != 1) return false;
        if (!dim_const_value(cx, w->dims[i], &taps[to]) || taps[to] < 1) return false;
        if (!ck_mul(taps[to] - 1, attr_ints(n, ATTR_dilation, NULL)[i], &seen[to])) return false;
    }
    if (!dim_const_value(cx, w->dims[y->rank - 2], &channels)) return false;
    if (!dim_const_value(cx, w->dims[y->rank - 1], &filters)) return false;
    if (channels < 1 || channels > attr_int(n, ATTR_chunk) || filters < 1 || filters > MOST_FILTERS) return false;
    bytes = sat_mul(sat_mul(sat_add(seen[0], 1), sat_add(seen[1], 64)), channels * 4); /* under a line of results */
    if (sat_mul(taps[0], taps[1]) < LEAST_TAPS || bytes > SEEN_BYTES) return false;
    return dim_hint(cx, y->dims[y->rank - 2]) >= LEAST_WIDTH;
}

/* Filters that are made while running, or given: read where they lie, sixteen of a group beside each other. */
static bool reads_given_filters(const Graph *g, const Node *n) {
    Scalar splat;
    if (n->op != OP_conv || !wants_panels(g, n) || val_type(g, n->in[1])->encoding != ENCODING_DENSE) return false;
    return type_info(g->cx, n->type)->dtype == DT_f32 && !val_splat(g, n->in[1], &splat);
}

Template anchor_template(const Graph *g, const Node *anchor) {
    if (op_template[anchor->op]) return op_template[anchor->op];
    if (has_few_filters(g, anchor)) return TEMPLATE_few;
    if (reads_given_filters(g, anchor)) return TEMPLATE_convolution;
    if (op_info[anchor->op].kind == KIND_CONTRACT && val_type(g, anchor->in[1])->encoding != ENCODING_DENSE)
        return TEMPLATE_convolution;
    if (reads_planes(g, anchor)) return TEMPLATE_planes;
    if (anchor->op == OP_conv && small_groups(g, anchor)) return TEMPLATE_grouped;
    if (reduces_rows(g, anchor) >= 0) return TEMPLATE_row;
    return reduces_columns(g, anchor) ? TEMPLATE_columns : TEMPLATE_map;
}

/* ---- separable convolutions --------------------------------------------------------------------------------------------- */

/* One part of K (separable.c); the same pixels on both sides. */
static bool is_one_tap(const Graph *g, const Node *n) {
    Context *cx = g->cx;
    const TypeInfo *x = val_type(g, n->in[0]), *w = val_type(g, n->in[1]), *y = type_info(cx, n->type);
    if (n->op != OP_conv || attr_int(n, ATTR_groups) != 1 || w->encoding == ENCODING_DENSE) return false;
    for (uint32_t i = 0; i + 2 < w->rank; i++)
        if (!dim_is(cx, w->dims[i], 1) || !dim_same(x->dims[i + 1], y->dims[i + 1]) ||
            attr_ints(n, ATTR_stride, NULL)[i] != 1 || !dim_is(cx, attr_dims(n, ATTR_low, NULL)[i], 0))
            return false;
    return prove(cx, NULL, REL_LE, w->dims[w->rank - 2], dim_const(cx, attr_int(n, ATTR_chunk))) == YES;
}

/* What lies between them is larger than the second cache: it would leave for the third before it is read, and both ways are
 * spared.  Smaller ones stay where they are, and panels would be read again for every strip: measured, as fast or slower. */
bool pays_as_separable(const Graph *g, const Node *grouped, const Node *product, const Tiers *tiers) {
    if (!tiers || !tiers->n || anchor_template(g, grouped) != TEMPLATE_grouped || !is_one_tap(g, product)) return false;
    bool pairs = val_type(g, product->in[1])->encoding == ENCODING_PAIR16;
    for (uint32_t i = 0; i < tiers->n; i++)
        if (pairs && tiers->at[i]->tiles_bf16) return false; /* template matrix takes it */
    const TypeInfo *between = val_type(g, product->in[0]);
    int64_t bytes = sat_mul(dim_hint(g->cx, dim_product(g->cx, between->dims, between->rank)), dtype_bytes(between->dtype));
    return bytes >= tiers_target(tiers, 0).l2_bytes;
}

/* ---- pooled convolutions ------------------------------------------------------------------------------------------------- */

/* As above; but strips, which end with their image, must be long enough for the panels that they read again, and a strip's
 * lines with what its windows overlap must fit beside them. */
bool pays_as_pooled(const Graph *g, const Node *conv, const Node *window, const Tiers *tiers) {
    enum { LEAST_ROWS = 96 /* of a strip: seven tiles */ };
    Context *cx = g->cx;
    if (!tiers || !tiers->n || anchor_template(g, conv) != TEMPLATE_convolution) return false;
    if (op_info[window->op].kind != KIND_REDUCE || !node_attr(window, ATTR_window)) return false;
    const TypeInfo *w = val_type(g, conv->in[1]), *between = val_type(g, window->in[0]);
    if (w->encoding == ENCODING_DENSE) return false;
    for (uint32_t i = 0; i < tiers->n; i++)
        if (w->encoding == ENCODING_PAIR16 && tiers->at[i]->tiles_bf16) return false; /* template matrix takes it */
    uint32_t last = between->rank - 1;
    const int64_t *size = attr_ints(window, ATTR_window, NULL), *step = attr_ints(window, ATTR_stride, NULL);
    const Dim *low = attr_dims(window, ATTR_low, NULL), *high = attr_dims(window, ATTR_high, NULL);
    for (uint32_t i = 0; i <= last; i += last) /* images and channels by themselves */
        if (size[i] != 1 || step[i] != 1 || !dim_is(cx, low[i], 0) || !dim_is(cx, high[i], 0)) return false;
    int64_t rows, line, reach = sat_add(sat_mul(size[1] - 1, attr_ints(window, ATTR_dilation, NULL)[1]), 1);
    if (!dim_const_value(cx, dim_product(cx, between->dims + 2, last - 2), &rows) || rows < 1) return false;
    if (!dim_const_value(cx, dim_muli(cx, between->dims[last], dtype_bytes(between->dtype)), &line)) return false;
    line = sat_mul(line, rows);
    int64_t l2 = tiers_target(tiers, 0).l2_bytes, strip = sat_mul(line, sat_add(reach, step[1]));
    int64_t lines = dim_hint(cx, between->dims[1]);
    if (lines > l2 / 2 / line) lines = l2 / 2 / line;
    bool long_enough = sat_mul(lines, rows) >= LEAST_ROWS;
    return sat_mul(dim_hint(cx, dim_product(cx, between->dims, 2)), line) >= l2 && strip <= l2 / 2 && long_enough;
}

/* ---- transposes --------------------------------------------------------------------------------------------------------- */

typedef struct Strides {
    const Graph *body;
    uint32_t rank;
    bool along[MAX_RANK];        /* still possible: every read is contiguous along this axis, or the same all along it */
    bool crosses, fine;          /* some read moves along the last axis with a stride; none is contiguous along it */
    bool contiguous[MAX_RANK];   /* some read is contiguous along this axis and moves along the last */
} Strides;

static void read_strides(void *user, Val leaf, const Dim *at) {
    Strides *s = user;
    Context *cx = s->body->cx;
    const TypeInfo *t = val_type(s->body, leaf);
    Dim offset = access_offset(cx, t->dims, at, t->rank), step, rest;
    if (op_info[val_op(s->body, leaf)].kind != KIND_SOURCE || t->encoding != ENCODING_DENSE) s->fine = false;
    if (!dim_affine(cx, offset, index_symbol(cx, s->rank - 1), &step, &rest) || dim_is(cx, step, 1)) s->fine = false;
    bool moves = !dim_is(cx, step, 0);
    s->crosses |= moves;
    for (uint32_t i = 0; i + 1 < s->rank && s->fine; i++) {
        bool affine = dim_affine(cx, offset, index_symbol(cx, i), &step, &rest);
        s->along[i] &= affine && (dim_is(cx, step, 1) || dim_is(cx, step, 0));
        s->contiguous[i] |= affine && moves && dim_is(cx, step, 1);
    }
}

static void no_choice(void *user, Fact when) {
    (void)when;
    ((Strides *)user)->fine = false;
}

int crossed_axis(const Graph *body) {
    Val v = body->results.at[0];
    const TypeInfo *t = val_type(body, v);
    Dim at[MAX_RANK];
    Fact facts[MAX_RANK];
    Strides s = {.body = body, .rank = t->rank, .fine = true};
    bool wide = dtype_bytes(t->dtype) == 4 || t->dtype == DT_bf16 || t->dtype == DT_f16; /* in registers */
    if (body->results.n != 1 || t->rank < 2 || !wide) return -1;
    for (uint32_t i = 1; i < body->nodes.n; i++)
        if (op_info[body->nodes.at[i].op].kind == KIND_INDEXED) return -1;
    for (uint32_t i = 0; i < t->rank; i++) {
        at[i] = dim_symbol(body->cx, index_symbol(body->cx, i)), s.along[i] = true;
        facts[i] = (Fact){REL_LT, at[i], t->dims[i]};
    }
    Scope scope = {NULL, facts, t->rank};
    Access access = {body, &scope, read_strides, NULL, &s, 0, no_choice};
    if (!access_walk(&access, v, at) || !s.fine || !s.crosses) return -1;
    for (uint32_t i = 0; i + 1 < t->rank; i++) {
        int64_t extent;
        bool is_short = dim_const_value(body->cx, t->dims[i], &extent) && extent < 8;
        if (s.along[i] && s.contiguous[i] && !is_short) return (int)i;
    }
    return -1;
}
