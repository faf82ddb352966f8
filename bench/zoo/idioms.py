"""Graphs as exporters other than torch's spell them, written node by node: Keras through tf2onnx (channels last, a transpose at
each end of a layer, filters of channels last), old Caffe models (LRN, groups, Scale layers, attributes that were inputs later),
Darknet's anchors with suppression in the graph, quantized networks in their three spellings, decoders of fused operators."""
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from .registry import model

FLOAT = TensorProto.FLOAT


class Writer:
    """Nodes in order; a value is its name.  Constants are drawn from torch's generator, which the model's name seeds."""

    def __init__(self, opset, **domains):
        self.nodes, self.constants, self.inputs, self.count = [], [], {}, 0
        self.opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d.replace("_", "."), v) for d, v in domains.items())]

    def input(self, name, x):
        self.inputs[name] = x
        return name

    def constant(self, x):
        self.count += 1
        x = x.numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
        self.constants.append(numpy_helper.from_array(x.astype(np.float32) if x.dtype == np.float64 else x, f"c{self.count}"))
        return f"c{self.count}"

    def random(self, *shape, scale=None):
        return self.constant(torch.randn(*shape) * (scale or (1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.1)))

    def __call__(self, op, *operands, results=1, wanted=None, **attributes):
        """`wanted`: of the results; the others go without a name."""
        self.count += 1
        names = [f"v{self.count}_{i}" if wanted is None or i in wanted else "" for i in range(results)]
        values = [x if isinstance(x, str) else self.constant(x) for x in operands]
        self.nodes.append(helper.make_node(op, values, names, **attributes))
        return names[0] if results == 1 else names

    def model(self, outputs, symbols=None):
        """The outputs' ranks and types are left to inference; `symbols`: {input: {axis: name}}."""
        from onnx import shape_inference
        values = []
        for name, x in self.inputs.items():
            dims = [(symbols or {}).get(name, {}).get(i, n) for i, n in enumerate(x.shape)]
            values.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.numpy().dtype), dims))
        graph = helper.make_graph(self.nodes, "zoo", values, [helper.make_empty_tensor_value_info(o) for o in outputs], self.constants)
        made = helper.make_model(graph, opset_imports=self.opsets, ir_version=8)
        found = {v.name: v for v in shape_inference.infer_shapes(made).graph.value_info}
        del made.graph.output[:]
        made.graph.output.extend(found.get(o) or helper.make_tensor_value_info(o, FLOAT, None) for o in outputs)
        return made, self.inputs


