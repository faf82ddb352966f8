/* check.c: seeded inputs, distances, and the check of one pass by interpretation.
 *
 * Serves --check-each, `verify` and `run --random`.  Inputs are chosen so that ordinary models stay within their domain: small
 * integers (valid as indices into all but tiny tables), floats around zero.
 */
#include "pipeline.h"
#include <math.h>
#include <string.h>

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static double next_uniform(uint64_t *state) { return (double)(next_random(state) >> 11) * 0x1p-53 * 2 - 1; }

static void fill(Tensor *t, uint64_t *state) {
    int64_t n = tensor_elements(t), each = dtype_bytes(t->dtype);
    for (int64_t i = 0; i < n; i++) {
        Scalar s;
        if (dtype_is_float(t->dtype)) s.f = next_uniform(state) + next_uniform(state);
        else s.u = next_random(state) & 1;
        scalar_store(t->dtype, (uint8_t *)t->data + i * each, scalar_wrap(t->dtype, s));
    }
}

static int64_t choose_symbol(Context *cx, Symbol s) {
    const SymbolInfo *info = symbol_info(cx, s);
    int64_t v = info->hint > 0 && info->hint < 64 ? info->hint : 3;
    if (v < info->min) v = info->min;
    if (v > info->max) v = info->max;
    return info->multiple > 1 ? (v + info->multiple - 1) / info->multiple * info->multiple : v;
}

bool random_inputs(Context *cx, Arena *arena, const Graph *g, const int64_t *given, uint64_t seed, RandomInputs *out) {
    int64_t *symbols = arena_new_array(arena, int64_t, symbol_count(cx) + 1);
    for (uint32_t i = 1; i <= symbol_count(cx); i++) symbols[i] = given && given[i] ? given[i] : choose_symbol(cx, (Symbol){i});
    out->n = g->params.n;
    out->tensors = arena_new_array(arena, Tensor, out->n);
    for (uint32_t i = 0; i < out->n; i++) {
        const TypeInfo *t = val_type(g, g->params.at[i]);
        Tensor *x = &out->tensors[i];
        x->dtype = t->dtype, x->rank = t->rank;
        int64_t bytes = dtype_bytes(t->dtype);
        for (uint32_t d = 0; d < t->rank; d++)
            if (!dim_eval(cx, t->dims[d], symbols, &x->dims[d]) || x->dims[d] < 0 || !ck_mul(bytes, x->dims[d], &bytes)) {
                diag_error(cx, (Loc){0}, "no random input: extent %s of parameter %u has no value", dim_string(cx, t->dims[d]),
                           i);
                return false;
            }
        x->data = arena_alloc(arena, (size_t)bytes);
        uint64_t state = seed * 1000003 + i;
        fill(x, &state);
    }
    for (uint32_t i = 0; i < g->bindings.n; i++) { /* elements that are extents */
        const SymbolBinding *e = &g->bindings.at[i];
        if (e->value.id) continue;
        Tensor *x = &out->tensors[e->param];
        Scalar s = {.i = symbols[e->symbol.id]};
        if (e->element >= (uint64_t)tensor_elements(x)) continue; /* whoever runs the graph says so */
        if (dtype_is_float(x->dtype)) s.f = (double)s.i / ELEMENT_SCALE;
        scalar_store(x->dtype, (uint8_t *)x->data + (int64_t)e->element * dtype_bytes(x->dtype), s);
    }
    return true;
}

double tensor_distance(const Tensor *a, const Tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank || memcmp(a->dims, b->dims, a->rank * sizeof *a->dims)) return -1;
    double worst = 0;
    for (int64_t i = 0, n = tensor_elements(a); i < n; i++) {
        Scalar x = tensor_at(a, i), y = tensor_at(b, i);
        if (!dtype_is_float(a->dtype)) {
            if (x.u != y.u) return INFINITY;
            continue;
        }
        if ((isnan(x.f) && isnan(y.f)) || x.f == y.f) continue;
        double d = fabs(x.f - y.f) / (1 + fabs(x.f));
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

static bool compare(Context *cx, const Graph *before, const Graph *after, const char *pass) {
    Arena *arena = arena_new(cx);
    RandomInputs in;
    bool ok = random_inputs(cx, arena, before, NULL, 1, &in);
    Tensor *x = arena_new_array(arena, Tensor, before->results.n), *y = arena_new_array(arena, Tensor, after->results.n);
    uint32_t errors = diag_count(cx);
    if (ok && !interp_run(cx, arena, before, in.tensors, in.n, x)) {
        diag_truncate(cx, errors); /* these inputs are outside the model's domain: nothing to compare */
        arena_free(arena);
        return true;
    }
    ok = ok && interp_run(cx, arena, after, in.tensors, in.n, y);
    for (uint32_t i = 0; ok && i < before->results.n; i++) {
        double d = tensor_distance(&x[i], &y[i]);
        if (d >= 0 && d < 1e-4) continue;
        diag_error(cx, (Loc){0}, "pass %s changed result '%s': distance %g", pass, before->result_names.at[i], d);
        ok = false;
    }
    if (!ok) diag_note(cx, (Loc){0}, "found by --check-each at pass %s", pass);
    arena_free(arena);
    return ok;
}

/* Fuel bounds the work of compiling; interpreting costs as much as the model itself, and was asked for. */
bool check_pass(Context *cx, const Graph *before, const Graph *after, const char *pass) {
    uint64_t limit = cx->limits.fuel, used = cx->fuel_used;
    cx->limits.fuel = UINT64_MAX / 2;
    bool ok = compare(cx, before, after, pass);
    cx->limits.fuel = limit;
    cx->fuel_used = used;
    return ok;
}
