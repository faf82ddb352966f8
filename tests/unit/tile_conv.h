/* tile_conv.h: convolutions of the cases in test_tile_conv.c, test_tile_lines.c and test_tile_pool.c. */
#pragma once
#include "tile_test.h"

typedef struct Shape { int64_t h, w, c, f, r, s, stride, dilation, low, high; bool symbolic, planes; } Shape;

/* `images` of a shape, in either layout; symbolic are the batch and lines where the shape says so, and columns if `wide`. */
static inline Val picture(Case *c, const Shape *z, int64_t images, bool wide) {
    bool s = z->symbolic;
    Dim n = s ? symbol(c, "n", 3) : dim_const(c->cx, images), channels = dim_const(c->cx, z->c);
    Dim h = s ? symbol(c, "h", z->h) : dim_const(c->cx, z->h), w = wide ? symbol(c, "w", z->w) : dim_const(c->cx, z->w);
    if (!z->planes) return param(c, DT_f32, 4, (Dim[]){n, h, w, channels});
    return b_permute(c->g, (Loc){0}, param(c, DT_f32, 4, (Dim[]){n, channels, h, w}), DIMS(0, 2, 3, 1));
}

static Val conv(Case *c, Val x, Val w, uint32_t spatial, const Shape *z, int64_t groups) {
    int64_t stride[MAX_RANK], dilation[MAX_RANK];
    Dim low[MAX_RANK], high[MAX_RANK];
    for (uint32_t i = 0; i < spatial; i++) {
        stride[i] = z->stride, dilation[i] = z->dilation;
        low[i] = dim_const(c->cx, z->low), high[i] = dim_const(c->cx, z->high);
    }
    Attr attrs[] = {{.key = ATTR_stride, .n = spatial, .as.ints = stride},
                    {.key = ATTR_dilation, .n = spatial, .as.ints = dilation},
                    {.key = ATTR_low, .n = spatial, .as.dims = low},
                    {.key = ATTR_high, .n = spatial, .as.dims = high},
                    {.key = ATTR_groups, .as.i = groups},
                    {.key = ATTR_chunk, .as.i = CHUNK_K}};
    return emit(c->g, OP_conv, (Loc){0}, (Val[]){x, w}, 2, attrs, COUNT(attrs));
}
