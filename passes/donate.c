/* donate.c: a cache that the caller donates: concat(past, new), where it is a result, is written into the input `past`.
 *
 * Runs on what is imported, before the pipeline, for pairs of a result and an input that the user names.  The input becomes a
 * buffer with room: its extent along the axis of the concat is a symbol of its own, the capacity; how much of it is used is the
 * symbol it had, which another input's extent determines, or an added i64 input of its name.  Each concat becomes `overwrite`
 * of its part of the buffer behind what is used, and whoever read it reads a slice of that.  The result is the whole buffer.
 * Caches of several layers, stacked along other axes by concat and reshape, are taken apart into their layers.
 *
 * Invariant: what is read of the buffer before it is overwritten lies within what is used, so the order of reads and writes
 * does not matter.  Bits are those of the model as it was.
 */
#include "passes.h"
#include <string.h>

enum { NO_AXIS = MAX_RANK };

/* Where a value lies in the result: its axis i along axis[i] (NO_AXIS: of extent 1, dropped there), from start[] on. */
typedef struct Place { uint32_t axis[MAX_RANK]; Dim start[MAX_RANK]; } Place;
typedef struct Appended { Val concat; uint32_t axis; Place place; Val made; } Appended;
typedef struct Cache {
    uint32_t result, param;
    uint32_t axis;               /* of the buffer, along which it grows; NO_AXIS: not known yet */
    Dim used, capacity, most;    /* extents: before, of the buffer, after */
    VEC(Appended) appended;
} Cache;
typedef struct Donor { Context *cx; const Graph *g; Arena *arena; Cache *caches; uint32_t n; const Donations *asked; } Donor;

/* ---- what the model says ------------------------------------------------------------------------------------------------- */

/* The index of the parameter's element that v has at `at`; false where v is no plain part of it. */
static bool find_origin(const Donor *d, Val v, Val param, Dim *at) {
    const Graph *g = d->g;
    for (; v.id != param.id; v = val_in(g, v, 0)) {
        const Node *n = node(g, v);
        Const index;
        bool picks = n->op == OP_gather && val_const(g, n->in[1], &index) && attr_int(n, ATTR_batch) == 0;
        if (picks && dim_is(d->cx, type_elements(d->cx, node(g, n->in[1])->type), 1)) {
            uint32_t axis = (uint32_t)attr_int(n, ATTR_axis), gone = val_rank(g, n->in[1]), rank = val_rank(g, n->in[0]);
            memmove(at + axis + 1, at + axis + gone, (rank - axis - 1) * sizeof *at);
            at[axis] = dim_const(d->cx, const_element(d->cx, index, 0).i);
            continue;
        }
        if (op_info[n->op].kind != KIND_VIEW) return false;
        IndexQuery query = {g, n, at, NULL, d->arena, NULL, NULL};
        const IndexCase *cases;
        if (index_fn[n->op](&query, &cases) != 1) return false;
        memcpy(at, cases[0].at, val_rank(g, n->in[0]) * sizeof *at);
    }
    return true;
}

/* v is the part of the parameter that lies at its place. */
static bool is_past(const Donor *d, const Cache *c, Val v, const Place *place) {
    Context *cx = d->cx;
    Val param = d->g->params.at[c->param];
    const TypeInfo *t = val_type(d->g, v), *whole = val_type(d->g, param);
    Dim at[MAX_RANK + 1], wanted[MAX_RANK];
    memcpy(wanted, place->start, sizeof wanted);
    for (uint32_t i = 0; i < t->rank; i++) {
        at[i] = dim_is(cx, t->dims[i], 1) ? dim_const(cx, 0) : dim_symbol(cx, index_symbol(cx, i));
        if (place->axis[i] != NO_AXIS) wanted[place->axis[i]] = dim_add(cx, wanted[place->axis[i]], at[i]);
    }
    if (!find_origin(d, v, param, at)) return false;
    for (uint32_t i = 0; i < whole->rank; i++)
        if (!dim_same(at[i], wanted[i])) return false;
    return true;
}

