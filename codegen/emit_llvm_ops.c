/* emit_llvm_ops.c: constants, arithmetic, casts and vector instructions of Loop IR as LLVM IR.
 *
 * Booleans are i1, masks vectors of i1.  No fast-math flag is ever set, so LLVM neither contracts nor reassociates; minimum
 * and maximum are llvm.minimum and llvm.maximum (NaN wins, -0 < 0); conversions to integers are llvm.fpto*i.sat.  Where Loop
 * IR defines what LLVM leaves undefined (least / -1), a select removes the case.  Source: LLVM 19 LangRef.
 */
#include "emit_llvm.h"
#include <string.h>

LType llvm_loop_type(LlvmPrinter *p, LVal v) { return p->func->types.at[v.id]; }
LLVMValueRef llvm_operand(LlvmPrinter *p, LVal v) {
    if (!v.id || v.id >= p->func->types.n || !p->value[v.id])
        BUG(p->cx, "value %u of '%s' is not defined", v.id, p->func->name);
    return p->value[v.id];
}
LLVMTypeRef llvm_type(LlvmPrinter *p, LType t) {
    if (t.pointer) return p->ptr;
    if (t.dtype == DT_none) return LLVMVoidTypeInContext(p->context);
    if (!p->types[t.dtype]) BUG(p->cx, "dtype %s in Loop IR", dtype_info[t.dtype].name);
    return t.lanes == 1 ? p->types[t.dtype] : LLVMVectorType(p->types[t.dtype], t.lanes);
}
LLVMTypeRef llvm_memory_type(LlvmPrinter *p, LType t) {
    return llvm_type(p, dtype_is_bool((DType)t.dtype) ? lt_vector(DT_u8, t.lanes) : t);
}
LLVMValueRef llvm_int(LlvmPrinter *p, LLVMTypeRef type, int64_t i) {
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return LLVMConstInt(type, (unsigned long long)i, 1);
    return llvm_splat(p, LLVMConstInt(LLVMGetElementType(type), (unsigned long long)i, 1), LLVMGetVectorSize(type));
}
static LLVMTypeRef i32_type(LlvmPrinter *p) { return p->types[DT_i32]; }

LLVMValueRef llvm_splat(LlvmPrinter *p, LLVMValueRef scalar, uint32_t lanes) {
    if (lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef all[MAX_LANES];
        for (uint32_t i = 0; i < lanes; i++) all[i] = scalar;
        return LLVMConstVector(all, lanes);
    }
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef first = LLVMBuildInsertElement(p->builder, LLVMGetPoison(type), scalar, llvm_int(p, i32_type(p), 0), "");
    return LLVMBuildShuffleVector(p->builder, first, LLVMGetPoison(type), LLVMConstNull(LLVMVectorType(i32_type(p), lanes)),
                                  "");
}

LLVMValueRef llvm_intrinsic(LlvmPrinter *p, const char *name, LLVMTypeRef *overload, unsigned n_overload, LLVMValueRef *in,
                            unsigned n) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) BUG(p->cx, "LLVM has no intrinsic '%s'", name);
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(p->module, id, overload, n_overload);
    LLVMTypeRef type = LLVMIntrinsicGetType(p->context, id, overload, n_overload);
    return LLVMBuildCall2(p->builder, type, callee, in, n, "");
}

/* ---- elementwise ---- */

static LLVMValueRef unary_intrinsic(LlvmPrinter *p, const char *name, LLVMValueRef a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return llvm_intrinsic(p, name, &type, 1, &a, 1);
}
static LLVMValueRef binary_intrinsic(LlvmPrinter *p, const char *name, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return llvm_intrinsic(p, name, &type, 1, (LLVMValueRef[]){a, b}, 2);
}

static bool has_bf16(LlvmPrinter *p, uint32_t lanes) {
    const Target *target = loop_target(p->m, p->func);
    return target && target->dot_bf16 && lanes == 16;
}

