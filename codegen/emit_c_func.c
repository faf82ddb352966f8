/* emit_c_func.c: prints one function of Loop IR as a C function.
 *
 * A value is a local variable v<id>; scalar constants stand where they are used.  A result of for, while or if is a variable
 * declared before the statement; a block's carried argument is a copy of it made on entry, so that the assignments of a
 * yield need no order.  All pointers are u8 *, and accesses go through may_alias types (emit_c_ops.c).
 */
#include "emit_c.h"
#include <string.h>

static void print_block(CPrinter *p, const LBlock *, const LVal *results, const char *again);

static LType type_of(const CPrinter *p, LVal v) { return p->func->types.at[v.id]; }

static void indent(CPrinter *p) {
    static const char spaces[] = "                                ";
    int n = p->depth * 4;
    text_add(&p->body, "%.*s", n > 32 ? 32 : n, spaces);
}
/* A name or a literal, of which macros may make several copies. */
void c_use(CPrinter *p, LVal v) {
    if (c_is_integer_literal(p, v)) {
        LType t = type_of(p, v);
        if (t.pointer) text_add(&p->body, "((u8 *)0)");
        else c_literal(p, &p->body, (DType)t.dtype, p->def[v.id]);
    } else {
        text_add(&p->body, "v%u", v.id);
    }
}
static void use_list(CPrinter *p, const LVal *in, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (i) text_add(&p->body, ", ");
        c_use(p, in[i]);
    }
}
/* "const T v7 = ", or with mutable "T v7 = ". */
static void declare(CPrinter *p, LVal v, bool constant) {
    LType t = type_of(p, v);
    const char *type = c_type(p, t);
    indent(p);
    if (t.pointer) text_add(&p->body, "%s%sv%u", type, constant ? "const " : "", v.id);
    else text_add(&p->body, "%s%s v%u", constant ? "const " : "", type, v.id);
}

static void print_call_of(CPrinter *p, const char *name, const LVal *in, uint32_t n) {
    text_add(&p->body, "%s(", name);
    use_list(p, in, n);
    text_add(&p->body, ")");
}

/* ---- instructions with a result ---- */

static void print_constant(CPrinter *p, const LInst *inst, LVal out) {
    LType t = type_of(p, out);
    if (t.lanes == 1) return; /* a literal at each use */
    const char *splat = c_op(p, LOP_splat, lt_scalar((DType)t.dtype), t);
    declare(p, out, true);
    text_add(&p->body, " = %s(", splat);
    c_literal(p, &p->body, (DType)t.dtype, inst);
    text_add(&p->body, ");\n");
}

static void print_shuffle(CPrinter *p, const LInst *inst, LVal out) {
    LType a = type_of(p, inst->in[0]), r = type_of(p, out);
    if (a.lanes > 1 && r.lanes > 1) {
        const char *v = c_type(p, a);
        indent(p);
        text_add(&p->body, "SHUFFLE(%s, v%u, %s, %u, %u, v%u, v%u", c_type(p, r), out.id, v, a.lanes, r.lanes, inst->in[0].id,
                 inst->in[1].id);
        for (uint32_t i = 0; i < inst->imm.n_ints; i++) text_add(&p->body, ", %d", (int)inst->imm.ints[i]);
        text_add(&p->body, ");\n");
        return;
    }
    bool mask = dtype_is_bool((DType)a.dtype);
    declare(p, out, false);
    text_add(&p->body, ";\n");
    for (uint32_t i = 0; i < r.lanes; i++) {
        uint32_t from = (uint32_t)inst->imm.ints[i];
        LVal source = inst->in[from >= a.lanes];
        indent(p);
        if (r.lanes > 1) text_add(&p->body, "LANE(v%u, %u) = %s(", out.id, i, mask ? "TO_MASK" : "SAME");
        else text_add(&p->body, "v%u = (", out.id);
        if (a.lanes > 1) {
            text_add(&p->body, "%s(", mask ? "ON" : "LANE");
            c_use(p, source);
            text_add(&p->body, ", %u)", from % a.lanes);
        } else {
            c_use(p, source);
        }
        text_add(&p->body, ");\n");
    }
}

