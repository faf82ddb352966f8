/* loop_build.c: writes one function of Loop IR, instruction by instruction.
 *
 * A pure instruction is first folded (loop_fold.c), then looked up among the equal ones already written in a block that
 * encloses the current one: those definitions dominate, so the old value serves.  Loads are never shared, because a store
 * may lie between.  Mistakes of the caller (types, order of calls) are BUGs at the call.
 *
 * Scopes: one per open block.  An entry of the table whose scope has closed is stale and is overwritten when met. */
#include "loop.h"
#include <stdlib.h>
#include <string.h>

typedef struct Pure {
    LInst inst;
    struct LoopScope *scope;
} Pure;
typedef struct Sharing {
    Arena *arena;            /* of the builder: freed by loop_end */
    VEC(Pure) pure;          /* [0] unused */
    VEC(uint32_t) of_value;  /* value id -> index in pure, or 0 */
    Map by_hash;
} Sharing;
struct LoopScope {
    struct LoopScope *parent;
    Sharing *sharing;
    bool open;
};

/* ---- the function ------------------------------------------------------------------------------------------------- */

static LVal new_value(LoopBuilder *b, LType t) {
    Sharing *s = b->scope->sharing;
    LVal v = {b->func->types.n};
    vec_push(b->module->arena, &b->func->types, t);
    vec_push(s->arena, &s->of_value, 0);
    return v;
}

static void open_scope(LoopBuilder *b, Sharing *sharing) {
    struct LoopScope *scope = arena_alloc(sharing->arena, sizeof *scope);
    *scope = (struct LoopScope){b->scope, sharing, true};
    b->scope = scope;
}

static void close_scope(LoopBuilder *b) {
    b->scope->open = false;
    b->scope = b->scope->parent;
}

LoopBuilder *loop_begin(LoopModule *m, const char *name, LFuncKind kind, LParam *params, uint32_t n, LType result) {
    LoopBuilder *b = arena_alloc(m->arena, sizeof *b);
    LFunc *f = arena_alloc(m->arena, sizeof *f);
    Sharing *sharing;
    *b = (LoopBuilder){m->cx, m, f, NULL, NULL};
    Arena *scratch = arena_new(m->cx);
    sharing = arena_alloc(scratch, sizeof *sharing);
    sharing->arena = scratch;
    sharing->by_hash = map_new(scratch);
    vec_push(scratch, &sharing->pure, (Pure){0});
    open_scope(b, sharing);
    f->name = intern(m->cx, name);
    f->kind = kind;
    f->result = result;
    (void)new_value(b, (LType){0, 0, 0});
    for (uint32_t i = 0; i < n; i++) {
        params[i].value = new_value(b, params[i].type);
        if (params[i].name) params[i].name = intern(m->cx, params[i].name);
    }
    f->n_params = n;
    f->params = arena_copy(m->arena, params, n * sizeof *params);
    if (kind != LF_EXTERN) f->body = b->block = arena_alloc(m->arena, sizeof *b->block);
    return b;
}

static bool terminated(const LBlock *block) {
    if (block->insts.n == 0) return false;
    LOp op = vec_last(&block->insts).op;
    return op == LOP_yield || op == LOP_return;
}

LFunc *loop_end(LoopBuilder *b) {
    LFunc *f = b->func;
    if (b->scope->parent) BUG(b->cx, "loop function '%s' ends inside of a for, while or if", f->name);
    if (f->body && !terminated(f->body)) {
        if (f->result.dtype == DT_none)
            l_return(b, (LVal){0});
        else if (f->kind == LF_KERNEL)
            l_return(b, l_int(b, lt_scalar(DT_i32), 0));
        else
            BUG(b->cx, "loop function '%s' ends without return", f->name);
    }
    loop_order(b->module, f);
    vec_push(b->module->arena, &b->module->funcs, f);
    arena_free(b->scope->sharing->arena);
    b->scope = NULL;
    return f;
}

