/* ops_elementwise.c: ONNX operators that are one or a few elementwise Graph ops.  The row's param is the Graph op; a
 * negative one means that its operands are exchanged (Greater is lt).
 */
#include "onnx.h"
#include <math.h>
#include <string.h>

Val import_unary(Call *c) { return ew1(c, (Op)c->row->param, in(c, 0)); }

Val import_identity(Call *c) {
    set_out_value(c, 0, c->in[0]);
    return NO_VAL;
}

/* Before opset 7, `broadcast` aligned the second operand's axes with those of the first from `axis` on. */
static Val legacy_align(Call *c, Val a, Val b) {
    if (c->opset >= 7 || !find_attr(c, "axis") || !a.id || !b.id) return b;
    uint32_t axis, rank = val_rank(c->g, a);
    if (!norm_axis(c, attr_i(c, "axis", 0), rank, &axis)) return NO_VAL;
    Dims d = dims_of(c, b);
    if (axis + d.n > rank)
        return fail(c, "the second operand's %u axes do not fit at axis %u of rank %u", d.n, axis, rank);
    while (axis + d.n < rank) d.at[d.n++] = dim_k(c, 1);
    return shaped(c, b, &d);
}

Val import_binary(Call *c) {
    Val a = in(c, 0), b = legacy_align(c, a, in(c, 1));
    int op = c->row->param;
    return op < 0 ? ew2(c, (Op)-op, b, a) : ew2(c, (Op)op, a, b);
}

Val import_mod(Call *c) { return ew2(c, attr_i(c, "fmod", 0) ? OP_rem : OP_mod, in(c, 0), in(c, 1)); }

Val import_pow(Call *c) {
    Val a = in(c, 0), b = legacy_align(c, a, in(c, 1));
    if (!a.id || !b.id) return NO_VAL;
    DType t = val_dtype(c->g, a), e = val_dtype(c->g, b);
    if (dtype_is_int(t) && dtype_is_float(e)) return to(c, ew2(c, OP_pow, to(c, a, DT_f64), to(c, b, DT_f64)), t);
    if (dtype_is_float(t) || t == e) return ew2(c, OP_pow, a, to(c, b, t));
    return to(c, ew2(c, OP_pow, to(c, a, DT_i64), to(c, b, DT_i64)), t);
}

Val import_bit_shift(Call *c) {
    bool left = attr_is(c, "direction", "", "LEFT");
    if (!left && !attr_is(c, "direction", "", "RIGHT")) return fail(c, "direction has to be LEFT or RIGHT");
    return ew2(c, left ? OP_shl : OP_shr, in(c, 0), in(c, 1));
}

/* Max, Min, Sum, Mean of any number of operands. */
Val import_variadic(Call *c) {
    bool mean = c->row->param == OP_div;
    Val y = in(c, 0);
    for (uint32_t i = 1; i < c->n_in; i++) y = ew2(c, mean ? OP_add : (Op)c->row->param, y, in(c, i));
    return mean ? ew2(c, OP_div, y, num(c, y, c->n_in)) : y;
}

Val import_reciprocal(Call *c) {
    Val x = in(c, 0);
    return ew2(c, OP_div, num(c, x, 1), x);
}

Val import_is_inf(Call *c) {
    Val x = in(c, 0), zero = num(c, x, 0), y = ew1(c, OP_isinf, x);
    if (!attr_i(c, "detect_negative", 1)) y = ew2(c, OP_and, y, greater(c, x, zero));
    if (!attr_i(c, "detect_positive", 1)) y = ew2(c, OP_and, y, ew2(c, OP_lt, x, zero));
    return y;
}

Val import_where(Call *c) { return sel(c, in(c, 0), in(c, 1), in(c, 2)); }

/* ---- conversions ------------------------------------------------------------------------------------------------- */

static Val convert(Call *c, Val x, DType t, bool saturate) {
    Attr attrs[2] = {{.key = ATTR_dtype, .as.dtype = t}, {.key = ATTR_saturate, .as.i = saturate}};
    if (!x.id || val_dtype(c->g, x) == t) return x;
    return emit(c->g, OP_convert, c->loc, &x, 1, attrs, 2);
}