static void print_lookup(CPrinter *p, const LInst *inst, LVal out) {
    LType r = type_of(p, out);
    indent(p);
    if (r.lanes == 1) text_add(&p->body, "LOOKUP1(v%u, ", out.id);
    else
        text_add(&p->body, "%s(%s, v%u, %u, ", r.lanes == TABLE ? "LOOKUP16" : "LOOKUP", c_type(p, r), out.id,
                 (unsigned)r.lanes);
    c_use(p, inst->in[0]);
    for (uint32_t i = 0; i < inst->imm.n_ints; i++) text_add(&p->body, ", 0x%xu", (unsigned)inst->imm.ints[i]);
    text_add(&p->body, ");\n");
}

/* Vector ops of one lane are identities, or stand for scalar expressions.  true where it printed. */
static bool print_single_lane(CPrinter *p, const LInst *inst, LVal out) {
    LType r = type_of(p, out);
    if (inst->op == LOP_iota || inst->op == LOP_lane_mask) {
        if (r.lanes > 1) return false;
        declare(p, out, true);
        text_add(&p->body, " = ");
        if (inst->op == LOP_lane_mask) { text_add(&p->body, "0 < "); c_use(p, inst->in[0]); }
        else text_add(&p->body, "0");
        text_add(&p->body, ";\n");
        return true;
    }
    bool reduces = inst->op >= LOP_reduce_add && inst->op <= LOP_reduce_or;
    bool copies = (inst->op == LOP_splat && r.lanes == 1) ||
                  ((inst->op == LOP_extract || inst->op == LOP_insert || reduces) && type_of(p, inst->in[0]).lanes == 1);
    if (!copies) return false;
    declare(p, out, true);
    text_add(&p->body, " = ");
    c_use(p, inst->in[inst->op == LOP_insert]);
    text_add(&p->body, ";\n");
    return true;
}

static bool print_vector(CPrinter *p, const LInst *inst, LVal out) {
    if (inst->op == LOP_shuffle) { print_shuffle(p, inst, out); return true; }
    if (inst->op == LOP_lookup) { print_lookup(p, inst, out); return true; }
    if (inst->op != LOP_iota && lop_info[inst->op].class_ != LC_VECTOR) return false;
    if (print_single_lane(p, inst, out)) return true;
    bool mask = dtype_is_bool((DType)type_of(p, inst->op == LOP_iota ? out : inst->in[0]).dtype);
    if (inst->op == LOP_extract) {
        declare(p, out, true);
        text_add(&p->body, " = %s(v%u, %d);\n", mask ? "ON" : "LANE", inst->in[0].id, (int)inst->imm.i);
        return true;
    }
    if (inst->op == LOP_insert) {
        declare(p, out, false);
        text_add(&p->body, " = v%u;\n", inst->in[0].id);
        indent(p);
        text_add(&p->body, "LANE(v%u, %d) = %s(", out.id, (int)inst->imm.i, mask ? "TO_MASK" : "SAME");
        c_use(p, inst->in[1]);
        text_add(&p->body, ");\n");
        return true;
    }
    return false;
}

/* The scalar forms of masked accesses: c ? access : nothing. */
static bool print_scalar_masked(CPrinter *p, const LInst *inst) {
    bool loads = inst->op == LOP_load_masked || inst->op == LOP_gather_masked;
    bool stores = inst->op == LOP_store_masked || inst->op == LOP_scatter_masked;
    if (!loads && !stores && inst->op != LOP_gather) return false;
    LType t = type_of(p, loads || inst->op == LOP_gather ? inst->out[0] : inst->in[2]);
    if (t.lanes > 1) return false;
    const char *name = c_op(p, stores ? LOP_store : LOP_load, t, t);
    if (stores) {
        indent(p);
        text_add(&p->body, "if (");
        c_use(p, inst->in[3]);
        text_add(&p->body, ") ");
        print_call_of(p, name, inst->in, 3);
    } else {
        declare(p, inst->out[0], true);
        text_add(&p->body, " = ");
        if (loads) {
            c_use(p, inst->in[2]);
            text_add(&p->body, " ? ");
        }
        print_call_of(p, name, inst->in, 2);
        if (loads) text_add(&p->body, " : 0");
    }
    text_add(&p->body, ";\n");
    return true;
}

