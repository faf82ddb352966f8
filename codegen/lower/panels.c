/* panels.c: a contraction's run-time operand copied into panels of 16 columns, for one part of K and one group of columns.
 *
 * Whatever is fused before the operand is evaluated here (kernel_eval).  A plain view whose k is contiguous in memory (keys
 * against queries) is transposed in registers, 16 x 16, instead of gathered.  Tail columns become zero.  Operands of bf16
 * become pairs along k (ENCODING_PAIR16), which the tile multiplies two at a time.
 */
#include "tile.h"

typedef struct Pack {
    Blocks *s;
    LVal first, end;             /* k */
    LVal base;                   /* k at the panel's row 0 */
} Pack;

static LVal panel_at(Kernel *k, const Blocks *s, uint32_t j) {
    return l_offset(k->b, s->panels, l_mul(k->b, s->panel_stride, l_i64(k->b, j)));
}

/* ---- any operand: row by row ---------------------------------------------------------------------------------------- */

/* Sixteen columns of w, under the mask. */
static LVal operand(Kernel *k, const Blocks *s, Dim row, Dim column, LVal mask) {
    Dim at[MAX_RANK];
    for (uint32_t i = 0; i < s->batch; i++) at[i] = s->at[i];
    at[s->batch] = row, at[s->batch + 1] = column;
    Fact inside[] = {{REL_LT, column, s->columns}};
    KernelScope scope;
    kernel_enter(k, &scope, inside, 1);
    k->lanes = LANES, k->mask = mask;
    LVal value = l_splat(k->b, kernel_eval(k, s->node->in[1], at), LANES);
    if (mask.id) value = l_select(k->b, mask, value, blocks_zero(k, s));
    k->lanes = 1, k->mask = (LVal){0};
    kernel_leave(k, &scope);
    return value;
}

/* Two numbers that bf16 holds as a pair, the first one low. */
static LVal pair_of(LoopBuilder *b, LVal first, LVal second) {
    LVal low = l_bitcast(b, first, DT_u32), high = l_bitcast(b, second, DT_u32), half = l_int(b, loop_type(b, low), 16);
    return l_bin(b, LOP_or, l_bin(b, LOP_shr, low, half), high);
}

/* Rows `row` and, of pairs, the next one, if it is not `alone`. */
static void pack_row(Kernel *k, const Pack *p, Dim row, Dim column, bool alone, LVal to, LVal mask) {
    LoopBuilder *b = k->b;
    const Blocks *s = p->s;
    LVal value = operand(k, s, row, column, mask), place = l_sub(b, kernel_dim(k, row), p->base);
    if (s->pairs) {
        LVal second = alone ? blocks_zero(k, s) : operand(k, s, dim_addi(k->cx, row, 1), column, mask);
        value = pair_of(b, value, second), place = l_bin(b, LOP_div, place, l_i64(b, 2));
    }
    l_store(b, to, l_mul(b, place, l_i64(b, PANEL)), value, (LVal){0});
}

/* Panels [from, from + n) of the task, rows from p->first to `end`, each alone or in pairs; masked: the last is cut off by
 * it. */
static void pack_run(Kernel *k, const Pack *p, LVal end, bool alone, uint32_t from, uint32_t n, LVal mask) {
    Context *cx = k->cx;
    const Blocks *s = p->s;
    KernelLoop loop;
    bool two = s->pairs && !alone;
    Dim row = kernel_loop(k, &loop, p->first, end, dim_addi(cx, s->channels, two ? -1 : 0), s->pairs ? 2 : 1, NULL, 0);
    for (uint32_t j = from; j < from + n; j++) {
        Dim column = dim_add(cx, dim_muli(cx, dim_addi(cx, s->panel, j), PANEL), dim_symbol(cx, k->lane));
        pack_row(k, p, row, column, alone, panel_at(k, s, j), j + 1 == from + n ? mask : (LVal){0});
    }
    kernel_loop_end(k, &loop, NULL, 0);
}

/* Panels [from, from + n) of the task; masked: only the last, cut off after `left` columns. */
static void pack_rows(Kernel *k, const Pack *p, uint32_t from, uint32_t n, bool masked, LVal left) {
    LoopBuilder *b = k->b;
    LVal mask = {0}, whole = p->end;
    int64_t begin, end;
    if (masked) mask = l_lane_mask(b, left, LANES);
    if (p->s->pairs) whole = l_add(b, p->first, l_bin(b, LOP_and, l_sub(b, p->end, p->first), l_i64(b, -2)));
    pack_run(k, p, whole, false, from, n, mask);
    if (!p->s->pairs || (loop_const_int(b, whole, &begin) && loop_const_int(b, p->end, &end) && begin == end)) return;
    Pack last = *p;
    last.first = whole;
    pack_run(k, &last, p->end, true, from, n, mask);
}

