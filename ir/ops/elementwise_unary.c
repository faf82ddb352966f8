/* elementwise_unary.c: unary arithmetic, rounding and tests: reference semantics and Loop IR.
 *
 * ref_<op>: integers exact in i64 or u64, floats in double; not yet wrapped.  lanes_<op>: compute form, any lanes; the
 * caller rounds or wraps to the node's dtype.
 */
#include <math.h>

#include "scalar_ops.h"

/* neg: integers wrap. */
Scalar ref_neg(const Graph *g, const Node *n, const Scalar *in) {
    if (dtype_is_float(in_dtype(g, n, 0))) return (Scalar){.f = -in[0].f};
    return (Scalar){.u = -in[0].u};
}
LVal lanes_neg(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_neg, in[0]);
}

/* abs: the least integer is its own. */
Scalar ref_abs(const Graph *g, const Node *n, const Scalar *in) {
    DType t = in_dtype(g, n, 0);
    if (dtype_is_float(t)) return (Scalar){.f = fabs(in[0].f)};
    return (Scalar){.u = dtype_is_signed(t) && in[0].i < 0 ? -in[0].u : in[0].u};
}
LVal lanes_abs(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    DType t = in_dtype(g, n, 0);
    return dtype_is_float(t) || dtype_is_signed(t) ? l_un(b, LOP_abs, in[0]) : in[0];
}

/* sign: zeros and NaN are their own. */
Scalar ref_sign(const Graph *g, const Node *n, const Scalar *in) {
    DType t = in_dtype(g, n, 0);
    if (dtype_is_float(t)) return (Scalar){.f = in[0].f > 0 ? 1 : in[0].f < 0 ? -1 : in[0].f};
    if (dtype_is_signed(t)) return (Scalar){.i = (in[0].i > 0) - (in[0].i < 0)};
    return (Scalar){.u = in[0].u != 0};
}
LVal lanes_sign(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    LVal zero = number_like(b, in[0], 0);
    LVal y = l_select(b, l_lt(b, zero, in[0]), number_like(b, in[0], 1), in[0]);
    DType t = in_dtype(g, n, 0);
    if (!dtype_is_float(t) && !dtype_is_signed(t)) return y;
    return l_select(b, l_lt(b, in[0], zero), number_like(b, in[0], -1), y);
}

/* floor */
Scalar ref_floor(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = floor(in[0].f)};
}
LVal lanes_floor(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_floor, in[0]);
}

/* ceil */
Scalar ref_ceil(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = ceil(in[0].f)};
}
LVal lanes_ceil(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_ceil, in[0]);
}

/* round: ties to even.  ONNX Round. */
Scalar ref_round(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = nearbyint(in[0].f)};
}
LVal lanes_round(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_rint, in[0]);
}

/* trunc */
Scalar ref_trunc(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = trunc(in[0].f)};
}
LVal lanes_trunc(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_trunc, in[0]);
}

/* sqrt: correctly rounded; f32 by way of double too, since 53 >= 2 * 24 + 2. */
Scalar ref_sqrt(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = sqrt(in[0].f)};
}
LVal lanes_sqrt(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_sqrt, in[0]);
}

/* isnan */
Scalar ref_isnan(const Graph *g, const Node *n, const Scalar *in) {
    return (Scalar){.u = dtype_is_float(in_dtype(g, n, 0)) && isnan(in[0].f)};
}
LVal lanes_isnan(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_bin(b, LOP_ne, in[0], in[0]);
}

/* isinf: of either sign. */
Scalar ref_isinf(const Graph *g, const Node *n, const Scalar *in) {
    return (Scalar){.u = dtype_is_float(in_dtype(g, n, 0)) && isinf(in[0].f)};
}
LVal lanes_isinf(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    if (!dtype_is_float(in_dtype(g, n, 0))) return l_bin(b, LOP_ne, in[0], in[0]);
    return l_bin(b, LOP_eq, l_un(b, LOP_abs, in[0]), l_float(b, loop_type(b, in[0]), (double)INFINITY));
}

/* not: of bool the other truth. */
Scalar ref_not(const Graph *g, const Node *n, const Scalar *in) {
    if (dtype_is_bool(in_dtype(g, n, 0))) return (Scalar){.u = !in[0].u};
    return (Scalar){.u = ~in[0].u};
}
LVal lanes_not(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return l_un(b, LOP_not, in[0]);
}

/* popcount: ones among the value bits; a sign-extended i4 has four. */
Scalar ref_popcount(const Graph *g, const Node *n, const Scalar *in) {
    int bits = dtype_info[in_dtype(g, n, 0)].value_bits;
    uint64_t u = in[0].u;
    if (bits < 64) u &= (UINT64_C(1) << bits) - 1;
    return (Scalar){.u = (uint64_t)__builtin_popcountll(u)};
}
LVal lanes_popcount(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    DType t = in_dtype(g, n, 0);
    if (dtype_is_bool(t)) return in[0];
    LVal x = in[0];
    int bits = dtype_info[t].value_bits;
    if (bits < 8) x = l_bin(b, LOP_and, x, l_int(b, loop_type(b, x), (1 << bits) - 1));
    return l_un(b, LOP_popcount, x);
}