static bool print_pointer(CPrinter *p, const LInst *inst) {
    int bytes = 8;
    switch ((int)inst->op) {
    case LOP_symbol_addr: {
        const LData *data = loop_data_find(p->m, inst->imm.text);
        bool record = data && data->n_relocs;
        declare(p, inst->out[0], true);
        text_add(&p->body, " = (u8 *)%s%s;\n", record ? "&" : "", inst->imm.text);
        return true;
    }
    case LOP_offset:
        bytes = (int)dtype_bytes((DType)type_of(p, inst->out[0]).dtype);
        declare(p, inst->out[0], true);
        text_add(&p->body, " = ");
        c_use(p, inst->in[0]);
        text_add(&p->body, " + ");
        c_use(p, inst->in[1]);
        text_add(&p->body, bytes > 1 ? " * %d;\n" : ";\n", bytes);
        return true;
    case LOP_recast:
        declare(p, inst->out[0], true);
        text_add(&p->body, " = ");
        c_use(p, inst->in[0]);
        text_add(&p->body, ";\n");
        return true;
    case LOP_alloc: return true; /* declared on entry */
    case LOP_prefetch:
        indent(p);
        bytes = (int)dtype_bytes((DType)type_of(p, inst->in[0]).dtype);
        text_add(&p->body, "PREFETCH(");
        c_use(p, inst->in[0]);
        text_add(&p->body, " + ");
        c_use(p, inst->in[1]);
        text_add(&p->body, " * %d);\n", bytes);
        return true;
    default: return false;
    }
}

/* ---- control ---- */

static void print_for(CPrinter *p, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    for (uint32_t i = 0; i < inst->n_out; i++) {
        declare(p, inst->out[i], false);
        text_add(&p->body, " = ");
        c_use(p, inst->in[2 + i]);
        text_add(&p->body, ";\n");
    }
    indent(p);
    int64_t trip = -1;
    if (inst->kind == LOOP_UNROLLED && c_is_integer_literal(p, inst->in[0]) && c_is_integer_literal(p, inst->in[1]))
        trip = (p->def[inst->in[1].id]->imm.i - p->def[inst->in[0].id]->imm.i + inst->imm.i - 1) / inst->imm.i;
    if (trip > 1 && trip <= 64) text_add(&p->body, "UNROLL(%d)\n", (int)trip), indent(p);
    LVal index = body->args[0];
    text_add(&p->body, "for (i64 v%u = ", index.id);
    c_use(p, inst->in[0]);
    text_add(&p->body, "; v%u < ", index.id);
    c_use(p, inst->in[1]);
    text_add(&p->body, "; v%u += %lld) {\n", index.id, (long long)inst->imm.i);
    p->depth++;
    for (uint32_t i = 0; i < inst->n_out; i++) {
        declare(p, body->args[i + 1], true);
        text_add(&p->body, " = v%u;\n", inst->out[i].id);
    }
    print_block(p, body, inst->out, NULL);
    p->depth--;
    indent(p);
    text_add(&p->body, "}\n");
}

static void print_while(CPrinter *p, const LInst *inst) {
    const LBlock *body = inst->blocks[0];
    for (uint32_t i = 0; i < inst->n_out; i++) {
        declare(p, inst->out[i], false);
        text_add(&p->body, " = ");
        c_use(p, inst->in[i]);
        text_add(&p->body, ";\n");
    }
    indent(p);
    text_add(&p->body, "for (;;) {\n");
    p->depth++;
    for (uint32_t i = 0; i < inst->n_out; i++) {
        declare(p, body->args[i], true);
        text_add(&p->body, " = v%u;\n", inst->out[i].id);
    }
    print_block(p, body, inst->out, "break");
    p->depth--;
    indent(p);
    text_add(&p->body, "}\n");
}

