/* emit_llvm_memory.c: loads, stores, gathers and pointers of Loop IR as LLVM IR.
 *
 * Addresses are getelementptr without inbounds: a masked access may start outside its object.  Bools are bytes in memory.
 * Masked accesses are LLVM's intrinsics, which touch no memory under a mask bit that is off and, for scatter, store in lane
 * order; of one lane they become vectors of one lane.
 */
#include "emit_llvm.h"

LLVMValueRef llvm_address(LlvmPrinter *p, LVal pointer, LVal index) {
    LType t = llvm_loop_type(p, pointer);
    LLVMValueRef i = llvm_operand(p, index);
    LLVMTypeRef element = llvm_memory_type(p, lt_scalar((DType)t.dtype));
    return LLVMBuildGEP2(p->builder, element, llvm_operand(p, pointer), &i, 1, "");
}
static unsigned alignment(const LInst *inst, LType t) {
    unsigned least = (unsigned)dtype_bytes((DType)t.dtype);
    return inst->imm.i > (int64_t)least ? (unsigned)inst->imm.i : least;
}
static LLVMValueRef to_memory(LlvmPrinter *p, LType t, LLVMValueRef v) {
    return dtype_is_bool((DType)t.dtype) ? LLVMBuildZExt(p->builder, v, llvm_memory_type(p, t), "") : v;
}
static LLVMValueRef from_memory(LlvmPrinter *p, LType t, LLVMValueRef v) {
    if (!dtype_is_bool((DType)t.dtype)) return v;
    return LLVMBuildICmp(p->builder, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

/* Scalars and vectors as vectors, for intrinsics. */
static LLVMTypeRef vector_of(LLVMTypeRef t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? t : LLVMVectorType(t, 1); }
static LLVMValueRef widen(LlvmPrinter *p, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind) return v;
    return LLVMBuildInsertElement(p->builder, LLVMGetPoison(LLVMVectorType(type, 1)), v, llvm_int(p, p->types[DT_i32], 0), "");
}
static LLVMValueRef narrow(LlvmPrinter *p, LType t, LLVMValueRef v) {
    return t.lanes > 1 ? v : LLVMBuildExtractElement(p->builder, v, llvm_int(p, p->types[DT_i32], 0), "");
}

static LLVMValueRef load(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->out[0]);
    LLVMValueRef v = LLVMBuildLoad2(p->builder, llvm_memory_type(p, t), llvm_address(p, inst->in[0], inst->in[1]), "");
    LLVMSetAlignment(v, alignment(inst, t));
    return from_memory(p, t, v);
}

static LLVMValueRef store(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->in[2]);
    LLVMValueRef v = to_memory(p, t, llvm_operand(p, inst->in[2]));
    LLVMSetAlignment(LLVMBuildStore(p->builder, v, llvm_address(p, inst->in[0], inst->in[1])), alignment(inst, t));
    return NULL;
}

enum { LINE = 64 /* bytes that reach memory as one */ };

/* A streaming store must be aligned: which of the two it is, only the address tells. */
static LLVMValueRef store_stream(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->in[2]);
    if ((int64_t)t.lanes * dtype_bytes((DType)t.dtype) % LINE) return store(p, inst);
    LLVMValueRef v = to_memory(p, t, llvm_operand(p, inst->in[2])), at = llvm_address(p, inst->in[0], inst->in[1]);
    LLVMTypeRef i64 = p->types[DT_i64];
    LLVMValueRef rest = LLVMBuildAnd(p->builder, LLVMBuildPtrToInt(p->builder, at, i64, ""), llvm_int(p, i64, LINE - 1), "");
    LLVMBasicBlockRef stream = LLVMAppendBasicBlockInContext(p->context, p->llvm_func, "stream");
    LLVMBasicBlockRef plain = LLVMAppendBasicBlockInContext(p->context, p->llvm_func, "plain");
    LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(p->context, p->llvm_func, "stored");
    LLVMBuildCondBr(p->builder, LLVMBuildICmp(p->builder, LLVMIntEQ, rest, llvm_int(p, i64, 0), ""), stream, plain);
    LLVMPositionBuilderAtEnd(p->builder, stream);
    LLVMValueRef put = LLVMBuildStore(p->builder, v, at);
    LLVMSetAlignment(put, LINE);
    LLVMMetadataRef one = LLVMValueAsMetadata(llvm_int(p, p->types[DT_i32], 1));
    LLVMSetMetadata(put, LLVMGetMDKindIDInContext(p->context, "nontemporal", 11),
                    LLVMMetadataAsValue(p->context, LLVMMDNodeInContext2(p->context, &one, 1)));
    LLVMBuildBr(p->builder, next);
    LLVMPositionBuilderAtEnd(p->builder, plain);
    LLVMSetAlignment(LLVMBuildStore(p->builder, v, at), alignment(inst, t));
    LLVMBuildBr(p->builder, next);
    LLVMPositionBuilderAtEnd(p->builder, next);
    return NULL;
}

