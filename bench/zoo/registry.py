"""The table of architectures: @model(name) above a function that returns (module, {input: tensor}).

The module has random weights and is in evaluation mode; the tensors are the inputs it is measured with.  Instead of a module
it may be a finished onnx.ModelProto (idioms.py).
"""
from dataclasses import dataclass
from typing import Callable

MODELS = {}


@dataclass
class Model:
    make: Callable
    open: dict    # input -> {axis: symbol}: extents that the model leaves open
    opset: int    # of ONNX
    traced: bool  # by torch's older exporter, whose graphs are spelt differently
    kind: str     # the file it stands in
    loose: bool   # results move by whole steps of a quantized number


def model(name, open=None, traced=0, loose=False):
    """traced: the opset to trace to; else the newer exporter writes opset 18."""
    def add(make):
        MODELS[name] = Model(make, open or {}, traced or 18, bool(traced), make.__module__.rpartition(".")[2], loose)
        return make
    return add