static void print_if(CPrinter *p, const LInst *inst) {
    for (uint32_t i = 0; i < inst->n_out; i++) {
        declare(p, inst->out[i], false);
        text_add(&p->body, ";\n");
    }
    indent(p);
    text_add(&p->body, "if (");
    c_use(p, inst->in[0]);
    text_add(&p->body, ") {\n");
    for (uint32_t k = 0; k < inst->n_blocks; k++) {
        const LBlock *block = inst->blocks[k];
        if (k == 1 && block->insts.n == 1 && block->insts.at[0].op == LOP_yield && block->insts.at[0].n_in == 0) break;
        if (k == 1) {
            indent(p);
            text_add(&p->body, "} else {\n");
        }
        p->depth++;
        print_block(p, block, inst->out, NULL);
        p->depth--;
    }
    indent(p);
    text_add(&p->body, "}\n");
}

/* Assigns the yielded values to the results; in a while, the first value decides whether to go on. */
static void print_yield(CPrinter *p, const LInst *inst, const LVal *results, const char *again) {
    uint32_t skip = again ? 1 : 0;
    for (uint32_t i = skip; i < inst->n_in; i++) {
        indent(p);
        text_add(&p->body, "v%u = ", results[i - skip].id);
        c_use(p, inst->in[i]);
        text_add(&p->body, ";\n");
    }
    if (!again) return;
    indent(p);
    text_add(&p->body, "if (!");
    c_use(p, inst->in[0]);
    text_add(&p->body, ") %s;\n", again);
}

static void print_call(CPrinter *p, const LInst *inst) {
    bool indirect = inst->op == LOP_call_pointer;
    if (inst->n_out) {
        declare(p, inst->out[0], true);
        text_add(&p->body, " = ");
    } else {
        indent(p);
    }
    if (indirect) {
        text_add(&p->body, "((%s (*)(", inst->n_out ? c_type(p, type_of(p, inst->out[0])) : "void");
        for (uint32_t i = 1; i < inst->n_in; i++)
            text_add(&p->body, "%s%s", i > 1 ? ", " : "", c_type(p, type_of(p, inst->in[i])));
        text_add(&p->body, "%s))", inst->n_in == 1 ? "void" : "");
        c_use(p, inst->in[0]);
        text_add(&p->body, ")(");
    } else {
        text_add(&p->body, "%s(", inst->imm.text);
    }
    for (uint32_t i = indirect; i < inst->n_in; i++) {
        if (i > indirect) text_add(&p->body, ", ");
        if (type_of(p, inst->in[i]).pointer) text_add(&p->body, "(void *)");
        c_use(p, inst->in[i]);
    }
    text_add(&p->body, ");\n");
}

static bool print_control(CPrinter *p, const LInst *inst, const LVal *results, const char *again) {
    switch ((int)inst->op) {
    case LOP_for: print_for(p, inst); return true;
    case LOP_while: print_while(p, inst); return true;
    case LOP_if: print_if(p, inst); return true;
    case LOP_yield: print_yield(p, inst, results, again); return true;
    case LOP_call:
    case LOP_call_pointer: print_call(p, inst); return true;
    case LOP_return:
        indent(p);
        text_add(&p->body, inst->n_in ? "return " : "return");
        if (inst->n_in) c_use(p, inst->in[0]);
        text_add(&p->body, ";\n");
        return true;
    default: return false;
    }
}

static void print_inst(CPrinter *p, const LInst *inst, const LVal *results, const char *again) {
    if (print_control(p, inst, results, again) || print_pointer(p, inst) || print_scalar_masked(p, inst)) return;
    if (lop_info[inst->op].class_ == LC_TILE) { indent(p); c_tile_op(p, inst); return; }
    if (inst->op == LOP_const) { print_constant(p, inst, inst->out[0]); return; }
    if (inst->n_out && print_vector(p, inst, inst->out[0])) return;
    const char *name;
    if (inst->op == LOP_load_pointer || inst->op == LOP_store_pointer || inst->op == LOP_fence) {
        name = lop_info[inst->op].name;
    } else {
        LType r = inst->n_out ? type_of(p, inst->out[0]) : (LType){0}, in = r;
        bool store = !inst->n_out;
        if (inst->n_in) in = type_of(p, inst->in[store || inst->op == LOP_select ? (store ? 2 : 1) : 0]);
        name = c_op(p, inst->op, in, r);
    }
    if (inst->n_out) {
        declare(p, inst->out[0], true);
        text_add(&p->body, " = ");
    } else {
        indent(p);
    }
    print_call_of(p, name, inst->in, inst->n_in);
    text_add(&p->body, ";\n");
}