/* Lanes of one masked access.  Without mask registers no more than a register has: of a wider one LLVM 19 makes halves, and it
 * loads, as if all were on, a half of which it knows that all bits are off (a condition of all lanes, and constants). */
static unsigned masked_lanes(LlvmPrinter *p, LType t) {
    const Target *target = loop_target(p->m, p->func);
    unsigned bytes = (unsigned)dtype_bytes((DType)t.dtype);
    if (bytes < 4 || !target || target->vector_bytes == 64) return t.lanes;
    return (unsigned)target->vector_bytes / bytes;
}
/* What lies `lanes` elements behind an address. */
static LLVMValueRef behind(LlvmPrinter *p, LLVMTypeRef vector, LLVMValueRef at, unsigned lanes) {
    LLVMValueRef step = llvm_int(p, p->types[DT_i64], lanes);
    return LLVMBuildGEP2(p->builder, LLVMGetElementType(vector), at, &step, 1, "");
}

static LLVMValueRef load_lanes(LlvmPrinter *p, LLVMTypeRef type, LLVMValueRef at, unsigned align, LLVMValueRef mask,
                               unsigned most) {
    unsigned n = LLVMGetVectorSize(type), half = n / 2;
    LLVMValueRef in[] = {at, llvm_int(p, p->types[DT_i32], align), mask, LLVMConstNull(type)};
    if (n <= most || n % 2) return llvm_intrinsic(p, "llvm.masked.load", (LLVMTypeRef[]){type, p->ptr}, 2, in, 4);
    LLVMTypeRef part = LLVMVectorType(LLVMGetElementType(type), half);
    LLVMValueRef low = load_lanes(p, part, at, align, llvm_half(p, mask, 0), most);
    LLVMValueRef high = load_lanes(p, part, behind(p, type, at, half), align, llvm_half(p, mask, 1), most);
    return llvm_halves(p, low, high);
}

static void store_lanes(LlvmPrinter *p, LLVMValueRef v, LLVMValueRef at, unsigned align, LLVMValueRef mask, unsigned most) {
    LLVMTypeRef type = LLVMTypeOf(v);
    unsigned n = LLVMGetVectorSize(type), half = n / 2;
    if (n > most && n % 2 == 0) {
        store_lanes(p, llvm_half(p, v, 0), at, align, llvm_half(p, mask, 0), most);
        store_lanes(p, llvm_half(p, v, 1), behind(p, type, at, half), align, llvm_half(p, mask, 1), most);
        return;
    }
    LLVMValueRef in[] = {v, at, llvm_int(p, p->types[DT_i32], align), mask};
    llvm_intrinsic(p, "llvm.masked.store", (LLVMTypeRef[]){type, p->ptr}, 2, in, 4);
}

static LLVMValueRef load_masked(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->out[0]);
    LLVMValueRef at = llvm_address(p, inst->in[0], inst->in[1]), mask = widen(p, llvm_operand(p, inst->in[2]));
    LLVMTypeRef type = vector_of(llvm_memory_type(p, t));
    unsigned most = masked_lanes(p, t), align = most < t.lanes ? (unsigned)dtype_bytes((DType)t.dtype) : alignment(inst, t);
    return from_memory(p, t, narrow(p, t, load_lanes(p, type, at, align, mask, most)));
}

static LLVMValueRef store_masked(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->in[2]);
    LLVMValueRef v = widen(p, to_memory(p, t, llvm_operand(p, inst->in[2])));
    LLVMValueRef at = llvm_address(p, inst->in[0], inst->in[1]), mask = widen(p, llvm_operand(p, inst->in[3]));
    unsigned most = masked_lanes(p, t), align = most < t.lanes ? (unsigned)dtype_bytes((DType)t.dtype) : alignment(inst, t);
    store_lanes(p, v, at, align, mask, most);
    return NULL;
}