LVal loop_param(const LoopBuilder *b, uint32_t i) {
    REQUIRE(b->cx, i < b->func->n_params);
    return b->func->params[i].value;
}

LType loop_type(const LoopBuilder *b, LVal v) {
    REQUIRE(b->cx, v.id < b->func->types.n);
    return b->func->types.at[v.id];
}

const LInst *loop_def(const LoopBuilder *b, LVal v) {
    const Sharing *s = b->scope->sharing;
    if (v.id >= s->of_value.n || !s->of_value.at[v.id]) return NULL;
    const Pure *p = &s->pure.at[s->of_value.at[v.id]];
    return p->scope->open && p->inst.out[0].id == v.id ? &p->inst : NULL;
}

bool loop_const_int(const LoopBuilder *b, LVal v, int64_t *value) {
    const LInst *def = loop_def(b, v);
    LType t = loop_type(b, v);
    if (!def || def->op != LOP_const || t.pointer || dtype_is_float((DType)t.dtype)) return false;
    *value = def->imm.i;
    return true;
}

/* ---- instructions ------------------------------------------------------------------------------------------------- */

static LInst *append(LoopBuilder *b, LBlock *block, LInst inst) {
    if (!block) BUG(b->cx, "extern '%s' has no body", b->func->name);
    if (terminated(block)) BUG(b->cx, "'%s' after the end of a block of '%s'", lop_info[inst.op].name, b->func->name);
    inst.in = arena_copy(b->module->arena, inst.in, inst.n_in * sizeof *inst.in);
    vec_push(b->module->arena, &block->insts, inst);
    return &vec_last(&block->insts);
}

static void require_values(LoopBuilder *b, LOp op, const LVal *in, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (in[i].id == 0 || in[i].id >= b->func->types.n)
            BUG(b->cx, "operand %u of '%s' in '%s' is no value of this function", i, lop_info[op].name, b->func->name);
}

static uint64_t inst_hash(const LInst *inst, LType t) {
    uint64_t h = hash_mix((uint64_t)inst->op, (uint64_t)t.dtype << 32 | (uint64_t)t.pointer << 16 | t.lanes), bits;
    memcpy(&bits, &inst->imm.f, sizeof bits);
    h = hash_mix(hash_mix(h, bits), (uint64_t)inst->imm.i);
    h = hash_mix(h, (uintptr_t)inst->imm.text);
    for (uint32_t i = 0; i < inst->n_in; i++) h = hash_mix(h, inst->in[i].id);
    for (uint32_t i = 0; i < inst->imm.n_ints; i++) h = hash_mix(h, (uint64_t)inst->imm.ints[i]);
    return h;
}

static bool inst_equal(const LFunc *f, const LInst *old, const LInst *inst, LType t) {
    if (old->op != inst->op || old->n_in != inst->n_in || !lt_same(f->types.at[old->out[0].id], t)) return false;
    if (old->imm.i != inst->imm.i || old->imm.text != inst->imm.text || old->imm.n_ints != inst->imm.n_ints)
        return false;
    if (memcmp(&old->imm.f, &inst->imm.f, sizeof old->imm.f) != 0) return false;
    for (uint32_t i = 0; i < inst->n_in; i++)
        if (old->in[i].id != inst->in[i].id) return false;
    for (uint32_t i = 0; i < inst->imm.n_ints; i++)
        if (old->imm.ints[i] != inst->imm.ints[i]) return false;
    return true;
}

/* Appends an instruction with at most one result. */
static LVal write_inst(LoopBuilder *b, LInst inst, LType result) {
    LVal out = {0};
    if (result.dtype != DT_none) {
        out = new_value(b, result);
        inst.out = arena_copy(b->module->arena, &out, sizeof out);
        inst.n_out = 1;
    }
    LInst *written = append(b, b->block, inst);
    Text problem = text_new(b->cx->arena);
    if (!loop_inst_check(b->func, written, &problem))
        BUG(b->cx, "'%s' in '%s': %s", lop_info[inst.op].name, b->func->name, problem.at);
    return out;
}

