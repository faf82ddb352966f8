/* read_tensor.c: a TensorProto that stands alone in a file, as ONNX's test data has them, to a Tensor. */
#include "onnx.h"
#include <string.h>

bool onnx_read_tensor(Context *cx, const char *file, const uint8_t *bytes, size_t n, Tensor *out) {
    uint64_t elements;
    const OnnxTensor *t = onnx_tensor(cx, file, bytes, n);
    Const data = t ? tensor_const(cx, (Loc){0}, t, NULL) : (Const){0};
    if (!data.id || !tensor_count(t, &elements)) return false;
    DType dtype = dtype_by_onnx(t->data_type);
    uint64_t each = (uint64_t)dtype_bytes(dtype);
    uint8_t *to = arena_array(cx->arena, (size_t)each, elements + 1);
    for (uint64_t i = 0; i < elements; i++) scalar_store(dtype, to + i * each, const_element(cx, data, i));
    *out = (Tensor){.dtype = dtype, .rank = t->n_dims, .data = to};
    memcpy(out->dims, t->dims, t->n_dims * sizeof *t->dims);
    return true;
}