static void print_block(CPrinter *p, const LBlock *block, const LVal *results, const char *again) {
    for (uint32_t i = 0; i < block->insts.n; i++) print_inst(p, &block->insts.at[i], results, again);
}

/* ---- functions ---- */

static void find_definitions(CPrinter *p, const LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        for (uint32_t k = 0; k < inst->n_out; k++) p->def[inst->out[k].id] = inst;
        for (uint32_t k = 0; k < inst->n_blocks; k++) find_definitions(p, inst->blocks[k]);
    }
}
/* Stack memory belongs to the function, wherever its instruction stands. */
static void print_allocs(CPrinter *p, const LBlock *block) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (inst->op == LOP_alloc) {
            int64_t bytes = 0;
            if (!ck_mul(inst->imm.i, dtype_bytes((DType)type_of(p, inst->out[0]).dtype), &bytes) || bytes < 0)
                BUG(p->cx, "alloc of %lld elements", (long long)inst->imm.i);
            text_add(&p->body, "    ALLOC(v%u, %lld);\n", inst->out[0].id, (long long)(bytes ? bytes : 1));
        }
        for (uint32_t k = 0; k < inst->n_blocks; k++) print_allocs(p, inst->blocks[k]);
    }
}

void c_signature(CPrinter *p, Text *out, const LFunc *f) {
    bool foreign = f->kind == LF_EXTERN;
    LType r = f->result;
    const char *linkage = foreign                ? "extern "
                          : f->kind == LF_EXPORT ? "EXPORT "
                          : p->options->part     ? ""
                                                 : "MAYBE_UNUSED static ";
    text_add(out, "%s%s%s%s(", linkage, foreign && r.pointer ? "void *" : c_type(p, r), r.pointer ? "" : " ", f->name);
    for (uint32_t i = 0; i < f->n_params; i++) {
        const LParam *param = &f->params[i];
        const char *type = c_type(p, param->type);
        text_add(out, "%s%s", i ? ", " : "", foreign && param->type.pointer ? "void *" : type);
        if (foreign) continue;
        text_add(out, "%sv%u", param->type.pointer ? (param->flags & LP_NOALIAS ? "RESTRICT " : "") : " ", param->value.id);
    }
    text_add(out, f->n_params ? ")" : "void)");
}

/* A comment's text must not end the comment. */
static void print_comment(Text *out, const char *comment) {
    text_add(out, "/* ");
    for (const char *s = comment; *s; s++)
        if (s[0] == '*' && s[1] == '/') text_add(out, "* ");
        else if (s[0] == '\n') text_add(out, "\n * ");
        else if (s[0] == '?' || s[0] == '\\' || (unsigned char)s[0] < 32) text_add(out, ".");
        else text_add_n(out, s, 1);
    text_add(out, " */\n");
}

void c_function(CPrinter *p, const LFunc *f) {
    p->func = f;
    p->def = arena_new_array(p->arena, const LInst *, f->types.n + 1);
    find_definitions(p, f->body);
    text_add(&p->body, "\n");
    if (f->comment && *f->comment) print_comment(&p->body, f->comment);
    c_signature(p, &p->body, f);
    text_add(&p->body, " {");
    bool named = false;
    for (uint32_t i = 0; i < f->n_params; i++) named |= f->params[i].name != NULL;
    if (named) text_add(&p->body, " /*");
    for (uint32_t i = 0; i < f->n_params; i++) {
        const char *name = f->params[i].name;
        if (name && !strpbrk(name, "*/\\\n?"))
            text_add(&p->body, " v%u %s%s", f->params[i].value.id, name, i + 1 < f->n_params ? "," : "");
    }
    text_add(&p->body, named ? " */\n" : "\n");
    print_allocs(p, f->body);
    if (c_uses_tiles(f->body)) text_add(&p->body, "    TILES;\n");
    p->depth = 1;
    print_block(p, f->body, NULL, NULL);
    text_add(&p->body, "}\n");
    p->func = NULL;
}
