/* ops_signal.c: windows, DFT, STFT, MelWeightMatrix, Det.
 *
 * A transform is a product with matrices of cosines and sines whose angles are reduced in integers first: exact to the
 * rounding of the sums, and n^2 work, which for the lengths in models is a small matrix product.
 */
#include "onnx.h"
#include <math.h>

#define TAU 6.283185307179586

static Val f64(Call *c, double v) { return numt(c, DT_f64, v); }
static Val mul(Call *c, Val a, Val b) { return ew2(c, OP_mul, a, b); }
static Val add(Call *c, Val a, Val b) { return ew2(c, OP_add, a, b); }
static Val sub(Call *c, Val a, Val b) { return ew2(c, OP_sub, a, b); }

static bool size_of(Call *c, uint32_t i, Dim *d) {
    const Dim *at;
    uint32_t n;
    if (!in_dims(c, i, &at, &n) || n != 1) {
        fail(c, "input %u has to come from shapes, constants or an integer input", i);
        return false;
    }
    *d = at[0];
    return true;
}

static DType output_type(Call *c) {
    DType t = dtype_by_onnx(attr_i(c, "output_datatype", 1));
    if (t == DT_none) fail(c, "output_datatype %lld is not supported", (long long)attr_i(c, "output_datatype", 1));
    return t;
}

/* a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N); the row's param chooses hann, hamming, blackman. */
Val import_window(Call *c) {
    static const double a[3][3] = {{0.5, 0.5, 0}, {25.0 / 46, 21.0 / 46, 0}, {0.42, 0.5, 0.08}};
    const double *k = a[c->row->param];
    Dim n;
    DType t = output_type(c);
    if (t == DT_none || !size_of(c, 0, &n)) return NO_VAL;
    Dim period = attr_i(c, "periodic", 1) ? n : dim_addi(c->cx, n, -1);
    Val angle = ew2(c, OP_div, mul(c, iota(c, DT_f64, n), f64(c, TAU)), to(c, b_dim(c->g, c->loc, period), DT_f64));
    Val y = sub(c, f64(c, k[0]), mul(c, f64(c, k[1]), ew1(c, OP_cos, angle)));
    if (k[2] != 0) y = add(c, y, mul(c, f64(c, k[2]), ew1(c, OP_cos, mul(c, angle, f64(c, 2)))));
    return to(c, y, t);
}

/* ---- transforms -------------------------------------------------------------------------------------------------- */

/* cos or sin of 2 pi j k / length, [rows, columns], in dtype t. */
static Val trig_matrix(Call *c, Op op, DType t, Dim rows, Dim columns, Dim length) {
    Dims d = {.n = 2, .at = {rows, columns}};
    Val n = b_dim(c->g, c->loc, length);
    Val turn = ew2(c, OP_rem, mul(c, axis_iota(c, DT_i64, &d, 0), axis_iota(c, DT_i64, &d, 1)), n);
    Val angle = ew2(c, OP_div, mul(c, to(c, turn, DT_f64), f64(c, TAU)), to(c, n, DT_f64));
    return to(c, ew1(c, op, angle), t);
}

typedef struct Complex {
    Val re, im;
} Complex; /* im id 0: real */

static Val times(Call *c, Val x, Val m) { return x.id && m.id ? b_dot(c->g, c->loc, x, m, 0) : NO_VAL; }

/* Along the last axis. */
static Complex transform(Call *c, Complex x, Dim length, Dim outputs, bool inverse) {
    uint32_t last = val_rank(c->g, x.re) - 1;
    Dim rows = dim_min(c->cx, val_dim(c->g, x.re, last), length);
    DType t = val_dtype(c->g, x.re);
    Val cosines = trig_matrix(c, OP_cos, t, rows, outputs, length),
        sines = trig_matrix(c, OP_sin, t, rows, outputs, length);
    x.re = sliced(c, x.re, last, dim_k(c, 0), rows);
    Complex y = {times(c, x.re, cosines), times(c, x.re, sines)};
    if (!inverse) y.im = ew1(c, OP_neg, y.im);
    if (x.im.id) {
        x.im = sliced(c, x.im, last, dim_k(c, 0), rows);
        Val a = times(c, x.im, sines), b = times(c, x.im, cosines);
        y.re = ew2(c, inverse ? OP_sub : OP_add, y.re, a);
        y.im = add(c, y.im, b);
    }
    if (inverse) {
        Val n = to(c, b_dim(c->g, c->loc, length), t);
        y.re = ew2(c, OP_div, y.re, n), y.im = ew2(c, OP_div, y.im, n);
    }
    return y;
}

