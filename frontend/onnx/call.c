/* call.c: what operator functions see of a node: inputs, attributes, constants, and shorthand over the Graph builders.
 *
 * Everything here reports at the node's location and gives poison, so that operator functions read like mathematics.
 */
#include "onnx.h"
#include <stdio.h>
#include <string.h>

Val fail(Call *c, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    char text[512];
    vsnprintf(text, sizeof text, fmt, args);
    va_end(again);
    va_end(args);
    diag_error(c->cx, c->loc, "%s", text);
    return NO_VAL;
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------ */

bool has_in(const Call *c, uint32_t i) { return i < c->n_in && c->in[i].kind != VALUE_ABSENT; }

bool wants_out(const Call *c, uint32_t i) { return i < c->n_out && c->node->out[i][0]; }

/* A tensor from its elements: constants as data, the rest as dim nodes. */
static Val elements_val(Call *c, const Value *v) {
    Dim size = dim_k(c, v->n);
    DType whole = dtype_is_float(v->dtype) ? DT_f64 : DT_i64;
    int64_t k;
    bool constant = true;
    for (uint32_t i = 0; i < v->n; i++) constant = constant && dim_const_value(c->cx, v->elements[i], &k);
    if (constant) {
        uint8_t *data = arena_array(c->cx->arena, (size_t)dtype_bytes(v->dtype), v->n);
        for (uint32_t i = 0; i < v->n; i++) {
            dim_const_value(c->cx, v->elements[i], &k);
            Scalar s = {.i = k};
            if (whole == DT_f64) s.f = (double)k / (double)v->divisor;
            scalar_store(v->dtype, data + i * (size_t)dtype_bytes(v->dtype), scalar_convert(v->dtype, whole, s, true));
        }
        return b_const(c->g, c->loc, const_data(c->cx, v->dtype, v->n, data), v->rank, &size);
    }
    Val *parts = arena_new_array(c->im->arena, Val, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        Val scalar = b_dim(c->g, c->loc, v->elements[i]);
        Dim one = dim_k(c, 1);
        parts[i] = v->rank ? b_reshape(c->g, c->loc, scalar, 1, &one) : scalar;
    }
    Val all = v->n == 1 ? parts[0] : b_concat(c->g, c->loc, parts, v->n, 0);
    all = to(c, all, v->dtype);
    return v->divisor == 1 ? all : ew2(c, OP_div, all, num(c, all, (double)v->divisor));
}

Val value_val(Call *c, const Value *v) {
    if (v->kind == VALUE_OPTIONAL && v->n == 1) v = &v->items[0];
    if (v->kind != VALUE_TENSOR) return NO_VAL;
    if (v->val.id) return v->val;
    return v->elements ? elements_val(c, v) : NO_VAL;
}

Val in(Call *c, uint32_t i) {
    if (!has_in(c, i)) return fail(c, "input %u is missing", i);
    const Value *v = &c->in[i];
    if (v->kind == VALUE_POISON) return NO_VAL;
    if (v->kind == VALUE_SEQUENCE)
        return fail(c, "input %u ('%s') is a sequence, a tensor is needed", i, c->node->in[i]);
    return value_val(c, v);
}

Value value_of(Call *c, Val v) {
    if (!v.id) return (Value){.kind = VALUE_POISON};
    return (Value){.kind = VALUE_TENSOR, .val = v, .dtype = val_dtype(c->g, v), .divisor = 1};
}

void set_out_value(Call *c, uint32_t i, Value v) {
    if (i < c->n_out) c->out[i] = v;
}

void set_out(Call *c, uint32_t i, Val v) {
    if (i < c->n_out) c->out[i] = value_of(c, v);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static const OnnxAttr *attr_in(const OnnxAttr *attrs, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(attrs[i].name, name) == 0) return &attrs[i];
    return NULL;
}

/* An attribute of the node; where it refers to an attribute of the function whose body this is, that one. */
const OnnxAttr *find_attr(const Call *c, const char *name) {
    const OnnxAttr *a = attr_in(c->node->attrs, c->node->n_attrs, name);
    if (!a || !a->ref) return a;
    const Call *caller = c->scope->function;
    if (!caller) return NULL;
    const char *ref = a->ref;
    a = find_attr(caller, ref);
    if (a) return a;
    const OnnxFunction *fns = c->im->model->functions;
    for (uint32_t i = 0; i < c->im->model->n_functions; i++)
        if (fns[i].name == caller->node->op && fns[i].domain == caller->node->domain &&
            fns[i].overload == caller->node->overload)
            return attr_in(fns[i].attrs, fns[i].n_attrs, ref);
    return NULL;
}

static const OnnxAttr *typed_attr(Call *c, const char *name, OnnxAttrType type) {
    static const char *const spelt[] = {"unknown", "a float", "an integer", "a string", "a tensor",
                                        "a graph", "floats",  "integers",   "strings",  "tensors",
                                        "graphs",  "sparse",  "sparse",     "a type",   "types"};
    const OnnxAttr *a = find_attr(c, name);
    if (!a || a->type == type) return a;
    fail(c, "attribute '%s' is %s, it has to be %s", name, spelt[a->type], spelt[type]);
    return NULL;
}

int64_t attr_i(Call *c, const char *name, int64_t otherwise) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_INT);
    return a ? a->i : otherwise;
}

