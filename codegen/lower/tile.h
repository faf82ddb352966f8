/* tile.h: what templates contraction and convolution share: the register tile (tile.c), the loops around it (blocks.c,
 * sums.c, crossed.c) and the panels made while running (panels.c).
 *
 * Both are sums of products  y[row, column] = sum over taps t, channels c of  x[row, t, c] * w[t, c, column], where a plain
 * contraction has one tap.  Rows are the flattened axes of the result before the last, columns the last.
 * Order law (the same as contract.c's, whatever the schedule): K is cut into parts; each is one ascending chain from +0, and
 * their sums are added left to right, onto +0 where there may be several.
 */
#pragma once
#include "lower.h"

enum { MAX_TILE_ROWS = 16, MAX_TILE_PANELS = 8, PANEL = LANES, RATE_BITS = 20 };

/* What is fetched into the cache while a tile runs: at its k, line (first + k) * rate >> RATE_BITS of each of these places. */
typedef struct Ahead {
    LVal to[MAX_TILE_PANELS];    /* elements to the place's line 0; up to id 0 */
    LVal turn;                   /* of the tile, among those that fetch the same place; id 0: nothing is fetched */
    LVal first, rate;
    bool sparse;                 /* every second k is enough */
} Ahead;

/* A register tile over a run of k. */
typedef struct Tile {
    uint32_t rows, panels;
    LVal row[MAX_TILE_ROWS];     /* pointer to x at the run's first k */
    bool line;                   /* those lie at constant distances: the compiler overlaps copies of a step */
    LVal inside[MAX_TILE_ROWS];  /* bool: off: x counts as 0; id 0: on */
    LVal stride;                 /* elements from one k of x to the next */
    LVal same;                   /* x is this one number: row is not used; or 0 */
    DType x;                     /* graph dtype of x */
    uint32_t deep;               /* k of x and w in a u32: 2 of bf16 (ENCODING_PAIR16), 4 of bytes (ENCODING_QUAD16): panel and
                                  * its steps count those; else 1 or 0 */
    LVal panel[MAX_TILE_PANELS]; /* pointer to 16 columns of w at the run's first k */
    LVal step;                   /* elements from one k of w to the next; 0: 16, as in panels */
    LVal mask[MAX_TILE_PANELS];  /* of the columns that are there; id 0: all */
    bool half;                   /* the last panel has eight of them at most: the lanes behind are anything */
    DType w;                     /* graph dtype of w in memory: that of the constant, or the compute dtype where packed */
    Ahead ahead;                 /* counted from panel[0] */
    LVal beside;                 /* pointer to what else is fetched, besides[16] for each k; id 0: nothing */
    uint32_t besides;
    LVal count;                  /* length of the run */
    uint32_t depth;              /* k in each of its steps, written out: further k of x lie `inner` elements on; 0 as 1 */
    LVal inner;
} Tile;
/* acc[i * panels + j] += sum over the run of row i times panel j: one chain each. */
void tile_run(Kernel *, const Tile *, LVal *acc);

/* A part of K: channels [first, first + count) of each of the taps [tap, end). */
typedef struct Part { LVal tap, end, first, count; } Part;

typedef enum Columns { COLUMNS_FULL, COLUMNS_TAIL, COLUMNS_DYNAMIC } Columns;
typedef struct Group {           /* the columns of one task, or of a tile, as code knows them */
    uint32_t panels;
    Columns kind;                /* TAIL: the last panel is cut off by the constant extent; DYNAMIC: any panel may be */
} Group;

typedef struct Rows {            /* of the task's block, or of a strip */
    LVal begin, end;             /* tiles */
    LVal size, larger;           /* rows of a tile; the first `larger` tiles of all, or of each line, have one more */
    LVal tiles, width;           /* of a line that is cut into tiles by itself; id 0: none is */
    LVal first;                  /* row of tile 0; id 0: 0 */
    uint32_t sizes;              /* bit n: a tile may have n rows; 0: as the extents tell */
} Rows;

