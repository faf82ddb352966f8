/* launch.c: rewrites `launch` into calls, so that no printer knows about threads or about choosing a CPU tier.
 *
 * Loop IR -> Loop IR, just before printing.  A launch of kernel k over [0, n) becomes
 *     status = if 0 < n { call k(0, n, 0, args…) } else { 0 }
 * or, in modules with the note threads = 1, stores its arguments into slots (one per argument, shared by all launches of a
 * function, which run one after the other) and calls the runtime with the thunk k__task, also Loop IR.
 * A kernel with variants is called through N_variants: a row for each tier, chosen by the frame's tier; the pointer travels to
 * its thunk in a slot of its own.
 * Kernels that run together (`defer` before `launch`) have slots side by side, behind a table of FRAME_TOGETHER slots for each:
 * thunk, arguments, extent, pieces; the launch passes the table.  Without threads each is called where it stands.
 * Invariants: the argument is left as it was; the result has no launch; value ids of the argument keep their meaning.
 */
#include "codegen.h"
#include "ingot_frame.h"
#include <string.h>

typedef struct Rewriter {
    Context *cx;
    LoopModule *to;
    const LoopModule *from;
    LFunc *func;
    bool threads;
    LVal slots;              /* of the current function; 0: no launch needs any */
    uint32_t deferred, used; /* kernels since the last launch, and their slots behind the table */
    VEC(LFunc *) chosen;     /* kernels with variants: columns of the table */
    const char *table;
} Rewriter;

#define RT_LAUNCH "ingot_rt_launch"
#define RT_TOGETHER "ingot_rt_launch_together"
_Static_assert((int)MAX_TOGETHER == (int)FRAME_MAX_TOGETHER, "what may be deferred, the runtime takes");
enum { TABLE_SLOTS = MAX_TOGETHER * FRAME_TOGETHER };

static LVal value_new(Rewriter *r, LType type) {
    vec_push(r->to->arena, &r->func->types, type);
    return (LVal){r->func->types.n - 1};
}

/* Appends an instruction; the result has `type`, or there is none where it is DT_none. */
static LVal put(Rewriter *r, LBlock *block, LOp op, LType type, const LVal *in, uint32_t n, int64_t imm,
                const char *text) {
    LInst inst = {.op = op, .n_in = n};
    inst.in = arena_copy(r->to->arena, in, n * sizeof *in);
    inst.imm.i = imm;
    inst.imm.text = text;
    LVal out = {0};
    if (type.dtype != DT_none) {
        out = value_new(r, type);
        inst.out = arena_copy(r->to->arena, &out, sizeof out);
        inst.n_out = 1;
    }
    vec_push(r->to->arena, &block->insts, inst);
    return out;
}
static LVal put_i64(Rewriter *r, LBlock *block, int64_t i) {
    return put(r, block, LOP_const, lt_scalar(DT_i64), NULL, 0, i, NULL);
}
static void put_yield(Rewriter *r, LBlock *block, LVal v) {
    put(r, block, LOP_yield, (LType){0}, &v, 1, 0, NULL);
}
static LBlock *block_new(Rewriter *r) { return arena_new_array(r->to->arena, LBlock, 1); }

/* A scalar as the 64 bits of a slot, and back. */
static LVal to_slot(Rewriter *r, LBlock *block, LVal v) {
    LType t = r->func->types.at[v.id];
    if (t.dtype == DT_f64) return put(r, block, LOP_bitcast, lt_scalar(DT_u64), &v, 1, 0, NULL);
    if (t.dtype == DT_f32) v = put(r, block, LOP_bitcast, lt_scalar(DT_u32), &v, 1, 0, NULL);
    if (t.dtype == DT_u64) return v;
    return put(r, block, LOP_convert, lt_scalar(DT_u64), &v, 1, 0, NULL);
}
static LVal from_slot(Rewriter *r, LBlock *block, LVal bits, LType t) {
    if (t.dtype == DT_u64) return bits;
    if (t.dtype == DT_f64) return put(r, block, LOP_bitcast, t, &bits, 1, 0, NULL);
    if (t.dtype != DT_f32) return put(r, block, LOP_convert, t, &bits, 1, 0, NULL);
    LVal low = put(r, block, LOP_convert, lt_scalar(DT_u32), &bits, 1, 0, NULL);
    return put(r, block, LOP_bitcast, t, &low, 1, 0, NULL);
}

