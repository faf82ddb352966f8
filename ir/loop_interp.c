/* loop_interp.c: runs Loop IR, checking what compiled code takes for granted: bounds, alignment, initialisation, races.
 *
 * This file has set-up, control flow, calls and launches.  A launch cuts its range at multiples of the grain into pieces
 * of random length, runs them in random order on random workers, and takes the first non-zero status by position.  The
 * module is verified first, so that nothing here checks types.  Random numbers are fixed: runs repeat. */
#include "loop_interp.h"
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 200, VALUE_CHUNK = 1 << 16, PIECES_PER_WORKER = 2, MAX_WORKERS = 64, FUEL_STEP = 4096 };
typedef enum Flow { FLOW_NEXT, FLOW_RETURN, FLOW_FAIL } Flow;

static Flow run_block(LoopInterp *in, Frame *frame, const LBlock *block);
static bool run_function(LoopInterp *in, uint32_t index, const LSlot *arguments);

bool interp_fail(LoopInterp *in, const Frame *frame, const LInst *inst, const char *fmt, ...) {
    Arena *arena = arena_new(in->cx);
    Text line = text_new(arena);
    char message[512];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof message, fmt, args) < 0) message[0] = 0;
    va_end(args);
    loop_print_inst(frame->f, inst, &line);
    diag_error(in->cx, (Loc){0}, "loop function '%s': `%s`: %s", frame->f->name, line.at, message);
    arena_free(arena);
    return false;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------- */

static uint32_t symbol_number(LoopInterp *in, const char *name) {
    uint32_t at = map_get(&in->symbols, (uintptr_t)name); /* names in instructions are interned already */
    return at ? at : map_get(&in->symbols, (uintptr_t)intern(in->cx, name));
}

/* In place where the module's bytes can serve, else an aligned copy. */
static uintptr_t place_data(LoopInterp *in, const LData *d) {
    const uint8_t *bytes = loop_data_bytes(in->m, d);
    bool copied = (d->flags & LD_WRITABLE) || d->n_relocs || !bytes || (uintptr_t)bytes % d->align;
    if (!copied) return (uintptr_t)bytes;
    uint8_t *at = arena_alloc(in->arena, d->size + d->align);
    at += (d->align - (uintptr_t)at % d->align) % d->align;
    if (bytes && d->size) memcpy(at, bytes, d->size);
    return (uintptr_t)at;
}

/* Data come to memory when code or other data first speak of them: weights are large, and few functions need them. */
static uintptr_t data_address(LoopInterp *in, uint32_t i) {
    const LData *d = &in->m->datas.at[i];
    if (in->data[i]) return in->data[i];
    in->data[i] = place_data(in, d);
    memory_add(&in->memory, in->data[i], d->size, d->flags & LD_WRITABLE, true, d->name);
    for (uint32_t k = 0; k < d->n_relocs; k++) {
        uint64_t target = interp_symbol(in, d->relocs[k].symbol) + (uint64_t)d->relocs[k].addend;
        memcpy((uint8_t *)in->data[i] + d->relocs[k].offset, &target, sizeof target);
    }
    return in->data[i];
}

uintptr_t interp_symbol(LoopInterp *in, const char *name) {
    uint32_t at = symbol_number(in, name);
    REQUIRE(in->cx, at != 0);
    return at <= in->m->funcs.n ? (uintptr_t)in->m->funcs.at[at - 1] : data_address(in, at - 1 - in->m->funcs.n);
}

LoopInterp *loop_interp_new(const LoopModule *m, LoopExternFn *external, void *user) {
    Arena *arena = arena_new(m->cx);
    LoopInterp *in = arena_alloc(arena, sizeof *in);
    in->m = m;
    in->cx = m->cx;
    in->arena = arena;
    in->external = external;
    in->user = user;
    in->workers = 4;
    in->random = UINT64_C(0x243F6A8885A308D3);
    in->memory = memory_new(m->cx, arena);
    in->symbols = map_new(arena);
    in->functions = map_new(arena);
    in->valid = loop_verify(m);
    if (!in->valid) return in;
    in->layouts = arena_new_array(arena, Layout, m->funcs.n + 1);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        map_set(&in->symbols, (uintptr_t)intern(m->cx, m->funcs.at[i]->name), i + 1);
        map_set(&in->functions, (uintptr_t)m->funcs.at[i], i + 1);
    }
    for (uint32_t i = 0; i < m->datas.n; i++)
        map_set(&in->symbols, (uintptr_t)intern(m->cx, m->datas.at[i].name), m->funcs.n + i + 1);
    in->data = arena_new_array(arena, uintptr_t, m->datas.n + 1);
    return in;
}

