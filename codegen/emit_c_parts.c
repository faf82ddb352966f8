/* emit_c_parts.c: modules of several CPU tiers as C, whose compilers compile a text for one CPU.
 *
 * A library is made of parts, one text for each target, compiled with that target's options: the host program for the
 * baseline, kernels for their tiers.  A text for users (--emit=c) is whole, and serves the one tier that it is compiled for:
 * preprocessor conditions leave one function of each kernel, which has the names of all.
 */
#include "emit_c.h"

Tiers emit_c_parts(const LoopModule *m) {
    Tiers parts = {0};
    for (uint32_t t = 0; t < n_targets && parts.n < MAX_TIERS; t++)
        for (uint32_t i = 0; i < m->funcs.n; i++) {
            if (!m->funcs.at[i]->body || loop_target(m, m->funcs.at[i]) != &targets[t]) continue;
            parts.at[parts.n++] = &targets[t];
            break;
        }
    return parts;
}

bool c_in_part(const CPrinter *p, const LFunc *f) { return !p->options->part || loop_target(p->m, f) == p->options->part; }

void c_choose_tier(const LoopModule *m, Text *out) {
    for (uint32_t t = m->tiers.n; t-- > 1;)
        text_add(out, "#%s defined(%s)\n#define INGOT_RT_TIER %u\n", t + 1 < m->tiers.n ? "elif" : "if",
                 m->tiers.at[t]->c_macro, t);
    if (m->tiers.n > 1) text_add(out, "#else\n#define INGOT_RT_TIER 0\n#endif\n");
}

void c_join_variants(CPrinter *p, Text *out) {
    for (uint32_t i = 0; p->options->one_tier && i < p->m->funcs.n; i++) {
        const LFunc *f = p->m->funcs.at[i];
        if (f->variant_of) text_add(out, "#define %s %s\n", f->name, f->variant_of);
    }
}

bool c_guard_begin(CPrinter *p, Text *out, const LFunc *f) {
    uint32_t from, end;
    if (!p->options->one_tier || f->kind != LF_KERNEL) return false;
    loop_func_tiers(p->m, f, &from, &end);
    if (from == 0 && end >= p->m->tiers.n) return false;
    text_add(out, "\n#if INGOT_RT_TIER >= %u && INGOT_RT_TIER < %u", from, end);
    return true;
}
