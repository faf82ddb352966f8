/* ops_control.c: If and Scan.
 *
 * A condition known at import chooses its branch there.  Otherwise a subgraph becomes a region (region.c).
 */
#include "region.h"
#include <string.h>

/* ---- If ----------------------------------------------------------------------------------------------------------------- */

static Val choose_now(Call *c, const OnnxGraph *branch) {
    Value *out = arena_new_array(c->im->arena, Value, branch->n_outputs + 1);
    if (branch->n_outputs < c->n_out) return fail(c, "a branch has %u outputs, %u are needed", branch->n_outputs, c->n_out);
    if (inline_graph(c, branch, NULL, 0, out))
        for (uint32_t i = 0; i < c->n_out; i++) set_out_value(c, i, out[i]);
    return NO_VAL;
}

/* Both branches take the same captures in the same order: those of one are asked for in the other by name. */
static void share_captures(Call *c, const Region *from, Region *with) {
    Value ignored;
    for (uint32_t i = 0; i < from->scope->captures.name.n; i++) {
        const char *name = from->scope->captures.name.at[i];
        bool again = i && from->scope->captures.name.at[i - 1] == name;
        if (!again) scope_get(c->im, with->scope, name, &ignored);
    }
}

static bool same_extent(const Region *a, const Region *b, Dim x, Dim y) {
    return !finds_part_of(a->scope->g, x) && !finds_part_of(b->scope->g, y) && prove(a->call.cx, NULL, REL_EQ, x, y) == YES;
}

/* Axes whose extents differ between the branches, or may. */
static bool branches_vary(Call *c, Region *a, Region *b, const Value *out_a, const Value *out_b, VaryingVec *list) {
    for (uint32_t i = 0; i < c->n_out; i++) {
        Val x = value_val(&a->call, &out_a[i]), y = value_val(&b->call, &out_b[i]);
        if (!x.id || !y.id || val_rank(a->call.g, x) != val_rank(b->call.g, y)) continue; /* told where results are taken */
        for (uint32_t axis = 0; axis < val_rank(a->call.g, x); axis++) {
            Dim p = val_dim(a->call.g, x, axis), q = val_dim(b->call.g, y, axis);
            if (same_extent(a, b, p, q)) continue;
            Dim most = graph_upper(a->call.g, p), other = graph_upper(b->call.g, q);
            if (!most.id || !other.id) {
                fail(
                    c,
                    "axis %u of output %u ('%s') has extent %s in one branch and %s in the other, and no bound; declare the "
                    "dims it is made of",
                    axis, i, c->node->out[i], dim_string(c->cx, p), dim_string(c->cx, q));
                return false;
            }
            Varying v = {i, axis, dim_max(c->cx, most, other)};
            vec_push(c->im->arena, list, v);
        }
    }
    return true;
}

/* A scalar and a vector of one element: both become scalars, which whoever takes one of them takes. */
static void same_rank(Region *a, Region *b, Value *out_a, Value *out_b, uint32_t n) {
    Dims scalar = {0};
    for (uint32_t i = 0; i < n; i++) {
        Val x = value_val(&a->call, &out_a[i]), y = value_val(&b->call, &out_b[i]);
        if (!x.id || !y.id) continue;
        uint32_t rx = val_rank(a->call.g, x), ry = val_rank(b->call.g, y);
        if (rx == 1 && ry == 0 && dim_is(a->call.cx, val_dim(a->call.g, x, 0), 1))
            out_a[i] = value_of(&a->call, shaped(&a->call, x, &scalar));
        if (ry == 1 && rx == 0 && dim_is(b->call.cx, val_dim(b->call.g, y, 0), 1))
            out_b[i] = value_of(&b->call, shaped(&b->call, y, &scalar));
    }
}

/* Then no type can stand for both.  Exporters write such an If for squeeze: the axis has extent 1 or stays. */
static bool ranks_differ(Call *c, Region *a, Region *b, const Value *out_a, const Value *out_b) {
    for (uint32_t i = 0; i < c->n_out; i++) {
        Val x = value_val(&a->call, &out_a[i]), y = value_val(&b->call, &out_b[i]);
        if (x.id && y.id && val_rank(a->call.g, x) != val_rank(b->call.g, y)) return true;
    }
    return false;
}

