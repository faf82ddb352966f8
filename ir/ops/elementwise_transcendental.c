/* elementwise_transcendental.c: exp, log, trigonometric and related ops: reference semantics by libm in double, Loop IR by
 * the builders of loop_math_*.c, whose bounds docs/math.md states.
 *
 * Operands of f16 and smaller are f32 in compute form, so one rounding to the dtype follows a result within an ulp of f32.
 */
#include <math.h>

#include "scalar_ops.h"

/* exp: e^x. */
Scalar ref_exp(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = exp(in[0].f)};
}
/* v is x less the largest along some of its axes, as softmax writes it: never above 0. */
static bool is_below_largest(const Graph *g, Val v) {
    return val_op(g, v) == OP_sub && val_repeated_reduction(g, val_in(g, v, 1), OP_reduce_max, val_in(g, v, 0)).id != 0;
}
LVal lanes_exp(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    return is_below_largest(g, n->in[0]) ? m_exp_below(b, in[0]) : m_exp(b, in[0]);
}

/* expm1: e^x - 1, without cancellation near 0. */
Scalar ref_expm1(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = expm1(in[0].f)};
}
LVal lanes_expm1(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_expm1(b, in[0]);
}

/* log: ln x. */
Scalar ref_log(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = log(in[0].f)};
}
LVal lanes_log(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_log(b, in[0]);
}

/* log1p: ln(1 + x), without cancellation near 0. */
Scalar ref_log1p(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = log1p(in[0].f)};
}
LVal lanes_log1p(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_log1p(b, in[0]);
}

/* sin: sin x. */
Scalar ref_sin(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = sin(in[0].f)};
}
LVal lanes_sin(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_sin(b, in[0]);
}

/* cos: cos x. */
Scalar ref_cos(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = cos(in[0].f)};
}
LVal lanes_cos(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_cos(b, in[0]);
}

/* tan: tan x. */
Scalar ref_tan(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = tan(in[0].f)};
}
LVal lanes_tan(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_tan(b, in[0]);
}

/* asin: the angle in [-pi/2, pi/2] whose sine is x. */
Scalar ref_asin(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = asin(in[0].f)};
}
LVal lanes_asin(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_asin(b, in[0]);
}

/* acos: the angle in [0, pi] whose cosine is x. */
Scalar ref_acos(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = acos(in[0].f)};
}
LVal lanes_acos(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_acos(b, in[0]);
}

/* atan: the angle in (-pi/2, pi/2) whose tangent is x. */
Scalar ref_atan(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = atan(in[0].f)};
}
LVal lanes_atan(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_atan(b, in[0]);
}

/* sinh: (e^x - e^-x) / 2. */
Scalar ref_sinh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = sinh(in[0].f)};
}
LVal lanes_sinh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_sinh(b, in[0]);
}

/* cosh: (e^x + e^-x) / 2. */
Scalar ref_cosh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = cosh(in[0].f)};
}
LVal lanes_cosh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_cosh(b, in[0]);
}

/* tanh: sinh x / cosh x. */
Scalar ref_tanh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = tanh(in[0].f)};
}
LVal lanes_tanh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_tanh(b, in[0]);
}

/* asinh: the inverse of sinh. */
Scalar ref_asinh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = asinh(in[0].f)};
}
LVal lanes_asinh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_asinh(b, in[0]);
}

/* acosh: the inverse of cosh, x >= 1. */
Scalar ref_acosh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = acosh(in[0].f)};
}
LVal lanes_acosh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_acosh(b, in[0]);
}

/* atanh: the inverse of tanh, |x| <= 1. */
Scalar ref_atanh(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = atanh(in[0].f)};
}
LVal lanes_atanh(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_atanh(b, in[0]);
}

/* erf: 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x. */
Scalar ref_erf(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = erf(in[0].f)};
}
LVal lanes_erf(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_erf(b, in[0]);
}

/* sigmoid: 1 / (1 + e^-x), either way round without overflow. */
Scalar ref_sigmoid(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    double e = exp(-fabs(in[0].f));
    return (Scalar){.f = in[0].f < 0 ? e / (1 + e) : 1 / (1 + e)};
}
LVal lanes_sigmoid(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_sigmoid(b, in[0]);
}

/* softplus: ln(1 + e^x) as max(x, 0) + ln(1 + e^-|x|): no overflow.  ONNX Softplus. */
Scalar ref_softplus(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    double x = in[0].f;
    return (Scalar){.f = (x > 0 ? x : 0) + log1p(exp(-fabs(x)))};
}
LVal lanes_softplus(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_softplus(b, in[0]);
}

/* atan2: the angle of the point (b, a), all four quadrants. */
Scalar ref_atan2(const Graph *g, const Node *n, const Scalar *in) {
    (void)g, (void)n;
    return (Scalar){.f = atan2(in[0].f, in[1].f)};
}
LVal lanes_atan2(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    (void)g, (void)n;
    return m_atan2(b, in[0], in[1]);
}
