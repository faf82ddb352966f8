"""A row's model with every extent fixed, and what it must at least do: multiply-adds and bytes.

freeze() lets ONNX Runtime fold what is constant once the input shapes are (integer scalars count as constants: silero's `sr`
chooses a branch) and keeps the result: under build/bench/frozen, or beside the model's external data, which ONNX demands.
Peers that take no symbolic sizes compile that file.
count() is of the file alone: FLOPs of products, convolutions and recurrent cells; bytes read (inputs, and constants unless
only rows of them are gathered) and written (outputs); intermediate values count for nothing, so that the bound is one.
"""
import os

import ingot
import models

FOLDER = os.path.join(ingot.ROOT, "build", "bench", "frozen")


def freeze(row, path, inputs):
    """Path of the frozen model; raises what ONNX Runtime raises."""
    onnx, ort = models.package("onnx"), models.package("onnxruntime")
    from onnx import numpy_helper
    model = onnx.load(path, load_external_data=False)
    external = any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer)
    folder = os.path.dirname(os.path.realpath(path)) if external else FOLDER
    at, fixed = os.path.join(folder, row + ".frozen.onnx"), os.path.join(folder, row + ".fixed.onnx")
    if os.path.exists(at) and os.path.getmtime(at) >= max(os.path.getmtime(path), os.path.getmtime(__file__)):
        return at
    os.makedirs(folder, exist_ok=True)
    constants, model.ir_version = {t.name for t in model.graph.initializer}, max(4, model.ir_version)
    for value in list(model.graph.input):
        x = inputs.get(value.name)
        if x is not None and x.ndim == 0 and x.dtype.kind == "i":
            model.graph.initializer.append(numpy_helper.from_array(x, value.name))
            model.graph.input.remove(value)
        elif value.name in constants:  # a default that a caller may replace: here none does
            model.graph.input.remove(value)
        elif x is not None:
            for d, extent in zip(value.type.tensor_type.shape.dim, x.shape):
                d.dim_value = extent
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        onnx.save(model, fixed)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = at + ".part"
        options.log_severity_level = 3
        ort.InferenceSession(fixed, options, providers=["CPUExecutionProvider"])
    finally:
        if os.path.exists(fixed):
            os.remove(fixed)
    frozen = onnx.load(at + ".part", load_external_data=False)
    onnx.save(onnx.shape_inference.infer_shapes(frozen, data_prop=True), at + ".part")
    os.replace(at + ".part", at)
    return at


def product(extents):
    n = 1
    for e in extents:
        n *= e
    return n


# FLOPs of a node by its operands' and results' shapes.
def conv(node, x, y):
    return 2 * product(y[0]) * product(x[1][1:])


def conv_transpose(node, x, y):
    return 2 * product(x[0]) * product(x[1][1:])


def matmul(node, x, y):
    return 2 * product(y[0]) * x[0][-1]


def gemm(node, x, y):
    return 2 * product(y[0]) * x[0][0 if any(a.name == "transA" and a.i for a in node.attribute) else 1]


def cell(node, x, y):
    return 2 * x[0][0] * x[0][1] * (product(x[1]) + product(x[2]))


FLOPS = {"Conv": conv, "ConvTranspose": conv_transpose, "MatMul": matmul, "Gemm": gemm, "LSTM": cell, "GRU": cell, "RNN": cell}


def count(frozen, donated=()):
    """{"flops", "read", "written"}, without writing the outputs in `donated`; raises KeyError where a shape stayed unknown."""
    onnx = models.package("onnx")
    from onnx import helper
    model = onnx.load(frozen, load_external_data=False)
    shapes, bytes_of = {}, {}

    def note(name, kind, shape):
        shapes[name] = shape
        bytes_of[name] = product(shape) * helper.tensor_dtype_to_np_dtype(kind).itemsize

    for t in model.graph.initializer:
        note(t.name, t.data_type, tuple(t.dims))
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if all(d.HasField("dim_value") for d in dims):
            note(value.name, value.type.tensor_type.elem_type, tuple(d.dim_value for d in dims))
    flops, whole, gathered = 0, set(), 0
    for node in model.graph.node:
        of = FLOPS.get(node.op_type)
        if of:
            flops += of(node, [shapes.get(n) for n in node.input], [shapes.get(n) for n in node.output])
        by_rows = node.op_type.startswith("Gather")
        whole.update(node.input[1 if by_rows else 0:])
        gathered += bytes_of.get(node.output[0], 0) if by_rows and node.input[0] in bytes_of else 0
    names = [v.name for v in model.graph.input] + [t.name for t in model.graph.initializer]
    return {"flops": int(flops), "read": int(sum(bytes_of[n] for n in set(names) & whole) + gathered),
            "written": int(sum(bytes_of[v.name] for v in model.graph.output if v.name not in donated))}
