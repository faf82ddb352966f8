/* emit_llvm_tile.c: tile instructions of Loop IR as LLVM's intrinsics of AMX.
 *
 * The direct ones alone, whose tile numbers are immediate: they come out as written.  The managed ones, on values of type
 * x86_amx, LLVM 19 miscompiles where tiles are spilt (llvm#110190), and configures anew in every function.
 * All eight tiles have 16 rows of 64 bytes for the whole time between tile_begin and tile_end.
 * Source: Intel SDM 2, LDTILECFG (the 64 bytes of a configuration).
 */
#include "emit_llvm.h"

enum { CONFIG_BYTES = 64, CONFIG_COLUMNS = 16 /* u16 a tile: bytes of a row */, CONFIG_ROWS = 48 /* u8 a tile */ };

static LLVMValueRef begin(LlvmPrinter *p) {
    LLVMValueRef byte[CONFIG_BYTES], at = llvm_stack(p, CONFIG_BYTES);
    for (uint32_t i = 0; i < CONFIG_BYTES; i++) byte[i] = llvm_int(p, p->types[DT_u8], i == 0); /* palette 1 */
    for (uint32_t t = 0; t < LOOP_TILES; t++) {
        byte[CONFIG_COLUMNS + 2 * t] = llvm_int(p, p->types[DT_u8], TILE_SIDE * 4);
        byte[CONFIG_ROWS + t] = llvm_int(p, p->types[DT_u8], TILE_SIDE);
    }
    LLVMSetAlignment(LLVMBuildStore(p->builder, LLVMConstVector(byte, CONFIG_BYTES), at), CONFIG_BYTES);
    llvm_intrinsic(p, "llvm.x86.ldtilecfg", NULL, 0, &at, 1);
    return NULL;
}

LLVMValueRef llvm_tile_op(LlvmPrinter *p, const LInst *inst) {
    LLVMValueRef in[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < inst->imm.n_ints && i < COUNT(in); i++) in[i] = llvm_int(p, p->types[DT_u8], inst->imm.ints[i]);
    if (inst->n_in) {
        int64_t each = dtype_bytes((DType)llvm_loop_type(p, inst->in[0]).dtype);
        in[1] = llvm_address(p, inst->in[0], inst->in[1]);
        in[2] = LLVMBuildMul(p->builder, llvm_operand(p, inst->in[2]), llvm_int(p, p->types[DT_i64], each), "");
    }
    switch ((int)inst->op) {
    case LOP_tile_begin: return begin(p);
    case LOP_tile_end: llvm_intrinsic(p, "llvm.x86.tilerelease", NULL, 0, NULL, 0); return NULL;
    case LOP_tile_zero: llvm_intrinsic(p, "llvm.x86.tilezero", NULL, 0, in, 1); return NULL;
    case LOP_tile_load: llvm_intrinsic(p, "llvm.x86.tileloadd64", NULL, 0, in, 3); return NULL;
    case LOP_tile_store: llvm_intrinsic(p, "llvm.x86.tilestored64", NULL, 0, in, 3); return NULL;
    case LOP_tile_dot_bf16: llvm_intrinsic(p, "llvm.x86.tdpbf16ps", NULL, 0, in, 3); return NULL;
    default: BUG(p->cx, "'%s' is no tile op", lop_info[inst->op].name);
    }
}
