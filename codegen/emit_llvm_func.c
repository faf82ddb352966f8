/* emit_llvm_func.c: functions and control flow of Loop IR as LLVM IR.
 *
 * Carried values are phis.  A `for` is printed rotated (a guard, then do-while), so that invariant code hoists without a
 * rotation pass; a LOOP_UNROLLED one with a constant trip count is written out trip by trip.  Stack memory is in the entry
 * block, which holds nothing else.  Every function names its target, so that tiers can share a module.
 */
#include "emit_llvm.h"
#include <string.h>

enum { MOST_UNROLLED = 256 };

/* Prints a block; true where it ends in a yield, whose values go to yielded; false where the function returned. */
static bool print_block(LlvmPrinter *p, const LBlock *, LLVMValueRef *yielded);

static LLVMBasicBlockRef new_block(LlvmPrinter *p) { return LLVMAppendBasicBlockInContext(p->context, p->llvm_func, ""); }
static LLVMValueRef *new_values(LlvmPrinter *p, uint32_t n) { return arena_new_array(p->arena, LLVMValueRef, n); }
static void define(LlvmPrinter *p, LVal v, LLVMValueRef value) { p->value[v.id] = value; }

static LLVMValueRef new_phi(LlvmPrinter *p, LLVMTypeRef type, LLVMValueRef value, LLVMBasicBlockRef from) {
    LLVMValueRef phi = LLVMBuildPhi(p->builder, type, "");
    LLVMAddIncoming(phi, &value, &from, 1);
    return phi;
}

/* ---- loops ---- */

static bool constant_int(const LlvmPrinter *p, LVal v, int64_t *i) {
    const LInst *inst = p->def[v.id];
    if (!inst || inst->op != LOP_const) return false;
    *i = inst->imm.i;
    return true;
}

/* Trip by trip.  false where it cannot: the trip count is not constant, or large. */
static bool print_unrolled(LlvmPrinter *p, const LInst *inst, bool *returned) {
    int64_t begin, end, extent;
    if (inst->kind != LOOP_UNROLLED || !constant_int(p, inst->in[0], &begin) || !constant_int(p, inst->in[1], &end))
        return false;
    if (!ck_sub(end, begin, &extent) || extent > MOST_UNROLLED * inst->imm.i) return false;
    const LBlock *body = inst->blocks[0];
    LLVMValueRef *carried = new_values(p, inst->n_out);
    for (uint32_t i = 0; i < inst->n_out; i++) carried[i] = llvm_operand(p, inst->in[2 + i]);
    *returned = false;
    for (int64_t at = begin; at < end && !*returned; at += inst->imm.i) {
        define(p, body->args[0], llvm_int(p, p->types[DT_i64], at));
        for (uint32_t i = 0; i < inst->n_out; i++) define(p, body->args[1 + i], carried[i]);
        *returned = !print_block(p, body, carried);
    }
    for (uint32_t i = 0; i < inst->n_out; i++) define(p, inst->out[i], carried[i]);
    return true;
}

static void print_for(LlvmPrinter *p, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    LLVMTypeRef i64 = p->types[DT_i64];
    LLVMValueRef begin = llvm_operand(p, inst->in[0]), end = llvm_operand(p, inst->in[1]);
    LLVMValueRef *carried = new_values(p, inst->n_out);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(p->builder), head = new_block(p), exit = new_block(p);
    LLVMBuildCondBr(p->builder, LLVMBuildICmp(p->builder, LLVMIntSLT, begin, end, ""), head, exit);
    LLVMPositionBuilderAtEnd(p->builder, head);
    LLVMValueRef index = new_phi(p, i64, begin, before);
    define(p, body->args[0], index);
    for (uint32_t i = 0; i < inst->n_out; i++) {
        LLVMValueRef first = llvm_operand(p, inst->in[2 + i]);
        define(p, body->args[1 + i], new_phi(p, LLVMTypeOf(first), first, before));
    }
    LLVMBasicBlockRef latch = NULL;
    if (print_block(p, body, carried)) {
        LLVMValueRef next = LLVMBuildAdd(p->builder, index, llvm_int(p, i64, inst->imm.i), "");
        latch = LLVMGetInsertBlock(p->builder);
        LLVMBuildCondBr(p->builder, LLVMBuildICmp(p->builder, LLVMIntSLT, next, end, ""), head, exit);
        LLVMAddIncoming(index, &next, &latch, 1);
        for (uint32_t i = 0; i < inst->n_out; i++) LLVMAddIncoming(p->value[body->args[1 + i].id], &carried[i], &latch, 1);
    }
    LLVMMoveBasicBlockAfter(exit, LLVMGetLastBasicBlock(p->llvm_func));
    LLVMPositionBuilderAtEnd(p->builder, exit);
    for (uint32_t i = 0; i < inst->n_out; i++) {
        LLVMValueRef first = llvm_operand(p, inst->in[2 + i]), phi = new_phi(p, LLVMTypeOf(first), first, before);
        if (latch) LLVMAddIncoming(phi, &carried[i], &latch, 1);
        define(p, inst->out[i], phi);
    }
}

