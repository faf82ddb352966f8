/* ops_ml.c: the smaller operators of ai.onnx.ml over numbers; those over strings and maps are not supported. */
#include "onnx.h"
#include <math.h>
#include <string.h>

static Val floats(Call *c, const FloatVec *v, DType t) {
    float *data = arena_new_array(c->cx->arena, float, v->n);
    Dim n = dim_k(c, v->n);
    for (uint32_t i = 0; i < v->n; i++) data[i] = (float)v->at[i];
    return to(c, b_const(c->g, c->loc, const_data(c->cx, DT_f32, v->n, data), 1, &n), t);
}

Val import_array_features(Call *c) {
    Val x = in(c, 0), index = in(c, 1);
    if (!x.id || !index.id) return NO_VAL;
    uint32_t rank = val_rank(c->g, x);
    if (rank == 1) x = unsqueezed(c, x, 0), rank = 2;
    if (rank == 0) return fail(c, "needs rank 1 or more");
    Dims d = dims_of(c, index), flat = {.n = 1, .at = {dim_product(c->cx, d.at, d.n)}};
    index = wrap_index(c, shaped(c, index, &flat), val_dim(c->g, x, rank - 1));
    return index.id ? b_gather(c->g, c->loc, x, index, rank - 1, 0) : index;
}

Val import_binarizer(Call *c) {
    Val x = in(c, 0);
    return sel(c, greater(c, x, num(c, x, attr_f(c, "threshold", 0))), num(c, x, 1), num(c, x, 0));
}

/* (x - offset) * scale. */
Val import_scaler(Call *c) {
    Val x = to(c, in(c, 0), DT_f32);
    const FloatVec *offset = attr_floats(c, "offset"), *scale = attr_floats(c, "scale");
    if (offset && offset->n) x = ew2(c, OP_sub, x, floats(c, offset, DT_f32));
    return scale && scale->n ? ew2(c, OP_mul, x, floats(c, scale, DT_f32)) : x;
}

Val import_normalizer(Call *c) {
    Val x = to(c, in(c, 0), DT_f32), norm;
    const char *kind = attr_s(c, "norm", "MAX");
    if (!x.id) return x;
    uint32_t last = val_rank(c->g, x) - 1;
    if (val_rank(c->g, x) == 0) return fail(c, "needs rank 1 or more");
    if (strcmp(kind, "MAX") == 0)
        norm = reduce1(c, OP_reduce_max, ew1(c, OP_abs, x), last, true);
    else if (strcmp(kind, "L1") == 0)
        norm = reduce1(c, OP_reduce_sum, ew1(c, OP_abs, x), last, true);
    else if (strcmp(kind, "L2") == 0)
        norm = ew1(c, OP_sqrt, reduce1(c, OP_reduce_sum, ew2(c, OP_mul, x, x), last, true));
    else
        return fail(c, "norm '%s' is not known; known are MAX, L1 and L2", kind);
    return sel(c, ew2(c, OP_eq, norm, num(c, x, 0)), x, ew2(c, OP_div, x, norm));
}

Val import_imputer(Call *c) {
    Val x = in(c, 0);
    const FloatVec *values = attr_floats(c, "imputed_value_floats");
    const IntVec *ints = attr_list(c, "imputed_value_int64s");
    if (!x.id) return x;
    if (ints && dtype_is_int(val_dtype(c->g, x))) {
        Val gone = ew2(c, OP_eq, x, num(c, x, (double)attr_i(c, "replaced_value_int64", 0)));
        return sel(c, gone, to(c, b_ints(c->g, c->loc, ints->at, ints->n), val_dtype(c->g, x)), x);
    }
    if (!values || !values->n) return fail(c, "imputed values are missing");
    double old = attr_f(c, "replaced_value_float", 0);
    Val gone = isnan(old) ? ew1(c, OP_isnan, x) : ew2(c, OP_eq, x, num(c, x, old));
    return sel(c, gone, floats(c, values, val_dtype(c->g, x)), x);
}

/* x by coefficients [targets, features], plus intercepts. */
static Val linear(Call *c, Val x, int64_t outputs) {
    const FloatVec *k = attr_floats(c, "coefficients"), *b = attr_floats(c, "intercepts");
    if (!x.id) return x;
    if (!k || outputs < 1 || k->n % outputs)
        return fail(c, "%u coefficients for %lld targets", k ? k->n : 0, (long long)outputs);
    if (val_rank(c->g, x) == 1) x = unsqueezed(c, x, 0);
    Dims d = {.n = 2, .at = {dim_k(c, outputs), dim_k(c, k->n / outputs)}};
    Val y = batched_matmul(c, x, swap_last(c, shaped(c, floats(c, k, DT_f32), &d)));
    return b && b->n ? ew2(c, OP_add, y, floats(c, b, DT_f32)) : y;
}