double attr_f(Call *c, const char *name, double otherwise) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_FLOAT);
    return a ? a->f : otherwise;
}

const char *attr_s(Call *c, const char *name, const char *otherwise) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_STRING);
    return a ? a->s : otherwise;
}

bool attr_is(Call *c, const char *name, const char *otherwise, const char *value) {
    return strcmp(attr_s(c, name, otherwise), value) == 0;
}

const IntVec *attr_list(Call *c, const char *name) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_INTS);
    return a ? &a->ints : NULL;
}

const FloatVec *attr_floats(Call *c, const char *name) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_FLOATS);
    return a ? &a->floats : NULL;
}

const OnnxGraph *attr_subgraph(Call *c, const char *name) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_GRAPH);
    if (!a || !a->g) fail(c, "attribute '%s', a graph, is missing", name);
    return a ? a->g : NULL;
}

const OnnxTensor *attr_tensor(Call *c, const char *name) {
    const OnnxAttr *a = typed_attr(c, name, ONNX_ATTR_TENSOR);
    return a ? a->t : NULL;
}

/* ---- what is known of inputs ------------------------------------------------------------------------------------- */

bool in_dims(Call *c, uint32_t i, const Dim **dims, uint32_t *n) {
    if (!has_in(c, i) || !value_elements(c, &c->in[i])) return false;
    if (c->in[i].divisor != 1) return false;
    *dims = c->in[i].elements;
    *n = c->in[i].n;
    return true;
}

bool in_ints(Call *c, uint32_t i, const int64_t **ints, uint32_t *n) {
    Const data;
    if (!has_in(c, i)) return false;
    if (c->in[i].param) value_elements(c, &c->in[i]);
    if (c->in[i].elements && c->in[i].divisor == 1) {
        int64_t *to_ = arena_new_array(c->im->arena, int64_t, c->in[i].n);
        bool all = true;
        for (uint32_t k = 0; k < c->in[i].n; k++) all = all && dim_const_value(c->cx, c->in[i].elements[k], &to_[k]);
        *ints = to_, *n = c->in[i].n;
        if (all) return true;
    }
    if (c->in[i].kind != VALUE_TENSOR || !c->in[i].val.id || !const_of(c, c->in[i].val, &data)) return false;
    DType t = val_dtype(c->g, c->in[i].val);
    int64_t count;
    if (!dtype_is_int(t) || !dim_const_value(c->cx, type_elements(c->cx, node(c->g, c->in[i].val)->type), &count) ||
        count > 1 << 20)
        return false;
    int64_t *list = arena_new_array(c->im->arena, int64_t, (size_t)count);
    for (int64_t k = 0; k < count; k++) list[k] = const_element(c->cx, data, (uint64_t)k).i;
    *ints = list, *n = (uint32_t)count;
    return true;
}

