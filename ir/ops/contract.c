/* contract.c: sums of products: dot and conv.
 *
 * Floats accumulate in double in ascending k and are rounded once; integers wrap (u64 arithmetic
 * serves signed and unsigned alike).  The attribute `chunk` orders compiled code only.  The inner
 * loop adds a scalar times a contiguous row of the second operand to a row of totals, which
 * compilers vectorise.
 */
#include <string.h>
#include "ops.h"

/* Elements in the form they are multiplied in: exactly one of the pointers is set. */
typedef struct Numbers {
    const float *f32;
    const double *f64;
    const uint64_t *u64;
} Numbers;

static bool numbers_of(Interp *ip, const Tensor *t, bool is_float, Numbers *out) {
    Tensor dense;
    *out = (Numbers){0};
    if (t->dtype == DT_f32 && is_float) {
        if (!tensor_dense(ip, t, &dense))
            return false;
        out->f32 = dense.data;
        return true;
    }
    if (t->dtype == DT_f64 && is_float) {
        if (!tensor_dense(ip, t, &dense))
            return false;
        out->f64 = dense.data;
        return true;
    }
    Tensor wide;
    if (!tensor_alloc(ip, is_float ? DT_f64 : DT_u64, t->rank, t->dims, &wide))
        return false;
    int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i += 256)
        tensor_load(t, i, (uint32_t)(n - i < 256 ? n - i : 256), (Scalar *)wide.data + i);
    if (is_float)
        out->f64 = wide.data;
    else
        out->u64 = wide.data;
    return true;
}

/* sums[0..n) += s[0] * w[0..n), then s[1] * the next row, then the next two. */
static void add_four_f32(double *restrict sums, const double *s, const float *restrict w, int64_t stride, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double sum = sums[i] + s[0] * (double)w[i];
        sum += s[1] * (double)w[stride + i];
        sum += s[2] * (double)w[2 * stride + i];
        sums[i] = sum + s[3] * (double)w[3 * stride + i];
    }
}

static void add_four_f64(double *restrict sums, const double *s, const double *restrict w, int64_t stride, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double sum = sums[i] + s[0] * w[i];
        sum += s[1] * w[stride + i];
        sum += s[2] * w[2 * stride + i];
        sums[i] = sum + s[3] * w[3 * stride + i];
    }
}

/* totals[0..n) += x[at] * w[from..from + n). */
static void add_row(Scalar *totals, Numbers x, int64_t at, Numbers w, int64_t from, int64_t n) {
    if (w.u64) {
        uint64_t s = x.u64[at];
        for (int64_t i = 0; i < n; i++)
            totals[i].u += s * w.u64[from + i];
        return;
    }
    double s = x.f32 ? (double)x.f32[at] : x.f64[at], *restrict sums = &totals->f;
    if (w.f32) {
        const float *restrict row = w.f32 + from;
        for (int64_t i = 0; i < n; i++)
            sums[i] += s * (double)row[i];
    } else {
        const double *restrict row = w.f64 + from;
        for (int64_t i = 0; i < n; i++)
            sums[i] += s * row[i];
    }
}

/* The same for `rows` elements of x and rows of w that are `stride` apart, in order; four at a time, so that totals are read
 * and written less often. */
static void add_rows(Scalar *totals, Numbers x, int64_t at, Numbers w, int64_t from, int64_t stride, int64_t rows, int64_t n) {
    int64_t k = 0;
    for (; k + 4 <= rows && !w.u64; k += 4) {
        double s[4];
        for (int64_t i = 0; i < 4; i++)
            s[i] = x.f32 ? (double)x.f32[at + k + i] : x.f64[at + k + i];
        if (w.f32)
            add_four_f32(&totals->f, s, w.f32 + from + k * stride, stride, n);
        else
            add_four_f64(&totals->f, s, w.f64 + from + k * stride, stride, n);
    }
    for (; k < rows; k++)
        add_row(totals, x, at + k, w, from + k * stride, n);
}

static void store_row(Tensor *out, int64_t to, int64_t n, const Scalar *totals) {
    for (int64_t i = 0; i < n; i += 256)
        tensor_store(out, to + i, (uint32_t)(n - i < 256 ? n - i : 256), totals + i);
}

