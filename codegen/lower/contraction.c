/* contraction.c: template `contraction`: dot[b.., m.., k] x [b.., k, n] on the register tile.
 *
 * x is read in place through its views: a pointer a row and a stride along k.  w is a packed constant, or is packed task by
 * task (blocks.c), with whatever is fused before it; few rows read it where it lies, if its columns lie side by side.
 */
#include "tile.h"

static Tile made_rows(Kernel *k, const Blocks *s, const Part *part, LVal first_row, uint32_t rows) {
    LoopBuilder *b = k->b;
    Tile t = {.rows = rows, .x = s->made_dtype, .line = s->strip != NULL, .stride = l_i64(b, 1), .count = part->count};
    LVal first = l_add(b, l_mul(b, l_sub(b, first_row, s->made_first), s->made_pitch), part->first);
    for (uint32_t i = 0; i < rows; i++) t.row[i] = l_offset(b, s->made, l_add(b, first, l_mul(b, s->made_pitch, l_i64(b, i))));
    return t;
}

Tile contraction_rows(Kernel *k, const Blocks *s, const Part *part, LVal first_row, uint32_t rows) {
    if (s->made.id) return made_rows(k, s, part, first_row, rows);
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim row = kernel_index(k, first_row), channel = kernel_index(k, part->first), stride, origin, step, rest, at[MAX_RANK];
    Fact facts[] = {{REL_LT, row, s->rows}, {REL_LT, channel, s->channels}};
    Symbol row_symbol = kernel_index_symbol(k, row), channel_symbol = kernel_index_symbol(k, channel);
    KernelScope scope;
    kernel_enter(k, &scope, facts, 2);
    blocks_row(k, s, row, at);
    at[s->x->rank - 1] = channel;
    Source x = blocks_source(k, s->node->in[0], at);
    if (!dim_affine(cx, x.offset, channel_symbol, &stride, &origin))
        diag_fatal(cx, "schedule: the left operand of a contraction has no stride along k");
    Tile t = {.rows = rows, .x = s->x->dtype, .same = x.same, .count = part->count};
    t.stride = kernel_dim(k, stride);
    bool regular = dim_affine(cx, origin, row_symbol, &step, &rest);
    for (uint32_t i = 0; i < rows && !x.same.id; i++) {
        LVal number = s->last.id && i + 1 == rows ? l_sub(b, s->last, first_row) : l_i64(b, i);
        if (i == 0 || !regular) {
            uint32_t symbols = k->symbols.n;
            kernel_bind(k, row_symbol, l_add(b, first_row, number));
            t.row[i] = l_offset(b, x.pointer, kernel_dim(k, x.offset));
            k->symbols.n = symbols;
        } else {
            t.row[i] = l_offset(b, t.row[0], l_mul(b, kernel_dim(k, step), number));
        }
    }
    kernel_leave(k, &scope);
    return t;
}

void contraction_accumulate(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    Tile t = contraction_rows(k, s, part, first_row, rows);
    t.panels = gr->panels, t.half = blocks_half(k, s, gr);
    blocks_panels(k, s, part->tap, part->first, &t);
    if (s->in_place) blocks_masks(k, s, gr, &t);
    tile_run(k, &t, acc);
}

Dim range_contraction(Kernel *k) {
    Blocks s = blocks_of(k);
    return share_range(k, &s);
}

Dim scratch_contraction(Kernel *k) {
    Blocks s = blocks_of(k);
    return blocks_scratch(k, &s);
}

void lower_contraction(Kernel *k, LVal lo, LVal hi) {
    Blocks s = blocks_of(k);
    s.accumulate = contraction_accumulate, s.repeats = true;
    blocks_lower(k, &s, lo, hi);
}
