/* bytes.c: pass `bytes`: sums of products of 8-bit numbers that were widened to i32 take them as they are: u8 times i8, in i32.
 *
 * What an importer writes is  sum (i32(x) - zero) w  with x of u8 or i8, and a constant w whose elements i8 holds.  It becomes
 * sum u8 w - zero sum w: the sums of w's columns are constants, x of i8 is moved up by 128, and zero with it, and w lies in
 * groups of four along k (ENCODING_QUAD16), which instruction dot_u8 of Loop IR takes.  Places outside of an image count as
 * zero: where that is not 0, the image is surrounded by it first.  Integers wrap, so every step is exact, whatever the numbers.
 * Runs after layout, when filters lie along columns, and before constants are laid out in panels.
 */
#include "passes.h"

enum { LEAST_DEPTH = 4, MAX_VIEWS = 16, MIDDLE = 128 /* of what i8 is as u8 */ };

/* views(i32(base) - zero): base of u8 or i8, zero of one element or none. */
typedef struct Centred {
    Val base, zero;
    const Node *views[MAX_VIEWS]; /* the last one first */
    uint32_t n;
} Centred;

static bool is_byte(DType t) { return t == DT_u8 || t == DT_i8; }

/* The one number that v repeats, as i32[]; or none. */
static Val repeated(Graph *g, Val v) {
    Scalar splat;
    Loc loc = node(g, v)->loc;
    if (val_splat(g, v, &splat)) return b_int(g, loc, DT_i32, splat.i);
    while (val_op(g, v) == OP_broadcast || val_op(g, v) == OP_reshape) v = val_in(g, v, 0);
    return dim_is(g->cx, type_elements(g->cx, node(g, v)->type), 1) ? b_reshape(g, loc, v, 0, NULL) : (Val){0};
}

static bool find_centred(Graph *g, Val v, Centred *c) {
    for (*c = (Centred){0};; v = val_in(g, v, 0)) {
        const Node *n = node(g, v);
        if (n->op == OP_convert && is_byte(val_dtype(g, n->in[0]))) {
            c->base = n->in[0];
            return val_dtype(g, v) == DT_i32;
        }
        if (op_info[n->op].kind == KIND_VIEW && n->n_in == 1 && c->n < MAX_VIEWS) c->views[c->n++] = n;
        else if (n->op != OP_sub || c->zero.id || !(c->zero = repeated(g, val_in(g, v, 1))).id) return false;
    }
}

/* Outside of an image zero is what u8 holds. */
static bool zero_is_byte(const Graph *g, Val zero) {
    Scalar splat;
    while (val_op(g, zero) == OP_reshape) zero = val_in(g, zero, 0);
    if (val_splat(g, zero, &splat)) return splat.i >= 0 && splat.i <= UINT8_MAX;
    return val_op(g, zero) == OP_convert && val_dtype(g, val_in(g, zero, 0)) == DT_u8;
}

/* x's bytes as u8, behind its views. */
static Val bytes_of(Graph *g, Centred *c) {
    Val v = c->base;
    Loc loc = node(g, v)->loc;
    if (val_dtype(g, v) == DT_i8) {
        Val middle = b_int(g, loc, DT_i32, MIDDLE);
        v = b_convert(g, loc, b_binary(g, loc, OP_add, b_convert(g, loc, v, DT_i32), middle), DT_u8);
        c->zero = c->zero.id ? b_binary(g, loc, OP_add, c->zero, middle) : middle;
    }
    for (uint32_t i = c->n; i-- > 0 && v.id;) {
        const Node *n = c->views[i];
        v = emit(g, n->op, n->loc, &v, 1, n->attrs, n->n_attrs);
    }
    return v;
}

/* ---- the constant ------------------------------------------------------------------------------------------------------- */

/* The sums of the columns, or NULL: i8 does not hold some element. */
static const int32_t *column_sums(Context *cx, const ConstView *v) {
    const ConstInfo *of = const_info(cx, v->of);
    const uint8_t *data = const_bytes(cx, v->of);
    int64_t columns = v->dims[v->rank - 1], rows = 1, index[MAX_RANK] = {0}, at = v->origin;
    for (uint32_t i = 0; i + 1 < v->rank; i++) rows *= v->dims[i];
    uint32_t *sums = arena_new_array(cx->arena, uint32_t, (size_t)columns + 1);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < columns; i++) {
            int64_t place = at + i * v->stride[v->rank - 1];
            int64_t x = scalar_load(of->dtype, data + place * dtype_bytes(of->dtype)).i;
            if (x < INT8_MIN || x > INT8_MAX) return NULL;
            sums[i] += (uint32_t)x;
        }
        for (uint32_t a = v->rank - 1; a-- > 0;) {
            at += v->stride[a];
            if (++index[a] < v->dims[a]) break;
            at -= v->stride[a] * v->dims[a], index[a] = 0;
        }
    }
    return (const int32_t *)sums;
}

typedef struct Weights { Val of; Const quads; const int32_t *sums; } Weights;
typedef struct Memo {
    const Graph *of;             /* whose constants these are */
    VEC(Weights) known;
} Memo;