static void declare(Rewriter *r, const char *name, const LParam *row, uint32_t n) {
    if (loop_func_find(r->to, name)) return;
    LFunc *f = arena_new_array(r->to->arena, LFunc, 1);
    LParam *params = arena_copy(r->to->arena, row, n * sizeof *row);
    vec_push(r->to->arena, &f->types, (LType){0});
    for (uint32_t i = 0; i < n; i++) {
        params[i].value = (LVal){i + 1};
        vec_push(r->to->arena, &f->types, params[i].type);
    }
    f->name = intern(r->cx, name);
    f->kind = LF_EXTERN;
    f->n_params = n;
    f->params = params;
    f->result = lt_scalar(DT_i32);
    vec_push(r->to->arena, &r->to->funcs, f);
}

static void declare_runtime(Rewriter *r, bool together) {
    LParam context = {.name = "context", .type = lt_pointer(DT_u8)}, n = {.name = "n", .type = lt_scalar(DT_i64)};
    LParam table = {.name = "table", .type = lt_pointer(DT_u64)}, args = {.name = "args", .type = lt_pointer(DT_u64)};
    LParam thunk = {.name = "thunk", .type = lt_pointer(DT_u8)}, pieces = {.name = "pieces", .type = lt_scalar(DT_i64)};
    if (together) declare(r, RT_TOGETHER, (LParam[]){context, table, n}, 3);
    else declare(r, RT_LAUNCH, (LParam[]){context, thunk, args, n, pieces}, 5);
}

/* ---- tiers ---- */

/* Column of a kernel in the table; -1: it has no variants. */
static int64_t column_of(const Rewriter *r, const LFunc *kernel) {
    for (uint32_t i = 0; i < r->chosen.n; i++)
        if (r->chosen.at[i] == kernel) return i;
    return -1;
}

static void add_table(Rewriter *r) {
    LoopModule *to = r->to;
    for (uint32_t i = 0; i < r->from->funcs.n && to->tiers.n > 1; i++) {
        LFunc *f = r->from->funcs.at[i];
        if (f->kind != LF_KERNEL || f->variant_of || loop_func_on(r->from, f, to->tiers.n - 1) == f) continue;
        vec_push(to->arena, &r->chosen, f);
    }
    if (!r->chosen.n) return;
    uint32_t n = to->tiers.n * r->chosen.n;
    LReloc *relocs = arena_new_array(to->arena, LReloc, n);
    for (uint32_t i = 0; i < n; i++)
        relocs[i] = (LReloc){8 * (uint64_t)i, loop_func_on(r->from, r->chosen.at[i % r->chosen.n], i / r->chosen.n)->name, 0};
    r->table = intern(r->cx, arena_print(to->arena, "%s_variants", to->name));
    LData table = {.name = r->table, .size = 8 * (uint64_t)n, .align = 8, .n_relocs = n, .relocs = relocs};
    to->datas.at = arena_copy(to->arena, to->datas.at, to->datas.n * sizeof table);
    to->datas.cap = to->datas.n;
    vec_push(to->arena, &to->datas, table);
}

