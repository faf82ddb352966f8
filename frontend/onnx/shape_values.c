/* shape_values.c: follows small integer tensors as dims, so that shape arithmetic vanishes at import.
 *
 * A tensor of rank at most 1 and at most 64 elements may carry its elements as dims: those of Shape are the extents,
 * those of a constant its numbers, those of a small integer input symbols bound to its elements.  Shape functions compute
 * an output's elements from the inputs'.  Where every input is only elements no node is built at all.  Floats take part
 * where they come from elements: numerators over one common divisor, as in Cast, Mul by 0.5, Floor, Cast.
 * Integer semantics are ideal: a result outside its dtype is left to the tensor path.
 */
#include "onnx.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
#define LARGEST (INT64_C(1) << 53)

/* ---- elements of values ------------------------------------------------------------------------------------------ */

static Dim *new_elements(Call *c, uint32_t n) { return arena_new_array(c->im->arena, Dim, n + 1); }

/* The number of elements of a tensor of rank <= 1; false where unknown or too many. */
static bool small_vector(Call *c, Val v, uint32_t *n) {
    int64_t k = 1;
    uint32_t rank = val_rank(c->g, v);
    if (rank > 1 || (rank == 1 && !dim_const_value(c->cx, val_dim(c->g, v, 0), &k)) || k > MOST) return false;
    *n = (uint32_t)k;
    return true;
}

/* Symbols for the elements of a small integer parameter, bound when the function is called. */
static bool bind_elements(Call *c, Value *v, uint32_t expected) {
    Importer *im = c->im;
    Graph *g = im->main;
    uint32_t n, param = v->param - 1;
    Val p = g->params.at[param];
    if (!small_vector(&(Call){.im = im, .cx = c->cx, .g = g}, p, &n)) {
        if (!expected || val_rank(g, p) != 1) return false;
        graph_guard(g, c->loc, REL_EQ, val_dim(g, p, 0), dim_k(c, expected),
                    "this input's elements are read one by one");
        n = expected;
    }
    Dim *at = new_elements(c, n);
    const char *name = node_attr(node(g, p), ATTR_name)->as.text;
    for (uint32_t i = 0; i < n; i++) {
        Symbol s = {0};
        for (uint32_t k = 0; k < g->bindings.n; k++) {
            const SymbolBinding *b = &g->bindings.at[k];
            if (!b->value.id && b->param == param && b->element == i) s = b->symbol;
        }
        if (!s.id) {
            SymbolInfo info = {.name = onnx_symbol_name(c->cx, name, val_rank(g, p) ? (int)i : -1),
                               .kind = SYMBOL_INPUT,
                               .min = INT64_MIN,
                               .max = INT64_MAX,
                               .multiple = 1};
            if (v->dtype == DT_bool) info.min = 0, info.max = 1;
            declared_range(im, NULL, &info);
            s = symbol_new(c->cx, &info);
            vec_push(g->arena, &g->bindings, (SymbolBinding){.symbol = s, .param = param, .element = i});
        }
        at[i] = dim_symbol(c->cx, s);
    }
    v->elements = at, v->n = n, v->rank = (uint8_t)val_rank(g, p), v->divisor = 1;
    return true;
}

Dim bounded_extent(Call *c, const char *what, Dim d) {
    Context *cx = c->cx;
    Graph *g = c->im->main;
    int64_t most; /* a number beyond memory says nothing either */
    Dim upper = graph_upper(g, d);
    if (upper.id && !(dim_const_value(cx, upper, &most) && most > INT32_MAX)) return d;
    for (uint32_t i = 1; i <= symbol_count(cx); i++) {
        SymbolKind kind = symbol_info(cx, (Symbol){i})->kind;
        if (kind != SYMBOL_INPUT && kind != SYMBOL_LET && dim_uses(cx, d, (Symbol){i})) return d;
    }
    for (uint32_t i = 0; i < g->bindings.n; i++)
        if (dim_same(g->bindings.at[i].value, d)) return dim_symbol(cx, g->bindings.at[i].symbol);
    const char *value = c->node->n_out ? c->node->out[0] : c->node->op;
    SymbolInfo info = {.kind = SYMBOL_INPUT, .max = INT64_MAX, .multiple = 1};
    info.name = intern(cx, arena_print(c->im->arena, "%.100s_%s", onnx_symbol_name(cx, value, -1), what));
    declared_range(c->im, NULL, &info);
    Symbol s = symbol_new(cx, &info);
    vec_push(g->arena, &g->bindings, (SymbolBinding){.symbol = s, .value = d});
    return dim_symbol(cx, s);
}