typedef struct Blocks Blocks;
/* Adds the part's products for the rows [first_row, first_row + rows) to acc. */
typedef void AccumulateFn(Kernel *, Blocks *, const Part *, LVal first_row, uint32_t rows, const Group *, LVal *acc);
struct Blocks {
    Val anchor;
    const Node *node;
    const TypeInfo *y, *x, *w;
    DType compute;
    uint32_t batch;              /* leading axes that x and w have in common */
    Dim rows, columns, taps, channels;
    bool runs;                   /* one channel, in pairs: a row of taps counts as a tap's channels */
    uint32_t pieces, units;      /* panels that results are made of together (contract_pieces), and so often: one group */
    Dim width;                   /* rows of a line that no tile leaves; id 0: tiles lie as they come */
    int64_t chunk;
    bool whole;                  /* K is one part */
    bool chained;                /* its parts follow one another in a tile's registers: K is one pass */
    bool pairs;                  /* w is bf16: it lies in pairs (ENCODING_PAIR16), or is packed into them where there is fma */
    uint32_t deep;               /* k that lie in a u32 of w: 2 of those pairs, 4 of bytes (ENCODING_QUAD16), else 1 */
    uint32_t together;           /* panels of w that lie side by side, k by k: 4 under ENCODING_PANEL64, else 1 */
    bool packs;                  /* w is copied into panels part by part */
    bool in_place;               /* w is no constant, and read where it lies: rows `down` apart, columns side by side */
    LVal down;
    uint32_t tile_m, tile_n;     /* rows and panels of a tile */
    uint32_t block_tiles, block_groups; /* tiles of a block of rows, groups of a block of columns */
    AccumulateFn *accumulate;
    /* Instead of tiles of accumulators: before a block of rows; and a group's columns of rows of it, with room for a tile's
     * sums. */
    void (*begin)(Kernel *, Blocks *, const Dim *task);
    void (*group)(Kernel *, Blocks *, const Group *, const Rows *, LVal sums);
    void *state;                 /* accumulate's own; theirs */
    LVal lo, hi;                 /* share of the range */
    const Rows *strip;           /* rows at hand, whatever the share; or NULL */
    Val kept;                    /* instead of results: this, made of the anchor's one by one; or none */
    LVal to;                     /* where its elements lie as in memory */
    Dim at[MAX_RANK];            /* of the task: batch axes filled in */
    Dim panel;                   /* first panel of the task */
    LVal panels, panel_stride;   /* pointer to it, at the part's first k where packed; elements to the next */
    LVal aside;                  /* elements to the panels of the tile at hand; id 0: 0 */
    LVal next;                   /* elements from here to the panels that are worked on next */
    Ahead ahead;                 /* of the tile at hand: Tile.ahead */
    LVal beside, beside_step;    /* what the template reads after these rows: from here, so many elements on a tile; or 0 */
    uint32_t besides;            /* Tile.besides of it */
    LVal beside_at;              /* of the tile at hand: Tile.beside */
    bool repeats;                /* accumulate heeds `last` */
    LVal last; /* of the tile at hand: the row in its last place, which may be that before once more; or 0: its own */
    LVal made, made_first, made_pitch; /* x's rows as the template made them in scratch: from which one on, and apart; or 0 */
    DType made_dtype;            /* graph dtype of those */
    LVal value;                  /* of the anchor at value_at */
    LVal values[MOST_PIECES];    /* the same of each piece, where there are several */
    Dim value_at[MAX_RANK];
};
Blocks blocks_of(Kernel *);
Blocks blocks_at(Kernel *, Val anchor);      /* of this contraction, convolution or attend */
void blocks_sizes(Kernel *, Blocks *);        /* of its tiles and blocks, from the schedule and the rows */
DType blocks_packed(const Blocks *);          /* what panels packed while running are made of */
Dim blocks_cut(const Blocks *);              /* what is cut into tiles: all rows, or those of a line */
Dim blocks_tiles(Kernel *, const Blocks *);  /* of all rows */
Dim blocks_count(Kernel *, const Blocks *);  /* blocks of rows */
Dim blocks_scratch(Kernel *, const Blocks *);
void blocks_lower(Kernel *, Blocks *, LVal lo, LVal hi);
/* The results of these rows, all columns: for templates whose tasks are other rows than a contraction's.  At most a block of
 * them where K comes in parts that do not follow one another in registers. */
