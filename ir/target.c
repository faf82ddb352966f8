/* target.c: what passes and templates know of a machine, as one table.
 *
 * The names are the x86-64 psABI micro-architecture levels; `features` are LLVM's spellings and
 * what an artifact checks at load.  The baseline has no fma: a separate numeric class (design:
 * Numbers).  Its 16-byte vectors are SSE registers. Source: x86-64 psABI, section 3.1.1, table 3.1.
 * v4-vnni is v4 with AVX512-VNNI, v4-bf16 that with AVX512-BF16, which no CPU has alone, v4-amx that with AMX-BF16.  Rows
 * ascend: a machine runs the last row of an artifact whose features it has.
 * Cache sizes are the smallest common ones, never the build host's unless --cpu asks for them.
 */
#include <stddef.h>
#include <string.h>

#include "ir.h"

#define LINUX_X86 "x86_64-unknown-linux-gnu"
#define LEVEL2    "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2"
#define LEVEL3    LEVEL2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
#define LEVEL4    LEVEL3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
#define VNNI      LEVEL4 ",+avx512vnni"
#define BF16      VNNI ",+avx512bf16"
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
    {.name = "x86-64-v4-vnni",
     .cpu = "x86-64-v4",
     .cc_options = {"-mavx512vnni"},
     .triple = LINUX_X86,
     .features = VNNI,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .dot_u8 = true,
     .c_macro = "__AVX512VNNI__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v4-bf16",
     .cpu = "x86-64-v4",
     .cc_options = {"-mavx512vnni", "-mavx512bf16"},
     .triple = LINUX_X86,
     .features = BF16,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .dot_u8 = true,
     .dot_bf16 = true,
     .c_macro = "__AVX512BF16__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
    {.name = "x86-64-v4-amx",
     .cpu = "x86-64-v4",
     .cc_options = {"-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"},
     .triple = LINUX_X86,
     .features = AMX,
     .vector_bytes = 64,
     .vector_registers = 32,
     .fma = true,
     .dot_u8 = true,
     .dot_bf16 = true,
     .tiles_bf16 = true,
     .c_macro = "__AMX_BF16__",
     .l1_bytes = 32 << 10,
     .l2_bytes = 1 << 20,
     .last_bytes = 32 << 20},
};
const uint32_t n_targets = COUNT(targets);

#define FAMILY "x86-64-"
#define NATIVE "native" /* in a list of tiers */

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

Target tiers_target(const Tiers *tiers, uint32_t i) {
    Target t = *tiers->at[i];
    const Caches *given = &tiers->caches;
    if (given->l1) t.l1_bytes = given->l1;
    if (given->l2) t.l2_bytes = given->l2;
    if (given->last) t.last_bytes = given->last;
    return t;
}

static bool unknown_target(Context *cx, const char *name) {
    Text known = text_new(cx->arena);
    const char **names = arena_new_array(cx->arena, const char *, n_targets + 1);
    for (uint32_t i = 0; i < n_targets; i++) {
        names[i] = targets[i].name;
        text_add(&known, "%s, ", names[i]);
    }
    names[n_targets] = NATIVE;
    const char *close = closest_word(name, names, n_targets + 1);
    diag_usage(cx, (Loc){0}, "unknown cpu '%s'%s%s%s; expected some of %s" NATIVE, name, close ? " (did you mean '" : "",
               close ? close : "", close ? "'?)" : "", known.at);
    return false;
}

/* ---- sizes of caches ---- */

typedef struct CacheSize { const char *name; size_t field; int64_t least, most; } CacheSize;
static const CacheSize cache_sizes[] = {{"l1", offsetof(Caches, l1), 4 << 10, 1 << 20},
                                        {"l2", offsetof(Caches, l2), 32 << 10, 1 << 28},
                                        {"last", offsetof(Caches, last), 32 << 10, INT64_C(1) << 36}};