void loop_interp_threads(LoopInterp *in, uint32_t workers) {
    in->workers = workers < 1 ? 1 : workers > MAX_WORKERS ? MAX_WORKERS : workers;
}

void loop_interp_memory(LoopInterp *in, void *base, uint64_t bytes, bool writable, bool initialised) {
    memory_add(&in->memory, (uintptr_t)base, bytes, writable, initialised, NULL);
}

void loop_interp_forget(LoopInterp *in, void *base) { memory_remove(&in->memory, (uintptr_t)base); }

static const Layout *layout_of(LoopInterp *in, uint32_t index) {
    Layout *layout = &in->layouts[index];
    const LFunc *f = in->m->funcs.at[index];
    if (layout->first) return layout;
    layout->first = arena_new_array(in->arena, uint32_t, f->types.n + 1);
    for (uint32_t i = 1; i < f->types.n; i++) {
        layout->first[i] = layout->n;
        layout->n += f->types.at[i].lanes;
    }
    return layout;
}

/* ---- the stack of values ------------------------------------------------------------------------------------------ */

typedef struct Mark { ValueChunk *chunk; uint32_t used; } Mark;

static Mark values_mark(const LoopInterp *in) { return (Mark){in->values, in->values ? in->values->used : 0}; }

static LSlot *values_push(LoopInterp *in, uint32_t n) {
    ValueChunk *c = in->values;
    if (!c || c->size - c->used < n) {
        c = in->spare_values;
        if (c && c->size >= n) {
            in->spare_values = c->before;
        } else {
            c = arena_alloc(in->arena, sizeof *c);
            c->size = n > VALUE_CHUNK ? n : VALUE_CHUNK;
            c->at = arena_new_array(in->arena, LSlot, c->size);
        }
        c->used = 0;
        c->before = in->values;
        in->values = c;
    }
    c->used += n;
    return c->at + c->used - n;
}

