/* loop_number.c: numbers values in the order of the text: parameters, then results and arguments where they are defined.
 *
 * The builder numbers in order of construction (a loop's body before its results), the parser in order of reading.  What is
 * printed must not depend on which of the two made a module.
 */
#include "loop.h"

typedef struct Numbers {
    Arena *arena;
    const LFunc *f;
    uint32_t *number;        /* by old id; 0: not met yet */
    VEC(LType) types;        /* by new id */
} Numbers;

static LVal define(Numbers *n, LVal v) {
    n->number[v.id] = n->types.n;
    vec_push(n->arena, &n->types, n->f->types.at[v.id]);
    return (LVal){n->number[v.id]};
}

static const LVal *define_all(Numbers *n, const LVal *values, uint32_t count) {
    LVal *to = arena_new_array(n->arena, LVal, count);
    for (uint32_t i = 0; i < count; i++) to[i] = define(n, values[i]);
    return to;
}

static const LVal *use_all(Numbers *n, const LVal *values, uint32_t count) {
    LVal *to = arena_new_array(n->arena, LVal, count);
    for (uint32_t i = 0; i < count; i++) to[i] = (LVal){n->number[values[i].id]};
    return to;
}

static void renumber_block(Numbers *n, LBlock *block) {
    block->args = define_all(n, block->args, block->n_args);
    for (uint32_t i = 0; i < block->insts.n; i++) {
        LInst *inst = &block->insts.at[i];
        inst->in = use_all(n, inst->in, inst->n_in); /* definitions precede uses */
        inst->out = define_all(n, inst->out, inst->n_out);
        for (uint32_t k = 0; k < inst->n_blocks; k++) renumber_block(n, inst->blocks[k]);
    }
}

static void renumber_function(Arena *arena, LFunc *f) {
    Numbers n = {.arena = arena, .f = f, .number = arena_new_array(arena, uint32_t, f->types.n + 1)};
    LParam *params = arena_copy(arena, f->params, f->n_params * sizeof *params);
    vec_push(arena, &n.types, (LType){0});
    for (uint32_t i = 0; i < f->n_params; i++) params[i].value = define(&n, params[i].value);
    renumber_block(&n, f->body);
    f->params = params;
    f->types.at = n.types.at, f->types.n = n.types.n, f->types.cap = n.types.cap;
}

void loop_renumber(LoopModule *m) {
    for (uint32_t i = 0; i < m->funcs.n; i++)
        if (m->funcs.at[i]->body && !m->funcs.at[i]->same_text) renumber_function(m->arena, m->funcs.at[i]);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        LFunc *f = m->funcs.at[i];
        if (!f->same_text) continue;
        const LFunc *kernel = loop_func_find(m, f->variant_of);
        f->params = kernel->params;
        f->types = kernel->types;
    }
}
