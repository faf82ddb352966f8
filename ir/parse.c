/* parse.c: a graph from its text.  docs/ir.md is the grammar; print.c writes it.
 *
 * Recursive descent, nested at most MAX_NESTING deep.  Nodes are built by emit without folding, so
 * that a text means what it says: a wrong node is reported at its line and the parse goes on; a
 * mistake of grammar ends it.  Nodes get exactly the locations that the text states.
 */
#include <string.h>

#include "graph_text.h"

typedef struct GraphParser {
    Parser *p;
    Graph *g;
    Map values; /* interned label -> node id + 1: poison is 1 */
} GraphParser;

static Graph *parse_graph(Parser *, bool outermost);

/* ---- values
 * -------------------------------------------------------------------------------------------------------
 */

static bool parse_label(Parser *p, const char **label) {
    if (p->failed)
        return false;
    if (p->token.kind != TOKEN_VALUE || !p->token.text[1])
        return parse_fail(p, "found '%.60s', a value such as %%1 expected", p->token.text);
    *label = p->token.text;
    lex_next(p);
    return !p->failed;
}

static bool parse_new_label(GraphParser *k, const char **label) {
    if (k->p->token.kind == TOKEN_VALUE && map_get(&k->values, (uintptr_t)k->p->token.text))
        return parse_fail(k->p, "%s is defined twice", k->p->token.text);
    return parse_label(k->p, label);
}

static void define(GraphParser *k, const char *label, Val v) {
    map_set(&k->values, (uintptr_t)label, v.id + 1);
}

static bool parse_value(GraphParser *k, Val *v) {
    uint32_t known = 0;
    if (k->p->token.kind == TOKEN_VALUE) {
        known = map_get(&k->values, (uintptr_t)k->p->token.text);
        if (!known)
            return parse_fail(k->p, "%.60s is not defined before this", k->p->token.text);
    }
    const char *label;
    v->id = known - 1;
    return parse_label(k->p, &label);
}

/* [@"text"]; nowhere without. */
static bool parse_loc(Parser *p, Loc *loc) {
    const char *text;
    *loc = (Loc){0};
    if (!lex_accept(p, "@"))
        return !p->failed;
    if (!parse_string(p, &text))
        return false;
    *loc = loc_read(p->cx, text);
    return true;
}

/* ---- attributes
 * ---------------------------------------------------------------------------------------------------
 */

static bool parse_template(Parser *p, int64_t *value) {
    if (p->token.kind != TOKEN_NAME)
        return parse_int(p, INT64_MIN, INT64_MAX, value);
    for (int t = 1; t < TEMPLATE_COUNT; t++)
        if (lex_accept_name(p, template_name[t])) {
            *value = t;
            return !p->failed;
        }
    return parse_unknown(p, "template", template_name + 1, TEMPLATE_COUNT - 1);
}

static bool parse_tier(Parser *p, int64_t *value) {
    const char *name;
    if (p->token.kind != TOKEN_STRING)
        return parse_int(p, 0, n_targets, value);
    if (!parse_string(p, &name))
        return false;
    const Target *t = target_find(name);
    if (t)
        *value = t - targets + 1;
    return t || parse_fail(p, "unknown target '%.40s'", name);
}

static bool parse_schedule_field(Parser *p, int f, int64_t *value) {
    if (f == SCHED_template_)
        return parse_template(p, value);
    return f == SCHED_tier ? parse_tier(p, value) : parse_int(p, INT64_MIN, INT64_MAX, value);
}

static bool parse_schedule(Parser *p, Schedule *s) {
    if (!lex_expect(p, "{"))
        return false;
    for (bool first = true; !lex_is(p, "}"); first = false) {
        int f = 0;
        if (!first && !lex_expect(p, ","))
            return false;
        while (f < SCHED_COUNT && !lex_is_name(p, schedule_field_name[f]))
            f++;
        if (f == SCHED_COUNT)
            return parse_unknown(p, "schedule field", schedule_field_name, SCHED_COUNT);
        lex_next(p);
        if (!lex_expect(p, "="))
            return false;
        if (!parse_schedule_field(p, f, &s->field[f]))
            return false;
    }
    return lex_expect(p, "}");
}

