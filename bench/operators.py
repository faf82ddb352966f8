"""Models of a single operator, or of the few that spell one: made once under build/bench/operators.

A maker returns an onnx.ModelProto; OPERATORS names each with what it is made of.  Shapes are fixed: peers may specialise.
"""
import os

import numpy as np

import ingot
import models

FOLDER = os.path.join(ingot.ROOT, "build", "bench", "operators")


def weights(*shape):
    """Scaled so that sums over all but one dimension stay near one."""
    summed = max(1.0, np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
    return (np.random.default_rng(shape).standard_normal(shape) / summed ** 0.5).astype(np.float32)


def graph(nodes, inputs, constants=(), outputs=("y",), kinds=()):
    """nodes: (op, inputs, outputs, attributes); inputs: name -> shape; kinds: name -> element type where not f32."""
    onnx = models.package("onnx")
    from onnx import TensorProto, helper, numpy_helper
    kinds = dict(kinds)
    made = helper.make_graph(
        [helper.make_node(op, read.split(), write.split(), **attributes) for op, read, write, attributes in nodes], "row",
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), s) for n, s in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in outputs],
        [numpy_helper.from_array(np.asarray(value), n) for n, value in dict(constants).items()])
    made = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)


def single(op, *inputs, constants=(), **attributes):
    names = [f"x{i}" for i in range(len(inputs))]
    return graph([(op, " ".join([*names, *dict(constants)]), "y", attributes)], dict(zip(names, inputs)), constants)


def gemm(m, k, n, constant=True):
    return single("MatMul", (m, k), constants={"w": weights(k, n)}) if constant else single("MatMul", (m, k), (k, n))