/* The place of the operand of a reshape that only adds or drops axes of extent 1. */
static bool enter_reshape(const Donor *d, Val v, const Place *place, Place *inner) {
    const TypeInfo *to = val_type(d->g, v), *from = val_type(d->g, val_in(d->g, v, 0));
    uint32_t i = 0;
    memcpy(inner->start, place->start, sizeof inner->start);
    for (uint32_t j = 0; j < from->rank; j++) {
        while (i < to->rank && !dim_same(to->dims[i], from->dims[j]) && dim_is(d->cx, to->dims[i], 1)) i++;
        bool same = i < to->rank && dim_same(to->dims[i], from->dims[j]);
        if (!same && !dim_is(d->cx, from->dims[j], 1)) return false;
        inner->axis[j] = same ? place->axis[i++] : NO_AXIS;
    }
    while (i < to->rank && dim_is(d->cx, to->dims[i], 1)) i++;
    return i == to->rank;
}

static bool collect(Donor *d, Cache *c, Val v, const Place *place) {
    const Graph *g = d->g;
    const Node *n = node(g, v);
    Place inner = *place;
    if (n->op == OP_reshape) return enter_reshape(d, v, place, &inner) && collect(d, c, n->in[0], &inner);
    if (n->op != OP_concat || n->n_in < 2) return false;
    uint32_t axis = (uint32_t)attr_int(n, ATTR_axis), along = place->axis[axis];
    if (along == NO_AXIS) return false;
    if (is_past(d, c, n->in[0], place)) {
        if (c->axis != NO_AXIS && c->axis != along) return false;
        c->axis = along, c->used = val_dim(g, n->in[0], axis), c->most = val_dim(g, v, axis);
        vec_push(d->arena, &c->appended, (Appended){v, axis, *place, {0}});
        return true;
    }
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!collect(d, c, n->in[i], &inner)) return false;
        inner.start[along] = dim_add(d->cx, inner.start[along], val_dim(g, n->in[i], axis));
    }
    return true;
}

static bool find_symbol(Context *cx, Dim d, Symbol *s) {
    for (uint32_t i = 1; i <= symbol_count(cx); i++)
        if (dim_same(d, dim_symbol(cx, (Symbol){i}))) *s = (Symbol){i};
    return s->id != 0;
}

static bool find_cache(Donor *d, Cache *c, const Donation *names) {
    const Graph *g = d->g;
    Context *cx = d->cx;
    uint32_t r = 0, p = 0;
    while (r < g->results.n && strcmp(g->result_names.at[r], names->result) != 0) r++;
    while (p < g->params.n && strcmp(node_attr(node(g, g->params.at[p]), ATTR_name)->as.text, names->param) != 0) p++;
    if (r == g->results.n || p == g->params.n) {
        bool output = r == g->results.n;
        diag_usage(cx, (Loc){0}, "--donate=%s=%s: the model has no %s '%s'", names->result, names->param,
                   output ? "output" : "input", output ? names->result : names->param);
        return false;
    }
    *c = (Cache){.result = r, .param = p, .axis = NO_AXIS};
    Place all;
    for (uint32_t i = 0; i < MAX_RANK; i++) all.axis[i] = i, all.start[i] = dim_const(cx, 0);
    Symbol s = {0};
    Val v = g->results.at[r];
    bool fits = val_rank(g, v) == val_rank(g, g->params.at[p]) && collect(d, c, v, &all);
    if (fits && find_symbol(cx, c->used, &s)) return true;
    diag_usage(cx, node(g, v)->loc,
               "--donate=%s=%s: output '%s' is no concatenation of input '%s' and something behind it, along an axis whose "
               "extent is a symbol",
               names->result, names->param, names->result, names->param);
    return false;
}

/* ---- the graph over buffers --------------------------------------------------------------------------------------------- */

static const Cache *cache_of(const Donor *d, uint32_t param) {
    for (uint32_t i = 0; i < d->n; i++)
        if (d->caches[i].param == param) return &d->caches[i];
    return NULL;
}

/* Caches that are filled alike have one capacity. */
static void name_capacity(Donor *d, Cache *c) {
    for (const Cache *other = d->caches; other < c; other++)
        if (dim_same(other->used, c->used)) {
            c->capacity = other->capacity;
            return;
        }
    const char *name = intern(d->cx, arena_print(d->arena, "%s_capacity", dim_string(d->cx, c->used)));
    enum { ROOM = 48 /* where sizes are made up */ };
    SymbolInfo info = {.kind = SYMBOL_INPUT, .max = INT64_MAX, .multiple = 1};
    for (uint32_t i = 0; i < d->asked->n_ranges; i++)
        if (strcmp(d->asked->ranges[i].name, name) == 0) info = d->asked->ranges[i], d->asked->used[i] = true;
    info.name = name;
    int64_t hint = info.max < ROOM ? info.max : info.min > ROOM ? info.min : ROOM;
    info.hint = hint - hint % info.multiple < info.min ? info.max : hint - hint % info.multiple;
    c->capacity = info.min == info.max ? dim_const(d->cx, info.min) : dim_symbol(d->cx, symbol_new(d->cx, &info));
}