/* One, or a list with one for each of several targets. */
static bool parse_schedules(Parser *p, Attr *a) {
    VEC(Schedule) all = {0};
    bool list = lex_is(p, "[");
    if (list)
        lex_next(p);
    do {
        Schedule s = {0};
        if ((all.n && !lex_expect(p, ",")) || !parse_schedule(p, &s))
            return false;
        vec_push(p->cx->arena, &all, s);
    } while (list && !lex_is(p, "]"));
    a->n = all.n;
    a->as.schedule = all.at;
    return !list || lex_expect(p, "]");
}

static bool parse_dims(Parser *p, Attr *a) {
    VEC(Dim) dims = {0};
    if (!lex_expect(p, "["))
        return false;
    while (!lex_is(p, "]")) {
        Dim d;
        if ((dims.n && !lex_expect(p, ",")) || !parse_dim(p, &d))
            return false;
        vec_push(p->cx->arena, &dims, d);
    }
    a->n = dims.n;
    a->as.dims = dims.at;
    return lex_expect(p, "]");
}

static bool parse_attr_value(Parser *p, Attr *a) {
    switch (attr_info[a->key].type) {
    case AT_INT:
        return parse_int(p, INT64_MIN, INT64_MAX, &a->as.i);
    case AT_FLOAT:
        return parse_float(p, DT_f64, &a->as.f);
    case AT_INTS:
        return parse_ints(p, &a->n, &a->as.ints);
    case AT_DIM:
        return parse_dim(p, &a->as.dim);
    case AT_DIMS:
        return parse_dims(p, a);
    case AT_DTYPE:
        return parse_dtype(p, &a->as.dtype);
    case AT_TEXT:
        return parse_string(p, &a->as.text);
    case AT_CONST:
        return parse_const(p, &a->as.data);
    case AT_GRAPH:
        a->as.graph = parse_graph(p, false);
        return !p->failed;
    case AT_SCHEDULE:
        return parse_schedules(p, a);
    }
    return false;
}

static bool parse_attr(Parser *p, Attr *a) {
    const char *names[ATTR_COUNT];
    for (int key = 1; key < ATTR_COUNT; key++) {
        names[key] = attr_info[key].name;
        if (!lex_is_name(p, names[key]))
            continue;
        *a = (Attr){.key = (AttrKey)key};
        lex_next(p);
        return lex_expect(p, "=") && parse_attr_value(p, a);
    }
    return parse_unknown(p, "attribute", names + 1, ATTR_COUNT - 1);
}

static bool parse_attrs(Parser *p, Attr *attrs, uint32_t *n) {
    *n = 0;
    if (!lex_accept(p, "{"))
        return !p->failed;
    while (!lex_is(p, "}")) {
        if (*n == ATTR_COUNT)
            return parse_fail(p, "more than %d attributes", ATTR_COUNT);
        if ((*n && !lex_expect(p, ",")) || !parse_attr(p, &attrs[*n]))
            return false;
        ++*n;
    }
    return lex_expect(p, "}");
}

/* ---- nodes
 * --------------------------------------------------------------------------------------------------------
 */

static bool parse_op(Parser *p, Op *op) {
    if (p->failed)
        return false;
    *op = p->token.kind == TOKEN_NAME ? op_by_name(p->token.text) : OP_poison;
    if (*op == OP_poison) {
        const char *names[OP_COUNT];
        for (int i = 1; i < OP_COUNT; i++)
            names[i] = op_info[i].name;
        return parse_unknown(p, "op", names + 1, OP_COUNT - 1);
    }
    lex_next(p);
    return !p->failed;
}

/* Emits at a position of the text, then gives a new node the location that the text states. */
static Val emit_at(GraphParser *k, Op op, const char *at, Loc stated, const Val *in, uint32_t n_in,
                   const Attr *attrs, uint32_t n_attrs) {
    uint32_t known = k->g->nodes.n;
    Val v = emit(k->g, op, parser_loc(k->p, at), in, n_in, attrs, n_attrs);
    if (v.id >= known)
        k->g->nodes.at[v.id].loc = stated;
    return v;
}

