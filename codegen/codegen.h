/* codegen.h: from kernels to native code: lowering to Loop IR, its printers, and the tools behind them.
 *
 * The one header of codegen/.  Everything here reports through the Context's diagnostics and returns false or NULL after
 * an error.  No call leaves a temporary file, a process or a foreign object behind: what lives longer than the call
 * hangs on the Context's clean-up list.
 */
#pragma once
#include "loop.h"

/* ---- launch.c: launches as calls, before any printer ---------------------------------------------------------------- */

/* The module without `launch`.  Where the note "threads" is "1", arguments are packed into 8-byte slots on the stack and
 * the runtime's ingot_rt_launch(context, thunk, slots, n, pieces) calls a generated thunk `<kernel>__task`; otherwise the
 * kernel is called over [0, n) directly.  An empty range gives status 0 without a call.  Functions that launch nothing are
 * shared with the argument.  The printers below call it themselves. */
const LoopModule *loop_legalise_launch(const LoopModule *);

/* ---- emit_c.c emit_c_func.c emit_c_ops.c emit_c_data.c ---------------------------------------------------------------- */

/* One self-contained C99 text that gcc, clang and tcc compile to the same bits.  No #include under these three. */
typedef struct EmitC {
    bool external_weights;   /* LD_WEIGHTS objects are declared only: the linker or the JIT supplies them */
    const char *before;      /* text put in front (the runtime), or NULL */
    const char *const *declared; /* names of functions that `before` declares, so that the module must not */
    uint32_t n_declared;
    /* One text of several: only the functions for this target; data goes with the lowest.  What one text needs of another
     * has external linkage, to be hidden by the compiler's options. NULL: all of the module. */
    const Target *part;
    bool one_tier;           /* the text compiles for one tier alone, INGOT_RT_TIER, which the compiler's macros choose */
} EmitC;
NODISCARD bool emit_c(const LoopModule *, const EmitC *, Text *out);
/* The targets of a module's functions, lowest first: its parts.  codegen/emit_c_parts.c */
Tiers emit_c_parts(const LoopModule *);

/* ---- emit_llvm.c emit_llvm_func.c emit_llvm_ops.c emit_llvm_memory.c -------------------------------------------------- */

typedef struct EmitLlvm {
    bool external_weights;
    bool verify;             /* runs LLVM's verifier: tests, --verify-each */
    int32_t opt_level;       /* of the code generator: 0..3; the passes before it are always the light pipeline */
} EmitLlvm;
typedef enum LlvmForm { LLVM_OBJECT, LLVM_ASSEMBLY, LLVM_TEXT, LLVM_TEXT_RAW /* before the passes */ } LlvmForm;
/* The module as an object, assembly or .ll text; bytes live as long as the Context.  Depends on the module alone: never
 * on the build host's CPU, paths or time.  In builds without LLVM: a diagnostic. */
NODISCARD bool emit_llvm(const LoopModule *, const EmitLlvm *, LlvmForm, const uint8_t **bytes, size_t *n);
bool have_llvm(void);

/* ---- tool_llvm.c tool_tcc.c tool_cc.c: running compilers -------------------------------------------------------------- */

/* Machine code in this process. Freed with the Context unless detached, then by code_free. */
typedef struct LoadedCode LoadedCode;
typedef struct CodeSymbol { const char *name; void *address; } CodeSymbol;
void *code_find(LoadedCode *, const char *symbol); /* NULL where absent */
void code_detach(LoadedCode *);                    /* from now on it outlives the Context */
void code_free(LoadedCode *);                      /* only after code_detach */

/* Links one object with the symbols given and those of this process. */
LoadedCode *llvm_load(Context *, const uint8_t *object, size_t n, const CodeSymbol *symbols, uint32_t n_symbols);
/* C text of emit_c.  libtcc makes its pages writable and executable at once: a host that forbids that has no tcc tier. */
LoadedCode *tcc_load(Context *, const char *c_text, const CodeSymbol *symbols, uint32_t n_symbols);
NODISCARD bool tcc_object(Context *, const char *c_text, const char *path);
bool have_tcc(void);
/* Runs a C compiler of the system (cc_or_null: the first of cc, gcc, clang on PATH) on C text; target may be NULL. */
NODISCARD bool cc_object(Context *, const char *cc_or_null, const Target *, const char *c_text, size_t n, const char *path);

/* ---- temporary.c ------------------------------------------------------------------------------------------------------- */

/* A private folder, removed with all in it by temporary_remove or with the Context.  NULL after a diagnostic. */
typedef struct Temporary Temporary;
Temporary *temporary_new(Context *);
const char *temporary_path(Temporary *, const char *name);
void temporary_remove(Temporary *);

/* ---- tool_link.c archive.c elf.c elf_fill.c: objects to artifacts ------------------------------------------------------- */

typedef struct LinkShared {
    const char *path;        /* of the shared object */
    const char *soname;
    const char *const *objects; /* paths */
    uint32_t n_objects;
    const char *const *exports; /* every other symbol becomes local */
    uint32_t n_exports;
    const char *linker;      /* NULL: ld.lld-19, ld.lld, else cc -shared */
} LinkShared;
/* Same inputs, same bytes. */
NODISCARD bool link_shared(Context *, const LinkShared *);
bool link_leaves_holes(Context *);   /* the linker that link_shared finds does */

/* A static library in GNU ar format with a symbol index; no times, owners or paths in it. */
typedef struct ArchiveMember {
    const char *name;
    const uint8_t *bytes;
    size_t n;
    const char *symbol;      /* the one symbol of a member made of pieces */
    const FilePieces *pieces;    /* where bytes is NULL */
} ArchiveMember;
NODISCARD bool archive_pieces(Context *, const char *path, const ArchiveMember *, uint32_t n,
                              FilePieces *out); /* path: for messages */

/* An ELF64 x86-64 object of one read-only 64-aligned data symbol.  hole: without its content, which elf_fill puts into what
 * was linked with it; false where the linker did not leave it free: only those for which link_leaves_holes do. */
#define ELF_HOLE ".ingot.data"
NODISCARD bool elf_data(Context *, const char *symbol, const FilePiece *data, bool hole, FilePieces *out);
NODISCARD bool elf_fill(Context *, const uint8_t *linked, size_t n, const FilePiece *data, FilePieces *out);
/* Calls each(user, name) for the defined global symbols of an ELF64 object; false where it is not one. */
bool elf_each_symbol(const uint8_t *object, size_t n, void (*each)(void *user, const char *name), void *user);

