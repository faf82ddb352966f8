/* loop_print.c: Loop IR as text; docs/loop-ir.md is the grammar.
 *
 * Canonical: values are numbered in the order of the text, parameters first, so that printing what loop_parse read gives
 * the same bytes.  A parameter is written by its name where that is an identifier no other parameter has.  An empty yield
 * and an else that holds nothing else are left out. */
#include "loop.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct Printer {
    const LFunc *f;
    Text *out;
    uint32_t *number;   /* by value id; 0: not defined in the function */
    uint32_t next;
    const char **named; /* by value id: a parameter's name, or NULL */
} Printer;

/* ---- names -------------------------------------------------------------------------------------------------------- */

static void number_value(Printer *p, LVal v) {
    if (v.id < p->f->types.n && !p->number[v.id]) p->number[v.id] = ++p->next;
}

static void number_block(Printer *p, const LBlock *block) {
    if (!block) return;
    for (uint32_t i = 0; i < block->n_args; i++) number_value(p, block->args[i]);
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        for (uint32_t k = 0; k < inst->n_out; k++) number_value(p, inst->out[k]);
        for (uint32_t k = 0; k < inst->n_blocks; k++) number_block(p, inst->blocks[k]);
    }
}

static bool is_identifier(const char *name) {
    if (!name || !((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_')) return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$")] == 0;
}

static bool name_is_unique(const LFunc *f, uint32_t param) {
    for (uint32_t i = 0; i < f->n_params; i++)
        if (i != param && f->params[i].name && strcmp(f->params[i].name, f->params[param].name) == 0) return false;
    return true;
}

static Printer printer_new(const LFunc *f, Text *out) {
    Printer p = {.f = f, .out = out};
    uint32_t n = f->types.n + 1;
    p.number = arena_new_array(out->arena, uint32_t, n);
    p.named = arena_new_array(out->arena, const char *, n);
    for (uint32_t i = 0; i < f->n_params; i++) {
        const LParam *param = &f->params[i];
        number_value(&p, param->value);
        if (param->value.id < n && is_identifier(param->name) && name_is_unique(f, i))
            p.named[param->value.id] = param->name;
    }
    number_block(&p, f->body);
    return p;
}

static void print_value(Printer *p, LVal v) {
    if (v.id >= p->f->types.n)
        text_add(p->out, "%%?%u", v.id);
    else if (p->named[v.id])
        text_add(p->out, "%%%s", p->named[v.id]);
    else if (p->number[v.id])
        text_add(p->out, "%%%u", p->number[v.id]);
    else
        text_add(p->out, "%%?%u", v.id);
}

static void print_values(Printer *p, const LVal *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (i) text_add(p->out, ", ");
        print_value(p, v[i]);
    }
}

static LType type_of(const Printer *p, LVal v) {
    return v.id < p->f->types.n ? p->f->types.at[v.id] : (LType){0, 0, 0};
}

static void print_types(Printer *p, const LVal *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        text_add(p->out, i ? ", " : " : ");
        lt_print(p->out, type_of(p, v[i]));
    }
}

static void print_symbol(Text *out, const char *name) {
    text_add(out, "@");
    if (is_identifier(name))
        text_add(out, "%s", name);
    else
        text_quote(out, name ? name : "");
}

/* ---- instructions ------------------------------------------------------------------------------------------------- */

static void print_float(Text *out, LType t, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value) && bits != UINT64_C(0x7FF8000000000000))
        text_add(out, "nan(0x%" PRIx64 ")", bits);
    else if (isnan(value))
        text_add(out, "nan");
    else if (t.dtype == DT_f32)
        text_add_f32(out, (float)value);
    else
        text_add_f64(out, value);
}

static void print_const(Printer *p, const LInst *inst) {
    LType t = inst->n_out ? type_of(p, inst->out[0]) : (LType){0, 0, 0};
    if (t.pointer)
        text_add(p->out, " null");
    else if (t.dtype == DT_f32 || t.dtype == DT_f64) {
        text_add(p->out, " ");
        print_float(p->out, t, inst->imm.f);
    } else if (t.dtype == DT_bool)
        text_add(p->out, inst->imm.i ? " true" : " false");
    else if (t.dtype == DT_u64)
        text_add(p->out, " %" PRIu64, (uint64_t)inst->imm.i);
    else
        text_add(p->out, " %" PRId64, inst->imm.i);
}

static void print_ints(Text *out, const int64_t *ints, uint32_t n) {
    text_add(out, " [");
    for (uint32_t i = 0; i < n; i++) text_add(out, i ? ", %" PRId64 : "%" PRId64, ints[i]);
    text_add(out, "]");
}

