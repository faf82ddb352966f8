/* ops_loop.c: Loop.
 *
 * A Loop that runs its trip count becomes scan; one that only carries values, while; one that carries sequences or values of
 * changing shape is unrolled where its trip count is known, and otherwise carries such values at a capacity, with their
 * extents (region.c).
 */
#include "region.h"
#include <string.h>

/* ---- Loop --------------------------------------------------------------------------------------------------------------- */

typedef struct Loop {
    const OnnxGraph *body;
    uint32_t carried, stacked;
    Value start;                    /* the condition before the first step */
    bool start_known, start_flag;
    Dim trip;                       /* id 0: none stated or not known as a dim */
    bool limited;                   /* a trip count is stated */
    VaryingVec varying;             /* axes of carried values that change from step to step */
} Loop;

static Value flag_value(Call *c, bool flag) {
    Dim *at = arena_new_array(c->im->arena, Dim, 1);
    at[0] = dim_k(c, flag);
    return (Value){.kind = VALUE_TENSOR, .dtype = DT_bool, .n = 1, .elements = at, .divisor = 1};
}

static Value step_value(Call *c, int64_t step) {
    Dim *at = arena_new_array(c->im->arena, Dim, 1);
    at[0] = dim_k(c, step);
    return (Value){.kind = VALUE_TENSOR, .dtype = DT_i64, .n = 1, .elements = at, .divisor = 1};
}

/* Stacks what the steps of an unrolled loop gave. */
static Val stack_steps(Call *c, Value *const *steps, uint32_t n, uint32_t index) {
    Val *list = arena_new_array(c->im->arena, Val, n + 1);
    if (n == 0) return fail(c, "a stacked output of a loop without steps has no known shape");
    for (uint32_t i = 0; i < n; i++) {
        list[i] = unsqueezed(c, value_val(c, &steps[i][index]), 0);
        if (!list[i].id) return NO_VAL;
    }
    return b_concat(c->g, c->loc, list, n, 0);
}

static Val unroll_loop(Call *c, const Loop *loop) {
    int64_t trip = UNROLL_MOST + 1;
    bool flag = loop->start_flag;
    uint32_t n_in = 2 + loop->carried, n_out = 1 + loop->carried + loop->stacked;
    if (loop->limited && (!loop->trip.id || !dim_const_value(c->cx, loop->trip, &trip)))
        return fail(c,
                    "this loop has to be unrolled (it carries sequences or changing shapes), which needs a known trip count");
    if (!loop->start_known)
        return fail(c, "this loop has to be unrolled (it carries sequences or changing shapes), which needs a known condition");
    Value *ins = arena_new_array(c->im->arena, Value, n_in + 1);
    VEC(Value *) steps = {0};
    for (uint32_t i = 0; i < loop->carried; i++) ins[2 + i] = c->in[2 + i];
    for (int64_t step = 0; step < trip && flag; step++) {
        if (step == UNROLL_MOST) return fail(c, "a loop of more than %d steps cannot be unrolled", UNROLL_MOST);
        Value *out = arena_new_array(c->im->arena, Value, n_out + 1);
        ins[0] = step_value(c, step), ins[1] = flag_value(c, true);
        if (!inline_graph(c, loop->body, ins, n_in, out)) return NO_VAL;
        for (uint32_t i = 0; i < n_out; i++)
            if (out[i].kind == VALUE_POISON) return NO_VAL;
        if (!known_flag(c, &out[0], &flag))
            return fail(
                c, "this loop has to be unrolled (it carries sequences or changing shapes), which needs a known condition");
        memcpy(ins + 2, out + 1, loop->carried * sizeof *ins);
        vec_push(c->im->arena, &steps, out);
    }
    for (uint32_t i = 0; i < loop->carried; i++) set_out_value(c, i, ins[2 + i]);
    for (uint32_t i = 0; i < loop->stacked; i++)
        if (wants_out(c, loop->carried + i))
            set_out(c, loop->carried + i, stack_steps(c, steps.at, steps.n, 1 + loop->carried + i));
    return NO_VAL;
}

static Val step_param(Region *r, const OnnxGraph *body) {
    Val step = b_param(r->scope->g, r->call.loc, body->inputs[0].name, DT_i64, 0, NULL);
    Dims one = {.n = 1, .at = {dim_k(&r->call, 1)}};
    return body->inputs[0].type->kind == ONNX_TYPE_TENSOR && body->inputs[0].type->rank == 1 ? shaped(&r->call, step, &one)
                                                                                             : step;
}

