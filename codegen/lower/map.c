/* map.c: template `map`: every result element on its own, vectors along the innermost axes.
 *
 * The innermost axes that every access treats as one (the address is affine in their common linear index) become a single
 * vector loop; the axes before them are the parallel range.  Where all axes do, the parallel range counts blocks.  Where
 * the last axis alone is left, it is cut at the seams of concats and pads, so that no vector lies on both sides of one.
 * Reductions inside the body are loops per element (reduce.c).
 */
#include "lower.h"
#include <string.h>

enum { BLOCK = 4096 /* elements per parallel step where one loop covers everything */ };

typedef struct Probe {
    Kernel *k;
    Symbol linear;
    int64_t period;          /* of the short last axis, of which a vector holds several; or 0 */
    bool affine;
} Probe;

/* The same again for each turn of the last axis: what is gathered costs less than vectors that are mostly empty. */
static bool repeats(const Probe *p, Dim offset) {
    Context *cx = p->k->cx;
    if (!p->period) return false;
    Dim later = dim_addi(cx, dim_symbol(cx, p->linear), p->period);
    return dim_is(cx, dim_simplify(cx, p->k->scope, dim_sub(cx, dim_substitute(cx, offset, &p->linear, &later, 1), offset)), 0);
}

static void probe_read(void *user, Val leaf, const Dim *at) {
    Probe *p = user;
    const Graph *g = p->k->body;
    const TypeInfo *t = val_type(g, leaf);
    OpKind kind = op_info[val_op(g, leaf)].kind;
    Dim a, b;
    if (kind == KIND_SOURCE) {
        Dim offset = dim_simplify(p->k->cx, p->k->scope, access_offset(p->k->cx, t->dims, at, t->rank));
        if (!dim_affine(p->k->cx, offset, p->linear, &a, &b) && !repeats(p, offset)) p->affine = false;
        return;
    }
    /* A reduction: each axis of its index must move with the linear index or not at all. */
    for (uint32_t i = 0; i < t->rank; i++)
        if (!dim_affine(p->k->cx, at[i], p->linear, &a, &b)) p->affine = false;
}

/* Lanes that lie in different operands of a concat, or in and outside of a pad, cost both sides and divisions for each.
 * Short innermost axes are worth it: vectors would be mostly empty. */
static void probe_choose(void *user, Fact when) {
    Probe *p = user;
    const TypeInfo *t = val_type(p->k->body, p->k->body->results.at[0]);
    int64_t last;
    bool is_short = dim_const_value(p->k->cx, t->dims[t->rank - 1], &last) && last < LANES;
    if (!is_short && (dim_uses(p->k->cx, when.a, p->linear) || dim_uses(p->k->cx, when.b, p->linear))) p->affine = false;
}

/* ---- seams of the last axis --------------------------------------------------------------------------------------------- */

enum { MAX_SEAMS = 8 };
typedef struct Seams {
    Kernel *k;
    Symbol linear;
    uint32_t n;
    int64_t at[MAX_SEAMS];   /* ascending: first element beyond */
    bool ok;
} Seams;

static void ignore_read(void *user, Val leaf, const Dim *at) { (void)user, (void)leaf, (void)at; }

/* Where the truth of the fact changes. */
static void seam_of(void *user, Fact when) {
    Seams *s = user;
    Context *cx = s->k->cx;
    Dim step, rest;
    int64_t sign, at;
    if (!dim_uses(cx, when.a, s->linear) && !dim_uses(cx, when.b, s->linear)) return;
    bool less = when.relation == REL_LT, known = less || when.relation == REL_LE;
    known = known && dim_affine(cx, dim_sub(cx, when.b, when.a), s->linear, &step, &rest) && dim_const_value(cx, step, &sign);
    if (!known || !dim_const_value(cx, rest, &at) || (sign != 1 && sign != -1) || s->n == MAX_SEAMS) {
        s->ok = false;
        return;
    }
    at = sign < 0 ? at + !less : less - at;
    uint32_t i = 0;
    while (i < s->n && s->at[i] < at) i++;
    if (i < s->n && s->at[i] == at) return;
    for (uint32_t j = s->n++; j > i; j--) s->at[j] = s->at[j - 1];
    s->at[i] = at;
}

