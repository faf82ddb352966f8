/* pieces.c: the end of a tiled contraction whose results are made of several pieces of its columns, side by side
 * (ir/pieces.c): the gates of a recurrent cell, both halves of a gated unit.
 *
 * Sums of a group lie in memory or in accumulators, panel by panel: sixteen columns of each piece, then the next sixteen.  The
 * schedule's `vectors` says how many sixteens of each are taken at a time: chains of arithmetic that long fill the machine's
 * queues, four vectors beside each other overlap.  A result is evaluated once, from all pieces at its place.
 */
#include "tile.h"
#include <string.h>

uint32_t blocks_units(Kernel *k, const Blocks *s) {
    uint32_t units = s->pieces > 1 ? (uint32_t)k->schedule->field[SCHED_vectors] : 1;
    Dim columns = s->y->dims[s->y->rank - 1];
    if (units != 2 && units != 4) return 1;
    for (; units > 1; units /= 2) {
        Dim width = dim_const(k->cx, (int64_t)units * s->pieces * PANEL);
        if (prove(k->cx, k->scope, REL_DIVIDES, width, columns) == YES) break;
    }
    return units;
}

/* Where the element at hand lies in a piece. */
static Dim piece_column(Kernel *k, const Blocks *s, uint32_t piece) {
    return dim_addi(k->cx, s->value_at[s->y->rank - 1], (int64_t)piece * PANEL);
}

LVal blocks_piece(Kernel *k, const Blocks *s, const Dim *at) {
    uint32_t last = s->y->rank - 1;
    for (uint32_t i = 0; i < s->pieces; i++)
        if (prove(k->cx, k->scope, REL_EQ, at[last], piece_column(k, s, i)) == YES) return s->values[i];
    diag_fatal(k->cx, "schedule: the contraction of a tiled kernel is read at '%s', expected a piece of '%s'",
               dim_string(k->cx, at[last]), dim_string(k->cx, s->value_at[last]));
}

/* Vectors of sixteen, one after the other, as one. */
static LVal joined(LoopBuilder *b, const LVal *v, uint32_t n) {
    int64_t lanes[MAX_LANES];
    if (n == 1) return v[0];
    LVal low = joined(b, v, n / 2), high = joined(b, v + n / 2, n / 2);
    for (uint32_t i = 0; i < n * PANEL; i++) lanes[i] = i;
    return l_shuffle(b, low, high, lanes, n * PANEL);
}

/* A result is where the first piece leads to that it is made of; all of them do where it has the contraction's columns. */
static void store_pieces(Kernel *k, const Blocks *s) {
    Dim place[MAX_RANK], at[MOST_PIECES][MAX_RANK];
    uint32_t memo = k->memo.n, rank = s->y->rank;
    memcpy(place, s->value_at, rank * sizeof *place);
    for (uint32_t r = 0; r < k->body->results.n; r++) {
        uint32_t n = 0, result_rank = val_rank(k->body, k->body->results.at[r]);
        for (uint32_t piece = 0; piece < s->pieces; piece++) {
            Kept kept = {.n = 0};
            bool stored = false;
            place[rank - 1] = piece_column(k, s, piece);
            if (!kernel_forward(k, s->anchor, k->body->results.at[r], place, at[n], &kept) || kept.none) continue;
            for (uint32_t i = 0; i < n && !stored; i++) stored = memcmp(at[i], at[n], result_rank * sizeof **at) == 0;
            if (!stored) store_result(k, r, at[n++], &kept);
        }
        if (!n) diag_fatal(k->cx, "schedule: result %u of the kernel is not made of pieces of its contraction", r);
    }
    k->memo.n = memo;
}

void blocks_store_pieces(Kernel *k, Blocks *s, const Group *gr, LVal sums, const LVal *acc) {
    Context *cx = k->cx;
    LoopBuilder *b = k->b;
    Dim lane = dim_symbol(cx, k->lane), unit = kernel_simplify(k, dim_fdiv(cx, lane, dim_const(cx, PANEL)));
    lane = dim_add(cx, lane, dim_muli(cx, unit, (int64_t)(s->pieces - 1) * PANEL));
    for (uint32_t j = 0; j < gr->panels; j += s->units * s->pieces) {
        for (uint32_t i = 0; i < s->pieces; i++) {
            LVal v[MAX_LANES / PANEL];
            for (uint32_t u = 0; u < s->units; u++) {
                uint32_t panel = j + u * s->pieces + i;
                v[u] = acc ? acc[panel] : l_load(b, sums, l_i64(b, (int64_t)panel * PANEL), PANEL, (LVal){0});
            }
            s->values[i] = joined(b, v, s->units);
        }
        Dim column = dim_add(cx, dim_muli(cx, dim_addi(cx, s->panel, j), PANEL), lane);
        Fact inside[] = {{REL_LT, column, s->columns}};
        KernelScope scope;
        kernel_enter(k, &scope, inside, 1);
        k->lanes = s->units * PANEL;
        s->value_at[s->y->rank - 1] = column;
        store_pieces(k, s);
        k->lanes = 1;
        kernel_leave(k, &scope);
    }
}
