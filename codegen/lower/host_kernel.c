/* host_kernel.c: the functions that a kernel node becomes, and what the host program passes to launch them.
 *
 * Equal kernels (body and schedules) share one entry.  An entry has a function for the lowest tier, and a variant for each
 * higher one whose schedule differs, or whose registers or instructions do more with the text than those the code is for (erf
 * and exp over vectors of 16: 1.6 times faster so).  Templates know a tier by its schedule alone, so equal schedules are
 * equal texts.  Parameters are the same for all tiers: a scratch or a step's number that some variant needs, all get.  Extent
 * and pieces may differ; the host program selects them by the frame's tier.
 */
#include "program.h"
#include <string.h>

/* Some operand lies in the buffer of a result (pass plan saw that it may be overwritten). */
static bool is_aliased(const Graph *g, const Node *n) {
    uint32_t results;
    const int64_t *slots = attr_ints(n, ATTR_buffers, &results);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const Attr *from = node_attr(node(g, graph_memory(g, n->in[i], NULL)), ATTR_buffers);
        for (uint32_t a = 0; from && a < from->n; a++)
            for (uint32_t r = 0; r < results; r++)
                if (slots[r] >= 0 && slots[r] == from->as.ints[a]) return true;
    }
    return false;
}

/* Bytes of the widest vector that the function computes. */
static int64_t widest(const LFunc *f) {
    int64_t most = 0;
    for (uint32_t i = 1; i < f->types.n; i++) {
        LType t = f->types.at[i];
        int64_t bytes = t.lanes > 1 && !dtype_is_bool((DType)t.dtype) ? t.lanes * dtype_bytes((DType)t.dtype) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static bool uses(const LBlock *block, LOp op) {
    for (uint32_t i = 0; i < block->insts.n; i++) {
        const LInst *inst = &block->insts.at[i];
        if (inst->op == op) return true;
        for (uint32_t n = 0; n < inst->n_blocks; n++)
            if (uses(inst->blocks[n], op)) return true;
    }
    return false;
}

/* The function's machine code for one target serves the other, above it, as well as its own would. */
static bool code_serves(const LFunc *f, const Target *code, const Target *t) {
    if (t->dot_bf16 && !code->dot_bf16 && (uses(f->body, LOP_dot_bf16) || uses(f->body, LOP_round_bf16))) return false;
    if (t->dot_u8 && !code->dot_u8 && uses(f->body, LOP_dot_u8)) return false;
    return t->vector_bytes <= code->vector_bytes || widest(f) <= code->vector_bytes;
}

static void write_functions(Program *p, KernelEntry *e, const char *comment) {
    const Tiers *tiers = &p->m->tiers;
    kernel_write(p->m, e->body, &e->schedule[0], &(KernelText){e->name, comment, e->aliased}, &e->info[0]);
    uint32_t text = 0, code = 0; /* tiers whose text, and whose code, serve the one before t */
    for (uint32_t t = 1; t < tiers->n; t++) {
        bool same = memcmp(&e->schedule[t], &e->schedule[text], sizeof e->schedule[t]) == 0;
        e->info[t].func = e->info[text].func;
        if (same && code_serves(e->info[text].func, tiers->at[code], tiers->at[t])) continue;
        code = t;
        if (same && text == 0) {
            loop_variant(p->m, e->info[0].func, tiers->at[t]);
            continue;
        }
        const char *name = loop_variant_name(p->m, e->name, tiers->at[t]);
        kernel_write(p->m, e->body, &e->schedule[t], &(KernelText){name, comment, e->aliased}, &e->info[t]);
        e->info[t].func->target = tiers->at[t];
        e->info[t].func->variant_of = e->name;
        text = t;
    }
}

const KernelEntry *program_kernel(Program *p, const Graph *g, const Node *n) {
    const Attr *schedules = node_attr(n, ATTR_schedule);
    uint32_t n_tiers = p->m->tiers.n;
    KernelEntry e = {.body = attr_graph(n, ATTR_body), .aliased = is_aliased(g, n)};
    for (uint32_t t = 0; t < n_tiers; t++) e.schedule[t] = schedule_for(schedules, p->m->tiers.at[t]);
    for (uint32_t i = 0; i < p->kernels.n; i++) {
        const KernelEntry *old = &p->kernels.at[i];
        bool same = old->aliased == e.aliased && memcmp(old->schedule, e.schedule, sizeof e.schedule) == 0;
        if (same && graph_equal(old->body, e.body)) return old;
    }
    bool scratches = false, turns = false;
    for (uint32_t t = 0; t < n_tiers; t++) {
        bool same = t && memcmp(&e.schedule[t], &e.schedule[t - 1], sizeof e.schedule[t]) == 0;
        e.info[t] = same ? e.info[t - 1] : kernel_info(p->m, e.body, &e.schedule[t]);
        p->scratch = dim_max(p->cx, p->scratch, e.info[t].scratch_bytes);
        scratches |= e.info[t].scratches, turns |= e.info[t].turns;
    }
    for (uint32_t t = 0; t < n_tiers; t++) e.info[t].scratches = scratches, e.info[t].turns = turns;
    e.name = intern(p->cx, arena_print(p->arena, "%s_k%u", p->m->name, p->kernels.n));
    write_functions(p, &e, loc_string(p->cx, n->loc));
    vec_push(p->arena, &p->kernels, e);
    return &vec_last(&p->kernels);
}

/* Before the host program: its scratch and symbols must be known. */
void program_kernels(Program *p, const Graph *g) {
    for (uint32_t i = 1; i < g->nodes.n; i++) {
        const Node *n = &g->nodes.at[i];
        if (n->op == OP_kernel) (void)program_kernel(p, g, n);
        for (uint32_t a = 0; n->op != OP_kernel && a < n->n_attrs; a++)
            if (attr_info[n->attrs[a].key].type == AT_GRAPH) program_kernels(p, n->attrs[a].as.graph);
    }
}

/* The value for the tier that runs: those of tiers that agree with the one below need no selection. */
static LVal select_above(Program *p, LVal tier, uint32_t t, LVal here, LVal below) {
    return l_select(p->b, l_bin(p->b, LOP_le, l_i64(p->b, t), tier), here, below);
}

LVal program_extent(Program *p, const KernelEntry *e, LVal tier) {
    LVal v = program_dim(p, e->info[0].range);
    for (uint32_t t = 1; t < p->m->tiers.n; t++)
        if (!dim_same(e->info[t].range, e->info[t - 1].range))
            v = select_above(p, tier, t, program_dim(p, e->info[t].range), v);
    return v;
}

LVal program_pieces(Program *p, const KernelEntry *e, LVal tier) {
    LVal v = {0};
    if (dim_is(p->cx, e->info[0].range, 1)) return l_i64(p->b, 1); /* elements may not be known yet */
    LVal elements = program_dim(p, e->info[0].elements);
    for (uint32_t t = 0; t < p->m->tiers.n; t++) {
        int64_t grain = e->schedule[t].field[SCHED_grain];
        if (t && grain == e->schedule[t - 1].field[SCHED_grain]) continue;
        LVal pieces = l_bin(p->b, LOP_div, elements, l_i64(p->b, grain < 1 ? 1 : grain));
        v = t ? select_above(p, tier, t, pieces, v) : pieces;
    }
    return v;
}
