/* cpu.c: chooses the CPU tier that runs, and refuses machines that lack what the lowest one uses, before any of it runs.
 *
 * Compiled for the baseline.  An unknown leaf reads as a lower one on old machines; what needs leaf 7 needs features of leaf
 * 1 that these lack, too.  xgetbv comes last, so the machine has it; it is spelt in bytes for assemblers without it.
 * A text that a C compiler compiled for one tier (INGOT_RT_TIER) runs on no other.
 * Tiles (AMX) are the process's once it asks for them; Linux may say no, for instance where a thread's signal stack is too
 * small.
 * Source: Intel SDM 2A, CPUID and XGETBV; Linux, Documentation/arch/x86/xstate.rst.
 */
#include "ingot_frame.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__TINYC__)) && INGOT_RT_GRANTS
/* Bit `component` where the process may use it: arch_prctl(ARCH_REQ_XCOMP_PERM, component), by its bytes: libc has no name
 * for it. */
static uint32_t granted(uint32_t component) {
    int64_t result = -1;
#if defined(__linux__)
    __asm__ volatile(".byte 0x0f, 0x05"
                     : "=a"(result)
                     : "a"((int64_t)158), "D"((int64_t)0x1023), "S"((int64_t)component)
                     : "rcx", "r11", "memory");
#endif
    return (uint32_t)(result == 0) << component;
}
#endif

int32_t ingot_rt_cpu(const ingot_rt_model *m, uint32_t end, ingot_error *err) {
#if defined(INGOT_RT_TIER)
    uint32_t lowest = INGOT_RT_TIER, mask = 1u << lowest;
    (void)end;
#else
    uint32_t lowest = 0, mask = (1u << end) - 1;
#endif
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__TINYC__))
    uint64_t asked = 0; /* leaf and subleaf: one comparison */
    uint32_t r[4]; /* set by the first feature: none is of leaf 0 */
    for (const ingot_rt_feature *f = m->features, *stop = f + m->n_features; f < stop; f++) {
        if (!(f->tiers & mask)) continue; /* also keeps xgetbv from machines that lack it */
        uint64_t wanted = f->leaf | (uint64_t)f->subleaf << 32;
        if (wanted != asked) {
            asked = wanted;
            if (f->leaf == INGOT_RT_SAVED)
                __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(r[0]), "=d"(r[3]) : "c"(f->subleaf));
            else
                __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(f->leaf), "c"(f->subleaf));
        }
#if INGOT_RT_GRANTS
        if (f->leaf == INGOT_RT_SAVED && f->reg == INGOT_RT_GRANTED) r[INGOT_RT_GRANTED] = granted(f->bit);
#endif
        if (r[f->reg] >> f->bit & 1) continue;
        mask &= ~(uint32_t)f->tiers;
        if (!mask) return -ingot_rt_error(err, "\012this machine lacks %s, which the model was compiled for", f->name, 0, 0, 0);
    }
#else
    (void)m, (void)err;
    mask = 1u << lowest;
#endif
    while (mask >> (lowest + 1)) lowest++;
    return (int32_t)lowest;
}