/* 48K, 1M, 2G, 49152; or -1. */
static int64_t bytes_of(const char *text) {
    int64_t n = 0;
    if (!*text) return -1;
    for (; *text >= '0' && *text <= '9'; text++)
        if (!ck_mul(n, 10, &n) || !ck_add(n, *text - '0', &n)) return -1;
    const char *unit = *text ? strchr("KMG", *text) : NULL;
    if (unit && !ck_mul(n, INT64_C(1) << (10 * (unit - "KMG" + 1)), &n)) return -1;
    return text[unit != NULL] ? -1 : n;
}

static bool take_size(Context *cx, const char *entry, const char *equals, Caches *to) {
    for (uint32_t i = 0; i < COUNT(cache_sizes); i++) {
        const CacheSize *c = &cache_sizes[i];
        if (strlen(c->name) != (size_t)(equals - entry) || strncmp(c->name, entry, (size_t)(equals - entry)) != 0) continue;
        int64_t n = bytes_of(equals + 1);
        if (n < c->least || n > c->most) {
            diag_usage(cx, (Loc){0}, "cpu: '%s' is no size of this cache: expected %lldK to %lldK, as in l1=48K,l2=1M,last=32M",
                       entry, (long long)(c->least >> 10), (long long)(c->most >> 10));
            return false;
        }
        memcpy((char *)to + c->field, &n, sizeof n);
        return true;
    }
    diag_usage(cx, (Loc){0}, "cpu: '%s' gives nothing that is known: expected l1=, l2= or last= and the size of this cache",
               entry);
    return false;
}

static bool caches_ascend(Context *cx, const Tiers *tiers) {
    for (uint32_t i = 0; i < tiers->n; i++) {
        Target t = tiers_target(tiers, i);
        if (t.l1_bytes <= t.l2_bytes && t.l2_bytes <= t.last_bytes) continue;
        diag_usage(
            cx, (Loc){0},
            "cpu: caches of %lldK, %lldK and %lldK on %s: expected that none is smaller than the one before; give l1=, l2= "
            "and last= together",
            (long long)(t.l1_bytes >> 10), (long long)(t.l2_bytes >> 10), (long long)(t.last_bytes >> 10), t.name);
        return false;
    }
    return true;
}

/* ---- a list of tiers ---- */

static bool take_entries(Context *cx, const char *list, const char *native, bool *chosen, Caches *caches) {
    for (const char *at = list;; at++) {
        size_t n = strcspn(at, ",");
        const char *entry = intern_n(cx, at, n), *equals = strchr(entry, '=');
        const Target *t = equals ? NULL : target_find(entry);
        if (equals && !take_size(cx, entry, equals, caches)) return false;
        if (!equals && native && strcmp(entry, NATIVE) == 0) {
            if (!take_entries(cx, native, NULL, chosen, caches)) return false;
        } else if (!equals && !t) {
            return unknown_target(cx, entry);
        }
        if (t) chosen[t - targets] = true;
        at += n;
        if (!*at) return true;
    }
}

bool tiers_parse(Context *cx, const char *list, const char *native, Tiers *to) {
    bool chosen[COUNT(targets)] = {false};
    *to = (Tiers){0};
    if (!take_entries(cx, list, native, chosen, &to->caches)) return false;
    for (uint32_t i = 0; i < n_targets && to->n < MAX_TIERS; i++)
        if (chosen[i]) to->at[to->n++] = &targets[i];
    if (!to->n) {
        diag_usage(cx, (Loc){0}, "cpu: '%s' gives sizes alone: expected a cpu as well, such as v3,v4,%s", list, list);
        return false;
    }
    for (uint32_t i = 1; i < to->n; i++) {
        if (to->at[i]->fma == to->at[0]->fma) continue;
        diag_usage(cx, (Loc){0}, "%s and %s differ in bits (fused multiply-add): one artifact cannot hold both; compile two",
                   to->at[0]->name, to->at[i]->name);
        return false;
    }
    return caches_ascend(cx, to);
}

Schedule schedule_for(const Attr *a, const Target *target) {
    Schedule s = a->as.schedule[0];
    for (uint32_t i = 1; i < a->n; i++)
        if (a->as.schedule[i].field[SCHED_tier] == target - targets + 1) s = a->as.schedule[i];
    s.field[SCHED_tier] = 0;
    return s;
}
