"""A row for any ONNX file: `bench/run --model=FILE.onnx`.

Inputs come from FILE.npz beside the model where there is one, by the inputs' names.  Others are random: floats are normal,
integers 0 or 1, which is within any vocabulary and a mask's values too; an extent that the model leaves open is the one that
`--dims=NAME=N,..` names, else 1.  Inputs with an initializer keep it.
"""
import os

import numpy as np

import models
from rows import Row


class Unusable(Exception):
    pass


def parse_dims(text):
    dims = {}
    for part in filter(None, text.split(",")):
        name, given, extent = part.partition("=")
        if not given or not extent.isdigit():
            raise Unusable(f"--dims: NAME=N,.. is wanted, found '{part}'")
        dims[name] = int(extent)
    return dims


def random_input(value, dims, rng):
    onnx = models.package("onnx")
    if not value.type.HasField("tensor_type"):
        raise Unusable(f"input '{value.name}' is no tensor: give it in the .npz beside the model")
    kind = value.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else dims.get(d.dim_param, 1) for d in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if dtype.kind not in "iub":
        raise Unusable(f"input '{value.name}' has elements of {dtype}: give it in the .npz beside the model")
    return rng.integers(0, 2, shape).astype(dtype)


def inputs(path, dims):
    graph = models.package("onnx").load(path, load_external_data=False).graph
    constant, beside, rng = {t.name for t in graph.initializer}, os.path.splitext(path)[0] + ".npz", np.random.default_rng(1)
    given = {}
    if os.path.exists(beside):
        with np.load(beside) as f:
            given = {n: f[n] for n in f.files}
    wanted = [v for v in graph.input if v.name not in constant]
    strange = set(given) - {v.name for v in wanted}
    if strange:
        raise Unusable(f"{beside}: the model has no input {', '.join(sorted(strange))}")
    open_dims = {d.dim_param for v in wanted for d in v.type.tensor_type.shape.dim}
    for name in dims:
        if name not in open_dims:
            raise Unusable(f"--dims: {path} has no open extent '{name}'")
    return {v.name: given[v.name] if v.name in given else random_input(v, dims, rng) for v in wanted}


def row(path, dims):
    if not os.path.exists(path):
        raise Unusable(f"no file {path}")
    name = os.path.splitext(os.path.basename(path))[0]
    return Row(name, "given", lambda: os.path.abspath(path), lambda: inputs(path, dims))
