/* host_bind.c: N_bind: symbols from the shapes of inputs, and the guards.
 *
 * Total and pure: reads the input dims (and the elements of integer inputs that symbols stand for), writes the symbols, and
 * answers the first condition that fails with the two values compared.  An extent that is affine in one unknown symbol
 * solves it; every other extent is checked.  Same rules as the interpreter's (ir/interp.c).
 * Source: shape solving as in JAX export; TVM match_cast.
 */
#include "program.h"

typedef struct Solver {
    Program *p;
    const Graph *g;
    LVal dims, inputs, fail;
} Solver;

static LVal frame_pointer(Program *p, int slot, DType t) {
    LVal in[] = {p->frame, l_i64(p->b, slot)};
    return l_inst(p->b, LOP_load_pointer, lt_pointer(t), in, 2, 0);
}

/* if (!holds) return the guard's number with both values. */
static void check(Solver *s, LVal holds, const char *message, LVal found, LVal expected) {
    LoopBuilder *b = s->p->b;
    vec_push(s->p->arena, &s->p->facts->guards, arena_print(s->p->arena, "\002%s", message));
    int64_t known;
    if (loop_const_int(b, holds, &known) && known) {
        s->p->facts->guards.n--;
        return;
    }
    LIf branch = l_if(b, l_un(b, LOP_not, holds));
    l_store(b, s->fail, l_i64(b, 1), found, (LVal){0});
    l_store(b, s->fail, l_i64(b, 2), expected, (LVal){0});
    l_return(b, l_int(b, lt_scalar(DT_i32), s->p->facts->guards.n));
    l_else(b, &branch, NULL, 0);
    l_if_end(b, &branch, NULL, 0, NULL);
}

/* Names of the model's in a text that is a format: no % may come from them. */
static const char *plain(Solver *s, const char *text) {
    char *copy = arena_print(s->p->arena, "%s", text);
    for (char *c = copy; *c; c++)
        if (*c == '%') *c = '?';
    return copy;
}

static const char *print_element(Solver *s, const char *name) {
    return arena_print(s->p->arena, "element of input '%s'", plain(s, name));
}

static const char *print_axis(Solver *s, const char *name, uint32_t axis) {
    return arena_print(s->p->arena, "input '%s' axis %u", plain(s, name), axis);
}

/* A symbol got its value: its declared range and multiple. */
static void bind_symbol(Solver *s, Symbol sym, LVal value, const char *where) {
    Program *p = s->p;
    const SymbolInfo *info = symbol_info(p->cx, sym);
    p->symbols[sym.id] = value;
    LoopBuilder *b = p->b;
    l_store(b, frame_pointer(p, FRAME_SYMBOLS, DT_i64), l_i64(b, program_symbol_index(p, sym)), value, (LVal){0});
    const char *text = arena_print(p->arena, "%s (%s): found %%d, expected at least %%d", where, info->name);
    if (info->min != INT64_MIN) check(s, l_bin(b, LOP_le, l_i64(b, info->min), value), text, value, l_i64(b, info->min));
    text = arena_print(p->arena, "%s (%s): found %%d, expected at most %%d", where, info->name);
    if (info->max != INT64_MAX) check(s, l_bin(b, LOP_le, value, l_i64(b, info->max)), text, value, l_i64(b, info->max));
    text = arena_print(p->arena, "%s (%s): found %%d, expected a multiple of %%d", where, info->name);
    LVal k = l_i64(b, info->multiple);
    if (info->multiple > 1) check(s, l_bin(b, LOP_eq, l_bin(b, LOP_rem, value, k), l_i64(b, 0)), text, value, k);
}

static bool unbound(Solver *s, Dim d, Symbol *only) {
    Program *p = s->p;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->facts->n_input_symbols; i++) {
        Symbol sym = p->facts->symbols.at[i];
        if (!p->symbols[sym.id].id && dim_uses(p->cx, d, sym)) *only = sym, n++;
    }
    return n == 1;
}

/* Extent d of an input was found to be `value`: solves a symbol where it is affine in one; true where something was done. */
static bool solve(Solver *s, Dim d, LVal value, const char *where) {
    Program *p = s->p;
    LoopBuilder *b = p->b;
    Symbol sym;
    Dim a, rest;
    if (!unbound(s, d, &sym) || !dim_affine(p->cx, d, sym, &a, &rest)) return false;
    int64_t scale;
    if (!dim_const_value(p->cx, a, &scale) || scale == 0) return false;
    LVal left = l_sub(b, value, program_dim(p, rest));
    if (scale != 1) {
        LVal k = l_i64(b, scale);
        const char *text = arena_print(p->arena, "%s: found %%d, which fits no %s (%s)", where, symbol_info(p->cx, sym)->name,
                                       dim_string(p->cx, d));
        check(s, l_bin(b, LOP_eq, l_bin(b, LOP_rem, left, k), l_i64(b, 0)), text, value, k);
        left = l_bin(b, LOP_div, left, k);
    }
    bind_symbol(s, sym, left, where);
    return true;
}