/* A second operand in panels of so many columns, put back into rows: [batch][ceil(n/16)][k][16] ->
 * [batch][k][n]. */
static bool unpack_panels(Interp *ip, const Tensor *t, int64_t batch, int64_t k, int64_t n,
                          Tensor *out) {
    if (!tensor_alloc(ip, t->dtype, t->rank, t->dims, out))
        return false;
    const float *from = t->data;
    float *to = out->data;
    int64_t width = encoding_columns(t->encoding), panels = n / width + (n % width != 0);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++)
                to[(b * k + i) * n + j] =
                    from[((b * panels + j / width) * k + i) * width + j % width];
    return true;
}

/* Pairs of bf16: [ceil(n/16)][taps][ceil(k/2)][16][2] -> [taps][k][n]; of one channel, k is the innermost of the taps. */
static bool unpack_pairs(Interp *ip, const Tensor *t, int64_t taps, int64_t k, int64_t n,
                         Tensor *out) {
    if (!tensor_alloc(ip, t->dtype, t->rank, t->dims, out))
        return false;
    const uint16_t *from = t->data;
    uint16_t *to = out->data;
    if (k == 1 && t->rank > 2)
        k = t->dims[t->rank - 3], taps /= k;
    int64_t pairs = (k + 1) / 2;
    for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++)
                to[(tap * k + i) * n + j] =
                    from[((j / 16 * taps + tap) * pairs + i / 2) * 32 + j % 16 * 2 + i % 2];
    return true;
}

/* Quads of i8: [ceil(n/16)][taps][ceil(k/4)][16][4] -> [taps][k][n]. */
static bool unpack_quads(Interp *ip, const Tensor *t, int64_t taps, int64_t k, int64_t n, Tensor *out) {
    if (!tensor_alloc(ip, t->dtype, t->rank, t->dims, out))
        return false;
    const int8_t *from = t->data;
    int8_t *to = out->data;
    int64_t quads = (k + 3) / 4;
    for (int64_t tap = 0; tap < taps; tap++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++)
                to[(tap * k + i) * n + j] = from[((j / 16 * taps + tap) * quads + i / 4) * 64 + j % 16 * 4 + i % 4];
    return true;
}

bool contract_decode(Interp *ip, const Tensor *w, int64_t batch, int64_t taps, int64_t k,
                     int64_t cols, Tensor *out) {
    *out = *w;
    if (w->splat || w->encoding == ENCODING_DENSE)
        return true;
    if (w->encoding == ENCODING_QUAD16)
        return unpack_quads(ip, w, taps, k, cols, out);
    if (w->encoding == ENCODING_PAIR16)
        return unpack_pairs(ip, w, taps, k, cols, out);
    return unpack_panels(ip, w, batch, taps * k, cols, out);
}

static bool mismatch(Interp *ip, const Node *n, const char *what, int64_t a, int64_t b) {
    diag_error(ip->cx, ip->loc, "%s: %s differ: %lld and %lld", op_info[n->op].name, what,
               (long long)a, (long long)b);
    return false;
}

/* dot: x[b..,m..,k] w[b..,k,n] -> y[b..,m..,n]. */
bool eval_dot(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    uint32_t batch = (uint32_t)attr_int(n, ATTR_batch);
    const Tensor *x = &in[0];
    Tensor w;
    int64_t batches = product_of(x->dims, batch),
            rows = product_of(x->dims + batch, x->rank - batch - 1);
    int64_t depth = x->dims[x->rank - 1], cols = in[1].dims[in[1].rank - 1];
    if (in[1].dims[in[1].rank - 2] != depth)
        return mismatch(ip, n, "inner extents", depth, in[1].dims[in[1].rank - 2]);
    for (uint32_t i = 0; i < batch; i++)
        if (x->dims[i] != in[1].dims[i])
            return mismatch(ip, n, "batch extents", x->dims[i], in[1].dims[i]);
    Numbers a, b;
    if (!tensor_new(ip, n->type, out) || !contract_decode(ip, &in[1], batches, 1, depth, cols, &w))
        return false;
    bool is_float = dtype_is_float(out->dtype);
    if (!numbers_of(ip, x, is_float, &a) || !numbers_of(ip, &w, is_float, &b))
        return false;
    Scalar *totals = arena_new_array(ip->arena, Scalar, (size_t)cols);
    for (int64_t r = 0; r < batches * rows; r++) {
        int64_t matrix = r / rows * depth * cols;
        memset(totals, 0, (size_t)cols * sizeof *totals);
        add_rows(totals, a, r * depth, b, matrix, cols, depth, cols);
        store_row(out, r * cols, cols, totals);
    }
    return true;
}