/* f32's upper half: the carry of rounding runs into the exponent, and on to infinity, as it should. */
static LLVMValueRef round_bf16(LlvmPrinter *p, LLVMValueRef a, uint32_t lanes) {
    LLVMTypeRef f32 = LLVMTypeOf(a), u32 = llvm_type(p, lt_vector(DT_u32, lanes)), u16 = llvm_type(p, lt_vector(DT_u16, lanes));
    if (has_bf16(p, lanes)) {
        LLVMValueRef narrow = llvm_intrinsic(p, "llvm.x86.avx512bf16.cvtneps2bf16.512", NULL, 0, &a, 1);
        LLVMValueRef wide = LLVMBuildZExt(p->builder, LLVMBuildBitCast(p->builder, narrow, u16, ""), u32, "");
        return LLVMBuildBitCast(p->builder, LLVMBuildShl(p->builder, wide, llvm_int(p, u32, 16), ""), f32, "");
    }
    LLVMValueRef bits = LLVMBuildBitCast(p->builder, a, u32, ""),
                 odd = LLVMBuildLShr(p->builder, bits, llvm_int(p, u32, 16), "");
    odd = LLVMBuildAnd(p->builder, odd, llvm_int(p, u32, 1), "");
    LLVMValueRef up = LLVMBuildAdd(p->builder, LLVMBuildAdd(p->builder, bits, odd, ""), llvm_int(p, u32, 0x7FFF), "");
    up = LLVMBuildAnd(p->builder, up, llvm_int(p, u32, -0x10000), "");
    LLVMValueRef nan = LLVMBuildFCmp(p->builder, LLVMRealUNO, a, a, "");
    return LLVMBuildBitCast(p->builder, LLVMBuildSelect(p->builder, nan, llvm_int(p, u32, 0x7FC00000), up, ""), f32, "");
}

static LLVMValueRef unary(LlvmPrinter *p, LOp op, LType type, LLVMValueRef a) {
    DType t = (DType)type.dtype;
    bool is_float = dtype_is_float(t);
    switch ((int)op) {
    case LOP_neg: return is_float ? LLVMBuildFNeg(p->builder, a, "") : LLVMBuildNeg(p->builder, a, "");
    case LOP_abs:
        if (is_float) return unary_intrinsic(p, "llvm.fabs", a);
        if (!dtype_is_signed(t)) return a;
        return llvm_intrinsic(p, "llvm.abs", (LLVMTypeRef[]){LLVMTypeOf(a)}, 1, (LLVMValueRef[]){a, LLVMConstInt(p->i1, 0, 0)},
                              2);
    case LOP_floor: return unary_intrinsic(p, "llvm.floor", a);
    case LOP_ceil: return unary_intrinsic(p, "llvm.ceil", a);
    case LOP_trunc: return unary_intrinsic(p, "llvm.trunc", a);
    case LOP_rint: return unary_intrinsic(p, "llvm.rint", a);
    case LOP_sqrt: return unary_intrinsic(p, "llvm.sqrt", a);
    case LOP_round_bf16: return round_bf16(p, a, type.lanes);
    case LOP_not: return LLVMBuildNot(p->builder, a, "");
    case LOP_popcount: return unary_intrinsic(p, "llvm.ctpop", a);
    default: BUG(p->cx, "'%s' is not unary", lop_info[op].name);
    }
}

/* Division towards zero where least / -1 is least and least % -1 is 0: LLVM's traps there. */
static LLVMValueRef divide_signed(LlvmPrinter *p, LOp op, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef minus_one = llvm_int(p, type, -1), one = llvm_int(p, type, 1);
    LLVMValueRef by_minus_one = LLVMBuildICmp(p->builder, LLVMIntEQ, b, minus_one, "");
    LLVMValueRef safe = LLVMBuildSelect(p->builder, by_minus_one, one, b, "");
    if (op == LOP_rem) return LLVMBuildSRem(p->builder, a, safe, "");
    LLVMValueRef quotient = LLVMBuildSDiv(p->builder, a, safe, "");
    return LLVMBuildSelect(p->builder, by_minus_one, LLVMBuildNeg(p->builder, a, ""), quotient, "");
}