static Val transformed(Call *c, Val y) {
    const char *post = attr_s(c, "post_transform", "NONE");
    if (!y.id || strcmp(post, "NONE") == 0) return y;
    if (strcmp(post, "LOGISTIC") == 0) return ew1(c, OP_sigmoid, y);
    if (strcmp(post, "SOFTMAX") == 0) return soft(c, OP_softmax, y, 1);
    return fail(c, "post_transform '%s' is not supported", post);
}

Val import_linear_regressor(Call *c) {
    return transformed(c, linear(c, to(c, in(c, 0), DT_f32), attr_i(c, "targets", 1)));
}

Val import_linear_classifier(Call *c) {
    const IntVec *labels = attr_list(c, "classlabels_ints");
    const FloatVec *b = attr_floats(c, "intercepts");
    if (!labels || labels->n < 2) return fail(c, "only two or more integer class labels are supported");
    bool one = b && b->n == 1 && labels->n == 2;
    Val y = linear(c, to(c, in(c, 0), DT_f32), one ? 1 : labels->n), best;
    if (!y.id) return y;
    if (one) {
        Val pair[2] = {ew1(c, OP_neg, y), y};
        y = b_concat(c->g, c->loc, pair, 2, 1);
    }
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = 1}, {.key = ATTR_last, .as.i = 0}};
    best = emit(c->g, OP_arg_max, c->loc, &y, 1, attrs, 2);
    set_out(c, 1, transformed(c, y));
    return b_gather(c->g, c->loc, b_ints(c->g, c->loc, labels->at, labels->n), best, 0, 0);
}

/* The kernel function of rows x [n, features] and vectors [m, features]: [n, m]. */
static Val kernel_function(Call *c, Val x, Val vectors) {
    const FloatVec *p = attr_floats(c, "kernel_params");
    const char *kind = attr_s(c, "kernel_type", "LINEAR");
    double gamma = p && p->n > 0 ? p->at[0] : 0, offset = p && p->n > 1 ? p->at[1] : 0, degree = p && p->n > 2 ? p->at[2] : 0;
    if (!x.id || !vectors.id) return NO_VAL;
    if (strcmp(kind, "RBF") == 0) {
        Val away = ew2(c, OP_sub, unsqueezed(c, x, 1), unsqueezed(c, vectors, 0));
        Val square = reduce1(c, OP_reduce_sum, ew2(c, OP_mul, away, away), 2, false);
        return ew1(c, OP_exp, ew2(c, OP_mul, square, num(c, x, -gamma)));
    }
    Val y = batched_matmul(c, x, swap_last(c, vectors));
    if (strcmp(kind, "LINEAR") == 0) return y;
    y = ew2(c, OP_add, ew2(c, OP_mul, y, num(c, x, gamma)), num(c, x, offset));
    if (strcmp(kind, "POLY") == 0) return ew2(c, OP_pow, y, num(c, x, degree));
    if (strcmp(kind, "SIGMOID") == 0) return ew1(c, OP_tanh, y);
    return fail(c, "kernel_type '%s' is not known; known are LINEAR, POLY, RBF and SIGMOID", kind);
}

/* A weighted sum of kernel functions of support vectors, or without any of the features themselves. */
Val import_svm_regressor(Call *c) {
    Val x = to(c, in(c, 0), DT_f32);
    const FloatVec *k = attr_floats(c, "coefficients"), *vectors = attr_floats(c, "support_vectors"),
                   *rho = attr_floats(c, "rho");
    int64_t n = attr_i(c, "n_supports", 0);
    if (!x.id) return x;
    if (n < 0 || !k || !k->n || (n && (!vectors || vectors->n == 0 || vectors->n % n || k->n != n)))
        return fail(c, "%u coefficients and %u numbers for %lld support vectors", k ? k->n : 0, vectors ? vectors->n : 0,
                    (long long)n);
    if (val_rank(c->g, x) == 1) x = unsqueezed(c, x, 0);
    Dims column = {.n = 2, .at = {dim_k(c, k->n), dim_k(c, 1)}};
    if (n) {
        Dims d = {.n = 2, .at = {dim_k(c, n), dim_k(c, vectors->n / n)}};
        x = kernel_function(c, x, shaped(c, floats(c, vectors, DT_f32), &d));
    }
    Val y = x.id ? batched_matmul(c, x, shaped(c, floats(c, k, DT_f32), &column)) : x;
    if (rho && rho->n) y = ew2(c, OP_add, y, num(c, y, rho->at[0]));
    if (attr_i(c, "one_class", 0)) y = sel(c, greater(c, y, num(c, y, 0)), num(c, y, 1), num(c, y, -1));
    return transformed(c, y);
}