/* Operands, symbol and immediates of everything that has no blocks. */
static void print_plain(Printer *p, const LInst *inst) {
    Text *out = p->out;
    switch ((int)inst->op) {
    case LOP_const: print_const(p, inst); return;
    case LOP_symbol_addr:
        text_add(out, " ");
        print_symbol(out, inst->imm.text);
        return;
    case LOP_alloc: text_add(out, " %" PRId64, inst->imm.i); return;
    case LOP_call:
    case LOP_launch:
    case LOP_defer:
        text_add(out, " ");
        print_symbol(out, inst->imm.text);
        text_add(out, "(");
        print_values(p, inst->in, inst->n_in);
        text_add(out, ")");
        return;
    case LOP_call_pointer:
        text_add(out, " ");
        print_values(p, inst->in, inst->n_in ? 1 : 0);
        text_add(out, "(");
        if (inst->n_in) print_values(p, inst->in + 1, inst->n_in - 1);
        text_add(out, ")");
        return;
    default: break;
    }
    if (inst->n_in) text_add(out, " ");
    print_values(p, inst->in, inst->n_in);
    if (inst->op == LOP_shuffle || inst->imm.n_ints) print_ints(out, inst->imm.ints, inst->imm.n_ints);
    if (inst->op == LOP_extract || inst->op == LOP_insert) print_ints(out, &inst->imm.i, 1);
    if (lop_info[inst->op].class_ == LC_MEMORY && inst->imm.i) text_add(out, " align %" PRId64, inst->imm.i);
}

static void print_iter(Printer *p, const LInst *inst, uint32_t first_in, uint32_t first_arg) {
    const LBlock *body = inst->blocks[0];
    if (inst->n_in <= first_in) return;
    text_add(p->out, " iter(");
    for (uint32_t i = 0; first_in + i < inst->n_in; i++) {
        if (i) text_add(p->out, ", ");
        if (body && first_arg + i < body->n_args) print_value(p, body->args[first_arg + i]);
        text_add(p->out, " = ");
        print_value(p, inst->in[first_in + i]);
    }
    text_add(p->out, ")");
}

/* The line up to its opening brace. */
static void print_line(Printer *p, const LInst *inst) {
    Text *out = p->out;
    print_values(p, inst->out, inst->n_out);
    LOp op = inst->op < LOP_COUNT ? inst->op : LOP_none;
    text_add(out, "%s%s", inst->n_out ? " = " : "", lop_info[op].name);
    switch ((int)op) {
    case LOP_for:
        if (inst->n_in < 2 || !inst->blocks[0] || !inst->blocks[0]->n_args) return;
        text_add(out, "%s ", inst->kind == LOOP_UNROLLED ? " unrolled" : "");
        print_value(p, inst->blocks[0]->args[0]);
        text_add(out, " = ");
        print_value(p, inst->in[0]);
        text_add(out, " to ");
        print_value(p, inst->in[1]);
        text_add(out, " step %" PRId64, inst->imm.i);
        print_iter(p, inst, 2, 1);
        break;
    case LOP_while: print_iter(p, inst, 0, 0); break;
    default: print_plain(p, inst);
    }
    print_types(p, inst->out, inst->n_out);
}

void loop_print_inst(const LFunc *f, const LInst *inst, Text *out) {
    Printer p = printer_new(f, out);
    print_line(&p, inst);
}

/* ---- functions ---------------------------------------------------------------------------------------------------- */

static bool is_empty(const LBlock *block) {
    return !block || (block->insts.n == 1 && block->insts.at[0].op == LOP_yield && block->insts.at[0].n_in == 0);
}

static void print_block(Printer *p, const LBlock *block, int indent) {
    if (!block) return;
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (inst->op == LOP_yield && inst->n_in == 0) continue;
        text_add(p->out, "%*s", indent, "");
        print_line(p, inst);
        if (inst->n_blocks) {
            text_add(p->out, " {\n");
            print_block(p, inst->blocks[0], indent + 2);
            if (inst->n_blocks > 1 && !is_empty(inst->blocks[1])) {
                text_add(p->out, "%*s} else {\n", indent, "");
                print_block(p, inst->blocks[1], indent + 2);
            }
            text_add(p->out, "%*s}", indent, "");
        }
        text_add(p->out, "\n");
    }
}

static void print_param(Printer *p, const LParam *param) {
    print_value(p, param->value);
    if (param->name && !p->named[param->value.id]) {
        text_add(p->out, " ");
        text_quote(p->out, param->name);
    }
    text_add(p->out, ": ");
    lt_print(p->out, param->type);
    if (param->flags & LP_NOALIAS) text_add(p->out, " noalias");
    if (param->flags & LP_READONLY) text_add(p->out, " readonly");
    if (param->flags & LP_WRITEONLY) text_add(p->out, " writeonly");
    if (param->align) text_add(p->out, " align %u", param->align);
}

