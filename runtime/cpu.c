/* cpu.c: chooses the CPU tier that runs, and refuses machines that lack what the lowest one uses, before any of it runs.
 *
 * Compiled for the baseline.  An unknown leaf reads as a lower one on old machines; what needs leaf 7 needs features of leaf
 * 1 that these lack, too.  xgetbv comes last, so the machine has it; it is spelt in bytes for assemblers without it.
 * A text that a C compiler compiled for one tier (INGOT_RT_TIER) runs on no other.
 * Source: Intel SDM 2A, CPUID and XGETBV.
 */
#include "ingot_frame.h"

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
