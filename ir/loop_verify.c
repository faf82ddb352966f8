/* loop_verify.c: the invariants of Loop IR, checked over a whole module.
 *
 * Each value is defined once; definitions dominate uses structurally (a value is seen in the rest of its block and in the
 * blocks within); types agree with the signatures (loop_type.c); a block ends in exactly one yield or return, whose
 * operands match what the block is for; kernels start with lo, hi, worker and return i32; calls, launches and
 * symbols name something of the right kind; data objects are aligned and their relocations lie within them.
 * Each problem is a diagnostic that shows the instruction; a function's checks stop at its twentieth. */
#include "loop.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NESTING = 64, MAX_PROBLEMS = 20, MAX_DATA_ALIGN = 65536 };
typedef enum Visibility { UNDEFINED, VISIBLE, CLOSED } Visibility;

typedef struct Verifier {
    const LoopModule *m;
    Context *cx;
    Arena *arena;
    Map symbols; /* interned name -> index + 1 of the function, or n functions + index + 1 of the data object */
    const LFunc *f;
    uint8_t *state;          /* Visibility by value id */
    VEC(uint32_t) defined;   /* in order, so that a closing block can hide its own */
    uint32_t problems;
    int depth;
} Verifier;

static void report(Verifier *v, const LInst *inst, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void report(Verifier *v, const LInst *inst, const char *fmt, ...) {
    if (++v->problems > MAX_PROBLEMS) return;
    Text text = text_new(v->arena), line = text_new(v->arena);
    va_list args;
    va_start(args, fmt);
    char message[512];
    if (vsnprintf(message, sizeof message, fmt, args) < 0) message[0] = 0;
    va_end(args);
    text_add(&text, "loop function '%s': ", v->f->name);
    if (inst) {
        loop_print_inst(v->f, inst, &line);
        text_add(&text, "`%s`: ", line.at ? line.at : "");
    }
    diag_error(v->cx, (Loc){0}, "%s%s", text.at, message);
}

static const char *type_text(Verifier *v, LType t) {
    Text text = text_new(v->arena);
    lt_print(&text, t);
    return text.at;
}

static LType type_of(const Verifier *v, LVal x) {
    return x.id < v->f->types.n ? v->f->types.at[x.id] : (LType){0, 0, 0};
}

/* ---- definitions -------------------------------------------------------------------------------------------------- */

static void define(Verifier *v, const LInst *inst, LVal x) {
    if (x.id == 0 || x.id >= v->f->types.n)
        report(v, inst, "defines value id %u, which the function does not have", x.id);
    else if (v->state[x.id] != UNDEFINED)
        report(v, inst, "defines a value that is defined already");
    else if (!lt_allowed(v->f->types.at[x.id]))
        report(v, inst, "defines a value of type %s, which loop IR does not have", type_text(v, v->f->types.at[x.id]));
    else {
        v->state[x.id] = VISIBLE;
        vec_push(v->arena, &v->defined, x.id);
    }
}

static bool check_operands(Verifier *v, const LInst *inst) {
    for (uint32_t i = 0; i < inst->n_in; i++) {
        LVal x = inst->in[i];
        bool exists = x.id != 0 && x.id < v->f->types.n;
        if (exists && v->state[x.id] == VISIBLE) continue;
        report(v, inst, "operand %u is %s", i,
               !exists                       ? "no value of the function"
               : v->state[x.id] == UNDEFINED ? "used before its definition"
                                             : "used outside of the block that defines it");
        return false;
    }
    return true;
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

static const LFunc *find_function(Verifier *v, const char *name) {
    uint32_t at = name ? map_get(&v->symbols, (uintptr_t)intern(v->cx, name)) : 0;
    return at && at <= v->m->funcs.n ? v->m->funcs.at[at - 1] : NULL;
}

static void check_arguments(Verifier *v, const LInst *inst, const LFunc *callee, const LVal *in, uint32_t n,
                            uint32_t first) {
    if (n + first != callee->n_params) {
        report(v, inst, "%u arguments for the %u parameters of '%s'", n, callee->n_params - first, callee->name);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        LType found = type_of(v, in[i]), expected = callee->params[first + i].type;
        if (lt_same(found, expected)) continue;
        report(v, inst, "argument %u is %s, '%s' takes %s", i, type_text(v, found), callee->name,
               type_text(v, expected));
        return;
    }
}

static void check_call(Verifier *v, const LInst *inst) {
    const LFunc *callee = find_function(v, inst->imm.text);
    if (!callee) {
        report(v, inst, "there is no function '%s'", inst->imm.text ? inst->imm.text : "");
        return;
    }
    LType found = inst->n_out ? type_of(v, inst->out[0]) : (LType){0, 0, 0};
    bool same = callee->result.dtype == DT_none ? inst->n_out == 0 : inst->n_out == 1 && lt_same(found, callee->result);
    if (!same) report(v, inst, "'%s' returns %s", callee->name, type_text(v, callee->result));
    check_arguments(v, inst, callee, inst->in, inst->n_in, 0);
}

static void check_launch(Verifier *v, const LInst *inst) {
    const LFunc *kernel = find_function(v, inst->imm.text);
    if (!kernel || kernel->kind != LF_KERNEL || kernel->n_params < 3) {
        report(v, inst, "there is no kernel '%s'", inst->imm.text ? inst->imm.text : "");
        return;
    }
    if (v->f->kind == LF_KERNEL) report(v, inst, "a kernel launches a kernel");
    LType i64 = lt_scalar(DT_i64);
    bool status = inst->n_out == 1 && lt_same(type_of(v, inst->out[0]), lt_scalar(DT_i32));
    if (inst->op == LOP_launch ? !status : inst->n_out) report(v, inst, "a launch gives an i32 status, defer nothing");
    if (inst->n_in < 3 || !type_of(v, inst->in[0]).pointer || !lt_same(type_of(v, inst->in[1]), i64) ||
        !lt_same(type_of(v, inst->in[2]), i64)) {
        report(v, inst, "a launch takes a context pointer, extent (i64) and pieces (i64) first");
        return;
    }
    check_arguments(v, inst, kernel, inst->in + 3, inst->n_in - 3, 3);
}

static void check_call_pointer(Verifier *v, const LInst *inst) {
    if (inst->n_in < 1 || !type_of(v, inst->in[0]).pointer) report(v, inst, "operand 0 is not a pointer");
    if (inst->n_out > 1) report(v, inst, "%u results, expected one at most", inst->n_out);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

/* What a block's yield must give: types of `like`, after a bool where `again`; body of a function: no yield at all. */
typedef struct BlockEnd {
    const LVal *like;
    uint32_t n;
    bool again, function;
} BlockEnd;

static void check_block(Verifier *v, const LInst *owner, const LBlock *block, BlockEnd end);

static void check_values_like(Verifier *v, const LInst *inst, const LVal *found, const LVal *like, uint32_t n,
                              const char *what) {
    for (uint32_t i = 0; i < n; i++) {
        LType a = type_of(v, found[i]), b = type_of(v, like[i]);
        if (lt_same(a, b)) continue;
        report(v, inst, "%s %u is %s, expected %s", what, i, type_text(v, a), type_text(v, b));
        return;
    }
}

static void check_yield(Verifier *v, const LInst *inst, BlockEnd end) {
    if (end.function) {
        report(v, inst, "the body of a function ends in return, not yield");
        return;
    }
    uint32_t expected = end.n + end.again;
    if (inst->n_in != expected) {
        report(v, inst, "yields %u values, expected %u", inst->n_in, expected);
        return;
    }
    if (end.again && !lt_same(type_of(v, inst->in[0]), lt_scalar(DT_bool)))
        report(v, inst, "the first value a while yields is %s, expected bool", type_text(v, type_of(v, inst->in[0])));
    if (end.n) check_values_like(v, inst, inst->in + end.again, end.like, end.n, "value");
}

static void check_return(Verifier *v, const LInst *inst) {
    LType found = inst->n_in == 1 ? type_of(v, inst->in[0]) : (LType){0, 0, 0};
    if (inst->n_in > 1 || found.dtype != v->f->result.dtype || (found.dtype && !lt_same(found, v->f->result)))
        report(v, inst, "returns %s, expected %s", type_text(v, found), type_text(v, v->f->result));
}

static bool check_blocks_exist(Verifier *v, const LInst *inst, uint32_t n) {
    if (inst->n_blocks == n && inst->blocks[0] && (n < 2 || inst->blocks[1])) return true;
    report(v, inst, "%u blocks, expected %u", (unsigned)inst->n_blocks, n);
    return false;
}

/* for and while: `extra` leading operands (begin, end) and block arguments (index). */
static void check_loop(Verifier *v, const LInst *inst, uint32_t extra_in, uint32_t extra_args) {
    if (!check_blocks_exist(v, inst, 1)) return;
    const LBlock *body = inst->blocks[0];
    LType i64 = lt_scalar(DT_i64);
    if (inst->n_in < extra_in || body->n_args != inst->n_in - extra_in + extra_args ||
        inst->n_out != inst->n_in - extra_in) {
        report(v, inst, "%u operands, %u block arguments, %u results do not agree", inst->n_in, body->n_args,
               inst->n_out);
        return;
    }
    for (uint32_t i = 0; i < extra_in; i++)
        if (!lt_same(type_of(v, inst->in[i]), i64)) report(v, inst, "bounds are i64");
    if (extra_args && !lt_same(type_of(v, body->args[0]), i64)) report(v, inst, "the index is i64");
    if (inst->op == LOP_for && inst->imm.i <= 0) report(v, inst, "step %lld, expected above 0", (long long)inst->imm.i);
    if (inst->kind > LOOP_UNROLLED) report(v, inst, "unknown kind of loop %u", (unsigned)inst->kind);
    const LVal *carried = inst->n_out ? inst->in + extra_in : NULL;
    if (carried) check_values_like(v, inst, body->args + extra_args, carried, inst->n_out, "carried argument");
    if (carried) check_values_like(v, inst, inst->out, carried, inst->n_out, "result");
    check_block(v, inst, body, (BlockEnd){carried, inst->n_out, inst->op == LOP_while, false});
}

static void check_if(Verifier *v, const LInst *inst) {
    if (!check_blocks_exist(v, inst, 2)) return;
    if (inst->n_in != 1 || !lt_same(type_of(v, inst->in[0]), lt_scalar(DT_bool)))
        report(v, inst, "the condition is not one bool");
    for (uint32_t i = 0; i < 2; i++) {
        if (inst->blocks[i]->n_args) report(v, inst, "blocks of an if have no arguments");
        check_block(v, inst, inst->blocks[i], (BlockEnd){inst->out, inst->n_out, false, false});
    }
}

static void check_symbol(Verifier *v, const LInst *inst) {
    if (inst->imm.text && !map_get(&v->symbols, (uintptr_t)intern(v->cx, inst->imm.text)))
        report(v, inst, "there is no function or data object '%s'", inst->imm.text);
}

static void check_inst(Verifier *v, const LInst *inst, BlockEnd end) {
    if (!check_operands(v, inst)) return;
    Text problem = text_new(v->arena);
    if (!loop_inst_check(v->f, inst, &problem)) {
        report(v, inst, "%s", problem.at);
        return;
    }
    switch ((int)inst->op) {
    case LOP_symbol_addr: check_symbol(v, inst); break;
    case LOP_for: check_loop(v, inst, 2, 1); return;
    case LOP_while: check_loop(v, inst, 0, 0); return;
    case LOP_if: check_if(v, inst); return;
    case LOP_yield: check_yield(v, inst, end); return;
    case LOP_return: check_return(v, inst); return;
    case LOP_call: check_call(v, inst); break;
    case LOP_call_pointer: check_call_pointer(v, inst); break;
    case LOP_launch:
    case LOP_defer: check_launch(v, inst); break;
    default: break;
    }
    const Target *target = loop_target(v->m, v->f);
    if (lop_info[inst->op].class_ == LC_TILE && target && !target->tiles_bf16) report(v, inst, "%s has no tiles", target->name);
    if (inst->n_blocks) report(v, inst, "has blocks");
}

/* Kernels that wait for a launch after the control instruction; so many do before it. */
static uint32_t check_deferred(Verifier *v, const LInst *inst, uint32_t waiting) {
    if (inst->op == LOP_defer && waiting + 1 < MAX_TOGETHER) return waiting + 1;
    if (inst->op == LOP_defer) report(v, inst, "more than %d kernels would run together", MAX_TOGETHER);
    else if (waiting && inst->op != LOP_launch) report(v, inst, "stands between a deferred kernel and its launch");
    return 0;
}

static void check_block(Verifier *v, const LInst *owner, const LBlock *block, BlockEnd end) {
    if (v->depth >= MAX_NESTING) {
        report(v, owner, "blocks nest deeper than %d", MAX_NESTING);
        return;
    }
    v->depth++;
    uint32_t mark = v->defined.n;
    for (uint32_t i = 0; i < block->n_args; i++) define(v, owner, block->args[i]);
    bool ended = false;
    uint32_t deferred = 0;
    for (uint32_t i = 0; i < block->insts.n && v->problems < MAX_PROBLEMS; i++) {
        const LInst *inst = &block->insts.at[i];
        if (ended) {
            report(v, inst, "follows the end of its block");
            break;
        }
        if (lop_info[inst->op].class_ == LC_CONTROL) deferred = check_deferred(v, inst, deferred);
        check_inst(v, inst, end);
        for (uint32_t k = 0; k < inst->n_out; k++) define(v, inst, inst->out[k]);
        ended = inst->op == LOP_yield || inst->op == LOP_return;
    }
    if (!ended && v->problems < MAX_PROBLEMS)
        report(v, owner, end.function ? "the body does not end in return" : "a block does not end in yield or return");
    for (uint32_t i = mark; i < v->defined.n; i++) v->state[v->defined.at[i]] = CLOSED;
    v->defined.n = mark;
    v->depth--;
}

/* ---- functions, data, the module ---------------------------------------------------------------------------------- */

static void check_kernel(Verifier *v) {
    const LFunc *f = v->f;
    bool leading = f->n_params >= 3;
    for (uint32_t i = 0; leading && i < 3; i++) leading = lt_same(f->params[i].type, lt_scalar(DT_i64));
    if (!leading) report(v, NULL, "a kernel starts with parameters lo, hi, worker of i64");
    if (!lt_same(f->result, lt_scalar(DT_i32))) report(v, NULL, "a kernel returns an i32 status");
}

/* A variant does for a kernel what another of the module does, from one of its tiers upwards. */
static void check_variant(Verifier *v) {
    const LFunc *f = v->f, *kernel = find_function(v, f->variant_of);
    uint32_t tier = 0, twins = 0;
    while (tier < v->m->tiers.n && v->m->tiers.at[tier] != f->target) tier++;
    if (!tier || tier == v->m->tiers.n) report(v, NULL, "a variant is for one of the module's targets above the first");
    if (f->kind != LF_KERNEL || !kernel || kernel->kind != LF_KERNEL || kernel->variant_of) {
        report(v, NULL, "is a variant of '%s', which is no kernel without variant", f->variant_of);
        return;
    }
    for (uint32_t i = 0; i < v->m->funcs.n; i++) {
        const LFunc *other = v->m->funcs.at[i];
        twins += other->target == f->target && other->variant_of && strcmp(other->variant_of, f->variant_of) == 0;
    }
    if (twins > 1) report(v, NULL, "'%s' has two variants for one target", f->variant_of);
    bool same = f->n_params == kernel->n_params;
    for (uint32_t i = 0; same && i < f->n_params; i++) same = lt_same(f->params[i].type, kernel->params[i].type);
    if (!same) report(v, NULL, "differs in parameters from '%s'", f->variant_of);
}

static void check_function(Verifier *v, const LFunc *f) {
    v->f = f;
    v->problems = 0;
    if (f->variant_of) check_variant(v);
    if (f->same_text) return;
    v->defined.n = 0;
    v->depth = 0;
    v->state = arena_alloc(v->arena, f->types.n + 1);
    for (uint32_t i = 0; i < f->n_params; i++) {
        const LParam *p = &f->params[i];
        define(v, NULL, p->value);
        if (!lt_same(type_of(v, p->value), p->type)) report(v, NULL, "parameter %u and its value differ in type", i);
        if (p->type.lanes != 1) report(v, NULL, "parameter %u is a vector", i);
        if (p->flags && !p->type.pointer) report(v, NULL, "parameter %u has flags of a pointer", i);
        if (p->align & (p->align - 1)) report(v, NULL, "parameter %u has alignment %u, no power of two", i, p->align);
    }
    if (f->result.dtype != DT_none && (!lt_allowed(f->result) || f->result.lanes != 1))
        report(v, NULL, "returns %s, which is no scalar or pointer", type_text(v, f->result));
    if (f->kind == LF_KERNEL) check_kernel(v);
    if ((f->kind == LF_EXTERN) != (f->body == NULL)) report(v, NULL, f->body ? "an extern has a body" : "has no body");
    if (f->body) check_block(v, NULL, f->body, (BlockEnd){.function = true});
}

static bool check_data(Verifier *v, const LData *d) {
    if (d->align == 0 || (d->align & (d->align - 1)) || d->align > MAX_DATA_ALIGN) {
        diag_error(v->cx, (Loc){0}, "data object '%s': alignment %u is no power of two up to %d", d->name, d->align,
                   MAX_DATA_ALIGN);
        return false;
    }
    uint64_t from = 0;
    for (uint32_t i = 0; i < d->n_relocs; i++) {
        const LReloc *r = &d->relocs[i];
        if (r->offset < from || d->size < 8 || r->offset > d->size - 8) {
            diag_error(v->cx, (Loc){0}, "data object '%s': relocation at %llu overlaps another or the end (%llu bytes)",
                       d->name, (unsigned long long)r->offset, (unsigned long long)d->size);
            return false;
        }
        from = r->offset + 8;
        if (map_get(&v->symbols, (uintptr_t)intern(v->cx, r->symbol))) continue;
        diag_error(v->cx, (Loc){0}, "data object '%s': relocation names '%s', which the module does not have", d->name,
                   r->symbol);
        return false;
    }
    return true;
}

static bool add_symbol(Verifier *v, const char *name, uint32_t number) {
    const char *key = name ? intern(v->cx, name) : NULL;
    if (!key || !*key || map_get(&v->symbols, (uintptr_t)key)) {
        diag_error(v->cx, (Loc){0}, "loop module '%s' has %s '%s'", v->m->name,
                   key && *key ? "two symbols named" : "a symbol named", key ? key : "");
        return false;
    }
    map_set(&v->symbols, (uintptr_t)key, number);
    return true;
}

bool loop_verify(const LoopModule *m) {
    Arena *arena = arena_new(m->cx);
    Verifier v = {.m = m, .cx = m->cx, .arena = arena, .symbols = map_new(arena)};
    bool ok = true;
    for (uint32_t i = 0; i < m->funcs.n; i++) ok = add_symbol(&v, m->funcs.at[i]->name, i + 1) && ok;
    for (uint32_t i = 0; i < m->datas.n; i++) ok = add_symbol(&v, m->datas.at[i].name, m->funcs.n + i + 1) && ok;
    for (uint32_t i = 0; i < m->datas.n; i++) ok = check_data(&v, &m->datas.at[i]) && ok;
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        check_function(&v, m->funcs.at[i]);
        ok = ok && v.problems == 0;
    }
    arena_free(arena);
    return ok;
}