static void check_type(GraphParser *k, const char *at, Val v, Type stated) {
    Type type = node(k->g, v)->type;
    if (v.id == 0 || type.id == stated.id)
        return;
    Text found = text_new(k->p->cx->arena), expected = text_new(k->p->cx->arena);
    type_print(k->p->cx, &found, stated);
    type_print(k->p->cx, &expected, type);
    diag_error(k->p->cx, parser_loc(k->p, at), "%s: stated type is %s, but it is %s",
               op_info[val_op(k->g, v)].name, found.at, expected.at);
}

static bool parse_node(GraphParser *k) {
    Parser *p = k->p;
    const char *at = p->token.at, *label, *type_at = NULL;
    Op op;
    Attr attrs[ATTR_COUNT];
    uint32_t n_attrs;
    VEC(Val) in = {0};
    Type stated = {0};
    Loc loc;
    if (!parse_new_label(k, &label) || !lex_expect(p, "=") || !parse_op(p, &op))
        return false;
    while (p->token.kind == TOKEN_VALUE) {
        Val v;
        if (!parse_value(k, &v))
            return false;
        vec_push(p->cx->arena, &in, v);
        if (!lex_accept(p, ","))
            break;
        if (p->token.kind != TOKEN_VALUE)
            return parse_fail(p, "a value expected after ','");
    }
    if (!parse_attrs(p, attrs, &n_attrs))
        return false;
    if (lex_accept(p, ":")) {
        type_at = p->token.at;
        if (!parse_type(p, &stated))
            return false;
    }
    if (!parse_loc(p, &loc))
        return false;
    Val v = emit_at(k, op, at, loc, in.at, in.n, attrs, n_attrs);
    if (type_at)
        check_type(k, type_at, v, stated);
    define(k, label, v);
    return !p->failed;
}

static bool parse_param(GraphParser *k) {
    Parser *p = k->p;
    const char *at = p->token.at, *label, *name;
    Type type;
    Attr buffers = {.key = ATTR_buffers};
    Loc loc;
    if (!parse_new_label(k, &label) || !parse_string(p, &name) || !lex_expect(p, ":") ||
        !parse_type(p, &type))
        return false;
    bool planned = lex_accept_name(p, "buffers");
    if (planned && (!lex_expect(p, "=") || !parse_ints(p, &buffers.n, &buffers.as.ints)))
        return false;
    if (!parse_loc(p, &loc))
        return false;
    const TypeInfo *t = type_info(p->cx, type);
    if (t->dtype == DT_none)
        return parse_fail(p, "parameter '%.60s' is a tuple, a tensor expected", name);
    Attr attrs[] = {
        {.key = ATTR_index, .as.i = k->g->params.n},
        {.key = ATTR_name, .as.text = name},
        {.key = ATTR_dtype, .as.dtype = t->dtype},
        {.key = ATTR_shape, .n = t->rank, .as.dims = t->dims},
        {.key = ATTR_encoding, .as.i = t->encoding},
        buffers,
    };
    define(k, label, emit_at(k, OP_param, at, loc, NULL, 0, attrs, COUNT(attrs) - !planned));
    return true;
}

static bool parse_params(GraphParser *k) {
    if (!lex_expect(k->p, "("))
        return false;
    for (bool first = true; !lex_is(k->p, ")"); first = false)
        if ((!first && !lex_expect(k->p, ",")) || !parse_param(k))
            return false;
    return lex_expect(k->p, ")");
}

/* ---- conditions, plan, results
 * ------------------------------------------------------------------------------------ */

static bool parse_relation(Parser *p, Relation *relation) {
    for (int r = 0; r < N_RELATIONS; r++)
        if (!p->failed && strcmp(p->token.text, relation_name[r]) == 0) {
            *relation = (Relation)r;
            lex_next(p);
            return !p->failed;
        }
    return parse_fail(p, "found '%.60s', a relation == != <= < divides expected", p->token.text);
}

static bool parse_guard(GraphParser *k) {
    Parser *p = k->p;
    Guard guard;
    if (!parse_dim(p, &guard.fact.a) || !parse_relation(p, &guard.fact.relation) ||
        !parse_dim(p, &guard.fact.b) || !parse_string(p, &guard.message) ||
        !parse_loc(p, &guard.loc))
        return false;
    vec_push(k->g->arena, &k->g->guards, guard);
    return true;
}