/* The address of what runs for a kernel with variants. */
static LVal choose(Rewriter *r, LBlock *block, LVal frame, int64_t column) {
    LType i64 = lt_scalar(DT_i64);
    LVal words = put(r, block, LOP_recast, lt_pointer(DT_i64), &frame, 1, 0, NULL);
    LVal tier = put(r, block, LOP_load, i64, (LVal[]){words, put_i64(r, block, FRAME_TIER)}, 2, 0, NULL);
    LVal row = put(r, block, LOP_mul, i64, (LVal[]){tier, put_i64(r, block, r->chosen.n)}, 2, 0, NULL);
    LVal at = put(r, block, LOP_add, i64, (LVal[]){row, put_i64(r, block, column)}, 2, 0, NULL);
    LVal table = put(r, block, LOP_symbol_addr, lt_pointer(DT_u64), NULL, 0, 0, r->table);
    return put(r, block, LOP_load_pointer, lt_pointer(DT_u8), (LVal[]){table, at}, 2, 0, NULL);
}

/* Calls the kernel directly, or what `chosen` points to.  in: as the kernel's parameters. */
static LVal call(Rewriter *r, LBlock *block, const LFunc *kernel, LVal chosen, const LVal *in) {
    if (!chosen.id) return put(r, block, LOP_call, lt_scalar(DT_i32), in, kernel->n_params, 0, kernel->name);
    LVal *all = arena_new_array(r->to->arena, LVal, kernel->n_params + 1);
    all[0] = chosen;
    memcpy(all + 1, in, kernel->n_params * sizeof *in);
    return put(r, block, LOP_call_pointer, lt_scalar(DT_i32), all, kernel->n_params + 1, 0, NULL);
}

/* ---- launches ---- */

/* i32 k__task(slots, lo, hi, worker): unpacks and calls.  One per kernel. */
static const char *thunk_for(Rewriter *r, const LFunc *kernel) {
    const char *name = intern(r->cx, arena_print(r->to->arena, "%s__task", kernel->name));
    if (loop_func_find(r->to, name)) return name;
    LFunc *f = arena_new_array(r->to->arena, LFunc, 1), *caller = r->func;
    f->name = name;
    f->kind = LF_LOCAL;
    f->result = lt_scalar(DT_i32);
    f->n_params = 4;
    f->body = block_new(r);
    r->func = f;
    vec_push(r->to->arena, &f->types, (LType){0});
    static const char *const names[] = {"args", "lo", "hi", "worker"};
    LParam *params = arena_new_array(r->to->arena, LParam, 4);
    for (uint32_t i = 0; i < 4; i++) {
        params[i] = (LParam){.name = names[i], .type = i ? lt_scalar(DT_i64) : lt_pointer(DT_u64)};
        params[i].value = value_new(r, params[i].type);
    }
    f->params = params;
    LVal *in = arena_new_array(r->to->arena, LVal, kernel->n_params);
    for (uint32_t i = 0; i < kernel->n_params; i++) {
        if (i < 3) { in[i] = params[i + 1].value; continue; }
        LType t = kernel->params[i].type;
        LVal at[2] = {params[0].value, put_i64(r, f->body, (int64_t)i - 3)};
        if (t.pointer) in[i] = put(r, f->body, LOP_load_pointer, t, at, 2, 0, NULL);
        else in[i] = from_slot(r, f->body, put(r, f->body, LOP_load, lt_scalar(DT_u64), at, 2, 0, NULL), t);
    }
    LVal at[2] = {params[0].value, put_i64(r, f->body, (int64_t)kernel->n_params - 3)}, chosen = {0};
    if (column_of(r, kernel) >= 0) chosen = put(r, f->body, LOP_load_pointer, lt_pointer(DT_u8), at, 2, 0, NULL);
    LVal status = call(r, f->body, kernel, chosen, in);
    put(r, f->body, LOP_return, (LType){0}, &status, 1, 0, NULL);
    r->func = caller;
    vec_push(r->to->arena, &r->to->funcs, f);
    return name;
}