static LLVMValueRef gather(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->out[0]);
    LLVMTypeRef type = vector_of(llvm_memory_type(p, t));
    LLVMValueRef at = widen(p, llvm_address(p, inst->in[0], inst->in[1]));
    LLVMValueRef mask = inst->op == LOP_gather_masked ? widen(p, llvm_operand(p, inst->in[2]))
                                                      : LLVMConstAllOnes(LLVMVectorType(p->i1, t.lanes));
    LLVMValueRef in[] = {at, llvm_int(p, p->types[DT_i32], alignment(inst, t)), mask, LLVMConstNull(type)};
    LLVMValueRef v = llvm_intrinsic(p, "llvm.masked.gather", (LLVMTypeRef[]){type, LLVMTypeOf(at)}, 2, in, 4);
    return from_memory(p, t, narrow(p, t, v));
}

static LLVMValueRef scatter(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->in[2]);
    LLVMValueRef v = widen(p, to_memory(p, t, llvm_operand(p, inst->in[2])));
    LLVMValueRef at = widen(p, llvm_address(p, inst->in[0], inst->in[1]));
    LLVMValueRef in[] = {v, at, llvm_int(p, p->types[DT_i32], alignment(inst, t)), widen(p, llvm_operand(p, inst->in[3]))};
    llvm_intrinsic(p, "llvm.masked.scatter", (LLVMTypeRef[]){LLVMTypeOf(v), LLVMTypeOf(at)}, 2, in, 4);
    return NULL;
}

LLVMValueRef llvm_stack(LlvmPrinter *p, uint64_t bytes) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(p->builder);
    LLVMPositionBuilderBefore(p->builder, LLVMGetBasicBlockTerminator(p->entry));
    LLVMValueRef at = LLVMBuildAlloca(p->builder, LLVMArrayType2(p->types[DT_u8], bytes), "");
    LLVMSetAlignment(at, 64);
    LLVMPositionBuilderAtEnd(p->builder, here);
    return at;
}

static LLVMValueRef alloc(LlvmPrinter *p, const LInst *inst) {
    LType t = llvm_loop_type(p, inst->out[0]);
    int64_t bytes = 0;
    if (!ck_mul(inst->imm.i, dtype_bytes((DType)t.dtype), &bytes) || bytes < 0)
        BUG(p->cx, "alloc of %lld elements", (long long)inst->imm.i);
    return llvm_stack(p, (uint64_t)(bytes ? bytes : 1));
}

/* Slots of pointers: 8 bytes each, 8-aligned. */
static LLVMValueRef pointer_slot(LlvmPrinter *p, const LInst *inst, bool stores) {
    LLVMValueRef at = llvm_address(p, inst->in[0], inst->in[1]), v;
    if (stores) v = LLVMBuildStore(p->builder, llvm_operand(p, inst->in[2]), at);
    else v = LLVMBuildLoad2(p->builder, p->ptr, at, "");
    LLVMSetAlignment(v, 8);
    return stores ? NULL : v;
}

static LLVMValueRef prefetch(LlvmPrinter *p, const LInst *inst) {
    LLVMTypeRef i32 = p->types[DT_i32];
    LLVMValueRef in[] = {llvm_address(p, inst->in[0], inst->in[1]), llvm_int(p, i32, 0), llvm_int(p, i32, 3),
                         llvm_int(p, i32, 1)};
    llvm_intrinsic(p, "llvm.prefetch", &p->ptr, 1, in, 4); /* read, keep in all caches, data */
    return NULL;
}

LLVMValueRef llvm_memory_op(LlvmPrinter *p, const LInst *inst) {
    switch ((int)inst->op) {
    case LOP_load: return load(p, inst);
    case LOP_load_masked: return load_masked(p, inst);
    case LOP_gather:
    case LOP_gather_masked: return gather(p, inst);
    case LOP_store: return store(p, inst);
    case LOP_store_masked: return store_masked(p, inst);
    case LOP_store_stream: return store_stream(p, inst);
    case LOP_fence: LLVMBuildFence(p->builder, LLVMAtomicOrderingSequentiallyConsistent, false, ""); return NULL;
    case LOP_scatter_masked: return scatter(p, inst);
    case LOP_offset: return llvm_address(p, inst->in[0], inst->in[1]);
    case LOP_recast: return llvm_operand(p, inst->in[0]);
    case LOP_alloc: return alloc(p, inst);
    case LOP_load_pointer: return pointer_slot(p, inst, false);
    case LOP_store_pointer: return pointer_slot(p, inst, true);
    case LOP_prefetch: return prefetch(p, inst);
    default: BUG(p->cx, "'%s' is no memory op", lop_info[inst->op].name);
    }
}