/* Binds the body's inputs and imports it.  carried: the values, then the extents of their varying axes. */
static bool loop_body(Call *c, const Loop *loop, Region *r, const Val *carried, Value *out) {
    const VaryingVec *list = &loop->varying;
    Val *params = arena_new_array(c->im->arena, Val, loop->carried + list->n + 1);
    for (uint32_t i = 0; i < loop->carried + list->n; i++)
        params[i] = region_param(r, c->g, carried[i], i < loop->carried ? loop->body->inputs[2 + i].name : "extent", 0);
    for (uint32_t i = 0; i < loop->carried; i++) {
        const char *name = loop->body->inputs[2 + i].name;
        Val v = params[i];
        for (uint32_t k = 0; k < list->n && v.id; k++)
            if (list->at[k].value == i) v = first_of(&r->call, v, list->at[k].axis, params[loop->carried + k], name);
        if (!v.id) return false;
        scope_set(c->im, r->scope, name, value_of(&r->call, v));
    }
    return import_body(c->im, r->scope, loop->body, out);
}

/* Steps that all run.  false (and no diagnostic of its own) where the body decides otherwise. */
static bool loop_as_scan(Call *c, const Loop *loop, const Val *carried, bool *poison) {
    Region r = region_open(c, "loop");
    uint32_t n_out = 1 + loop->carried + loop->stacked;
    Value *out = arena_new_array(c->im->arena, Value, n_out + 1), flag = flag_value(c, true);
    bool more;
    scope_set(c->im, r.scope, loop->body->inputs[0].name, value_of(&r.call, step_param(&r, loop->body)));
    scope_set(c->im, r.scope, loop->body->inputs[1].name, flag);
    *poison = true;
    if (!loop_body(c, loop, &r, carried, out)) return true;
    for (uint32_t i = 0; i < n_out; i++)
        if (out[i].kind == VALUE_POISON) return true;
    *poison = false;
    if (!known_flag(&r.call, &out[0], &more) || !more) return false;
    for (uint32_t i = 1; i < n_out; i++)
        if (out[i].kind != VALUE_TENSOR) return false;
    if (!region_results(&r, loop->body->outputs + 1, out + 1, loop->carried, &loop->varying)) return false;
    for (uint32_t i = 1 + loop->carried; i < n_out; i++)
        if (!region_result(&r, &out[i], loop->body->outputs[i].name)) return false;
    uint32_t passed = loop->carried + loop->varying.n;
    if (!graph_finish(r.scope->g) || !same_types(c, r.scope->g, carried, passed, 0)) return false;
    Val all = emit_scan(c, &r, carried, passed, 0, loop->trip);
    *poison = !all.id;
    for (uint32_t i = 0; all.id && i + 1 < n_out; i++) {
        if (!wants_out(c, i)) continue;
        if (i < loop->carried) set_out(c, i, region_taken(c, all, i, loop->carried, &loop->varying, c->node->out[i]));
        else set_out(c, i, b_get(c->g, c->loc, all, i + loop->varying.n));
    }
    return true;
}

