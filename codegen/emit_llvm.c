/* emit_llvm.c: Loop IR -> LLVM module -> object, assembly or text, in memory.
 *
 * The passes are a light pipeline (reference: a sixth of -O3's time and the same objects, since kernels arrive scheduled);
 * no vectoriser, no unroller, no fast-math.  Output depends on the module alone: the triple, CPU and features are the
 * Target's, names are the module's, and nothing is asked of the build host.
 */
#include "emit_llvm.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <string.h>

#define PASSES                                                                                                         \
    "function(early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),gvn,dce),globaldce"

bool have_llvm(void) { return true; }

/* LLVM's table of targets is its own global state; filling it once is all that is shared between compilations. */
static pthread_once_t targets_once = PTHREAD_ONCE_INIT;
static void initialise_targets(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static void dispose_buffer(void *buffer) { LLVMDisposeMemoryBuffer(buffer); }
static void dispose_text(void *text) { LLVMDisposeMessage(text); }
static void dispose(void *printer) {
    LlvmPrinter *p = printer;
    if (p->layout) LLVMDisposeTargetData(p->layout);
    if (p->machine) LLVMDisposeTargetMachine(p->machine);
    if (p->builder) LLVMDisposeBuilder(p->builder);
    if (p->module) LLVMDisposeModule(p->module);
    if (p->context) LLVMContextDispose(p->context);
    p->layout = NULL, p->machine = NULL, p->builder = NULL, p->module = NULL, p->context = NULL;
}

/* Takes over an LLVM message. */
static bool report(LlvmPrinter *p, const char *what, char *message) {
    diag_error(p->cx, (Loc){0}, "LLVM: %s: %s", what, message ? message : "no details");
    LLVMDisposeMessage(message);
    return false;
}

static bool create_machine(LlvmPrinter *p) {
    const Target *t = loop_target(p->m, NULL);
    const char *triple = t ? t->triple : "x86_64-unknown-linux-gnu", *cpu = t ? t->cpu : "x86-64";
    static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                                 LLVMCodeGenLevelAggressive};
    int32_t level = p->options->opt_level;
    pthread_once(&targets_once, initialise_targets);
    LLVMTargetRef target = NULL;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) return report(p, triple, message);
    p->machine = LLVMCreateTargetMachine(target, triple, cpu, t ? t->features : "", levels[level < 0 || level > 3 ? 2 : level],
                                         LLVMRelocPIC, LLVMCodeModelSmall);
    if (!p->machine) {
        diag_error(p->cx, (Loc){0}, "LLVM: no code generator for %s, %s", triple, cpu);
        return false;
    }
    p->layout = LLVMCreateTargetDataLayout(p->machine);
    LLVMSetTarget(p->module, triple);
    LLVMSetModuleDataLayout(p->module, p->layout);
    return true;
}

static void create_types(LlvmPrinter *p) {
    LLVMContextRef c = p->context;
    static const struct {
        uint8_t dtype, bits;
    } integers[] = {{DT_bool, 1}, {DT_i8, 8},   {DT_u8, 8},   {DT_i16, 16}, {DT_u16, 16},
                    {DT_i32, 32}, {DT_u32, 32}, {DT_i64, 64}, {DT_u64, 64}};
    for (size_t i = 0; i < COUNT(integers); i++) p->types[integers[i].dtype] = LLVMIntTypeInContext(c, integers[i].bits);
    p->types[DT_f32] = LLVMFloatTypeInContext(c);
    p->types[DT_f64] = LLVMDoubleTypeInContext(c);
    p->i1 = p->types[DT_bool];
    p->ptr = LLVMPointerTypeInContext(c, 0);
}

static bool run_passes(LlvmPrinter *p) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(p->module, PASSES, p->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return true;
    char *message = LLVMGetErrorMessage(error);
    diag_error(p->cx, (Loc){0}, "LLVM: passes: %s", message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static bool verify(LlvmPrinter *p) {
    char *message = NULL;
    bool broken = LLVMVerifyModule(p->module, LLVMReturnStatusAction, &message);
    if (broken) diag_error(p->cx, (Loc){0}, "LLVM: the printed module is invalid, please report: %s", message);
    LLVMDisposeMessage(message);
    return !broken;
}

static bool emit_machine(LlvmPrinter *p, LlvmForm form, const uint8_t **bytes, size_t *n) {
    LLVMMemoryBufferRef buffer = NULL;
    char *message = NULL;
    LLVMCodeGenFileType type = form == LLVM_OBJECT ? LLVMObjectFile : LLVMAssemblyFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(p->machine, p->module, type, &message, &buffer))
        return report(p, "code generation", message);
    *n = LLVMGetBufferSize(buffer);
    Cleanup *guard = context_defer(p->cx, dispose_buffer, buffer);
    *bytes = arena_copy(p->cx->arena, LLVMGetBufferStart(buffer), *n);
    context_cancel(guard);
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

static void emit_text(LlvmPrinter *p, const uint8_t **bytes, size_t *n) {
    char *text = LLVMPrintModuleToString(p->module);
    Cleanup *guard = context_defer(p->cx, dispose_text, text);
    *n = strlen(text);
    *bytes = arena_copy(p->cx->arena, text, *n + 1);
    context_cancel(guard);
    LLVMDisposeMessage(text);
}

static bool print_module(LlvmPrinter *p) {
    p->context = LLVMContextCreate();
    p->module = LLVMModuleCreateWithNameInContext(p->m->name, p->context);
    p->builder = LLVMCreateBuilderInContext(p->context);
    create_types(p);
    if (!create_machine(p)) return false;
    for (uint32_t i = 0; i < p->m->funcs.n; i++) llvm_declare(p, p->m->funcs.at[i]);
    llvm_data(p);
    for (uint32_t i = 0; i < p->m->funcs.n; i++)
        if (p->m->funcs.at[i]->body) llvm_function(p, p->m->funcs.at[i]);
    return !p->options->verify || verify(p);
}

bool emit_llvm(const LoopModule *module, const EmitLlvm *options, LlvmForm form, const uint8_t **bytes, size_t *n) {
    static const EmitLlvm defaults = {.opt_level = 2};
    LlvmPrinter *p = arena_new_array(module->arena, LlvmPrinter, 1);
    p->m = loop_legalise_launch(module);
    p->cx = module->cx;
    p->arena = module->arena;
    p->options = options ? options : &defaults;
    Cleanup *guard = context_defer(p->cx, dispose, p);
    bool ok = print_module(p);
    if (ok && form != LLVM_TEXT_RAW) ok = run_passes(p);
    if (ok && (form == LLVM_TEXT || form == LLVM_TEXT_RAW)) emit_text(p, bytes, n);
    else if (ok) ok = emit_machine(p, form, bytes, n);
    context_cancel(guard);
    dispose(p);
    return ok;
}
