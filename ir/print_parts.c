/* print_parts.c: the parts of a graph's text that need more than a line: the declarations of its
 * symbols, and constants.
 *
 * Symbols belong to the Context, so a text declares all that its graph uses, directly or inside
 * others' capacities, in order of their ids: what a declaration refers to stands before it.
 * Let-symbols are written out where they are used.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "graph_text.h"

const char *const symbol_kind_name[] = {
    [SYMBOL_INPUT] = "",
    [SYMBOL_FOUND] = "found",
    [SYMBOL_INDEX] = "index",
    [SYMBOL_LET] = "let",
};

/* ---- which symbols
 * ------------------------------------------------------------------------------------------------
 */

typedef struct Used {
    Context *cx;
    bool *symbols; /* by id */
    Map dims;      /* seen */
} Used;

static void use_dim(Used *u, Dim d);

static void use_symbol(Used *u, Symbol s) {
    if (u->symbols[s.id])
        return;
    u->symbols[s.id] = true;
    Dim capacity = symbol_info(u->cx, s)->capacity;
    if (capacity.id)
        use_dim(u, capacity);
}

static void use_dim(Used *u, Dim d) {
    const Term *terms;
    if (d.id == 0 || map_get(&u->dims, d.id))
        return;
    map_set(&u->dims, d.id, 1);
    uint32_t n = dim_terms(u->cx, d, &terms);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < terms[i].n; f++) {
            Atom atom = dim_atom(u->cx, terms[i].factors[f].atom);
            if (atom.kind == ATOM_SYMBOL) {
                use_symbol(u, atom.symbol);
            } else {
                use_dim(u, atom.a);
                use_dim(u, atom.b);
            }
        }
}

static void use_type(Used *u, Type type) {
    const TypeInfo *t = type_info(u->cx, type);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dtype == DT_none)
            use_type(u, t->elements[i]);
        else
            use_dim(u, t->dims[i]);
    }
}

static void use_graph(Used *u, const Graph *g) {
    for (uint32_t id = 1; id < g->nodes.n; id++) {
        const Node *n = &g->nodes.at[id];
        use_type(u, n->type);
        for (uint32_t i = 0; i < n->n_attrs; i++) {
            const Attr *a = &n->attrs[i];
            AttrType type = attr_info[a->key].type;
            if (type == AT_DIM)
                use_dim(u, a->as.dim);
            for (uint32_t d = 0; type == AT_DIMS && d < a->n; d++)
                use_dim(u, a->as.dims[d]);
            if (type == AT_GRAPH)
                use_graph(u, a->as.graph);
        }
    }
    for (uint32_t i = 0; i < g->guards.n; i++) {
        use_dim(u, g->guards.at[i].fact.a);
        use_dim(u, g->guards.at[i].fact.b);
    }
    for (uint32_t i = 0; i < g->bindings.n; i++) {
        use_symbol(u, g->bindings.at[i].symbol);
        if (g->bindings.at[i].value.id)
            use_dim(u, g->bindings.at[i].value);
    }
    for (uint32_t b = 0; g->plan && b < g->plan->n; b++)
        use_dim(u, g->plan->buffers[b].bytes);
}

/* ---- declarations
 * -------------------------------------------------------------------------------------------------
 */