/* Copies the cone of v into a graph that folds; gives up on parameters and on anything large. */
static bool fold_cone(Call *c, Val v, Const *data) {
    enum { CONE = 4096 };
    Graph *g = c->g;
    if (g->nodes.n > UINT32_MAX / 2) return false;
    uint8_t *needed = arena_new_array(c->im->arena, uint8_t, v.id + 1);
    Val *map = arena_new_array(c->im->arena, Val, v.id + 1);
    uint32_t count = 0;
    needed[v.id] = 1;
    for (uint32_t id = v.id; id; id--) {
        const Node *n = &g->nodes.at[id];
        if (!needed[id]) continue;
        if (n->op == OP_param || n->op == OP_dim || ++count > CONE) return false;
        for (uint32_t k = 0; k < n->n_in; k++) needed[n->in[k].id] = 1;
    }
    Graph *folding = graph_new(c->cx, "fold");
    folding->fold = true;
    uint32_t errors = diag_count(c->cx);
    for (uint32_t id = 1; id <= v.id; id++) {
        if (!needed[id]) continue;
        const Node *n = &g->nodes.at[id];
        Val *ins = arena_new_array(c->im->arena, Val, n->n_in);
        for (uint32_t k = 0; k < n->n_in; k++) ins[k] = map[n->in[k].id];
        map[id] = emit(folding, n->op, n->loc, ins, n->n_in, n->attrs, n->n_attrs);
        if (!map[id].id) break;
    }
    diag_truncate(c->cx, errors);
    return map[v.id].id && val_const(folding, map[v.id], data);
}

bool const_of(Call *c, Val v, Const *data) {
    if (!v.id) return false;
    return val_const(c->g, v, data) || fold_cone(c, v, data);
}

bool in_const(Call *c, uint32_t i, Const *data) {
    return has_in(c, i) && c->in[i].kind == VALUE_TENSOR && const_of(c, value_val(c, &c->in[i]), data);
}

bool in_scalar(Call *c, uint32_t i, double *value) {
    Const data;
    int64_t n;
    if (!in_const(c, i, &data)) return false;
    Val v = value_val(c, &c->in[i]);
    if (!dim_const_value(c->cx, type_elements(c->cx, node(c->g, v)->type), &n) || n != 1) return false;
    *value = scalar_convert(DT_f64, val_dtype(c->g, v), const_element(c->cx, data, 0), false).f;
    return true;
}

bool norm_axis(Call *c, int64_t axis, uint32_t rank, uint32_t *result) {
    if (axis < -(int64_t)rank || axis >= (int64_t)rank) {
        fail(c, "axis %lld is out of range for rank %u", (long long)axis, rank);
        *result = 0;
        return false;
    }
    *result = (uint32_t)(axis < 0 ? axis + rank : axis);
    return true;
}

bool list_arg(Call *c, const char *attr, uint32_t input, int64_t from, const int64_t **list, uint32_t *n, bool *bad) {
    *bad = false;
    *n = 0;
    if (c->opset >= from) {
        if (!has_in(c, input)) return false;
        if (in_ints(c, input, list, n)) return true;
        fail(c, "input %u (%s) has to be known when compiling", input, attr);
        return *bad = true;
    }
    const IntVec *ints = attr_list(c, attr);
    if (!ints) return false;
    *list = ints->at;
    *n = ints->n;
    return true;
}

/* ---- builders ---------------------------------------------------------------------------------------------------- */

Dims dims_of(Call *c, Val v) {
    Dims d = {.n = v.id ? val_rank(c->g, v) : 0};
    for (uint32_t i = 0; i < d.n; i++) d.at[i] = val_dim(c->g, v, i);
    return d;
}

Val ew1(Call *c, Op op, Val x) { return x.id ? b_unary(c->g, c->loc, op, x) : x; }