static Val make_param(const Donor *d, Graph *to, uint32_t i) {
    const Node *n = node(d->g, d->g->params.at[i]);
    const TypeInfo *t = type_info(d->cx, n->type);
    const Cache *c = cache_of(d, i);
    Dim dims[MAX_RANK];
    memcpy(dims, t->dims, t->rank * sizeof *dims);
    if (c) dims[c->axis] = c->capacity;
    return b_param(to, n->loc, node_attr(n, ATTR_name)->as.text, t->dtype, t->rank, dims);
}

/* How much is used: from another input's extent, or from an input of its own. */
static void bind_used(const Donor *d, Graph *to, const Cache *c) {
    const Graph *g = d->g;
    Symbol s = {0};
    if (!find_symbol(d->cx, c->used, &s)) return;
    for (uint32_t i = 0; i < g->params.n; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        for (uint32_t a = 0; a < t->rank && !cache_of(d, i); a++)
            if (dim_uses(d->cx, t->dims[a], s)) return;
    }
    for (uint32_t i = 0; i < to->bindings.n; i++)
        if (to->bindings.at[i].symbol.id == s.id) return;
    vec_push(to->arena, &to->bindings, (SymbolBinding){.symbol = s, .param = to->params.n});
    (void)b_param(to, node(g, g->params.at[c->param])->loc, symbol_info(d->cx, s)->name, DT_i64, 0, NULL);
}

static void zeros(Context *cx, Dim *start) {
    for (uint32_t i = 0; i < MAX_RANK; i++) start[i] = dim_const(cx, 0);
}

static const int64_t *ones(Arena *arena) {
    int64_t *step = arena_new_array(arena, int64_t, MAX_RANK);
    for (uint32_t i = 0; i < MAX_RANK; i++) step[i] = 1;
    return step;
}

/* The concat's new parts over their place in the buffer; returns what stands for the concat. */
static Val append(const Donor *d, Graph *to, const Cache *c, Appended *a, const Val *map) {
    const Node *n = node(d->g, a->concat);
    const TypeInfo *t = type_info(d->cx, n->type);
    Val buffer = to->params.at[c->param], *parts = arena_new_array(d->arena, Val, n->n_in), x = buffer;
    const TypeInfo *whole = val_type(to, buffer);
    Dim dims[MAX_RANK], box[MAX_RANK], start[MAX_RANK];
    for (uint32_t i = 0; i < whole->rank; i++) box[i] = dim_const(d->cx, 1);
    for (uint32_t i = 0; i < t->rank; i++) {
        dims[i] = i == a->axis ? c->capacity : t->dims[i];
        if (a->place.axis[i] != NO_AXIS) box[a->place.axis[i]] = dims[i];
    }
    bool part = memcmp(box, whole->dims, whole->rank * sizeof *box) != 0;
    if (part) x = b_slice(to, n->loc, buffer, a->place.start, ones(d->arena), box);
    for (uint32_t i = 1; i < n->n_in; i++) parts[i] = map[n->in[i].id];
    Val w = n->n_in == 2 ? parts[1] : b_concat(to, n->loc, parts + 1, n->n_in - 1, a->axis);
    zeros(d->cx, start);
    start[a->axis] = c->used;
    Attr attr = {.key = ATTR_start, .n = t->rank, .as.dims = start};
    a->made = emit(to, OP_overwrite, n->loc, (Val[]){b_reshape(to, n->loc, x, t->rank, dims), w}, 2, &attr, 1);
    zeros(d->cx, start);
    return b_slice(to, n->loc, a->made, start, ones(d->arena), t->dims);
}

