/* code.c: machine code in this process, whichever tool made it; and the answers of builds that lack a tool. */
#include "loaded.h"
#include <stdlib.h>

static void release(void *code) {
    LoadedCode *c = code;
    c->release(c->handle);
    free(c);
}

LoadedCode *code_new(Context *cx, void *handle, void *(*find)(void *, const char *), void (*release_handle)(void *)) {
    LoadedCode *c = malloc(sizeof *c);
    if (!c) {
        release_handle(handle);
        diag_error(cx, (Loc){0}, "out of memory for loaded code");
        return NULL;
    }
    *c = (LoadedCode){handle, find, release_handle, NULL};
    c->cleanup = context_defer(cx, release, c);
    return c;
}
void *code_find(LoadedCode *c, const char *symbol) { return c->find(c->handle, symbol); }
void code_detach(LoadedCode *c) {
    if (c->cleanup) context_cancel(c->cleanup);
    c->cleanup = NULL;
}
void code_free(LoadedCode *c) { release(c); }

#if !INGOT_WITH_LLVM
bool have_llvm(void) { return false; }
static bool no_llvm(Context *cx) {
    diag_error(cx, (Loc){0}, "this build of ingot has no LLVM; use the C backend, or build with INGOT_WITH_LLVM=ON");
    return false;
}
bool emit_llvm(const LoopModule *m, const EmitLlvm *options, LlvmForm form, const uint8_t **bytes, size_t *n) {
    (void)options, (void)form, (void)bytes, (void)n;
    return no_llvm(m->cx);
}
LoadedCode *llvm_load(Context *cx, const uint8_t *object, size_t n, const CodeSymbol *symbols, uint32_t n_symbols) {
    (void)object, (void)n, (void)symbols, (void)n_symbols;
    no_llvm(cx);
    return NULL;
}
#endif

#if !INGOT_WITH_TCC
bool have_tcc(void) { return false; }
static bool no_tcc(Context *cx) {
    diag_error(cx, (Loc){0}, "this build of ingot has no libtcc; build with INGOT_WITH_TCC=ON");
    return false;
}
LoadedCode *tcc_load(Context *cx, const char *c_text, const CodeSymbol *symbols, uint32_t n_symbols) {
    (void)c_text, (void)symbols, (void)n_symbols;
    no_tcc(cx);
    return NULL;
}
bool tcc_object(Context *cx, const char *c_text, const char *path) {
    (void)c_text, (void)path;
    return no_tcc(cx);
}
#endif
