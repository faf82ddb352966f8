/* narrow.c: pass `narrow`, run for --precision=bf16: contractions of f32 take bf16 operands; sums stay f32.
 *
 * The constant is rounded once, when it is written to the artifact, and laid out in pairs along k (ENCODING_PAIR16), which
 * every tier reads: half the bytes, and one instruction for two products where the CPU has one.  Any other operand is rounded
 * where it is made, for all its readers (they widen it again), so that pass `fuse` stores it once, in half the bytes; inputs
 * and results of the graph stay as they are.  What is computed between two contractions stays f32, and so do convolutions of
 * few channels, whose pairs would be mostly empty; of one channel pairs are taps side by side (pass `lines`).
 * Of `attend` the values are rounded; its exponentials then are where they meet them.
 * Source: Intel SDM 2C, VDPBF16PS.
 */
#include "passes.h"

enum { LEAST_CHANNELS = 8, FEW_ROWS = 4 };

/* Takes bf16 operands made while running: not of few rows, which read each number of w for as many products, nor of little
 * depth. */
static bool meets_in_pairs(const Graph *g, const Node *n) {
    Scalar splat;
    if (n->op != OP_dot && n->op != OP_attend) return false;
    const TypeInfo *y = type_info(g->cx, n->type), *w = val_type(g, n->in[1]);
    if (y->dtype != DT_f32 || w->dtype != DT_f32 || w->encoding != ENCODING_DENSE) return false;
    if (val_splat(g, n->in[0], &splat) || val_splat(g, n->in[1], &splat)) return false;
    uint32_t batch = (uint32_t)attr_int(n, ATTR_batch);
    int64_t rows, depth;
    if (dim_const_value(g->cx, dim_product(g->cx, y->dims + batch, y->rank - batch - 1), &rows) && rows <= FEW_ROWS)
        return false;
    return !dim_const_value(g->cx, w->dims[w->rank - 2], &depth) || depth >= LEAST_CHANNELS;
}

/* Of one channel the taps of a line, which must not leave it. */
static bool pairs_taps(const Graph *g, const Node *n) {
    Context *cx = g->cx;
    const TypeInfo *w = val_type(g, n->in[1]);
    uint32_t last = w->rank - 3;
    int64_t low, high;
    if (attr_int(n, ATTR_groups) != 1 || attr_ints(n, ATTR_dilation, NULL)[last] != 1) return false;
    if (dim_is(cx, w->dims[last], 1)) return false;
    return dim_const_value(cx, attr_dims(n, ATTR_low, NULL)[last], &low) && low <= 0 &&
           dim_const_value(cx, attr_dims(n, ATTR_high, NULL)[last], &high) && high <= 0;
}

static bool takes_pairs(const Graph *g, const Node *n) {
    int64_t channels;
    Scalar splat;
    if (!wants_panels(g, n) || n->op == OP_winograd || val_splat(g, n->in[0], &splat)) return false;
    const TypeInfo *w = val_type(g, n->in[1]);
    if (w->dtype != DT_f32) return false;
    if (n->op != OP_conv || !dim_const_value(g->cx, w->dims[w->rank - 2], &channels) || channels >= LEAST_CHANNELS) return true;
    return channels == 1 && pairs_taps(g, n);
}

typedef struct Narrowed {
    const Graph *of;             /* what the rest is about */
    bool *rounded;               /* by node: a narrowed contraction reads it, perhaps through views */
    VEC(Val) from;               /* constants, and their pairs */
    VEC(Const) to;
} Narrowed;

/* The contraction that v is the result of, with pointwise ops behind it, or 0. */
static Val product_of(const Graph *g, Val v, uint32_t fuel) {
    const Node *n = node(g, v);
    if (op_info[n->op].kind == KIND_CONTRACT) return val_dtype(g, v) == DT_f32 ? v : (Val){0};
    Val found = {0};
    for (uint32_t i = 0; i < n->n_in && fuel && !found.id && op_info[n->op].kind == KIND_EW; i++)
        found = product_of(g, n->in[i], fuel - 1);
    return found;
}

/* Where two products meet in what is rounded in the end, as in a residual block's first addition or a gated layer, one waits in
 * memory for the other: pass `fuse` grows kernels from the first, so that it is the second. */
static void mark_waiting(Narrowed *n, const Graph *g, bool *leads, Val v) {
    enum { FUEL = 4 };
    const Node *op = node(g, v);
    if (op_info[op->op].kind != KIND_EW || val_dtype(g, v) != DT_f32 || !(n->rounded[v.id] || leads[v.id])) return;
    for (uint32_t i = 0; i < op->n_in; i++) leads[op->in[i].id] = true;
    if (op->n_in != 2) return;
    Val a = product_of(g, op->in[0], FUEL), b = product_of(g, op->in[1], FUEL);
    if (a.id && b.id && a.id != b.id) n->rounded[op->in[a.id < b.id].id] = true;
}