static void values_reset(LoopInterp *in, Mark mark) {
    while (in->values != mark.chunk) {
        ValueChunk *c = in->values;
        in->values = c->before;
        c->before = in->spare_values;
        in->spare_values = c;
    }
    if (in->values) in->values->used = mark.used;
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

static LSlot normal_slot(LType t, LSlot s) {
    if (!t.pointer && t.dtype != DT_none && !dtype_is_float((DType)t.dtype)) s.i = loop_wrap((DType)t.dtype, s.i);
    return s;
}

static bool run_extern(LoopInterp *in, const LFunc *f, const LSlot *arguments) {
    LSlot result = {0};
    uint32_t errors = diag_error_count(in->cx);
    if (!in->external) {
        diag_error(in->cx, (Loc){0}, "loop function '%s' is extern, and the interpreter was given no externs", f->name);
        return false;
    }
    if (!in->external(in->user, in, f->name, arguments, f->n_params, &result)) {
        if (diag_error_count(in->cx) == errors) diag_error(in->cx, (Loc){0}, "extern function '%s' failed", f->name);
        return false;
    }
    in->result = normal_slot(f->result, result);
    return true;
}

static bool parameters_aligned(LoopInterp *in, const LFunc *f, const LSlot *arguments) {
    for (uint32_t i = 0; i < f->n_params; i++) {
        const LParam *p = &f->params[i];
        if (!p->align || !p->type.pointer || arguments[i].u % p->align == 0) continue;
        diag_error(in->cx, (Loc){0}, "loop function '%s': parameter %u ('%s') is not aligned to %u bytes", f->name, i,
                   p->name ? p->name : "", p->align);
        return false;
    }
    return true;
}

static void release_allocs(LoopInterp *in, Frame *frame) {
    while (frame->allocs) {
        Alloc *a = frame->allocs;
        frame->allocs = a->next;
        memory_pop(&in->memory, a->base, a->bytes);
        a->next = in->spare_allocs;
        in->spare_allocs = a;
    }
}

/* The result is left in in->result. */
static bool run_function(LoopInterp *in, uint32_t index, const LSlot *arguments) {
    const LFunc *f = in->m->funcs.at[index];
    in->result = (LSlot){0};
    if (!parameters_aligned(in, f, arguments)) return false;
    if (!f->body) return run_extern(in, f, arguments);
    if (in->depth >= MAX_DEPTH) {
        diag_error(in->cx, (Loc){0}, "loop function '%s': calls nest deeper than %d", f->name, MAX_DEPTH);
        return false;
    }
    in->depth++;
    Mark mark = values_mark(in);
    const Layout *layout = layout_of(in, index);
    Frame frame = {.f = f, .first = layout->first};
    frame.values = values_push(in, layout->n);
    for (uint32_t i = 0; i < f->n_params; i++) *slots(&frame, f->params[i].value) = arguments[i];
    Flow flow = run_block(in, &frame, f->body);
    release_allocs(in, &frame);
    values_reset(in, mark);
    in->depth--;
    return flow == FLOW_RETURN;
}

static bool call_with(LoopInterp *in, Frame *frame, const LInst *inst, uint32_t index, uint32_t first) {
    Mark mark = values_mark(in);
    LSlot *arguments = values_push(in, inst->n_in + 1);
    for (uint32_t i = first; i < inst->n_in; i++) arguments[i - first] = *slots(frame, inst->in[i]);
    bool ok = run_function(in, index, arguments);
    values_reset(in, mark);
    if (ok && inst->n_out) *slots(frame, inst->out[0]) = in->result;
    return ok;
}

static uint32_t function_index(LoopInterp *in, const char *name) {
    uint32_t at = symbol_number(in, name);
    REQUIRE(in->cx, at != 0 && at <= in->m->funcs.n);
    return at - 1;
}

static bool call_pointer(LoopInterp *in, Frame *frame, const LInst *inst) {
    uint32_t at = map_get(&in->functions, slots(frame, inst->in[0])->u);
    if (!at) return interp_fail(in, frame, inst, "the pointer is no function of this module");
    const LFunc *callee = in->m->funcs.at[at - 1];
    bool same = callee->n_params == inst->n_in - 1 && (inst->n_out == 1) == (callee->result.dtype != DT_none);
    for (uint32_t i = 0; same && i < callee->n_params; i++)
        same = lt_same(callee->params[i].type, value_type(frame, inst->in[i + 1]));
    if (same && inst->n_out) same = lt_same(callee->result, value_type(frame, inst->out[0]));
    if (!same)
        return interp_fail(in, frame, inst, "the types are not those of '%s', where the pointer leads", callee->name);
    return call_with(in, frame, inst, at - 1, 1);
}

/* ---- launch ------------------------------------------------------------------------------------------------------- */

typedef struct Piece { int64_t low, high; } Piece;
enum { MAX_PIECES = MAX_WORKERS * PIECES_PER_WORKER };

static uint64_t random_below(LoopInterp *in, uint64_t n) { /* xorshift64* */
    in->random ^= in->random >> 12;
    in->random ^= in->random << 25;
    in->random ^= in->random >> 27;
    return (in->random * UINT64_C(0x2545F4914F6CDD1D) >> 11) % n;
}

/* Cuts [0, extent) into at most so many pieces and shuffles them. */
static uint32_t cut_range(LoopInterp *in, int64_t extent, int64_t most, Piece *piece) {
    if (most <= 1 || extent <= 1 || in->workers == 1) {
        piece[0] = (Piece){0, extent};
        return 1;
    }
    int64_t grain = most < extent ? (extent - 1) / most + 1 : 1;
    int64_t units = extent / grain + (extent % grain != 0), at = 0;
    int64_t average = units / (in->workers * PIECES_PER_WORKER) + 1;
    uint32_t n = 0;
    while (at < units) {
        int64_t length = 1 + (int64_t)random_below(in, (uint64_t)(2 * average - 1));
        if (length > units - at || n == MAX_PIECES - 1) length = units - at;
        piece[n++] = (Piece){at * grain, length == units - at ? extent : (at + length) * grain};
        at += length;
    }
    for (uint32_t i = n; i > 1; i--) {
        uint32_t other = (uint32_t)random_below(in, i);
        Piece swap = piece[i - 1];
        piece[i - 1] = piece[other];
        piece[other] = swap;
    }
    return n;
}

/* Over the range, in pieces.  together: other kernels run at the same time, so what one worker touches counts as well. */
static bool run_pieces(LoopInterp *in, uint32_t index, LSlot *arguments, int64_t extent, int64_t most, bool together,
                       int64_t *status) {
    Piece piece[MAX_PIECES];
    uint32_t n = cut_range(in, extent, most, piece), offset = (uint32_t)random_below(in, in->workers);
    uint32_t stamp = in->memory.launch + 1 + in->deferred * in->workers;
    int64_t failed_at = INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        /* the first pieces go to different workers, so that even two pieces show a race */
        uint32_t worker = n == 1            ? 0
                          : i < in->workers ? (i + offset) % in->workers
                                            : (uint32_t)random_below(in, in->workers);
        arguments[0].i = piece[i].low;
        arguments[1].i = piece[i].high;
        arguments[2].i = worker;
        in->memory.task = n == 1 && !together ? 0 : (uint16_t)(stamp + worker);
        if (!run_function(in, index, arguments)) return false;
        if (in->result.i != 0 && piece[i].low < failed_at) {
            failed_at = piece[i].low;
            *status = in->result.i;
        }
    }
    return true;
}