static LVal pure_inst(LoopBuilder *b, LInst inst, LType result) {
    LVal folded = loop_fold(b, &inst, result);
    if (folded.id) return folded;
    Sharing *s = b->scope->sharing;
    uint64_t hash = inst_hash(&inst, result);
    uint32_t cursor = 0, slot = 0, stale = 0;
    while ((slot = map_next(&s->by_hash, hash, &cursor))) {
        const Pure *p = &s->pure.at[slot];
        if (!p->scope->open)
            stale = slot;
        else if (inst_equal(b->func, &p->inst, &inst, result))
            return p->inst.out[0];
    }
    LVal out = write_inst(b, inst, result);
    Pure entry = {vec_last(&b->block->insts), b->scope};
    if (stale) {
        s->pure.at[stale] = entry;
        s->of_value.at[out.id] = stale;
    } else {
        s->of_value.at[out.id] = s->pure.n;
        map_add(&s->by_hash, hash, s->pure.n);
        vec_push(s->arena, &s->pure, entry);
    }
    return out;
}

static LVal any_inst(LoopBuilder *b, LInst inst, LType result) {
    require_values(b, inst.op, inst.in, inst.n_in);
    return loop_inst_is_pure(inst.op) ? pure_inst(b, inst, result) : write_inst(b, inst, result);
}

LVal l_inst(LoopBuilder *b, LOp op, LType result, const LVal *in, uint32_t n, int64_t imm) {
    return any_inst(b, (LInst){.op = op, .in = in, .n_in = n, .imm.i = imm}, result);
}

LVal l_i64(LoopBuilder *b, int64_t value) { return l_int(b, lt_scalar(DT_i64), value); }

LVal l_int(LoopBuilder *b, LType t, int64_t value) {
    if (!t.pointer && dtype_is_float((DType)t.dtype)) return l_float(b, t, (double)value);
    return l_inst(b, LOP_const, t, NULL, 0, t.pointer ? value : loop_wrap((DType)t.dtype, value));
}

LVal l_float(LoopBuilder *b, LType t, double value) {
    if (t.dtype == DT_f32) value = (double)(float)value;
    if (!dtype_is_float((DType)t.dtype)) BUG(b->cx, "l_float of dtype %s", dtype_info[t.dtype].name);
    return any_inst(b, (LInst){.op = LOP_const, .imm.f = value}, t);
}

LVal l_bool(LoopBuilder *b, bool value) { return l_int(b, lt_scalar(DT_bool), value); }

LVal l_addr(LoopBuilder *b, const char *symbol, LType pointer) {
    return any_inst(b, (LInst){.op = LOP_symbol_addr, .imm.text = intern(b->cx, symbol)}, pointer);
}

LVal l_un(LoopBuilder *b, LOp op, LVal x) {
    LType t = loop_type(b, x);
    if (lop_info[op].class_ == LC_VECTOR) t.lanes = 1; /* reduce_* */
    return l_inst(b, op, t, &x, 1, 0);
}

LVal l_bin(LoopBuilder *b, LOp op, LVal x, LVal y) {
    uint32_t nx = loop_type(b, x).lanes, ny = loop_type(b, y).lanes;
    if (nx == 1 && ny > 1) x = l_splat(b, x, ny);
    if (ny == 1 && nx > 1) y = l_splat(b, y, nx);
    LType t = loop_type(b, x);
    if (lop_info[op].class_ == LC_COMPARE) t = lt_vector(DT_bool, t.lanes);
    return l_inst(b, op, t, (LVal[]){x, y}, 2, 0);
}

