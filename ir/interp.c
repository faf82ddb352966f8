/* interp.c: the reference semantics of the Graph IR: one tensor a node, in order.
 *
 * Symbols are solved from the extents of the inputs (each affine in one open symbol), guards are
 * checked as soon as their symbols are known, data-dependent symbols are bound by the node that
 * finds them.  Regions share the caller's symbols. Serves --check-each, `verify`, the tests, and
 * through eval_fn constant folding.
 */
#include "ops/ops.h"

/* ---- symbols ---- */

static bool dim_bound(const Interp *ip, Dim d);

static bool symbol_bound(const Interp *ip, Symbol s) {
    const SymbolInfo *info = symbol_info(ip->cx, s);
    if (info->kind == SYMBOL_LET)
        return dim_bound(ip, info->capacity);
    return ip->symbols && ip->symbols[s.id] != SYMBOL_UNBOUND;
}

/* All symbols anywhere inside d have values. */
static bool dim_bound(const Interp *ip, Dim d) {
    int64_t value;
    if (dim_const_value(ip->cx, d, &value))
        return true;
    const Term *terms;
    uint32_t n = dim_terms(ip->cx, d, &terms);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < terms[i].n; k++) {
            Atom a = dim_atom(ip->cx, terms[i].factors[k].atom);
            bool bound = a.kind == ATOM_SYMBOL ? symbol_bound(ip, a.symbol)
                                               : dim_bound(ip, a.a) && dim_bound(ip, a.b);
            if (!bound)
                return false;
        }
    }
    return true;
}

/* The first symbol of d without a value; id 0 where all are bound. */
static Symbol open_symbol(const Interp *ip, Dim d) {
    const Term *terms;
    uint32_t n = dim_terms(ip->cx, d, &terms);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < terms[i].n; k++) {
            Atom a = dim_atom(ip->cx, terms[i].factors[k].atom);
            if (a.kind == ATOM_SYMBOL && symbol_bound(ip, a.symbol))
                continue;
            if (a.kind == ATOM_SYMBOL && symbol_info(ip->cx, a.symbol)->kind != SYMBOL_LET)
                return a.symbol;
            Symbol s = a.kind == ATOM_SYMBOL
                           ? open_symbol(ip, symbol_info(ip->cx, a.symbol)->capacity)
                           : open_symbol(ip, a.a);
            if (!s.id && a.kind != ATOM_SYMBOL)
                s = open_symbol(ip, a.b);
            if (s.id)
                return s;
        }
    }
    return (Symbol){0};
}

bool interp_try_dim(const Interp *ip, Dim d, int64_t *value) {
    if (dim_const_value(ip->cx, d, value))
        return true;
    return dim_bound(ip, d) && dim_eval(ip->cx, d, ip->symbols, value);
}

bool interp_dim(const Interp *ip, Dim d, int64_t *value) {
    if (interp_try_dim(ip, d, value))
        return true;
    Symbol open = open_symbol(ip, d);
    if (open.id) {
        diag_error(ip->cx, ip->loc, "%s is unknown: the inputs' shapes do not determine %s",
                   dim_string(ip->cx, d), symbol_info(ip->cx, open)->name);
    } else {
        diag_error(ip->cx, ip->loc, "%s overflows or divides by 0 for these inputs",
                   dim_string(ip->cx, d));
    }
    return false;
}

bool interp_dims(const Interp *ip, const Dim *dims, uint32_t n, int64_t *values) {
    for (uint32_t i = 0; i < n; i++)
        if (!interp_dim(ip, dims[i], &values[i]))
            return false;
    return true;
}

/* d is nothing but one symbol. */
static Symbol plain_symbol(Context *cx, Dim d) {
    const Term *terms;
    if (dim_terms(cx, d, &terms) != 1 || terms[0].coefficient != 1 || terms[0].n != 1)
        return (Symbol){0};
    Atom a = dim_atom(cx, terms[0].factors[0].atom);
    return a.kind == ATOM_SYMBOL && terms[0].factors[0].power == 1 ? a.symbol : (Symbol){0};
}

