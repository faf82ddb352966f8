/* loop_interp_ops.c: instructions of the Loop IR interpreter that compute values or touch memory.
 *
 * A value is one slot per lane.  f32 is computed in float: the bits are those of compiled code.  Pointers are host
 * addresses; arithmetic on them is free, each access is checked. */
#include "loop_interp.h"
#include <math.h>
#include <string.h>

/* ---- values ------------------------------------------------------------------------------------------------------- */

static bool run_const(LoopInterp *in, Frame *frame, const LInst *inst) {
    LSlot *out = slots(frame, inst->out[0]);
    LType t = value_type(frame, inst->out[0]);
    if (inst->op == LOP_symbol_addr) {
        out->u = interp_symbol(in, inst->imm.text);
        return true;
    }
    LSlot value = loop_const_slot(inst, t.pointer ? DT_u64 : (DType)t.dtype);
    for (uint32_t l = 0; l < t.lanes; l++) {
        if (inst->op == LOP_iota) value.i = loop_wrap((DType)t.dtype, l);
        out[l] = value;
    }
    return true;
}

/* The instructions that fill the inner loops, without a call per lane. */
static bool run_f32(LOp op, uint32_t lanes, const LSlot *a, const LSlot *b, const LSlot *c, LSlot *out) {
    switch ((int)op) {
    case LOP_fma:
        for (uint32_t l = 0; l < lanes; l++) out[l].f32 = fmaf(a[l].f32, b[l].f32, c[l].f32);
        return true;
    case LOP_add:
        for (uint32_t l = 0; l < lanes; l++) out[l].f32 = a[l].f32 + b[l].f32;
        return true;
    case LOP_sub:
        for (uint32_t l = 0; l < lanes; l++) out[l].f32 = a[l].f32 - b[l].f32;
        return true;
    case LOP_mul:
        for (uint32_t l = 0; l < lanes; l++) out[l].f32 = a[l].f32 * b[l].f32;
        return true;
    default: return false;
    }
}

static bool run_pointer_element(Frame *frame, const LInst *inst) {
    const LSlot *a = slots(frame, inst->in[0]), *b = slots(frame, inst->in[1]);
    LSlot *out = slots(frame, inst->out[0]);
    if (inst->op == LOP_select)
        *out = a->u ? *b : *slots(frame, inst->in[2]);
    else
        out->i = (a->u == b->u) == (inst->op == LOP_eq);
    return true;
}

static bool run_element(LoopInterp *in, Frame *frame, const LInst *inst) {
    LType to = value_type(frame, inst->out[0]), from = value_type(frame, inst->in[inst->op == LOP_select ? 1 : 0]);
    if (from.pointer) return run_pointer_element(frame, inst);
    const LSlot *a = slots(frame, inst->in[0]);
    const LSlot *b = inst->n_in > 1 ? slots(frame, inst->in[1]) : a,
                *c = inst->n_in > 2 ? slots(frame, inst->in[2]) : a;
    LSlot *out = slots(frame, inst->out[0]);
    if (from.dtype == DT_f32 && run_f32(inst->op, to.lanes, a, b, c, out)) return true;
    for (uint32_t l = 0; l < to.lanes; l++) {
        LSlot operands[3] = {a[l], b[l], c[l]};
        if (loop_element(inst->op, (DType)from.dtype, (DType)to.dtype, operands, &out[l])) continue;
        if (inst->op == LOP_div || inst->op == LOP_rem)
            return interp_fail(in, frame, inst, "divides by zero in lane %u", l);
        return interp_fail(in, frame, inst, "shifts by %lld, expected 0 to %d", (long long)b[l].i,
                           dtype_info[from.dtype].bits - 1);
    }
    return true;
}

static LOp reduced_by(LOp op) {
    switch ((int)op) {
    case LOP_reduce_add: return LOP_add;
    case LOP_reduce_mul: return LOP_mul;
    case LOP_reduce_max: return LOP_max;
    case LOP_reduce_min: return LOP_min;
    case LOP_reduce_and: return LOP_and;
    default: return LOP_or;
    }
}

static bool run_reduce(LOp op, LType t, const LSlot *x, LSlot *out) {
    LSlot lane[MAX_LANES];
    DType dtype = (DType)t.dtype;
    memcpy(lane, x, t.lanes * sizeof *x);
    for (uint32_t half = t.lanes / 2; half >= 1; half /= 2)
        for (uint32_t l = 0; l < half; l++) {
            LSlot operands[2] = {lane[l], lane[l + half]};
            if (!loop_element(reduced_by(op), dtype, dtype, operands, &lane[l])) return false;
        }
    *out = lane[0];
    return true;
}

