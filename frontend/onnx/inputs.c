/* inputs.c: the model's inputs as parameters, their extents as symbols, and the whole import.
 *
 * A dim_param is one symbol wherever it occurs; an extent without a name becomes <input>_dim_<axis>.  Symbols may be 0
 * unless a declaration narrows them.  Inputs that have an initializer are constants, as before IR version 4.
 */
#include "onnx.h"
#include <stdio.h>
#include <string.h>

struct Declaration {
    const char *text, *name;
    SymbolInfo info;
};

const char *onnx_symbol_name(Context *cx, const char *name, int index) {
    char text[128];
    size_t n = 0;
    for (const char *p = name; *p && n < 100; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        bool digit = *p >= '0' && *p <= '9';
        if (digit && n == 0) text[n++] = '_';
        text[n++] = letter || digit ? *p : '_';
    }
    if (n == 0) text[n++] = '_';
    if (index >= 0) n += (size_t)snprintf(text + n, sizeof text - n, "_at_%d", index);
    return intern_n(cx, text, n);
}

/* ---- declarations ------------------------------------------------------------------------------------------------ */

static bool declared_twice(Importer *im, uint32_t i) {
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(im->declared[k].name, im->declared[i].name) == 0) {
            diag_usage(im->cx, (Loc){0}, "'%s': the dim is declared already, as '%s'", im->declared[i].text,
                       im->declared[k].text);
            return true;
        }
    return false;
}

static bool parse_declarations(Importer *im) {
    uint32_t n = im->options->n_dims;
    im->declared = arena_new_array(im->arena, struct Declaration, n + 1);
    im->dims_used = im->options->dims_used ? im->options->dims_used : arena_new_array(im->arena, bool, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        struct Declaration *d = &im->declared[i];
        if (!symbol_declaration(im->cx, d->text = im->options->dims[i], &d->info)) return false;
        d->name = d->info.name;
        if (declared_twice(im, i)) return false;
    }
    return true;
}

static struct Declaration *find_declaration(Importer *im, const char *name) {
    for (uint32_t i = 0; name && i < im->options->n_dims; i++)
        if (strcmp(im->declared[i].name, name) == 0) return &im->declared[i];
    return NULL;
}

void declared_range(Importer *im, const char *also, SymbolInfo *info) {
    struct Declaration *d = find_declaration(im, info->name);
    if (!d) d = find_declaration(im, also);
    if (!d) return;
    im->dims_used[d - im->declared] = true;
    info->min = d->info.min, info->max = d->info.max, info->multiple = d->info.multiple;
}

/* What the model has instead. */
static const char *dims_there(Importer *im, const char *close, const char *const *names, uint32_t n) {
    enum { LISTED = 8 };
    Text t = text_new(im->arena);
    if (close) text_add(&t, " (did you mean %s?)", close);
    else if (!n) text_add(&t, "; none of its extents is open");
    for (uint32_t i = 0; !close && i < n && i <= LISTED; i++)
        text_add(&t, "%s%s", i ? ", " : "; it has ", i < LISTED ? names[i] : "..");
    return t.at;
}

