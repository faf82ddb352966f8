/* target.c: what passes and templates know of a machine, as one table.
 *
 * The names are the x86-64 psABI micro-architecture levels; `features` are LLVM's spellings and
 * what an artifact checks at load.  The baseline has no fma: a separate numeric class (design:
 * Numbers).  Its 16-byte vectors are SSE registers. Source: x86-64 psABI, section 3.1.1, table 3.1.
 * v4-bf16 is v4 with AVX512-BF16, v4-amx that with AMX-BF16.  Rows ascend: a machine runs the last row of an artifact whose features it has.
 * Cache sizes are the smallest common ones, not the build host's.
 */
#include <string.h>

#include "ir.h"

#define LINUX_X86 "x86_64-unknown-linux-gnu"
#define LEVEL2    "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define LEVEL3    LEVEL2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
#define LEVEL4    LEVEL3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
#define BF16      LEVEL4 ",+avx512bf16"
#define AMX       BF16 ",+amx-tile,+amx-bf16"

const Target targets[] = {
    {.name = "x86-64",
     .cpu = "x86-64",
     .triple = LINUX_X86,
     .features = "+sse2",
     .vector_bytes = 16,
     .vector_registers = 16,
     .fma = false,
     .c_macro = "__x86_64__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v3",
     .cpu = "x86-64-v3",
     .triple = LINUX_X86,
     .features = LEVEL3,
     .vector_bytes = 32,
     .vector_registers = 16,
     .fma = true,
     .c_macro = "__AVX2__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v4",
     .cpu = "x86-64-v4",
     .triple = LINUX_X86,
     .features = LEVEL4,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .c_macro = "__AVX512VL__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v4-bf16",
     .cpu = "x86-64-v4",
     .cc_options = {"-mavx512bf16"},
     .triple = LINUX_X86,
     .features = BF16,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .dot_bf16 = true,
     .c_macro = "__AVX512BF16__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v4-amx",
     .cpu = "x86-64-v4",
     .cc_options = {"-mavx512bf16", "-mamx-tile", "-mamx-bf16"},
     .triple = LINUX_X86,
     .features = AMX,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .dot_bf16 = true,
     .tiles_bf16 = true,
     .c_macro = "__AMX_BF16__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
};
const uint32_t n_targets = COUNT(targets);

#define FAMILY "x86-64-"

const char *target_short_name(const Target *t) {
    size_t n = strlen(FAMILY);
    return strncmp(t->name, FAMILY, n) == 0 ? t->name + n : t->name;
}

const Target *target_find(const char *name) {
    for (uint32_t i = 0; i < n_targets; i++)
        if (strcmp(targets[i].name, name) == 0 || strcmp(target_short_name(&targets[i]), name) == 0)
            return &targets[i];
    return NULL;
}

const Target *target_baseline(const Target *t) {
    const Target *lowest = targets;
    while (strcmp(lowest->triple, t->triple) != 0) lowest++;
    return lowest;
}

/* ---- several of them in one artifact ---- */

Tiers tiers_of(const Target *t) { return t ? (Tiers){.n = 1, .at = {t}} : (Tiers){0}; }

static bool unknown_target(Context *cx, const char *name) {
    Text known = text_new(cx->arena);
    const char **names = arena_new_array(cx->arena, const char *, n_targets);
    for (uint32_t i = 0; i < n_targets; i++) {
        names[i] = targets[i].name;
        text_add(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *close = closest_word(name, names, n_targets);
    diag_usage(cx, (Loc){0}, "unknown cpu '%s'%s%s%s; expected some of %s", name, close ? " (did you mean '" : "", close ? close : "",
               close ? "'?)" : "", known.at);
    return false;
}

bool tiers_parse(Context *cx, const char *list, Tiers *to) {
    bool chosen[COUNT(targets)] = {false};
    for (const char *at = list;; at++) {
        size_t n = strcspn(at, ",");
        const char *name = intern_n(cx, at, n);
        const Target *t = target_find(name);
        if (!t) return unknown_target(cx, name);
        chosen[t - targets] = true;
        at += n;
        if (!*at) break;
    }
    *to = (Tiers){0};
    for (uint32_t i = 0; i < n_targets && to->n < MAX_TIERS; i++)
        if (chosen[i]) to->at[to->n++] = &targets[i];
    for (uint32_t i = 1; i < to->n; i++) {
        if (to->at[i]->fma == to->at[0]->fma) continue;
        diag_usage(cx, (Loc){0}, "%s and %s differ in bits (fused multiply-add): one artifact cannot hold both; compile two",
                   to->at[0]->name, to->at[i]->name);
        return false;
    }
    return true;
}

Schedule schedule_for(const Attr *a, const Target *target) {
    Schedule s = a->as.schedule[0];
    for (uint32_t i = 1; i < a->n; i++)
        if (a->as.schedule[i].field[SCHED_tier] == target - targets + 1) s = a->as.schedule[i];
    s.field[SCHED_tier] = 0;
    return s;
}