/* To a power of two, the format of scales: exponent bits alone, rounded up or down as asked. */
static Val convert_e8m0(Call *c, Val x, const char *mode) {
    Val f = to(c, x, DT_f32);
    if (strcmp(mode, "nearest") == 0 || !f.id) return convert(c, f, DT_f8e8m0, true);
    Attr i32 = {.key = ATTR_dtype, .as.dtype = DT_i32}, f32 = {.key = ATTR_dtype, .as.dtype = DT_f32};
    Val bits = emit(c->g, OP_bitcast, c->loc, &f, 1, &i32, 1);
    if (strcmp(mode, "up") == 0) bits = ew2(c, OP_add, bits, numt(c, DT_i32, 0x7FFFFF));
    bits = ew2(c, OP_and, bits, numt(c, DT_i32, 0x7F800000));
    Val power = emit(c->g, OP_bitcast, c->loc, &bits, 1, &f32, 1);
    return convert(c, sel(c, ew1(c, OP_isnan, f), f, power), DT_f8e8m0, true);
}

static Val cast_to(Call *c, DType t) {
    Val x = in(c, 0);
    bool narrow = dtype_is_int(t) && dtype_info[t].value_bits < 8;
    if (narrow && x.id && dtype_is_float(val_dtype(c->g, x))) x = convert(c, x, DT_i32, true); /* they wrap */
    if (t == DT_f8e8m0) return convert_e8m0(c, x, attr_s(c, "round_mode", "up"));
    return convert(c, x, t, attr_i(c, "saturate", 1) != 0);
}

Val import_cast(Call *c) {
    int64_t number = attr_i(c, "to", 0);
    DType t = dtype_by_onnx(number);
    if (t == DT_none)
        return fail(c, "conversion to element type %lld%s is not supported", (long long)number,
                    number == 8 ? " (string)" : "");
    return cast_to(c, t);
}

Val import_cast_like(Call *c) {
    if (!has_in(c, 1) || c->in[1].kind != VALUE_TENSOR) return fail(c, "input 1 has to be a tensor");
    return cast_to(c, c->in[1].dtype);
}

