"""Prepares what onnx_suite cannot take from the onnx package as it is, below one folder (build/suite):

  <group>/<case>/            input_<i>.pb, output_<i>.pb: the case at other extents, for symbolic mode.  Extents above 1 grow by
                             one (equal extents alike, so that they still agree); outputs come from onnx's own reference
                             evaluator, and a case is left out where it does not accept the new extents.
  light/test_<model>/        the light models in the shape of ordinary cases: model.onnx, test_data_set_0, data.json, with the
                             input that onnx's runner makes (arange / n) and the outputs that lie beside the model.

    second_valuation.py FOLDER [jobs]

Nothing is random: data is repeated from the case's own, so that indices and targets stay within their domain.
"""
import glob
import multiprocessing
import os
import shutil
import signal
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

DATA = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
GROUPS = ["node", "pytorch-converted", "pytorch-operator", "simple"]


def load_tensor(path):
    with open(path, "rb") as f:
        t = onnx.TensorProto()
        t.ParseFromString(f.read())
    return numpy_helper.to_array(t)


def load_inputs(model, folder):
    """name -> array, as the runner pairs files with inputs; None where one is no tensor."""
    initial = {i.name for i in model.graph.initializer}
    feeds = {}
    for i, value in enumerate(model.graph.input):
        path = os.path.join(folder, f"input_{i}.pb")
        if not os.path.exists(path):
            if value.name in initial:
                continue
            return None
        if value.type.WhichOneof("value") != "tensor_type":
            return None
        feeds[value.name] = (i, load_tensor(path))
    return feeds


def is_shape_like(a):
    return a.ndim == 1 and a.dtype in (np.int64, np.int32)


def grow(a, new_shape):
    """a at a larger shape: its own elements again, floats slightly moved so that no new ties appear."""
    flat = np.resize(a.reshape(-1), int(np.prod(new_shape))).reshape(new_shape)
    if a.dtype in (np.float32, np.float64) and flat.size:
        flat = (flat * (1 + np.arange(flat.size).reshape(flat.shape) % 17 * 0.01)).astype(a.dtype)
    return flat


def numbers_of(values):
    """Extents that a list of integers may stand for: its numbers, their sum and product."""
    values = [int(v) for v in values]
    return set(values) | {-v for v in values} | {sum(values), int(np.prod(values)) if len(values) < 9 else 0}


# Extents that operators prescribe without the evaluator's insisting.
FIXED = {"OneHot": {2}, "NonMaxSuppression": {4}, "RoiAlign": {4}}


def fixed_extents(model, feeds):
    """Extents that the model or an input's elements also determine: changing them would contradict those."""
    fixed = set()
    for t in model.graph.initializer:
        fixed |= set(t.dims)
        a = numpy_helper.to_array(t)
        if is_shape_like(a) and a.size < 64:
            fixed |= numbers_of(a)
    for _, a in feeds.values():
        if is_shape_like(a):
            fixed |= set(a.shape) | numbers_of(a)
        elif a.ndim == 0 and a.dtype.kind in "iu":
            fixed.add(int(a))
    for n in model.graph.node:
        for at in n.attribute:
            if at.type == onnx.AttributeProto.INTS:
                fixed |= numbers_of(at.ints) if n.op_type == "Split" else set()
            if at.type == onnx.AttributeProto.TENSOR:
                fixed |= set(at.t.dims)
                a = numpy_helper.to_array(at.t)
                if is_shape_like(a) and a.size < 64:
                    fixed |= numbers_of(a)
        fixed |= FIXED.get(n.op_type, set())
    return fixed


def schemes(model, feeds):
    """Ways to change extents, each a function (name, axis, extent) -> extent, in order of preference."""
    fixed = fixed_extents(model, feeds)
    if any(n.op_type == "Split" and len(n.input) == 1 for n in model.graph.node):
        yield lambda name, axis, d: 2 * d if d > 1 and d not in fixed else d
        return
    extents = sorted({d for _, a in feeds.values() if not is_shape_like(a) for d in a.shape if d > 1} - fixed, reverse=True)
    yield lambda name, axis, d: d + 1 if d in extents else d
    yield lambda name, axis, d: d + 1 if d in extents and axis == 0 else d
    for e in extents:
        yield lambda name, axis, d, e=e: d + 1 if d == e else d
    ranks = [a.ndim for _, a in feeds.values()]
    for axis in range(max(ranks, default=0)):
        yield lambda name, at, d, axis=axis: d + 1 if d in extents and at == axis else d
    for name in feeds:
        for axis in range(feeds[name][1].ndim):
            yield lambda n, at, d, name=name, axis=axis: d + 1 if d in extents and n == name and at == axis else d