/* at[] of the suffix axes from their linear index. */
static void split_linear(Kernel *k, const TypeInfo *t, uint32_t first, Dim linear, Dim *at) {
    for (uint32_t i = t->rank; i-- > first;) {
        at[i] = i > first ? kernel_simplify(k, dim_mod(k->cx, linear, t->dims[i])) : linear;
        if (i > first) linear = kernel_simplify(k, dim_fdiv(k->cx, linear, t->dims[i]));
    }
}

static bool suffix_collapses(Kernel *k, const TypeInfo *t, uint32_t first) {
    Context *cx = k->cx;
    Dim at[MAX_RANK];
    Fact facts[2 * MAX_RANK + 2];
    uint32_t n = 0;
    for (uint32_t i = 0; i < first; i++) {
        at[i] = dim_symbol(cx, index_symbol(cx, i));
        facts[n++] = (Fact){REL_LT, at[i], t->dims[i]};
    }
    Symbol linear = index_symbol(cx, MAX_INDEX - 1);
    facts[n++] = (Fact){REL_LT, dim_symbol(cx, linear), dim_product(cx, t->dims + first, t->rank - first)};
    Scope scope = {k->scope, facts, n};
    const Scope *outer = k->scope;
    k->scope = &scope;
    split_linear(k, t, first, dim_symbol(cx, linear), at);
    int64_t last;
    bool part = dim_const_value(cx, t->dims[t->rank - 1], &last) && last > 1 && last < LANES && LANES % last == 0;
    Probe probe = {k, linear, part ? last : 0, true};
    Access access = {k->body, &scope, probe_read, NULL, &probe, 0, probe_choose};
    bool ok = true;
    for (uint32_t r = 0; r < k->body->results.n && ok && probe.affine; r++)
        ok = access_walk(&access, k->body->results.at[r], at);
    k->scope = outer;
    return ok && probe.affine;
}

static uint32_t first_collapsed(Kernel *k, const TypeInfo *t) {
    for (uint32_t s = 0; s + 1 < t->rank; s++)
        if (suffix_collapses(k, t, s)) return s;
    return t->rank ? t->rank - 1 : 0;
}

Dim range_map(Kernel *k) {
    const TypeInfo *t = val_type(k->body, k->body->results.at[0]);
    uint32_t first = first_collapsed(k, t);
    if (first) return dim_product(k->cx, t->dims, first);
    return dim_cdiv(k->cx, dim_product(k->cx, t->dims, t->rank), dim_const(k->cx, BLOCK));
}

Dim scratch_map(Kernel *k) { return dim_const(k->cx, 0); }

typedef struct MapState {
    const TypeInfo *type;
    uint32_t first;
    Dim at[MAX_RANK];
    Dim begin;               /* of this block, where first is 0 */
} MapState;

static void map_step(Kernel *k, void *user, Dim linear, LVal *carried) {
    MapState *s = user;
    (void)carried;
    linear = dim_add(k->cx, s->begin, linear);
    split_linear(k, s->type, s->first, linear, s->at);
    const Graph *g = k->body;
    for (uint32_t r = 0; r < g->results.n; r++) {
        Val v = g->results.at[r];
        LVal value = kernel_eval(k, v, s->at);
        Dim offset = access_offset(k->cx, s->type->dims, s->at, s->type->rank);
        kernel_store(k, k->outputs[r], val_dtype(g, v), offset, value);
    }
}

