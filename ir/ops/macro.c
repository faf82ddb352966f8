/* macro.c: named composites as subgraphs of other ops: softmax, log_softmax, normalize, gelu.  Pass
 * `expand` and the interpreter both use these expansions, so that a composite has one meaning.
 *
 * Formats narrower than f32 are computed in f32 and rounded once at the end: sums of exponentials
 * in f16 lose everything.
 */
#include "ops.h"

/* The format a composite computes in. */
static Val widened(Graph *g, Loc loc, Val x) {
    DType t = val_dtype(g, x);
    return t == DT_f32 || t == DT_f64 ? x : b_convert(g, loc, x, DT_f32);
}

static Val narrowed(Graph *g, const Node *n, Val y) {
    return b_convert(g, n->loc, y, type_info(g->cx, n->type)->dtype);
}

/* One division for all that share the divisor, against half an ulp more. */
static Val divided(Graph *g, Loc loc, Val x, Val divisor) {
    Val inverse = b_binary(g, loc, OP_div, b_scalar(g, loc, val_dtype(g, x), 1), divisor);
    return b_binary(g, loc, OP_mul, x, inverse);
}

/* softmax: e^(x - max) / sum.  Subtracting the largest keeps e^ from overflowing.  ONNX Softmax-13.
 */
Val expand_softmax(Graph *g, const Node *n, const Val *in) {
    int64_t axis = attr_int(n, ATTR_axis);
    Val x = widened(g, n->loc, in[0]);
    Val largest = b_reduce(g, n->loc, OP_reduce_max, x, &axis, 1, true);
    Val e = b_unary(g, n->loc, OP_exp, b_binary(g, n->loc, OP_sub, x, largest));
    Val sum = b_reduce(g, n->loc, OP_reduce_sum, e, &axis, 1, true);
    return narrowed(g, n, divided(g, n->loc, e, sum));
}

/* log_softmax: x - max - ln sum e^(x - max).  ONNX LogSoftmax-13. */
Val expand_log_softmax(Graph *g, const Node *n, const Val *in) {
    int64_t axis = attr_int(n, ATTR_axis);
    Val x = widened(g, n->loc, in[0]);
    Val largest = b_reduce(g, n->loc, OP_reduce_max, x, &axis, 1, true);
    Val shifted = b_binary(g, n->loc, OP_sub, x, largest);
    Val sum =
        b_reduce(g, n->loc, OP_reduce_sum, b_unary(g, n->loc, OP_exp, shifted), &axis, 1, true);
    return narrowed(g, n, b_binary(g, n->loc, OP_sub, shifted, b_unary(g, n->loc, OP_log, sum)));
}

/* normalize: (x - mean) / sqrt(var + epsilon), the variance in two passes.  ONNX
 * LayerNormalization-17, without scale. */
Val expand_normalize(Graph *g, const Node *n, const Val *in) {
    uint32_t n_axes;
    const int64_t *axes = attr_ints(n, ATTR_axes, &n_axes);
    Val x = widened(g, n->loc, in[0]);
    Val epsilon = b_scalar(g, n->loc, val_dtype(g, x), node_attr(n, ATTR_epsilon)->as.f);
    Val centred = b_binary(g, n->loc, OP_sub, x, b_mean(g, n->loc, x, axes, n_axes, true));
    Val variance =
        b_mean(g, n->loc, b_binary(g, n->loc, OP_mul, centred, centred), axes, n_axes, true);
    Val deviation = b_unary(g, n->loc, OP_sqrt, b_binary(g, n->loc, OP_add, variance, epsilon));
    return narrowed(g, n, divided(g, n->loc, centred, deviation));
}

/* gelu: x/2 (1 + erf(x / sqrt 2)).  Hendrycks & Gimpel 2016; ONNX Gelu-20. */
Val expand_gelu(Graph *g, const Node *n, const Val *in) {
    Val x = widened(g, n->loc, in[0]);
    DType t = val_dtype(g, x);
    Val inner =
        b_unary(g, n->loc, OP_erf,
                b_binary(g, n->loc, OP_mul, x, b_scalar(g, n->loc, t, 0.70710678118654752440)));
    Val half = b_binary(g, n->loc, OP_mul, x, b_scalar(g, n->loc, t, 0.5));
    return narrowed(g, n,
                    b_binary(g, n->loc, OP_mul, half,
                             b_binary(g, n->loc, OP_add, inner, b_scalar(g, n->loc, t, 1))));
}

/* attend: what it stands for.  Vaswani et al. 2017, equation 1. */
static Val attend_body(Graph *g, const Node *n, Val x, Val w) {
    Attr axis = {.key = ATTR_axis, .as.i = (int64_t)val_rank(g, x) - 1};
    Val p = emit(g, OP_softmax, n->loc, &x, 1, &axis, 1);
    if (attr_int(n, ATTR_guarded))
        p = b_select(g, n->loc, b_unary(g, n->loc, OP_isnan, p), b_scalar(g, n->loc, val_dtype(g, p), 0), p);
    return b_dot(g, n->loc, p, b_convert(g, n->loc, w, val_dtype(g, p)), (uint32_t)attr_int(n, ATTR_batch));
}

bool eval_attend(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    Graph *body = graph_new(ip->cx, "attend");
    Val v[2];
    for (uint32_t i = 0; i < 2; i++) {
        const TypeInfo *t = val_type(g, n->in[i]);
        v[i] = b_param(body, n->loc, i ? "w" : "x", t->dtype, t->rank, t->dims);
    }
    graph_result(body, attend_body(body, n, v[0], v[1]), "y");
    return graph_finish(body) && interp_graph(ip, body, in, 2, out);
}

/* The interpreter's way: expand into a function of its own and run that. */
bool eval_macro(Interp *ip, const Graph *g, const Node *n, const Tensor *in, Tensor *out) {
    Graph *body = graph_new(ip->cx, op_info[n->op].name);
    const TypeInfo *t = val_type(g, n->in[0]);
    Val x = b_param(body, n->loc, "x", t->dtype, t->rank, t->dims);
    graph_result(body, expand_fn[n->op](body, n, &x), "y");
    return graph_finish(body) && interp_graph(ip, body, in, 1, out);
}