static LLVMValueRef binary_float(LlvmPrinter *p, LOp op, LLVMValueRef a, LLVMValueRef b) {
    switch ((int)op) {
    case LOP_add: return LLVMBuildFAdd(p->builder, a, b, "");
    case LOP_sub: return LLVMBuildFSub(p->builder, a, b, "");
    case LOP_mul: return LLVMBuildFMul(p->builder, a, b, "");
    case LOP_div: return LLVMBuildFDiv(p->builder, a, b, "");
    case LOP_min: return binary_intrinsic(p, "llvm.minimum", a, b);
    case LOP_max: return binary_intrinsic(p, "llvm.maximum", a, b);
    default: BUG(p->cx, "'%s' on floats", lop_info[op].name);
    }
}

static LLVMValueRef binary(LlvmPrinter *p, LOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
    if (dtype_is_float(t)) return binary_float(p, op, a, b);
    bool is_signed = dtype_is_signed(t);
    switch ((int)op) {
    case LOP_add: return LLVMBuildAdd(p->builder, a, b, "");
    case LOP_sub: return LLVMBuildSub(p->builder, a, b, "");
    case LOP_mul: return LLVMBuildMul(p->builder, a, b, "");
    case LOP_div:
        return is_signed ? divide_signed(p, op, a, b) : LLVMBuildUDiv(p->builder, a, b, "");
    case LOP_rem:
        return is_signed ? divide_signed(p, op, a, b) : LLVMBuildURem(p->builder, a, b, "");
    case LOP_min: return binary_intrinsic(p, is_signed ? "llvm.smin" : "llvm.umin", a, b);
    case LOP_max: return binary_intrinsic(p, is_signed ? "llvm.smax" : "llvm.umax", a, b);
    case LOP_and: return LLVMBuildAnd(p->builder, a, b, "");
    case LOP_or: return LLVMBuildOr(p->builder, a, b, "");
    case LOP_xor: return LLVMBuildXor(p->builder, a, b, "");
    case LOP_shl: return LLVMBuildShl(p->builder, a, b, "");
    case LOP_shr: return is_signed ? LLVMBuildAShr(p->builder, a, b, "") : LLVMBuildLShr(p->builder, a, b, "");
    default: BUG(p->cx, "'%s' is not binary", lop_info[op].name);
    }
}

static LLVMValueRef compare(LlvmPrinter *p, LOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
    static const struct { LOp op; LLVMRealPredicate real; LLVMIntPredicate is_signed, is_unsigned; } rows[] = {
        {LOP_eq, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ},   {LOP_ne, LLVMRealUNE, LLVMIntNE, LLVMIntNE},
        {LOP_lt, LLVMRealOLT, LLVMIntSLT, LLVMIntULT}, {LOP_le, LLVMRealOLE, LLVMIntSLE, LLVMIntULE}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (rows[i].op != op) continue;
        if (dtype_is_float(t)) return LLVMBuildFCmp(p->builder, rows[i].real, a, b, "");
        return LLVMBuildICmp(p->builder, dtype_is_signed(t) ? rows[i].is_signed : rows[i].is_unsigned, a, b, "");
    }
    BUG(p->cx, "'%s' is no comparison", lop_info[op].name);
}

/* Vectors of floats to integers of at most 16 bits, by way of i32: LLVM takes them lane by lane. */
static LLVMValueRef convert_short(LlvmPrinter *p, LType to, LLVMValueRef a) {
    LLVMBuilderRef b = p->builder;
    LLVMTypeRef source = LLVMTypeOf(a);
    uint32_t bits = dtype_info[to.dtype].bits;
    bool is_signed = dtype_is_signed((DType)to.dtype);
    double least = is_signed ? -(double)(1 << (bits - 1)) : 0, most = (double)((1 << (bits - is_signed)) - 1);
    LLVMValueRef low = llvm_splat(p, LLVMConstReal(LLVMGetElementType(source), least), to.lanes),
                 high = llvm_splat(p, LLVMConstReal(LLVMGetElementType(source), most), to.lanes);
    if (is_signed) a = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealORD, a, a, ""), a, LLVMConstNull(source), "");
    a = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOGT, a, low, ""), a, low, ""); /* what is no number becomes `low` */
    a = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOLT, a, high, ""), a, high, "");
    LLVMValueRef wide = LLVMBuildFPToSI(b, a, llvm_type(p, lt_vector(DT_i32, to.lanes)), "");
    return LLVMBuildTrunc(b, wide, llvm_type(p, to), "");
}