Val import_if(Call *c) {
    const OnnxGraph *then = attr_subgraph(c, "then_branch"), *orelse = attr_subgraph(c, "else_branch");
    bool flag;
    if (!then || !orelse) return NO_VAL;
    if (known_flag(c, &c->in[0], &flag)) return choose_now(c, flag ? then : orelse);
    if (then->n_outputs != c->n_out || orelse->n_outputs != c->n_out)
        return fail(c, "the branches have %u and %u outputs, the node %u", then->n_outputs, orelse->n_outputs, c->n_out);
    if (then->n_inputs || orelse->n_inputs) return fail(c, "branches take no inputs");
    Val cond = scalar_of(c, in(c, 0));
    Region a = region_open(c, "then"), b = region_open(c, "else");
    Value *out_a = arena_new_array(c->im->arena, Value, c->n_out + 1),
          *out_b = arena_new_array(c->im->arena, Value, c->n_out + 1);
    if (!import_body(c->im, a.scope, then, out_a)) return NO_VAL;
    share_captures(c, &a, &b);
    if (!import_body(c->im, b.scope, orelse, out_b)) return NO_VAL;
    share_captures(c, &b, &a);
    same_rank(&a, &b, out_a, out_b, c->n_out);
    if (c->in[0].fact && ranks_differ(c, &a, &b, out_a, out_b)) {
        const Fact *f = c->in[0].fact;
        diag_warning(c->cx, c->loc, "the branches differ in rank: compiled for %s = %s alone, which run checks",
                     dim_string(c->cx, f->a), dim_string(c->cx, f->b));
        graph_guard(c->g, c->loc, f->relation, f->a, f->b,
                    "the branches of If differ in rank, so that the model is compiled for one of them");
        return choose_now(c, then);
    }
    VaryingVec varying = {0};
    if (!branches_vary(c, &a, &b, out_a, out_b, &varying)) return NO_VAL;
    if (!region_results(&a, then->outputs, out_a, c->n_out, &varying) ||
        !region_results(&b, orelse->outputs, out_b, c->n_out, &varying))
        return NO_VAL;
    if (!graph_finish(a.scope->g) || !graph_finish(b.scope->g) || !cond.id) return NO_VAL;
    uint32_t n;
    Val *list = region_operands(c, &a, &cond, 1, &n);
    Attr attrs[2] = {{.key = ATTR_then, .as.graph = a.scope->g}, {.key = ATTR_orelse, .as.graph = b.scope->g}};
    Val all = emit(c->g, OP_if, c->loc, list, n, attrs, 2);
    for (uint32_t i = 0; all.id && i < c->n_out; i++)
        if (wants_out(c, i)) set_out(c, i, region_taken(c, all, i, c->n_out, &varying, c->node->out[i]));
    return NO_VAL;
}

/* ---- Scan --------------------------------------------------------------------------------------------------------------- */

static Val move_axis(Call *c, Val x, uint32_t from, uint32_t to_) {
    int64_t perm[MAX_RANK];
    if (!x.id || from == to_) return x;
    uint32_t rank = val_rank(c->g, x), k = 0;
    for (uint32_t i = 0; i < rank; i++) {
        if (k == from) k++;
        perm[i] = i == to_ ? from : k++;
    }
    return permuted(c, x, perm);
}

typedef struct ScanShape {
    const OnnxGraph *body;
    uint32_t states, scanned, stacked;
} ScanShape;

static bool read_scan(Call *c, uint32_t first, ScanShape *s) {
    int64_t n = attr_i(c, "num_scan_inputs", 0);
    s->body = attr_subgraph(c, "body");
    if (!s->body) return false;
    if (n < 1 || n > (int64_t)c->n_in - first || s->body->n_inputs != c->n_in - first ||
        s->body->n_outputs < s->body->n_inputs - (uint32_t)n) {
        fail(c, "num_scan_inputs is %lld for %u inputs and a body of %u", (long long)n, c->n_in - first, s->body->n_inputs);
        return false;
    }
    s->scanned = (uint32_t)n;
    s->states = s->body->n_inputs - s->scanned;
    s->stacked = s->body->n_outputs - s->states;
    return true;
}

