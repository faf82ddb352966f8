"""A frozen ONNX graph as a torch.fx.GraphModule, for torch.compile: one row of OPS for each operator, torch's own spelling.

Constants become parameters, so that freezing may fold and pack them; what ONNX passes as small integer tensors (shapes, axes,
pads) is read while building.  A missing operator is an error that names it.
"""
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper


class Node:
    """An ONNX node while it becomes fx nodes: x[i] its operands (fx nodes), value(i) a constant operand, a its attributes."""

    def __init__(self, builder, node):
        self.builder, self.node, self.n_out = builder, node, len(node.output)
        self.x = [builder.env[n] if n else None for n in node.input]
        self.a = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def value(self, i, default=None):
        if i >= len(self.node.input) or not self.node.input[i]:
            return default
        return self.builder.constants[self.node.input[i]].tolist()

    def shape(self, i):
        return self.builder.shapes[self.node.input[i]]


def pairs(pads):
    """ONNX's begin.., end.. -> torch's symmetric padding, or None."""
    half = len(pads) // 2
    return list(pads[:half]) if list(pads[:half]) == list(pads[half:]) else None


def conv(n):
    a, rank = n.a, len(n.shape(1)) - 2
    pads = pairs(a.get("pads", [0] * 2 * rank))
    if pads is None or a.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise NotImplementedError("Conv with pads that differ at begin and end")
    apply = {1: torch.conv1d, 2: torch.conv2d}[rank]
    bias = n.x[2] if len(n.x) > 2 else None
    return apply, (n.x[0], n.x[1], bias, a.get("strides", [1] * rank), pads, a.get("dilations", [1] * rank), a.get("group", 1))


def conv_transpose(n):
    bias = n.x[2] if len(n.x) > 2 else None
    return torch.conv_transpose2d, (n.x[0], n.x[1], bias, n.a.get("strides", [1, 1]), pairs(n.a.get("pads", [0] * 4)),
                                    n.a.get("output_padding", [0, 0]), n.a.get("group", 1), n.a.get("dilations", [1, 1]))


def max_pool(n):
    a = n.a
    return F.max_pool2d, (n.x[0], a["kernel_shape"], a.get("strides", [1, 1]), pairs(a.get("pads", [0] * 4)),
                          a.get("dilations", [1, 1]), bool(a.get("ceil_mode", 0)))


def gemm(n):
    def apply(a, b, c, ta, tb, alpha, beta):
        y = (a.T if ta else a) @ (b.T if tb else b)
        y = y if alpha == 1 else alpha * y
        return y if c is None else y + (c if beta == 1 else beta * c)

    def linear(a, b, c):
        return F.linear(a, b, c)
    a, bias = n.a, n.x[2] if len(n.x) > 2 else None
    if a.get("transB") and not a.get("transA") and a.get("alpha", 1.0) == a.get("beta", 1.0) == 1.0:
        return linear, (n.x[0], n.x[1], bias)
    return apply, (n.x[0], n.x[1], bias, a.get("transA", 0), a.get("transB", 0), a.get("alpha", 1.0), a.get("beta", 1.0))


def lstm(n):
    """ONNX orders gates i o f c, torch i f c o; results [steps, directions, batch, width]."""
    weights = [torch.from_numpy(n.builder.constants[name].copy()) for name in n.node.input[1:4]]
    width = n.a["hidden_size"]
    cell = torch.nn.LSTM(weights[0].shape[2], width, bidirectional=weights[0].shape[0] == 2)

    def order(w):
        i, o, f, c = w.reshape(4, width, -1)
        return torch.cat([i, f, c, o])
    with torch.no_grad():
        for d, suffix in zip(range(weights[0].shape[0]), ("", "_reverse")):
            bias = weights[2][d].reshape(2, -1)
            parts = {"weight_ih": weights[0][d], "weight_hh": weights[1][d], "bias_ih": bias[0], "bias_hh": bias[1]}
            for part, w in parts.items():
                to = getattr(cell, f"{part}_l0{suffix}")
                to.copy_(order(w).reshape(to.shape))
    name = n.builder.module(cell)
    start = [x for x in n.x[5:7] if x is not None]

    def results(y):
        return y[0].unflatten(2, (-1, width)).transpose(1, 2), y[1][0], y[1][1]
    graph = n.builder.graph
    return results, (graph.call_module(name, (n.x[0], tuple(start)) if len(start) == 2 else (n.x[0],)),)


def reduce(apply):
    def build(n):
        axes = n.value(1, n.a.get("axes", list(range(len(n.shape(0))))))
        return apply, (n.x[0], axes, bool(n.a.get("keepdims", 1)))
    return build


def slices(n):
    rank = len(n.shape(0))
    starts, ends, axes, steps = (n.value(i, n.a.get(name)) for i, name in enumerate(("starts", "ends", "axes", "steps"), 1))
    index = [slice(None)] * rank
    for i, (start, end) in enumerate(zip(starts, ends)):
        index[axes[i] if axes else i] = slice(start, min(end, 1 << 40), steps[i] if steps else 1)
    if any(s.step and s.step < 0 for s in index):
        raise NotImplementedError("Slice with a negative step")
    return (lambda x, index: x[index]), (n.x[0], tuple(index))


def pad(n):
    pads, rank = n.value(1), len(n.shape(0))
    flat = [p for d in reversed(range(rank)) for p in (pads[d], pads[d + rank])]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    mode = n.a.get("mode", b"constant").decode()
    return F.pad, (n.x[0], flat, mode) if mode != "constant" else (n.x[0], flat, mode, n.value(2, 0.0))