/* From the first half of a spectrum to a real signal: what is left out is the mirror of what is there. */
static Complex real_inverse(Call *c, Complex x, Dim length) {
    uint32_t last = val_rank(c->g, x.re) - 1;
    Dim half = dim_addi(c->cx, dim_fdiv(c->cx, length, dim_k(c, 2)), 1);
    Dim rows = dim_min(c->cx, val_dim(c->g, x.re, last), half);
    DType t = val_dtype(c->g, x.re);
    Val k = iota(c, DT_i64, rows), twice = mul(c, k, numt(c, DT_i64, 2)), n = b_dim(c->g, c->loc, length);
    Val single = ew2(c, OP_or, ew2(c, OP_eq, k, numt(c, DT_i64, 0)), ew2(c, OP_eq, twice, n));
    Val weight = sel(c, single, numt(c, t, 1), numt(c, t, 2)), scale = to(c, n, t);
    Val y = times(c, mul(c, sliced(c, x.re, last, dim_k(c, 0), rows), weight),
                  trig_matrix(c, OP_cos, t, rows, length, length));
    if (x.im.id)
        y = sub(c, y,
                times(c, mul(c, sliced(c, x.im, last, dim_k(c, 0), rows), weight),
                      trig_matrix(c, OP_sin, t, rows, length, length)));
    return (Complex){ew2(c, OP_div, y, scale), NO_VAL};
}

static Complex parts_of(Call *c, Val x) {
    uint32_t last = val_rank(c->g, x) - 1;
    Complex z = {squeezed(c, sliced(c, x, last, dim_k(c, 0), dim_k(c, 1)), last), NO_VAL};
    Dim parts = val_dim(c->g, x, last);
    if (dim_is(c->cx, parts, 1)) return z;
    if (!dim_is(c->cx, parts, 2)) { /* known while running: a missing part is 0 */
        Dim low[MAX_RANK], high[MAX_RANK];
        for (uint32_t i = 0; i <= last; i++) low[i] = high[i] = dim_k(c, 0);
        high[last] = dim_sub(c->cx, dim_k(c, 2), parts);
        x = padded(c, x, num(c, x, 0), low, high);
    }
    z.im = squeezed(c, sliced(c, x, last, dim_k(c, 1), dim_k(c, 1)), last);
    return z;
}

static Val whole_of(Call *c, Complex z) {
    if (!z.re.id) return z.re;
    uint32_t rank = val_rank(c->g, z.re);
    Val pair[2] = {unsqueezed(c, z.re, rank), z.im.id ? unsqueezed(c, z.im, rank) : NO_VAL};
    return pair[1].id ? b_concat(c->g, c->loc, pair, 2, rank) : pair[0];
}

static Val swap_axes(Call *c, Val x, uint32_t a, uint32_t b) {
    int64_t perm[MAX_RANK];
    if (!x.id || a == b) return x;
    for (uint32_t i = 0; i < val_rank(c->g, x); i++) perm[i] = i == a ? b : i == b ? a : i;
    return permuted(c, x, perm);
}