static LLVMValueRef convert(LlvmPrinter *p, LType from, LType to, LLVMValueRef a) {
    LLVMTypeRef type = llvm_type(p, to), source = LLVMTypeOf(a);
    DType f = (DType)from.dtype, t = (DType)to.dtype;
    if (f == t) return a;
    if (dtype_is_bool(t)) {
        if (dtype_is_float(f)) return LLVMBuildFCmp(p->builder, LLVMRealUNE, a, LLVMConstNull(source), "");
        return LLVMBuildICmp(p->builder, LLVMIntNE, a, LLVMConstNull(source), "");
    }
    if (dtype_is_float(f) && dtype_is_float(t))
        return dtype_info[t].bits > dtype_info[f].bits ? LLVMBuildFPExt(p->builder, a, type, "")
                                                       : LLVMBuildFPTrunc(p->builder, a, type, "");
    if (dtype_is_float(f) && to.lanes > 1 && dtype_info[t].bits <= 16) return convert_short(p, to, a);
    if (dtype_is_float(f))
        return llvm_intrinsic(p, dtype_is_signed(t) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", (LLVMTypeRef[]){type, source}, 2,
                              &a, 1);
    if (dtype_is_float(t))
        return dtype_is_signed(f) ? LLVMBuildSIToFP(p->builder, a, type, "") : LLVMBuildUIToFP(p->builder, a, type, "");
    uint32_t old_bits = dtype_is_bool(f) ? 1 : dtype_info[f].bits, bits = dtype_info[t].bits;
    if (bits == old_bits) return a;
    if (bits < old_bits) return LLVMBuildTrunc(p->builder, a, type, "");
    return dtype_is_signed(f) ? LLVMBuildSExt(p->builder, a, type, "") : LLVMBuildZExt(p->builder, a, type, "");
}

static LLVMValueRef bitcast(LlvmPrinter *p, LType from, LType to, LLVMValueRef a) {
    if (dtype_is_bool((DType)from.dtype) != dtype_is_bool((DType)to.dtype)) return convert(p, from, to, a);
    return LLVMBuildBitCast(p->builder, a, llvm_type(p, to), "");
}

/* ---- vectors ---- */

static LLVMValueRef constant(LlvmPrinter *p, const LInst *inst, LType t) {
    if (t.pointer) return LLVMConstNull(p->ptr);
    LLVMTypeRef element = p->types[t.dtype];
    if (t.dtype == DT_f32) { /* through bits: LLVMConstReal would quiet a NaN */
        union { float f; uint32_t u; } bits = {.f = (float)inst->imm.f};
        LLVMValueRef word = LLVMConstInt(p->types[DT_u32], bits.u, 0);
        return llvm_splat(p, LLVMConstBitCast(word, element), t.lanes);
    }
    if (t.dtype == DT_f64) {
        union { double f; uint64_t u; } bits = {.f = inst->imm.f};
        return llvm_splat(p, LLVMConstBitCast(LLVMConstInt(p->types[DT_u64], bits.u, 0), element), t.lanes);
    }
    return llvm_splat(p, LLVMConstInt(element, (unsigned long long)inst->imm.i, 1), t.lanes);
}

static LLVMValueRef iota(LLVMTypeRef element, uint32_t lanes) {
    LLVMValueRef all[MAX_LANES];
    for (uint32_t i = 0; i < lanes; i++) all[i] = LLVMConstInt(element, i, 0);
    return lanes == 1 ? all[0] : LLVMConstVector(all, lanes);
}

static LLVMValueRef shuffle(LlvmPrinter *p, LLVMValueRef a, LLVMValueRef b, const int64_t *lanes, uint32_t n) {
    LLVMValueRef mask[2 * MAX_LANES];
    for (uint32_t i = 0; i < n; i++) mask[i] = LLVMConstInt(i32_type(p), (unsigned long long)lanes[i], 0);
    return LLVMBuildShuffleVector(p->builder, a, b, LLVMConstVector(mask, n), "");
}

