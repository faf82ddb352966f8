/* tool_llvm.c: links an object into this process with LLVM's ORC.
 *
 * Objects are position-independent and reach symbols from outside through the GOT, so that weights and runtime functions may
 * lie at any distance.  Symbols given by name win over those of the process (libc, libm).  No thread of LLVM's runs.
 */
#include "loaded.h"
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void initialise(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static void discard(LLVMErrorRef error) {
    if (error) LLVMConsumeError(error);
}
static void release(void *jit) { discard(LLVMOrcDisposeLLJIT(jit)); }
static void *find(void *jit, const char *symbol) {
    LLVMOrcExecutorAddress at = 0;
    LLVMErrorRef error = LLVMOrcLLJITLookup(jit, &at, symbol);
    if (!error) return (void *)(uintptr_t)at;
    discard(error);
    return NULL;
}

static bool failed(Context *cx, LLVMErrorRef error, const char *what) {
    if (!error) return false;
    char *message = LLVMGetErrorMessage(error);
    diag_error(cx, (Loc){0}, "LLVM: %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return true;
}

static bool define_symbols(Context *cx, LLVMOrcLLJITRef jit, LLVMOrcJITDylibRef library, const CodeSymbol *symbols,
                           uint32_t n) {
    if (n) {
        LLVMOrcCSymbolMapPair *pairs = arena_new_array(cx->arena, LLVMOrcCSymbolMapPair, n);
        for (uint32_t i = 0; i < n; i++) {
            pairs[i].Name = LLVMOrcLLJITMangleAndIntern(jit, symbols[i].name);
            pairs[i].Sym.Address = (uintptr_t)symbols[i].address;
            pairs[i].Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported;
        }
        LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, n);
        LLVMErrorRef error = LLVMOrcJITDylibDefine(library, unit);
        if (error) LLVMOrcDisposeMaterializationUnit(unit);
        if (failed(cx, error, "symbols of the host")) return false;
    }
    LLVMOrcDefinitionGeneratorRef process = NULL;
    LLVMErrorRef error =
        LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
    if (failed(cx, error, "symbols of this process")) return false;
    LLVMOrcJITDylibAddGenerator(library, process);
    return true;
}

LoadedCode *llvm_load(Context *cx, const uint8_t *object, size_t n, const CodeSymbol *symbols, uint32_t n_symbols) {
    LLVMOrcLLJITRef jit = NULL;
    pthread_once(&once, initialise);
    if (failed(cx, LLVMOrcCreateLLJIT(&jit, NULL), "in-process linker")) return NULL;
    LoadedCode *code = code_new(cx, jit, find, release); /* first of all: later steps may unwind */
    if (!code) return NULL;
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit);
    bool ok = define_symbols(cx, jit, library, symbols, n_symbols);
    if (ok) {
        LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy((const char *)object, n, "module");
        ok = !failed(cx, LLVMOrcLLJITAddObjectFile(jit, library, buffer), "object"); /* takes the buffer */
    }
    if (ok) return code;
    code_detach(code);
    code_free(code);
    return NULL;
}
