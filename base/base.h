/* base.h: what every layer stands on, and the only header of base/.
 *
 * Memory, vectors, hash map, interned strings, checked arithmetic, diagnostics, small floats, files, SHA-256.
 *
 * One Context per compilation.  It owns all compiler memory (arenas), every other resource (its clean-up list), the
 * diagnostics, the limits, and the one jmp_buf that running out of memory or of budget unwinds to.  Inside the compiler
 * an allocation therefore never returns NULL.  Nothing here prints, exits, or keeps state outside the Context.
 *
 * Three failures, three verbs: the user's mistake is diag_error() with a location; our own is BUG(); the machine's is
 * diag_error() with the errno text.  After reporting, code returns poison (handle 0) and carries on, so that one run can
 * report several errors.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Context Context;
typedef struct Arena Arena;

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN               __attribute__((noreturn))
#define NODISCARD              __attribute__((warn_unused_result))
#else
#define PRINTF_LIKE(fmt, args)
#define NORETURN
#define NODISCARD
#endif
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- arena.c ------------------------------------------------------------------------------------------------------ */

/* Memory with one lifetime.  Allocations are zeroed, 16-byte aligned, poisoned under ASan after reset. */
Arena *arena_new(Context *cx); /* freed with cx, or earlier by arena_free */
void arena_free(Arena *);
void *arena_alloc(Arena *, size_t bytes);                       /* bytes may be 0; never NULL */
void *arena_copy(Arena *, const void *from, size_t bytes);
char *arena_print(Arena *, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define arena_new_array(arena, T, n) ((T *)arena_array(arena, sizeof(T), n))
void *arena_array(Arena *, size_t each, size_t n);              /* each * n is checked */

/* ---- context.c ---------------------------------------------------------------------------------------------------- */

/* Budgets of one compilation; 0 takes the default.  Exceeding one is a diagnostic and unwinds. */
typedef struct Limits {
    uint64_t memory_bytes; /* compiler memory, default 4 GiB */
    uint64_t fold_bytes;   /* one folded constant, default 64 MiB */
    uint64_t nodes;        /* per graph, default 1 M */
    uint64_t fuel;         /* abstract work of folding, proving and interpreting, default 2e9 */
} Limits;

typedef struct Cleanup Cleanup;
typedef void CleanupFn(void *);

struct Context {
    Arena *arena;             /* lives as long as the Context */
    Limits limits;
    uint64_t memory_used, fuel_used;
    struct Interner *strings; /* private to string.c */
    struct DiagList *diags;   /* private to diag.c */
    struct Mapping *mappings; /* private to file.c */
    struct IrTables *ir;      /* types, dims, symbols, constants; private to ir/ */
    Cleanup *cleanups;
    jmp_buf unwind;           /* armed by context_enter */
    bool armed;
    const char *bug;          /* text of the first BUG, if any */
};

/* NULL only if the machine has no memory at all. */
Context *context_new(const Limits *limits_or_null);
void context_free(Context *);
/* Usage: if (context_enter(cx)) { …work… } else { …it unwound; diagnostics say why… }  context_leave(cx) afterwards.
 * One entry at a time; never with a foreign frame (LLVM, libtcc) between entry and unwinding. */
#define context_enter(cx) ((cx)->armed = true, setjmp((cx)->unwind) == 0)
void context_leave(Context *);
NORETURN void context_unwind(Context *);
/* Registers fn(resource) to run at context_free (last registered first); cancel runs nothing. */
Cleanup *context_defer(Context *, CleanupFn *, void *resource);
void context_cancel(Cleanup *);
/* Spends fuel; over the limit it reports and unwinds. */
void context_spend(Context *, uint64_t fuel);

/* ---- vectors (header only) ---------------------------------------------------------------------------------------- */

/* VEC(T) name; growth takes arena memory, at[0..n).  vec_push returns nothing; vec_last is an lvalue. */
#define VEC(T)                                                                                                         \
    struct {                                                                                                           \
        T *at;                                                                                                         \
        uint32_t n, cap;                                                                                               \
    }
#define vec_push(arena, v, ...)                                                                                        \
    ((v)->n == (v)->cap ? (void)((v)->at = vec_grow(arena, (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at)) : (void)0,    \
     (v)->at[(v)->n++] = __VA_ARGS__)
#define vec_last(v) ((v)->at[(v)->n - 1])
void *vec_grow(Arena *, void *at, uint32_t n, uint32_t *cap, size_t each);

/* ---- map.c -------------------------------------------------------------------------------------------------------- */

/* Hash map from 64-bit keys to 32-bit values (0 means absent).  For structural keys: hash the structure, then probe with
 * map_find_next over equal hashes and compare. Iteration order is never used: output must not depend on it. */
typedef struct Map {
    Arena *arena;
    uint64_t *keys;
    uint32_t *values;
    uint32_t n, cap;
} Map;
Map map_new(Arena *);
uint32_t map_get(const Map *, uint64_t key);                    /* 0 where absent */
void map_set(Map *, uint64_t key, uint32_t value);              /* value != 0; replaces */
void map_add(Map *, uint64_t key, uint32_t value);              /* allows several values per key */
/* Iterates the values added under key: cursor starts at 0; returns 0 at the end. */
uint32_t map_next(const Map *, uint64_t key, uint32_t *cursor);
uint64_t hash_bytes(const void *, size_t bytes, uint64_t seed);
static inline uint64_t hash_mix(uint64_t h, uint64_t x) {
    h ^= x + UINT64_C(0x9E3779B97F4A7C15) + (h << 6) + (h >> 2);
    h *= UINT64_C(0xFF51AFD7ED558CCD);
    return h ^ (h >> 33);
}

/* ---- string.c ----------------------------------------------------------------------------------------------------- */

/* Interned: equal text, equal pointer.  Lives as long as cx.  NUL-terminated (embedded NULs end it). */
const char *intern(Context *, const char *text);
const char *intern_n(Context *, const char *text, size_t n);

/* A growing text. */
typedef struct Text {
    Arena *arena;
    char *at; /* NUL-terminated once anything was written */
    size_t n, cap;
} Text;
Text text_new(Arena *);
void text_add(Text *, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_add_n(Text *, const char *bytes, size_t n);
void text_quote(Text *, const char *text);                      /* with "", \\ \" \n \t \xHH escapes */
/* The shortest decimal that reads back as exactly this value; nan, inf, -inf spelt so.  f32: shortest for float. */
void text_add_f64(Text *, double);
void text_add_f32(Text *, float);
/* The candidate closest to `word` in edit distance (at most 1/3 of its length away), or NULL: for "did you mean". */
const char *closest_word(const char *word, const char *const *candidates, size_t n);

/* ---- checked arithmetic (header only) ----------------------------------------------------------------------------- */

static inline bool ck_add(int64_t a, int64_t b, int64_t *r) { return !__builtin_add_overflow(a, b, r); }
static inline bool ck_sub(int64_t a, int64_t b, int64_t *r) { return !__builtin_sub_overflow(a, b, r); }
static inline bool ck_mul(int64_t a, int64_t b, int64_t *r) { return !__builtin_mul_overflow(a, b, r); }
static inline bool ck_align_up(int64_t a, int64_t to, int64_t *r) {
    return ck_add(a, to - 1, r) && (*r &= ~(to - 1), true);     /* to: a power of two */
}
/* Saturating, with INT64_MIN and INT64_MAX as infinities; the caller sees to it that -inf never meets +inf. */
static inline int64_t sat_add(int64_t a, int64_t b) {
    if (a == INT64_MIN || a == INT64_MAX) return a;
    if (b == INT64_MIN || b == INT64_MAX) return b;
    int64_t r;
    return ck_add(a, b, &r) ? r : a < 0 ? INT64_MIN : INT64_MAX;
}
static inline int64_t sat_mul(int64_t a, int64_t b) {
    int64_t r;
    if (a == 0 || b == 0) return 0;
    bool infinite = a == INT64_MIN || a == INT64_MAX || b == INT64_MIN || b == INT64_MAX;
    if (!infinite && ck_mul(a, b, &r)) return r;
    return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}
static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a % b < 0) != (b < 0))); }
static inline int64_t floor_mod(int64_t a, int64_t b) { return a - b * floor_div(a, b); }