/* ---- contiguous along k: sixteen vectors of a panel at a time ---------------------------------------------------------- */

/* What w is read from: w, or what it is rounded from. */
static Val line_source(const Kernel *k, const Blocks *s) {
    Val w = s->node->in[1], from = val_op(k->body, w) == OP_convert ? val_in(k->body, w, 0) : w;
    return s->pairs && val_dtype(k->body, from) == DT_f32 ? from : w;
}

bool blocks_lines(Kernel *k, const Blocks *s, Lines *lines) {
    Context *cx = k->cx;
    Val w = line_source(k, s);
    for (Val v = w; val_op(k->body, v) != OP_param; v = val_in(k->body, v, 0))
        if (op_info[val_op(k->body, v)].kind != KIND_VIEW) return false;
    Dim at[MAX_RANK], rest;
    KernelScope scope, inner;
    kernel_enter(k, &scope, NULL, 0);
    for (uint32_t i = 0; i < s->batch; i++) at[i] = s->at[i];
    Dim row = kernel_index(k, l_i64(k->b, 0)), column = kernel_index(k, l_i64(k->b, 0));
    at[s->batch] = row, at[s->batch + 1] = column;
    Fact facts[] = {{REL_LT, row, s->channels}, {REL_LT, column, s->columns}};
    kernel_enter(k, &inner, facts, 2);
    Source source = blocks_source(k, w, at);
    bool ok = source.base.id && dim_affine(cx, source.offset, kernel_index_symbol(k, row), &lines->down, &rest) &&
              dim_affine(cx, rest, kernel_index_symbol(k, column), &lines->along, &lines->start);
    lines->pointer = source.pointer, lines->dtype = val_dtype(k->body, w);
    kernel_leave(k, &inner);
    kernel_leave(k, &scope);
    return ok;
}

bool blocks_lie(Kernel *k, const Blocks *s) {
    Context *cx = k->cx;
    Dim at[MAX_RANK], offset, down, along, rest;
    Val base;
    KernelScope scope, inner;
    kernel_enter(k, &scope, NULL, 0);
    for (uint32_t i = 0; i < s->batch + 2; i++) at[i] = kernel_index(k, (LVal){0});
    Fact facts[] = {{REL_LT, at[s->batch], s->channels}, {REL_LT, at[s->batch + 1], s->columns}};
    kernel_enter(k, &inner, facts, 2);
    bool ok = blocks_where(k, s->node->in[1], at, &base, &offset) &&
              dim_affine(cx, offset, kernel_index_symbol(k, at[s->batch]), &down, &rest) &&
              dim_affine(cx, rest, kernel_index_symbol(k, at[s->batch + 1]), &along, &offset) && dim_is(cx, along, 1);
    kernel_leave(k, &inner);
    kernel_leave(k, &scope);
    return ok;
}

bool blocks_columns(Kernel *k, const Blocks *s, Lines *lines) {
    if (!blocks_lines(k, s, lines) || !dim_is(k->cx, lines->down, 1) || dim_is(k->cx, lines->along, 1)) return false;
    return s->pairs || (loop_memory_dtype(s->w->dtype) == s->compute && dtype_bytes(s->compute) == 4);
}

/* Sixteen of a column: numbers, or pairs, as they lie or rounded, at `at`. */
static LVal load_column(Kernel *k, const Blocks *s, const Lines *lines, LVal column, LVal at) {
    LoopBuilder *b = k->b;
    if (lines->dtype != DT_bf16) {
        LVal v = l_load(b, column, at, PANEL, (LVal){0});
        return s->pairs ? l_round(b, v, DT_bf16) : v;
    }
    LVal first = l_offset(b, column, at), pairs = l_inst(b, LOP_recast, lt_pointer(DT_u32), &first, 1, 0);
    return l_inst(b, LOP_load, lt_vector(DT_u32, PANEL), (LVal[]){pairs, l_i64(b, 0)}, 2, dtype_bytes(DT_bf16));
}

/* Panel j: blocks of sixteen loads, then the rest row by row.  left: so many of its columns are there, others become zero; or
 * 0: all. */