/* The result again, of whole buffers. */
static Val stack(const Donor *d, Graph *to, const Cache *c, Val v, const Place *place) {
    const Node *n = node(d->g, v);
    const TypeInfo *t = type_info(d->cx, n->type);
    for (uint32_t i = 0; i < c->appended.n; i++)
        if (c->appended.at[i].concat.id == v.id) return c->appended.at[i].made;
    Place inner = *place;
    if (n->op == OP_reshape) {
        Dim dims[MAX_RANK];
        for (uint32_t i = 0; i < t->rank; i++) dims[i] = place->axis[i] == c->axis ? c->capacity : t->dims[i];
        (void)enter_reshape(d, v, place, &inner);
        return b_reshape(to, n->loc, stack(d, to, c, n->in[0], &inner), t->rank, dims);
    }
    Val *parts = arena_new_array(d->arena, Val, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++) parts[i] = stack(d, to, c, n->in[i], place);
    return b_concat(to, n->loc, parts, n->n_in, (uint32_t)attr_int(n, ATTR_axis));
}

static Val copy_node(const Donor *d, Graph *to, uint32_t i, const Val *map) {
    for (uint32_t k = 0; k < d->n; k++)
        for (uint32_t a = 0; a < d->caches[k].appended.n; a++)
            if (d->caches[k].appended.at[a].concat.id == i)
                return append(d, to, &d->caches[k], &d->caches[k].appended.at[a], map);
    return rebuild_node(to, &d->g->nodes.at[i], map, NULL);
}

static void guard_room(const Donor *d, Graph *to, const Cache *c, Loc loc) {
    Context *cx = d->cx;
    const char *name = node_attr(node(d->g, d->g->params.at[c->param]), ATTR_name)->as.text;
    const char *used = dim_string(cx, c->used), *most = dim_string(cx, c->most), *capacity = dim_string(cx, c->capacity);
    graph_guard(to, loc, REL_LE, c->most, c->capacity, "no room in '%s' for what is appended (%s <= %s)", name, most, capacity);
    graph_guard(to, loc, REL_LE, c->used, c->capacity, "more is used than '%s' has (%s <= %s)", name, used, capacity);
    graph_guard(to, loc, REL_LE, dim_const(cx, 0), c->used, "%s of '%s' cannot be negative", used, name);
}

static Graph *rebuild(const Donor *d) {
    const Graph *g = d->g;
    Graph *to = graph_new(d->cx, g->name);
    Val *map = arena_new_array(to->arena, Val, g->nodes.n);
    Dim start[MAX_RANK];
    Place all;
    zeros(d->cx, start), zeros(d->cx, all.start);
    for (uint32_t i = 0; i < MAX_RANK; i++) all.axis[i] = i;
    for (uint32_t i = 0; i < g->guards.n; i++) vec_push(to->arena, &to->guards, g->guards.at[i]);
    for (uint32_t i = 0; i < g->bindings.n; i++) vec_push(to->arena, &to->bindings, g->bindings.at[i]);
    for (uint32_t i = 0; i < g->params.n; i++) map[g->params.at[i].id] = make_param(d, to, i);
    for (uint32_t k = 0; k < d->n; k++) {
        const Cache *c = &d->caches[k];
        Val param = g->params.at[c->param];
        Loc loc = node(g, param)->loc;
        bind_used(d, to, c);
        guard_room(d, to, c, loc);
        map[param.id] = b_slice(to, loc, map[param.id], start, ones(d->arena), val_type(g, param)->dims);
    }
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (g->nodes.at[i].op != OP_param) map[i] = copy_node(d, to, i, map);
    for (uint32_t i = 0; i < g->results.n; i++) {
        Val v = map[g->results.at[i].id];
        for (uint32_t k = 0; k < d->n; k++)
            if (d->caches[k].result == i) v = stack(d, to, &d->caches[k], g->results.at[i], &all);
        graph_result(to, v, g->result_names.at[i]);
    }
    return graph_finish(to);
}

Graph *graph_donate(Context *cx, const Graph *g, const Donations *asked) {
    const Donation *donations = asked->at;
    uint32_t n = asked->n;
    Donor d = {cx, g, arena_new(cx), NULL, n, asked};
    bool ok = true;
    d.caches = arena_new_array(d.arena, Cache, n);
    for (uint32_t i = 0; ok && i < n; i++) {
        ok = find_cache(&d, &d.caches[i], &donations[i]);
        for (uint32_t k = 0; ok && k < i; k++)
            if (d.caches[k].param == d.caches[i].param || d.caches[k].result == d.caches[i].result) {
                diag_usage(cx, (Loc){0}, "--donate=%s=%s: an input is donated to one output, and an output takes one",
                           donations[i].result, donations[i].param);
                ok = false;
            }
        if (ok) name_capacity(&d, &d.caches[i]);
    }
    Graph *to = ok ? rebuild(&d) : NULL;
    arena_free(d.arena);
    return to;
}