/* ---- conv ---- */

typedef struct Conv {
    uint32_t spatial;        /* axes */
    int64_t image[MAX_RANK]; /* extents of x's spatial axes */
    int64_t kernel[MAX_RANK];
    int64_t result[MAX_RANK];
    int64_t low[MAX_RANK];
    const int64_t *stride, *dilation;
    int64_t channels, filters, groups;
    Numbers x, w;
} Conv;

/* Row of x under one tap of the window at `at`: index into x's pixels, or -1 outside. */
static int64_t pixel(const Conv *c, const int64_t *at, const int64_t *tap) {
    int64_t p = 0;
    for (uint32_t i = 0; i < c->spatial; i++) {
        int64_t place = at[i] * c->stride[i] + tap[i] * c->dilation[i] - c->low[i];
        if (place < 0 || place >= c->image[i])
            return -1;
        p = p * c->image[i] + place;
    }
    return p;
}

/* All filters at one place of one image. */
static void conv_at(const Conv *c, int64_t image, const int64_t *at, Scalar *totals) {
    int64_t tap[MAX_RANK] = {0}, tap_number = 0, pixels = product_of(c->image, c->spatial);
    int64_t channels = c->channels / c->groups, filters = c->filters / c->groups;
    do {
        int64_t p = pixel(c, at, tap);
        for (int64_t group = 0; group < c->groups && p >= 0; group++) {
            int64_t x = (image * pixels + p) * c->channels + group * channels;
            int64_t w = tap_number * channels * c->filters + group * filters;
            add_rows(totals + group * filters, c->x, x, c->w, w, c->filters, channels, filters);
        }
        tap_number++;
    } while (index_next(c->kernel, c->spatial, tap));
}

/* conv: x[n,s..,c] w[r..,c/g,f] -> y[n,t..,f]. */
bool eval_conv(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    (void)g;
    Conv c = {.spatial = in[0].rank - 2,
              .stride = attr_ints(n, ATTR_stride, NULL),
              .dilation = attr_ints(n, ATTR_dilation, NULL)};
    c.channels = in[0].dims[in[0].rank - 1];
    c.filters = in[1].dims[in[1].rank - 1];
    c.groups = attr_int(n, ATTR_groups);
    int64_t depth = in[1].dims[in[1].rank - 2];
    if (depth * c.groups != c.channels)
        return mismatch(ip, n, "channels of image and filter", c.channels, depth * c.groups);
    Tensor w;
    if (!tensor_new(ip, n->type, out) ||
        !interp_dims(ip, attr_dims(n, ATTR_low, NULL), c.spatial, c.low))
        return false;
    for (uint32_t i = 0; i < c.spatial; i++) {
        c.image[i] = in[0].dims[i + 1];
        c.kernel[i] = in[1].dims[i];
        c.result[i] = out->dims[i + 1];
    }
    int64_t taps = product_of(c.kernel, c.spatial);
    if (tensor_elements(out) == 0 || taps == 0 || c.channels == 0)
        return true;
    if (!contract_decode(ip, &in[1], 1, taps, depth, c.filters, &w))
        return false;
    bool is_float = dtype_is_float(out->dtype);
    if (!numbers_of(ip, &in[0], is_float, &c.x) || !numbers_of(ip, &w, is_float, &c.w))
        return false;
    Scalar *totals = arena_new_array(ip->arena, Scalar, (size_t)c.filters);
    int64_t to = 0;
    for (int64_t image = 0; image < out->dims[0]; image++) {
        int64_t at[MAX_RANK] = {0};
        do {
            memset(totals, 0, (size_t)c.filters * sizeof *totals);
            conv_at(&c, image, at, totals);
            store_row(out, to, c.filters, totals);
            to += c.filters;
        } while (index_next(c.result, c.spatial, at));
    }
    return true;
}