def conv(channels, size, filters, kernel, stride=1, group=1):
    pad = (kernel - 1) // 2
    constants = {"w": weights(filters, channels // group, kernel, kernel), "b": weights(filters)}
    return single("Conv", (1, channels, size, size), constants=constants, kernel_shape=[kernel] * 2,
                  strides=[stride] * 2, pads=[pad] * 4, group=group)


def transposed(channels, size, filters):
    return single("ConvTranspose", (1, channels, size, size), constants={"w": weights(channels, filters, 4, 4)},
                  kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4)


def attention(length, heads=12, width=64):
    shape = (1, heads, length, width)
    return graph([("Transpose", "k", "t", {"perm": [0, 1, 3, 2]}), ("MatMul", "q t", "s", {}), ("Mul", "s scale", "m", {}),
                  ("Softmax", "m", "p", {"axis": -1}), ("MatMul", "p v", "y", {})],
                 {"q": shape, "k": shape, "v": shape}, {"scale": np.float32(width ** -0.5)})


def layer_norm(rows, width):
    return single("LayerNormalization", (rows, width), constants={"w": 1 + weights(width), "b": weights(width)}, axis=-1)


def rms_norm(rows, width):
    """As exporters spell it."""
    return graph([("Mul", "x x", "s", {}), ("ReduceMean", "s axes", "m", {}), ("Add", "m e", "v", {}), ("Sqrt", "v", "d", {}),
                  ("Div", "x d", "n", {}), ("Mul", "n w", "y", {})],
                 {"x": (rows, width)}, {"axes": np.array([-1]), "e": np.float32(1e-6), "w": 1 + weights(width)})


def group_norm(shape, groups):
    """Likewise: an instance normalization of the groups, then the channels' own scale."""
    channels = shape[1]
    constants = {"grouped": np.array([0, groups, -1]), "one": np.ones(groups, np.float32), "zero": np.zeros(groups, np.float32),
                 "shape": np.array(shape), "w": 1 + weights(channels, 1, 1), "b": weights(channels, 1, 1)}
    return graph([("Reshape", "x grouped", "g", {}), ("InstanceNormalization", "g one zero", "n", {}), ("Reshape", "n shape", "r", {}),
                  ("Mul", "r w", "m", {}), ("Add", "m b", "y", {})], {"x": shape}, constants)


def instance_norm(*shape):
    channels = shape[1]
    return single("InstanceNormalization", shape, constants={"w": 1 + weights(channels), "b": weights(channels)})


def recurrent(op, gates, steps, width, batch=1, biases=True):
    constants = {"w": weights(1, gates * width, width), "r": weights(1, gates * width, width)}
    if biases:
        constants["b"] = weights(1, 2 * gates * width)
    return graph([(op, " ".join(["x", *constants]), "y", {"hidden_size": width})], {"x": (steps, batch, width)}, constants)


def gelu_tanh(*shape):
    """The tanh form, spelt out as exporters do."""
    return graph([("Pow", "x three", "p", {}), ("Mul", "p c", "q", {}), ("Add", "x q", "r", {}), ("Mul", "r root", "s", {}),
                  ("Tanh", "s", "t", {}), ("Add", "t one", "u", {}), ("Mul", "x half", "h", {}), ("Mul", "h u", "y", {})],
                 {"x": shape}, {"three": np.float32(3), "c": np.float32(0.044715), "root": np.float32(0.7978845608028654),
                                "one": np.float32(1), "half": np.float32(0.5)})


def residual_norm(rows, width):
    """Add, normalize, and what a block hands on: two results."""
    return graph([("Add", "x r", "s", {}), ("LayerNormalization", "s w b", "y", {"axis": -1})],
                 {"x": (rows, width), "r": (rows, width)}, {"w": 1 + weights(width), "b": weights(width)}, outputs=("y", "s"))


def gather(rows, width, taken):
    onnx = models.package("onnx")
    return graph([("Gather", "w ids", "y", {"axis": 0})], {"ids": (taken,)}, {"w": weights(rows, width)},
                 kinds={"ids": onnx.TensorProto.INT64})


def reduce(op, axis, *shape):
    return single(op, shape, constants={"axes": np.array([axis])}, keepdims=0)


OPERATORS = {  # name: its maker; 4096 x 4096 floats are what no cache holds
    **{f"gemm-{n}": (lambda n=n: gemm(n, n, n)) for n in (256, 512, 1024, 2048)},
    **{f"gemm-{n}-variable": (lambda n=n: gemm(n, n, n, constant=False)) for n in (256, 512, 1024, 2048)},
    "gemv-4096": lambda: gemm(1, 4096, 4096),
    "conv-first-7x7-s2": lambda: conv(3, 224, 64, 7, 2),
    "conv-3x3-56": lambda: conv(64, 56, 64, 3),
    "conv-3x3-14": lambda: conv(256, 14, 256, 3),
    "conv-3x3-s2-28": lambda: conv(128, 56, 128, 3, 2),
    "conv-1x1-56": lambda: conv(64, 56, 256, 1),
    "conv-1x1-7": lambda: conv(2048, 7, 512, 1),
    "conv-depthwise-s1": lambda: conv(144, 56, 144, 3, 1, 144),
    "conv-depthwise-s2": lambda: conv(144, 56, 144, 3, 2, 144),
    "conv-grouped": lambda: conv(128, 56, 128, 3, 1, 32),
    "conv-transposed": lambda: transposed(128, 28, 64),
    "softmax-1536x128": lambda: single("Softmax", (1536, 128), axis=-1),
    "softmax-4096x4096": lambda: single("Softmax", (4096, 4096), axis=-1),
    "softmax-768x10": lambda: single("Softmax", (64, 12, 10), axis=-1),
    "softmax-768x100": lambda: single("Softmax", (64, 12, 100), axis=-1),
    "softmax-middle": lambda: single("Softmax", (64, 128, 196), axis=1),
    "layer-norm-128x768": lambda: layer_norm(128, 768),
    "layer-norm-16384x1024": lambda: layer_norm(16384, 1024),
    "rms-norm-16384x1024": lambda: rms_norm(16384, 1024),
    "residual-norm-512x768": lambda: residual_norm(512, 768),
    "group-norm": lambda: group_norm((8, 128, 64, 64), 32),
    "instance-norm": lambda: instance_norm(8, 64, 112, 112),
    "attention-128": lambda: attention(128),
    "attention-1024": lambda: attention(1024),
    "attention-4096": lambda: attention(4096),
    "lstm-128": lambda: recurrent("LSTM", 4, 64, 128),
    "lstm-512": lambda: recurrent("LSTM", 4, 64, 512),
    "lstm-128-b8": lambda: recurrent("LSTM", 4, 64, 128, batch=8),
    "gru-128": lambda: recurrent("GRU", 3, 64, 128),
    "rnn-128": lambda: recurrent("RNN", 1, 64, 128),
    "gelu-128x3072": lambda: single("Gelu", (128, 3072)),
    "gelu-16M": lambda: single("Gelu", (4096, 4096)),
    "gelu-tanh-16M": lambda: gelu_tanh(4096, 4096),
    "exp-16M": lambda: single("Exp", (4096, 4096)),
    "tanh-16M": lambda: single("Tanh", (4096, 4096)),
    "sigmoid-16M": lambda: single("Sigmoid", (4096, 4096)),
    "erf-16M": lambda: single("Erf", (4096, 4096)),
    "softplus-16M": lambda: single("Softplus", (4096, 4096)),
    "add-16M": lambda: single("Add", (4096, 4096), (4096, 4096)),
    "reduce-rows": lambda: reduce("ReduceSum", 1, 4096, 4096),
    "reduce-columns": lambda: reduce("ReduceMax", 0, 4096, 4096),
    "reduce-middle": lambda: reduce("ReduceSum", 1, 64, 256, 1024),
    "mean-spatial": lambda: single("GlobalAveragePool", (8, 512, 28, 28)),
    "transpose-heads": lambda: single("Transpose", (8, 128, 12, 64), perm=[0, 2, 1, 3]),
    "transpose-4096": lambda: single("Transpose", (4096, 4096), perm=[1, 0]),
    "transpose-channels": lambda: single("Transpose", (8, 64, 112, 112), perm=[0, 2, 3, 1]),
    "concat": lambda: single("Concat", (64, 192, 784), (64, 128, 784), axis=1),
    "concat-last": lambda: single("Concat", (16384, 192), (16384, 128), axis=1),
    "gather": lambda: gather(30522, 768, 1024),
}


def path(name, make=None):
    """The row's .onnx (make: instead of OPERATORS' maker); made again where this file is newer."""
    at = os.path.join(FOLDER, name + ".onnx")
    if not os.path.exists(at) or os.path.getmtime(at) < os.path.getmtime(__file__):
        os.makedirs(FOLDER, exist_ok=True)
        models.package("onnx").save((make or OPERATORS[name])(), at + ".part")
        os.replace(at + ".part", at)
    return at


def inputs(name, make=None):
    """Random inputs of the declared shapes; integers are indices of the gathered table."""
    onnx, rng = models.package("onnx"), np.random.default_rng(5)
    model, out = onnx.load(path(name, make)), {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            out[value.name] = rng.integers(0, model.graph.initializer[0].dims[0], shape)
        else:
            out[value.name] = rng.standard_normal(shape, dtype=np.float32)
    return out