/* The element of a float parameter as a fraction over 2^32. */
bool bind_float(Call *c, uint32_t input, uint32_t element, uint32_t expected, Dim *numerator) {
    if (!has_in(c, input)) return false;
    Value copy = c->in[input];
    if (!copy.param || !dtype_is_float(copy.dtype)) return false;
    copy.elements = NULL;
    if (!bind_elements(c, &copy, expected) || element >= copy.n) return false;
    *numerator = copy.elements[element];
    return true;
}

bool bind_flag(Call *c, Value *v) { return v->elements || (v->param && v->dtype == DT_bool && bind_elements(c, v, 0)); }

bool value_elements(Call *c, Value *v) {
    Const data;
    uint32_t n;
    if (v->kind != VALUE_TENSOR) return false;
    if (v->elements) return true;
    if (v->dtype != DT_i64 && v->dtype != DT_i32 && v->dtype != DT_bool) return false;
    if (v->param) return v->dtype != DT_bool && bind_elements(c, v, 0);
    if (!v->val.id || !small_vector(c, v->val, &n) || !const_of(c, v->val, &data)) return false;
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) at[i] = dim_k(c, const_element(c->cx, data, i).i);
    v->elements = at, v->n = n, v->rank = (uint8_t)val_rank(c->g, v->val), v->divisor = 1;
    return true;
}

/* The simplest fraction that is this float: scales such as 0.6 are meant as written, not as rounded. */
static bool as_fraction(double x, DType t, int64_t *p, int64_t *q) {
    for (int64_t d = 1; d <= 1000; d++) {
        double n = nearbyint(x * (double)d);
        if (fabs(n) > 1e9) return false;
        bool same = t == DT_f64 ? n / (double)d == x : (float)(n / (double)d) == (float)x;
        if (same) {
            *p = (int64_t)n, *q = d;
            return true;
        }
    }
    return false;
}

/* As value_elements, for constants of floats too, brought to one divisor. */
bool number_elements(Call *c, Value *v) {
    Const data;
    uint32_t n;
    if (value_elements(c, v)) return true;
    if (v->kind != VALUE_TENSOR || (v->dtype != DT_f32 && v->dtype != DT_f64)) return false;
    if (!v->val.id || !small_vector(c, v->val, &n) || n > 8 || !const_of(c, v->val, &data)) return false;
    int64_t p[8], q[8], all = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (!as_fraction(const_element(c->cx, data, i).f, v->dtype, &p[i], &q[i])) return false;
        if (!ck_mul(all, q[i], &all) || all > 1000000) return false;
    }
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) at[i] = dim_k(c, p[i] * (all / q[i]));
    v->elements = at, v->n = n, v->rank = (uint8_t)val_rank(c->g, v->val), v->divisor = all;
    return true;
}

/* Sets output 0 if every constant among the elements fits the dtype. */
static bool give_over(Call *c, DType t, uint32_t rank, uint32_t n, const Dim *at, int64_t divisor) {
    if (n > MOST) return false;
    int64_t k, limit = t == DT_i32 ? INT32_MAX : dtype_is_float(t) ? 1 << 24 : INT64_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (!at[i].id || (dim_const_value(c->cx, at[i], &k) && (k > limit || k < -limit - (t == DT_i32)))) return false;
    set_out_value(
        c, 0,
        (Value){.kind = VALUE_TENSOR, .dtype = t, .rank = (uint8_t)rank, .n = n, .elements = at, .divisor = divisor});
    return true;
}

static bool give(Call *c, DType t, uint32_t rank, uint32_t n, const Dim *at) { return give_over(c, t, rank, n, at, 1); }

bool shape_none(Call *c) {
    (void)c;
    return false;
}

/* Shape and Size: their elements are all there is. */
Val import_extents(Call *c) { return fail(c, "the operand has no known shape"); }

/* ---- sources ----------------------------------------------------------------------------------------------------- */