Val import_one_hot_encoder(Call *c) {
    Val x = to(c, in(c, 0), DT_i64);
    const IntVec *cats = attr_list(c, "cats_int64s");
    if (!x.id) return x;
    if (!cats) return fail(c, "only integer categories are supported");
    return to(c, ew2(c, OP_eq, unsqueezed(c, x, val_rank(c->g, x)), b_ints(c->g, c->loc, cats->at, cats->n)), DT_f32);
}

Val import_feature_vectorizer(Call *c) {
    Val *list = arena_new_array(c->im->arena, Val, c->n_in + 1);
    for (uint32_t i = 0; i < c->n_in; i++) {
        list[i] = to(c, in(c, i), DT_f32);
        if (!list[i].id) return NO_VAL;
        if (val_rank(c->g, list[i]) == 1) list[i] = unsqueezed(c, list[i], 0);
        if (!list[i].id || val_rank(c->g, list[i]) != 2) return fail(c, "needs operands of rank 1 or 2");
    }
    return c->n_in ? b_concat(c->g, c->loc, list, c->n_in, 1) : fail(c, "nothing to join");
}

/* ---- LabelEncoder ------------------------------------------------------------------------------------------------ */

/* A list of numbers from attributes <what>_int64s, <what>_floats or <what>_tensor. */
static Val number_list(Call *c, const char *ints, const char *reals, const char *tensor) {
    const IntVec *i = attr_list(c, ints);
    const FloatVec *f = attr_floats(c, reals);
    const OnnxTensor *t = attr_tensor(c, tensor);
    uint64_t n;
    if (i) return b_ints(c->g, c->loc, i->at, i->n);
    if (f) return floats(c, f, DT_f32);
    if (!t || !tensor_count(t, &n)) return fail(c, "only numbers are supported as keys and values");
    Const data = tensor_const(c->cx, c->loc, t, NULL);
    Dim dim = dim_k(c, (int64_t)n);
    return data.id ? b_const(c->g, c->loc, data, 1, &dim) : NO_VAL;
}

Val import_label_encoder(Call *c) {
    Val x = in(c, 0), keys = number_list(c, "keys_int64s", "keys_floats", "keys_tensor"),
        values = number_list(c, "values_int64s", "values_floats", "values_tensor");
    if (!x.id || !keys.id || !values.id) return NO_VAL;
    DType t = val_dtype(c->g, values);
    Val otherwise = dtype_is_float(t) ? numt(c, t, attr_f(c, "default_float", -0.0))
                                      : numt(c, t, (double)attr_i(c, "default_int64", -1));
    const OnnxTensor *stated = attr_tensor(c, "default_tensor");
    if (stated) {
        Const data = tensor_const(c->cx, c->loc, stated, NULL);
        if (!data.id) return NO_VAL;
        otherwise = b_const(c->g, c->loc, const_splat(c->cx, t, const_element(c->cx, data, 0)), 0, NULL);
    }
    Val item = unsqueezed(c, to(c, x, val_dtype(c->g, keys)), val_rank(c->g, x)), same = ew2(c, OP_eq, item, keys);
    if (dtype_is_float(val_dtype(c->g, keys)))
        same = ew2(c, OP_or, same, ew2(c, OP_and, ew1(c, OP_isnan, item), ew1(c, OP_isnan, keys)));
    if (!same.id) return same;
    uint32_t last = val_rank(c->g, same) - 1;
    Val known = reduce1(c, OP_reduce_max, same, last, false), number = to(c, same, DT_i32);
    Attr attrs[2] = {{.key = ATTR_axis, .as.i = last}, {.key = ATTR_last, .as.i = 0}};
    Val at = emit(c->g, OP_arg_max, c->loc, &number, 1, attrs, 2);
    return at.id ? sel(c, known, b_gather(c->g, c->loc, values, at, 0, 0), otherwise) : at;
}
