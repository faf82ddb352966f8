/* loop_order.c: the order in which a finished function is written, from what it computes alone.
 *
 * C leaves the order in which arguments are evaluated to the compiler, so `l_sub(b, l_mul(..), l_i64(..))` appends its
 * operands in one order under gcc and in another under clang.  Here every block is put into one order, whoever built
 * ingot: what has effects stays as it was (anchors: stores, calls, control); everything else stands directly before the
 * first anchor that needs it, operands first, left to right; what nothing needs goes.  Values are numbered anew.
 *
 * Nothing moves out of its block, nor up past an anchor: its first user comes after it.  A load also stays before the
 * first anchor behind it that may write.  Runs once a function, in loop_end. */
#include "loop.h"
#include <stdlib.h>

typedef struct Free {        /* an instruction without effects, of the block at hand */
    uint32_t inst;           /* its place in the block */
    uint32_t deadline;       /* place of the anchor before which it is written; UINT32_MAX: not needed */
    uint32_t rank;           /* operands have lower ranks than users */
} Free;
typedef struct Order {
    LFunc *f;
    Arena *arena;            /* of the module */
    Arena *scratch;
    const LBlock **home;     /* by value: the block whose free instruction defines it */
    uint32_t *place;         /* by value: index in `all` while its block is at hand */
} Order;
typedef struct Visit { LVal value; uint32_t operand; } Visit;
typedef struct Pass {
    Order *o;
    LBlock *block;
    VEC(Free) all;
    VEC(Visit) stack;
    uint32_t rank, anchor;
} Pass;

static bool loads(LOp op) {
    return op == LOP_load || op == LOP_load_masked || op == LOP_gather || op == LOP_gather_masked || op == LOP_load_pointer;
}
static bool is_free(LOp op) { return loop_inst_is_pure(op) || loads(op); }
static bool may_write(const LInst *inst) {
    return inst->n_blocks || lop_info[inst->op].class_ == LC_TILE ||
           (lop_info[inst->op].class_ == LC_MEMORY && inst->op != LOP_alloc && inst->op != LOP_prefetch) ||
           inst->op == LOP_call || inst->op == LOP_call_pointer || inst->op == LOP_launch ||
           inst->op == LOP_defer;
}

/* v is needed at the anchor, and what it is made of: depth first, with a stack of our own, for chains may be long. */
static void visit(Pass *p, LVal v) {
    p->stack.n = 0;
    vec_push(p->o->scratch, &p->stack, (Visit){v, 0});
    while (p->stack.n) {
        Visit *top = &vec_last(&p->stack);
        bool here = p->o->home[top->value.id] == p->block;
        Free *e = here ? &p->all.at[p->o->place[top->value.id]] : NULL;
        const LInst *inst = here ? &p->block->insts.at[e->inst] : NULL;
        if (here && !e->rank && top->operand < inst->n_in) {
            LVal operand = inst->in[top->operand++];
            vec_push(p->o->scratch, &p->stack, (Visit){operand, 0}); /* may move top */
            continue;
        }
        if (here && !e->rank) {
            e->rank = ++p->rank;
            if (e->deadline > p->anchor) e->deadline = p->anchor;
        }
        p->stack.n--;
    }
}

static void visit_uses(Pass *p, const LInst *inst) {
    for (uint32_t i = 0; i < inst->n_in; i++) visit(p, inst->in[i]);
    for (uint32_t b = 0; b < inst->n_blocks; b++)
        for (uint32_t i = 0; i < inst->blocks[b]->insts.n; i++) visit_uses(p, &inst->blocks[b]->insts.at[i]);
}