/* Rank and extents of an input without building it. */
static bool extents(Call *c, uint32_t i, Dims *d) {
    if (!has_in(c, i) || c->in[i].kind != VALUE_TENSOR) return false;
    if (c->in[i].val.id)
        *d = dims_of(c, c->in[i].val);
    else
        *d = (Dims){.n = c->in[i].rank, .at = {dim_k(c, c->in[i].n)}};
    return true;
}

bool shape_shape(Call *c) {
    Dims d;
    if (!extents(c, 0, &d)) return false;
    int64_t start = attr_i(c, "start", 0), end = attr_i(c, "end", d.n), rank = d.n;
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    uint32_t n = (uint32_t)(end - start);
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) at[i] = d.at[start + i];
    return give(c, DT_i64, 1, n, at);
}

bool shape_size(Call *c) {
    Dims d;
    if (!extents(c, 0, &d)) return false;
    Dim *at = new_elements(c, 1);
    at[0] = dim_product(c->cx, d.at, d.n);
    return give(c, DT_i64, 0, 1, at);
}

bool shape_constant(Call *c) {
    const OnnxAttr *one = find_attr(c, "value_int"), *many = find_attr(c, "value_ints");
    if (one && one->type == ONNX_ATTR_INT) {
        Dim *at = new_elements(c, 1);
        at[0] = dim_k(c, one->i);
        return give(c, DT_i64, 0, 1, at);
    }
    if (!many || many->type != ONNX_ATTR_INTS || many->ints.n > MOST) return false;
    Dim *at = new_elements(c, many->ints.n);
    for (uint32_t i = 0; i < many->ints.n; i++) at[i] = dim_k(c, many->ints.at[i]);
    return give(c, DT_i64, 1, many->ints.n, at);
}

bool shape_range(Call *c) {
    int64_t start, limit, delta;
    for (uint32_t i = 0; i < 3; i++)
        if (!has_in(c, i) || !value_elements(c, &c->in[i]) || c->in[i].n != 1) return false;
    if (!dim_const_value(c->cx, c->in[0].elements[0], &start) ||
        !dim_const_value(c->cx, c->in[1].elements[0], &limit) ||
        !dim_const_value(c->cx, c->in[2].elements[0], &delta) || delta == 0 || llabs(start) > LARGEST ||
        llabs(limit) > LARGEST)
        return false;
    int64_t n = -floor_div(-(limit - start), delta);
    if (n < 0) n = 0;
    if (n > MOST) return false;
    Dim *at = new_elements(c, (uint32_t)n);
    for (int64_t i = 0; i < n; i++) at[i] = dim_k(c, start + i * delta);
    return give(c, c->in[0].dtype, 1, (uint32_t)n, at);
}