typedef struct Pending { Dim dim; LVal value; const char *where; bool done; } Pending;

static void bind_element(Solver *s, const SymbolBinding *e) {
    Program *p = s->p;
    LoopBuilder *b = p->b;
    Val v = s->g->params.at[e->param];
    DType t = val_dtype(s->g, v);
    const Attr *name = node_attr(node(s->g, v), ATTR_name);
    const char *where = print_element(s, name->as.text);
    int64_t known;
    Dim elements = type_elements(p->cx, node(s->g, v)->type);
    if (!dim_const_value(p->cx, elements, &known)) { /* before it is read: the guards come later */
        LVal least = l_i64(b, (int64_t)e->element + 1), n = program_dim(p, elements);
        check(s, l_bin(b, LOP_le, least, n), arena_print(p->arena, "%s: found %%d elements, expected at least %%d", where), n,
              least);
    }
    LVal in[] = {s->inputs, l_i64(b, e->param)};
    LVal pointer = l_inst(b, LOP_load_pointer, lt_pointer(loop_memory_dtype(t)), in, 2, 0);
    LVal value = l_decode(b, l_load(b, pointer, l_i64(b, (int64_t)e->element), 1, (LVal){0}), t);
    if (dtype_is_float(t)) value = l_bin(b, LOP_mul, l_convert(b, value, DT_f64), l_float(b, lt_scalar(DT_f64), ELEMENT_SCALE));
    bind_symbol(s, e->symbol, l_convert(b, value, DT_i64), where);
}

static void bind_others(Solver *s) {
    for (uint32_t i = 0; i < s->g->bindings.n; i++) {
        const SymbolBinding *e = &s->g->bindings.at[i];
        if (!e->value.id) bind_element(s, e);
        else bind_symbol(s, e->symbol, program_dim(s->p, e->value), plain(s, dim_string(s->p->cx, e->value)));
    }
}

static void bind_dims(Solver *s) {
    Program *p = s->p;
    VEC(Pending) all = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->g->params.n; i++) {
        const Node *n = node(s->g, s->g->params.at[i]);
        const TypeInfo *t = type_info(p->cx, n->type);
        for (uint32_t d = 0; d < t->rank; d++) {
            LVal value = l_load(p->b, s->dims, l_i64(p->b, at++), 1, (LVal){0});
            vec_push(p->arena, &all, (Pending){t->dims[d], value, print_axis(s, node_attr(n, ATTR_name)->as.text, d), false});
        }
    }
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < all.n; i++)
            if (!all.at[i].done && solve(s, all.at[i].dim, all.at[i].value, all.at[i].where)) all.at[i].done = again = true;
    }
    for (uint32_t i = 0; i < all.n; i++) {
        if (all.at[i].done) continue;
        Symbol unused;
        if (unbound(s, all.at[i].dim, &unused)) /* the symbol is used elsewhere: there is nothing to go on with */
            diag_fatal(p->cx, "%s: extent %s does not determine its symbols; declare another input's extent in them",
                       all.at[i].where, dim_string(p->cx, all.at[i].dim));
        LVal expected = program_dim(p, all.at[i].dim);
        const char *text =
            arena_print(p->arena, "%s: found %%d, expected %%d (%s)", all.at[i].where, dim_string(p->cx, all.at[i].dim));
        int64_t constant;
        if (dim_const_value(p->cx, all.at[i].dim, &constant))
            text = arena_print(p->arena, "%s: found %%d, expected %%d", all.at[i].where);
        check(s, l_bin(p->b, LOP_eq, all.at[i].value, expected), text, all.at[i].value, expected);
    }
}

static void check_guards(Solver *s) {
    Program *p = s->p;
    for (uint32_t i = 0; i < s->g->guards.n; i++) {
        const Guard *guard = &s->g->guards.at[i];
        if (program_guard_is_late(p, guard)) continue;
        LVal x, y, holds = program_guard(p, guard, &x, &y);
        const char *where = loc_string(p->cx, guard->loc);
        const char *text = arena_print(p->arena, "%s%s%s: found %%d and %%d", plain(s, guard->message),
                                       *where ? ", required by " : "", plain(s, where));
        check(s, holds, text, x, y);
    }
}

void program_bind(Program *p, const Graph *g) {
    LParam param = {.name = "frame", .type = lt_pointer(DT_u64)};
    p->b = loop_begin(p->m, program_name(p, "bind"), LF_EXPORT, &param, 1, lt_scalar(DT_i32));
    p->frame = loop_param(p->b, 0);
    p->symbols = arena_new_array(p->arena, LVal, symbol_count(p->cx) + 1);
    Solver s = {p, g, frame_pointer(p, FRAME_INPUT_DIMS, DT_i64), frame_pointer(p, FRAME_INPUTS, DT_u64),
                frame_pointer(p, FRAME_FAIL, DT_i64)};
    bind_dims(&s);
    bind_others(&s);
    check_guards(&s);
    l_return(p->b, l_int(p->b, lt_scalar(DT_i32), 0));
    loop_end(p->b);
}
