/* graph_test.h: what the tests of graphs share: a context for each test, making graphs and tensors, running a graph by the
 * interpreter. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ir.h"

static const Loc nowhere = {0};

static inline int setup(void **state) { return (*state = context_new(NULL)) ? 0 : -1; }
static inline int teardown(void **state) {
    context_free(*state);
    return 0;
}

/* ---- making graphs and tensors ---- */

#define LIST(T, ...) ((const T[]){__VA_ARGS__})
#define INTS(...)    LIST(int64_t, __VA_ARGS__), (uint32_t)COUNT(LIST(int64_t, __VA_ARGS__))

static inline Dim k(Context *cx, int64_t v) { return dim_const(cx, v); }

static inline Dim input_symbol(Context *cx, const char *name, int64_t min) {
    return dim_symbol(cx, symbol_new(cx, &(SymbolInfo){.name = name,
                                                       .kind = SYMBOL_INPUT,
                                                       .min = min,
                                                       .max = INT64_MAX,
                                                       .multiple = 1}));
}

static inline const Dim *dims_of(Context *cx, const int64_t *v, uint32_t n) {
    Dim *d = arena_new_array(cx->arena, Dim, n);
    for (uint32_t i = 0; i < n; i++)
        d[i] = k(cx, v[i]);
    return d;
}

static inline Attr a_int(AttrKey key, int64_t v) { return (Attr){.key = key, .as.i = v}; }
static inline Attr a_dims(AttrKey key, const Dim *v, uint32_t n) {
    return (Attr){.key = key, .n = n, .as.dims = v};
}
#define EMIT(g, op, ins, n_ins, ...) \
    emit(g, op, nowhere, ins, n_ins, LIST(Attr, __VA_ARGS__), (uint32_t)COUNT(LIST(Attr, __VA_ARGS__)))

static inline Tensor tensor(Context *cx, DType t, uint32_t rank, const int64_t *dims, const void *data) {
    Tensor x = {.dtype = t, .rank = rank};
    for (uint32_t i = 0; i < rank; i++)
        x.dims[i] = dims[i];
    size_t bytes = (size_t)(tensor_elements(&x) * dtype_bytes(t));
    x.data = data ? arena_copy(cx->arena, data, bytes) : arena_alloc(cx->arena, bytes);
    return x;
}

/* 0, 1, 2 ... in any dtype. */
static inline Tensor counting(Context *cx, DType t, uint32_t rank, const int64_t *dims) {
    Tensor x = tensor(cx, t, rank, dims, NULL);
    for (int64_t i = 0; i < tensor_elements(&x); i++)
        scalar_store(t, (uint8_t *)x.data + i * dtype_bytes(t),
                     dtype_is_float(t) ? (Scalar){.f = (double)i} : (Scalar){.i = i});
    return x;
}

static inline Val param(Graph *g, const char *name, DType t, const int64_t *dims, uint32_t rank) {
    return b_param(g, nowhere, name, t, rank, dims_of(g->cx, dims, rank));
}

static inline void report(Context *cx) {
    for (uint32_t i = 0; i < diag_count(cx) && i < 5; i++)
        print_message("diag: %s\n", diag_at(cx, i)->text);
}

/* Finishes g with the result r and runs it. */
static inline Tensor run(Graph *g, Val r, const Tensor *in, uint32_t n) {
    Tensor out[4];
    if (!r.id)
        report(g->cx);
    assert_true(r.id != 0);
    graph_result(g, r, "y");
    if (!graph_finish(g) || !interp_run(g->cx, g->cx->arena, g, in, n, out)) {
        report(g->cx);
        fail();
    }
    return out[0];
}