LLVMValueRef llvm_half(LlvmPrinter *p, LLVMValueRef v, uint32_t i) {
    int64_t lanes[MAX_LANES];
    uint32_t n = LLVMGetVectorSize(LLVMTypeOf(v)) / 2;
    for (uint32_t l = 0; l < n; l++) lanes[l] = i * n + l;
    return shuffle(p, v, LLVMGetPoison(LLVMTypeOf(v)), lanes, n);
}

LLVMValueRef llvm_halves(LlvmPrinter *p, LLVMValueRef low, LLVMValueRef high) {
    int64_t lanes[MAX_LANES];
    uint32_t n = 2 * LLVMGetVectorSize(LLVMTypeOf(low));
    for (uint32_t l = 0; l < n; l++) lanes[l] = l;
    return shuffle(p, low, high, lanes, n);
}

/* A scalar as a vector of one lane, for instructions that take vectors alone. */
static LLVMValueRef as_vector(LlvmPrinter *p, LLVMValueRef scalar) {
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), 1);
    return LLVMBuildInsertElement(p->builder, LLVMGetPoison(type), scalar, llvm_int(p, i32_type(p), 0), "");
}

static LLVMValueRef shuffle_op(LlvmPrinter *p, const LInst *inst, LType result) {
    LLVMValueRef a = llvm_operand(p, inst->in[0]), b = llvm_operand(p, inst->in[1]);
    if (llvm_loop_type(p, inst->in[0]).lanes == 1) a = as_vector(p, a), b = as_vector(p, b);
    LLVMValueRef r = shuffle(p, a, b, inst->imm.ints, inst->imm.n_ints);
    return result.lanes == 1 ? LLVMBuildExtractElement(p->builder, r, llvm_int(p, i32_type(p), 0), "") : r;
}

static LLVMValueRef reduce(LlvmPrinter *p, LOp op, LType t, LLVMValueRef a) {
    static const LOp by[] = {LOP_add, LOP_mul, LOP_max, LOP_min, LOP_and, LOP_or};
    _Static_assert(LOP_reduce_or - LOP_reduce_add == COUNT(by) - 1, "rows of loop_ops.def");
    int64_t steps[MAX_LANES];
    LOp combine = by[op - LOP_reduce_add];
    uint32_t lanes = t.lanes;
    if (lanes & (lanes - 1)) BUG(p->cx, "'%s' of %u lanes", lop_info[op].name, lanes);
    for (uint32_t i = 0; i < lanes; i++) steps[i] = i;
    for (uint32_t half = lanes / 2; half; half /= 2) {
        LLVMValueRef low = shuffle(p, a, LLVMGetPoison(LLVMTypeOf(a)), steps, half);
        LLVMValueRef high = shuffle(p, a, LLVMGetPoison(LLVMTypeOf(a)), steps + half, half);
        a = binary(p, combine, (DType)t.dtype, low, high);
    }
    return lanes == 1 ? a : LLVMBuildExtractElement(p->builder, a, llvm_int(p, i32_type(p), 0), "");
}

/* lane < n.  n is first clamped to [0, lanes], so that the rest needs 32 bits, or on AVX-512 one mask register. */
static LLVMValueRef lane_mask(LlvmPrinter *p, LLVMValueRef n, uint32_t lanes) {
    LLVMTypeRef i64 = p->types[DT_i64];
    if (lanes == 1) return LLVMBuildICmp(p->builder, LLVMIntSGT, n, llvm_int(p, i64, 0), "");
    n = binary_intrinsic(p, "llvm.smax", n, llvm_int(p, i64, 0));
    n = binary_intrinsic(p, "llvm.smin", n, llvm_int(p, i64, lanes));
    const Target *target = loop_target(p->m, p->func);
    if (target && target->vector_bytes >= 64 && lanes >= 8 && lanes < 64) {
        LLVMValueRef bits = LLVMBuildShl(p->builder, llvm_int(p, i64, -1), n, "");
        LLVMTypeRef narrow = LLVMIntTypeInContext(p->context, lanes);
        bits = LLVMBuildTrunc(p->builder, LLVMBuildNot(p->builder, bits, ""), narrow, "");
        return LLVMBuildBitCast(p->builder, bits, LLVMVectorType(p->i1, lanes), "");
    }
    LLVMValueRef limit = llvm_splat(p, LLVMBuildTrunc(p->builder, n, i32_type(p), ""), lanes);
    return LLVMBuildICmp(p->builder, LLVMIntSGT, limit, iota(i32_type(p), lanes), "");
}

