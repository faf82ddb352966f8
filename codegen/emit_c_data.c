/* emit_c_data.c: data objects as C: byte strings, zero arrays, and structs where some slots hold addresses.
 *
 * A string literal is read many times faster than a list of numbers, by tcc and gcc alike; its escapes are octal and as
 * short as the next character permits.  Everything is declared first, since relocations may point anywhere.
 */
#include "emit_c.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool c_identifier(CPrinter *p, const char *name) {
    bool ok = isalpha((unsigned char)name[0]) || name[0] == '_';
    for (const char *s = name; *s; s++) ok = ok && (isalnum((unsigned char)*s) || *s == '_');
    if (!ok) {
        diag_error(p->cx, (Loc){0}, "C: '%s' is no identifier, so it cannot be a symbol of the emitted text", name);
        p->failed = true;
    }
    return ok;
}

static bool is_external(const CPrinter *p, const LData *d) {
    return (d->flags & LD_WEIGHTS && p->options->external_weights) || !p->has_data;
}

static void print_string(Text *out, const uint8_t *bytes, uint64_t n) {
    enum { LINE = 64 };
    for (uint64_t line = 0; line < n; line += LINE) {
        uint64_t end = n - line < LINE ? n : line + LINE;
        char text[4 * LINE + 8];
        size_t k = 0;
        text[k++] = '"';
        for (uint64_t i = line; i < end; i++) {
            uint8_t c = bytes[i];
            bool digit = i + 1 < end && bytes[i + 1] >= '0' && bytes[i + 1] <= '7';
            if (c >= 32 && c < 127 && c != '"' && c != '\\' && c != '?') {
                text[k++] = (char)c;
                continue;
            }
            text[k++] = '\\';
            if (c >= 64 || digit) text[k++] = (char)('0' + (c >> 6));
            if (c >= 8 || digit) text[k++] = (char)('0' + (c >> 3 & 7));
            text[k++] = (char)('0' + (c & 7));
        }
        text[k++] = '"';
        text[k++] = '\n';
        text_add_n(out, text, k);
    }
}

static const char *linkage(const CPrinter *p, const LData *d) {
    return d->flags & LD_EXPORT ? "EXPORT " : p->options->part ? "" : "MAYBE_UNUSED static ";
}
static void print_head(const CPrinter *p, Text *out, const LData *d, const char *type) {
    text_add(out, "%s%s%s %s", linkage(p, d), d->flags & LD_WRITABLE ? "" : "const ", type, d->name);
}

/* The struct's members: b<i> bytes before relocation i, p<i> the address. */
static void print_struct(Text *out, const LData *d) {
    uint64_t at = 0;
    text_add(out, "struct %s_data {", d->name);
    for (uint32_t i = 0; i <= d->n_relocs; i++) {
        uint64_t next = i < d->n_relocs ? d->relocs[i].offset : d->size;
        if (next > at) text_add(out, " u8 b%u[%llu];", i, (unsigned long long)(next - at));
        if (i < d->n_relocs) text_add(out, " void *p%u;", i);
        at = next + 8;
    }
    text_add(out, " };\n");
}

static void print_reloc(CPrinter *p, Text *out, const LReloc *r) {
    const LData *data = loop_data_find(p->m, r->symbol);
    const char *address = data && data->n_relocs && !is_external(p, data) ? "&" : "";
    if (r->addend) text_add(out, "(u8 *)%s%s + %lld", address, r->symbol, (long long)r->addend);
    else text_add(out, "(void *)%s%s", address, r->symbol);
}

static void print_struct_value(CPrinter *p, Text *out, const LData *d) {
    uint64_t at = 0;
    char type[512];
    snprintf(type, sizeof type, "struct %.480s_data", d->name);
    print_head(p, out, d, type);
    text_add(out, " ALIGNED(%u) = {", d->align < 8 ? 8 : d->align);
    for (uint32_t i = 0; i <= d->n_relocs; i++) {
        uint64_t next = i < d->n_relocs ? d->relocs[i].offset : d->size;
        if (next > at && d->bytes) {
            text_add(out, "\n");
            print_string(out, d->bytes + at, next - at);
            text_add(out, ",");
        } else if (next > at) {
            text_add(out, " {0},");
        }
        if (i < d->n_relocs) {
            text_add(out, " ");
            print_reloc(p, out, &d->relocs[i]);
            text_add(out, ",");
        }
        at = next + 8;
    }
    text_add(out, "};\n");
}

static void check_relocs(CPrinter *p, const LData *d) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < d->n_relocs; i++) {
        uint64_t offset = d->relocs[i].offset;
        if (offset % 8 || offset < at || offset + 8 > d->size) BUG(p->cx, "relocation %u of '%s'", i, d->name);
        at = offset + 8;
    }
}

/* What is named by a relocation or symbol_addr and defined nowhere in the module comes from outside. */
static void declare_foreign(CPrinter *p, Text *out, const char *symbol) {
    if (loop_data_find(p->m, symbol) || loop_func_find(p->m, symbol)) return;
    if (c_identifier(p, symbol) && c_define(p, arena_print(p->arena, "extern %s", symbol)))
        text_add(out, "extern u8 %s[];\n", symbol);
}
static void declare_foreign_of(CPrinter *p, Text *out, const LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (inst->op == LOP_symbol_addr) declare_foreign(p, out, inst->imm.text);
        for (uint32_t k = 0; k < inst->n_blocks; k++) declare_foreign_of(p, out, inst->blocks[k]);
    }
}

void c_data_declarations(CPrinter *p, Text *out) {
    for (uint32_t i = 0; i < p->m->datas.n; i++) {
        const LData *d = &p->m->datas.at[i];
        if (!c_identifier(p, d->name)) continue;
        check_relocs(p, d);
        if (is_external(p, d)) {
            text_add(out, "extern const u8 %s[];\n", d->name);
        } else if (d->n_relocs) {
            char type[512];
            print_struct(out, d);
            snprintf(type, sizeof type, "struct %.480s_data", d->name);
            print_head(p, out, d, type);
            text_add(out, ";\n");
        } else {
            print_head(p, out, d, "u8");
            text_add(out, "[%llu];\n", (unsigned long long)(d->size ? d->size : 1));
        }
    }
    for (uint32_t i = 0; i < p->m->datas.n; i++)
        for (uint32_t k = 0; k < p->m->datas.at[i].n_relocs; k++)
            declare_foreign(p, out, p->m->datas.at[i].relocs[k].symbol);
    for (uint32_t i = 0; i < p->m->funcs.n; i++)
        if (p->m->funcs.at[i]->body) declare_foreign_of(p, out, p->m->funcs.at[i]->body);
}

void c_data_definitions(CPrinter *p, Text *out) {
    for (uint32_t i = 0; i < p->m->datas.n; i++) {
        const LData *d = &p->m->datas.at[i];
        if (is_external(p, d)) continue;
        if (d->n_relocs) {
            print_struct_value(p, out, d);
            continue;
        }
        print_head(p, out, d, "u8");
        text_add(out, "[%llu]", (unsigned long long)(d->size ? d->size : 1));
        if (d->align > 1) text_add(out, " ALIGNED(%u)", d->align);
        if ((d->bytes || d->n_parts) && d->size) {
            text_add(out, " =\n");
            print_string(out, loop_data_bytes(p->m, d), d->size);
            text_add(out, ";\n");
        } else {
            text_add(out, " = {0};\n");
        }
    }
}