void blocks_strip(Kernel *, Blocks *, const Rows *);
/* at[] of the row axes of the result from the flat row. */
void blocks_row(Kernel *, const Blocks *, Dim row, Dim *at);
/* Vectors of a panel that one tap takes; that so many k of a tap take. */
Dim blocks_vectors(Kernel *, const Blocks *);
LVal blocks_vectors_of(Kernel *, const Blocks *, LVal depth);
/* Parts of K, and part number i: a whole number of taps, or channels of one tap. */
Dim blocks_parts(Kernel *, const Blocks *);
Part blocks_part(Kernel *, const Blocks *, LVal i);
/* Tile.half of the group's tiles. */
bool blocks_half(Kernel *, const Blocks *, const Group *);
/* Panels of a group: of a tile, or of several that results are made of together.  Elements to its tile number `tile`. */
uint32_t blocks_wide(const Blocks *);
LVal blocks_aside(Kernel *, const Blocks *, Dim tile);
/* Panel pointers at channel `first` of tap `tap`. */
void blocks_panels(Kernel *, const Blocks *, LVal tap, LVal first, Tile *);

/* ---- sums.c ------------------------------------------------------------------------------------------------------- */

Rows blocks_rows(Kernel *, const Blocks *, Dim block);
LVal rows_start(Kernel *, const Rows *, LVal tile);   /* its first row */
/* All tiles of the rows: s->accumulate, then the results (with room for the sums of one tile) … */
void blocks_finish_tiles(Kernel *, Blocks *, const Part *, const Group *, const Rows *, LVal room);
/* … or the sums, into memory or onto what is there: row r of the rows at at[(r - first) * pitch].  scale (add): what is there
 * is first multiplied by scale[r - first]; below 0 it stays as it is.  only: tiles whose element, counted from the first, is
 * not 0. last: where it holds, the results follow. */
typedef struct Sums { LVal at, pitch; bool add; LVal scale, only, last; } Sums;
void blocks_sum_tiles(Kernel *, Blocks *, const Part *, const Group *, const Rows *, const Sums *);
/* Results of rows [first, end), whose sums start at `sums`. */
void blocks_store_rows(Kernel *, Blocks *, const Group *, LVal first, LVal end, LVal sums, LVal pitch);
/* The anchor's value while results are stored: an AnchorFn, for templates whose state is the Blocks; or for any. */
LVal blocks_anchor(Kernel *, Val, const Dim *at);
LVal blocks_value(Kernel *, const Blocks *, Val, const Dim *at);

/* Every result of the body, from the anchor's values (AnchorFn) at these places: followed forwards through views. */
void store_results(Kernel *, Val anchor, const Dim *at);
/* Result r at the place, under the mask of what slices keep of it. */
void store_result(Kernel *, uint32_t r, const Dim *at, const Kept *);
LVal blocks_zero(Kernel *, const Blocks *);  /* sixteen of the compute dtype */
/* Where a convolution's operand lies, and its accumulate: before its tiles.  convolution.c */
void convolution_place(Kernel *, Blocks *);
/* A run of the contraction's own: rows of x against s->panels; those rows alone.  contraction.c */
AccumulateFn contraction_accumulate;
Tile contraction_rows(Kernel *, const Blocks *, const Part *, LVal first_row, uint32_t rows);
/* Element [row, column] of w in the task's matrix lies at start + row * down + column * along, where w is a view of memory, or
 * that rounded to bf16. */
typedef struct Lines { LVal pointer; Dim start, down, along; DType dtype; } Lines;
bool blocks_lines(Kernel *, const Blocks *, Lines *);
/* The same, where the k of a column lie side by side, as those of keys do against queries, and vectors of them can be
 * transposed. */
bool blocks_columns(Kernel *, const Blocks *, Lines *);
/* A row of w lies there as a row of columns, which tiles may read: without code. */
bool blocks_lie(Kernel *, const Blocks *);
/* Where w is read in place: which columns of the tile's panels there are. */
void blocks_masks(Kernel *, const Blocks *, const Group *, Tile *);
/* Copies the part of w under the group's panels to s->panels; columns outside become zero.  panels.c */
void blocks_pack(Kernel *, Blocks *, const Part *, const Group *);