/* Seams of the innermost loop over `extent` elements of the last axis; none where it may not be cut, or not with profit. */
static Seams find_seams(Kernel *k, const MapState *m, int64_t extent) {
    Seams s = {.k = k, .linear = index_symbol(k->cx, MAX_INDEX - 1), .ok = true};
    Dim at[MAX_RANK];
    const Fact inside[] = {{REL_LT, dim_symbol(k->cx, s.linear), dim_const(k->cx, extent)}};
    Scope scope = {k->scope, inside, 1};
    const Scope *outer = k->scope;
    k->scope = &scope;
    memcpy(at, m->at, sizeof at);
    at[m->first] = dim_symbol(k->cx, s.linear);
    Access access = {k->body, &scope, ignore_read, NULL, &s, 0, seam_of};
    for (uint32_t r = 0; r < k->body->results.n && s.ok; r++) s.ok = access_walk(&access, k->body->results.at[r], at);
    k->scope = outer;
    int64_t before = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        if (s.at[i] - before < LANES) s.ok = false;
        before = s.at[i];
    }
    if (!s.ok || before >= extent) s.n = 0;
    return s;
}

/* The innermost axes, cut at their seams. */
static void map_row(Kernel *k, MapState *s, uint32_t lanes) {
    Context *cx = k->cx;
    Dim inner = dim_product(cx, s->type->dims + s->first, s->type->rank - s->first);
    int64_t extent, begin = 0;
    Seams seams = {0};
    if (s->first + 1 == s->type->rank && dim_const_value(cx, inner, &extent)) seams = find_seams(k, s, extent);
    for (uint32_t i = 0; i < seams.n; i++) {
        s->begin = dim_const(cx, begin);
        kernel_vector_loop(k, dim_const(cx, seams.at[i] - begin), lanes, NULL, 0, map_step, s);
        begin = seams.at[i];
    }
    s->begin = dim_const(cx, begin);
    kernel_vector_loop(k, seams.n ? dim_const(cx, extent - begin) : inner, lanes, NULL, 0, map_step, s);
}

static void map_blocks(Kernel *k, MapState *s, LVal lo, LVal hi, uint32_t lanes) {
    Context *cx = k->cx;
    Dim total = dim_product(cx, s->type->dims, s->type->rank), block = dim_const(cx, BLOCK);
    KernelLoop loop;
    Dim p = kernel_loop(k, &loop, lo, hi, dim_cdiv(cx, total, block), 1, NULL, 0);
    s->begin = dim_mul(cx, p, block);
    /* The block's extent is an index symbol of its own: at most BLOCK, and it ends at the total. */
    LVal size = l_min(k->b, l_i64(k->b, BLOCK), kernel_dim(k, dim_sub(cx, total, s->begin)));
    Dim extent = kernel_index(k, size);
    Fact facts[] = {{REL_LE, extent, block}, {REL_LE, dim_add(cx, s->begin, extent), total}};
    KernelScope scope;
    kernel_enter(k, &scope, facts, 2);
    kernel_vector_loop(k, extent, lanes, NULL, 0, map_step, s);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

/* Every element is used once and in order.  What streams is fetched ahead: long arithmetic fills the machine's window before
 * enough loads are under way. */
static bool passes_by(const Kernel *k) {
    for (uint32_t i = 1; i < k->body->nodes.n; i++) {
        OpKind kind = op_info[k->body->nodes.at[i].op].kind;
        if (kind != KIND_SOURCE && kind != KIND_EW && kind != KIND_VIEW) return false;
    }
    return k->stream != 0;
}

void lower_map(Kernel *k, LVal lo, LVal hi) {
    Context *cx = k->cx;
    MapState s = {.type = val_type(k->body, k->body->results.at[0]), .begin = dim_const(cx, 0)};
    s.first = first_collapsed(k, s.type);
    uint32_t lanes = (uint32_t)k->schedule->field[SCHED_lanes];
    k->lane = lane_symbol(cx, lanes > 1 ? lanes : LANES);
    if (passes_by(k)) k->ahead = dim_product(cx, s.type->dims, s.type->rank);
    if (s.first == 0) {
        map_blocks(k, &s, lo, hi, lanes);
        return;
    }
    KernelLoop loop;
    Dim p = kernel_loop(k, &loop, lo, hi, dim_product(cx, s.type->dims, s.first), 1, NULL, 0);
    KernelScope scope;
    Fact facts[MAX_RANK];
    kernel_split(k, p, s.type->dims, s.first, s.at, facts);
    kernel_enter(k, &scope, facts, s.first);
    map_row(k, &s, lanes);
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}