/* true where code goes on after the loop. */
static bool print_while(LlvmPrinter *p, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    LLVMValueRef *yielded = new_values(p, inst->n_out + 1);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(p->builder), head = new_block(p);
    LLVMBuildBr(p->builder, head);
    LLVMPositionBuilderAtEnd(p->builder, head);
    for (uint32_t i = 0; i < inst->n_out; i++) {
        LLVMValueRef first = llvm_operand(p, inst->in[i]);
        define(p, body->args[i], new_phi(p, LLVMTypeOf(first), first, before));
    }
    if (!print_block(p, body, yielded)) return false;
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(p->builder), exit = new_block(p);
    LLVMBuildCondBr(p->builder, yielded[0], head, exit);
    LLVMPositionBuilderAtEnd(p->builder, exit);
    for (uint32_t i = 0; i < inst->n_out; i++) {
        LLVMAddIncoming(p->value[body->args[i].id], &yielded[i + 1], &latch, 1);
        define(p, inst->out[i], yielded[i + 1]);
    }
    return true;
}

static bool print_if(LlvmPrinter *p, const LInst *inst) {
    LLVMBasicBlockRef arms[2] = {new_block(p), NULL}, ends[2] = {NULL, NULL};
    LLVMValueRef *yielded[2] = {new_values(p, inst->n_out), new_values(p, inst->n_out)};
    LLVMValueRef condition = llvm_operand(p, inst->in[0]);
    arms[1] = new_block(p);
    LLVMBuildCondBr(p->builder, condition, arms[0], arms[1]);
    for (int k = 0; k < 2; k++) {
        LLVMMoveBasicBlockAfter(arms[k], LLVMGetLastBasicBlock(p->llvm_func));
        LLVMPositionBuilderAtEnd(p->builder, arms[k]);
        if (print_block(p, inst->blocks[k], yielded[k])) ends[k] = LLVMGetInsertBlock(p->builder);
    }
    if (!ends[0] && !ends[1]) return false;
    LLVMBasicBlockRef join = new_block(p);
    for (int k = 0; k < 2; k++) {
        if (!ends[k]) continue;
        LLVMPositionBuilderAtEnd(p->builder, ends[k]);
        LLVMBuildBr(p->builder, join);
    }
    LLVMPositionBuilderAtEnd(p->builder, join);
    for (uint32_t i = 0; i < inst->n_out; i++) {
        int first = ends[0] ? 0 : 1;
        LLVMValueRef value = yielded[first][i];
        if (ends[0] && ends[1] && yielded[0][i] != yielded[1][i]) {
            value = new_phi(p, LLVMTypeOf(value), value, ends[0]);
            LLVMAddIncoming(value, &yielded[1][i], &ends[1], 1);
        }
        define(p, inst->out[i], value);
    }
    return true;
}

/* ---- calls ---- */

