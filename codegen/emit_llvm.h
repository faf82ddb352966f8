/* emit_llvm.h: shared by the files of the LLVM printer alone. */
#pragma once
#include "codegen.h"
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

/* One module being printed.  The foreign objects belong to the Context's clean-up list (an unwinding frees them too). */
typedef struct LlvmPrinter {
    Context *cx;
    Arena *arena;
    const LoopModule *m;
    const EmitLlvm *options;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
    LLVMTypeRef types[DT_COUNT], i1, ptr;
    /* the function being printed */
    const LFunc *func;
    LLVMValueRef llvm_func;
    LLVMBasicBlockRef entry;     /* of allocas */
    LLVMValueRef *value;         /* by value id */
    const LInst **def;           /* by value id: for constants */
    bool failed;
} LlvmPrinter;

/* emit_llvm_ops.c */
LLVMTypeRef llvm_type(LlvmPrinter *, LType);
LLVMTypeRef llvm_memory_type(LlvmPrinter *, LType);  /* bool as i8 */
LLVMValueRef llvm_int(LlvmPrinter *, LLVMTypeRef, int64_t);
LLVMValueRef llvm_splat(LlvmPrinter *, LLVMValueRef scalar, uint32_t lanes);
LLVMValueRef llvm_intrinsic(LlvmPrinter *, const char *name, LLVMTypeRef *overload, unsigned n_overload, LLVMValueRef *in,
                            unsigned n);
LLVMValueRef llvm_operand(LlvmPrinter *, LVal);
LType llvm_loop_type(LlvmPrinter *, LVal);
LLVMValueRef llvm_op(LlvmPrinter *, const LInst *);  /* CONST, elementwise, CAST and VECTOR classes */
/* emit_llvm_memory.c */
LLVMValueRef llvm_half(LlvmPrinter *, LLVMValueRef v, uint32_t i);                /* its lower (0) or upper (1) lanes */
LLVMValueRef llvm_halves(LlvmPrinter *, LLVMValueRef low, LLVMValueRef high);     /* both as one vector */
LLVMValueRef llvm_memory_op(LlvmPrinter *, const LInst *); /* NULL where there is no result */
LLVMValueRef llvm_address(LlvmPrinter *, LVal pointer, LVal index);
LLVMValueRef llvm_stack(LlvmPrinter *, uint64_t bytes);    /* 64-aligned, for the time of the function */
/* emit_llvm_tile.c */
LLVMValueRef llvm_tile_op(LlvmPrinter *, const LInst *);   /* NULL: there is no result */
/* emit_llvm_func.c */
void llvm_declare(LlvmPrinter *, const LFunc *);
void llvm_function(LlvmPrinter *, const LFunc *);
/* emit_llvm_data.c */
void llvm_data(LlvmPrinter *);
LLVMValueRef llvm_symbol(LlvmPrinter *, const char *name);