/* Calls the kernel over all of its range. */
static LVal call_whole(Rewriter *r, LBlock *block, const LInst *launch, const LFunc *kernel, LVal chosen) {
    LVal *in = arena_new_array(r->to->arena, LVal, kernel->n_params);
    in[0] = put_i64(r, block, 0);
    in[1] = launch->in[1];
    in[2] = in[0];
    memcpy(in + 3, launch->in + 3, (launch->n_in - 3) * sizeof *in);
    return call(r, block, kernel, chosen, in);
}

static void put_slot(Rewriter *r, LBlock *block, LVal slots, int64_t i, LVal v) {
    bool pointer = r->func->types.at[v.id].pointer;
    LVal in[3] = {slots, put_i64(r, block, i), pointer ? v : to_slot(r, block, v)};
    put(r, block, pointer ? LOP_store_pointer : LOP_store, (LType){0}, in, 3, 0, NULL);
}

static LVal put_arguments(Rewriter *r, LBlock *block, const LInst *launch, const LFunc *kernel, LVal chosen, LVal slots) {
    uint32_t n_args = launch->n_in - 3;
    if (chosen.id) put_slot(r, block, slots, n_args, chosen);
    for (uint32_t i = 0; i < n_args; i++) put_slot(r, block, slots, i, launch->in[i + 3]);
    return put(r, block, LOP_symbol_addr, lt_pointer(DT_u8), NULL, 0, 0, thunk_for(r, kernel));
}

/* The call that does the work, in the block where n > 0. */
static LVal call_kernel(Rewriter *r, LBlock *block, const LInst *launch, const LFunc *kernel, LVal chosen) {
    if (!r->threads) return call_whole(r, block, launch, kernel, chosen);
    declare_runtime(r, false);
    LVal thunk = put_arguments(r, block, launch, kernel, chosen, r->slots);
    LVal in[5] = {launch->in[0], thunk, r->slots, launch->in[1], launch->in[2]};
    return put(r, block, LOP_call, lt_scalar(DT_i32), in, 5, 0, intern(r->cx, RT_LAUNCH));
}

static uint32_t slots_of(const LInst *launch) { return launch->n_in - 3 + 1; }

/* One of several: its row of the table; behind the last, the call. */
static void rewrite_together(Rewriter *r, LBlock *block, const LInst *launch, const LFunc *kernel, LVal chosen) {
    int64_t row = (int64_t)r->deferred++ * FRAME_TOGETHER;
    LVal at[] = {r->slots, put_i64(r, block, TABLE_SLOTS + r->used)};
    LVal slots = put(r, block, LOP_offset, lt_pointer(DT_u64), at, 2, 0, NULL);
    r->used += slots_of(launch);
    put_slot(r, block, r->slots, row, put_arguments(r, block, launch, kernel, chosen, slots));
    put_slot(r, block, r->slots, row + 1, slots);
    put_slot(r, block, r->slots, row + 2, launch->in[1]);
    put_slot(r, block, r->slots, row + 3, launch->in[2]);
    if (launch->op == LOP_defer) return;
    declare_runtime(r, true);
    LVal in[] = {launch->in[0], r->slots, put_i64(r, block, r->deferred)};
    LInst call = {.op = LOP_call, .n_in = 3, .in = arena_copy(r->to->arena, in, sizeof in), .n_out = launch->n_out,
            .out = launch->out, .imm.text = intern(r->cx, RT_TOGETHER)};
    vec_push(r->to->arena, &block->insts, call);
    r->deferred = r->used = 0;
}