/* ---- lookup ---- */

static LLVMValueRef table_part(LlvmPrinter *p, const LInst *inst, uint32_t first, uint32_t n) {
    LLVMValueRef words[TABLE];
    for (uint32_t i = 0; i < n; i++) words[i] = LLVMConstInt(i32_type(p), (unsigned long long)inst->imm.ints[first + i], 0);
    return LLVMConstBitCast(LLVMConstVector(words, n), LLVMVectorType(p->types[DT_f32], n));
}

/* As many lanes as a vector has.  Eight of AVX2: of each half of the table, and bit 3 chooses. */
static LLVMValueRef lookup_vector(LlvmPrinter *p, const LInst *inst, LLVMValueRef index, uint32_t lanes) {
    LLVMValueRef half[2], top = LLVMBuildShl(p->builder, index, llvm_int(p, LLVMTypeOf(index), 28), "");
    if (lanes == TABLE)
        return llvm_intrinsic(p, "llvm.x86.avx512.permvar.sf.512", NULL, 0,
                              (LLVMValueRef[]){table_part(p, inst, 0, TABLE), index}, 2);
    for (uint32_t i = 0; i < 2; i++) {
        LLVMValueRef in[] = {table_part(p, inst, i * 8, 8), index};
        half[i] = llvm_intrinsic(p, "llvm.x86.avx2.permps", NULL, 0, in, 2);
    }
    LLVMValueRef high = LLVMBuildICmp(p->builder, LLVMIntSLT, top, LLVMConstNull(LLVMTypeOf(top)), "");
    return LLVMBuildSelect(p->builder, high, half[1], half[0], "");
}

/* Vectors of `width`, put together. */
static LLVMValueRef lookup_vectors(LlvmPrinter *p, const LInst *inst, LLVMValueRef index, uint32_t lanes, uint32_t width) {
    if (lanes == width) return lookup_vector(p, inst, index, lanes);
    LLVMValueRef low = lookup_vectors(p, inst, llvm_half(p, index, 0), lanes / 2, width);
    return llvm_halves(p, low, lookup_vectors(p, inst, llvm_half(p, index, 1), lanes / 2, width));
}