/* x read at `at`: the parameter behind its views, and the offset there.  splat: x is one number, in *same. */
typedef struct Source { Val base; LVal pointer, same; Dim offset; } Source;
Source blocks_source(Kernel *, Val x, const Dim *at);
bool blocks_where(Kernel *, Val x, const Dim *at, Val *base,
                  Dim *offset); /* the same, without code; false: x is no view of memory */

/* ---- pieces.c ----------------------------------------------------------------------------------------------------- */

/* Of sixteen columns of each piece: that the epilogue takes at a time. */
uint32_t blocks_units(Kernel *, const Blocks *);
LVal blocks_piece(Kernel *, const Blocks *, const Dim *at);  /* the anchor's value there */
/* Results of a row of sums, at sums[0 .. 16 * panels) or in acc. */
void blocks_store_pieces(Kernel *, Blocks *, const Group *, LVal sums, const LVal *acc);

/* ---- crossed.c ---------------------------------------------------------------------------------------------------- */

typedef struct CrossedRows {     /* a tile of finished sums: rows [first, first + count), at most `most` */
    const Group *group;
    LVal first, count;
    uint32_t most;
    const LVal *acc;             /* the sums, or NULL: row i in memory at sums[i * pitch] */
    LVal sums, pitch;
} CrossedRows;
bool blocks_cross(Kernel *, const Blocks *); /* some result lies along the rows */
void blocks_store_crossed(Kernel *, Blocks *, const CrossedRows *);

/* ---- image.c ------------------------------------------------------------------------------------------------------ */

typedef struct Image {           /* x at [n, y.., c]: offset origin + n * step + sum of y[i] * axis[i] + c * channel */
    Source x;
    Dim origin, step, axis[MAX_RANK], channel;
    uint32_t spatial;
    const int64_t *stride, *dilation; /* NULL: all 1 */
    const Dim *low;
    bool checked[MAX_RANK];      /* taps may leave the image along this axis */
    bool any_checked;
    LVal zeros;                  /* pointer to a row of zeros, or 0: not contiguous */
    uint32_t merged;             /* few channels: a run covers all taps of the innermost axis, this many; or 0 */
} Image;
Image image_of(Kernel *, const Node *conv);
/* Tile `tile` of an axis of the image: `size` lines together, or, of what is left over behind the whole tiles, one: run(k,
 * user, lines) with *at the first of them. */
typedef void LinesFn(Kernel *, void *user, uint32_t lines);
void image_lines(Kernel *, Dim tile, Dim extent, int64_t size, Dim *at, LinesFn *run, void *user);
/* A read-only object of zeros that the module's convolutions share: at least `bytes`. */
LVal zero_row(Kernel *, DType memory, int64_t bytes);

/* ---- grouped.c ---------------------------------------------------------------------------------------------------- */

/* A grouped convolution on template grouped's tiles, for a template that goes on from their values: how many tiles of lines
 * there are, the product of dims[0 .. the returned number), an image's last; where its operand lies; the elements of tiles
 * [lo, hi) of `value`, which is made of its results one by one, at `to`, where they lie from each other as in memory. */
typedef struct Grouped Grouped;
uint32_t grouped_range(Kernel *, Val conv, SchedField pixels, Dim *dims);
Grouped *grouped_place(Kernel *, Val conv, SchedField pixels);
void grouped_keep(Kernel *, Grouped *, LVal lo, LVal hi, Val value, LVal to);

/* ---- share.c ------------------------------------------------------------------------------------------------------ */

Dim share_range(Kernel *, const Blocks *);                   /* units to launch over: panels of row tiles */
void share_tasks(Kernel *, const Blocks *, Dim *dims); /* of all units: batch elements, blocks of rows, groups of panels */
void share_ends(Kernel *, const Blocks *, LVal *ends); /* its first task and the one behind its last, counted in those dims */
/* Rows of the task (its place in those dims) that lie in s->lo .. s->hi; its panels start at s->panel. */
Rows share_rows(Kernel *, const Blocks *, const Dim *task, uint32_t panels);