static unsigned attribute_kind(const char *name) { return LLVMGetEnumAttributeKindForName(name, strlen(name)); }
static LLVMAttributeRef attribute(LlvmPrinter *p, const char *name, uint64_t value) {
    unsigned kind = attribute_kind(name);
    if (!kind) BUG(p->cx, "LLVM has no attribute '%s'", name);
    return LLVMCreateEnumAttribute(p->context, kind, value);
}
/* The C ABI extends small integers to registers at the caller's side; NULL for other types. */
static const char *extension(LType t) {
    if (t.pointer || t.dtype == DT_none || t.lanes != 1 || dtype_is_float((DType)t.dtype) || dtype_info[t.dtype].bits >= 32)
        return NULL;
    return dtype_is_signed((DType)t.dtype) ? "signext" : "zeroext";
}

static LLVMTypeRef call_type(LlvmPrinter *p, const LInst *inst, uint32_t skip) {
    LLVMTypeRef *params = arena_new_array(p->arena, LLVMTypeRef, inst->n_in);
    for (uint32_t i = skip; i < inst->n_in; i++) params[i - skip] = llvm_type(p, llvm_loop_type(p, inst->in[i]));
    LLVMTypeRef result = inst->n_out ? llvm_type(p, llvm_loop_type(p, inst->out[0])) : LLVMVoidTypeInContext(p->context);
    return LLVMFunctionType(result, params, inst->n_in - skip, 0);
}

static void print_call(LlvmPrinter *p, const LInst *inst) {
    uint32_t skip = inst->op == LOP_call_pointer;
    LLVMValueRef *in = new_values(p, inst->n_in + 1), callee;
    for (uint32_t i = skip; i < inst->n_in; i++) in[i - skip] = llvm_operand(p, inst->in[i]);
    LLVMTypeRef type = call_type(p, inst, skip);
    if (skip) {
        callee = llvm_operand(p, inst->in[0]);
    } else {
        callee = LLVMGetNamedFunction(p->module, inst->imm.text);
        if (!callee) BUG(p->cx, "call of the unknown function '%s'", inst->imm.text);
        type = LLVMGlobalGetValueType(callee);
    }
    LLVMValueRef call = LLVMBuildCall2(p->builder, type, callee, in, inst->n_in - skip, "");
    for (uint32_t i = skip; i < inst->n_in; i++) {
        const char *extend = extension(llvm_loop_type(p, inst->in[i]));
        if (extend) LLVMAddCallSiteAttribute(call, i - skip + 1, attribute(p, extend, 0));
    }
    if (!inst->n_out) return;
    const char *extend = extension(llvm_loop_type(p, inst->out[0]));
    if (extend) LLVMAddCallSiteAttribute(call, LLVMAttributeReturnIndex, attribute(p, extend, 0));
    define(p, inst->out[0], call);
}

/* ---- blocks and functions ---- */

/* true where code goes on after the instruction. */
static bool print_control(LlvmPrinter *p, const LInst *inst) {
    bool returned = false;
    switch ((int)inst->op) {
    case LOP_for:
        if (print_unrolled(p, inst, &returned)) return !returned;
        print_for(p, inst);
        return true;
    case LOP_while: return print_while(p, inst);
    case LOP_if: return print_if(p, inst);
    case LOP_call:
    case LOP_call_pointer: print_call(p, inst); return true;
    case LOP_return:
        if (inst->n_in) LLVMBuildRet(p->builder, llvm_operand(p, inst->in[0]));
        else LLVMBuildRetVoid(p->builder);
        return false;
    default: BUG(p->cx, "'%s' was to be gone before printing", lop_info[inst->op].name);
    }
}

static bool print_block(LlvmPrinter *p, const LBlock *block, LLVMValueRef *yielded) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (inst->op == LOP_yield) {
            LLVMValueRef *values = new_values(p, inst->n_in); /* yielded may be operands' old places */
            for (uint32_t k = 0; k < inst->n_in; k++) values[k] = llvm_operand(p, inst->in[k]);
            memcpy(yielded, values, inst->n_in * sizeof *values);
            return true;
        }
        if (lop_info[inst->op].class_ == LC_CONTROL) {
            if (!print_control(p, inst)) return false;
            continue;
        }
        LLVMValueRef v;
        if (inst->op == LOP_symbol_addr) v = llvm_symbol(p, inst->imm.text);
        else if (lop_info[inst->op].class_ == LC_MEMORY) v = llvm_memory_op(p, inst);
        else if (lop_info[inst->op].class_ == LC_TILE) v = llvm_tile_op(p, inst);
        else v = llvm_op(p, inst);
        if (inst->n_out) define(p, inst->out[0], v);
    }
    BUG(p->cx, "a block of '%s' ends in neither yield nor return", p->func->name);
}

