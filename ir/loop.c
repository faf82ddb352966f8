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

LoopModule *loop_module_new(Context *cx, const char *name, const Target *target) {
    Arena *arena = arena_new(cx);
    LoopModule *m = arena_alloc(arena, sizeof *m);
    m->cx = cx;
    m->arena = arena;
    m->name = intern(cx, name);
    m->target = target;
    return m;
}

LFunc *loop_func_find(const LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->funcs.n; i++)
        if (strcmp(m->funcs.at[i]->name, name) == 0) return m->funcs.at[i];
    return NULL;
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