/* An axis that is known while running: each axis in turn is transformed, and a slice keeps the transform or what was. */
static Val dft_running(Call *c, Val x, bool inverse, bool onesided) {
    Context *cx = c->cx;
    Dim flags[MAX_RANK], two = dim_k(c, 2);
    uint32_t n, rank = val_rank(c->g, x);
    if (!axis_flags(c, 2, rank, flags, &n) || n != 1) return NO_VAL;
    Complex z = parts_of(c, x);
    if (!z.re.id) return z.re;
    if (!z.im.id) z.im = sub(c, z.re, z.re);
    for (uint32_t i = 0; i + 1 < rank; i++) {
        Complex y = {swap_axes(c, z.re, i, rank - 2), swap_axes(c, z.im, i, rank - 2)};
        if (!y.re.id) return y.re;
        Dim extent = val_dim(c->g, z.re, i),
            length = inverse && onesided ? dim_mul(cx, dim_addi(cx, extent, -1), two) : extent;
        if (has_in(c, 1) && !size_of(c, 1, &length)) return NO_VAL;
        Dim outputs = onesided ? dim_addi(cx, dim_fdiv(cx, length, two), 1) : length;
        y = inverse && onesided ? real_inverse(c, y, length) : transform(c, y, length, outputs, inverse);
        if (!y.im.id) y.im = sub(c, y.re, y.re);
        Dim have = val_dim(c->g, y.re, rank - 2), left = dim_sub(cx, dim_k(c, 1), flags[i]);
        Val re[2] = {swap_axes(c, y.re, i, rank - 2), z.re}, im[2] = {swap_axes(c, y.im, i, rank - 2), z.im};
        if (!re[0].id || !im[0].id) return NO_VAL;
        Dim start = dim_mul(cx, left, have), size = dim_add(cx, dim_mul(cx, flags[i], have), dim_mul(cx, left, extent));
        z.re = sliced(c, b_concat(c->g, c->loc, re, 2, i), i, start, size);
        z.im = sliced(c, b_concat(c->g, c->loc, im, 2, i), i, start, size);
        if (!z.re.id || !z.im.id) return NO_VAL;
    }
    if (inverse && onesided) z.im = NO_VAL;
    return whole_of(c, z);
}

Val import_dft(Call *c) {
    Val x = in(c, 0);
    int64_t wanted = attr_i(c, "axis", 1);
    const int64_t *list;
    uint32_t n, axis;
    bool inverse = attr_i(c, "inverse", 0) != 0, onesided = attr_i(c, "onesided", 0) != 0;
    if (!x.id) return x;
    uint32_t rank = val_rank(c->g, x);
    if (rank < 2) return fail(c, "needs rank 2 or more, found %u", rank);
    if (c->opset >= 20) {
        wanted = -2;
        if (has_in(c, 2) && !in_ints(c, 2, &list, &n)) return dft_running(c, x, inverse, onesided);
        if (has_in(c, 2) && n != 1) return fail(c, "the axis has %u elements, one expected", n);
        if (has_in(c, 2)) wanted = list[0];
    }
    if (!norm_axis(c, wanted, rank, &axis) || axis + 1 == rank)
        return fail(c, "axis %lld cannot be transformed", (long long)wanted);
    Dim length = val_dim(c->g, x, axis), two = dim_k(c, 2);
    if (inverse && onesided) length = dim_mul(c->cx, dim_addi(c->cx, length, -1), two);
    if (has_in(c, 1) && !size_of(c, 1, &length)) return NO_VAL;
    Complex z = parts_of(c, swap_axes(c, x, axis, rank - 2));
    if (!z.re.id) return z.re;
    Dim outputs = onesided ? dim_addi(c->cx, dim_fdiv(c->cx, length, two), 1) : length;
    z = inverse && onesided ? real_inverse(c, z, length) : transform(c, z, length, outputs, inverse);
    return swap_axes(c, whole_of(c, z), axis, rank - 2);
}

Val import_stft(Call *c) {
    Val x = in(c, 0);
    const int64_t *step;
    uint32_t n;
    Dim length;
    if (!x.id) return x;
    if (val_rank(c->g, x) == 2) x = unsqueezed(c, x, 2);
    if (val_rank(c->g, x) != 3) return fail(c, "needs a signal of rank 3");
    if (!in_ints(c, 1, &step, &n) || n != 1 || step[0] < 1) {
        const Dim *any;
        if (!in_dims(c, 1, &any, &n) || n != 1)
            return fail(c, "frame_step has to come from constants or an integer input");
    }
    Dim hop;
    if (!size_of(c, 1, &hop)) return NO_VAL;
    Val window = has_in(c, 2) ? in(c, 2) : NO_VAL;
    if (window.id && val_rank(c->g, window) != 1) return fail(c, "the window has to be a vector");
    if (window.id)
        length = val_dim(c->g, window, 0);
    else if (!has_in(c, 3))
        return fail(c, "needs a window or a frame_length");
    if (has_in(c, 3) && !size_of(c, 3, &length)) return NO_VAL;
    Dim frames = dim_addi(c->cx, dim_fdiv(c->cx, dim_sub(c->cx, val_dim(c->g, x, 1), length), hop), 1);
    Dims grid = {.n = 2, .at = {frames, length}};
    Val at = add(c, mul(c, axis_iota(c, DT_i64, &grid, 0), b_dim(c->g, c->loc, hop)), axis_iota(c, DT_i64, &grid, 1));
    Val framed = at.id ? b_gather(c->g, c->loc, x, at, 1, 0) : at; /* [b, frames, length, 1 or 2] */
    if (!framed.id) return framed;
    Complex z = parts_of(c, framed);
    if (window.id) z.re = mul(c, z.re, window), z.im = z.im.id ? mul(c, z.im, window) : z.im;
    bool onesided = attr_i(c, "onesided", 1) != 0;
    if (!z.re.id) return z.re;
    return whole_of(c, transform(c, z, length,
                                 onesided ? dim_addi(c->cx, dim_fdiv(c->cx, length, dim_k(c, 2)), 1) : length, false));
}

