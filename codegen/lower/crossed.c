/* crossed.c: results of a tiled contraction whose last axis is its rows (a convolution that ends channels first): tiles of
 * results, evaluated along the columns as all are, are transposed in registers and stored along the rows.
 *
 * Such a result is a permutation of a value of the contraction's own dims (pass fuse), and its rows lie side by side as long as
 * the axes before them stay: lanes of one tile may belong to several images, and are stored image by image.
 */
#include "tile.h"
#include <string.h>

/* The first of the row axes that lie, in their order, at the end of result r; -1: it does not cross. */
static int crossed_from(Kernel *k, const Blocks *s, uint32_t r) {
    Val v = k->body->results.at[r];
    uint32_t rank = s->y->rank, axis = rank - 1;
    if (val_op(k->body, v) != OP_permute || val_rank(k->body, v) != rank) return -1;
    const int64_t *perm = attr_ints(node(k->body, v), ATTR_perm, NULL);
    while (axis > s->batch && perm[axis] == (int64_t)axis - 1) axis--;
    return axis + 1 < rank ? (int)axis : -1;
}

bool blocks_cross(Kernel *k, const Blocks *s) {
    for (uint32_t r = 0; r < k->body->results.n; r++)
        if (crossed_from(k, s, r) >= 0) return true;
    return false;
}

typedef struct Lanes { LVal at[PANEL]; } Lanes;

typedef struct Square {          /* of a tile and a panel */
    const CrossedRows *rows;
    Dim column;                  /* the panel's first */
    uint32_t columns, sure;      /* that may be there, and that are */
    uint32_t together;           /* of the others: so many are there or none */
    LVal left;                   /* columns from here on, where some are not sure */
    LVal mask;                   /* of columns, or 0: all */
} Square;

/* Results of one row: those that cross into v[r].at[i], the others to memory, unless the row only fills the square up. */
static void evaluate_row(Kernel *k, Blocks *s, const Square *q, uint32_t i, LVal value, Lanes *v) {
    const Graph *g = k->body;
    LoopBuilder *b = k->b;
    uint32_t memo = k->memo.n;
    LVal mask = k->mask;
    s->value = value;
    s->value_at[s->y->rank - 1] = dim_add(k->cx, q->column, dim_symbol(k->cx, k->lane));
    for (uint32_t r = 0; r < g->results.n; r++) {
        Val result = g->results.at[r];
        const TypeInfo *t = val_type(g, result);
        Dim at[MAX_RANK];
        Kept kept = {.n = 0};
        if (!kernel_forward(k, s->anchor, result, s->value_at, at, &kept))
            diag_fatal(k->cx,
                       "schedule: result %u of the kernel is not made of its contraction by pointwise ops and views alone", r);
        for (uint32_t f = 0; f < kept.n; f++) {
            LVal holds = l_splat(b, kernel_fact(k, kept.facts[f]), LANES);
            k->mask = k->mask.id ? l_bin(b, LOP_and, k->mask, holds) : holds;
        }
        LVal x = l_splat(b, kernel_eval(k, result, at), LANES);
        if (crossed_from(k, s, r) >= 0) {
            v[r].at[i] = x;
            continue;
        }
        LVal real = l_splat(b, l_lt(b, l_i64(b, i), q->rows->count), LANES);
        k->mask = k->mask.id ? l_bin(b, LOP_and, k->mask, real) : real;
        kernel_store(k, k->outputs[r], t->dtype, access_offset(k->cx, t->dims, at, t->rank), x);
        k->mask = mask;
    }
    k->memo.n = memo;
}

static void evaluate(Kernel *k, Blocks *s, const Square *q, uint32_t panel, Lanes *v) {
    LoopBuilder *b = k->b;
    const CrossedRows *t = q->rows;
    LVal last = l_sub(b, t->count, l_i64(b, 1));
    for (uint32_t i = 0; i < t->most; i++) {
        LVal number = l_min(b, l_i64(b, i), last), value;
        KernelScope scope, inner;
        kernel_enter(k, &scope, NULL, 0);
        Dim row = kernel_index(k, l_add(b, t->first, number));
        Fact facts[] = {{REL_LT, row, s->rows}, {REL_LT, dim_add(k->cx, q->column, dim_symbol(k->cx, k->lane)), s->columns}};
        kernel_enter(k, &inner, facts, COUNT(facts));
        blocks_row(k, s, row, s->value_at);
        if (t->acc) value = t->acc[i * t->group->panels + panel];
        else
            value =
                l_load(b, t->sums, l_add(b, l_mul(b, number, t->pitch), l_i64(b, (int64_t)panel * PANEL)), PANEL, (LVal){0});
        k->lanes = LANES, k->mask = q->mask;
        evaluate_row(k, s, q, i, value, v);
        k->lanes = 1, k->mask = (LVal){0};
        kernel_leave(k, &inner);
        kernel_leave(k, &scope);
    }
}

/* Column c of the square, in lanes of rows, where the rows' own axes start; moved: from there to lane 0. */
static void store_column(Kernel *k, Blocks *s, const Square *q, uint32_t r, uint32_t c, const Dim *place, LVal moved, LVal mask,
                         LVal value) {
    LoopBuilder *b = k->b;
    Val result = k->body->results.at[r];
    const TypeInfo *t = val_type(k->body, result);
    Dim at[MAX_RANK], start[MAX_RANK], column = dim_addi(k->cx, q->column, c);
    Fact inside[] = {{REL_LT, column, s->columns}};
    KernelScope scope;
    memcpy(start, place, s->y->rank * sizeof *start);
    start[s->y->rank - 1] = column;
    kernel_enter(k, &scope, inside, 1);
    kernel_forward(k, s->anchor, result, start, at, &(Kept){.n = 0}); /* no slice lies before what crosses */
    LVal to = l_offset(b, k->outputs[r], kernel_dim(k, kernel_simplify(k, access_offset(k->cx, t->dims, at, t->rank))));
    l_store(b, to, moved, l_encode(b, value, t->dtype), mask);
    kernel_leave(k, &scope);
}

