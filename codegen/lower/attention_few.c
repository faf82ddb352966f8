/* attention_few.c: template `attention`: the scores of few rows, such as a decoder's one query, from keys where they lie.
 *
 * Packing keys into panels pays where many rows read them.  For few, sixteen keys by sixteen of depth are transposed in
 * registers and multiplied there: keys are read once, nothing is written, and the speed is that of memory.  The sums are the
 * tile's: for every key one ascending chain over the depth, so that this choice, made by the number of rows while running,
 * changes no bit.
 */
#include "attention.h"

Truth attention_few(Kernel *k, const Attention *a) {
    const Blocks *s = &a->product;
    Lines lines;
    if (s->pairs || !blocks_columns(k, s, &lines) ||
        prove(k->cx, k->scope, REL_DIVIDES, dim_const(k->cx, PANEL), s->channels) != YES)
        return NO;
    return prove(k->cx, k->scope, REL_LE, s->rows, dim_const(k->cx, FEW));
}

static LVal row_at(Kernel *k, const Tile *t, uint32_t i, LVal at) {
    LoopBuilder *b = k->b;
    return t->same.id ? t->same : l_decode(b, l_load(b, t->row[i], l_mul(b, at, t->stride), 1, (LVal){0}), t->x);
}

/* Sixteen keys from s->panel on; of those beyond the last there is no score, and they read it again. */
static void accumulate_few(Kernel *k, Blocks *s, const Part *part, LVal first_row, uint32_t rows, const Group *gr, LVal *acc) {
    (void)gr;
    LoopBuilder *b = k->b;
    Lines lines;
    blocks_columns(k, s, &lines);
    Tile t = contraction_rows(k, s, part, first_row, rows);
    LVal key = l_mul(b, kernel_dim(k, s->panel), l_i64(b, PANEL)), last = l_sub(b, kernel_dim(k, s->columns), l_i64(b, 1));
    LVal start = l_offset(b, lines.pointer, kernel_dim(k, lines.start)), pitch = kernel_dim(k, lines.along), line[PANEL],
         v[PANEL], at;
    for (uint32_t i = 0; i < PANEL; i++)
        line[i] = l_offset(b, start, l_mul(b, l_min(b, l_add(b, key, l_i64(b, i)), last), pitch));
    LFor loop = l_for(b, l_i64(b, 0), part->count, PANEL, LOOP_SERIAL, acc, rows, &at);
    LVal next = l_add(b, at, l_mul(b, pitch, l_i64(b, PANEL)));
    for (uint32_t i = 0; i < PANEL; i++) {
        v[i] = l_load(b, line[i], at, PANEL, (LVal){0});
        l_inst(b, LOP_prefetch, (LType){0}, (LVal[]){line[i], next}, 2, 0); /* the hardware sees no order in these */
    }
    lanes_transpose(b, v);
    for (uint32_t j = 0; j < PANEL; j++)
        for (uint32_t i = 0; i < rows; i++) {
            LVal x = l_splat(b, row_at(k, &t, i, l_add(b, at, l_i64(b, j))), PANEL);
            acc[i] = contract_step(b, k->fma, x, v[j], acc[i]);
        }
    l_for_end(b, &loop, acc, rows);
}

void attention_multiply_few(Kernel *k, Attention *a) {
    LoopBuilder *b = k->b;
    Blocks s = a->product;
    if (s.tile_m > FEW) s.tile_m = FEW;
    s.accumulate = accumulate_few;
    LVal zero = l_i64(b, 0), at;
    Part part = {zero, l_i64(b, 1), zero, kernel_dim(k, s.channels)};
    const Fact few = {REL_LE, s.rows, dim_const(k->cx, FEW)};
    KernelScope scope;
    LFor loop = l_for(b, zero, a->count, PANEL, LOOP_SERIAL, NULL, 0, &at);
    kernel_enter(k, &scope, &few, 1);
    s.panel = kernel_index(k, l_bin(b, LOP_shr, l_add(b, a->first, at), l_i64(b, 4)));
    Sums scores = {.at = l_offset(b, a->scores, at), .pitch = l_i64(b, a->keys)};
    blocks_sum_tiles(k, &s, &part, &(Group){1, COLUMNS_FULL}, &a->rows, &scores);
    kernel_leave(k, &scope);
    l_for_end(b, &loop, NULL, 0);
}
