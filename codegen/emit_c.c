/* emit_c.c: Loop IR -> one C99 text: the prelude, the operations it uses, declarations, data, functions.
 *
 * The last step of the C and libtcc back ends.  The same module gives the same text.  Where arithmetic is defined down to
 * the bit: emit_c_ops.c; the two dialects of vectors: emit_c_prelude.c; control: emit_c_func.c; data: emit_c_data.c.
 */
#include "emit_c.h"
#include <string.h>

static bool is_declared(const EmitC *options, const char *name) {
    for (uint32_t i = 0; i < options->n_declared; i++)
        if (strcmp(options->declared[i], name) == 0) return true;
    return false;
}

static void print_types(const CPrinter *p, Text *out) {
    for (uint32_t lanes = 2; lanes <= MAX_LANES; lanes *= 2)
        if (p->lanes_used & lanes) text_add(out, "VECTORS_OF(%u)\n", lanes);
}

bool emit_c(const LoopModule *module, const EmitC *options, Text *out) {
    static const EmitC defaults = {0};
    if (!options) options = &defaults;
    const LoopModule *m = loop_legalise_launch(module);
    CPrinter p = {.cx = m->cx, .arena = m->arena, .m = m, .options = options};
    p.has_data = !options->part || emit_c_parts(m).at[0] == options->part;
    p.ops = text_new(m->arena);
    p.body = text_new(m->arena);
    p.defined = map_new(m->arena);
    Text head = text_new(m->arena);
    c_join_variants(&p, &head);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        const LFunc *f = m->funcs.at[i];
        if (!c_identifier(&p, f->name) || (f->kind == LF_EXTERN && is_declared(options, f->name))) continue;
        c_signature(&p, &head, f);
        text_add(&head, ";\n");
    }
    c_data_declarations(&p, &head);
    if (p.has_data) c_data_definitions(&p, &head);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        const LFunc *f = m->funcs.at[i];
        if (!f->body || !c_in_part(&p, f)) continue;
        bool guarded = c_guard_begin(&p, &p.body, f);
        c_function(&p, f);
        if (guarded) text_add(&p.body, "#endif\n");
    }
    if (p.failed) return false;
    if (options->one_tier) c_choose_tier(m, out);
    if (options->before) text_add(out, "%s\n", options->before);
    c_prelude(out);
    text_add(out, "\n");
    print_types(&p, out);
    text_add_n(out, p.ops.at ? p.ops.at : "", p.ops.n);
    text_add(out, "\n");
    text_add_n(out, head.at ? head.at : "", head.n);
    text_add_n(out, p.body.at ? p.body.at : "", p.body.n);
    return true;
}