static int by_deadline(const void *a, const void *b) {
    const Free *x = a, *y = b;
    if (x->deadline != y->deadline) return x->deadline < y->deadline ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Free instructions with, for loads, the next anchor that may write. */
static void collect(Pass *p) {
    Order *o = p->o;
    for (uint32_t i = 0; i < p->block->insts.n; i++) {
        const LInst *inst = &p->block->insts.at[i];
        if (!is_free(inst->op)) continue;
        o->home[inst->out[0].id] = p->block, o->place[inst->out[0].id] = p->all.n;
        vec_push(o->scratch, &p->all, (Free){i, UINT32_MAX, 0});
    }
    uint32_t writer = UINT32_MAX, left = p->all.n;
    for (uint32_t i = p->block->insts.n; i-- > 0;) {
        const LInst *inst = &p->block->insts.at[i];
        if (is_free(inst->op)) left--;
        if (may_write(inst) && !is_free(inst->op)) writer = i;
        if (loads(inst->op)) p->all.at[left].deadline = writer;
    }
}

/* Users come before their operands here: a deadline is handed down. */
static void hand_down(Pass *p, const uint32_t *at_rank) {
    for (uint32_t r = p->rank; r > 0; r--) {
        const Free *e = &p->all.at[at_rank[r]];
        const LInst *inst = &p->block->insts.at[e->inst];
        for (uint32_t i = 0; i < inst->n_in; i++) {
            if (p->o->home[inst->in[i].id] != p->block) continue;
            Free *operand = &p->all.at[p->o->place[inst->in[i].id]];
            if (operand->deadline > e->deadline) operand->deadline = e->deadline;
        }
    }
}

static void write_block(Pass *p) {
    VEC(LInst) out = {0};
    uint32_t next = 0;
    qsort(p->all.at, p->all.n, sizeof *p->all.at, by_deadline);
    for (uint32_t i = 0; i < p->block->insts.n; i++) {
        if (is_free(p->block->insts.at[i].op)) continue;
        for (; next < p->all.n && p->all.at[next].deadline == i; next++)
            if (p->all.at[next].rank) vec_push(p->o->arena, &out, p->block->insts.at[p->all.at[next].inst]);
        vec_push(p->o->arena, &out, p->block->insts.at[i]);
    }
    p->block->insts.at = out.at, p->block->insts.n = out.n, p->block->insts.cap = out.cap;
}

static void order_block(Order *o, LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++)
        for (uint32_t b = 0; b < block->insts.at[i].n_blocks; b++) order_block(o, block->insts.at[i].blocks[b]);
    Pass p = {.o = o, .block = block};
    collect(&p);
    if (!p.all.n) return;
    for (uint32_t i = 0; i < block->insts.n; i++) {
        if (is_free(block->insts.at[i].op)) continue;
        p.anchor = i;
        visit_uses(&p, &block->insts.at[i]);
    }
    uint32_t *at_rank = arena_new_array(o->scratch, uint32_t, p.rank + 1);
    for (uint32_t i = 0; i < p.all.n; i++) at_rank[p.all.at[i].rank] = i;
    hand_down(&p, at_rank);
    write_block(&p);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

typedef struct Numbers {
    Order *o;
    LVal *to;                /* by old value */
    VEC(LType) types;
} Numbers;

static const LVal *define(Numbers *n, const LVal *values, uint32_t count) {
    LVal *out = arena_new_array(n->o->arena, LVal, count);
    for (uint32_t i = 0; i < count; i++) {
        out[i] = n->to[values[i].id] = (LVal){n->types.n};
        vec_push(n->o->arena, &n->types, n->o->f->types.at[values[i].id]);
    }
    return out;
}

static void number_block(Numbers *n, LBlock *block) {
    block->args = define(n, block->args, block->n_args);
    for (uint32_t i = 0; i < block->insts.n; i++) {
        LInst *inst = &block->insts.at[i];
        LVal *in = arena_new_array(n->o->arena, LVal, inst->n_in);
        for (uint32_t k = 0; k < inst->n_in; k++) in[k] = n->to[inst->in[k].id];
        inst->in = in;
        for (uint32_t b = 0; b < inst->n_blocks; b++) number_block(n, inst->blocks[b]);
        inst->out = define(n, inst->out, inst->n_out);
    }
}

void loop_order(LoopModule *m, LFunc *f) {
    if (!f->body) return;
    Arena *scratch = arena_new(m->cx);
    Order o = {.f = f, .arena = m->arena, .scratch = scratch};
    o.home = arena_new_array(scratch, const LBlock *, f->types.n);
    o.place = arena_new_array(scratch, uint32_t, f->types.n);
    order_block(&o, f->body);
    Numbers n = {.o = &o, .to = arena_new_array(scratch, LVal, f->types.n)};
    for (uint32_t i = 0; i <= f->n_params; i++) { /* parameters keep their numbers, from 1 */
        n.to[i] = (LVal){i};
        vec_push(m->arena, &n.types, f->types.at[i]);
    }
    number_block(&n, f->body);
    f->types.at = n.types.at, f->types.n = n.types.n, f->types.cap = n.types.cap;
    arena_free(scratch);
}