/* The table stays in registers where they are as wide as it, or half; else in memory. */
static LLVMValueRef lookup(LlvmPrinter *p, const LInst *inst, LLVMValueRef index, uint32_t lanes) {
    const Target *target = loop_target(p->m, p->func);
    uint32_t width = target && target->vector_bytes >= 64 && lanes >= TABLE ? TABLE : 8;
    bool whole = lanes >= width && (lanes & (lanes - 1)) == 0;
    if (target && target->vector_bytes >= 32 && whole) return lookup_vectors(p, inst, index, lanes, width);
    LLVMValueRef all = table_part(p, inst, 0, TABLE);
    LLVMValueRef memory = LLVMAddGlobal(p->module, LLVMTypeOf(all), "");
    LLVMSetInitializer(memory, all);
    LLVMSetLinkage(memory, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(memory, LLVMGlobalUnnamedAddr);
    LLVMSetGlobalConstant(memory, 1);
    LLVMValueRef r = lanes == 1 ? NULL : LLVMGetPoison(LLVMVectorType(p->types[DT_f32], lanes));
    for (uint32_t i = 0; i < lanes; i++) {
        LLVMValueRef lane = llvm_int(p, i32_type(p), i),
                     at = lanes == 1 ? index : LLVMBuildExtractElement(p->builder, index, lane, "");
        at = LLVMBuildAnd(p->builder, at, llvm_int(p, i32_type(p), TABLE - 1), "");
        LLVMValueRef entry = LLVMBuildInBoundsGEP2(p->builder, p->types[DT_f32], memory, &at, 1, "");
        entry = LLVMBuildLoad2(p->builder, p->types[DT_f32], entry, "");
        r = lanes == 1 ? entry : LLVMBuildInsertElement(p->builder, r, entry, lane, "");
    }
    return r;
}

static LLVMValueRef vector_op(LlvmPrinter *p, const LInst *inst) {
    LType r = llvm_loop_type(p, inst->out[0]), t = llvm_loop_type(p, inst->in[0]);
    LLVMValueRef a = llvm_operand(p, inst->in[0]), lane = LLVMConstInt(i32_type(p), (unsigned long long)inst->imm.i, 0);
    switch ((int)inst->op) {
    case LOP_splat: return llvm_splat(p, a, r.lanes);
    case LOP_extract: return t.lanes == 1 ? a : LLVMBuildExtractElement(p->builder, a, lane, "");
    case LOP_insert: {
        LLVMValueRef b = llvm_operand(p, inst->in[1]);
        return t.lanes == 1 ? b : LLVMBuildInsertElement(p->builder, a, b, lane, "");
    }
    case LOP_shuffle: return shuffle_op(p, inst, r);
    case LOP_lookup: return lookup(p, inst, a, r.lanes);
    case LOP_lane_mask: return lane_mask(p, a, r.lanes);
    default: return reduce(p, inst->op, t, a);
    }
}

/* The half of each pair that comes first (the high one), or last. */
static LLVMValueRef bf16_half(LlvmPrinter *p, LLVMValueRef pairs, bool high, LLVMTypeRef f32) {
    LLVMTypeRef type = LLVMTypeOf(pairs);
    LLVMValueRef bits = high ? LLVMBuildAnd(p->builder, pairs, llvm_int(p, type, -0x10000), "")
                             : LLVMBuildShl(p->builder, pairs, llvm_int(p, type, 16), "");
    return LLVMBuildBitCast(p->builder, bits, f32, "");
}

static LLVMValueRef dot_bf16(LlvmPrinter *p, LLVMValueRef *in, uint32_t lanes) {
    LLVMTypeRef f32 = LLVMTypeOf(in[0]);
    if (has_bf16(p, lanes)) {
        LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(p->context), 2 * lanes);
        for (uint32_t i = 1; i < 3; i++) in[i] = LLVMBuildBitCast(p->builder, in[i], pairs, "");
        return llvm_intrinsic(p, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, in, 3);
    }
    LLVMValueRef sum = in[0];
    for (int high = 1; high >= 0; high--) {
        LLVMValueRef part[] = {bf16_half(p, in[1], high, f32), bf16_half(p, in[2], high, f32), sum};
        sum = llvm_intrinsic(p, "llvm.fma", &f32, 1, part, 3);
    }
    return sum;
}

/* The sum of products of two i16 in each i32, by the instruction that the target has for so many lanes (at most): exact. */
static LLVMValueRef dot_i16(LlvmPrinter *p, LLVMValueRef x, LLVMValueRef w, uint32_t lanes, uint32_t most) {
    const char *name = most == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                       : most == 8 ? "llvm.x86.avx2.pmadd.wd"
                                   : "llvm.x86.sse2.pmadd.wd";
    if (lanes == most) return llvm_intrinsic(p, name, NULL, 0, (LLVMValueRef[]){x, w}, 2);
    int64_t all[MAX_LANES];
    LLVMValueRef low = dot_i16(p, llvm_half(p, x, 0), llvm_half(p, w, 0), lanes / 2, most),
                 high = dot_i16(p, llvm_half(p, x, 1), llvm_half(p, w, 1), lanes / 2, most);
    for (uint32_t i = 0; i < lanes; i++) all[i] = i;
    return shuffle(p, low, high, all, lanes);
}