Val ew2(Call *c, Op op, Val a, Val b) { return a.id && b.id ? b_binary(c->g, c->loc, op, a, b) : NO_VAL; }

Val sel(Call *c, Val cond, Val a, Val b) {
    return cond.id && a.id && b.id ? b_select(c->g, c->loc, cond, a, b) : NO_VAL;
}

Val numt(Call *c, DType t, double value) {
    if (dtype_is_float(t)) return b_scalar(c->g, c->loc, t, value);
    return b_int(c->g, c->loc, t, (int64_t)value);
}

Val num(Call *c, Val like, double value) { return like.id ? numt(c, val_dtype(c->g, like), value) : NO_VAL; }

Val to(Call *c, Val v, DType t) { return v.id ? b_convert(c->g, c->loc, v, t) : v; }

Val shaped(Call *c, Val v, const Dims *d) { return v.id ? b_reshape(c->g, c->loc, v, d->n, d->at) : v; }

Val spread(Call *c, Val v, const Dims *d) { return v.id ? b_broadcast_to(c->g, c->loc, v, d->n, d->at) : v; }

Val permuted(Call *c, Val v, const int64_t *perm) { return v.id ? b_permute(c->g, c->loc, v, perm) : v; }

Val swap_last(Call *c, Val v) {
    if (!v.id) return v;
    uint32_t rank = val_rank(c->g, v);
    int64_t perm[MAX_RANK];
    if (rank < 2) return fail(c, "an operand of rank %u where a matrix is needed", rank);
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = rank - 2, perm[rank - 2] = rank - 1;
    return permuted(c, v, perm);
}

Val reduce(Call *c, Op op, Val v, const int64_t *axes, uint32_t n, bool keep) {
    return v.id ? b_reduce(c->g, c->loc, op, v, axes, n, keep) : v;
}

Val reduce1(Call *c, Op op, Val v, uint32_t axis, bool keep) {
    int64_t a = axis;
    if (v.id && axis >= val_rank(c->g, v))
        return fail(c, "an operand of rank %u where axis %u is needed", val_rank(c->g, v), axis);
    return reduce(c, op, v, &a, 1, keep);
}

Val sliced(Call *c, Val v, uint32_t axis, Dim start, Dim extent) {
    if (v.id && axis >= val_rank(c->g, v))
        return fail(c, "an operand of rank %u where axis %u is needed", val_rank(c->g, v), axis);
    return v.id ? b_slice_axis(c->g, c->loc, v, axis, start, extent) : v;
}

Val reversed(Call *c, Val v, uint32_t axis) {
    if (!v.id) return v;
    Dims d = dims_of(c, v);
    Dim start[MAX_RANK];
    int64_t step[MAX_RANK];
    for (uint32_t i = 0; i < d.n; i++) {
        start[i] = i == axis ? dim_addi(c->cx, d.at[i], -1) : dim_k(c, 0);
        step[i] = i == axis ? -1 : 1;
    }
    return b_slice(c->g, c->loc, v, start, step, d.at);
}

Val unsqueezed(Call *c, Val v, uint32_t axis) {
    Dims d = dims_of(c, v), e = {.n = d.n + 1};
    if (!v.id) return v;
    if (d.n == MAX_RANK) return fail(c, "rank %d is the largest supported", MAX_RANK);
    for (uint32_t i = 0; i < e.n; i++) e.at[i] = i == axis ? dim_k(c, 1) : d.at[i - (i > axis)];
    return shaped(c, v, &e);
}

Val squeezed(Call *c, Val v, uint32_t axis) {
    Dims d = dims_of(c, v), e = {.n = d.n - 1};
    if (!v.id) return v;
    if (axis >= d.n) return fail(c, "an operand of rank %u where axis %u is needed", d.n, axis);
    for (uint32_t i = 0; i < e.n; i++) e.at[i] = d.at[i + (i >= axis)];
    return shaped(c, v, &e);
}

Val iota(Call *c, DType t, Dim n) { return b_iota(c->g, c->loc, t, 1, &n, 0); }