static bool bind_symbol(Interp *ip, Symbol s, int64_t value, const char *what) {
    const SymbolInfo *info = symbol_info(ip->cx, s);
    int64_t capacity = info->max;
    if (info->kind == SYMBOL_FOUND && info->capacity.id &&
        interp_try_dim(ip, info->capacity, &capacity) && value > capacity) {
        diag_error(ip->cx, ip->loc, "%s: %s is %lld, more than its capacity %lld", what, info->name,
                   (long long)value, (long long)capacity);
        return false;
    }
    if (value < info->min || value > info->max) {
        diag_error(ip->cx, ip->loc, "%s: %s is %lld, declared to lie in [%lld, %lld]", what,
                   info->name, (long long)value, (long long)info->min, (long long)info->max);
        return false;
    }
    if (info->multiple > 1 && value % info->multiple != 0) {
        diag_error(ip->cx, ip->loc, "%s: %s is %lld, declared to be a multiple of %lld", what,
                   info->name, (long long)value, (long long)info->multiple);
        return false;
    }
    ip->symbols[s.id] = value;
    return true;
}

/* d = a * s + b with s the one open symbol: s = (value - b) / a.  False where it cannot be solved
 * (yet). */
static bool solve(Interp *ip, Dim d, int64_t value, Symbol *s, int64_t *found) {
    Dim a, b;
    int64_t slope, offset, rest;
    *s = open_symbol(ip, d);
    if (!s->id || !dim_affine(ip->cx, d, *s, &a, &b))
        return false;
    if (!interp_try_dim(ip, a, &slope) || !interp_try_dim(ip, b, &offset) || slope == 0)
        return false;
    if (!ck_sub(value, offset, &rest) || rest % slope != 0)
        return false;
    *found = rest / slope;
    return true;
}

bool interp_bind(Interp *ip, Dim d, int64_t value, const char *what) {
    int64_t known;
    Symbol plain = plain_symbol(ip->cx, d), s;
    if (plain.id && ip->symbols && symbol_info(ip->cx, plain)->kind == SYMBOL_FOUND)
        return bind_symbol(ip, plain, value, what);
    if (interp_try_dim(ip, d, &known)) {
        if (known == value)
            return true;
        diag_error(ip->cx, ip->loc, "%s is %lld, expected %s = %lld", what, (long long)value,
                   dim_string(ip->cx, d), (long long)known);
        return false;
    }
    if (!ip->symbols || !solve(ip, d, value, &s, &known))
        return interp_dim(ip, d, &known);
    return bind_symbol(ip, s, known, what);
}

/* ---- inputs and guards ---- */

static const char *param_name(const Graph *g, uint32_t i) {
    return node_attr(node(g, g->params.at[i]), ATTR_name)->as.text;
}

static bool check_inputs(Interp *ip, const Graph *g, const Tensor *inputs, uint32_t n_inputs) {
    Context *cx = ip->cx;
    if (n_inputs != g->params.n) {
        diag_error(cx, ip->loc, "%s: %u inputs given, expected %u", g->name, n_inputs, g->params.n);
        return false;
    }
    for (uint32_t i = 0; i < n_inputs; i++) {
        const Node *p = node(g, g->params.at[i]);
        const TypeInfo *t = type_info(cx, p->type);
        if (t->dtype == inputs[i].dtype && t->rank == inputs[i].rank)
            continue;
        diag_error(cx, p->loc, "input '%s' is %s of rank %u, expected %s of rank %u",
                   param_name(g, i), dtype_info[inputs[i].dtype].name, inputs[i].rank,
                   dtype_info[t->dtype].name, t->rank);
        return false;
    }
    return true;
}

/* Symbols that are elements of small integer inputs. */
static bool bind_elements(Interp *ip, const Graph *g, const Tensor *inputs) {
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        SymbolBinding b = g->bindings.at[i];
        if (b.value.id)
            continue;
        const char *what = arena_print(ip->arena, "element %llu of input '%s'",
                                       (unsigned long long)b.element, param_name(g, b.param));
        if (b.element >= (uint64_t)tensor_elements(&inputs[b.param])) {
            diag_error(ip->cx, ip->loc, "%s does not exist: the input has %lld elements", what,
                       (long long)tensor_elements(&inputs[b.param]));
            return false;
        }
        const Tensor *t = &inputs[b.param];
        Scalar x = tensor_at(t, (int64_t)b.element), scaled = {.f = x.f * ELEMENT_SCALE};
        int64_t value = dtype_is_float(t->dtype) ? scalar_convert(DT_i64, DT_f64, scaled, true).i
                                                 : tensor_int(t, (int64_t)b.element);
        if (!interp_bind(ip, dim_symbol(ip->cx, b.symbol), value, what))
            return false;
    }
    return true;
}

