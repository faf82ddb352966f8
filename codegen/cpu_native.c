/* cpu_native.c: this machine as a list for --cpu: what `native` stands for.
 *
 * Cache sizes are what the CPU says of itself (cpuid); the C library's answers may add up the last caches of a whole socket.  A
 * size that nobody tells, or that no cache has, is left out: the tier's own counts.
 * Source: Intel SDM 2A, CPUID leaf 4; AMD APM 3, CPUID Fn8000_001D, which has the same form.
 */
#include "artifact.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
#define LEAF_EXTENDED 0x80000001u
#define LEAF_AMD      0x8000001Du
enum {
    LEAF_INTEL = 4,
    TOPOLOGY = 1 << 22 /* of the extended leaf: the AMD one is there */,
    CODE_ALONE = 2 /* type of a cache */,
    MOST_CACHES = 8
};

static Caches read_caches(void) {
    Caches c = {0};
    uint32_t a = 0, b = 0, sets = 0, d = 0;
    bool amd = __get_cpuid(LEAF_EXTENDED, &a, &b, &sets, &d) && sets & TOPOLOGY;
    for (uint32_t i = 0; i < MOST_CACHES; i++) {
        if (!__get_cpuid_count(amd ? LEAF_AMD : LEAF_INTEL, i, &a, &b, &sets, &d) || !(a & 31)) break;
        if ((a & 31) == CODE_ALONE) continue;
        int64_t bytes = ((int64_t)(b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * ((int64_t)sets + 1);
        uint32_t level = a >> 5 & 7;
        if (level == 1) c.l1 = bytes;
        if (level == 2) c.l2 = bytes;
        if (level >= 2) c.last = bytes > c.last ? bytes : c.last;
    }
    return c;
}
#else
static Caches read_caches(void) { return (Caches){0}; }
#endif

const char *cpu_native(Arena *arena) {
    Tiers all = {0};
    for (uint32_t i = 0; i < n_targets && all.n < MAX_TIERS; i++) all.at[all.n++] = &targets[i];
    Caches c = read_caches();
    Text list = text_new(arena);
    text_add(&list, "%s", cpu_best(arena, &all)->name);
    if (c.l1 > 0 && c.l2 >= c.l1 && c.last >= c.l2)
        text_add(&list, ",l1=%lld,l2=%lld,last=%lld", (long long)c.l1, (long long)c.l2, (long long)c.last);
    return list.at;
}