static uint32_t most_lanes(LoopBuilder *b, const LVal *in, uint32_t n) {
    uint32_t lanes = 1;
    for (uint32_t i = 0; i < n; i++)
        if (loop_type(b, in[i]).lanes > lanes) lanes = loop_type(b, in[i]).lanes;
    return lanes;
}

static LVal ternary(LoopBuilder *b, LOp op, LVal x, LVal y, LVal z) {
    LVal in[] = {x, y, z};
    uint32_t lanes = most_lanes(b, in, 3);
    for (uint32_t i = 0; i < 3; i++) in[i] = l_splat(b, in[i], lanes);
    return l_inst(b, op, loop_type(b, in[1]), in, 3, 0);
}

LVal l_fma(LoopBuilder *b, LVal x, LVal y, LVal z) { return ternary(b, LOP_fma, x, y, z); }

static LVal dot(LoopBuilder *b, LOp op, LVal sum, LVal x, LVal w) {
    uint32_t lanes = loop_type(b, sum).lanes;
    LVal in[] = {sum, l_splat(b, x, lanes), l_splat(b, w, lanes)};
    return l_inst(b, op, loop_type(b, sum), in, 3, 0);
}

LVal l_dot_bf16(LoopBuilder *b, LVal sum, LVal x, LVal w) { return dot(b, LOP_dot_bf16, sum, x, w); }
LVal l_dot_u8(LoopBuilder *b, LVal sum, LVal x, LVal w) { return dot(b, LOP_dot_u8, sum, x, w); }

LVal l_select(LoopBuilder *b, LVal c, LVal x, LVal y) { return ternary(b, LOP_select, c, x, y); }

LVal l_convert(LoopBuilder *b, LVal x, DType to) {
    return l_inst(b, LOP_convert, lt_vector(to, loop_type(b, x).lanes), &x, 1, 0);
}

LVal l_bitcast(LoopBuilder *b, LVal x, DType to) {
    return l_inst(b, LOP_bitcast, lt_vector(to, loop_type(b, x).lanes), &x, 1, 0);
}

LVal l_lane_mask(LoopBuilder *b, LVal n, uint32_t lanes) {
    return l_inst(b, LOP_lane_mask, lt_vector(DT_bool, lanes), &n, 1, 0);
}

LVal l_splat(LoopBuilder *b, LVal x, uint32_t lanes) {
    LType t = loop_type(b, x);
    return t.lanes == lanes ? x : l_inst(b, LOP_splat, lt_vector((DType)t.dtype, lanes), &x, 1, 0);
}

LVal l_shuffle(LoopBuilder *b, LVal x, LVal y, const int64_t *lanes, uint32_t n) {
    LInst inst = {.op = LOP_shuffle, .in = (LVal[]){x, y}, .n_in = 2};
    inst.imm.ints = arena_copy(b->module->arena, lanes, n * sizeof *lanes);
    inst.imm.n_ints = n;
    return any_inst(b, inst, lt_vector((DType)loop_type(b, x).dtype, n));
}

void l_tile(LoopBuilder *b, LOp op, const int64_t *tiles, uint32_t n) {
    LInst inst = {.op = op};
    inst.imm.ints = arena_copy(b->module->arena, tiles, n * sizeof *tiles);
    inst.imm.n_ints = n;
    any_inst(b, inst, (LType){0});
}

void l_tile_move(LoopBuilder *b, LOp op, uint32_t tile, LVal pointer, LVal index, LVal stride) {
    LInst inst = {.op = op, .in = (LVal[]){pointer, index, stride}, .n_in = 3};
    inst.imm.ints = arena_copy(b->module->arena, &(int64_t){tile}, sizeof(int64_t));
    inst.imm.n_ints = 1;
    any_inst(b, inst, (LType){0});
}