/* ---- mel --------------------------------------------------------------------------------------------------------- */

static Val mel(Call *c, Val hertz) { /* 2595 log10(1 + f / 700) */
    return mul(c, f64(c, 2595 / log(10)), ew1(c, OP_log, add(c, f64(c, 1), ew2(c, OP_div, hertz, f64(c, 700)))));
}

Val import_mel_weights(Call *c) {
    Dim bins, length, rate;
    DType t = output_type(c);
    Dims scalar = {0};
    if (t == DT_none || !size_of(c, 0, &bins) || !size_of(c, 1, &length) || !size_of(c, 2, &rate)) return NO_VAL;
    Val low = mel(c, to(c, shaped(c, in(c, 3), &scalar), DT_f64)),
        high = mel(c, to(c, shaped(c, in(c, 4), &scalar), DT_f64));
    Dim edges = dim_addi(c->cx, bins, 2);
    Val step = ew2(c, OP_div, sub(c, high, low), to(c, b_dim(c->g, c->loc, edges), DT_f64));
    Val m = add(c, mul(c, iota(c, DT_f64, edges), step), low);
    Val hertz = mul(c, f64(c, 700), ew1(c, OP_expm1, mul(c, m, f64(c, log(10) / 2595))));
    Val place = ew2(c, OP_div, mul(c, hertz, to(c, b_dim(c->g, c->loc, dim_addi(c->cx, length, 1)), DT_f64)),
                    to(c, b_dim(c->g, c->loc, rate), DT_f64));
    place = ew1(c, OP_floor, place);
    Dims d = {.n = 2, .at = {dim_addi(c->cx, dim_fdiv(c->cx, length, dim_k(c, 2)), 1), bins}};
    Val j = axis_iota(c, DT_f64, &d, 0), zero = f64(c, 0), one = f64(c, 1), at[3];
    for (uint32_t i = 0; i < 3; i++) at[i] = sliced(c, place, 0, dim_k(c, i), bins);
    Val rise = ew2(c, OP_div, sub(c, j, at[0]), sub(c, at[1], at[0])),
        fall = ew2(c, OP_div, sub(c, at[2], j), sub(c, at[2], at[1]));
    Val rising = ew2(c, OP_and, ew2(c, OP_le, at[0], j), ew2(c, OP_le, j, at[1]));
    Val falling = ew2(c, OP_and, ew2(c, OP_le, at[1], j), ew2(c, OP_lt, j, at[2]));
    Val y = sel(c, rising, sel(c, ew2(c, OP_eq, at[0], at[1]), one, rise), zero);
    return to(c, sel(c, falling, fall, y), t);
}

/* ---- determinant ------------------------------------------------------------------------------------------------- */

static Val entry(Call *c, Val m, uint32_t i, uint32_t j) { /* [b, n, n] -> [b] */
    Val row = squeezed(c, sliced(c, m, 1, dim_k(c, i), dim_k(c, 1)), 1);
    return row.id ? squeezed(c, sliced(c, row, 1, dim_k(c, j), dim_k(c, 1)), 1) : row;
}

static Val cross(Call *c, Val m, uint32_t r, uint32_t i, uint32_t j) { /* of rows r and r + 1 */
    return sub(c, mul(c, entry(c, m, r, i), entry(c, m, r + 1, j)), mul(c, entry(c, m, r, j), entry(c, m, r + 1, i)));
}