static void rewrite_launch(Rewriter *r, LBlock *block, const LInst *launch) {
    const LFunc *kernel = loop_func_find(r->from, launch->imm.text);
    if (!kernel) BUG(r->cx, "launch of the unknown kernel '%s'", launch->imm.text);
    REQUIRE(r->cx, kernel->n_params == launch->n_in);
    int64_t column = column_of(r, kernel);
    if (r->threads && (r->deferred || launch->op == LOP_defer)) {
        LVal chosen = column < 0 ? (LVal){0} : choose(r, block, launch->in[0], column);
        rewrite_together(r, block, launch, kernel, chosen);
        return;
    }
    LVal compare[2] = {put_i64(r, block, 0), launch->in[1]};
    LInst branch = {.op = LOP_if, .n_blocks = 2, .n_in = 1, .n_out = launch->n_out, .out = launch->out};
    LVal some = put(r, block, LOP_lt, lt_scalar(DT_bool), compare, 2, 0, NULL);
    branch.in = arena_copy(r->to->arena, &some, sizeof some);
    branch.blocks[0] = block_new(r);
    branch.blocks[1] = block_new(r);
    LVal chosen = column < 0 ? (LVal){0} : choose(r, branch.blocks[0], launch->in[0], column);
    LVal status = call_kernel(r, branch.blocks[0], launch, kernel, chosen);
    LVal zero = put(r, branch.blocks[1], LOP_const, lt_scalar(DT_i32), NULL, 0, 0, NULL);
    if (launch->n_out) {
        put_yield(r, branch.blocks[0], status);
        put_yield(r, branch.blocks[1], zero);
    } else {
        put(r, branch.blocks[0], LOP_yield, (LType){0}, NULL, 0, 0, NULL);
        put(r, branch.blocks[1], LOP_yield, (LType){0}, NULL, 0, 0, NULL);
    }
    vec_push(r->to->arena, &block->insts, branch);
}

static LBlock *rewrite_block(Rewriter *r, const LBlock *old, LBlock *block) {
    block->n_args = old->n_args;
    block->args = old->args;
    for (uint32_t i = 0; i < old->insts.n; i++) {
        LInst inst = old->insts.at[i];
        if (inst.op == LOP_launch || inst.op == LOP_defer) { rewrite_launch(r, block, &inst); continue; }
        for (uint32_t k = 0; k < inst.n_blocks; k++) inst.blocks[k] = rewrite_block(r, inst.blocks[k], block_new(r));
        vec_push(r->to->arena, &block->insts, inst);
    }
    return block;
}

/* The most slots that launches of the block need at a time: arguments, what was chosen, a table; 0 where there is none. */
static uint32_t most_slots(const LBlock *block) {
    uint32_t most = 0, together = 0;
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        bool launches = inst->op == LOP_launch || inst->op == LOP_defer;
        uint32_t n = launches ? slots_of(inst) : 0;
        if (inst->op == LOP_defer || (launches && together)) n = together += n + (together ? 0 : TABLE_SLOTS);
        if (inst->op == LOP_launch) together = 0;
        for (uint32_t k = 0; k < inst->n_blocks; k++) {
            uint32_t inner = most_slots(inst->blocks[k]);
            if (inner > n) n = inner;
        }
        if (n > most) most = n;
    }
    return most;
}

const LoopModule *loop_legalise_launch(const LoopModule *m) {
    const char *threads = loop_note(m, "threads");
    LoopModule *to = arena_new_array(m->arena, LoopModule, 1);
    *to = *m;
    to->funcs.at = NULL;
    to->funcs.n = to->funcs.cap = 0;
    Rewriter r = {.cx = m->cx, .to = to, .from = m, .threads = threads && strcmp(threads, "1") == 0};
    add_table(&r);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        LFunc *f = m->funcs.at[i];
        uint32_t slots = f->body ? most_slots(f->body) : 0;
        if (slots) {
            LFunc *copy = arena_copy(m->arena, f, sizeof *f);
            copy->types.at = arena_copy(m->arena, f->types.at, f->types.n * sizeof *f->types.at);
            copy->types.cap = f->types.n;
            copy->body = block_new(&r);
            r.func = copy;
            if (r.threads)
                r.slots = put(&r, copy->body, LOP_alloc, lt_pointer(DT_u64), NULL, 0, slots, NULL);
            rewrite_block(&r, f->body, copy->body);
            f = copy;
        }
        vec_push(m->arena, &to->funcs, f);
    }
    return to;
}