/* while carries (step, values..); its condition is the body's and step < trip. */
static bool loop_as_while(Call *c, const Loop *loop, const Val *carried, bool *poison) {
    Region r = region_open(c, "while");
    uint32_t passed = loop->carried + loop->varying.n;
    Value *out = arena_new_array(c->im->arena, Value, loop->carried + 2);
    Val *own = arena_new_array(c->im->arena, Val, passed + 2);
    Val step = step_param(&r, loop->body), cond, limit = NO_VAL, inner_limit = NO_VAL;
    *poison = true;
    own[0] = loop->start.kind == VALUE_ABSENT ? splat(c, DT_bool, 1, &(Dims){0}) : scalar_of(c, value_val(c, &loop->start));
    own[1] = numt(c, DT_i64, 0);
    memcpy(own + 2, carried, passed * sizeof *own);
    scope_set(c->im, r.scope, loop->body->inputs[0].name, value_of(&r.call, step));
    scope_set(c->im, r.scope, loop->body->inputs[1].name, value_of(&r.call, splat(&r.call, DT_bool, 1, &(Dims){0})));
    if (!loop_body(c, loop, &r, carried, out)) return true;
    if (loop->limited) {
        Value outer = c->in[0], inside;
        limit = scalar_of(c, value_val(c, &outer));
        inside = outer;
        inside.val = limit, inside.elements = loop->trip.id ? outer.elements : NULL, inside.param = 0;
        own[0] = ew2(c, OP_and, own[0], ew2(c, OP_lt, own[1], limit));
        if (!inside.elements) {
            inner_limit = region_param(&r, c->g, limit, "trip", 0);
            vec_push(c->im->arena, &r.scope->captures.outer, inside);
            vec_push(c->im->arena, &r.scope->captures.name, c->node->in[0]);
        } else {
            inner_limit = b_dim(r.scope->g, c->loc, loop->trip);
        }
    }
    Val first = r.scope->g->params.at[0];
    Val next = ew2(&r.call, OP_add, first, numt(&r.call, DT_i64, 1));
    cond = scalar_of(&r.call, value_val(&r.call, &out[0]));
    if (inner_limit.id) cond = ew2(&r.call, OP_and, cond, ew2(&r.call, OP_lt, next, inner_limit));
    graph_result(r.scope->g, cond, "condition");
    graph_result(r.scope->g, next, "step");
    for (uint32_t i = 0; i < loop->carried; i++)
        if (out[1 + i].kind == VALUE_POISON) return true;
    if (!cond.id) return true;
    *poison = false;
    for (uint32_t i = 0; i < loop->carried; i++)
        if (out[1 + i].kind != VALUE_TENSOR) return false;
    if (!region_results(&r, loop->body->outputs + 1, out + 1, loop->carried, &loop->varying)) return false;
    if (!graph_finish(r.scope->g) || !same_types(c, r.scope->g, carried, passed, 2)) return false;
    uint32_t n;
    Val *list = region_operands(c, &r, own, passed + 2, &n);
    Attr attrs[2] = {{.key = ATTR_carried, .as.i = passed + 1}, {.key = ATTR_body, .as.graph = r.scope->g}};
    Val all = emit(c->g, OP_while, c->loc, list, n, attrs, 2);
    *poison = !all.id;
    VaryingVec shifted = {0}; /* result 0 is the step */
    for (uint32_t k = 0; k < loop->varying.n; k++) {
        Varying v = loop->varying.at[k];
        v.value++;
        vec_push(c->im->arena, &shifted, v);
    }
    for (uint32_t i = 0; all.id && i < loop->carried; i++)
        if (wants_out(c, i)) set_out(c, i, region_taken(c, all, i + 1, loop->carried + 1, &shifted, c->node->out[i]));
    return true;
}

/* Whether the body hands its condition on unchanged: then the first condition decides between all steps and none. */
static bool passes_condition(const OnnxGraph *body) {
    const char *name = body->outputs[0].name;
    for (uint32_t hop = 0; hop <= body->n_nodes; hop++) {
        if (name == body->inputs[1].name) return true;
        bool found = false;
        for (uint32_t i = 0; i < body->n_nodes && !found; i++) {
            const OnnxNode *n = &body->nodes[i];
            if (n->n_out != 1 || n->out[0] != name || n->n_in != 1 || strcmp(n->op, "Identity") != 0) continue;
            name = n->in[0];
            found = true;
        }
        if (!found) return false;
    }
    return false;
}

static bool read_loop(Call *c, Loop *loop) {
    const Dim *trip;
    uint32_t n;
    loop->body = attr_subgraph(c, "body");
    if (!loop->body) return false;
    loop->carried = c->n_in > 2 ? c->n_in - 2 : 0;
    if (loop->body->n_inputs != loop->carried + 2 || loop->body->n_outputs < loop->carried + 1) {
        fail(c, "the body takes %u inputs and gives %u outputs; the node carries %u values", loop->body->n_inputs,
             loop->body->n_outputs, loop->carried);
        return false;
    }
    loop->stacked = loop->body->n_outputs - loop->carried - 1;
    loop->limited = has_in(c, 0);
    if (loop->limited && in_dims(c, 0, &trip, &n) && n == 1) loop->trip = dim_max(c->cx, trip[0], dim_k(c, 0));
    loop->start_known = !has_in(c, 1) || known_flag(c, &c->in[1], &loop->start_flag);
    if (!has_in(c, 1)) loop->start_flag = true;
    else loop->start = c->in[1];
    return true;
}

/* A condition that is an input of the model, as a factor 0 or 1 of the trip count. */
static bool gate_trip(Call *c, Loop *loop) {
    Value *v = &c->in[1];
    if (loop->start_known) {
        if (!loop->start_flag) loop->trip = dim_k(c, 0);
        return true;
    }
    if (!loop->trip.id || v->kind != VALUE_TENSOR || !v->param || !passes_condition(loop->body)) return false;
    if (!bind_flag(c, v) || v->n != 1) return false;
    loop->trip = dim_mul(c->cx, loop->trip, v->elements[0]);
    return true;
}

/* ---- Loop whose carried values change their shape ----------------------------------------------------------------------- */