LVal l_lookup(LoopBuilder *b, LVal index, const double *table) {
    LInst inst = {.op = LOP_lookup, .in = &index, .n_in = 1};
    int64_t bits[TABLE];
    for (uint32_t i = 0; i < TABLE; i++) {
        float entry = (float)table[i];
        uint32_t word;
        memcpy(&word, &entry, sizeof word);
        bits[i] = word;
    }
    inst.imm.ints = arena_copy(b->module->arena, bits, sizeof bits);
    inst.imm.n_ints = TABLE;
    return any_inst(b, inst, lt_vector(DT_f32, loop_type(b, index).lanes));
}

static bool mask_is_true(LoopBuilder *b, LVal mask) {
    int64_t value = 0;
    return mask.id == 0 || (loop_const_int(b, mask, &value) && value);
}

LVal l_load(LoopBuilder *b, LVal pointer, LVal index, uint32_t lanes, LVal mask) {
    LType t = lt_vector((DType)loop_type(b, pointer).dtype, lanes);
    if (mask_is_true(b, mask)) return l_inst(b, LOP_load, t, (LVal[]){pointer, index}, 2, 0);
    return l_inst(b, LOP_load_masked, t, (LVal[]){pointer, index, l_splat(b, mask, lanes)}, 3, 0);
}

void l_store(LoopBuilder *b, LVal pointer, LVal index, LVal value, LVal mask) {
    LType none = {0, 0, 0};
    LVal in[] = {pointer, index, value, mask};
    if (mask_is_true(b, mask)) {
        l_inst(b, LOP_store, none, in, 3, 0);
        return;
    }
    in[3] = l_splat(b, mask, loop_type(b, value).lanes);
    l_inst(b, LOP_store_masked, none, in, 4, 0);
}

LVal l_gather(LoopBuilder *b, LVal pointer, LVal indices, LVal mask) {
    uint32_t lanes = loop_type(b, indices).lanes;
    LType t = lt_vector((DType)loop_type(b, pointer).dtype, lanes);
    if (lanes == 1) return l_load(b, pointer, indices, 1, mask);
    if (mask_is_true(b, mask)) return l_inst(b, LOP_gather, t, (LVal[]){pointer, indices}, 2, 0);
    return l_inst(b, LOP_gather_masked, t, (LVal[]){pointer, indices, l_splat(b, mask, lanes)}, 3, 0);
}

LVal l_offset(LoopBuilder *b, LVal pointer, LVal index) {
    return l_inst(b, LOP_offset, loop_type(b, pointer), (LVal[]){pointer, index}, 2, 0);
}

LVal l_alloc(LoopBuilder *b, DType t, int64_t elements) {
    return l_inst(b, LOP_alloc, lt_pointer(t), NULL, 0, elements);
}

LVal l_floor_div(LoopBuilder *b, LVal x, LVal y) {
    int64_t divisor = 0, dividend = 0;
    if (loop_const_int(b, y, &divisor)) {
        if (divisor <= 0) BUG(b->cx, "l_floor_div by %lld", (long long)divisor);
        if (loop_const_int(b, x, &dividend)) return l_int(b, loop_type(b, y), floor_div(dividend, divisor));
        if ((divisor & (divisor - 1)) == 0) return l_bin(b, LOP_shr, x, l_i64(b, __builtin_ctzll((uint64_t)divisor)));
    }
    /* the quotient is towards zero: one too high where the remainder is negative */
    LVal negative = l_lt(b, l_bin(b, LOP_rem, x, y), l_i64(b, 0));
    return l_sub(b, l_bin(b, LOP_div, x, y), l_convert(b, negative, DT_i64));
}

/* ---- control ------------------------------------------------------------------------------------------------------ */

static LBlock *open_block(LoopBuilder *b) {
    open_scope(b, b->scope->sharing);
    return b->block = arena_alloc(b->module->arena, sizeof *b->block);
}

static void yield(LoopBuilder *b, const LVal *values, uint32_t n) {
    if (terminated(b->block)) return; /* by return */
    require_values(b, LOP_yield, values, n);
    append(b, b->block, (LInst){.op = LOP_yield, .in = values, .n_in = n});
}