static void unused_declarations(Importer *im) {
    uint32_t n = symbol_count(im->cx);
    const char **names = arena_new_array(im->arena, const char *, n + 1);
    if (im->options->dims_used) return;
    for (uint32_t i = 0; i < n; i++) names[i] = symbol_info(im->cx, (Symbol){i + 1})->name;
    for (uint32_t i = 0; i < im->options->n_dims; i++) {
        if (im->dims_used[i]) continue;
        const char *close = closest_word(im->declared[i].name, names, n);
        diag_usage(im->cx, (Loc){0}, "'%s': the model has no dim of that name%s", im->declared[i].text,
                   dims_there(im, close, names, n));
    }
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static Dim symbol_dim(Importer *im, const char *name, const char *param) {
    SymbolInfo info = {.name = name, .kind = SYMBOL_INPUT, .min = 0, .max = INT64_MAX, .multiple = 1};
    declared_range(im, param, &info);
    if (info.min == info.max) return dim_const(im->cx, info.min);
    return dim_symbol(im->cx, symbol_new(im->cx, &info));
}

static Dim input_dim(Importer *im, const OnnxValueInfo *v, uint32_t axis) {
    const struct OnnxDim *d = &v->type->dims[axis];
    bool shape_like = v->type->rank == 1 && v->type->element == 7 /* int64 */;
    bool fresh = im->options->symbolic_inputs && !shape_like;
    char text[192];
    if (d->known && !fresh) return dim_const(im->cx, d->value);
    if (!fresh && d->param[0]) {
        uint32_t known = map_get(&im->symbols, (uint64_t)(uintptr_t)d->param);
        if (known) return (Dim){known};
        Dim made = symbol_dim(im, onnx_symbol_name(im->cx, d->param, -1), d->param);
        map_set(&im->symbols, (uint64_t)(uintptr_t)d->param, made.id);
        return made;
    }
    snprintf(text, sizeof text, "%.100s_dim_%u", onnx_symbol_name(im->cx, v->name, -1), axis);
    return symbol_dim(im, intern(im->cx, text), NULL);
}

static const ImportConstant *fixed_input(Importer *im, const char *name) {
    for (uint32_t i = 0; i < im->options->n_constants; i++)
        if (strcmp(im->options->constants[i].name, name) == 0) return &im->options->constants[i];
    return NULL;
}

/* A constant has to be what the input declares. */
static bool check_constant(Importer *im, Loc loc, const OnnxType *t, const ImportConstant *k) {
    if (t->kind != ONNX_TYPE_TENSOR) return true;
    DType dtype = dtype_by_onnx(t->element);
    if (dtype != DT_none && dtype != k->dtype) {
        diag_usage(im->cx, loc, "the constant for it has dtype %s, expected %s", dtype_info[k->dtype].name,
                   dtype_info[dtype].name);
        return false;
    }
    if (!t->has_shape || im->options->symbolic_inputs) return true;
    if (t->rank != k->rank) {
        diag_usage(im->cx, loc, "the constant for it has rank %u, expected %u", k->rank, t->rank);
        return false;
    }
    for (uint32_t i = 0; i < k->rank; i++)
        if (t->dims[i].known && t->dims[i].value != k->dims[i]) {
            diag_usage(im->cx, loc, "the constant for it has extent %lld on axis %u, expected %lld",
                       (long long)k->dims[i], i, (long long)t->dims[i].value);
            return false;
        }
    return true;
}

static Val fixed_value(Importer *im, Loc loc, const ImportConstant *k) {
    Dim dims[MAX_RANK];
    int64_t n = 1;
    for (uint32_t i = 0; i < k->rank; i++) {
        dims[i] = dim_const(im->cx, k->dims[i]);
        if (!ck_mul(n, k->dims[i], &n)) return NO_VAL;
    }
    return b_const(im->main, loc, const_data(im->cx, k->dtype, (uint64_t)n, k->data), k->rank, dims);
}

/* A type without tensors of known kind and rank cannot be a parameter; says why. */
static bool check_input(Importer *im, Loc loc, const OnnxValueInfo *v, DType *dtype) {
    static const char *const kinds[] = {"a value of unknown type", "a tensor", "a sequence",
                                        "an optional of something else than a tensor", "a map or sparse tensor"};
    const OnnxType *t = v->type;
    if (t->kind == ONNX_TYPE_OPTIONAL && t->inner && t->inner->kind == ONNX_TYPE_TENSOR) t = t->inner;
    if (t->kind != ONNX_TYPE_TENSOR) {
        diag_error(im->cx, loc, "input '%s' is %s; only tensors are supported", v->name, kinds[t->kind]);
        return false;
    }
    *dtype = dtype_by_onnx(t->element);
    if (*dtype == DT_none) {
        diag_error(im->cx, loc, "input '%s' has element type %lld (%s), which is not supported", v->name,
                   (long long)t->element,
                   t->element == 8                        ? "string"
                   : t->element == 14 || t->element == 15 ? "complex"
                                                          : "unknown");
        return false;
    }
    if (!t->has_shape || t->rank > MAX_RANK) {
        diag_error(im->cx, loc, "input '%s' needs a known rank of at most %d", v->name, MAX_RANK);
        return false;
    }
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dims[i].known && t->dims[i].value < 0) {
            diag_error(im->cx, loc, "input '%s' axis %u has extent %lld", v->name, i, (long long)t->dims[i].value);
            return false;
        }
    return true;
}