static void mark_rounded(Narrowed *n, const Graph *g) {
    Context *cx = g->cx;
    if (n->of == g) return;
    n->of = g, n->from.n = n->to.n = 0;
    n->rounded = arena_new_array(cx->arena, bool, g->nodes.n);
    bool *leads = arena_new_array(cx->arena, bool, g->nodes.n);
    ConstView view;
    for (uint32_t i = g->nodes.n; i-- > 1;) {
        const Node *reader = &g->nodes.at[i];
        mark_waiting(n, g, leads, (Val){i});
        bool is_view = op_info[reader->op].kind == KIND_VIEW;
        bool constant = !is_view && takes_pairs(g, reader) && find_view(g, reader->in[1], &view);
        bool both = !is_view && !constant && meets_in_pairs(g, reader);
        if (is_view ? n->rounded[i] : constant || (both && reader->op != OP_attend)) n->rounded[reader->in[0].id] = true;
        if (both) n->rounded[reader->in[1].id] = true;
        if (reader->op == OP_window_max && n->rounded[i]) n->rounded[reader->in[0].id] = true;
        if (is_view || reader->op == OP_overwrite) n->rounded[i] = false; /* the latter lies in the caller's memory */
    }
    for (uint32_t i = 0; i < g->results.n; i++) n->rounded[g->results.at[i].id] = false;
}

static Const pairs_of(Rewrite *rw, Val w) {
    Narrowed *memo = rw->user;
    ConstView view;
    for (uint32_t i = 0; i < memo->from.n; i++)
        if (memo->from.at[i].id == w.id) return memo->to.at[i];
    Const c = find_view(rw->from, w, &view) ? const_view(rw->to->cx, ENCODING_PAIR16, &view) : (Const){0};
    vec_push(rw->to->arena, &memo->from, w);
    vec_push(rw->to->arena, &memo->to, c);
    return c;
}

/* v in bf16: what it was widened from, behind the same views; or rounded. */
static Val in_bf16(Graph *g, Val v) {
    const Node *n = node(g, v);
    if (n->op == OP_convert && val_dtype(g, n->in[0]) == DT_bf16) return n->in[0];
    Val base = v;
    while (op_info[val_op(g, base)].kind == KIND_VIEW) base = val_in(g, base, 0);
    if (base.id == v.id || val_op(g, base) != OP_convert || val_dtype(g, val_in(g, base, 0)) != DT_bf16)
        return b_convert(g, n->loc, v, DT_bf16);
    Val below = in_bf16(g, n->in[0]);
    return emit(g, node(g, v)->op, node(g, v)->loc, &below, 1, node(g, v)->attrs, node(g, v)->n_attrs);
}

/* A sum's own rounding is far below that of its products' operands, for which f32 keeps chunks short: longer ones spare the
 * additions between them (ResNet-50 -4 %, BERT -2.5; 512 products: -4, -0.5). */
static Val with_long_chunks(Rewrite *rw, const Node *old, const Val *in) {
    enum { LEAST = 128, LONG = 1024 };
    const Attr *chunk = node_attr(old, ATTR_chunk);
    bool is_short = chunk && chunk->as.i >= LEAST && chunk->as.i < LONG;
    return is_short ? rewrite_chunk(rw, old, in, LONG) : rewrite_copy(rw, old, in);
}

static Val narrow_contraction(Rewrite *rw, const Node *old, const Val *in) {
    Const c;
    if (!takes_pairs(rw->from, old) || !(c = pairs_of(rw, old->in[1])).id) {
        if (!meets_in_pairs(rw->from, old)) return (Val){0};
        Val made[] = {old->op == OP_attend ? in[0] : in_bf16(rw->to, in[0]), in_bf16(rw->to, in[1])};
        return rewrite_copy(rw, old, made);
    }
    TypeInfo w = *val_type(rw->from, old->in[1]);
    w.dtype = DT_bf16;
    Val operands[] = {in_bf16(rw->to, in[0]), rewrite_const(rw, node(rw->from, old->in[1])->loc, c, &w)};
    return with_long_chunks(rw, old, operands);
}

static Val narrow(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Narrowed *memo = rw->user;
    mark_rounded(memo, rw->from);
    Val v = narrow_contraction(rw, old, in);
    if (!memo->rounded[old_val.id] || op_info[old->op].kind == KIND_SOURCE || val_dtype(rw->from, old_val) != DT_f32) return v;
    if (old->op == OP_window_max) { /* the largest is the same before rounding and after */
        Val below = in_bf16(rw->to, in[0]);
        v = emit(rw->to, old->op, old->loc, &below, 1, old->attrs, old->n_attrs);
    }
    if (!v.id) v = rewrite_copy(rw, old, in);
    if (!v.id) return v;
    return b_convert(rw->to, old->loc, b_convert(rw->to, old->loc, v, DT_bf16), DT_f32);
}

Graph *pass_narrow(Context *cx, const Graph *g, const Tiers *tiers) {
    Narrowed memo = {0};
    (void)tiers;
    return graph_rewrite(cx, g, narrow, &memo, true);
}
