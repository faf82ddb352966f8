/* cpu_features.c: what CPU tiers need of a machine, as the rows that an artifact checks at create, and asked of this machine.
 *
 * The check itself is the runtime's (runtime/cpu.c), in artifacts and here alike.
 */
#include "artifact.h"
#include "ingot_frame.h"
#include <string.h>

#define LEAF_EXTENDED 0x80000001u
enum { SUBLEAF = 0x10000 };
typedef struct Feature { const char *name; uint32_t leaf; uint8_t reg, bit; } Feature; /* leaf + SUBLEAF * subleaf */
/* Ascending by leaf and subleaf.  The baseline's (fxsr, sse, sse2, x87, cx8, cmov) need no check.  Source: Intel SDM 2A,
 * CPUID. */
static const Feature features[] = {
    {"sse3", 1, 2, 0},       {"pclmul", 1, 2, 1},     {"ssse3", 1, 2, 9},      {"fma", 1, 2, 12},       {"cx16", 1, 2, 13},
    {"sse4.1", 1, 2, 19},    {"sse4.2", 1, 2, 20},    {"movbe", 1, 2, 22},     {"popcnt", 1, 2, 23},    {"aes", 1, 2, 25},
    {"xsave", 1, 2, 27},     {"avx", 1, 2, 28},       {"f16c", 1, 2, 29},      {"bmi", 7, 1, 3},        {"avx2", 7, 1, 5},
    {"bmi2", 7, 1, 8},       {"avx512f", 7, 1, 16},   {"avx512dq", 7, 1, 17},  {"avx512ifma", 7, 1, 21}, {"avx512cd", 7, 1, 28},
    {"avx512bw", 7, 1, 30},  {"avx512vl", 7, 1, 31},  {"avx512vbmi", 7, 2, 1}, {"avx512vnni", 7, 2, 11},
    {"avx512fp16", 7, 3, 23}, {"amx-bf16", 7, 3, 22}, {"amx-tile", 7, 3, 24},  {"amx-int8", 7, 3, 25},
    {"avx512bf16", SUBLEAF + 7, 0, 5},
    {"sahf", LEAF_EXTENDED, 2, 0}, {"lzcnt", LEAF_EXTENDED, 2, 5},
    {"avx (saved by the system)", INGOT_RT_SAVED, 0, 2}, {"avx512 (saved by the system)", INGOT_RT_SAVED, 0, 7},
    {"amx (saved by the system)", INGOT_RT_SAVED, 0, 18}, {"amx (granted by the system)", INGOT_RT_SAVED, INGOT_RT_GRANTED, 18},
};

static bool has_feature(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *s = list; (s = strchr(s, '+')); s++)
        if (strncmp(s + 1, name, n) == 0 && (s[n + 1] == ',' || s[n + 1] == 0)) return true;
    return false;
}

static bool needs(const char *list, const Feature *f) {
    if (f->leaf == INGOT_RT_SAVED) return has_feature(list, f->bit == 2 ? "avx" : f->bit == 7 ? "avx512f" : "amx-tile");
    if (strcmp(f->name, "xsave") == 0) return has_feature(list, "xsave") || has_feature(list, "avx");
    return has_feature(list, f->name);
}

/* Bit t: tier t needs it. */
static uint8_t needed_by(const Tiers *tiers, const Feature *f) {
    uint8_t mask = 0;
    for (uint32_t t = 0; t < tiers->n; t++) {
        bool x86 = strncmp(tiers->at[t]->triple, "x86_64", 6) == 0;
        if (x86 && needs(tiers->at[t]->features, f)) mask |= (uint8_t)(1u << t);
    }
    return mask;
}

const ingot_rt_feature *cpu_features(Arena *arena, const Tiers *tiers, uint32_t *n) {
    ingot_rt_feature *all = arena_new_array(arena, ingot_rt_feature, COUNT(features));
    *n = 0;
    for (uint32_t i = 0; i < COUNT(features); i++) {
        const Feature *f = &features[i];
        uint8_t mask = needed_by(tiers, f);
        if (!mask) continue;
        uint32_t subleaf = f->leaf < LEAF_EXTENDED ? f->leaf / SUBLEAF : 0;
        all[(*n)++] = (ingot_rt_feature){.leaf = f->leaf - SUBLEAF * subleaf, .subleaf = (uint8_t)subleaf, .reg = f->reg,
                                         .bit = f->bit, .tiers = mask, .name = f->name};
    }
    return all;
}

const Target *cpu_best(Arena *arena, const Tiers *tiers) {
    ingot_rt_model m = {.n_tiers = tiers->n};
    m.features = cpu_features(arena, tiers, &m.n_features);
    int32_t t = ingot_rt_cpu(&m, tiers->n, NULL);
    return tiers->at[t < 0 ? 0 : t];
}

/* Every "+name" of the target must be one that the artifact can check. */
static bool known_features(Context *cx, const char *list) {
    static const char *const base[] = {"sse", "sse2", "fxsr", "x87", "cx8", "cmov", "mmx", "64bit"};
    for (const char *s = list; (s = strchr(s, '+')); s++) {
        size_t n = strcspn(s + 1, ",");
        bool known = false;
        for (uint32_t i = 0; i < COUNT(base); i++) known = known || (strlen(base[i]) == n && strncmp(base[i], s + 1, n) == 0);
        for (uint32_t i = 0; i < COUNT(features); i++)
            known = known || (strlen(features[i].name) == n && strncmp(features[i].name, s + 1, n) == 0);
        if (known) continue;
        diag_error(cx, (Loc){0}, "artifacts cannot check for the CPU feature '%.*s': leave it out of --cpu", (int)n, s + 1);
        return false;
    }
    return true;
}

bool cpu_can_check(Context *cx, const Tiers *tiers) {
    for (uint32_t t = 0; t < tiers->n; t++)
        if (!known_features(cx, tiers->at[t]->features)) return false;
    return true;
}