def gather(n):
    axis = n.a.get("axis", 0)

    def by_tensor(x, ids):
        return F.embedding(ids, x) if axis == 0 and x.ndim == 2 else torch.index_select(x, axis, ids.reshape(-1)).reshape(
            x.shape[:axis] + ids.shape + x.shape[axis + 1:])
    name = n.node.input[1]
    if name in n.builder.constants and n.builder.constants[name].ndim == 0:
        return torch.select, (n.x[0], axis, int(n.builder.constants[name]))
    return by_tensor, (n.x[0], n.x[1])


def torch_type(kind):
    return torch.from_numpy(np.zeros(1, helper.tensor_dtype_to_np_dtype(kind))).dtype


def elementwise(apply):
    return lambda n: (apply, tuple(n.x))


def reshape(n):
    shape, old = n.value(1), n.shape(0)
    return torch.reshape, (n.x[0], [old[i] if s == 0 and old[i] != 0 else s for i, s in enumerate(shape)])


OPS = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool, "Gemm": gemm, "LSTM": lstm,
    "MatMul": elementwise(torch.matmul),
    "BatchNormalization": lambda n: (F.batch_norm, (n.x[0], *n.x[3:5], *n.x[1:3], False, 0.0, n.a.get("epsilon", 1e-5))),
    "LayerNormalization": lambda n: (F.layer_norm, (n.x[0], tuple(n.shape(1)), n.x[1], n.x[2], n.a.get("epsilon", 1e-5))),
    "Softmax": lambda n: (torch.softmax, (n.x[0], n.a.get("axis", -1))),
    "Gelu": lambda n: ((lambda x, kind: F.gelu(x, approximate=kind)), (n.x[0], n.a.get("approximate", b"none").decode())),
    "Clip": lambda n: (torch.clamp, (n.x[0], n.value(1), n.value(2))),
    "ReduceMean": reduce(torch.mean), "ReduceSum": reduce(torch.sum), "ReduceMax": reduce(torch.amax),
    "Reshape": reshape, "Flatten": lambda n: (torch.flatten, (n.x[0], n.a.get("axis", 1))),
    "Transpose": lambda n: (torch.permute, (n.x[0], n.a["perm"])),
    "Concat": lambda n: (torch.cat, (list(n.x), n.a["axis"])),
    "Split": lambda n: (torch.split, (n.x[0], n.value(1) or -(-n.shape(0)[n.a.get("axis", 0)] // n.n_out), n.a.get("axis", 0))),
    "Unsqueeze": lambda n: (lambda x, shape: x.reshape(shape), (n.x[0], n.builder.shapes[n.node.output[0]])),
    "Squeeze": lambda n: (lambda x, shape: x.reshape(shape), (n.x[0], n.builder.shapes[n.node.output[0]])),
    "Slice": slices, "Pad": pad, "Gather": gather,
    "GatherND": lambda n: ((lambda x, at: x[tuple(at.unbind(-1))]), (n.x[0], n.x[1])),
    "Cast": lambda n: ((lambda x, to: x.to(to)), (n.x[0], torch_type(n.a["to"]))),
    "And": elementwise(torch.logical_and), "Where": elementwise(torch.where), "Identity": elementwise(lambda x: x),
    "Add": elementwise(torch.add), "Sub": elementwise(torch.sub), "Mul": elementwise(torch.mul), "Div": elementwise(torch.div),
    "Pow": elementwise(torch.pow), "Exp": elementwise(torch.exp), "Sqrt": elementwise(torch.sqrt),
    "Tanh": elementwise(torch.tanh), "Sigmoid": elementwise(torch.sigmoid), "Relu": elementwise(torch.relu),
}


class Builder:
    def __init__(self, model):
        self.root, self.graph, self.env, self.shapes = torch.nn.Module(), torch.fx.Graph(), {}, {}
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            self.shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
        self.shapes.update((name, list(x.shape)) for name, x in self.constants.items())

    def module(self, module):
        name = f"m{len(self.root._modules)}"
        self.root.add_module(name, module)
        return name

    def build(self, model):
        for value in model.graph.input:
            self.env[value.name] = self.graph.placeholder(f"x{len(self.env)}")
        for i, (name, x) in enumerate(self.constants.items()):
            tensor = torch.from_numpy(x.copy())
            self.root.register_parameter(f"c{i}", torch.nn.Parameter(tensor, requires_grad=False))
            self.env[name] = self.graph.get_attr(f"c{i}")
        for node in model.graph.node:
            if node.op_type not in OPS:
                raise NotImplementedError(f"{node.op_type} has no row in bench/onnx_torch.py")
            function, arguments = OPS[node.op_type](Node(self, node))
            made = self.graph.call_function(function, arguments)
            outputs = [made]
            if len(node.output) > 1 or node.op_type == "LSTM":
                outputs = [self.graph.call_function(lambda y, i: y[i], (made, i)) for i in range(len(node.output))]
            self.env.update((name, y) for name, y in zip(node.output, outputs) if name)
        self.graph.output(tuple(self.env[v.name] for v in model.graph.output))
        return torch.fx.GraphModule(self.root, self.graph)


def load(path):
    """(module, names of its inputs in order)"""
    model = onnx.load(path)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False), data_prop=True)
    model.graph.ClearField("value_info")
    model.graph.value_info.extend(inferred.graph.value_info)
    return Builder(model).build(model).eval(), [v.name for v in model.graph.input]