static void close_block(LoopBuilder *b, struct LoopScope *scope, LBlock *outer) {
    if (b->scope != scope) BUG(b->cx, "blocks of '%s' are not closed in the order of opening", b->func->name);
    close_scope(b);
    b->block = outer;
}

/* Appends the finished for, while or if to the outer block, with results of these types. */
static void append_results(LoopBuilder *b, LInst *inst, LVal *results, const LVal *typed_as, uint32_t n) {
    LVal *out = arena_new_array(b->module->arena, LVal, n);
    for (uint32_t i = 0; i < n; i++) out[i] = results[i] = new_value(b, loop_type(b, typed_as[i]));
    inst->out = out;
    inst->n_out = n;
    append(b, b->block, *inst);
}

/* Opens the body of a loop whose block has `extra` (index) and the carried arguments. */
static LVal *open_loop(LoopBuilder *b, LFor *f, LVal *carried, uint32_t n, uint32_t extra) {
    require_values(b, f->inst.op, carried, n);
    f->outer = b->block;
    f->inst.n_blocks = 1;
    LBlock *body = f->inst.blocks[0] = open_block(b);
    f->scope = b->scope;
    LVal *args = arena_new_array(b->module->arena, LVal, n + extra);
    if (extra) args[0] = new_value(b, lt_scalar(DT_i64));
    for (uint32_t i = 0; i < n; i++) args[extra + i] = new_value(b, loop_type(b, carried[i]));
    body->n_args = n + extra;
    body->args = args;
    for (uint32_t i = 0; i < n; i++) carried[i] = args[extra + i];
    return args;
}

static void require_carried(LoopBuilder *b, const LFor *f, const LVal *carried, uint32_t n, uint32_t extra) {
    const LBlock *body = f->inst.blocks[0];
    if (n + extra != body->n_args) BUG(b->cx, "a loop of '%s' carries another number of values", b->func->name);
    for (uint32_t i = 0; i < n; i++)
        if (!lt_same(loop_type(b, carried[i]), loop_type(b, body->args[extra + i])))
            BUG(b->cx, "carried value %u of a loop of '%s' changes its type", i, b->func->name);
}

LFor l_for(LoopBuilder *b, LVal begin, LVal end, int64_t step, LoopKind kind, LVal *carried, uint32_t n, LVal *index) {
    LFor f = {0};
    LVal *in = arena_new_array(b->module->arena, LVal, n + 2);
    in[0] = begin;
    in[1] = end;
    for (uint32_t i = 0; i < n; i++) in[i + 2] = carried[i];
    require_values(b, LOP_for, in, n + 2);
    if (step <= 0) BUG(b->cx, "a for of '%s' has step %lld", b->func->name, (long long)step);
    f.inst = (LInst){.op = LOP_for, .kind = (uint8_t)kind, .in = in, .n_in = n + 2, .imm.i = step};
    LVal *args = open_loop(b, &f, carried, n, 1);
    if (index) *index = args[0];
    return f;
}

void l_for_end(LoopBuilder *b, LFor *f, LVal *carried, uint32_t n) {
    require_carried(b, f, carried, n, 1);
    yield(b, carried, n);
    close_block(b, f->scope, f->outer);
    append_results(b, &f->inst, carried, f->inst.in + 2, n);
}

LFor l_while(LoopBuilder *b, LVal *carried, uint32_t n) {
    LFor f = {0};
    f.inst = (LInst){.op = LOP_while, .in = arena_copy(b->module->arena, carried, n * sizeof *carried), .n_in = n};
    open_loop(b, &f, carried, n, 0);
    return f;
}