/* A loop's values as its body sees them in some step: extents that vary are symbols, each a stand-in that no graph keeps. */
typedef struct Probe { Val value; Dim *dims; bool *varies; } Probe;

/* What a declaration says of the largest extent of output i's axis; id 0: nothing.  name: of that extent. */
static Dim declared_extent(Call *c, uint32_t i, uint32_t axis, const char **name) {
    *name = arena_print(c->im->arena, "%.100s_dim_%u", onnx_symbol_name(c->cx, c->node->out[i], -1), axis);
    SymbolInfo declared = {.name = intern(c->cx, *name), .max = INT64_MAX};
    declared_range(c->im, NULL, &declared);
    return declared.max != INT64_MAX ? dim_k(c, declared.max) : (Dim){0};
}

static void probe_axis(Call *c, Probe *p, uint32_t i, uint32_t axis) {
    const char *name;
    SymbolInfo info = {
        .kind = SYMBOL_FOUND, .min = 0, .max = INT64_MAX, .multiple = 1, .capacity = declared_extent(c, i, axis, &name)};
    info.name = intern(c->cx, arena_print(c->im->arena, "%s'", name));
    p->dims[axis] = dim_symbol(c->cx, symbol_new(c->cx, &info));
    p->varies[axis] = true;
}

/* Imports the body once, for the types of what it hands on; its graph is thrown away.  false after a diagnostic. */
static bool probe_step(Call *c, const Loop *loop, const Probe *probes, Region *r, Value *out) {
    *r = region_open(c, "probe");
    scope_set(c->im, r->scope, loop->body->inputs[0].name, value_of(&r->call, step_param(r, loop->body)));
    scope_set(c->im, r->scope, loop->body->inputs[1].name, value_of(&r->call, splat(&r->call, DT_bool, 1, &(Dims){0})));
    for (uint32_t i = 0; i < loop->carried; i++) {
        const char *name = loop->body->inputs[2 + i].name;
        const TypeInfo *t = val_type(c->g, probes[i].value);
        scope_set(c->im, r->scope, name,
                  value_of(&r->call, b_param(r->call.g, c->loc, name, t->dtype, t->rank, probes[i].dims)));
    }
    if (!import_body(c->im, r->scope, loop->body, out)) return false;
    for (uint32_t i = 0; i <= loop->carried; i++)
        if (out[i].kind == VALUE_POISON) return false;
    return true;
}

static const TypeInfo *handed_on(Region *r, const Value *out, uint32_t i) {
    Val v = value_val(&r->call, &out[1 + i]);
    return v.id ? val_type(r->call.g, v) : NULL;
}

/* Largest extent of a varying axis: what it starts with, and in each step at most as much more as a step adds. */
static Dim grown_capacity(Call *c, const Loop *loop, const Probe *p, uint32_t axis, const Region *r, Dim after) {
    Dim start = graph_upper(c->g, val_dim(c->g, p->value, axis)), none = {0};
    Dim more = graph_upper(r->call.g, dim_sub(c->cx, after, p->dims[axis])), whole = graph_upper(r->call.g, after);
    if (!start.id) return none;
    if (whole.id) return dim_max(c->cx, start, whole);
    Dim trip = loop->trip.id ? graph_upper(c->g, loop->trip) : none;
    if (!more.id || !trip.id) return none;
    return dim_add(c->cx, start, dim_mul(c->cx, dim_max(c->cx, trip, dim_k(c, 0)), dim_max(c->cx, more, dim_k(c, 0))));
}

static bool add_varying(Call *c, Loop *loop, const Probe *p, uint32_t i, uint32_t axis, const Region *r, Dim after) {
    const char *name;
    Dim declared = declared_extent(c, i, axis, &name);
    Varying v = {i, axis, declared.id ? declared : grown_capacity(c, loop, p, axis, r, after)};
    if (!v.capacity.id) {
        fail(c, "axis %u of '%s' becomes %s in a step, and nothing bounds it; declare --dim %s=0..N", axis, c->node->out[i],
             dim_string(c->cx, after), name);
        return false;
    }
    vec_push(c->im->arena, &loop->varying, v);
    return true;
}

