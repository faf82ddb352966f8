/* winograd.c: pass `winograd`, run for --numerics=fast: convolutions of 3 x 3 taps take fewer products, where that pays.
 *
 * A tile of 4 x 4 results takes 36 products a channel and filter instead of 144 (of 2 x 2: 16 instead of 36), between
 * transforms of the image and of the results; the filter is transformed here, in double, and rounded once.  It is 4 (16 / 9)
 * times as large.  Runs after `rescale`, so that scales are inside the filter, and before `pack`, which lays it out in panels.
 * The rule is fitted to ResNet-50's layers on Zen 5: 128 channels of 28 x 28 take 0.89 ms by taps, 0.44 by tiles of 2, 0.26
 * of 4; 256 of 14 x 14 0.89, 0.45 and 0.50; 512 of 7 x 7, where the filter is most of it, 1.00, 0.89 and 1.07.
 * Source: Lavin and Gray, arXiv 1509.09308; the transforms: ir/ops/winograd.c.
 */
#include "passes.h"
#include <string.h>

enum { TAPS = 3, POINTS = 6 };

static bool is_plain(const Graph *g, const Node *n, ConstView *view) {
    const TypeInfo *x = val_type(g, n->in[0]), *w = val_type(g, n->in[1]);
    if (n->op != OP_conv || x->dtype != DT_f32 || x->rank != 4 || w->encoding != ENCODING_DENSE) return false;
    const int64_t *stride = attr_ints(n, ATTR_stride, NULL), *dilation = attr_ints(n, ATTR_dilation, NULL);
    for (uint32_t i = 0; i < 2; i++)
        if (!dim_is(g->cx, w->dims[i], TAPS) || stride[i] != 1 || dilation[i] != 1) return false;
    return attr_int(n, ATTR_groups) == 1 && !val_splat(g, n->in[0], &(Scalar){0}) && find_view(g, n->in[1], view);
}

/* What one image takes, in cycles of a core of 16 lanes that adds 32 products a cycle and reads 10 bytes of a filter;
 * transforms take TRANSFORM for each point of a vector of channels, on either side.  The same for all tiers, so that bits
 * are. */
enum { PRODUCTS = 32, BYTES = 10, LANES = 16, TRANSFORM = 5 };

static int64_t taps_cost(int64_t pixels, int64_t each) {
    int64_t taps = TAPS * TAPS;
    return sat_add(sat_mul(sat_mul(pixels, taps), each) / PRODUCTS, sat_mul(taps * 4, each) / BYTES);
}

static int64_t points_cost(int64_t tile, int64_t squares, int64_t channels, int64_t filters) {
    int64_t points = (tile + 2) * (tile + 2), each = sat_mul(channels, filters);
    int64_t transforms = (channels + filters + 2 * LANES - 2) / LANES * TRANSFORM;
    int64_t square = sat_add(each / PRODUCTS, transforms);
    return sat_add(sat_mul(sat_mul(squares, points), square), sat_mul(points * 4, each) / BYTES);
}

/* The tile that takes least, or 0: none is worth another arithmetic.  A batch that is not known may be one image. */
static int64_t best_tile(const Graph *g, const Node *n, int64_t channels, int64_t filters) {
    const TypeInfo *y = type_info(g->cx, n->type);
    int64_t images = 1, height = dim_hint(g->cx, y->dims[1]), width = dim_hint(g->cx, y->dims[2]), best = 0;
    if (height < 1 || width < 1 || !dim_const_value(g->cx, y->dims[0], &images)) images = 1;
    int64_t least = taps_cost(sat_mul(images, sat_mul(height, width)), sat_mul(channels, filters)) / 10 * 9;
    for (int64_t tile = 2; tile <= 4; tile += 2) {
        int64_t squares = sat_mul(images, sat_mul((height + tile - 1) / tile, (width + tile - 1) / tile));
        int64_t cost = points_cost(tile, squares, channels, filters);
        if (cost < least) least = cost, best = tile;
    }
    return best;
}

/* The filter of one channel and column at the points, down and across. */
static void transform(const Winograd *w, double taps[TAPS][TAPS], double at[POINTS][POINTS]) {
    double across[POINTS][TAPS] = {{0}};
    for (uint32_t r = 0; r < TAPS; r++) {
        double line[POINTS] = {0};
        winograd_filter(w, taps[r], line);
        for (uint32_t j = 0; j < w->tile + 2; j++) across[j][r] = line[j];
    }
    for (uint32_t j = 0; j < w->tile + 2; j++) {
        double line[POINTS] = {0};
        winograd_filter(w, across[j], line);
        for (uint32_t i = 0; i < w->tile + 2; i++) at[i][j] = line[i];
    }
}

static double element(const uint8_t *data, int64_t i) {
    float f;
    memcpy(&f, data + i * (int64_t)sizeof f, sizeof f);
    return (double)f;
}

/* [points, points, channels, filters]; id 0: too large. */
static Const transformed(Context *cx, const Winograd *w, const ConstView *v) {
    int64_t channels = v->dims[2], filters = v->dims[3], n = w->tile + 2, each, count;
    const uint8_t *data = const_bytes(cx, v->of);
    if (!ck_mul(channels, filters, &each) || !ck_mul(each, n * n, &count)) return (Const){0};
    float *u = arena_array(cx->arena, (uint64_t)count, sizeof *u);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t f = 0; f < filters; f++) {
            double taps[TAPS][TAPS], at[POINTS][POINTS];
            int64_t first = v->origin + c * v->stride[2] + f * v->stride[3];
            for (int64_t t = 0; t < TAPS * TAPS; t++)
                taps[t / TAPS][t % TAPS] = element(data, first + t / TAPS * v->stride[0] + t % TAPS * v->stride[1]);
            transform(w, taps, at);
            for (int64_t p = 0; p < n * n; p++) u[p * each + c * filters + f] = (float)at[p / n][p % n];
        }
    return const_data(cx, DT_f32, (uint64_t)count, u);
}

static Val winograd(Rewrite *rw, const Node *old, Val old_val, const Val *in) {
    const Graph *g = rw->from;
    Context *cx = rw->to->cx;
    ConstView view;
    Winograd w;
    (void)old_val;
    if (op_info[old->op].kind != KIND_CONTRACT || !is_plain(g, old, &view)) return (Val){0};
    if (!winograd_of(best_tile(g, old, view.dims[2], view.dims[3]), &w)) return (Val){0};
    Const u = transformed(cx, &w, &view);
    if (!u.id || const_info(cx, u)->splat) return (Val){0};
    Dim points = dim_const(cx, w.tile + 2), channels = dim_const(cx, view.dims[2]), filters = dim_const(cx, view.dims[3]);
    TypeInfo t = {.dtype = DT_f32, .rank = 4, .dims = (Dim[]){points, points, channels, filters}};
    uint32_t axes;
    const Dim *low = attr_dims(old, ATTR_low, &axes), *high = attr_dims(old, ATTR_high, NULL);
    Attr attrs[] = {{.key = ATTR_low, .n = axes, .as.dims = low}, {.key = ATTR_high, .n = axes, .as.dims = high},
                    {.key = ATTR_tile, .as.i = w.tile}};
    Val operands[] = {in[0], rewrite_const(rw, node(g, old->in[1])->loc, u, &t)};
    return emit(rw->to, OP_winograd, old->loc, operands, 2, attrs, COUNT(attrs));
}

Graph *pass_winograd(Context *cx, const Graph *g, const Tiers *tiers) {
    (void)tiers;
    return graph_rewrite(cx, g, winograd, NULL, true);
}