/* A deferred kernel runs at once; that it does not meet with those until the next launch is seen by who touches what. */
static bool launch(LoopInterp *in, Frame *frame, const LInst *inst) {
    int64_t extent = slots(frame, inst->in[1])->i, most = slots(frame, inst->in[2])->i, status = 0;
    bool deferred = inst->op == LOP_defer, ok = true;
    if (in->launching) return interp_fail(in, frame, inst, "launches while a launch is under way");
    if (!in->deferred) memory_launch(&in->memory, (deferred ? MAX_TOGETHER : 1) * in->workers);
    if (!in->deferred) in->deferred_status = 0;
    if (extent > 0) {
        Mark mark = values_mark(in);
        LSlot *arguments = values_push(in, inst->n_in);
        for (uint32_t i = 3; i < inst->n_in; i++) arguments[i] = *slots(frame, inst->in[i]);
        in->launching = true;
        ok = run_pieces(in, function_index(in, inst->imm.text), arguments, extent, most, deferred || in->deferred, &status);
        in->memory.task = 0;
        in->launching = false;
        values_reset(in, mark);
    }
    if (!in->deferred_status) in->deferred_status = status;
    in->deferred = deferred ? in->deferred + 1 : 0;
    if (!deferred) slots(frame, inst->out[0])->i = in->deferred_status;
    return ok;
}

/* ---- control ------------------------------------------------------------------------------------------------------ */

static void copy_value(Frame *frame, LVal to, LVal from) {
    memcpy(slots(frame, to), slots(frame, from), value_type(frame, to).lanes * sizeof(LSlot));
}

/* to[i] = from[i] all at once: a yield may permute the arguments it replaces. */
static void copy_values(LoopInterp *in, Frame *frame, const LVal *to, const LVal *from, uint32_t n) {
    if (n <= 1) {
        if (n) copy_value(frame, to[0], from[0]);
        return;
    }
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++) total += value_type(frame, to[i]).lanes;
    Mark mark = values_mark(in);
    LSlot *all = values_push(in, total), *at = all;
    for (uint32_t i = 0; i < n; at += value_type(frame, to[i]).lanes, i++)
        memcpy(at, slots(frame, from[i]), value_type(frame, to[i]).lanes * sizeof *at);
    at = all;
    for (uint32_t i = 0; i < n; at += value_type(frame, to[i]).lanes, i++)
        memcpy(slots(frame, to[i]), at, value_type(frame, to[i]).lanes * sizeof *at);
    values_reset(in, mark);
}