void name_print(Text *out, const char *name) {
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char later[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (*name && strchr(first, *name) && name[strspn(name, later)] == 0)
        text_add(out, "%s", name);
    else
        text_quote(out, name);
}

static void print_bound(Text *out, int64_t bound) {
    if (bound == INT64_MAX || bound == INT64_MIN)
        text_add(out, bound < 0 ? "-inf" : "inf");
    else
        text_add(out, "%" PRId64, bound);
}

static void declare(Context *cx, Text *out, Symbol s) {
    const SymbolInfo *info = symbol_info(cx, s);
    name_print(out, info->name);
    if (info->kind != SYMBOL_INPUT)
        text_add(out, " %s", symbol_kind_name[info->kind]);
    text_add(out, " in [");
    print_bound(out, info->min);
    text_add(out, ",");
    print_bound(out, info->max);
    text_add(out, "]");
    if (info->multiple != 1)
        text_add(out, " multiple %" PRId64, info->multiple);
    if (info->hint)
        text_add(out, " hint %" PRId64, info->hint);
    if (info->kind == SYMBOL_FOUND && info->capacity.id) {
        text_add(out, " <= ");
        dim_print(cx, out, info->capacity);
    }
}

void where_print(const Graph *g, Text *out) {
    Context *cx = g->cx;
    uint32_t n = symbol_count(cx);
    Used u = {
        .cx = cx, .symbols = arena_new_array(cx->arena, bool, n + 1), .dims = map_new(cx->arena)};
    use_graph(&u, g);
    const char *separator = "\n    where ";
    for (Symbol s = {1}; s.id <= n; s.id++) {
        if (!u.symbols[s.id] || symbol_info(cx, s)->kind == SYMBOL_LET)
            continue;
        text_add(out, "%s", separator);
        declare(cx, out, s);
        separator = ",\n          ";
    }
}

/* ---- constants
 * ----------------------------------------------------------------------------------------------------
 */

/* NaNs other than the usual one print as bits. */
static void print_float(Text *out, DType dtype, const uint8_t *at, double value) {
    uint8_t usual[8] = {0};
    size_t each = (size_t)dtype_bytes(dtype);
    scalar_store(dtype, usual, (Scalar){.f = isnan(value) ? (double)NAN : value});
    if (memcmp(usual, at, each) != 0) {
        uint64_t bits = 0;
        memcpy(&bits, at, each);
        text_add(out, "0x%" PRIx64, bits);
    } else if (isnan(value)) {
        text_add(out, "nan");
    } else if (dtype == DT_f64) {
        text_add_f64(out, value);
    } else {
        text_add_f32(out, (float)value);
    }
}

static void print_element(Text *out, DType dtype, const uint8_t *at) {
    Scalar x = scalar_load(dtype, at);
    switch ((DTypeClass)dtype_info[dtype].class_) {
    case CLASS_BOOL:
        text_add(out, x.u ? "true" : "false");
        break;
    case CLASS_SINT:
        text_add(out, "%" PRId64, x.i);
        break;
    case CLASS_UINT:
        text_add(out, "%" PRIu64, x.u);
        break;
    case CLASS_FLOAT:
        print_float(out, dtype, at, x.f);
        break;
    case CLASS_NONE:
        break;
    }
}

static bool text_sink(void *text, const void *bytes, size_t n) {
    text_add_n(text, bytes, n);
    return true;
}

static void print_blob(Context *cx, Text *out, Text *blob, Const data) {
    static const char zeros[BLOB_ALIGN];
    text_add_n(blob, zeros, (BLOB_ALIGN - blob->n % BLOB_ALIGN) % BLOB_ALIGN);
    text_add(out, " blob(%zu, %" PRIu64 ")", blob->n, const_info(cx, data)->elements);
    const_stream(cx, data, text_sink, blob);
}

void const_print(Context *cx, Text *out, Text *blob, Const data) {
    const ConstInfo *c = const_info(cx, data);
    text_add(out, "%s", dtype_info[c->dtype].name);
    if (c->encoding != ENCODING_DENSE)
        text_add(out, "{%s}", encoding_name[c->encoding]);
    if (c->splat) {
        uint8_t bits[8] = {0};
        scalar_store(c->dtype, bits, c->value);
        text_add(out, " ");
        print_element(out, c->dtype, bits);
        return;
    }
    if (blob && c->elements > INLINE_ELEMENTS) {
        print_blob(cx, out, blob, data);
        return;
    }
    const uint8_t *bytes = const_bytes(cx, data);
    text_add(out, " [");
    for (uint64_t i = 0; i < c->elements; i++) {
        if (i)
            text_add(out, ", ");
        print_element(out, c->dtype, bytes + i * (size_t)dtype_bytes(c->dtype));
    }
    text_add(out, "]");
}
