/* loop_fold.c: the laws the builder applies before it writes a pure instruction.
 *
 * Every law keeps the bits: integers wrap, so their sums and products may be regrouped; of floats only what holds for
 * NaN, both zeros and infinities.  A constant result that is NaN is left to run time, because payloads differ. */
#include "loop.h"
#include <math.h>

static const LInst *const_def(const LoopBuilder *b, LVal v) {
    const LInst *def = loop_def(b, v);
    return def && def->op == LOP_const ? def : NULL;
}

static bool is_int_like(LType t) { return !t.pointer && !dtype_is_float((DType)t.dtype); }

/* Every lane is the integer `value` (under the dtype). */
static bool is_int(const LoopBuilder *b, LVal v, int64_t value) {
    int64_t found = 0;
    return loop_const_int(b, v, &found) && found == loop_wrap((DType)loop_type(b, v).dtype, value);
}

/* Every lane is this float, sign of zero included. */
static bool is_float(const LoopBuilder *b, LVal v, double value) {
    const LInst *def = const_def(b, v);
    LType t = loop_type(b, v);
    if (!def || t.pointer || !dtype_is_float((DType)t.dtype)) return false;
    return def->imm.f == value && signbit(def->imm.f) == signbit(value);
}

/* All operands constant: the value, by the semantics the interpreter uses. */
static LVal fold_constants(LoopBuilder *b, const LInst *inst, LType result) {
    LSlot in[3], out = {0};
    if (inst->n_in == 0 || inst->n_in > 3) return (LVal){0};
    LType from = loop_type(b, inst->in[inst->op == LOP_select ? 1 : 0]);
    if (from.pointer || result.pointer) return (LVal){0};
    for (uint32_t i = 0; i < inst->n_in; i++) {
        const LInst *def = const_def(b, inst->in[i]);
        if (!def) return (LVal){0};
        in[i] = loop_const_slot(def, (DType)loop_type(b, inst->in[i]).dtype);
    }
    if (!loop_element(inst->op, (DType)from.dtype, (DType)result.dtype, in, &out)) return (LVal){0};
    if (!dtype_is_float((DType)result.dtype)) return l_int(b, result, out.i);
    double value = result.dtype == DT_f32 ? (double)out.f32 : out.f;
    return isnan(value) ? (LVal){0} : l_float(b, result, value);
}

/* (x op c) op d => x op (c op d), for add and mul of integers. */
static LVal regroup(LoopBuilder *b, LOp op, LVal x, LVal d) {
    const LInst *inner = loop_def(b, x);
    if (!inner || inner->op != op || !const_def(b, inner->in[1]) || !const_def(b, d)) return (LVal){0};
    LVal inner_x = inner->in[0], c = inner->in[1];
    return l_bin(b, op, inner_x, l_bin(b, op, c, d));
}

static LVal fold_integer_sum(LoopBuilder *b, LOp op, LType t, LVal x, LVal y) {
    int64_t c = 0;
    if (op == LOP_sub) {
        if (x.id == y.id) return l_int(b, t, 0); /* x - x => 0 */
        if (!loop_const_int(b, y, &c)) return (LVal){0};
        return l_add(b, x, l_int(b, t, (int64_t)(0 - (uint64_t)c))); /* x - c => x + -c */
    }
    if (const_def(b, x)) return l_add(b, y, x); /* c + x => x + c */
    if (is_int(b, y, 0)) return x;              /* x + 0 => x */
    return regroup(b, LOP_add, x, y);
}

static LVal fold_integer_product(LoopBuilder *b, LOp op, LType t, LVal x, LVal y) {
    if (op == LOP_div) return is_int(b, y, 1) ? x : (LVal){0};           /* x / 1 => x */
    if (op == LOP_rem) return is_int(b, y, 1) ? l_int(b, t, 0) : (LVal){0};
    if (const_def(b, x)) return l_mul(b, y, x); /* c * x => x * c */
    if (is_int(b, y, 0)) return y;              /* x * 0 => 0 */
    if (is_int(b, y, 1)) return x;              /* x * 1 => x */
    return regroup(b, LOP_mul, x, y);
}

static LVal fold_bits(LoopBuilder *b, LOp op, LType t, LVal x, LVal y) {
    if (const_def(b, x)) return l_bin(b, op, y, x); /* both constant was folded before */
    if (x.id == y.id) return op == LOP_xor ? l_int(b, t, 0) : x;
    if (is_int(b, y, 0)) return op == LOP_and ? y : x;
    if (is_int(b, y, -1) && op != LOP_xor) return op == LOP_and ? x : y;
    return (LVal){0};
}

static LVal fold_integer(LoopBuilder *b, LOp op, LType t, LVal x, LVal y) {
    switch ((int)op) {
    case LOP_add:
    case LOP_sub: return fold_integer_sum(b, op, t, x, y);
    case LOP_mul:
    case LOP_div:
    case LOP_rem: return fold_integer_product(b, op, t, x, y);
    case LOP_and:
    case LOP_or:
    case LOP_xor: return fold_bits(b, op, t, x, y);
    case LOP_shl:
    case LOP_shr: return is_int(b, y, 0) ? x : (LVal){0};
    case LOP_min:
    case LOP_max: return x.id == y.id ? x : (LVal){0};
    default: return (LVal){0};
    }
}

