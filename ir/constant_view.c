/* constant_view.c: constants whose elements are another constant's in another order, put in that order when they are read.
 *
 * Weights that are packed or rounded for kernels pass through here from the mapped model to the artifact, a few kilobytes at
 * a time: neither the packed form nor, where its pages are released, the model is ever in memory whole.  Small ones are
 * copied at once.  Invariants: a view is of data in memory, never of a view; streaming allocates nothing and gives the same
 * bytes each time; the law about splats (constant.c) holds for views too.
 */
#include <string.h>

#include "ir.h"
#include "ir_tables.h"

enum { SMALL_BYTES = 1 << 16, BUFFER_BYTES = 1 << 14, WINDOW_BYTES = 1 << 24, PANEL_COLUMNS = 16 };

/* Elements by rows (every axis but the last, row-major) and columns. */
typedef struct Rows {
    const ConstView *v;
    int64_t n, columns, step; /* from column to column */
    int64_t index[MAX_RANK], at;
} Rows;

static bool rows_begin(Rows *r, const ConstView *v) {
    uint32_t outer = v->rank ? v->rank - 1 : 0;
    *r = (Rows){
        .v = v, .n = 1, .columns = v->rank ? v->dims[outer] : 1, .step = v->rank ? v->stride[outer] : 0, .at = v->origin};
    for (uint32_t i = 0; i < outer; i++)
        if (!ck_mul(r->n, v->dims[i], &r->n)) return false;
    return true;
}

static void rows_next(Rows *r) {
    for (uint32_t i = r->v->rank ? r->v->rank - 1 : 0; i-- > 0;) {
        r->at += r->v->stride[i];
        if (++r->index[i] < r->v->dims[i]) return;
        r->at -= r->v->stride[i] * r->v->dims[i];
        r->index[i] = 0;
    }
}

static void gather(uint8_t *to, const uint8_t *from, int64_t step, int64_t n, size_t each) {
    if (step == 1) memcpy(to, from, (size_t)n * each);
    else if (each == 4)
        for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, from + 4 * step * i, 4);
    else
        for (int64_t i = 0; i < n; i++) memcpy(to + (size_t)i * each, from + step * i * (int64_t)each, each);
}

static bool stream_dense(const uint8_t *data, const ConstView *v, size_t each, SinkFn *sink, void *user) {
    uint8_t buffer[BUFFER_BYTES];
    int64_t room = BUFFER_BYTES / (int64_t)each, held = 0;
    Rows r;
    if (!rows_begin(&r, v)) return false;
    for (int64_t row = 0; row < r.n; row++, rows_next(&r))
        for (int64_t column = 0, n; column < r.columns; column += n, held += n) {
            if (held == room && !sink(user, buffer, (size_t)held * each)) return false;
            if (held == room) held = 0;
            n = r.columns - column < room - held ? r.columns - column : room - held;
            gather(buffer + (size_t)held * each, data + (r.at + column * r.step) * (int64_t)each, r.step, n, each);
        }
    return !held || sink(user, buffer, (size_t)held * each);
}

/* width: columns of a panel. */
static bool stream_columns(const uint8_t *data, const ConstView *v, int64_t width, size_t each, SinkFn *sink, void *user) {
    uint8_t buffer[BUFFER_BYTES];
    size_t line = (size_t)width * each, held = 0;
    Rows r = {0};
    if (!rows_begin(&r, v)) return false;
    for (int64_t first = 0, columns = r.columns; first < columns; first += width) {
        int64_t n = columns - first < width ? columns - first : width;
        rows_begin(&r, v);
        for (int64_t row = 0; row < r.n; row++, rows_next(&r), held += line) {
            if (held == sizeof buffer && !sink(user, buffer, held)) return false;
            if (held == sizeof buffer) held = 0;
            gather(buffer + held, data + (r.at + first * r.step) * (int64_t)each, r.step, n, each);
            memset(buffer + held + (size_t)n * each, 0, line - (size_t)n * each);
        }
    }
    return !held || sink(user, buffer, held);
}