static bool run_vector(Frame *frame, const LInst *inst) {
    LType from = value_type(frame, inst->in[0]), to = value_type(frame, inst->out[0]);
    const LSlot *x = slots(frame, inst->in[0]);
    LSlot *out = slots(frame, inst->out[0]);
    switch ((int)inst->op) {
    case LOP_splat:
        for (uint32_t l = 0; l < to.lanes; l++) out[l] = *x;
        return true;
    case LOP_extract: *out = x[inst->imm.i]; return true;
    case LOP_insert:
        memcpy(out, x, to.lanes * sizeof *x);
        out[inst->imm.i] = *slots(frame, inst->in[1]);
        return true;
    case LOP_shuffle: {
        const LSlot *y = slots(frame, inst->in[1]);
        for (uint32_t l = 0; l < to.lanes; l++) {
            int64_t lane = inst->imm.ints[l];
            out[l] = lane < from.lanes ? x[lane] : y[lane - from.lanes];
        }
        return true;
    }
    case LOP_lookup:
        for (uint32_t l = 0; l < to.lanes; l++) {
            uint32_t word = (uint32_t)inst->imm.ints[x[l].u % TABLE];
            memcpy(&out[l].f32, &word, sizeof word);
        }
        return true;
    case LOP_lane_mask:
        for (uint32_t l = 0; l < to.lanes; l++) out[l].u = (int64_t)l < x->i;
        return true;
    default: return run_reduce(inst->op, from, x, out);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static uintptr_t address(uintptr_t pointer, DType t, int64_t index) {
    return pointer + (uintptr_t)index * (uintptr_t)dtype_bytes(t);
}

bool interp_touch(LoopInterp *in, const Frame *frame, const LInst *inst, uintptr_t at, uint64_t bytes, uint64_t align,
                  bool write) {
    if (at % align)
        return interp_fail(in, frame, inst, "the address is %llu bytes beyond a multiple of %llu, its alignment",
                           (unsigned long long)(at % align), (unsigned long long)align);
    Text problem = {.arena = in->arena};
    return memory_touch(&in->memory, at, bytes, write, &problem) || interp_fail(in, frame, inst, "%s", problem.at);
}

static LSlot read_element(DType t, const void *at) {
    LSlot s = {0};
    switch (dtype_info[t].bits) {
    case 8: s.u = *(const uint8_t *)at; break;
    case 16: {
        uint16_t bits;
        memcpy(&bits, at, sizeof bits);
        s.u = bits;
        break;
    }
    case 32: {
        uint32_t bits;
        memcpy(&bits, at, sizeof bits);
        s.u = bits;
        break;
    }
    default: memcpy(&s.u, at, sizeof s.u); return s;
    }
    if (t == DT_f32) {
        uint32_t bits = (uint32_t)s.u;
        memcpy(&s.f32, &bits, sizeof bits);
    } else if (dtype_is_signed(t)) {
        s.i = loop_wrap(t, s.i);
    }
    return s;
}

static void write_element(DType t, void *at, LSlot s) {
    switch (dtype_info[t].bits) {
    case 8: *(uint8_t *)at = (uint8_t)s.u; return;
    case 16: {
        uint16_t bits = (uint16_t)s.u;
        memcpy(at, &bits, sizeof bits);
        return;
    }
    case 32:
        if (t == DT_f32) {
            memcpy(at, &s.f32, sizeof s.f32);
        } else {
            uint32_t bits = (uint32_t)s.u;
            memcpy(at, &bits, sizeof bits);
        }
        return;
    default: memcpy(at, &s.u, sizeof s.u);
    }
}

static bool read_lane(LoopInterp *in, Frame *frame, const LInst *inst, DType t, uintptr_t at, LSlot *out) {
    *out = read_element(t, (const void *)at);
    return t != DT_bool || out->u <= 1 ||
           interp_fail(in, frame, inst, "reads bool %u, expected 0 or 1", (unsigned)out->u);
}

static bool load_all(LoopInterp *in, Frame *frame, const LInst *inst) {
    LType t = value_type(frame, inst->out[0]);
    LSlot *out = slots(frame, inst->out[0]);
    uint64_t each = (uint64_t)dtype_bytes((DType)t.dtype);
    uintptr_t at = address(slots(frame, inst->in[0])->u, (DType)t.dtype, slots(frame, inst->in[1])->i);
    if (!interp_touch(in, frame, inst, at, each * t.lanes, inst->imm.i ? (uint64_t)inst->imm.i : each, false)) return false;
    if (t.dtype == DT_f32) {
        for (uint32_t l = 0; l < t.lanes; l++)
            memcpy(&out[l].f32, (const uint8_t *)at + l * sizeof(float), sizeof(float));
        return true;
    }
    for (uint32_t l = 0; l < t.lanes; l++)
        if (!read_lane(in, frame, inst, (DType)t.dtype, at + l * each, &out[l])) return false;
    return true;
}

static bool store_all(LoopInterp *in, Frame *frame, const LInst *inst) {
    LType t = value_type(frame, inst->in[2]);
    const LSlot *x = slots(frame, inst->in[2]);
    uint64_t each = (uint64_t)dtype_bytes((DType)t.dtype);
    uintptr_t at = address(slots(frame, inst->in[0])->u, (DType)t.dtype, slots(frame, inst->in[1])->i);
    if (!interp_touch(in, frame, inst, at, each * t.lanes, inst->imm.i ? (uint64_t)inst->imm.i : each, true)) return false;
    for (uint32_t l = 0; l < t.lanes; l++) write_element((DType)t.dtype, (void *)(at + l * each), x[l]);
    return true;
}

/* Lane by lane: masks, gathers, scatters.  index_of: one index for all lanes in sequence, or one a lane. */
static bool each_lane(LoopInterp *in, Frame *frame, const LInst *inst, bool write, bool indexed, int mask_operand) {
    LVal value = write ? inst->in[2] : inst->out[0];
    LType t = value_type(frame, value);
    DType dtype = (DType)t.dtype;
    LSlot *x = slots(frame, value);
    const LSlot *index = slots(frame, inst->in[1]),
                *mask = mask_operand < 0 ? NULL : slots(frame, inst->in[mask_operand]);
    uintptr_t pointer = slots(frame, inst->in[0])->u;
    uint64_t each = (uint64_t)dtype_bytes(dtype);
    if (!indexed && inst->imm.i && address(pointer, dtype, index->i) % (uint64_t)inst->imm.i)
        return interp_fail(in, frame, inst, "the address is no multiple of %lld, its alignment",
                           (long long)inst->imm.i);
    for (uint32_t l = 0; l < t.lanes; l++) {
        int64_t at_index = indexed ? index[l].i : (int64_t)(index->u + l);
        uintptr_t at = address(pointer, dtype, at_index);
        if (mask && !mask[l].u) {
            if (!write) x[l] = (LSlot){0};
            continue;
        }
        if (!interp_touch(in, frame, inst, at, each, each, write)) return false;
        if (write)
            write_element(dtype, (void *)at, x[l]);
        else if (!read_lane(in, frame, inst, dtype, at, &x[l]))
            return false;
    }
    return true;
}

static bool run_alloc(LoopInterp *in, Frame *frame, const LInst *inst) {
    LSlot *out = slots(frame, inst->out[0]);
    for (Alloc *a = frame->allocs; a; a = a->next) {
        if (a->inst != inst) continue;
        memory_renew(&in->memory, a->base); /* in a loop: the same memory, undefined again */
        out->u = a->base;
        return true;
    }
    Alloc *a = in->spare_allocs;
    if (a)
        in->spare_allocs = a->next;
    else
        a = arena_alloc(in->arena, sizeof *a);
    uint64_t bytes = (uint64_t)inst->imm.i * (uint64_t)dtype_bytes((DType)value_type(frame, inst->out[0]).dtype);
    uintptr_t base = memory_push(&in->memory, bytes);
    if (!base)
        return interp_fail(in, frame, inst, "%llu bytes exceed the interpreter's stack", (unsigned long long)bytes);
    *a = (Alloc){frame->allocs, inst, base, bytes};
    frame->allocs = a;
    out->u = base;
    return true;
}

static bool run_pointer_access(LoopInterp *in, Frame *frame, const LInst *inst) {
    bool write = inst->op == LOP_store_pointer;
    uintptr_t at = address(slots(frame, inst->in[0])->u, DT_u64, slots(frame, inst->in[1])->i);
    if (!interp_touch(in, frame, inst, at, 8, 8, write)) return false;
    if (write)
        memcpy((void *)at, &slots(frame, inst->in[2])->u, 8);
    else
        memcpy(&slots(frame, inst->out[0])->u, (const void *)at, 8);
    return true;
}

static bool run_memory(LoopInterp *in, Frame *frame, const LInst *inst) {
    switch ((int)inst->op) {
    case LOP_load: return load_all(in, frame, inst);
    case LOP_store:
    case LOP_store_stream: return store_all(in, frame, inst);
    case LOP_load_masked: return each_lane(in, frame, inst, false, false, 2);
    case LOP_gather: return each_lane(in, frame, inst, false, true, -1);
    case LOP_gather_masked: return each_lane(in, frame, inst, false, true, 2);
    case LOP_store_masked: return each_lane(in, frame, inst, true, false, 3);
    case LOP_scatter_masked: return each_lane(in, frame, inst, true, true, 3);
    case LOP_offset: {
        LType t = value_type(frame, inst->in[0]);
        slots(frame, inst->out[0])->u =
            address(slots(frame, inst->in[0])->u, (DType)t.dtype, slots(frame, inst->in[1])->i);
        return true;
    }
    case LOP_recast: *slots(frame, inst->out[0]) = *slots(frame, inst->in[0]); return true;
    case LOP_alloc: return run_alloc(in, frame, inst);
    case LOP_load_pointer:
    case LOP_store_pointer: return run_pointer_access(in, frame, inst);
    default: return true; /* prefetch, fence */
    }
}

bool interp_op(LoopInterp *in, Frame *frame, const LInst *inst) {
    switch (lop_info[inst->op].class_) {
    case LC_CONST: return run_const(in, frame, inst);
    case LC_UNARY:
    case LC_BINARY:
    case LC_TERNARY:
    case LC_COMPARE:
    case LC_CAST: return run_element(in, frame, inst);
    case LC_VECTOR: return run_vector(frame, inst);
    case LC_MEMORY: return run_memory(in, frame, inst);
    case LC_TILE: return interp_tile(in, frame, inst);
    case LC_NONE:
    case LC_CONTROL: break;
    }
    return interp_fail(in, frame, inst, "no instruction to compute");
}