static LVal fold_float(LoopBuilder *b, LOp op, LVal x, LVal y) {
    switch ((int)op) {
    case LOP_add: return is_float(b, y, -0.0) ? x : is_float(b, x, -0.0) ? y : (LVal){0}; /* x + -0 => x */
    case LOP_sub: return is_float(b, y, 0.0) ? x : (LVal){0};                              /* x - 0 => x */
    case LOP_mul: return is_float(b, y, 1.0) ? x : is_float(b, x, 1.0) ? y : (LVal){0};   /* x * 1 => x */
    case LOP_div: return is_float(b, y, 1.0) ? x : (LVal){0};                              /* x / 1 => x */
    default: return (LVal){0};
    }
}

static LVal fold_unary(LoopBuilder *b, LOp op, LVal x) {
    const LInst *inner = loop_def(b, x);
    bool involution = op == LOP_not || op == LOP_neg;
    return involution && inner && inner->op == op ? inner->in[0] : (LVal){0};
}

static LVal fold_compare(LoopBuilder *b, LOp op, LType result, LVal x, LVal y) {
    LType t = loop_type(b, x);
    if (x.id != y.id || (!t.pointer && dtype_is_float((DType)t.dtype))) return (LVal){0};
    return l_int(b, result, op == LOP_eq || op == LOP_le);
}

static LVal fold_vector(LoopBuilder *b, const LInst *inst, LType result) {
    LVal x = inst->in[0];
    const LInst *def = loop_def(b, x);
    int64_t n = 0;
    switch ((int)inst->op) {
    case LOP_splat:
        if (!def || def->op != LOP_const || loop_type(b, x).dtype != result.dtype) return (LVal){0};
        return dtype_is_float((DType)result.dtype) ? l_float(b, result, def->imm.f) : l_int(b, result, def->imm.i);
    case LOP_extract:
        if (loop_type(b, x).lanes == 1 && inst->imm.i == 0) return x;
        return def && def->op == LOP_splat ? def->in[0] : (LVal){0};
    case LOP_lane_mask:
        if (!loop_const_int(b, x, &n)) return (LVal){0};
        return n >= result.lanes ? l_int(b, result, 1) : n <= 0 ? l_int(b, result, 0) : (LVal){0};
    case LOP_reduce_add:
    case LOP_reduce_mul:
    case LOP_reduce_max:
    case LOP_reduce_min:
    case LOP_reduce_and:
    case LOP_reduce_or: return loop_type(b, x).lanes == 1 ? x : (LVal){0};
    default: return (LVal){0};
    }
}

static LVal fold_pointer(LoopBuilder *b, const LInst *inst, LType result) {
    LVal p = inst->in[0];
    if (inst->op == LOP_recast) return lt_same(loop_type(b, p), result) ? p : (LVal){0};
    if (is_int(b, inst->in[1], 0)) return p; /* p + 0 => p */
    const LInst *inner = loop_def(b, p);     /* (p + c) + d => p + (c + d) */
    if (!inner || inner->op != LOP_offset || !const_def(b, inner->in[1]) || !const_def(b, inst->in[1]))
        return (LVal){0};
    LVal base = inner->in[0];
    return l_offset(b, base, l_add(b, inner->in[1], inst->in[1]));
}

LVal loop_fold(LoopBuilder *b, const LInst *inst, LType result) {
    LVal x = inst->n_in > 0 ? inst->in[0] : (LVal){0}, y = inst->n_in > 1 ? inst->in[1] : (LVal){0};
    LVal folded = {0};
    if (inst->n_in == 0 || (lop_info[inst->op].operands != ANY && inst->n_in != (uint32_t)lop_info[inst->op].operands))
        return folded;
    LClass class_ = lop_info[inst->op].class_;
    if (class_ == LC_VECTOR) return fold_vector(b, inst, result);
    if (class_ == LC_MEMORY) return fold_pointer(b, inst, result);
    /* ill-typed instructions are left to the check */
    if ((class_ == LC_BINARY || class_ == LC_COMPARE) && !lt_same(loop_type(b, x), loop_type(b, y))) return folded;
    folded = fold_constants(b, inst, result);
    if (folded.id) return folded;
    switch (class_) {
    case LC_UNARY: return fold_unary(b, inst->op, x);
    case LC_BINARY:
        return is_int_like(result) ? fold_integer(b, inst->op, result, x, y) : fold_float(b, inst->op, x, y);
    case LC_COMPARE: return fold_compare(b, inst->op, result, x, y);
    case LC_TERNARY: {
        if (inst->op != LOP_select || !lt_same(loop_type(b, y), loop_type(b, inst->in[2]))) return folded;
        int64_t c = 0;
        if (y.id == inst->in[2].id) return y; /* c ? x : x => x */
        return loop_const_int(b, x, &c) ? (c ? y : inst->in[2]) : folded;
    }
    case LC_CAST: return lt_same(loop_type(b, x), result) ? x : folded; /* to the same dtype */
    case LC_NONE:
    case LC_CONST:
    case LC_VECTOR:
    case LC_MEMORY:
    case LC_TILE:
    case LC_CONTROL: return folded;
    }
    return folded;
}