/* Byte i of each u32, widened. */
static LLVMValueRef byte_of(LlvmPrinter *p, LLVMValueRef v, uint32_t i, bool is_signed) {
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef up = LLVMBuildShl(p->builder, v, llvm_int(p, type, 24 - 8 * i), "");
    return is_signed ? LLVMBuildAShr(p->builder, up, llvm_int(p, type, 24), "")
                     : LLVMBuildLShr(p->builder, up, llvm_int(p, type, 24), "");
}

/* Where no instruction takes bytes: those of even places as pairs of i16, and those of odd ones. */
static LLVMValueRef dot_u8(LlvmPrinter *p, LLVMValueRef *in, uint32_t lanes) {
    const Target *target = loop_target(p->m, p->func);
    LLVMBuilderRef b = p->builder;
    if (target && target->dot_u8 && lanes == 16) return llvm_intrinsic(p, "llvm.x86.avx512.vpdpbusd.512", NULL, 0, in, 3);
    LLVMValueRef sum = in[0];
    if (!target || strncmp(target->triple, "x86_64", 6) != 0 || lanes < 4) {
        for (uint32_t i = 0; i < 4; i++)
            sum = LLVMBuildAdd(b, sum, LLVMBuildMul(b, byte_of(p, in[1], i, false), byte_of(p, in[2], i, true), ""), "");
        return sum;
    }
    LLVMTypeRef i16 = llvm_type(p, lt_vector(DT_i16, 2 * lanes));
    LLVMValueRef x = LLVMBuildBitCast(b, in[1], i16, ""), w = LLVMBuildBitCast(b, in[2], i16, ""), eight = llvm_int(p, i16, 8);
    uint32_t most = (uint32_t)target->vector_bytes / 4 < lanes ? (uint32_t)target->vector_bytes / 4 : lanes;
    LLVMValueRef even = LLVMBuildAShr(b, LLVMBuildShl(b, w, eight, ""), eight, "");
    sum = LLVMBuildAdd(b, sum, dot_i16(p, LLVMBuildAnd(b, x, llvm_int(p, i16, 255), ""), even, lanes, most), "");
    return LLVMBuildAdd(b, sum, dot_i16(p, LLVMBuildLShr(b, x, eight, ""), LLVMBuildAShr(b, w, eight, ""), lanes, most), "");
}

LLVMValueRef llvm_op(LlvmPrinter *p, const LInst *inst) {
    LType r = llvm_loop_type(p, inst->out[0]), t = inst->n_in ? llvm_loop_type(p, inst->in[0]) : r;
    LLVMValueRef in[3] = {NULL, NULL, NULL};
    if (inst->n_in > 3) BUG(p->cx, "'%s' with %u operands", lop_info[inst->op].name, inst->n_in);
    for (uint32_t i = 0; i < inst->n_in; i++) in[i] = llvm_operand(p, inst->in[i]);
    switch (lop_info[inst->op].class_) {
    case LC_CONST: return inst->op == LOP_const ? constant(p, inst, r) : iota(p->types[r.dtype], r.lanes);
    case LC_UNARY: return unary(p, inst->op, t, in[0]);
    case LC_BINARY: return binary(p, inst->op, (DType)t.dtype, in[0], in[1]);
    case LC_TERNARY:
        if (inst->op == LOP_select) return LLVMBuildSelect(p->builder, in[0], in[1], in[2], "");
        if (inst->op == LOP_dot_bf16) return dot_bf16(p, in, r.lanes);
        if (inst->op == LOP_dot_u8) return dot_u8(p, in, r.lanes);
        return llvm_intrinsic(p, "llvm.fma", (LLVMTypeRef[]){LLVMTypeOf(in[0])}, 1, in, 3);
    case LC_COMPARE: return compare(p, inst->op, t.pointer ? DT_u64 : (DType)t.dtype, in[0], in[1]);
    case LC_CAST: return inst->op == LOP_convert ? convert(p, t, r, in[0]) : bitcast(p, t, r, in[0]);
    case LC_VECTOR: return vector_op(p, inst);
    case LC_NONE:
    case LC_MEMORY:
    case LC_TILE:
    case LC_CONTROL: break;
    }
    BUG(p->cx, "'%s' is no operation", lop_info[inst->op].name);
}
