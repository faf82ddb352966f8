/* attention.h: what the files of template `attention` share: attention.c (tasks, keys, values), attention_rows.c (scores to
 * exponentials) and attention_hidden.c (blocks of keys that a mask hides).  Private to them.
 */
#pragma once
#include "tile.h"

enum { MAX_KEY_PANELS = 16, MAX_HIDERS = 4, FEW = 4 /* that read keys where they lie */ };

/* What keeps a key from a row: `flag` (bool) being `when` makes the score `value`; or -inf in `bias`, which is added to it. */
typedef struct Hider { Val flag, bias; bool when; double value; Val view; /* reshape between it and softmax, or 0 */ } Hider;

typedef struct Attention {
    Blocks values;               /* attend: rows x value columns, K is the keys */
    Blocks product;              /* the scores' contraction; anchor 0: none */
    int64_t keys;                /* of a block */
    int64_t most_rows;           /* of a task */
    Dim pitch;                   /* of a row of sums: value columns, in whole panels, or groups of them where unknown */
    bool makes_queries;          /* they are no view of a buffer: each task evaluates those of its rows */
    bool in_place;               /* values are read where they lie, else from panels */
    Rows rows;
    LVal begin, end;             /* rows of the task */
    LVal scores, sums, best, total, factor;  /* scratch, by row of the task: [keys], [pitch], one, [16], one */
    LVal weights;                /* scratch: exponentials in bf16 by row of the task, [keys]; in f32 they replace scores */
    LVal seen;                           /* scratch, by tile of the task: 0 where the block is hidden from it */
    LVal product_panels, value_panels, queries;
    LVal first, count;           /* keys of the block */
    Rows tile;                   /* whose exponentials meet the values */
    Hider hiders[MAX_HIDERS];
    uint32_t n_hiders;
    bool is_short;               /* few operations lead from the contraction to the scores */
    LVal row_scores, row_weights, key; /* while scores are evaluated: their row, and the key in the block of lane 0 */
    LVal row, inverse;           /* while results are stored: the row, and one over its total */
    LVal counts;                 /* whether its total is a number other than 0, where that matters, or 0 */
} Attention;

LVal attention_splat(Kernel *, const Attention *, double value);
/* A row's place in scratch and its index, to s->at; returns the row counted from the task's first. */
typedef struct Scoring { Attention *a; Dim at[MAX_RANK]; Dim first; } Scoring;
LVal attention_enter_row(Kernel *, Attention *, Scoring *, Dim row);
/* Rows [begin, end) of the block's scores become exponentials.  Returns how many rows any of them counts for. */
LVal attention_soften(Kernel *, Attention *, Dim first_key, LVal begin, LVal end);
/* Whether the scores' contraction asks with what has to be evaluated; the task's rows of that, to a->queries. */
bool attention_has_queries(Kernel *, const Attention *);
Dim attention_query_pitch(Kernel *, const Attention *);
void attention_make_queries(Kernel *, Attention *);
/* Whether the scores' contraction has few rows and can read keys where they lie; its sums for the block's keys, from there. */
Truth attention_few(Kernel *, const Attention *);
void attention_multiply_few(Kernel *, Attention *);
/* Finds the hiders; whether the block's keys are hidden from the rows [begin, end); the lanes of a score hidden by a bias. */
void attention_find_hiders(Kernel *, Attention *);
LVal attention_sees(Kernel *, Attention *, Dim first_key, LVal begin, LVal end);
LVal attention_hide(Kernel *, const Attention *, LVal score, const Dim *at);