static bool stream_panels(const uint8_t *data, const ConstView *v, size_t each, SinkFn *sink, void *user) {
    return stream_columns(data, v, PANEL_COLUMNS, each, sink, user);
}

static bool stream_wide_panels(const uint8_t *data, const ConstView *v, size_t each, SinkFn *sink, void *user) {
    return stream_columns(data, v, encoding_columns(ENCODING_PANEL64), each, sink, user);
}

/* Rounded to even.  Subnormal numbers become 0, as instructions on bf16 take them. */
static uint16_t rounded(const uint8_t *at) {
    float x;
    memcpy(&x, at, sizeof x);
    uint16_t bits = f32_to_bf16(x);
    return bits & 0x7F80 ? bits : bits & 0x8000;
}

/* Of rows that make pairs: k, or the innermost taps of one channel. */
static int64_t pair_depth(const ConstView *v) {
    uint32_t k = v->rank - 2;
    return k > 0 && v->dims[k] == 1 ? v->dims[k - 1] : v->dims[k];
}

/* One element, stored. */
typedef void StoreFn(uint8_t *to, const uint8_t *from);
static void store_bf16(uint8_t *to, const uint8_t *from) {
    uint16_t x = rounded(from);
    memcpy(to, &x, sizeof x);
}
static void store_low_byte(uint8_t *to, const uint8_t *from) { *to = *from; } /* of whatever integer type */

/* A line is `together` rows, from a multiple of that on, of one panel, side by side in each column; size: bytes stored. */
static bool stream_groups(const uint8_t *data, const ConstView *v, size_t each, int64_t depth, int64_t together, size_t size,
                          StoreFn *store, SinkFn *sink, void *user) {
    uint8_t buffer[BUFFER_BYTES];
    size_t held = 0, line = (size_t)together * PANEL_COLUMNS * size;
    Rows r = {0};
    if (!rows_begin(&r, v)) return false;
    for (int64_t first = 0, columns = r.columns; first < columns; first += PANEL_COLUMNS) {
        int64_t n = columns - first < PANEL_COLUMNS ? columns - first : PANEL_COLUMNS;
        rows_begin(&r, v);
        for (int64_t row = 0; row < r.n; row++, rows_next(&r)) {
            int64_t k = row % depth, beside = k % together;
            const uint8_t *from = data + (r.at + first * r.step) * (int64_t)each;
            if (held == sizeof buffer && !sink(user, buffer, sizeof buffer)) return false;
            if (held == sizeof buffer) held = 0;
            if (beside == 0) memset(buffer + held, 0, line);
            for (int64_t i = 0; i < n; i++)
                store(buffer + held + (size_t)(together * i + beside) * size, from + i * r.step * (int64_t)each);
            if (beside + 1 == together || k + 1 == depth) held += line;
        }
    }
    return !held || sink(user, buffer, held);
}

/* Of f32, as bf16: the pair of rows k and k + 1. */
static bool stream_pairs(const uint8_t *data, const ConstView *v, size_t each, SinkFn *sink, void *user) {
    return stream_groups(data, v, each, pair_depth(v), 2, sizeof(uint16_t), store_bf16, sink, user);
}

/* Of i8 or i32, as i8: rows k to k + 3. */
static bool stream_quads(const uint8_t *data, const ConstView *v, size_t each, SinkFn *sink, void *user) {
    return stream_groups(data, v, each, v->dims[v->rank - 2], 4, 1, store_low_byte, sink, user);
}

typedef bool StreamFn(const uint8_t *data, const ConstView *, size_t each, SinkFn *,
                      void *user); /* each: bytes of data's elements */
static StreamFn *const stream[ENCODING_COUNT] = {
    [ENCODING_DENSE] = stream_dense, [ENCODING_PANEL16] = stream_panels, [ENCODING_PAIR16] = stream_pairs,
    [ENCODING_PANEL64] = stream_wide_panels, [ENCODING_QUAD16] = stream_quads};