static Flow run_for(LoopInterp *in, Frame *frame, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    const LInst *end_of_body = &body->insts.at[body->insts.n - 1];
    uint32_t n = inst->n_out;
    int64_t end = slots(frame, inst->in[1])->i, i = slots(frame, inst->in[0])->i;
    copy_values(in, frame, body->args + 1, inst->in + 2, n);
    while (i < end) {
        slots(frame, body->args[0])->i = i;
        Flow flow = run_block(in, frame, body);
        if (flow != FLOW_NEXT) return flow;
        copy_values(in, frame, body->args + 1, end_of_body->in, n);
        if (!ck_add(i, inst->imm.i, &i)) break;
    }
    copy_values(in, frame, inst->out, body->args + 1, n);
    return FLOW_NEXT;
}

static Flow run_while(LoopInterp *in, Frame *frame, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    const LInst *end_of_body = &body->insts.at[body->insts.n - 1];
    uint32_t n = inst->n_out;
    copy_values(in, frame, body->args, inst->in, n);
    for (bool again = true; again;) {
        Flow flow = run_block(in, frame, body);
        if (flow != FLOW_NEXT) return flow;
        again = slots(frame, end_of_body->in[0])->u != 0;
        copy_values(in, frame, body->args, end_of_body->in + 1, n);
    }
    copy_values(in, frame, inst->out, body->args, n);
    return FLOW_NEXT;
}

static Flow run_if(LoopInterp *in, Frame *frame, const LInst *inst) {
    const LBlock *taken = inst->blocks[slots(frame, inst->in[0])->u ? 0 : 1];
    Flow flow = run_block(in, frame, taken);
    if (flow == FLOW_NEXT) copy_values(in, frame, inst->out, taken->insts.at[taken->insts.n - 1].in, inst->n_out);
    return flow;
}

static Flow run_control(LoopInterp *in, Frame *frame, const LInst *inst) {
    bool ok = true;
    switch ((int)inst->op) {
    case LOP_for: return run_for(in, frame, inst);
    case LOP_while: return run_while(in, frame, inst);
    case LOP_if: return run_if(in, frame, inst);
    case LOP_yield: return FLOW_NEXT;
    case LOP_return:
        in->result = inst->n_in ? *slots(frame, inst->in[0]) : (LSlot){0};
        return FLOW_RETURN;
    case LOP_call: ok = call_with(in, frame, inst, function_index(in, inst->imm.text), 0); break;
    case LOP_call_pointer: ok = call_pointer(in, frame, inst); break;
    default: ok = launch(in, frame, inst);
    }
    return ok ? FLOW_NEXT : FLOW_FAIL;
}

/* Spends fuel for n instructions, a few thousand at a time. */
static void spend(LoopInterp *in, uint32_t n) {
    in->steps += n;
    if (in->steps < FUEL_STEP) return;
    context_spend(in->cx, in->steps);
    in->steps = 0;
}

/* FLOW_NEXT: the block ended in yield, whose operands the owner of the block reads. */
static Flow run_block(LoopInterp *in, Frame *frame, const LBlock *block) {
    spend(in, block->insts.n);
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (lop_info[inst->op].class_ != LC_CONTROL) {
            if (!interp_op(in, frame, inst)) return FLOW_FAIL;
            continue;
        }
        Flow flow = run_control(in, frame, inst);
        if (flow != FLOW_NEXT) return flow;
    }
    return FLOW_NEXT;
}

bool loop_interp_call(LoopInterp *in, const char *function, const LSlot *arguments, uint32_t n, LSlot *result) {
    if (!in->valid) {
        diag_error(in->cx, (Loc){0}, "loop module '%s' did not verify, so '%s' cannot run", in->m->name, function);
        return false;
    }
    uint32_t at = symbol_number(in, function);
    if (!at || at > in->m->funcs.n || n != in->m->funcs.at[at - 1]->n_params) {
        diag_error(in->cx, (Loc){0}, "loop module '%s' has no function '%s' of %u parameters", in->m->name, function,
                   n);
        return false;
    }
    const LFunc *f = in->m->funcs.at[at - 1];
    Mark mark = values_mark(in);
    LSlot *copy = values_push(in, n + 1);
    for (uint32_t i = 0; i < n; i++) copy[i] = normal_slot(f->params[i].type, arguments[i]);
    in->deferred = 0;
    bool ok = run_function(in, at - 1, copy);
    values_reset(in, mark);
    if (ok && result) *result = in->result;
    return ok;
}
