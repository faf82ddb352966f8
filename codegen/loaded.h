/* loaded.h: what tool_llvm.c and tool_tcc.c fill in for code.c: machine code in this process. */
#pragma once
#include "codegen.h"

struct LoadedCode { /* malloc'd: it may outlive the Context */
    void *handle;
    void *(*find)(void *handle, const char *symbol);
    void (*release)(void *handle);
    Cleanup *cleanup; /* NULL once detached */
};
/* Takes over handle in every case: where there is no memory it is released and NULL returned, after a diagnostic. */
LoadedCode *code_new(Context *, void *handle, void *(*find)(void *, const char *), void (*release)(void *));