static void add_text_attribute(LlvmPrinter *p, LLVMValueRef f, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(p->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void declare_param(LlvmPrinter *p, LLVMValueRef f, const LParam *param, unsigned index) {
    static const struct { uint32_t flag; const char *name; } flags[] = {
        {LP_NOALIAS, "noalias"}, {LP_READONLY, "readonly"}, {LP_WRITEONLY, "writeonly"}};
    for (size_t i = 0; i < COUNT(flags); i++)
        if (param->type.pointer && param->flags & flags[i].flag)
            LLVMAddAttributeAtIndex(f, index, attribute(p, flags[i].name, 0));
    if (param->type.pointer && param->align > 1) LLVMAddAttributeAtIndex(f, index, attribute(p, "align", param->align));
    const char *extend = extension(param->type);
    if (extend) LLVMAddAttributeAtIndex(f, index, attribute(p, extend, 0));
}

void llvm_declare(LlvmPrinter *p, const LFunc *func) {
    LLVMTypeRef *params = arena_new_array(p->arena, LLVMTypeRef, func->n_params);
    for (uint32_t i = 0; i < func->n_params; i++) params[i] = llvm_type(p, func->params[i].type);
    LLVMTypeRef type = LLVMFunctionType(llvm_type(p, func->result), params, func->n_params, 0);
    LLVMValueRef f = LLVMAddFunction(p->module, func->name, type);
    bool visible = func->kind == LF_EXPORT || func->kind == LF_EXTERN;
    LLVMSetLinkage(f, visible ? LLVMExternalLinkage : LLVMInternalLinkage);
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute(p, "nounwind", 0));
    for (uint32_t i = 0; i < func->n_params; i++) declare_param(p, f, &func->params[i], i + 1);
    const char *extend = extension(func->result);
    if (extend) LLVMAddAttributeAtIndex(f, LLVMAttributeReturnIndex, attribute(p, extend, 0));
    const Target *target = loop_target(p->m, func);
    if (!func->body || !target) return;
    add_text_attribute(p, f, "target-cpu", target->cpu);
    add_text_attribute(p, f, "target-features", target->features);
    add_text_attribute(p, f, "prefer-vector-width", arena_print(p->arena, "%d", target->vector_bytes * 8));
    /* Vectors that registers have no room for lie in lines of their own, not across two. */
    if (func->kind == LF_KERNEL) add_text_attribute(p, f, "stackrealign", "");
}

static void find_definitions(LlvmPrinter *p, const LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        for (uint32_t k = 0; k < inst->n_out; k++) p->def[inst->out[k].id] = inst;
        for (uint32_t k = 0; k < inst->n_blocks; k++) find_definitions(p, inst->blocks[k]);
    }
}

void llvm_function(LlvmPrinter *p, const LFunc *func) {
    p->func = func;
    p->llvm_func = LLVMGetNamedFunction(p->module, func->name);
    p->value = new_values(p, func->types.n);
    p->def = arena_new_array(p->arena, const LInst *, func->types.n);
    find_definitions(p, func->body);
    for (uint32_t i = 0; i < func->n_params; i++) {
        LLVMValueRef param = LLVMGetParam(p->llvm_func, i);
        const char *name = func->params[i].name;
        if (name) LLVMSetValueName2(param, name, strlen(name));
        define(p, func->params[i].value, param);
    }
    p->entry = new_block(p);
    LLVMBasicBlockRef start = new_block(p);
    LLVMPositionBuilderAtEnd(p->builder, p->entry);
    LLVMBuildBr(p->builder, start);
    LLVMPositionBuilderAtEnd(p->builder, start);
    LLVMValueRef none[1];
    if (print_block(p, func->body, none)) BUG(p->cx, "function '%s' ends in a yield", func->name);
    p->func = NULL;
}