/* The columns v of result r, image by image. */
static void store_columns(Kernel *k, Blocks *s, const Square *q, uint32_t r, const LVal *v) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    const CrossedRows *t = q->rows;
    uint32_t axis = (uint32_t)crossed_from(k, s, r), rank = s->y->rank;
    Dim outer = dim_product(cx, s->y->dims + s->batch, axis - s->batch), place[MAX_RANK], zero = dim_const(cx, 0);
    LVal length = kernel_dim(k, dim_product(cx, s->y->dims + axis, rank - 1 - axis));
    LVal one = l_i64(b, 1), begin = l_i64(b, 0), end = one;
    bool single = dim_is(cx, outer, 1);
    if (!single) {
        begin = l_bin(b, LOP_div, t->first, length);
        end = l_add(b, one, l_bin(b, LOP_div, l_sub(b, l_add(b, t->first, t->count), one), length));
    }
    KernelLoop loop;
    KernelScope scope;
    Fact facts[MAX_RANK];
    Dim image = kernel_loop(k, &loop, begin, end, outer, 1, NULL, 0);
    kernel_split(k, image, s->y->dims + s->batch, axis - s->batch, place + s->batch, facts);
    for (uint32_t i = 0; i < rank - 1; i++)
        if (i < s->batch || i >= axis) place[i] = i < s->batch ? s->at[i] : zero;
    kernel_enter(k, &scope, facts, axis - s->batch);
    LVal moved = l_sub(b, t->first, l_mul(b, kernel_dim(k, image), length)), mask = {0};
    int64_t known;
    if (!single) {
        mask = l_lane_mask(k->b, l_min(b, t->count, l_sub(b, length, moved)), LANES);
        LVal before = l_lane_mask(k->b, l_sub(b, l_i64(b, 0), moved), LANES);
        mask = l_select(b, before, l_splat(b, l_bool(b, false), LANES), mask);
    } else if (!loop_const_int(b, t->count, &known) || known < LANES) {
        mask = l_lane_mask(k->b, t->count, LANES);
    }
    for (uint32_t c = 0; c < q->sure; c++) store_column(k, s, q, r, c, place, moved, mask, v[c]);
    for (uint32_t c = q->sure; c < q->columns; c += q->together) {
        /* not an empty mask: where nothing is mapped behind the result, the CPU takes hundreds of cycles to store nothing */
        LIf there = l_if(b, l_lt(b, l_i64(b, c), q->left));
        for (uint32_t i = 0; i < q->together; i++) store_column(k, s, q, r, c + i, place, moved, mask, v[c + i]);
        l_else(b, &there, NULL, 0);
        l_if_end(b, &there, NULL, 0, NULL);
    }
    kernel_leave(k, &scope);
    kernel_loop_end(k, &loop, NULL, 0);
}

static void store_square(Kernel *k, Blocks *s, const Square *q, uint32_t panel) {
    const Graph *g = k->body;
    Lanes *v = arena_new_array(k->arena, Lanes, g->results.n);
    evaluate(k, s, q, panel, v);
    for (uint32_t r = 0; r < g->results.n; r++) {
        if (crossed_from(k, s, r) < 0) continue;
        for (uint32_t i = q->rows->most; i < PANEL; i++) v[r].at[i] = l_int(k->b, loop_type(k->b, v[r].at[0]), 0);
        lanes_transpose(k->b, v[r].at);
        store_columns(k, s, q, r, v[r].at);
    }
}

/* How many columns a square has of the `rest` that begins with it. */
static void count_columns(Kernel *k, const Blocks *s, Dim rest, Square *q) {
    int64_t known;
    q->sure = q->together = 1;
    if (dim_const_value(k->cx, rest, &known)) {
        q->columns = q->sure = (uint32_t)known;
    } else if (dim_const_value(k->cx, s->columns, &known)) {  /* a whole panel, or the last one's */
        q->columns = known < PANEL ? (uint32_t)known : PANEL;
        q->sure = known % PANEL ? (uint32_t)(known % PANEL) : PANEL;
        q->together = q->columns - q->sure;
    }
}

void blocks_store_crossed(Kernel *k, Blocks *s, const CrossedRows *rows) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    const Group *gr = rows->group;
    for (uint32_t j = 0; j < gr->panels; j++) {
        Dim first = dim_muli(cx, dim_addi(cx, s->panel, j), PANEL), rest = kernel_simplify(k, dim_sub(cx, s->columns, first));
        Square q = {.rows = rows, .column = first, .columns = PANEL, .sure = PANEL};
        if (gr->kind == COLUMNS_FULL || (gr->kind == COLUMNS_TAIL && j + 1 < gr->panels)) {
            store_square(k, s, &q, j);
            continue;
        }
        LVal left = kernel_dim(k, rest);
        q.mask = l_lane_mask(k->b, left, LANES);
        count_columns(k, s, rest, &q);
        q.left = left;
        LIf some = l_if(b, l_lt(b, l_i64(b, 0), left));
        store_square(k, s, &q, j);
        l_else(b, &some, NULL, 0);
        l_if_end(b, &some, NULL, 0, NULL);
    }
}