static Weights weights_of(Rewrite *rw, Val w) {
    Memo *memo = rw->user;
    Context *cx = rw->to->cx;
    if (memo->of != rw->from) memo->of = rw->from, memo->known.n = 0;
    for (uint32_t i = 0; i < memo->known.n; i++)
        if (memo->known.at[i].of.id == w.id) return memo->known.at[i];
    Weights found = {.of = w};
    const Node *n = node(rw->from, w);
    bool widened = n->op == OP_convert && val_dtype(rw->from, n->in[0]) == DT_i8; /* too large to be kept wide */
    ConstView view;
    if (find_view(rw->from, widened ? n->in[0] : w, &view)) found.sums = column_sums(cx, &view);
    if (found.sums) found.quads = const_view(cx, ENCODING_QUAD16, &view);
    vec_push(rw->to->arena, &memo->known, found);
    return found;
}

/* ---- the contraction ---------------------------------------------------------------------------------------------------- */

static bool takes_bytes(const Graph *g, const Node *n) {
    int64_t depth;
    Scalar splat;
    if ((n->op != OP_dot && n->op != OP_conv) || !wants_panels(g, n) || val_splat(g, n->in[0], &splat)) return false;
    const TypeInfo *w = val_type(g, n->in[1]);
    return w->dtype == DT_i32 && dim_const_value(g->cx, w->dims[w->rank - 2], &depth) && depth >= LEAST_DEPTH;
}

static bool is_padded(Context *cx, const Node *n) {
    uint32_t axes = 0;
    if (n->op != OP_conv) return false;
    const Dim *low = attr_dims(n, ATTR_low, &axes), *high = attr_dims(n, ATTR_high, NULL);
    for (uint32_t i = 0; i < axes; i++)
        if (!dim_is(cx, low[i], 0) || !dim_is(cx, high[i], 0)) return true;
    return false;
}

/* The convolution of an image with `zero` around it, none left to add. */
static Val conv_surrounded(Rewrite *rw, const Node *old, const Val *in, Val zero) {
    Graph *g = rw->to;
    Context *cx = g->cx;
    uint32_t rank = val_rank(g, in[0]), axes;
    const Dim *low = attr_dims(old, ATTR_low, &axes), *high = attr_dims(old, ATTR_high, NULL);
    Dim before[MAX_RANK], after[MAX_RANK], none[MAX_RANK];
    int64_t interior[MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank; i++) before[i] = after[i] = none[i] = dim_const(cx, 0);
    for (uint32_t i = 0; i < axes; i++) before[i + 1] = low[i], after[i + 1] = high[i];
    Val operands[] = {b_pad(g, old->loc, in[0], b_convert(g, old->loc, zero, DT_u8), before, after, interior), in[1]};
    Attr attrs[ATTR_COUNT];
    for (uint32_t i = 0; i < old->n_attrs; i++) {
        attrs[i] = old->attrs[i];
        if (attrs[i].key == ATTR_low || attrs[i].key == ATTR_high) attrs[i].as.dims = none;
    }
    return emit(g, old->op, old->loc, operands, 2, attrs, old->n_attrs);
}

/* Less what zero has added to every sum. */
static Val less_zero(Graph *g, Loc loc, Val y, Val zero, Dim columns, const int32_t *sums) {
    int64_t n = 0;
    dim_const_value(g->cx, columns, &n);
    const TypeInfo *t = val_type(g, y);
    Val added = b_binary(g, loc, OP_mul, zero, b_const(g, loc, const_data(g->cx, DT_i32, (uint64_t)n, sums), 1, &columns));
    return b_binary(g, loc, OP_sub, y, b_broadcast_to(g, loc, added, t->rank, t->dims));
}

static Val take_bytes(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    Graph *g = rw->to;
    Centred x;
    Scalar splat;
    (void)old_val;
    if (!takes_bytes(rw->from, old) || !find_centred(g, in[0], &x)) return (Val){0};
    Weights w = weights_of(rw, old->in[1]);
    if (!w.quads.id) return (Val){0};
    Val bytes = bytes_of(g, &x);
    bool padded = is_padded(g->cx, old), moved = x.zero.id && !(val_splat(g, x.zero, &splat) && splat.i == 0);
    if (!bytes.id || (padded && moved && !zero_is_byte(g, x.zero))) return (Val){0};
    TypeInfo t = *val_type(rw->from, old->in[1]);
    t.dtype = DT_i8;
    Val operands[] = {bytes, rewrite_const(rw, node(rw->from, old->in[1])->loc, w.quads, &t)};
    Val y = padded && moved ? conv_surrounded(rw, old, operands, x.zero) : rewrite_copy(rw, old, operands);
    return moved && y.id ? less_zero(g, old->loc, y, x.zero, t.dims[t.rank - 1], w.sums) : y;
}

Graph *pass_bytes(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    Memo memo = {0};
    return graph_rewrite(cx, g, take_bytes, &memo, true);
}
