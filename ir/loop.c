/* loop.c: the instruction table of Loop IR and the module that holds functions, data objects and notes.
 *
 * Everything of a module lives in its arena and goes with the Context.  Names are interned. */
#include "loop.h"
#include <string.h>

const LOpInfo lop_info[LOP_COUNT] = {
    [LOP_none] = {"none", 0, LC_NONE, "no instruction"},
#define LOP(name, operands, class_, doc) [LOP_##name] = {#name, operands, LC_##class_, doc},
#include "loop_ops.def"
};

LOp lop_by_name(const char *name) {
    for (int op = 1; op < LOP_COUNT; op++)
        if (strcmp(lop_info[op].name, name) == 0) return (LOp)op;
    return LOP_none;
}

LoopModule *loop_module_new(Context *cx, const char *name, const Tiers *tiers) {
    Arena *arena = arena_new(cx);
    LoopModule *m = arena_alloc(arena, sizeof *m);
    m->cx = cx;
    m->arena = arena;
    m->name = intern(cx, name);
    if (tiers) m->tiers = *tiers;
    return m;
}

LFunc *loop_func_find(const LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->funcs.n; i++)
        if (strcmp(m->funcs.at[i]->name, name) == 0) return m->funcs.at[i];
    return NULL;
}

/* ---- tiers -------------------------------------------------------------------------------------------------------- */

const Target *loop_target(const LoopModule *m, const LFunc *f) {
    return f && f->target ? f->target : m->tiers.n ? m->tiers.at[0] : NULL;
}

const char *loop_variant_name(LoopModule *m, const char *kernel, const Target *t) {
    char *name = arena_print(m->arena, "%s_%s", kernel, target_short_name(t));
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return intern(m->cx, name);
}

LFunc *loop_variant(LoopModule *m, const LFunc *kernel, const Target *t) {
    LFunc *f = arena_copy(m->arena, kernel, sizeof *kernel);
    f->name = loop_variant_name(m, kernel->name, t);
    f->target = t;
    f->variant_of = kernel->name;
    f->same_text = true;
    vec_push(m->arena, &m->funcs, f);
    return f;
}

static bool same_kernel(const LFunc *a, const LFunc *b) {
    return strcmp(a->variant_of ? a->variant_of : a->name, b->variant_of ? b->variant_of : b->name) == 0;
}

void loop_func_tiers(const LoopModule *m, const LFunc *f, uint32_t *from, uint32_t *end) {
    *from = 0;
    while (f->variant_of && m->tiers.at[*from] != f->target) ++*from;
    for (*end = *from + 1; *end < m->tiers.n; ++*end)
        for (uint32_t i = 0; i < m->funcs.n; i++) {
            const LFunc *other = m->funcs.at[i];
            if (other->variant_of && other->target == m->tiers.at[*end] && same_kernel(f, other)) return;
        }
}

LFunc *loop_func_on(const LoopModule *m, LFunc *kernel, uint32_t tier) {
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        uint32_t from, end;
        if (!m->funcs.at[i]->variant_of || !same_kernel(kernel, m->funcs.at[i])) continue;
        loop_func_tiers(m, m->funcs.at[i], &from, &end);
        if (tier >= from && tier < end) return m->funcs.at[i];
    }
    return kernel;
}

const LData *loop_data_find(const LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->datas.n; i++)
        if (strcmp(m->datas.at[i].name, name) == 0) return &m->datas.at[i];
    return NULL;
}

const char *loop_note(const LoopModule *m, const char *key) {
    for (uint32_t i = 0; i < m->notes.n; i++)
        if (strcmp(m->notes.at[i].key, key) == 0) return m->notes.at[i].text;
    return NULL;
}