bool shape_constant_of_shape(Call *c) {
    const OnnxTensor *t = attr_tensor(c, "value");
    const Dim *size;
    uint32_t n;
    int64_t count = 1;
    if (!t || dtype_by_onnx(t->data_type) != DT_i64) return false;
    if (!in_dims(c, 0, &size, &n) || n > 1 || (n == 1 && !dim_const_value(c->cx, size[0], &count))) return false;
    if (count < 0 || count > MOST) return false;
    Const data = tensor_const(c->cx, c->loc, t, NULL);
    if (!data.id) return false;
    Dim *at = new_elements(c, (uint32_t)count);
    for (int64_t i = 0; i < count; i++) at[i] = dim_k(c, const_element(c->cx, data, 0).i);
    return give(c, DT_i64, n, (uint32_t)count, at);
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

static bool safe(Call *c, Dim d) {
    int64_t k;
    return !dim_const_value(c->cx, d, &k) || (k <= LARGEST && k >= -LARGEST);
}

static bool not_negative(Call *c, Dim d) {
    int64_t low, high;
    dim_range(c->cx, NULL, d, &low, &high);
    return low >= 0;
}

/* One element; id 0 where it cannot be said.  Division truncates in ONNX, so that it needs operands known not to be
 * negative. */
static Dim combine(Call *c, int op, Dim a, Dim b) {
    Context *cx = c->cx;
    int64_t x, y;
    bool constant = dim_const_value(cx, a, &x) && dim_const_value(cx, b, &y);
    if (!safe(c, a) || !safe(c, b)) return (Dim){0};
    switch (op) {
    case OP_add: return dim_add(cx, a, b);
    case OP_sub: return dim_sub(cx, a, b);
    case OP_mul: return dim_mul(cx, a, b);
    case OP_max: return dim_max(cx, a, b);
    case OP_min: return dim_min(cx, a, b);
    case OP_div:
        if (constant) return y ? dim_k(c, x / y) : (Dim){0};
        return not_negative(c, b) && not_negative(c, a) ? dim_fdiv(cx, a, b) : (Dim){0}; /* by 0 fails when run */
    case OP_mod:
        if (constant) return y ? dim_k(c, floor_mod(x, y)) : (Dim){0};
        return not_negative(c, b) ? dim_mod(cx, a, b) : (Dim){0};
    default: return (Dim){0};
    }
}

/* A comparison or connective as 0 or 1: a number where it can be decided now, else an expression that is. */
static Dim decide(Call *c, int op, Dim a, Dim b) {
    Context *cx = c->cx;
    if (!safe(c, a) || !safe(c, b)) return (Dim){0};
    switch (op) {
    case OP_eq: return is_number(c, dim_sub(cx, a, b), 0);
    case OP_lt: return is_negative(c, dim_sub(cx, a, b));
    case OP_le: return dim_sub(cx, dim_k(c, 1), is_negative(c, dim_sub(cx, b, a)));
    case OP_and: return dim_min(cx, a, b);
    case OP_or: return dim_max(cx, a, b);
    default: return (Dim){0};
    }
}

/* An undecided Equal of two numbers remembers what it says: If may need it. */
static void note_fact(Call *c, const Value *a, const Value *b) {
    int64_t k;
    if (a->n != 1 || b->n != 1 || dim_const_value(c->cx, c->out[0].elements[0], &k)) return;
    c->out[0].fact = arena_copy(c->im->arena, &(Fact){REL_EQ, a->elements[0], b->elements[0]}, sizeof(Fact));
}

bool shape_binary(Call *c) {
    Value *a = &c->in[0], *b = &c->in[1];
    int op = c->row->param;
    bool swapped = c->row->param < 0;
    if (swapped) op = -op;
    bool logic = op == OP_eq || op == OP_lt || op == OP_le || op == OP_and || op == OP_or;
    if (c->n_in != 2 || (op == OP_mod && attr_i(c, "fmod", 0))) return false;
    bool floats = a->elements && dtype_is_float(a->dtype);
    floats = floats || (b->elements && dtype_is_float(b->dtype));
    if (floats ? logic || !number_elements(c, a) || !number_elements(c, b)
               : !value_elements(c, a) || !value_elements(c, b))
        return false;
    if (!floats && (op == OP_and || op == OP_or) && a->dtype != DT_bool) return false;
    if (a->n != b->n && a->n != 1 && b->n != 1) return false;
    uint32_t n = a->n == 1 ? b->n : a->n, rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t divisor = 1;
    if (floats && (op == OP_mul || op == OP_div) && !ck_mul(a->divisor, b->divisor, &divisor)) return false;
    if (floats && op == OP_div && (b->n != 1 || !dim_const_value(c->cx, b->elements[0], &divisor))) return false;
    if (floats && op == OP_div && (divisor <= 0 || !ck_mul(divisor, a->divisor, &divisor))) return false;
    if (floats && op != OP_mul && op != OP_div) {
        if (a->divisor != b->divisor) return false;
        divisor = a->divisor;
    }
    if (divisor > 1 << 20) return false;
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) {
        Dim x = a->elements[a->n == 1 ? 0 : i], y = b->elements[b->n == 1 ? 0 : i];
        if (swapped) {
            Dim t = x;
            x = y;
            y = t;
        }
        if (floats && op == OP_div)
            at[i] = dim_muli(c->cx, x, b->divisor);
        else
            at[i] = logic ? decide(c, op, x, y) : combine(c, op, x, y);
        if (!at[i].id) return false;
    }
    if (!give_over(c, logic ? DT_bool : a->dtype, rank, n, at, divisor)) return false;
    if (op == OP_eq) note_fact(c, a, b);
    return true;
}