/* ---- diag.c ------------------------------------------------------------------------------------------------------- */

/* Where something came from: "model.onnx: node 'Conv_12' (Conv)" or "a.graph:12:8".  Interned; id 0 is nowhere. */
typedef struct Loc { uint32_t id; } Loc;
Loc loc_node(Context *, const char *file, const char *node, const char *op); /* node, op may be NULL */
Loc loc_text(Context *, const char *file, uint32_t line, uint32_t column);
/* Both, for merged nodes; joining equal or empty locations is the identity, and long joins are cut off. */
Loc loc_join(Context *, Loc, Loc);
const char *loc_string(Context *, Loc); /* "" for id 0 */
Loc loc_read(Context *, const char *text); /* the location whose loc_string is text, whole */

typedef enum DiagKind { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } DiagKind;
typedef struct Diag {
    DiagKind kind;
    Loc loc;
    const char *text; /* lower case, no full stop: found, expected, remedy */
} Diag;
void diag_error(Context *, Loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* An error that is the machine's, not the user's: a file, a tool, memory.  Counted apart, for the exit status. */
void diag_machine(Context *, Loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool diag_is_machine(const Context *);     /* any of them was */
/* An error in what was asked for, not in the model: counted apart as well. */
void diag_usage(Context *, Loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool diag_is_usage(const Context *);
void diag_warning(Context *, Loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_note(Context *, Loc, const char *fmt, ...) PRINTF_LIKE(3, 4); /* belongs to the diagnostic before it */
uint32_t diag_count(const Context *);      /* all of them; the texts of the first 100 are kept */
uint32_t diag_error_count(const Context *);
const Diag *diag_at(const Context *, uint32_t i); /* never NULL: beyond the first 100, a note that says so */
void diag_truncate(Context *, uint32_t n); /* drops those from n on (a failed attempt with a fallback) */

/* For arena.c and context.c: makes the list; reports an error that needs no memory, then unwinds. */
void diag_init(Context *);
NORETURN void diag_fatal(Context *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Our own mistake: records the text, reports it as a diagnostic that asks for a bug report, and unwinds. */
#define BUG(cx, ...) bug_at(cx, __FILE__, __LINE__, __VA_ARGS__)
NORETURN void bug_at(Context *, const char *file, int line, const char *fmt, ...) PRINTF_LIKE(4, 5);
#define REQUIRE(cx, condition) ((condition) ? (void)0 : BUG(cx, "violated: %s", #condition))

/* ---- float.c ------------------------------------------------------------------------------------------------------ */

/* Exact conversions of the small float formats; to_* rounds to nearest even, keeps NaN.  e4m3fn, e4m3fnuz, e5m2fnuz have
 * no infinity: overflow saturates where `saturate`, else gives NaN.  Source: OCP OFP8 1.0; arXiv 2206.02915. */
float f16_to_f32(uint16_t);
uint16_t f32_to_f16(float);
uint16_t f64_to_f16(double);               /* one rounding */
float bf16_to_f32(uint16_t);
uint16_t f32_to_bf16(float);
uint16_t f64_to_bf16(double);
typedef enum Float8 { F8_E4M3FN, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F8_E8M0, F4_E2M1 } Float8;
float f8_to_f32(Float8, uint8_t);
uint8_t f32_to_f8(Float8, float, bool saturate);

/* ---- file.c ------------------------------------------------------------------------------------------------------- */

/* A read-only mapping, unmapped with the context.  NULL on error, after a diagnostic with the errno text. */
const uint8_t *file_map(Context *, const char *path, size_t *bytes);
/* Opens name beneath the folder, following neither "..", absolute paths nor links out of it; reports and returns NULL
 * otherwise.  Source: ONNX ExternalDataSecurity; openat2(2) RESOLVE_BENEATH, with a component-wise fallback. */
const uint8_t *file_map_beneath(Context *, Loc, const char *folder, const char *name, size_t *bytes);
/* The pages of memory that lies in a mapping need not stay in memory: the next read fetches them from the file again. */
void file_release(Context *, const void *bytes, size_t n);
/* Runs argv[0] (searched on PATH), quiet; true where it exits 0, else reports what it printed. */
NODISCARD bool process_run(Context *, const char *const *argv);
const char *process_find(Context *, const char *const *names, size_t n); /* first on PATH, or NULL */
const char *path_folder(Context *, const char *path);                    /* "." where it has none */
const char *path_stem(Context *, const char *path);                      /* a/libfoo.so -> libfoo */

/* ---- file_write.c ------------------------------------------------------------------------------------------------- */

/* n bytes of a file to be: from memory, or as `produce` hands them to a sink one after the other, the same each time and
 * without touching an arena; or zeros. */
typedef bool SinkFn(void *sink, const void *bytes, size_t n); /* false: no more is wanted */
typedef struct FilePiece {
    const void *bytes;
    uint64_t n;
    bool (*produce)(const void *what, SinkFn *, void *sink);  /* where bytes is NULL */
    const void *what;
} FilePiece;
typedef VEC(FilePiece) FilePieces;
bool piece_put(const FilePiece *, SinkFn *, void *sink); /* false where the sink said so */
/* Writes beside the target and renames: a failure leaves nothing.  mode e.g. 0644. */
NODISCARD bool file_write(Context *, const char *path, const void *bytes, size_t n, int mode);
NODISCARD bool file_write_pieces(Context *, const char *path, const FilePieces *, int mode);

/* ---- sha256.c ----------------------------------------------------------------------------------------------------- */

/* FIPS 180-4. */
typedef struct Sha256 { uint32_t h[8]; uint64_t n; uint8_t block[64]; } Sha256;
void sha256_init(Sha256 *);
void sha256_add(Sha256 *, const void *, size_t);
void sha256_end(Sha256 *, uint8_t out[32]);
bool sha256_sink(void *sha, const void *bytes, size_t n); /* a SinkFn */
extern const uint32_t sha256_round_constants[64];
/* sha256_x86.c: n blocks by the machine's own instructions; false where it has none. */
bool sha256_blocks_x86(uint32_t h[8], const uint8_t *blocks, size_t n);