/* Gaussian elimination with row exchanges: a scan over the columns that carries the matrix and the product. */
static Val eliminated(Call *c, Val m, Dim batch, Dim n) {
    DType t = val_dtype(c->g, m);
    Dims d = {.n = 1, .at = {batch}}, rows = {.n = 2, .at = {dim_k(c, 1), n}};
    Call body = *c, *b = &body;
    body.g = graph_new(c->cx, "eliminate");
    Val step = b_param(body.g, c->loc, "step", DT_i64, 0, NULL), a, det;
    Dim dims[3] = {batch, n, n};
    a = b_param(body.g, c->loc, "matrix", t, 3, dims), det = b_param(body.g, c->loc, "product", t, 1, &batch);
    Val i = axis_iota(b, DT_i64, &rows, 1), column = b_gather(body.g, c->loc, a, step, 2, 0); /* [b, n] */
    Val size = sel(b, ew2(b, OP_lt, i, step), num(b, column, -1), ew1(b, OP_abs, column));
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 1}, {.key = ATTR_last, .as.i = 0}};
    Val best = size.id ? emit(body.g, OP_arg_max, c->loc, &size, 1, attrs, 2) : size;
    Val row = unsqueezed(b, best, 1),
        order = sel(b, ew2(b, OP_eq, i, step), row, sel(b, ew2(b, OP_eq, i, row), step, i));
    if (!order.id) return order;
    a = b_gather(body.g, c->loc, a, order, 1, 1);
    column = b_gather(body.g, c->loc, a, step, 2, 0);
    Val lead = b_gather(body.g, c->loc, a, step, 1, 0),
        pivot = b_gather(body.g, c->loc, column, step, 1, 0); /* [b, n], [b] */
    Val sign = sel(b, ew2(b, OP_eq, best, step), num(b, pivot, 1), num(b, pivot, -1));
    det = mul(b, det, mul(b, pivot, sign));
    Val factor = ew2(b, OP_div, column, unsqueezed(b, pivot, 1)), zero = num(b, column, 0);
    Val below = ew2(b, OP_and, ew2(b, OP_lt, step, i), logical_not(b, ew2(b, OP_eq, unsqueezed(b, pivot, 1), zero)));
    factor = sel(b, below, factor, zero);
    graph_result(body.g, sub(b, a, mul(b, unsqueezed(b, factor, 2), unsqueezed(b, lead, 1))), "matrix");
    graph_result(body.g, det, "product");
    if (!graph_finish(body.g)) return NO_VAL;
    Val own[2] = {m, splat(c, t, 1, &d)};
    Attr scan[] = {{.key = ATTR_carried, .as.i = 2},
                   {.key = ATTR_scanned, .as.i = 0},
                   {.key = ATTR_trip, .as.dim = n},
                   {.key = ATTR_body, .as.graph = body.g},
                   {.key = ATTR_reverse, .as.i = 0}};
    Val all = emit(c->g, OP_scan, c->loc, own, 2, scan, COUNT(scan));
    return all.id ? b_get(c->g, c->loc, all, 1) : all;
}

Val import_det(Call *c) {
    Val x = in(c, 0);
    int64_t n = 0;
    if (!x.id) return x;
    Dims d = dims_of(c, x), lead = {.n = d.n - 2};
    if (d.n < 2) return fail(c, "needs rank 2 or more, found %u", d.n);
    Dim batch = dim_product(c->cx, d.at, d.n - 2), size = d.at[d.n - 1];
    if (!graph_guard(c->g, c->loc, REL_EQ, d.at[d.n - 2], size, "a determinant needs square matrices")) return NO_VAL;
    Dims flat = {.n = 3, .at = {batch, size, size}};
    for (uint32_t i = 0; i < lead.n; i++) lead.at[i] = d.at[i];
    Val m = shaped(c, x, &flat), y;
    if (!m.id) return m;
    dim_const_value(c->cx, size, &n);
    if (n == 1)
        y = entry(c, m, 0, 0);
    else if (n == 2)
        y = cross(c, m, 0, 0, 1);
    else if (n == 3)
        y = add(
            c, sub(c, mul(c, entry(c, m, 0, 0), cross(c, m, 1, 1, 2)), mul(c, entry(c, m, 0, 1), cross(c, m, 1, 0, 2))),
            mul(c, entry(c, m, 0, 2), cross(c, m, 1, 0, 1)));
    else
        y = eliminated(c, m, batch, size);
    return shaped(c, y, &lead);
}
