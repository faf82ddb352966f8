/* cpu.c: refuses machines that lack what generated code uses, before any of it runs.  Compiled for the baseline.
 *
 * An unknown leaf reads as a lower one on old machines; what needs leaf 7 needs features of leaf 1 that these lack, too.
 * xgetbv is spelt in bytes for assemblers without it.  Source: Intel SDM 2A, CPUID and XGETBV.
 */
#include "ingot_frame.h"

ingot_status ingot_rt_cpu(const ingot_rt_model *m, ingot_error *err) {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__TINYC__))
    const char *missing = "";
    uint32_t leaf = 0, r[4] = {0, 0, 0, 0};
    ingot_status rc = INGOT_OK;
    char names[160];
    uint32_t at = 0;
    for (const ingot_rt_feature *f = m->features, *end = f + m->n_features; f < end; f++) {
        if (f->leaf == INGOT_RT_SAVED) {
            if (rc) break; /* xgetbv itself may be missing */
            __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(r[0]), "=d"(r[3]) : "c"(0));
        } else if (f->leaf != leaf) {
            leaf = f->leaf;
            __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
        }
        if (r[f->reg] >> f->bit & 1) continue;
        rc = INGOT_E_CPU;
        for (missing = f->name; *missing && at < sizeof names - 2; missing++) names[at++] = *missing;
        names[at++] = ' ';
    }
    if (!rc) return rc;
    names[at - 1] = 0;
    return ingot_rt_error(err, "\012this machine lacks %s, which the model was compiled for", names);
#else
    (void)m, (void)err;
    return INGOT_OK;
#endif
}