Val axis_iota(Call *c, DType t, const Dims *d, uint32_t axis) { return b_iota(c->g, c->loc, t, d->n, d->at, axis); }

Val splat(Call *c, DType t, double value, const Dims *d) {
    Scalar s;
    if (dtype_is_float(t))
        s.f = value;
    else
        s.i = (int64_t)value;
    return b_splat(c->g, c->loc, t, scalar_wrap(t, s), d->n, d->at);
}

Val padded(Call *c, Val v, Val fill, const Dim *low, const Dim *high) {
    static const int64_t none[MAX_RANK];
    return v.id && fill.id ? b_pad(c->g, c->loc, v, fill, low, high, none) : NO_VAL;
}

Val soft(Call *c, Op op, Val v, uint32_t axis) {
    Attr a = {.key = ATTR_axis, .as.i = axis};
    return emit(c->g, op, c->loc, &v, 1, &a, 1);
}

Val per_axis(Call *c, Val vector, uint32_t axis, uint32_t rank) {
    if (!vector.id) return vector;
    Dims d = {.n = rank};
    if (val_rank(c->g, vector) != 1 || axis >= rank)
        return fail(c, "an operand of rank %u where a vector for axis %u of %u is needed", val_rank(c->g, vector), axis,
                    rank);
    for (uint32_t i = 0; i < rank; i++) d.at[i] = i == axis ? val_dim(c->g, vector, 0) : dim_k(c, 1);
    return shaped(c, vector, &d);
}

Val wrap_index(Call *c, Val index, Dim extent) {
    if (!index.id) return index;
    index = to(c, index, DT_i64);
    Val n = b_dim(c->g, c->loc, extent);
    return sel(c, ew2(c, OP_lt, index, numt(c, DT_i64, 0)), ew2(c, OP_add, index, n), index);
}

Val logical_not(Call *c, Val v) { return ew1(c, OP_not, v); }

Val greater(Call *c, Val a, Val b) { return ew2(c, OP_lt, b, a); }

/* Batch axes of both sides brought to their common extents in front of their last two axes. */
static Val spread_batch(Call *c, Val v, const Dims *batch) {
    Dims d = dims_of(c, v), e = {.n = batch->n + 2};
    for (uint32_t i = 0; i < batch->n; i++) e.at[i] = batch->at[i];
    e.at[e.n - 2] = d.at[d.n - 2], e.at[e.n - 1] = d.at[d.n - 1];
    return spread(c, v, &e);
}

Val batched_matmul(Call *c, Val a, Val b) {
    if (!a.id || !b.id) return NO_VAL;
    uint32_t ra = val_rank(c->g, a), rb = val_rank(c->g, b);
    if (ra == 0 || rb == 0) return fail(c, "matrix product of a scalar");
    bool row = ra == 1, column = rb == 1;
    if (row) a = unsqueezed(c, a, 0), ra = 2;
    if (column) b = unsqueezed(c, b, 1), rb = 2;
    Val y;
    if (rb == 2) {
        y = b_dot(c->g, c->loc, a, b, 0);
    } else {
        uint32_t n = ra > rb ? ra - 2 : rb - 2;
        Dims batch = {.n = n};
        for (uint32_t i = 0; i < n; i++) {
            bool in_a = i + ra >= n + 2, in_b = i + rb >= n + 2;
            Dim x = in_a ? val_dim(c->g, a, i + ra - n - 2) : dim_k(c, 1);
            Dim z = in_b ? val_dim(c->g, b, i + rb - n - 2) : dim_k(c, 1);
            batch.at[i] = b_broadcast_dim(c->g, c->loc, x, z);
        }
        y = b_dot(c->g, c->loc, spread_batch(c, a, &batch), spread_batch(c, b, &batch), n);
    }
    if (!y.id) return y;
    uint32_t rank = val_rank(c->g, y);
    if (row) y = squeezed(c, y, rank - 2);
    if (column && y.id) y = squeezed(c, y, val_rank(c->g, y) - 1);
    return y;
}
