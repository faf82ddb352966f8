/* winograd.c: op winograd: convolution of 3 x 3 taps by minimal filtering: its transforms in numbers, and its meaning.
 *
 * Along an axis, `tile` results y of a filter g over tile + 2 elements d are  y = A (G g . B d): both become values of
 * polynomials at tile + 2 points, a product each, and the results are read off the product (Toom and Cook, transposed).  In
 * two dimensions the transforms apply along one axis, then the other, and the products are summed over channels between them.
 * The points are 0, pairs +-a, and infinity, so that rows of B and A come in pairs too: an even part plus or minus an odd one.
 * Points near 1 lose least: with 3/4 and 3/2 the error of tile 4 is a quarter of what 1 and 2 give, twice that of the sum of
 * nine taps; all coefficients of B and A are exact in f32.
 * Source: Lavin and Gray, arXiv 1509.09308; Barabasz et al., arXiv 1803.10986 (points).
 */
#include "ops.h"

enum { POINTS = 6 };

bool winograd_of(int64_t tile, Winograd *w) {
    if (tile != 2 && tile != 4)
        return false;
    *w = (Winograd){.tile = (uint32_t)tile, .pairs = (uint32_t)tile / 2};
    if (tile == 2) {
        w->point[0] = 1;
        w->all[0] = -1, w->all[1] = 1;
        w->rest[0][0] = 1;
        return true;
    }
    double a = w->point[0] = 0.75, b = w->point[1] = 1.5;
    w->all[0] = a * a * b * b, w->all[1] = -(a * a + b * b), w->all[2] = 1;
    w->rest[0][0] = -b * b, w->rest[1][0] = -a * a;
    w->rest[0][1] = w->rest[1][1] = 1;
    return true;
}

/* g(p) over the product of p's distances to the other finite points. */
void winograd_filter(const Winograd *w, const double *g, double *at) {
    at[0] = g[0] / w->all[0];
    for (uint32_t i = 0; i < w->pairs; i++) {
        double a = w->point[i], rest = 0, even = g[0] + a * a * g[2], odd = a * g[1];
        for (uint32_t j = w->pairs; j-- > 0;)
            rest = rest * a * a + w->rest[i][j];
        at[1 + 2 * i] = (even + odd) / (2 * a * a * rest);
        at[2 + 2 * i] = (even - odd) / (2 * a * a * rest);
    }
    at[w->tile + 1] = g[2];
}

/* B: elements d[i * step] at the points, in place. */
static void transform_in(const Winograd *w, double *d, int64_t step) {
    double v[POINTS] = {0};
    for (uint32_t j = 0; j <= w->pairs; j++) {
        v[0] += w->all[j] * d[2 * j * step];
        v[w->tile + 1] += w->all[j] * d[(2 * j + 1) * step];
    }
    for (uint32_t i = 0; i < w->pairs; i++) {
        double even = 0, odd = 0;
        for (uint32_t j = 0; j < w->pairs; j++) {
            even += w->rest[i][j] * d[(2 * j + 2) * step];
            odd += w->rest[i][j] * d[(2 * j + 1) * step];
        }
        v[1 + 2 * i] = even + w->point[i] * odd;
        v[2 + 2 * i] = even - w->point[i] * odd;
    }
    for (uint32_t i = 0; i < w->tile + 2; i++)
        d[i * step] = v[i];
}

/* A: results from the products m[i * step], in place. */
static void transform_out(const Winograd *w, double *m, int64_t step) {
    double y[POINTS] = {0};
    y[0] = m[0];
    y[w->tile - 1] += m[(w->tile + 1) * step];
    for (uint32_t i = 0; i < w->pairs; i++) {
        double power = 1, up = m[(1 + 2 * i) * step], down = m[(2 + 2 * i) * step];
        for (uint32_t k = 0; k < w->tile; k++, power *= w->point[i])
            y[k] += power * (k % 2 ? up - down : up + down);
    }
    for (uint32_t k = 0; k < w->tile; k++)
        m[k * step] = y[k];
}

typedef void TransformFn(const Winograd *, double *, int64_t step);