/* On the rest of the header's line, so that it can be read back: one line, with \n and \\ for what would end it. */
static void print_comment(Text *out, const char *comment) {
    text_add(out, " // ");
    for (const char *c = comment; *c; c++) {
        if (*c == '\n')
            text_add(out, "\\n");
        else if (*c == '\\')
            text_add(out, "\\\\");
        else
            text_add_n(out, c, 1);
    }
}

static void print_tier(const LFunc *f, Text *out) {
    if (f->variant_of) {
        text_add(out, " variant of ");
        print_symbol(out, f->variant_of);
    }
    if (!f->target) return;
    text_add(out, " for ");
    text_quote(out, f->target->name);
}

void loop_print_func(const LFunc *f, Text *out) {
    static const char *const keyword[] = {"func", "export", "kernel", "extern"};
    Printer p = printer_new(f, out);
    text_add(out, "%s ", keyword[f->kind]);
    print_symbol(out, f->name);
    if (f->same_text) {
        print_tier(f, out);
        text_add(out, "\n");
        return;
    }
    text_add(out, "(");
    for (uint32_t i = 0; i < f->n_params; i++) {
        if (i) text_add(out, ", ");
        print_param(&p, &f->params[i]);
    }
    text_add(out, ")");
    if (f->result.dtype != DT_none) {
        text_add(out, " -> ");
        lt_print(out, f->result);
    }
    print_tier(f, out);
    if (f->body) text_add(out, " {");
    if (f->comment && f->comment[0]) print_comment(out, f->comment);
    text_add(out, "\n");
    if (!f->body) return;
    print_block(&p, f->body, 2);
    text_add(out, "}\n");
}

/* ---- the module --------------------------------------------------------------------------------------------------- */

enum { INLINE_BYTES = 64, BLOB_ALIGN = 64 };

static void print_hex(Text *out, const uint8_t *bytes, uint64_t n) {
    static const char digit[] = "0123456789abcdef";
    text_add(out, "x\"");
    for (uint64_t i = 0; i < n; i++) {
        const char pair[2] = {digit[bytes[i] >> 4], digit[bytes[i] & 15]};
        text_add_n(out, pair, 2);
    }
    text_add(out, "\"");
}

static bool text_sink(void *text, const void *bytes, size_t n) {
    text_add_n(text, bytes, n);
    return true;
}

static void print_bytes(const LoopModule *m, const LData *d, Text *out, Text *blob) {
    static const char zeros[BLOB_ALIGN] = {0};
    if (!d->bytes && !d->n_parts) {
        text_add(out, "zero(%" PRIu64 ")", d->size);
    } else if (blob && d->size > INLINE_BYTES) {
        if (blob->n % BLOB_ALIGN) text_add_n(blob, zeros, BLOB_ALIGN - blob->n % BLOB_ALIGN);
        text_add(out, "blob(%zu, %" PRIu64 ")", blob->n, d->size);
        FilePiece piece = loop_data_piece(m, d);
        piece_put(&piece, text_sink, blob);
    } else {
        print_hex(out, loop_data_bytes(m, d), d->size);
    }
}

static void print_data(const LoopModule *m, const LData *d, Text *out, Text *blob) {
    text_add(out, "data ");
    print_symbol(out, d->name);
    text_add(out, " align %u", d->align);
    if (d->flags & LD_EXPORT) text_add(out, " export");
    if (d->flags & LD_WRITABLE) text_add(out, " writable");
    if (d->flags & LD_WEIGHTS) text_add(out, " weights");
    text_add(out, " = ");
    print_bytes(m, d, out, blob);
    if (d->n_relocs) text_add(out, " relocs [");
    for (uint32_t i = 0; i < d->n_relocs; i++) {
        const LReloc *r = &d->relocs[i];
        text_add(out, "%s%" PRIu64 ": ", i ? ", " : "", r->offset);
        print_symbol(out, r->symbol);
        if (r->addend) text_add(out, "%+" PRId64, r->addend);
    }
    text_add(out, d->n_relocs ? "]\n" : "\n");
}

void loop_print(const LoopModule *m, Text *out, Text *blob) {
    text_add(out, "loop ");
    print_symbol(out, m->name);
    for (uint32_t i = 0; i < m->tiers.n; i++) {
        text_add(out, i ? " " : " target ");
        text_quote(out, m->tiers.at[i]->name);
    }
    text_add(out, "\n");
    for (uint32_t i = 0; i < m->notes.n; i++) {
        text_add(out, "note ");
        text_quote(out, m->notes.at[i].key);
        text_add(out, " = ");
        text_quote(out, m->notes.at[i].text);
        text_add(out, "\n");
    }
    for (uint32_t i = 0; i < m->datas.n; i++) print_data(m, &m->datas.at[i], out, blob);
    for (uint32_t i = 0; i < m->funcs.n; i++) {
        text_add(out, "\n");
        loop_print_func(m->funcs.at[i], out);
    }
}
