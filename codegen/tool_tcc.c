/* tool_tcc.c: compiles emitted C with libtcc: to code in this process in milliseconds, or to an object.
 *
 * Nothing of tcc's installation is needed: the text includes no header and calls no function of libtcc1.  What it calls
 * (libm, and memmove and memset for structs) is supplied by address.  libtcc's frames never see an unwinding: its messages
 * are gathered in memory of its own.  W^X: libtcc maps code writable and executable.
 */
#include "loaded.h"
#include <libtcc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2000 };
typedef struct Messages {
    size_t n;
    char text[MESSAGE_BYTES];
} Messages;

static void gather(void *user, const char *message) {
    Messages *m = user;
    size_t n = strlen(message), room = MESSAGE_BYTES - 1 - m->n;
    if (m->n && room > 2) memcpy(m->text + m->n, "; ", 2), m->n += 2, room -= 2;
    if (n > room) n = room;
    memcpy(m->text + m->n, message, n);
    m->n += n;
    m->text[m->n] = 0;
}

bool have_tcc(void) { return true; }

static void add_support(TCCState *state) {
#define FUNCTION(f) {#f, {.function = (void (*)(void))(f)}}
    static const struct {
        const char *name;
        union { void (*function)(void); void *address; } at;
    } support[] = {FUNCTION(floorf), FUNCTION(ceilf), FUNCTION(truncf), FUNCTION(rintf), FUNCTION(sqrtf), FUNCTION(fabsf),
                   FUNCTION(fmaf), FUNCTION(floor), FUNCTION(ceil), FUNCTION(trunc), FUNCTION(rint), FUNCTION(sqrt),
                   FUNCTION(fabs), FUNCTION(fma), FUNCTION(memmove), FUNCTION(memset), FUNCTION(memcpy)};
#undef FUNCTION
    for (size_t i = 0; i < COUNT(support); i++) tcc_add_symbol(state, support[i].name, support[i].at.address);
}

static TCCState *compile(Context *cx, const char *c_text, int output, Messages *messages) {
    TCCState *state = tcc_new();
    if (!state) {
        diag_error(cx, (Loc){0}, "libtcc: out of memory");
        return NULL;
    }
    tcc_set_error_func(state, messages, gather);
    tcc_set_options(state, "-nostdlib");
    tcc_set_output_type(state, output);
    if (tcc_compile_string(state, c_text) == 0) return state;
    tcc_delete(state);
    diag_error(cx, (Loc){0}, "libtcc rejects the emitted text, please report: %s", messages->text);
    return NULL;
}

static void *find(void *state, const char *symbol) { return tcc_get_symbol(state, symbol); }
static void release(void *state) { tcc_delete(state); }

LoadedCode *tcc_load(Context *cx, const char *c_text, const CodeSymbol *symbols, uint32_t n_symbols) {
    Messages messages = {0};
    TCCState *state = compile(cx, c_text, TCC_OUTPUT_MEMORY, &messages);
    if (!state) return NULL;
    add_support(state);
    for (uint32_t i = 0; i < n_symbols; i++) tcc_add_symbol(state, symbols[i].name, symbols[i].address);
    if (tcc_relocate(state, TCC_RELOCATE_AUTO) != 0) {
        tcc_delete(state);
        diag_error(cx, (Loc){0}, "libtcc cannot load the code: %s", messages.text);
        return NULL;
    }
    tcc_set_error_func(state, NULL, NULL);
    return code_new(cx, state, find, release);
}

bool tcc_object(Context *cx, const char *c_text, const char *path) {
    Messages messages = {0};
    TCCState *state = compile(cx, c_text, TCC_OUTPUT_OBJ, &messages);
    if (!state) return false;
    bool ok = tcc_output_file(state, path) == 0;
    tcc_delete(state);
    if (!ok) diag_error(cx, (Loc){0}, "libtcc cannot write '%s': %s", path, messages.text);
    return ok;
}