Val import_bit_cast(Call *c) {
    Attr t = {.key = ATTR_dtype, .as.dtype = dtype_by_onnx(attr_i(c, "to", 0))};
    Val x = in(c, 0);
    if (t.as.dtype == DT_bool || (x.id && val_dtype(c->g, x) == DT_bool)) return convert(c, x, t.as.dtype, true);
    if (t.as.dtype == DT_none)
        return fail(c, "reading the bits as element type %lld is not supported", (long long)attr_i(c, "to", 0));
    return emit(c->g, OP_bitcast, c->loc, &x, 1, &t, 1);
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

Val import_relu(Call *c) {
    Val x = in(c, 0);
    return ew2(c, OP_max, x, num(c, x, 0));
}

Val import_leaky_relu(Call *c) {
    Val x = in(c, 0), slope = num(c, x, attr_f(c, "alpha", 0.01F));
    return sel(c, ew2(c, OP_lt, x, num(c, x, 0)), ew2(c, OP_mul, x, slope), x);
}

Val import_prelu(Call *c) {
    Val x = in(c, 0), slope = in(c, 1);
    if (c->opset < 7 && x.id && slope.id && val_rank(c->g, slope) == 1 && val_rank(c->g, x) > 1)
        slope = per_axis(c, slope, 1, val_rank(c->g, x));
    return sel(c, ew2(c, OP_lt, x, num(c, x, 0)), ew2(c, OP_mul, slope, x), x);
}

Val import_elu(Call *c) {
    Val x = in(c, 0), alpha = num(c, x, attr_f(c, "alpha", 1));
    return sel(c, ew2(c, OP_lt, x, num(c, x, 0)), ew2(c, OP_mul, alpha, ew1(c, OP_expm1, x)), x);
}

Val import_selu(Call *c) {
    Val x = in(c, 0);
    double alpha = attr_f(c, "alpha", c->opset < 6 ? 1.6732F : 1.67326319217681884765625);
    double gamma = attr_f(c, "gamma", c->opset < 6 ? 1.0507F : 1.05070102214813232421875);
    Val low = ew2(c, OP_mul, num(c, x, alpha), ew1(c, OP_expm1, x));
    return ew2(c, OP_mul, num(c, x, gamma), sel(c, greater(c, x, num(c, x, 0)), x, low));
}

Val import_celu(Call *c) {
    Val x = in(c, 0), zero = num(c, x, 0), alpha = num(c, x, attr_f(c, "alpha", 1));
    Val low = ew2(c, OP_mul, alpha, ew1(c, OP_expm1, ew2(c, OP_div, x, alpha)));
    return ew2(c, OP_add, ew2(c, OP_max, x, zero), ew2(c, OP_min, low, zero));
}

Val import_thresholded_relu(Call *c) {
    Val x = in(c, 0);
    return sel(c, greater(c, x, num(c, x, attr_f(c, "alpha", 1))), x, num(c, x, 0));
}

static Val hard_sigmoid(Call *c, Val x, double alpha, double beta) {
    Val y = ew2(c, OP_add, ew2(c, OP_mul, x, num(c, x, alpha)), num(c, x, beta));
    return ew2(c, OP_max, ew2(c, OP_min, y, num(c, x, 1)), num(c, x, 0));
}

Val import_hard_sigmoid(Call *c) { return hard_sigmoid(c, in(c, 0), attr_f(c, "alpha", 0.2F), attr_f(c, "beta", 0.5)); }

Val import_hard_swish(Call *c) {
    Val x = in(c, 0);
    return ew2(c, OP_mul, x, hard_sigmoid(c, x, 1.0 / 6, 0.5));
}

static Val softsign(Call *c, Val x) { return ew2(c, OP_div, x, ew2(c, OP_add, num(c, x, 1), ew1(c, OP_abs, x))); }

Val import_softsign(Call *c) { return softsign(c, in(c, 0)); }

/* x tanh(ln(1 + e^x)) = x s (1 + u) / (1 + u^2), s = sigmoid x, u = 1 - s: one exponential, nothing cancels. */
Val import_mish(Call *c) {
    Val x = in(c, 0), one = num(c, x, 1), s = ew1(c, OP_sigmoid, x), u = ew2(c, OP_sub, one, s);
    Val above = ew2(c, OP_mul, s, ew2(c, OP_add, one, u)), below = ew2(c, OP_add, one, ew2(c, OP_mul, u, u));
    return ew2(c, OP_mul, x, ew2(c, OP_div, above, below));
}

Val import_swish(Call *c) {
    Val x = in(c, 0);
    double alpha = attr_f(c, "alpha", 1);
    return ew2(c, OP_mul, x, ew1(c, OP_sigmoid, alpha == 1 ? x : ew2(c, OP_mul, num(c, x, alpha), x)));
}

Val gelu_tanh(Call *c, Val x) {
    Val cube = ew2(c, OP_mul, ew2(c, OP_mul, x, x), x);
    Val inner = ew2(c, OP_add, x, ew2(c, OP_mul, num(c, x, 0.044715), cube));
    Val t = ew1(c, OP_tanh, ew2(c, OP_mul, num(c, x, 0.7978845608028654), inner));
    return ew2(c, OP_mul, ew2(c, OP_mul, num(c, x, 0.5), x), ew2(c, OP_add, num(c, x, 1), t));
}

Val import_gelu(Call *c) {
    Val x = in(c, 0);
    if (attr_is(c, "approximate", "none", "tanh")) return gelu_tanh(c, x);
    if (!attr_is(c, "approximate", "none", "none")) return fail(c, "approximate has to be none or tanh");
    return ew1(c, OP_gelu, x);
}

Val import_shrink(Call *c) {
    Val x = in(c, 0), zero = num(c, x, 0), bias = num(c, x, attr_f(c, "bias", 0));
    double lambd = attr_f(c, "lambd", 0.5);
    Val high = sel(c, greater(c, x, num(c, x, lambd)), ew2(c, OP_sub, x, bias), zero);
    return sel(c, ew2(c, OP_lt, x, num(c, x, -lambd)), ew2(c, OP_add, x, bias), high);
}

Val import_clip(Call *c) {
    Val x = in(c, 0);
    if (c->opset < 11) {
        if (find_attr(c, "min")) x = ew2(c, OP_max, x, num(c, x, attr_f(c, "min", 0)));
        if (find_attr(c, "max")) x = ew2(c, OP_min, x, num(c, x, attr_f(c, "max", 0)));
        return x;
    }
    if (has_in(c, 1)) x = ew2(c, OP_max, x, in(c, 1));
    if (has_in(c, 2)) x = ew2(c, OP_min, x, in(c, 2));
    return x;
}

/* The activations that recurrent cells name; alpha and beta NaN: the default. */
Val activation(Call *c, const char *name, Val x, double alpha, double beta) {
    double a = isnan(alpha) ? 1 : alpha, b = isnan(beta) ? 1 : beta;
    if (strcmp(name, "Relu") == 0) return ew2(c, OP_max, x, num(c, x, 0));
    if (strcmp(name, "Tanh") == 0) return ew1(c, OP_tanh, x);
    if (strcmp(name, "Sigmoid") == 0) return ew1(c, OP_sigmoid, x);
    if (strcmp(name, "Softsign") == 0) return softsign(c, x);
    if (strcmp(name, "Softplus") == 0) return ew1(c, OP_softplus, x);
    if (strcmp(name, "Affine") == 0)
        return ew2(c, OP_add, ew2(c, OP_mul, num(c, x, a), x), num(c, x, isnan(beta) ? 0 : b));
    if (strcmp(name, "ScaledTanh") == 0)
        return ew2(c, OP_mul, num(c, x, a), ew1(c, OP_tanh, ew2(c, OP_mul, num(c, x, b), x)));
    if (strcmp(name, "HardSigmoid") == 0)
        return hard_sigmoid(c, x, isnan(alpha) ? 0.2F : alpha, isnan(beta) ? 0.5 : beta);
    if (strcmp(name, "ThresholdedRelu") == 0) return sel(c, greater(c, x, num(c, x, a)), x, num(c, x, 0));
    Val low = ew2(c, OP_lt, x, num(c, x, 0));
    if (strcmp(name, "LeakyRelu") == 0)
        return sel(c, low, ew2(c, OP_mul, num(c, x, isnan(alpha) ? 0.01F : alpha), x), x);
    if (strcmp(name, "Elu") == 0) return sel(c, low, ew2(c, OP_mul, num(c, x, a), ew1(c, OP_expm1, x)), x);
    return fail(c, "activation '%s' is not known", name);
}

/* ---- small composites -------------------------------------------------------------------------------------------- */

/* Inference: the identity; the mask is all true.  In training mode the mask is drawn as ops_random.c tells. */
Val import_dropout(Call *c) {
    Val x = in(c, 0), ratio = NO_VAL, training = NO_VAL;
    double known = 0, value;
    Dims scalar = {0};
    if (!x.id) return x;
    Dims d = dims_of(c, x);
    bool trains = c->opset < 7 ? !attr_i(c, "is_test", 0)
                               : c->opset >= 12 && has_in(c, 2) && (!in_scalar(c, 2, &known) || known != 0);
    if (trains && has_in(c, 1) && c->opset >= 12 && in_scalar(c, 1, &value) && value == 0) trains = false;
    DType mask_type = c->opset < 10 ? val_dtype(c->g, x) : DT_bool;
    if (!trains) {
        if (wants_out(c, 1)) set_out(c, 1, splat(c, mask_type, 1, &d));
        return x;
    }
    ratio = c->opset >= 12 && has_in(c, 1) ? to(c, shaped(c, in(c, 1), &scalar), DT_f32)
                                           : numt(c, DT_f32, attr_f(c, "ratio", 0.5));
    Val kept = ew2(c, OP_le, ratio, random_uniform(c, &d, 0)), scale = ew2(c, OP_sub, numt(c, DT_f32, 1), ratio);
    Val dropped = sel(c, kept, ew2(c, OP_div, x, to(c, scale, val_dtype(c->g, x))), num(c, x, 0));
    if (c->opset >= 12 && known == 0) {
        training = shaped(c, in(c, 2), &scalar);
        kept = sel(c, training, kept, splat(c, DT_bool, 1, &scalar));
        dropped = sel(c, training, dropped, x);
    }
    set_out(c, 1, to(c, kept, mask_type));
    return dropped;
}
