/* print.c: a graph as text.  docs/ir.md is the grammar; parse.c reads it back, byte for byte.
 *
 * Everything a later stage reads is here: types, attributes, locations, guards, element bindings,
 * the memory plan, schedules.  Values print under their ids (%1 …), parameters first.  Names from
 * models are quoted.
 */
#include <inttypes.h>

#include "graph_text.h"

typedef struct Printer {
    Context *cx;
    Text *out, *blob;
    uint32_t depth;
} Printer;

static void print_graph(Printer *, const Graph *, bool where);

static void new_line(Printer *p) {
    text_add(p->out, "\n");
    for (uint32_t i = 0; i < p->depth; i++)
        text_add(p->out, "  ");
}

static void print_loc(Printer *p, Loc loc) {
    if (loc.id == 0)
        return;
    text_add(p->out, " @");
    text_quote(p->out, loc_string(p->cx, loc));
}

/* ---- attributes
 * ---------------------------------------------------------------------------------------------------
 */

static void print_schedule_field(Printer *p, int f, int64_t value) {
    if (f == SCHED_template_ && value > 0 && value < TEMPLATE_COUNT)
        text_add(p->out, "%s", template_name[value]);
    else if (f == SCHED_tier && value > 0 && value <= (int64_t)n_targets)
        text_quote(p->out, targets[value - 1].name);
    else
        text_add(p->out, "%" PRId64, value);
}

static void print_schedule(Printer *p, const Schedule *s) {
    const char *separator = "";
    text_add(p->out, "{");
    for (int f = 0; f < SCHED_COUNT; f++) {
        int64_t value = s->field[f];
        if (value == 0)
            continue;
        text_add(p->out, "%s%s=", separator, schedule_field_name[f]);
        print_schedule_field(p, f, value);
        separator = ", ";
    }
    text_add(p->out, "}");
}

/* Several are a list. */
static void print_schedules(Printer *p, const Schedule *s, uint32_t n) {
    if (n > 1)
        text_add(p->out, "[");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            text_add(p->out, ", ");
        print_schedule(p, &s[i]);
    }
    if (n > 1)
        text_add(p->out, "]");
}

static void print_ints(Printer *p, const int64_t *ints, uint32_t n) {
    text_add(p->out, "[");
    for (uint32_t i = 0; i < n; i++)
        text_add(p->out, "%s%" PRId64, i ? ", " : "", ints[i]);
    text_add(p->out, "]");
}

static void print_dims(Printer *p, const Dim *dims, uint32_t n) {
    text_add(p->out, "[");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            text_add(p->out, ", ");
        dim_print(p->cx, p->out, dims[i]);
    }
    text_add(p->out, "]");
}

static void print_attr(Printer *p, const Attr *a) {
    text_add(p->out, "%s=", attr_info[a->key].name);
    switch (attr_info[a->key].type) {
    case AT_INT:
        text_add(p->out, "%" PRId64, a->as.i);
        break;
    case AT_FLOAT:
        text_add_f64(p->out, a->as.f);
        break;
    case AT_INTS:
        print_ints(p, a->as.ints, a->n);
        break;
    case AT_DIM:
        dim_print(p->cx, p->out, a->as.dim);
        break;
    case AT_DIMS:
        print_dims(p, a->as.dims, a->n);
        break;
    case AT_DTYPE:
        text_add(p->out, "%s", dtype_info[a->as.dtype].name);
        break;
    case AT_TEXT:
        text_quote(p->out, a->as.text);
        break;
    case AT_CONST:
        const_print(p->cx, p->out, p->blob, a->as.data);
        break;
    case AT_GRAPH:
        print_graph(p, a->as.graph, false);
        break;
    case AT_SCHEDULE:
        print_schedules(p, a->as.schedule, a->n);
        break;
    }
}

static void print_node(Printer *p, const Graph *g, uint32_t id) {
    const Node *n = &g->nodes.at[id];
    new_line(p);
    text_add(p->out, "%%%u = %s", id, op_info[n->op].name);
    for (uint32_t i = 0; i < n->n_in; i++)
        text_add(p->out, "%s%%%u", i ? ", " : " ", n->in[i].id);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        text_add(p->out, i ? ", " : " {");
        print_attr(p, &n->attrs[i]);
    }
    text_add(p->out, n->n_attrs ? "} : " : " : ");
    type_print(p->cx, p->out, n->type);
    print_loc(p, n->loc);
}

/* ---- the function around them
 * --------------------------------------------------------------------------------------- */

