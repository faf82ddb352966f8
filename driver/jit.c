/* jit.c: a complete Loop module to code in this process, behind the same `const ingot_model *` that a library gives.
 *
 * Of the CPU tiers asked for, a model is compiled for the best that this machine runs; Loop IR as it is.
 * The runtime is the one inside this process.  Weights are used where the module has them; the job's Context stays alive as
 * long as the model, because it owns code, weights and mapped files.
 */
#include "compile.h"
#include <string.h>

static LoadedCode *load(Job *job, const LoopModule *m) {
    Context *cx = job->cx;
    uint32_t n;
    const CodeSymbol *runtime = runtime_symbols(cx->arena, &n);
    CodeSymbol *symbols = arena_new_array(cx->arena, CodeSymbol, n + m->datas.n);
    memcpy(symbols, runtime, n * sizeof *symbols);
    const LData *weights = loop_weights(m);
    if (weights) symbols[n++] = (CodeSymbol){weights->name, (void *)(uintptr_t)loop_data_aligned(m, weights)};
    job_progress(job, "code");
    if (job->backend == BACKEND_llvm) {
        EmitLlvm o = {.external_weights = true, .opt_level = 2, .verify = (job->set.flags & INGOT_VERIFY) != 0};
        const uint8_t *object;
        size_t bytes;
        return emit_llvm(m, &o, LLVM_OBJECT, &object, &bytes) ? llvm_load(cx, object, bytes, symbols, n) : NULL;
    }
    EmitC o = {.external_weights = true};
    Text text = text_new(cx->arena);
    return emit_c(m, &o, &text) ? tcc_load(cx, text.at, symbols, n) : NULL;
}

static void close_code(InProcess *p) { code_free(p->code); }

bool jit_load(Job *job, InProcess *to) {
    job->tiers = (Tiers){.n = 1, .at = {cpu_best(job->cx->arena, &job->tiers)}, .caches = job->tiers.caches};
    const LoopModule *m = job_module(job);
    LoadedCode *code = m ? load(job, m) : NULL;
    void *at = code ? code_find(code, "ingot_model_v1") : NULL;
    ingot_get_model get;
    if (!code) return false;
    if (!at) {
        diag_error(job->cx, (Loc){0}, "%s has no function ingot_model_v1: it was not made by ingot", job->file);
        return false;
    }
    memcpy(&get, &at, sizeof get);
    const ingot_model *made = get();
    memcpy(&to->public, made, made->size);
    to->public.own = made->own;
    code_detach(code);
    to->code = code;
    to->close = close_code;
    return true;
}