void l_while_end(LoopBuilder *b, LFor *f, LVal again, LVal *carried, uint32_t n) {
    LVal *values = arena_new_array(b->module->arena, LVal, n + 1);
    require_carried(b, f, carried, n, 0);
    values[0] = again;
    for (uint32_t i = 0; i < n; i++) values[i + 1] = carried[i];
    yield(b, values, n + 1);
    close_block(b, f->scope, f->outer);
    append_results(b, &f->inst, carried, f->inst.in, n);
}

LIf l_if(LoopBuilder *b, LVal condition) {
    require_values(b, LOP_if, &condition, 1);
    LIf f = {.outer = b->block};
    f.inst = (LInst){.op = LOP_if, .n_blocks = 2, .n_in = 1};
    f.inst.in = arena_copy(b->module->arena, &condition, sizeof condition);
    f.inst.blocks[0] = open_block(b);
    f.scope = b->scope;
    return f;
}

void l_else(LoopBuilder *b, LIf *f, const LVal *values, uint32_t n) {
    if (f->inst.blocks[1]) BUG(b->cx, "l_else twice in '%s'", b->func->name);
    yield(b, values, n);
    close_block(b, f->scope, f->outer);
    f->inst.blocks[1] = open_block(b);
    f->scope = b->scope;
}

void l_if_end(LoopBuilder *b, LIf *f, const LVal *values, uint32_t n, LVal *results) {
    if (!f->inst.blocks[1]) BUG(b->cx, "l_if_end without l_else in '%s'", b->func->name);
    yield(b, values, n);
    const LInst *first = &vec_last(&f->inst.blocks[0]->insts);
    const LVal *typed_as = values;
    if (first->op == LOP_yield) {
        if (first->n_in != n)
            BUG(b->cx, "the branches of an if of '%s' yield %u and %u values", b->func->name, first->n_in, n);
        typed_as = first->in;
    }
    require_values(b, LOP_if, typed_as, n);
    close_block(b, f->scope, f->outer);
    append_results(b, &f->inst, results, typed_as, n);
}

void l_copy_bytes(LoopBuilder *b, LVal to, LVal from, LVal bytes) {
    LVal i, full = l_bin(b, LOP_and, bytes, l_i64(b, -16));
    LFor loop = l_for(b, l_i64(b, 0), full, 16, LOOP_SERIAL, NULL, 0, &i);
    l_store(b, to, i, l_load(b, from, i, 16, (LVal){0}), (LVal){0});
    l_for_end(b, &loop, NULL, 0);
    loop = l_for(b, full, bytes, 1, LOOP_SERIAL, NULL, 0, &i);
    l_store(b, to, i, l_load(b, from, i, 1, (LVal){0}), (LVal){0});
    l_for_end(b, &loop, NULL, 0);
}

void l_return(LoopBuilder *b, LVal value) {
    if (value.id) require_values(b, LOP_return, &value, 1);
    LType found = loop_type(b, value);
    if (!lt_same(found, b->func->result) && (found.dtype || b->func->result.dtype))
        BUG(b->cx, "'%s' returns another type than it declares", b->func->name);
    append(b, b->block, (LInst){.op = LOP_return, .in = &value, .n_in = value.id != 0});
}

LVal l_call(LoopBuilder *b, const char *function, LType result, const LVal *in, uint32_t n) {
    return any_inst(b, (LInst){.op = LOP_call, .in = in, .n_in = n, .imm.text = intern(b->cx, function)}, result);
}

LVal l_launch(LoopBuilder *b, const char *kernel, const LVal *in, uint32_t n) {
    LInst inst = {.op = LOP_launch, .in = in, .n_in = n, .imm.text = intern(b->cx, kernel)};
    return any_inst(b, inst, lt_scalar(DT_i32));
}

void l_defer(LoopBuilder *b, const char *kernel, const LVal *in, uint32_t n) {
    (void)any_inst(b, (LInst){.op = LOP_defer, .in = in, .n_in = n, .imm.text = intern(b->cx, kernel)}, (LType){0});
}