/* Max, Min, Sum of any number of operands. */
bool shape_variadic(Call *c) {
    if (c->n_in == 0 || !value_elements(c, &c->in[0])) return false;
    uint32_t n = c->in[0].n, rank = c->in[0].rank;
    for (uint32_t k = 1; k < c->n_in; k++) {
        if (!has_in(c, k) || !value_elements(c, &c->in[k])) return false;
        if (c->in[k].n > n) n = c->in[k].n;
        if (c->in[k].rank > rank) rank = c->in[k].rank;
    }
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < c->n_in; k++) {
            if (c->in[k].n != 1 && c->in[k].n != n) return false;
            Dim x = c->in[k].elements[c->in[k].n == 1 ? 0 : i];
            at[i] = k ? combine(c, c->row->param, at[i], x) : x;
            if (!at[i].id) return false;
        }
    return give(c, c->in[0].dtype, rank, n, at);
}

bool shape_unary(Call *c) {
    Value *a = &c->in[0];
    int op = c->row->param;
    bool whole = op == OP_floor || op == OP_ceil;
    if (whole ? !a->elements || !dtype_is_float(a->dtype) : !value_elements(c, a)) return false;
    if (!whole && a->divisor != 1) return false;
    Dim *at = new_elements(c, a->n), by = dim_k(c, a->divisor), zero = dim_k(c, 0);
    for (uint32_t i = 0; i < a->n; i++) {
        Dim x = a->elements[i];
        if (!safe(c, x)) return false;
        switch (op) {
        case OP_floor: at[i] = dim_fdiv(c->cx, x, by); break;
        case OP_ceil: at[i] = dim_cdiv(c->cx, x, by); break;
        case OP_neg: at[i] = dim_sub(c->cx, zero, x); break;
        case OP_not: at[i] = dim_sub(c->cx, dim_k(c, 1), x); break;
        case OP_abs: at[i] = dim_max(c->cx, x, dim_sub(c->cx, zero, x)); break;
        default: return false;
        }
    }
    return give(c, a->dtype, a->rank, a->n, at);
}

bool shape_cast(Call *c) {
    Value *a = &c->in[0];
    DType t = dtype_by_onnx(attr_i(c, "to", 0));
    bool from_float = a->elements && dtype_is_float(a->dtype), ints = t == DT_i64 || t == DT_i32;
    if (from_float && ints) {
        Dim *at = new_elements(c, a->n), by = dim_k(c, a->divisor);
        for (uint32_t i = 0; i < a->n; i++) {
            if (!not_negative(c, a->elements[i])) return false;
            at[i] = dim_fdiv(c->cx, a->elements[i], by);
        }
        return give(c, t, a->rank, a->n, at);
    }
    if (from_float) return (t == DT_f32 || t == DT_f64) && give_over(c, t, a->rank, a->n, a->elements, a->divisor);
    if (!value_elements(c, a)) return false;
    if (ints || (t == DT_bool && a->dtype == DT_bool)) return give(c, t, a->rank, a->n, a->elements);
    Const data;
    if ((t != DT_f32 && t != DT_f64) || a->dtype == DT_bool || (a->val.id && val_const(c->g, a->val, &data)))
        return false;
    return give(c, t, a->rank, a->n, a->elements);
}

bool shape_where(Call *c) {
    int64_t k;
    uint32_t n = 1, rank = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (!value_elements(c, &c->in[i])) return false;
        if (c->in[i].n != 1) n = c->in[i].n;
        if (c->in[i].rank > rank) rank = c->in[i].rank;
    }
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) {
        Dim x[3];
        for (uint32_t j = 0; j < 3; j++) {
            if (c->in[j].n != 1 && c->in[j].n != n) return false;
            x[j] = c->in[j].elements[c->in[j].n == 1 ? 0 : i];
        }
        if (dim_const_value(c->cx, x[0], &k)) {
            at[i] = k ? x[1] : x[2];
            continue;
        }
        if (!safe(c, x[1]) || !safe(c, x[2])) return false;
        Dim other = dim_sub(c->cx, dim_k(c, 1), x[0]);
        at[i] = dim_add(c->cx, dim_mul(c->cx, x[0], x[1]), dim_mul(c->cx, other, x[2]));
    }
    return give(c, c->in[1].dtype, rank, n, at);
}