/* Symbols that stand for what a dim of the others comes to. */
static bool bind_computed(Interp *ip, const Graph *g) {
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        SymbolBinding b = g->bindings.at[i];
        int64_t value;
        if (b.value.id && (!interp_dim(ip, b.value, &value) ||
                           !bind_symbol(ip, b.symbol, value, dim_string(ip->cx, b.value))))
            return false;
    }
    return true;
}

/* Extents, until nothing more can be solved; then all of them for real. */
static bool bind_inputs(Interp *ip, const Graph *g, const Tensor *inputs, uint32_t n_inputs) {
    if (!check_inputs(ip, g, inputs, n_inputs) || !bind_elements(ip, g, inputs))
        return false;
    for (bool progress = true; progress;) {
        progress = false;
        for (uint32_t i = 0; i < n_inputs; i++) {
            const TypeInfo *t = val_type(g, g->params.at[i]);
            for (uint32_t k = 0; k < t->rank; k++) {
                Symbol s;
                int64_t value;
                if (dim_bound(ip, t->dims[k]) ||
                    !solve(ip, t->dims[k], inputs[i].dims[k], &s, &value))
                    continue;
                if (!bind_symbol(ip, s, value, g->name))
                    return false;
                progress = true;
            }
        }
    }
    if (!bind_computed(ip, g))
        return false;
    for (uint32_t i = 0; i < n_inputs; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        for (uint32_t k = 0; k < t->rank; k++) {
            const char *what =
                arena_print(ip->arena, "extent of axis %u of input '%s'", k, param_name(g, i));
            if (!interp_bind(ip, t->dims[k], inputs[i].dims[k], what))
                return false;
        }
    }
    return true;
}

static bool relation_holds(Relation r, int64_t a, int64_t b) {
    switch (r) {
    case REL_EQ:
        return a == b;
    case REL_NE:
        return a != b;
    case REL_LE:
        return a <= b;
    case REL_LT:
        return a < b;
    case REL_DIVIDES:
        return a != 0 && b % a == 0;
    }
    return false;
}

/* Checks the guards whose symbols are known and that are not yet done; `all`: the others are an
 * error. */
static bool check_guards(Interp *ip, const Graph *g, bool *done, bool all) {
    static const char *const spelling[] = {"equal", "differ from", "be at most", "be less than",
                                           "divide"};
    for (uint32_t i = 0; i < g->guards.n; i++) {
        const Guard *guard = &g->guards.at[i];
        int64_t a, b;
        if (done[i])
            continue;
        ip->loc = guard->loc;
        if (all && !(interp_dim(ip, guard->fact.a, &a) && interp_dim(ip, guard->fact.b, &b)))
            return false;
        if (!interp_try_dim(ip, guard->fact.a, &a) || !interp_try_dim(ip, guard->fact.b, &b))
            continue;
        done[i] = true;
        if (relation_holds(guard->fact.relation, a, b))
            continue;
        diag_error(ip->cx, guard->loc, "%s: %s = %lld must %s %s = %lld",
                   guard->message ? guard->message : "guard failed",
                   dim_string(ip->cx, guard->fact.a), (long long)a, spelling[guard->fact.relation],
                   dim_string(ip->cx, guard->fact.b), (long long)b);
        return false;
    }
    return true;
}

/* ---- evaluation ---- */

uint32_t type_leaves(Context *cx, Type type) {
    const TypeInfo *t = type_info(cx, type);
    if (t->dtype != DT_none)
        return 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        n += type_leaves(cx, t->elements[i]);
    return n;
}

/* What a node answered against its type: a region's result may have found an extent. */
static bool bind_type(Interp *ip, Type type, const Tensor **at) {
    const TypeInfo *t = type_info(ip->cx, type);
    if (t->dtype == DT_none) {
        for (uint32_t i = 0; i < t->rank; i++)
            if (!bind_type(ip, t->elements[i], at))
                return false;
        return true;
    }
    const Tensor *x = (*at)++;
    for (uint32_t k = 0; k < t->rank; k++)
        if (!interp_bind(ip, t->dims[k], x->dims[k], "extent of a result"))
            return false;
    return true;
}

/* Elements of what n answers, as far as they are known before it is evaluated. */
static int64_t result_elements(const Interp *ip, Type type) {
    const TypeInfo *t = type_info(ip->cx, type);
    int64_t sum = 0, product = 1, extent;
    if (t->dtype == DT_none) {
        for (uint32_t i = 0; i < t->rank; i++)
            sum = sat_add(sum, result_elements(ip, t->elements[i]));
        return sum;
    }
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!interp_try_dim(ip, t->dims[i], &extent) || extent < 0)
            return 0;
        product = sat_mul(product, extent);
    }
    return product;
}

