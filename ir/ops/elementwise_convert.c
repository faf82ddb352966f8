/* elementwise_convert.c: convert and bitcast, between any two graph dtypes: reference semantics and Loop IR. */
#include "scalar_ops.h"

static bool saturates(const Node *n) { return attr_int(n, ATTR_saturate) != 0; }

/* convert: floats round to even, once; to integers towards zero, saturating, NaN to 0; integers wrap; to bool: x != 0. */
Scalar ref_convert(const Graph *g, const Node *n, const Scalar *in) {
    return scalar_convert(out_dtype(g, n), in_dtype(g, n, 0), in[0], saturates(n));
}
LVal lanes_convert(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    return l_convert_graph(b, in[0], in_dtype(g, n, 0), out_dtype(g, n), saturates(n));
}

/* bitcast: the bits as they lie in memory. */
Scalar ref_bitcast(const Graph *g, const Node *n, const Scalar *in) {
    uint64_t bits = 0;
    scalar_store(in_dtype(g, n, 0), &bits, in[0]);
    return scalar_load(out_dtype(g, n), &bits);
}
LVal lanes_bitcast(LoopBuilder *b, const Graph *g, const Node *n, const LVal *in) {
    DType to = out_dtype(g, n);
    LVal memory = l_encode(b, in[0], in_dtype(g, n, 0));
    return l_decode(b, l_bitcast(b, memory, loop_memory_dtype(to)), to);
}