static bool parse_bind(GraphParser *k) {
    Parser *p = k->p;
    const char *name;
    Val v;
    int64_t element;
    SymbolBinding binding = {0};
    if (!parse_name(p, &name))
        return false;
    binding.symbol = symbol_find(p->cx, name);
    if (binding.symbol.id == 0)
        return parse_fail(p, "symbol '%.60s' is not declared", name);
    if (!lex_expect(p, "="))
        return false;
    if (lex_accept(p, "[")) {
        if (!parse_dim(p, &binding.value) || !lex_expect(p, "]"))
            return false;
        vec_push(k->g->arena, &k->g->bindings, binding);
        return true;
    }
    if (!parse_value(k, &v) || !lex_expect(p, "[") || !parse_int(p, 0, INT64_MAX, &element) ||
        !lex_expect(p, "]"))
        return false;
    if (v.id == 0)
        return true;
    if (val_op(k->g, v) != OP_param)
        return parse_fail(p, "'%.60s' is bound to no parameter", name);
    binding.param = (uint32_t)attr_int(node(k->g, v), ATTR_index);
    binding.element = (uint64_t)element;
    vec_push(k->g->arena, &k->g->bindings, binding);
    return true;
}

/* %value.attribute: a region of a node. */
static bool parse_frame(GraphParser *k, const Graph **frame) {
    Parser *p = k->p;
    Val v;
    if (!parse_value(k, &v) || !lex_expect(p, "."))
        return false;
    const Node *n = node(k->g, v);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const Attr *a = &n->attrs[i];
        if (attr_info[a->key].type == AT_GRAPH && lex_accept_name(p, attr_info[a->key].name)) {
            *frame = a->as.graph;
            return !p->failed;
        }
    }
    return v.id == 0 ? (lex_next(p), !p->failed)
                     : parse_fail(p, "'%.60s' is no region of the value", p->token.text);
}

static bool parse_buffer(GraphParser *k, Buffer *buffer) {
    Parser *p = k->p;
    *buffer = (Buffer){.n_above = 0};
    if (!lex_expect_name(p, "buffer") || !parse_dim(p, &buffer->bytes))
        return false;
    if (lex_accept_name(p, "above")) {
        const int64_t *ints;
        if (!parse_ints(p, &buffer->n_above, &ints))
            return false;
        uint32_t *above = arena_new_array(k->g->arena, uint32_t, buffer->n_above);
        for (uint32_t i = 0; i < buffer->n_above; i++) {
            if (ints[i] < 0 || ints[i] > INT32_MAX)
                return parse_fail(p, "%lld is no buffer", (long long)ints[i]);
            above[i] = (uint32_t)ints[i];
        }
        buffer->above = above;
    }
    return lex_accept_name(p, "frame") ? parse_frame(k, &buffer->frame) : !p->failed;
}

static bool parse_plan(GraphParser *k) {
    VEC(Buffer) buffers = {0};
    if (!lex_expect(k->p, "{"))
        return false;
    while (!lex_is(k->p, "}")) {
        Buffer buffer;
        if (!parse_buffer(k, &buffer))
            return false;
        vec_push(k->g->arena, &buffers, buffer);
    }
    for (uint32_t b = 0; b < buffers.n; b++)
        for (uint32_t i = 0; i < buffers.at[b].n_above; i++)
            if (buffers.at[b].above[i] >= buffers.n)
                return parse_fail(k->p, "buffer %u lies above buffer %u, which does not exist", b,
                                  buffers.at[b].above[i]);
    Plan *plan = arena_alloc(k->g->arena, sizeof *plan);
    *plan = (Plan){.n = buffers.n, .buffers = buffers.at};
    k->g->plan = plan;
    return lex_expect(k->p, "}");
}

static bool parse_results(GraphParser *k) {
    Parser *p = k->p;
    if (!lex_expect_name(p, "return"))
        return false;
    while (p->token.kind == TOKEN_VALUE) {
        Val v;
        const char *name = "";
        if (!parse_value(k, &v))
            return false;
        if (p->token.kind == TOKEN_STRING && !parse_string(p, &name))
            return false;
        graph_result(k->g, v, name);
        if (!lex_accept(p, ","))
            break;
        if (p->token.kind != TOKEN_VALUE)
            return parse_fail(p, "a value expected after ','");
    }
    return !p->failed;
}