/* Sums, products, largest and smallest of a list. */
bool shape_reduce(Call *c) {
    static const int joins[] = {[RED_SUM] = OP_add, [RED_PROD] = OP_mul, [RED_MAX] = OP_max, [RED_MIN] = OP_min,
                                [RED_SUM_SQUARE] = 0};
    const int64_t *axes = NULL;
    uint32_t n_axes = 0;
    int64_t k;
    Value *a = &c->in[0];
    int op = joins[c->row->param];
    if (a->rank > 1 || !op || !value_elements(c, a) || (has_in(c, 1) && !in_ints(c, 1, &axes, &n_axes))) return false;
    if ((n_axes == 0 && attr_i(c, "noop_with_empty_axes", 0)) || (op == OP_mul && a->divisor != 1)) return false;
    if (a->n == 0 && (op == OP_max || op == OP_min)) return false;
    Dim *at = new_elements(c, 1);
    at[0] = a->n ? (Dim){0} : dim_k(c, op == OP_mul);
    for (uint32_t numbers = 2; numbers-- > 0;) /* numbers first, so that one of them is left beside the symbols */
        for (uint32_t i = 0; i < a->n; i++) {
            if ((uint32_t)dim_const_value(c->cx, a->elements[i], &k) != numbers) continue;
            at[0] = at[0].id ? combine(c, op, at[0], a->elements[i]) : a->elements[i];
            if (!at[0].id) return false;
        }
    return give_over(c, a->dtype, a->rank == 1 && attr_i(c, "keepdims", 1) ? 1 : 0, 1, at, a->divisor);
}

/* ---- movement ---------------------------------------------------------------------------------------------------- */

static bool same_elements(Call *c) {
    Value *a = &c->in[0];
    if (!a->elements && !value_elements(c, a)) return false;
    return give_over(c, a->dtype, a->rank, a->n, a->elements, a->divisor);
}

/* Squeeze, Unsqueeze, Flatten-like changes between [1] and a scalar. */
bool shape_unsqueeze(Call *c) {
    Value *a = &c->in[0];
    if ((!a->elements && !value_elements(c, a)) || a->rank != 0) return false;
    return give_over(c, a->dtype, 1, 1, a->elements, a->divisor);
}

bool shape_squeeze(Call *c) {
    Value *a = &c->in[0];
    if ((!a->elements && !value_elements(c, a)) || a->rank != 1 || a->n != 1) return false;
    return give_over(c, a->dtype, 0, 1, a->elements, a->divisor);
}

bool shape_reshape(Call *c) {
    Value *a = &c->in[0];
    const Dim *to_;
    uint32_t rank = 1;
    int64_t k;
    if (!a->elements && !value_elements(c, a)) return false;
    if (c->opset >= 5) {
        if (!in_dims(c, 1, &to_, &rank) || rank > 1) return false;
        if (rank == 1 && (!dim_const_value(c->cx, to_[0], &k) || (k != -1 && k != a->n))) return false;
    } else {
        return false;
    }
    if (rank == 0 && a->n != 1) return false;
    return give_over(c, a->dtype, rank, a->n, a->elements, a->divisor);
}

bool shape_concat(Call *c) {
    uint32_t n = 0, floats = 0;
    int64_t divisor = 1;
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i].elements && dtype_is_float(c->in[i].dtype)) floats++;
    for (uint32_t i = 0; i < c->n_in; i++) {
        Value *v = &c->in[i];
        if (!has_in(c, i) || !(floats ? number_elements(c, v) : v->elements || value_elements(c, v)) || v->rank != 1)
            return false;
        n += v->n;
        if (n > MOST || !ck_mul(divisor, v->divisor, &divisor) || divisor > 1 << 20) return false;
    }
    Dim *at = new_elements(c, n);
    n = 0;
    for (uint32_t i = 0; i < c->n_in; i++)
        for (uint32_t k = 0; k < c->in[i].n; k++)
            at[n++] = dim_muli(c->cx, c->in[i].elements[k], divisor / c->in[i].divisor);
    return c->n_in && give_over(c, c->in[0].dtype, 1, n, at, divisor);
}