/* A unit of fuel for each element read or written, or of a contraction for each product; the nodes of regions pay for
 * themselves. */
static void pay(const Interp *ip, const Node *n, const Tensor *in, uint32_t n_in) {
    OpKind kind = op_info[n->op].kind;
    int64_t elements = kind == KIND_CONTROL || kind == KIND_GROUP ? 0 : result_elements(ip, n->type);
    if (kind == KIND_CONTRACT) {
        uint32_t batch = contract_batch(n);
        for (uint32_t i = batch; i + 1 < in[1].rank; i++)
            elements = sat_mul(elements, in[1].dims[i]);
    } else if (kind != KIND_CONTROL && kind != KIND_GROUP) {
        for (uint32_t i = 0; i < n_in; i++)
            elements = sat_add(elements, in[i].splat ? 1 : tensor_elements(&in[i]));
    }
    context_spend(ip->cx, (uint64_t)elements + 1);
}

static bool eval_node(Interp *ip, const Graph *g, const Node *n, Tensor *const *values,
                      const Tensor *inputs, Tensor *out) {
    OpKind kind = op_info[n->op].kind;
    const Tensor *in = inputs;
    ip->loc = n->loc;
    if (kind != KIND_SOURCE) {
        uint32_t leaves = 0;
        for (uint32_t i = 0; i < n->n_in; i++)
            leaves += type_leaves(ip->cx, node(g, n->in[i])->type);
        Tensor *operands = arena_new_array(ip->arena, Tensor, leaves);
        uint32_t to = 0;
        for (uint32_t i = 0; i < n->n_in; i++) {
            uint32_t count = type_leaves(ip->cx, node(g, n->in[i])->type);
            for (uint32_t k = 0; k < count; k++)
                operands[to++] = values[n->in[i].id][k];
            bool decodes = kind == KIND_CONTRACT || kind == KIND_CONTROL || kind == KIND_GROUP;
            if (count && !decodes && operands[to - 1].encoding != ENCODING_DENSE)
                BUG(ip->cx, "%s reads an encoded constant", op_info[n->op].name);
        }
        in = operands;
        pay(ip, n, in, leaves);
    }
    if (!eval_fn[n->op](ip, g, n, in, out))
        return false;
    if (kind != KIND_CONTROL && kind != KIND_GROUP)
        return true;
    ip->loc = n->loc;
    return bind_type(ip, n->type, &(const Tensor *){out});
}

bool interp_graph(Interp *ip, const Graph *g, const Tensor *inputs, uint32_t n_inputs,
                  Tensor *out) {
    Context *cx = ip->cx;
    bool *guards_done = arena_new_array(ip->arena, bool, g->guards.n);
    if (!bind_inputs(ip, g, inputs, n_inputs) || !check_guards(ip, g, guards_done, false))
        return false;
    Tensor **values = arena_new_array(ip->arena, Tensor *, g->nodes.n);
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        values[id] = arena_new_array(ip->arena, Tensor, type_leaves(cx, n->type));
        if (!eval_node(ip, g, n, values, inputs, values[id]))
            return false;
        bool finds = op_info[n->op].kind == KIND_CONTROL || op_info[n->op].kind == KIND_ANCHOR;
        if (finds && !check_guards(ip, g, guards_done, false))
            return false;
    }
    if (!check_guards(ip, g, guards_done, true))
        return false;
    for (uint32_t i = 0; i < g->results.n; i++) {
        Val r = g->results.at[i];
        uint32_t count = type_leaves(cx, node(g, r)->type);
        for (uint32_t k = 0; k < count; k++)
            *out++ = values[r.id][k];
    }
    return true;
}

bool interp_run(Context *cx, Arena *arena, const Graph *g, const Tensor *inputs, uint32_t n_inputs,
                Tensor *outputs) {
    uint32_t n = symbol_count(cx) + 1;
    Interp ip = {.cx = cx, .arena = arena, .symbols = arena_new_array(arena, int64_t, n)};
    for (uint32_t i = 0; i < n; i++)
        ip.symbols[i] = SYMBOL_UNBOUND;
    return interp_graph(&ip, g, inputs, n_inputs, outputs);
}