static void import_input(Importer *im, NameScope *scope, const OnnxValueInfo *v) {
    Loc loc = loc_node(im->cx, im->file, v->name, "input");
    const ImportConstant *fixed = fixed_input(im, v->name);
    Value made = {.kind = VALUE_POISON, .divisor = 1};
    Dim dims[MAX_RANK];
    DType dtype;
    if (scope_has(scope, v->name)) return;
    if (fixed) {
        if (check_constant(im, loc, v->type, fixed)) made.val = fixed_value(im, loc, fixed);
        made.dtype = fixed->dtype;
    } else if (check_input(im, loc, v, &dtype)) {
        OnnxValueInfo tensor = *v;
        if (v->type->kind == ONNX_TYPE_OPTIONAL) tensor.type = v->type->inner;
        for (uint32_t i = 0; i < tensor.type->rank; i++) dims[i] = input_dim(im, &tensor, i);
        made.val = b_param(im->main, loc, v->name, dtype, tensor.type->rank, dims);
        made.dtype = dtype;
        made.param = im->main->params.n;
    }
    if (made.val.id) made.kind = VALUE_TENSOR;
    scope_set(im, scope, v->name, made);
}

static bool is_initialized(const OnnxGraph *graph, const char *name) {
    for (uint32_t k = 0; k < graph->n_initializers; k++)
        if (graph->initializers[k].name == name) return true;
    return false;
}

static void import_inputs(Importer *im, NameScope *scope, const OnnxGraph *graph) {
    const char **names = arena_new_array(im->arena, const char *, graph->n_inputs + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        if (is_initialized(graph, graph->inputs[i].name)) continue;
        names[n++] = graph->inputs[i].name;
        import_input(im, scope, &graph->inputs[i]);
    }
    for (uint32_t i = 0; i < im->options->n_constants; i++) {
        const char *name = im->options->constants[i].name;
        uint32_t k = 0;
        while (k < n && strcmp(names[k], name) != 0) k++;
        if (k < n) continue;
        const char *close = closest_word(name, names, n);
        diag_usage(im->cx, (Loc){0}, "constant '%s': the model has no input of that name%s%s%s", name,
                   close ? " (did you mean " : "", close ? close : "", close ? "?)" : "");
    }
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void import_results(Importer *im, NameScope *scope, const OnnxGraph *graph, const Value *values) {
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const char *name = graph->outputs[i].name;
        Call c = {
            .im = im, .cx = im->cx, .g = im->main, .scope = scope, .loc = loc_node(im->cx, im->file, name, "output")};
        const Value *v = &values[i];
        bool optional = v->kind == VALUE_OPTIONAL;
        if (optional && v->n == 1) v = v->items;
        if (v->kind == VALUE_SEQUENCE || v->kind == VALUE_OPTIONAL)
            fail(&c, "output '%s' is %s; only tensors are supported", name,
                 v->kind == VALUE_OPTIONAL ? "an empty optional" : optional ? "an optional sequence" : "a sequence");
        graph_result(im->main, value_val(&c, v), name);
    }
}

typedef struct DimSet {
    Importer *im;
    Map seen;
    VEC(Dim) dims;
} DimSet;