@model("keras_mobile")
def keras_mobile():
    """SAME padding as Keras counts it (more behind), Relu6 as Clip, batch norms beside convolutions, an image of channels last."""
    w = Writer(15)
    x = w.input("image", torch.rand(1, 160, 160, 3))

    def layer(x, channels, filters, kernel, stride, groups=1):
        """One Keras layer by itself: in channels first, and back."""
        pads = [0, 0, 1, 1] if stride == 2 else [kernel // 2] * 4
        y = w("Transpose", x, perm=[0, 3, 1, 2])
        weights = w.random(kernel, kernel, 1 if groups > 1 else channels, filters, scale=(2 / (kernel * kernel * channels // groups)) ** 0.5)
        y = w("Conv", y, w("Transpose", weights, perm=[3, 2, 0, 1]), strides=[stride, stride], pads=pads, group=groups)
        statistics = [torch.rand(filters) + 0.5, torch.randn(filters) * 0.1, torch.randn(filters) * 0.1, torch.rand(filters) + 0.5]
        y = w("BatchNormalization", y, *(w.constant(s) for s in statistics), epsilon=1e-3)
        return w("Clip", w("Transpose", y, perm=[0, 2, 3, 1]), np.float32(0), np.float32(6))

    x = w("Sub", w("Mul", x, np.float32(2)), np.float32(1))
    x, before = layer(x, 3, 16, 3, 2), 16
    for filters, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        x = layer(x, before, before, 3, stride, before)
        x, before = layer(x, before, filters, 1, 1), filters
    x = w("ReduceMean", x, axes=[1, 2], keepdims=0)
    x = w("Add", w("MatMul", x, w.random(256, 100)), w.random(100))
    return w.model([w("Softmax", x, axis=-1)])


@model("keras_recurrent")
def keras_recurrent():
    """An embedding, a bidirectional LSTM as tf2onnx writes it (time first by transposes, directions apart and reversed), a GRU's last state."""
    w = Writer(13)
    ids = w.input("ids", torch.randint(0, 2000, (4, 40), dtype=torch.int32))
    x = w("Transpose", w("Gather", w.random(2000, 64, scale=1), w("Cast", ids, to=TensorProto.INT64)), perm=[1, 0, 2])
    n, lengths, parts = 64, w("Expand", np.array([40], np.int64), np.array([4], np.int64)), []
    for reverse in (0, 1):
        y = w("ReverseSequence", x, lengths, time_axis=0, batch_axis=1) if reverse else x
        y = w("LSTM", y, w.random(1, 4 * n, 64, scale=0.1), w.random(1, 4 * n, n, scale=0.1), w.random(1, 8 * n), hidden_size=n)
        y = w("Squeeze", y, np.array([1], np.int64))
        parts.append(w("ReverseSequence", y, lengths, time_axis=0, batch_axis=1) if reverse else y)
    x = w("Concat", *parts, axis=2)
    state = w("GRU", x, w.random(1, 96, 2 * n, scale=0.1), w.random(1, 96, 32, scale=0.1), w.random(1, 192), hidden_size=32,
              linear_before_reset=1, results=2)[1]
    x = w("Squeeze", state, np.array([0], np.int64))
    return w.model([w("Sigmoid", w("Add", w("MatMul", x, w.random(32, 1)), w.random(1)))])


@model("caffe_alexnet")
def caffe_alexnet():
    """CaffeNet in opset 7: groups of two, LRN between the first layers, pools of 3 by 2, dropout, Gemm with the transposed weights."""
    w = Writer(7)
    x = w.input("data", torch.randn(1, 3, 227, 227))

    def conv(x, channels, filters, kernel, stride=1, pad=0, groups=1):
        y = w("Conv", x, w.random(filters, channels // groups, kernel, kernel), w.random(filters), kernel_shape=[kernel] * 2,
              strides=[stride] * 2, pads=[pad] * 4, group=groups)
        return w("Relu", y)

    def pool(x):
        return w("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 0, 0])

    x = pool(w("LRN", conv(x, 3, 96, 11, 4), size=5, alpha=1e-4, beta=0.75, bias=1.0))
    x = pool(w("LRN", conv(x, 96, 256, 5, 1, 2, 2), size=5, alpha=1e-4, beta=0.75, bias=1.0))
    x = pool(conv(conv(conv(x, 256, 384, 3, 1, 1), 384, 384, 3, 1, 1, 2), 384, 256, 3, 1, 1, 2))
    x = w("Reshape", x, np.array([1, 9216], np.int64))
    for i, o in ((9216, 512), (512, 512)):
        x = w("Dropout", w("Relu", w("Gemm", x, w.random(o, i), w.random(o), transB=1)), ratio=0.5)
    return w.model([w("Softmax", w("Gemm", x, w.random(100, 512), w.random(100), transB=1), axis=1)])


@model("darknet_anchors")
def darknet_anchors():
    """YOLOv3's head of opset 10: leaky layers, Resize by scales, boxes from anchors in grids of their own, and the best of each
    class that do not overlap, gathered."""
    w = Writer(10)
    x, classes, boxes, scores = w.input("image", torch.rand(1, 3, 256, 256)), 10, [], []

    def conv(x, channels, filters, kernel=3, stride=1):
        y = w("Conv", x, w.random(filters, channels, kernel, kernel, scale=(2 / (channels * kernel * kernel)) ** 0.5), strides=[stride] * 2,
              pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2)
        statistics = [torch.rand(filters) + 0.5, torch.randn(filters) * 0.1, torch.randn(filters) * 0.1, torch.rand(filters) + 0.5]
        return w("LeakyRelu", w("BatchNormalization", y, *(w.constant(s) for s in statistics)), alpha=0.1)

    levels, before = [], 3
    for filters in (16, 32, 64, 128, 256):
        x, before = conv(x, before, filters, 3, 2), filters
        x = w("Add", x, conv(conv(x, filters, filters // 2, 1), filters // 2, filters))
        levels.append(x)
    small = conv(levels[4], 256, 128, 1)
    up = w("Resize", conv(small, 128, 64, 1), np.array([1, 1, 2, 2], np.float32), mode="nearest")
    for y, channels, side in ((conv(small, 128, 256), 256, 8), (conv(w("Concat", up, levels[3], axis=1), 192, 128), 128, 16)):
        y = w("Conv", y, w.random(3 * (5 + classes), channels, 1, 1, scale=0.2 * channels ** -0.5), w.random(3 * (5 + classes)), kernel_shape=[1, 1])
        y = w("Transpose", w("Reshape", y, np.array([-1, 3, 5 + classes, side, side], np.int64)), perm=[0, 3, 4, 1, 2])
        xy, size, sure, kinds = w("Split", y, results=4, axis=4, split=[2, 2, 1, classes])
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)[None, :, :, None]
        middle = w("Div", w("Add", w("Sigmoid", xy), grid), np.float32(side))
        half = w("Mul", w("Exp", size), np.array([[0.05, 0.06], [0.08, 0.15], [0.16, 0.1]], np.float32))
        corners = w("Concat", w("Sub", middle, half), w("Add", middle, half), axis=4)
        boxes.append(w("Reshape", corners, np.array([1, -1, 4], np.int64)))
        scores.append(w("Reshape", w("Mul", w("Sigmoid", sure), w("Sigmoid", kinds)), np.array([1, -1, classes], np.int64)))
    boxes, scores = w("Concat", *boxes, axis=1), w("Transpose", w("Concat", *scores, axis=1), perm=[0, 2, 1])
    best = w("NonMaxSuppression", boxes, scores, np.array([20], np.int64), np.array([0.5], np.float32), np.array([0.6], np.float32))
    line = w("Squeeze", w("Slice", best, np.array([2], np.int64), np.array([3], np.int64), np.array([1], np.int64)), axes=[1])
    return w.model([w("Gather", boxes, line, axis=1), best])


def quantized(form):
    """A residual network of 8-bit weights and activations: pairs of quantize and dequantize around what is float, or QLinear's."""
    w = Writer(13)
    x = w.input("image", torch.randn(1, 3, 128, 128))
    of = (np.float32(0.05), np.uint8(128))

    def both(x):
        return w("DequantizeLinear", w("QuantizeLinear", x, *of), *of)

    def conv(x, channels, filters, kernel=3, stride=1):
        weights = torch.randint(-127, 128, (filters, channels, kernel, kernel), dtype=torch.int8)
        scales = (torch.rand(filters) + 0.5) * 0.016 / (channels * kernel * kernel) ** 0.5
        shape = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "kernel_shape": [kernel] * 2}
        if form == "linear":
            bias = torch.randint(-500, 500, (filters,), dtype=torch.int32)
            return w("QLinearConv", x, *of, weights, scales, np.zeros(filters, np.int8), *of, bias, **shape)
        filled = w("DequantizeLinear", weights, scales, np.zeros(filters, np.int8), axis=0)
        return w("Conv", x, filled, w.random(filters), **shape)

    if form == "linear":
        x, before = w("QuantizeLinear", x, *of), 3
        for filters in (32, 64, 128, 256):
            x, before = conv(x, before, filters, 3, 2), filters
            y = conv(conv(x, filters, filters), filters, filters)
            x = w("QuantizeLinear", w("Relu", w("Add", w("DequantizeLinear", x, *of), w("DequantizeLinear", y, *of))), *of)
        x = w("DequantizeLinear", x, *of)
    else:
        x, before = both(x), 3
        for filters in (32, 64, 128, 256):
            x, before = both(w("Relu", conv(x, before, filters, 3, 2))), filters
            y = both(w("Relu", conv(x, filters, filters)))
            x = both(w("Relu", w("Add", x, both(conv(y, filters, filters)))))
    x = w("Flatten", w("GlobalAveragePool", x))
    return w.model([w("Gemm", x, w.random(10, 256), w.random(10), transB=1)])


@model("quantized_pairs", loose=True)
def quantized_pairs():
    return quantized("pairs")


@model("quantized_linear")
def quantized_linear():
    return quantized("linear")


@model("quantized_dynamic", loose=True)
def quantized_dynamic():
    """An encoder's linear layers as dynamic quantization writes them: range of the activations found while running."""
    w = Writer(17)
    d, heads, n = 256, 4, 64
    x = w.input("x", torch.randn(1, n, d))

    def linear(x, i, o):
        q, scale, zero = w("DynamicQuantizeLinear", x, results=3)
        y = w("MatMulInteger", q, torch.randint(-127, 128, (i, o), dtype=torch.int8), zero, np.zeros(o, np.int8))
        scale = w("Mul", scale, (torch.rand(o) + 0.5) * 0.016 / i ** 0.5)
        return w("Add", w("Mul", w("Cast", y, to=FLOAT), scale), w.random(o))

    def norm(x):
        return w("LayerNormalization", x, torch.ones(d), torch.zeros(d), axis=-1)

    for _ in range(3):
        q, k, v = (w("Reshape", linear(x, d, d), np.array([1, n, heads, d // heads], np.int64)) for _ in range(3))
        q, k, v = w("Transpose", q, perm=[0, 2, 1, 3]), w("Transpose", k, perm=[0, 2, 3, 1]), w("Transpose", v, perm=[0, 2, 1, 3])
        a = w("Softmax", w("Div", w("MatMul", q, k), np.float32(8)), axis=-1)
        a = w("Reshape", w("Transpose", w("MatMul", a, v), perm=[0, 2, 1, 3]), np.array([1, n, d], np.int64))
        x = norm(w("Add", x, linear(a, d, d)))
        y = linear(x, d, 4 * d)
        y = w("Mul", w("Mul", y, w("Add", w("Erf", w("Div", y, np.float32(2 ** 0.5))), np.float32(1))), np.float32(0.5))
        x = norm(w("Add", x, linear(y, 4 * d, d)))
    return w.model([x])


@model("fused_decoder")
def fused_decoder():
    """A decoder's step as onnxruntime-genai writes it: GroupQueryAttention with its cache, skipped RMS norms, 4-bit weights."""
    w = Writer(17, com_microsoft=1)
    d, heads, groups, size, past, room = 256, 4, 2, 64, 63, 64
    ids = w.input("ids", torch.randint(0, 1000, (1, 1)))
    caches = [w.input(n, torch.randn(1, groups, past, size)) for n in ("k0", "v0", "k1", "v1")]
    last, whole = np.array([past], np.int32), np.array(past + 1, np.int32)
    angles = torch.outer(torch.arange(512.0), 10000 ** (-torch.arange(0, size, 2) / size))
    cos, sin = w.constant(angles.cos()), w.constant(angles.sin())

    def linear(x, i, o):
        blocks = i // 32
        return w("MatMulNBits", x, torch.randint(0, 256, (o, blocks, 16), dtype=torch.uint8), (torch.rand(o * blocks) + 0.5) * 0.2 / i ** 0.5,
                 K=i, N=o, bits=4, block_size=32, domain="com.microsoft")

    x = w("Gather", w.random(1000, d, scale=1), ids)
    skip, y = x, w("SimplifiedLayerNormalization", x, torch.ones(d), axis=-1, epsilon=1e-6, stash_type=1)
    outputs = []
    for i in range(2):
        q, k, v = linear(y, d, heads * size), linear(y, d, groups * size), linear(y, d, groups * size)
        y, keys, values = w("GroupQueryAttention", q, k, v, caches[2 * i], caches[2 * i + 1], last, whole, cos, sin, results=3, num_heads=heads,
                            kv_num_heads=groups, do_rotary=1, scale=size ** -0.5, domain="com.microsoft")
        outputs += [keys, values]
        y, _, _, skip = w("SkipSimplifiedLayerNormalization", skip, linear(y, heads * size, d), torch.ones(d), results=4, wanted=(0, 3),
                          epsilon=1e-6, domain="com.microsoft")
        gate = linear(y, d, 704)
        y = linear(w("Mul", w("Mul", gate, w("Sigmoid", gate)), linear(y, d, 704)), 704, d)
        y, _, _, skip = w("SkipSimplifiedLayerNormalization", skip, y, torch.ones(d), results=4, wanted=(0, 3), epsilon=1e-6,
                          domain="com.microsoft")
    return w.model([linear(y, d, 1024), *outputs])


@model("recent_opset")
def recent_opset():
    """Opset 23: RMSNormalization, RotaryEmbedding and Attention as operators, queries in groups, a mask."""
    w = Writer(23)
    d, heads, groups, size, n = 256, 4, 2, 64, 48
    x = w.input("x", torch.randn(1, n, d))
    angles = torch.outer(torch.arange(float(n)), 10000 ** (-torch.arange(0, size, 2) / size))
    cos, sin = w.constant(angles.cos()[None]), w.constant(angles.sin()[None])
    for _ in range(3):
        y = w("RMSNormalization", x, torch.ones(d), axis=-1, epsilon=1e-6)
        q, k, v = (w("MatMul", y, w.random(d, m * size, scale=d ** -0.5)) for m in (heads, groups, groups))
        q, k = w("RotaryEmbedding", q, cos, sin, num_heads=heads), w("RotaryEmbedding", k, cos, sin, num_heads=groups)
        y = w("Attention", q, k, v, q_num_heads=heads, kv_num_heads=groups, is_causal=1)
        x = w("Add", x, w("MatMul", y, w.random(heads * size, d, scale=d ** -0.5)))
        y = w("RMSNormalization", x, torch.ones(d), axis=-1, epsilon=1e-6)
        y = w("Mul", w("Gelu", w("MatMul", y, w.random(d, 704)), approximate="tanh"), w("MatMul", y, w.random(d, 704)))
        x = w("Add", x, w("MatMul", y, w.random(704, d)))
    return w.model([x])