def relaxed(model):
    """The model without what it declares of extents, so that the evaluator accepts others."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    for v in list(m.graph.input) + list(m.graph.output) + list(m.graph.value_info):
        if v.type.WhichOneof("value") == "tensor_type":
            v.type.tensor_type.ClearField("shape")
    return m


def usable(outputs, expected):
    if len(outputs) != len(expected):
        return False
    for o, e in zip(outputs, expected):
        if not isinstance(o, np.ndarray) or o.dtype != e.dtype or o.ndim != e.ndim or o.dtype == object:
            return False
    return True


def agrees(outputs, expected):
    """The evaluator itself must reproduce the case at its own extents, or it says nothing about others."""
    return usable(outputs, expected) and all(
        o.shape == e.shape and np.allclose(o.astype(np.float64), e.astype(np.float64), rtol=1e-3, atol=1e-6, equal_nan=True)
        for o, e in zip(outputs, expected))


def second(model, folder, to):
    feeds = load_inputs(model, os.path.join(folder, "test_data_set_0"))
    if not feeds:
        return "no tensors"
    expected = []
    for i in range(len(model.graph.output)):
        path = os.path.join(folder, "test_data_set_0", f"output_{i}.pb")
        if model.graph.output[i].type.WhichOneof("value") != "tensor_type" or not os.path.exists(path):
            return "no tensors"
        expected.append(load_tensor(path))
    evaluator = ReferenceEvaluator(relaxed(model))
    if not agrees(evaluator.run(None, {n: a for n, (_, a) in feeds.items()}), expected):
        return "evaluator disagrees"
    for scheme in schemes(model, feeds):
        new = {}
        for name, (i, a) in feeds.items():
            shape = a.shape if is_shape_like(a) else tuple(scheme(name, axis, d) for axis, d in enumerate(a.shape))
            new[name] = a if shape == a.shape else grow(a, shape)
        if all(new[n].shape == feeds[n][1].shape for n in feeds):
            continue
        try:
            outputs = ReferenceEvaluator(relaxed(model)).run(None, new)
        except Exception:  # not a valid size for this model
            continue
        if not usable(outputs, expected):
            continue
        os.makedirs(to, exist_ok=True)
        for name, (i, _) in feeds.items():
            with open(os.path.join(to, f"input_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.asarray(new[name], order="C")).SerializeToString())
        for i, o in enumerate(outputs):
            with open(os.path.join(to, f"output_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.asarray(o)).SerializeToString())
        return "ok"
    return "no second size"


class OutOfTime(Exception):
    pass


def give_up(signum, frame):
    raise OutOfTime


# Where the evaluator's own arithmetic in float32 or float16 is too coarse to judge other values.
COARSE = ("test_mish", "float16", "test_logsoftmax_large_number")
# Where it is wrong: the index of a maximum outside its window; an output shape that contradicts the inputs accepted.
WRONG = ("test_maxpool_with_argmax_2d_precomputed_pads", "test_maxunpool_export_with_output_shape")


def case(job):
    folder, to = job
    if any(part in folder for part in COARSE):
        return "left out: coarse"
    if any(part in folder for part in WRONG):
        return "left out: wrong"
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    try:
        return second(onnx.load(os.path.join(folder, "model.onnx")), folder, to)
    except OutOfTime:
        return "out of time"
    except Exception as error:
        return f"evaluator: {type(error).__name__}"
    finally:
        signal.alarm(0)


def light(to):
    for path in sorted(glob.glob(os.path.join(DATA, "light", "*.onnx"))):
        name = os.path.basename(path)[len("light_"):-len(".onnx")]
        folder = os.path.join(to, "light", f"test_{name}")
        sets = os.path.join(folder, "test_data_set_0")
        os.makedirs(sets, exist_ok=True)
        shutil.copy(path, os.path.join(folder, "model.onnx"))
        facts = os.path.join(DATA, "real", f"test_{name}", "data.json")
        if os.path.exists(facts):
            shutil.copy(facts, os.path.join(folder, "data.json"))
        model = onnx.load(path)
        initial = {i.name for i in model.graph.initializer}
        for i, value in enumerate(model.graph.input):
            if value.name in initial:
                continue
            shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
            n = int(np.prod(shape))
            x = (np.arange(n).reshape(shape) / n).astype(np.float32)
            with open(os.path.join(sets, f"input_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(x).SerializeToString())
        for i in range(len(model.graph.output)):
            shutil.copy(path[:-len(".onnx")] + f"_output_{i}.pb", os.path.join(sets, f"output_{i}.pb"))


def main():
    to = sys.argv[1]
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    light(to)
    work = [(folder, os.path.join(to, group, os.path.basename(folder)))
            for group in GROUPS for folder in sorted(glob.glob(os.path.join(DATA, group, "test_*")))]
    counts = {}
    with multiprocessing.Pool(jobs) as pool:
        for result in pool.imap(case, work, chunksize=8):
            counts[result] = counts.get(result, 0) + 1
    for result, n in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{n:6} {result}")


if __name__ == "__main__":
    main()
