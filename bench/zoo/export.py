"""Writes one architecture as ONNX and its inputs as .npz beside it, or lists all: python -m zoo.export NAME FILE.onnx | --list

Seeds come from the name, so that a model is the same whichever others are made.  What a run writes is moved to its place
when whole.
"""
import importlib
import inspect
import logging
import os
import sys
import warnings
import zlib

import numpy as np
import onnx
import torch

from .registry import MODELS

# The quick first.
KINDS = ("tables", "sequences", "series", "sound", "text", "encoders", "language", "vision", "detectors", "pixels", "recent",
         "edge", "scenes", "further", "idioms", "families", "learners", "classifiers")
MOST = 4096  # of an open extent


def shapes(module, inputs, open_):
    """The open extents as the newer exporter wants them."""
    dims = tuple({axis: torch.export.Dim(symbol, min=2 if symbol == "seq" else 1, max=MOST)
                  for axis, symbol in open_.get(name, {}).items()} for name in inputs)
    packed = any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values())
    return (dims,) if packed else dims


def write(name, path):
    found = MODELS[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    module, inputs = found.make()
    part = path + ".part"
    if isinstance(module, onnx.ModelProto):  # written node by node
        onnx.save(module, part)
    else:
        export(found, module, inputs, part)
    np.savez(os.path.splitext(path)[0] + ".npz", **{n: x.numpy() for n, x in inputs.items()})
    os.replace(part, path)


def export(found, module, inputs, path):
    options = {"input_names": list(inputs), "opset_version": found.opset, "dynamo": not found.traced}
    if found.traced:
        options["dynamic_axes"] = found.open
    else:
        dims = shapes(module, inputs, found.open) if found.open else None
        options.update(dynamic_shapes=dims, external_data=False, verbose=False)
    with torch.no_grad():
        torch.onnx.export(module, tuple(inputs.values()), path, **options)


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for kind in KINDS:
        importlib.import_module("zoo." + kind)
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{name} {found.kind} {found.loose:d}" for name, found in MODELS.items()))
    else:
        write(*sys.argv[1:])


if __name__ == "__main__":
    main()
