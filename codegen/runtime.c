/* runtime.c: which parts of the embedded runtime an artifact takes, as objects or as one C text, and the JIT's own.
 *
 * The parts are built and embedded by cmake/runtime.cmake.
 */
#include "artifact.h"
#include "ingot_frame.h"
#include "runtime_embed.h"
#include <string.h>

static const RuntimeFile *file_find(const char *name) {
    for (unsigned i = 0; i < n_runtime_files; i++)
        if (strcmp(runtime_files[i].name, name) == 0) return &runtime_files[i];
    return NULL;
}

/* A part: source file, and the object for each use; NULL: not part of it. */
enum { SINGLE, SINGLE_WEIGHTS, THREADS, THREADS_WEIGHTS, BARE, N_USES };
typedef struct Part { const char *source, *object[N_USES]; } Part;
static const Part parts[] = {
    {"error.c", {"error.o", "error.o", "error.o", "error.o", "error.o"}},
    {"cpu.c", {"cpu.o", "cpu.o", "cpu.o", "cpu.o", "cpu.o"}},
    {"rt.c", {"rt_single.o", "rt_single_weights.o", "rt_threads.o", "rt_threads_weights.o", "rt_bare.o"}},
    {"step.c", {"step.o", "step.o", "step.o", "step.o", "step_bare.o"}},
    {"launch.c", {NULL, NULL, "launch.o", "launch.o", NULL}},
    {"pool.c", {NULL, NULL, "pool.o", "pool.o", NULL}},
    {"quota.c", {NULL, NULL, "quota.o", "quota.o", NULL}},
    {"weights.c", {NULL, "weights.o", NULL, "weights.o", NULL}},
    {"self_test.c", {"self_test.o", "self_test.o", "self_test.o", "self_test.o", NULL}}, /* where asked for, */
    {"profile.c", {"profile.o", "profile.o", "profile.o", "profile.o", NULL}},           /* both */
};

static int use_index(RuntimeUse use) {
    return use.bare ? BARE : (use.threads ? THREADS : SINGLE) + (use.weights ? 1 : 0);
}

static const char *part_object(const Part *part, RuntimeUse use) {
    if (!use.tests && strcmp(part->source, "self_test.c") == 0) return NULL;
    if (!use.profile && strcmp(part->source, "profile.c") == 0) return NULL;
    if (use.grants && strcmp(part->source, "cpu.c") == 0) return "cpu_grants.o";
    return part->object[use_index(use)];
}

const RuntimeObject *runtime_objects(Arena *arena, RuntimeUse use, uint32_t *n) {
    RuntimeObject *out = arena_new_array(arena, RuntimeObject, COUNT(parts));
    *n = 0;
    for (uint32_t i = 0; i < COUNT(parts); i++) {
        const char *name = part_object(&parts[i], use);
        const RuntimeFile *f = name ? file_find(name) : NULL;
        if (f) out[(*n)++] = (RuntimeObject){f->name, f->bytes, f->n};
    }
    return out;
}

/* Text without its includes of our headers, which stand before it. */
static void add_source(Text *out, const char *name) {
    const RuntimeFile *f = file_find(name);
    for (const char *line = f ? (const char *)f->bytes : ""; *line;) {
        const char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) + 1 : strlen(line);
        if (strncmp(line, "#include \"", 10) != 0) text_add_n(out, line, n);
        line += n;
    }
}

const char *runtime_text(Arena *arena, RuntimeUse use) {
    Text out = text_new(arena);
    text_add(&out, "#if !defined(_GNU_SOURCE)\n#define _GNU_SOURCE\n#endif\n#define INGOT_RT_THREADS %d\n",
             use.threads && !use.bare);
    text_add(&out, "#define INGOT_RT_WEIGHTS %d\n#define INGOT_RT_HEAP %d\n", use.weights && !use.bare, !use.bare);
    if (use.grants) text_add(&out, "#define INGOT_RT_GRANTS 1\n");
    text_add(&out, "#if defined(__GNUC__) && !defined(__TINYC__)\n#define INGOT_RT_API static __attribute__((unused))\n"
                   "#else\n#define INGOT_RT_API static\n#endif\n");
    add_source(&out, "ingot_rt.h");
    add_source(&out, "ingot_frame.h");
    for (uint32_t i = 0; i < COUNT(parts); i++)
        if (part_object(&parts[i], use)) add_source(&out, parts[i].source);
    return out.at;
}

const char *runtime_header(void) {
    const RuntimeFile *f = file_find("ingot_rt.h");
    return f ? (const char *)f->bytes : "";
}

#define RUNTIME_FUNCTIONS(X)                                                                                           \
    X(create) X(destroy) X(reserve) X(run) X(cpu) X(error) X(launch) X(launch_together) X(step) X(pool_open)            \
    X(pool_close) X(weights_open) X(weights_close) X(use_weights) X(self_test) X(observe) X(begin) X(end)

const char *const *runtime_functions(uint32_t *n) {
#define NAME(f) "ingot_rt_" #f,
    static const char *const names[] = {RUNTIME_FUNCTIONS(NAME)};
#undef NAME
    *n = COUNT(names);
    return names;
}

/* A function's address as data: POSIX promises that the two have one representation. */
static void *address_of(void (*f)(void)) {
    void *p;
    memcpy(&p, &f, sizeof p);
    return p;
}

const CodeSymbol *runtime_symbols(Arena *arena, uint32_t *n) {
    CodeSymbol *table = arena_new_array(arena, CodeSymbol, 32);
    uint32_t i = 0;
#define ROW(f) table[i++] = (CodeSymbol){"ingot_rt_" #f, address_of((void (*)(void))ingot_rt_##f)};
    RUNTIME_FUNCTIONS(ROW)
#undef ROW
    *n = i;
    return table;
}