/* Stored elements, and their type. */
static bool encoded(const ConstInfo *of, Encoding encoding, const ConstView *v, uint64_t *elements, DType *t) {
    Rows r;
    int64_t n, columns, width = encoding_columns(encoding);
    *t = encoding_dtype(encoding, of->dtype);
    if (!rows_begin(&r, v)) return false;
    if (!ck_align_up(r.columns, width, &columns)) return false;
    if (encoding_rows(encoding) > 1 && r.n) { /* the last row may lack partners */
        int64_t depth = encoding == ENCODING_PAIR16 ? pair_depth(v) : v->dims[v->rank - 2], whole;
        if (!ck_align_up(depth, encoding_rows(encoding), &whole) || !ck_mul(r.n / depth, whole, &r.n)) return false;
    }
    if (!ck_mul(r.n, columns, &n)) return false;
    *elements = (uint64_t)n;
    return true;
}

/* By windows, so that no more than one of them need be in memory. */
static bool stream_data(Context *cx, const uint8_t *data, size_t n, SinkFn *sink, void *user) {
    for (size_t at = 0; at < n; at += WINDOW_BYTES) {
        size_t window = n - at < WINDOW_BYTES ? n - at : WINDOW_BYTES;
        if (!sink(user, data + at, window)) return false;
        file_release(cx, data + at, window);
    }
    return true;
}

bool const_stream(Context *cx, Const c, SinkFn *sink, void *user) {
    const ConstInfo *info = const_info(cx, c);
    size_t each = (size_t)dtype_bytes(info->dtype);
    REQUIRE(cx, !info->splat);
    if (info->data) return stream_data(cx, info->data, info->elements * each, sink, user);
    const ConstInfo *of = const_info(cx, info->view->of);
    each = (size_t)dtype_bytes(of->dtype);
    bool ok = stream[info->encoding](of->data, info->view, each, sink, user);
    file_release(cx, of->data, of->elements * each);
    return ok;
}

static bool copy_sink(void *user, const void *bytes, size_t n) {
    uint8_t **at = user;
    memcpy(*at, bytes, n);
    *at += n;
    return true;
}

static void *copy(Context *cx, DType t, Encoding encoding, const ConstView *v, uint64_t elements) {
    const ConstInfo *of = const_info(cx, v->of);
    uint8_t *bytes = arena_array(cx->arena, elements, (size_t)dtype_bytes(t)), *at = bytes;
    stream[encoding](of->data, v, (size_t)dtype_bytes(of->dtype), copy_sink, &at);
    return bytes;
}

const void *const_bytes(Context *cx, Const c) {
    const ConstInfo *info = const_info(cx, c);
    REQUIRE(cx, !info->splat);
    return info->data ? info->data : const_keep(cx, c, copy(cx, info->dtype, info->encoding, info->view, info->elements));
}

typedef struct Same { uint8_t first[8]; size_t each; bool begun; } Same;

static bool same_sink(void *user, const void *bytes, size_t n) {
    Same *s = user;
    const uint8_t *at = bytes;
    if (!s->begun) memcpy(s->first, at, s->each);
    s->begun = true;
    for (size_t i = 0; i < n; i += s->each)
        if (memcmp(at + i, s->first, s->each) != 0) return false;
    return true;
}

Const const_view(Context *cx, Encoding encoding, const ConstView *v) {
    const ConstInfo *of = const_info(cx, v->of);
    uint64_t elements;
    DType t;
    REQUIRE(cx, !of->splat && of->encoding == ENCODING_DENSE && (encoding == ENCODING_DENSE || v->rank >= 2));
    const_bytes(cx, v->of);
    if (!encoded(of, encoding, v, &elements, &t)) return (Const){0};
    Same same = {.each = (size_t)dtype_bytes(t)};
    bool small = elements <= SMALL_BYTES / same.each;
    if (small || (encoding == ENCODING_DENSE && stream_dense(of->data, v, same.each, same_sink, &same)))
        return const_encoded(cx, t, encoding, elements, copy(cx, t, encoding, v, elements));
    return const_of_view(cx, t, encoding, elements, v);
}