/* Along both axes of a square of lines of `count` numbers. */
static void transform_square(const Winograd *w, TransformFn *transform, double *at, int64_t count) {
    int64_t n = w->tile + 2;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < count; c++)
            transform(w, at + i * count + c, n * count);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < count; c++)
            transform(w, at + i * n * count + c, count);
}

typedef struct Case {
    Winograd w;
    int64_t height, width, channels, filters; /* of x and u */
    int64_t low[2];
    double *square, *sums;
} Case;

/* The square of x under a tile: outside counts as 0. */
static void read_square(const Case *c, const Tensor *x, int64_t image, int64_t y, int64_t column) {
    int64_t n = c->w.tile + 2;
    for (int64_t i = 0; i < n * n; i++) {
        int64_t down = y + i / n - c->low[0], across = column + i % n - c->low[1];
        double *to = c->square + i * c->channels;
        bool inside = down >= 0 && down < c->height && across >= 0 && across < c->width;
        for (int64_t k = 0; k < c->channels; k++) {
            int64_t at = ((image * c->height + down) * c->width + across) * c->channels + k;
            Scalar s = {.f = 0};
            if (inside)
                tensor_load(x, at, 1, &s);
            to[k] = s.f;
        }
    }
}

static void multiply(const Case *c, const double *u) {
    int64_t points = (int64_t)(c->w.tile + 2) * (c->w.tile + 2);
    for (int64_t i = 0; i < points; i++)
        for (int64_t f = 0; f < c->filters; f++) {
            double sum = 0;
            for (int64_t k = 0; k < c->channels; k++)
                sum += c->square[i * c->channels + k] * u[(i * c->channels + k) * c->filters + f];
            c->sums[i * c->filters + f] = sum;
        }
}

static void write_square(const Case *c, Tensor *out, int64_t image, int64_t y, int64_t column) {
    int64_t n = c->w.tile + 2;
    for (int64_t i = 0; i < c->w.tile; i++)
        for (int64_t j = 0; j < c->w.tile; j++) {
            int64_t down = y + i, across = column + j;
            int64_t to = ((image * out->dims[1] + down) * out->dims[2] + across) * c->filters;
            if (down >= out->dims[1] || across >= out->dims[2])
                continue;
            for (int64_t f = 0; f < c->filters; f++)
                tensor_store(out, to + f, 1, &(Scalar){.f = c->sums[(i * n + j) * c->filters + f]});
        }
}

/* Exact but for double's rounding: what compiled code is compared with. */
bool eval_winograd(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    Case c = {.height = in[0].dims[1], .width = in[0].dims[2], .channels = in[0].dims[3], .filters = in[1].dims[3]};
    Tensor u;
    if (!winograd_of(attr_int(n, ATTR_tile), &c.w) || !tensor_new(ip, n->type, out) ||
        !interp_dims(ip, attr_dims(n, ATTR_low, NULL), 2, c.low))
        return false;
    int64_t points = (int64_t)(c.w.tile + 2) * (c.w.tile + 2), weights = points * c.channels * c.filters;
    if (in[1].dims[2] != c.channels) {
        diag_error(ip->cx, ip->loc, "winograd: channels of image and filter differ: %lld and %lld",
                   (long long)c.channels, (long long)in[1].dims[2]);
        return false;
    }
    if (!contract_decode(ip, &in[1], 1, points, c.channels, c.filters, &u))
        return false;
    double *wide = arena_new_array(ip->arena, double, (size_t)weights);
    for (int64_t i = 0; i < weights; i++) {
        Scalar s;
        tensor_load(&u, i, 1, &s);
        wide[i] = s.f;
    }
    c.square = arena_new_array(ip->arena, double, (size_t)(points * c.channels));
    c.sums = arena_new_array(ip->arena, double, (size_t)(points * c.filters));
    for (int64_t image = 0; image < out->dims[0]; image++)
        for (int64_t y = 0; y < out->dims[1]; y += c.w.tile)
            for (int64_t column = 0; column < out->dims[2]; column += c.w.tile) {
                read_square(&c, &in[0], image, y, column);
                transform_square(&c.w, transform_in, c.square, c.channels);
                multiply(&c, wide);
                transform_square(&c.w, transform_out, c.sums, c.filters);
                write_square(&c, out, image, y, column);
            }
    return true;
}