static void add_dims(DimSet *s, const Dim *dims, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (map_get(&s->seen, dims[i].id)) continue;
        map_set(&s->seen, dims[i].id, 1);
        vec_push(s->im->arena, &s->dims, dims[i]);
    }
}

static void graph_dims(DimSet *s, const Graph *g) {
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        const TypeInfo *t = type_info(g->cx, n->type);
        Symbol found = node_finds(g->cx, n);
        if (t->dtype != DT_none) add_dims(s, t->dims, t->rank);
        if (found.id) add_dims(s, &symbol_info(g->cx, found)->capacity, 1);
        for (uint32_t a = 0; a < n->n_attrs; a++) {
            AttrType type = attr_info[n->attrs[a].key].type;
            if (type == AT_DIM) add_dims(s, &n->attrs[a].as.dim, 1);
            if (type == AT_DIMS) add_dims(s, n->attrs[a].as.dims, n->attrs[a].n);
            if (type == AT_GRAPH) graph_dims(s, n->attrs[a].as.graph);
        }
    }
    for (uint32_t i = 0; i < g->guards.n; i++) {
        add_dims(s, &g->guards.at[i].fact.a, 1);
        add_dims(s, &g->guards.at[i].fact.b, 1);
    }
}

/* Drops bindings whose symbol no dim of the graph uses. */
static void prune_bindings(Importer *im, Graph *g) {
    if (!g->bindings.n) return;
    DimSet s = {.im = im, .seen = map_new(im->arena)};
    graph_dims(&s, g);
    uint32_t kept = g->bindings.n;
    for (uint32_t b = g->bindings.n; b-- > 0;) { /* from the last one: computed ones use those before them */
        SymbolBinding binding = g->bindings.at[b];
        bool used = false;
        for (uint32_t i = 0; i < s.dims.n && !used; i++) used = dim_uses(im->cx, s.dims.at[i], binding.symbol);
        if (!used) continue;
        if (binding.value.id) add_dims(&s, &binding.value, 1);
        g->bindings.at[--kept] = binding;
    }
    memmove(g->bindings.at, g->bindings.at + kept, (g->bindings.n - kept) * sizeof *g->bindings.at);
    g->bindings.n -= kept;
}

Graph *import_model(Context *cx, const char *file, const OnnxModel *model, const ImportOptions *options) {
    static const ImportOptions none;
    Importer importer = {.cx = cx, .arena = arena_new(cx), .file = file, .model = model}, *im = &importer;
    const OnnxGraph *graph = model->graph;
    uint32_t errors = diag_error_count(cx);
    im->options = options ? options : &none;
    im->symbols = map_new(im->arena);
    im->main = graph_new(cx, graph->name[0] ? onnx_symbol_name(cx, graph->name, -1) : "main");
    NameScope *scope = scope_new(im, NULL, im->main, false);
    scope->opsets = model->opsets, scope->n_opsets = model->n_opsets;
    Graph *done = NULL;
    if (parse_declarations(im)) {
        Value *values = arena_new_array(im->arena, Value, graph->n_outputs + 1);
        import_inputs(im, scope, graph);
        if (import_body(im, scope, graph, values)) import_results(im, scope, graph, values);
        if (diag_error_count(cx) == errors) unused_declarations(im); /* else some were not reached */
        if (diag_error_count(cx) == errors) done = graph_finish(im->main);
        if (!done && diag_error_count(cx) == errors)
            diag_error(cx, loc_node(cx, file, NULL, NULL), "the graph could not be built");
        if (done) prune_bindings(im, done);
    }
    arena_free(im->arena);
    return done;
}

Graph *onnx_import(Context *cx, const char *file_name, const uint8_t *bytes, size_t n, const ImportOptions *options) {
    const OnnxModel *model = onnx_model(cx, file_name, bytes, n);
    return model ? import_model(cx, file_name, model, options) : NULL;
}