bool shape_gather(Call *c) {
    Value *a = &c->in[0];
    const int64_t *index;
    uint32_t n;
    if ((!a->elements && !value_elements(c, a)) || a->rank != 1 || attr_i(c, "axis", 0) > 0) return false;
    if (!value_elements(c, &c->in[1]) || !in_ints(c, 1, &index, &n)) return false;
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) {
        int64_t k = index[i] < 0 ? index[i] + a->n : index[i];
        if (k < 0 || k >= a->n) return false;
        at[i] = a->elements[k];
    }
    return give_over(c, a->dtype, c->in[1].rank, n, at, a->divisor);
}

bool shape_slice(Call *c) {
    Value *a = &c->in[0];
    int64_t start, end, step = 1;
    const int64_t *list;
    uint32_t n;
    if ((!a->elements && !value_elements(c, a)) || a->rank != 1) return false;
    if (c->opset < 10) {
        const IntVec *s = attr_list(c, "starts"), *e = attr_list(c, "ends");
        if (!s || !e || s->n != 1 || e->n != 1) return false;
        start = s->at[0], end = e->at[0];
    } else {
        if (!in_ints(c, 1, &list, &n) || n != 1) return false;
        start = list[0];
        if (!in_ints(c, 2, &list, &n) || n != 1) return false;
        end = list[0];
        if (has_in(c, 4)) {
            if (!in_ints(c, 4, &list, &n) || n != 1) return false;
            step = list[0];
        }
    }
    int64_t size = a->n, low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    if (step == 0 || step < -MOST || step > INT32_MAX) return false;
    if (start < 0) start += size;
    if (end < 0) end += size;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    Dim *at = new_elements(c, a->n);
    uint32_t count = 0;
    for (int64_t i = start; step > 0 ? i < end : i > end; i += step) at[count++] = a->elements[i];
    return give_over(c, a->dtype, 1, count, at, a->divisor);
}

bool shape_expand(Call *c) {
    Value *a = &c->in[0];
    const Dim *to_;
    uint32_t rank;
    int64_t k = 1;
    if (!value_elements(c, a) || !in_dims(c, 1, &to_, &rank) || rank > 1) return false;
    if (rank == 1 && !dim_const_value(c->cx, to_[0], &k)) return false;
    if (k != 1 && a->n != 1) return k == a->n && same_elements(c);
    uint32_t n = k == 1 ? a->n : (uint32_t)k;
    if (k < 0 || k > MOST) return false;
    Dim *at = new_elements(c, n);
    for (uint32_t i = 0; i < n; i++) at[i] = a->elements[a->n == 1 ? 0 : i];
    return give(c, a->dtype, rank > a->rank ? rank : a->rank, n, at);
}

bool shape_tile(Call *c) {
    Value *a = &c->in[0];
    const int64_t *times;
    uint32_t n;
    if (c->opset < 6 || !value_elements(c, a) || a->rank != 1 || !in_ints(c, 1, &times, &n) || n != 1) return false;
    if (times[0] < 0 || times[0] > MOST || times[0] * a->n > MOST) return false;
    Dim *at = new_elements(c, (uint32_t)(times[0] * a->n));
    for (uint32_t i = 0; i < times[0] * a->n; i++) at[i] = a->elements[i % a->n];
    return give(c, a->dtype, 1, (uint32_t)(times[0] * a->n), at);
}

/* A vector cut into pieces of known lengths. */
bool shape_split(Call *c) {
    Value *a = &c->in[0];
    const int64_t *parts = NULL;
    uint32_t n = 0, at = 0;
    bool bad;
    if ((!a->elements && !value_elements(c, a)) || a->rank != 1) return false;
    if (c->opset >= 13 && has_in(c, 1) && !in_ints(c, 1, &parts, &n)) return false;
    if (!list_arg(c, "split", 1, 13, &parts, &n, &bad) && (bad || c->n_out == 0 || a->n % c->n_out)) return false;
    if (n && n != c->n_out) return false;
    for (uint32_t i = 0; i < c->n_out; i++) {
        int64_t size = n ? parts[i] : a->n / c->n_out;
        if (size < 0 || size > a->n - at) return false;
        c->out[i] = *a;
        c->out[i].val = NO_VAL;
        c->out[i].elements = a->elements + at;
        c->out[i].n = (uint32_t)size;
        c->out[i].param = 0;
        at += (uint32_t)size;
    }
    return at == a->n;
}