/* ---- the function
 * -------------------------------------------------------------------------------------------------
 */

/* Guards that the parameters' types need, unless the text states them itself, which it does wherever it was printed. */
static void add_unstated(Graph *g, const Guard *derived, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const Fact *f = &derived[i].fact;
        bool stated = false;
        for (uint32_t k = 0; k < g->guards.n && !stated; k++) {
            const Fact *o = &g->guards.at[k].fact;
            stated = o->relation == f->relation && dim_same(o->a, f->a) && dim_same(o->b, f->b);
        }
        if (!stated)
            vec_push(g->arena, &g->guards, derived[i]);
    }
}

static bool parse_body(GraphParser *k) {
    Parser *p = k->p;
    if (!lex_expect(p, "{"))
        return false;
    uint32_t n_derived = k->g->guards.n;
    const Guard *derived = arena_copy(p->cx->arena, k->g->guards.at, n_derived * sizeof *derived);
    k->g->guards.n = 0;
    for (;;) {
        bool fine;
        if (p->token.kind == TOKEN_VALUE)
            fine = parse_node(k);
        else if (lex_accept_name(p, "guard"))
            fine = parse_guard(k);
        else if (lex_accept_name(p, "bind"))
            fine = parse_bind(k);
        else if (!k->g->plan && lex_accept_name(p, "plan"))
            fine = parse_plan(k);
        else
            break;
        if (!fine)
            return false;
    }
    add_unstated(k->g, derived, n_derived);
    return parse_results(k) && lex_expect(p, "}");
}

/* The symbols are declared after the parameters that use them: read ahead. */
static bool read_where_ahead(Parser *p) {
    const char *at = p->at;
    Token token = p->token;
    uint32_t open = 0;
    do {
        open += lex_is(p, "(");
        open -= lex_is(p, ")");
        lex_next(p);
    } while (open && p->token.kind != TOKEN_END);
    if (lex_accept_name(p, "where") && !parse_where(p))
        return false;
    if (p->failed)
        return false;
    p->at = at;
    p->token = token;
    return true;
}

static bool skip_where(Parser *p) {
    if (!lex_is_name(p, "where"))
        return !p->failed;
    while (!lex_is(p, "{") && p->token.kind != TOKEN_END)
        lex_next(p);
    return !p->failed;
}

static Graph *parse_graph(Parser *p, bool outermost) {
    const char *name;
    if (p->depth >= MAX_NESTING) {
        parse_fail(p, "nested more than %d deep", MAX_NESTING);
        return NULL;
    }
    p->depth++;
    if (!lex_expect_name(p, "graph") || !lex_expect(p, "@") || !parse_name(p, &name))
        return NULL;
    if (outermost && !read_where_ahead(p))
        return NULL;
    GraphParser k = {.p = p, .g = graph_new(p->cx, name), .values = map_new(p->cx->arena)};
    if (!parse_params(&k) || (outermost && !skip_where(p)) || !parse_body(&k))
        return NULL;
    p->depth--;
    return graph_finish(k.g);
}

Graph *graph_parse(Context *cx, const char *file, const char *text, size_t n, const uint8_t *blob,
                   size_t blob_bytes) {
    uint32_t errors = diag_error_count(cx);
    const char *copy = "";
    if (n) {
        char *bytes = arena_alloc(cx->arena, n + 1); /* zeroed: ends in a NUL */
        memcpy(bytes, text, n);
        copy = bytes;
    }
    Parser p = {.cx = cx,
                .file = file,
                .text = copy,
                .end = copy + n,
                .blob = blob,
                .blob_bytes = blob ? blob_bytes : 0,
                .declare = true};
    lex_start(&p);
    Graph *g = parse_graph(&p, true);
    if (!p.failed && p.token.kind != TOKEN_END)
        parse_fail(&p, "found '%.60s' after the graph's end", p.token.text);
    return diag_error_count(cx) == errors ? g : NULL;
}
