/* cpu.c: refuses machines that lack what generated code uses, before any of it runs.  Compiled for the baseline.
 *
 * An unknown leaf reads as a lower one on old machines; what needs leaf 7 needs features of leaf 1 that these lack, too.
 * xgetbv comes last, so the machine has it; it is spelt in bytes for assemblers without it.
 * Source: Intel SDM 2A, CPUID and XGETBV.
 */
#include "ingot_frame.h"

ingot_status ingot_rt_cpu(const ingot_rt_model *m, ingot_error *err) {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__TINYC__))
    uint32_t leaf = 0, r[4] = {0, 0, 0, 0};
    for (const ingot_rt_feature *f = m->features, *end = f + m->n_features; f < end; f++) {
        if (f->leaf != leaf) {
            leaf = f->leaf;
            if (leaf == INGOT_RT_SAVED)
                __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(r[0]), "=d"(r[3]) : "c"(0));
            else
                __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
        }
        if (!(r[f->reg] >> f->bit & 1))
            return ingot_rt_error(err, "\012this machine lacks %s, which the model was compiled for", f->name, 0, 0, 0);
    }
#else
    (void)m, (void)err;
#endif
    return INGOT_OK;
}