static void print_params(Printer *p, const Graph *g) {
    enum { ON_ONE_LINE = 3 };
    bool broken = g->params.n > ON_ONE_LINE;
    text_add(p->out, "(");
    p->depth += 2;
    for (uint32_t i = 0; i < g->params.n; i++) {
        Val v = g->params.at[i];
        const Node *n = node(g, v);
        if (i)
            text_add(p->out, broken ? "," : ", ");
        if (broken)
            new_line(p);
        text_add(p->out, "%%%u ", v.id);
        text_quote(p->out, node_attr(n, ATTR_name)->as.text);
        text_add(p->out, ": ");
        type_print(p->cx, p->out, n->type);
        const Attr *buffers = node_attr(n, ATTR_buffers);
        if (buffers) {
            text_add(p->out, " buffers=");
            print_ints(p, buffers->as.ints, buffers->n);
        }
        print_loc(p, n->loc);
    }
    p->depth -= 2;
    text_add(p->out, ")");
}

static void print_conditions(Printer *p, const Graph *g) {
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        const SymbolBinding *b = &g->bindings.at[i];
        new_line(p);
        text_add(p->out, "bind ");
        name_print(p->out, symbol_info(p->cx, b->symbol)->name);
        text_add(p->out, " = ");
        if (!b->value.id)
            text_add(p->out, "%%%u", g->params.at[b->param].id);
        text_add(p->out, "[");
        if (b->value.id)
            dim_print(p->cx, p->out, b->value);
        else
            text_add(p->out, "%" PRIu64, b->element);
        text_add(p->out, "]");
    }
    for (uint32_t i = 0; i < g->guards.n; i++) {
        const Guard *guard = &g->guards.at[i];
        new_line(p);
        text_add(p->out, "guard ");
        dim_print(p->cx, p->out, guard->fact.a);
        text_add(p->out, " %s ", relation_name[guard->fact.relation]);
        dim_print(p->cx, p->out, guard->fact.b);
        text_add(p->out, " ");
        text_quote(p->out, guard->message);
        print_loc(p, guard->loc);
    }
}

static void print_frame(Printer *p, const Graph *g, const Graph *frame) {
    for (uint32_t id = 1; id < g->nodes.n; id++)
        for (uint32_t i = 0; i < g->nodes.at[id].n_attrs; i++) {
            const Attr *a = &g->nodes.at[id].attrs[i];
            if (attr_info[a->key].type != AT_GRAPH || a->as.graph != frame)
                continue;
            text_add(p->out, " frame %%%u.%s", id, attr_info[a->key].name);
            return;
        }
}

static void print_plan(Printer *p, const Graph *g) {
    if (!g->plan)
        return;
    new_line(p);
    text_add(p->out, "plan {");
    p->depth++;
    for (uint32_t b = 0; b < g->plan->n; b++) {
        const Buffer *buffer = &g->plan->buffers[b];
        new_line(p);
        text_add(p->out, "buffer ");
        dim_print(p->cx, p->out, buffer->bytes);
        for (uint32_t i = 0; i < buffer->n_above; i++)
            text_add(p->out, "%s%u", i ? ", " : " above [", buffer->above[i]);
        if (buffer->n_above)
            text_add(p->out, "]");
        if (buffer->frame)
            print_frame(p, g, buffer->frame);
    }
    p->depth--;
    new_line(p);
    text_add(p->out, "}");
}

static void print_results(Printer *p, const Graph *g) {
    new_line(p);
    text_add(p->out, "return");
    for (uint32_t i = 0; i < g->results.n; i++) {
        text_add(p->out, "%s%%%u", i ? ", " : " ", g->results.at[i].id);
        if (!*g->result_names.at[i])
            continue;
        text_add(p->out, " ");
        text_quote(p->out, g->result_names.at[i]);
    }
}

static void print_graph(Printer *p, const Graph *g, bool where) {
    text_add(p->out, "graph @");
    name_print(p->out, g->name);
    print_params(p, g);
    if (where)
        where_print(g, p->out);
    text_add(p->out, " {");
    p->depth++;
    print_conditions(p, g);
    for (uint32_t id = 1; id < g->nodes.n; id++)
        if (g->nodes.at[id].op != OP_param)
            print_node(p, g, id);
    print_plan(p, g);
    print_results(p, g);
    p->depth--;
    new_line(p);
    text_add(p->out, "}");
}

void graph_print(const Graph *g, Text *out, Text *blob) {
    REQUIRE(g->cx, g->finished);
    Printer p = {.cx = g->cx, .out = out, .blob = blob};
    print_graph(&p, g, true);
    text_add(out, "\n");
}