static void pack_lines(Kernel *k, const Pack *p, const Lines *lines, uint32_t j, LVal left) {
    LoopBuilder *b = k->b;
    const Blocks *s = p->s;
    int64_t depth = lines->dtype == DT_bf16 ? 2 * PANEL : PANEL; /* k of a load */
    bool joins = s->pairs && lines->dtype != DT_bf16;
    Dim first =
        dim_add(k->cx, lines->start, dim_mul(k->cx, dim_muli(k->cx, dim_addi(k->cx, s->panel, j), PANEL), lines->along));
    LVal from = l_offset(b, lines->pointer, kernel_dim(k, first)), pitch = kernel_dim(k, lines->along), at, v[PANEL],
         line[PANEL], mask = {0};
    LVal to = panel_at(k, s, j), whole = l_add(b, p->first, l_bin(b, LOP_and, l_sub(b, p->end, p->first), l_i64(b, -depth)));
    if (left.id) mask = l_lane_mask(b, left, LANES);
    for (uint32_t i = 0; i < PANEL; i++) {
        line[i] = l_i64(b, i);
        if (left.id) line[i] = l_min(b, line[i], l_sub(b, left, l_i64(b, 1))); /* the last column again */
    }
    LFor loop = l_for(b, p->first, whole, depth, LOOP_SERIAL, NULL, 0, &at);
    for (uint32_t i = 0; i < PANEL; i++) v[i] = load_column(k, s, lines, from, l_add(b, at, l_mul(b, pitch, line[i])));
    lanes_transpose(b, v);
    for (uint32_t i = 0; i < PANEL / 2 && joins; i++) v[i] = pair_of(b, v[2 * i], v[2 * i + 1]);
    LVal place = l_sub(b, at, p->base);
    if (s->pairs) place = l_bin(b, LOP_div, place, l_i64(b, 2));
    place = l_mul(b, place, l_i64(b, PANEL));
    for (uint32_t i = 0; i < (joins ? PANEL / 2 : PANEL); i++) {
        if (mask.id) v[i] = l_select(b, mask, v[i], l_int(b, loop_type(b, v[i]), 0));
        l_store(b, to, l_add(b, place, l_i64(b, (int64_t)i * PANEL)), v[i], (LVal){0});
    }
    l_for_end(b, &loop, NULL, 0);
    Pack rest = *p;
    rest.first = whole;
    pack_rows(k, &rest, j, 1, left.id != 0, left);
}

/* ---- a group ------------------------------------------------------------------------------------------------------------ */

static void pack_full(Kernel *k, const Pack *p, const Lines *lines, uint32_t from, uint32_t n) {
    if (!lines) {
        if (n) pack_rows(k, p, from, n, false, (LVal){0});
        return;
    }
    for (uint32_t j = from; j < from + n; j++) pack_lines(k, p, lines, j, (LVal){0});
}

static void pack_tail(Kernel *k, const Pack *p, const Lines *lines, uint32_t j, LVal left) {
    if (lines) pack_lines(k, p, lines, j, left);
    else pack_rows(k, p, j, 1, true, left);
}

static LVal columns_left(Kernel *k, const Blocks *s, uint32_t j) {
    Dim first = dim_muli(k->cx, dim_addi(k->cx, s->panel, j), PANEL);
    return kernel_dim(k, kernel_simplify(k, dim_sub(k->cx, s->columns, first)));
}

void blocks_masks(Kernel *k, const Blocks *s, const Group *gr, Tile *t) {
    if (gr->kind == COLUMNS_FULL) return;
    for (uint32_t j = gr->kind == COLUMNS_TAIL ? gr->panels - 1 : 0; j < gr->panels; j++)
        t->mask[j] = l_lane_mask(k->b, columns_left(k, s, j), LANES);
}

void blocks_pack(Kernel *k, Blocks *s, const Part *part, const Group *gr) {
    LoopBuilder *b = k->b;
    Lines found, *lines = blocks_columns(k, s, &found) ? &found : NULL;
    Pack p = {s, part->first, l_add(b, part->first, part->count), part->first};
    if (gr->kind != COLUMNS_DYNAMIC) {
        uint32_t full = gr->kind == COLUMNS_FULL ? gr->panels : gr->panels - 1;
        pack_full(k, &p, lines, 0, full);
        if (full < gr->panels) pack_tail(k, &p, lines, full, columns_left(k, s, full));
        return;
    }
    LIf whole = l_if(b, l_bin(b, LOP_le, l_i64(b, PANEL), columns_left(k, s, gr->panels - 1)));
    pack_full(k, &p, lines, 0, gr->panels);
    l_else(b, &whole, NULL, 0);
    LVal j;
    LFor each = l_for(b, l_i64(b, 0), l_i64(b, gr->panels), 1, LOOP_SERIAL, NULL, 0, &j);
    KernelScope scope;
    kernel_enter(k, &scope, NULL, 0);
    Blocks one = *s;
    one.panel = dim_add(k->cx, s->panel, kernel_index(k, j)), one.panels = l_offset(b, s->panels, l_mul(b, s->panel_stride, j));
    p.s = &one;
    pack_tail(k, &p, lines, 0, columns_left(k, &one, 0));
    kernel_leave(k, &scope);
    l_for_end(b, &each, NULL, 0);
    l_if_end(b, &whole, NULL, 0, NULL);
}