/* The carried values at capacity, then the extents; NULL where nothing varies.  false after a diagnostic. */
static bool varying_carries(Call *c, Loop *loop, const Val *carried, Val **all) {
    Probe *probes = arena_new_array(c->im->arena, Probe, loop->carried + 1);
    Value *out = arena_new_array(c->im->arena, Value, 1 + loop->carried + loop->stacked);
    Region r;
    *all = NULL;
    for (uint32_t i = 0; i < loop->carried; i++) {
        const TypeInfo *t = val_type(c->g, carried[i]);
        probes[i] = (Probe){carried[i], arena_copy(c->im->arena, t->dims, t->rank * sizeof *t->dims),
                            arena_new_array(c->im->arena, bool, t->rank + 1)};
    }
    for (bool again = true; again;) {
        again = false;
        if (!probe_step(c, loop, probes, &r, out)) return false;
        for (uint32_t i = 0; i < loop->carried; i++) {
            const TypeInfo *t = handed_on(&r, out, i);
            if (!t || t->dtype != val_dtype(c->g, carried[i]) || t->rank != val_rank(c->g, carried[i]))
                return true; /* told later */
            for (uint32_t axis = 0; axis < t->rank; axis++) {
                bool same = !finds_part_of(r.call.g, t->dims[axis]) &&
                            prove(c->cx, NULL, REL_EQ, t->dims[axis], probes[i].dims[axis]) == YES;
                if (!same && !probes[i].varies[axis]) probe_axis(c, &probes[i], i, axis), again = true;
            }
        }
    }
    for (uint32_t i = 0; i < loop->carried; i++)
        for (uint32_t axis = 0; axis < val_rank(c->g, carried[i]); axis++)
            if (probes[i].varies[axis] && !add_varying(c, loop, &probes[i], i, axis, &r, handed_on(&r, out, i)->dims[axis]))
                return false;
    if (!loop->varying.n) return true;
    *all = arena_new_array(c->im->arena, Val, loop->carried + loop->varying.n);
    memcpy(*all, carried, loop->carried * sizeof **all);
    for (uint32_t k = 0; k < loop->varying.n; k++) {
        const Varying *v = &loop->varying.at[k];
        (*all)[loop->carried + k] = b_dim(c->g, c->loc, val_dim(c->g, (*all)[v->value], v->axis));
        (*all)[v->value] = to_capacity(c, (*all)[v->value], v->axis, v->capacity);
    }
    return true;
}

static Val import_varying_loop(Call *c, const Loop *loop, const Val *carried) {
    Loop gated = *loop;
    uint32_t marks = diag_count(c->cx);
    bool poison = false;
    if (loop->trip.id && gate_trip(c, &gated) && loop_as_scan(c, &gated, carried, &poison) && !poison) return NO_VAL;
    if (poison) return NO_VAL;
    diag_truncate(c->cx, marks);
    if (loop->stacked)
        return fail(
            c,
            "a loop that stacks outputs and carries changing shapes needs a condition that stays true and a trip count from "
            "shapes, constants or inputs");
    if (loop_as_while(c, loop, carried, &poison)) return NO_VAL;
    return fail(c, "a value that this loop carries changes its type from step to step");
}

Val import_loop(Call *c) {
    Loop loop = {0};
    bool tensors = true, poison = false;
    if (!read_loop(c, &loop)) return NO_VAL;
    Val *carried = arena_new_array(c->im->arena, Val, loop.carried + 1);
    for (uint32_t i = 0; i < loop.carried; i++) {
        tensors = tensors && c->in[2 + i].kind == VALUE_TENSOR;
        if (tensors) carried[i] = value_val(c, &c->in[2 + i]);
    }
    if (!tensors) return unroll_loop(c, &loop);
    Loop gated = loop;
    uint32_t marks = diag_count(c->cx);
    if (loop.trip.id && gate_trip(c, &gated) && loop_as_scan(c, &gated, carried, &poison) && !poison) return NO_VAL;
    int64_t trip;
    bool can_unroll = loop.start_known && (!loop.limited || (loop.trip.id && dim_const_value(c->cx, loop.trip, &trip)));
    if (poison && !can_unroll) return NO_VAL;
    diag_truncate(c->cx, marks);
    poison = false;
    if (loop.stacked == 0 && loop_as_while(c, &loop, carried, &poison) && !poison) return NO_VAL;
    if (poison && !can_unroll) return NO_VAL;
    diag_truncate(c->cx, marks);
    if (can_unroll) {
        unroll_loop(c, &loop);
        if (diag_count(c->cx) == marks) return NO_VAL;
        diag_truncate(c->cx, marks);
    }
    Val *grown;
    if (!varying_carries(c, &loop, carried, &grown)) return NO_VAL;
    if (grown) return import_varying_loop(c, &loop, grown);
    if (loop.stacked)
        return fail(
            c,
            "a loop that stacks outputs needs a condition that stays true and a trip count from shapes, constants or inputs");
    return fail(c, "a value that this loop carries changes its dtype or rank from step to step");
}