/* own: states.., operands scanned along axis 0. */
static Val scan_once(Call *c, const ScanShape *s, const Val *own) {
    Region r = region_open(c, "scan");
    Value *out = arena_new_array(c->im->arena, Value, s->body->n_outputs + 1);
    b_param(r.scope->g, c->loc, "step", DT_i64, 0, NULL);
    for (uint32_t i = 0; i < s->states + s->scanned; i++) {
        const char *name = s->body->inputs[i].name;
        if (i >= s->states && val_rank(c->g, own[i]) == 0) return fail(c, "a scanned operand has rank 0");
        scope_set(c->im, r.scope, name, value_of(&r.call, region_param(&r, c->g, own[i], name, i >= s->states)));
    }
    if (!import_body(c->im, r.scope, s->body, out)) return NO_VAL;
    for (uint32_t i = 0; i < s->body->n_outputs; i++)
        if (!region_result(&r, &out[i], s->body->outputs[i].name)) return NO_VAL;
    if (!graph_finish(r.scope->g)) return NO_VAL;
    return emit_scan(c, &r, own, s->states, s->scanned, val_dim(c->g, own[s->states], 0));
}

static int64_t nth(const IntVec *list, uint32_t i) { return list && i < list->n ? list->at[i] : 0; }

/* Opset 8: a leading batch axis everywhere, so that the scan is the body of another one, over the batch. */
static Val scan_batched(Call *c) {
    ScanShape s;
    const IntVec *directions = attr_list(c, "directions");
    if (has_in(c, 0)) return fail(c, "sequence lengths of Scan in opset 8 are not supported");
    if (!read_scan(c, 1, &s)) return NO_VAL;
    uint32_t n = s.states + s.scanned, n_out = s.states + s.stacked;
    Val *own = arena_new_array(c->im->arena, Val, n + 1), *one = arena_new_array(c->im->arena, Val, n + 1);
    Region r = region_open(c, "batch");
    b_param(r.scope->g, c->loc, "step", DT_i64, 0, NULL);
    for (uint32_t i = 0; i < n; i++) {
        own[i] = in(c, i + 1);
        if (!own[i].id) return NO_VAL;
        if (val_rank(c->g, own[i]) == 0)
            return fail(c, "operand '%s' of Scan in opset 8 has no batch axis", c->node->in[i + 1]);
        one[i] = region_param(&r, c->g, own[i], s.body->inputs[i].name, 1);
        if (i >= s.states && nth(directions, i - s.states)) one[i] = reversed(&r.call, one[i], 0);
    }
    Val each = scan_once(&r.call, &s, one);
    for (uint32_t i = 0; i < n_out; i++) {
        Value v = value_of(&r.call, each.id ? b_get(r.call.g, c->loc, each, i) : each);
        if (!v.val.id || !region_result(&r, &v, s.body->outputs[i].name)) return NO_VAL;
    }
    if (!graph_finish(r.scope->g)) return NO_VAL;
    Val all = emit_scan(c, &r, own, 0, n, val_dim(c->g, own[0], 0));
    for (uint32_t i = 0; all.id && i < c->n_out && i < n_out; i++) set_out(c, i, b_get(c->g, c->loc, all, i));
    return NO_VAL;
}

Val import_scan(Call *c) {
    ScanShape s;
    uint32_t axis;
    const IntVec *in_axes = attr_list(c, "scan_input_axes"), *in_back = attr_list(c, "scan_input_directions");
    const IntVec *out_axes = attr_list(c, "scan_output_axes"), *out_back = attr_list(c, "scan_output_directions");
    if (c->opset < 9) return scan_batched(c);
    if (!read_scan(c, 0, &s)) return NO_VAL;
    Val *own = arena_new_array(c->im->arena, Val, c->n_in + 1);
    for (uint32_t i = 0; i < c->n_in; i++) {
        if (!(own[i] = in(c, i)).id) return NO_VAL;
        if (i < s.states) continue;
        if (!norm_axis(c, nth(in_axes, i - s.states), val_rank(c->g, own[i]), &axis)) return NO_VAL;
        own[i] = move_axis(c, own[i], axis, 0);
        if (nth(in_back, i - s.states)) own[i] = reversed(c, own[i], 0);
    }
    Val all = scan_once(c, &s, own);
    for (uint32_t i = 0; all.id && i < c->n_out && i < s.states + s.stacked; i++) {
        Val y = b_get(c->g, c->loc, all, i);
        if (i >= s.states && y.id) {
            if (nth(out_back, i - s.states)) y = reversed(c, y, 0);
            if (!norm_axis(c, nth(out_axes, i - s.states), val_rank(c->g, y), &axis)) return NO_VAL;
            y = move_axis(c, y, 0, axis);
        }
        set_out(c, i, y);
    }
    return NO_VAL;
}
