"""Control flow and extents that data decides, on both backends, against ONNX Runtime: tiny models written by onnx.helper.

An If with differing shapes, a Loop that runs until its data says stop, a Loop with a growing carry, a Loop that stacks,
a Scan, a NonZero feeding a Gather, a Range of three inputs; an extent beyond its capacity is a status, and the context goes on working.
"""
import os

import numpy as np

import ingot
import models

onnx = models.package("onnx")
from onnx import TensorProto as T, helper as h, numpy_helper  # noqa: E402

FOLDER = os.path.join(ingot.ROOT, "build", "artifacts", "control")


def info(name, dtype, *dims):
    return h.make_tensor_value_info(name, dtype, dims)


def constant(name, value):
    return h.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value), name))


def saved(name, nodes, inputs, outputs, initializers=(), opset=20):
    inits = [numpy_helper.from_array(np.asarray(v), k) for k, v in dict(initializers).items()]
    g = h.make_graph(nodes, name, inputs, outputs, inits)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)], ir_version=9 if opset > 8 else 3)
    onnx.checker.check_model(m)
    os.makedirs(FOLDER, exist_ok=True)
    path = os.path.join(FOLDER, name + ".onnx")
    with open(path, "wb") as f:
        f.write(m.SerializeToString())
    return path


def graph(name, nodes, inputs, outputs):
    return h.make_graph(nodes, name, inputs, outputs)


F, I = np.float32, np.int64


def if_shapes():
    """then: x (n by 4); else: x twice along axis 0 (2n by 4)."""
    then = graph("then", [h.make_node("Relu", ["x"], ["t"])], [], [info("t", T.FLOAT, None, 4)])
    orelse = graph("else", [h.make_node("Concat", ["x", "x"], ["e"], axis=0)], [], [info("e", T.FLOAT, None, 4)])
    nodes = [h.make_node("ReduceSum", ["x"], ["s"], keepdims=0), constant("zero", F(0)),
             h.make_node("Greater", ["s", "zero"], ["c"]),
             h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=orelse), h.make_node("Neg", ["y"], ["z"])]
    x = np.arange(12, dtype=F).reshape(3, 4) - 3
    return saved("if_shapes", nodes, [info("x", T.FLOAT, "n", 4)], [info("z", T.FLOAT, "m", 4)]), [
        {"x": x}, {"x": -x}, {"x": x[:1] + 9}], []


def if_data_shapes():
    """Branches whose extents only running tells: the positive elements, or all of them."""
    then = graph("then", [h.make_node("NonZero", ["p"], ["i"]), constant("flat", np.array([-1])),
                          h.make_node("Reshape", ["i", "flat"], ["j"]), h.make_node("Gather", ["x", "j"], ["t"])],
                 [], [info("t", T.FLOAT, None)])
    orelse = graph("else", [h.make_node("Identity", ["x"], ["e"])], [], [info("e", T.FLOAT, None)])
    nodes = [constant("zero", F(0)), h.make_node("Greater", ["x", "zero"], ["p"]),
             h.make_node("If", ["c"], ["y"], then_branch=then, else_branch=orelse), h.make_node("Exp", ["y"], ["z"])]
    x = np.array([1, -1, 2, -2, 3], F)
    return saved("if_data_shapes", nodes, [info("x", T.FLOAT, "n"), info("c", T.BOOL)], [info("z", T.FLOAT, "m")]), [
        {"x": x, "c": np.array(True)}, {"x": x, "c": np.array(False)}, {"x": -abs(x), "c": np.array(True)}], []


def loop_until():
    """Doubles until the sum passes 100, at most `limit` times."""
    body = graph("body", [h.make_node("Add", ["a", "a"], ["b"]), h.make_node("ReduceSum", ["b"], ["s"], keepdims=0),
                          constant("hundred", F(100)), h.make_node("Less", ["s", "hundred"], ["go"])],
                 [info("i", T.INT64), info("go_in", T.BOOL), info("a", T.FLOAT, "n")],
                 [info("go", T.BOOL), info("b", T.FLOAT, "n")])
    nodes = [constant("yes", np.array(True)), h.make_node("Loop", ["limit", "yes", "x"], ["y"], body=body)]
    path = saved("loop_until", nodes, [info("limit", T.INT64), info("x", T.FLOAT, "n")], [info("y", T.FLOAT, "n")])
    return path, [{"limit": np.array(k, I), "x": np.array([1, 2, 3.5], F)} for k in (0, 1, 3, 50)], []


def loop_growing():
    """The carry gets a row more in every step; the trip count is an input."""
    body = graph("body", [h.make_node("Concat", ["a", "x"], ["b"], axis=0), h.make_node("Identity", ["go_in"], ["go"])],
                 [info("i", T.INT64), info("go_in", T.BOOL), info("a", T.FLOAT, None, 3)],
                 [info("go", T.BOOL), info("b", T.FLOAT, None, 3)])
    nodes = [constant("yes", np.array(True)), constant("none", np.zeros((0, 3), F)),
             h.make_node("Loop", ["trip", "yes", "none"], ["y"], body=body)]
    path = saved("loop_growing", nodes, [info("trip", T.INT64), info("x", T.FLOAT, 1, 3)], [info("y", T.FLOAT, "m", 3)])
    return path, [{"trip": np.array(k, I), "x": np.array([[1, 2, 3]], F)} for k in (0, 1, 5, 8)], ["--dim=trip=0..8"]


def loop_growing_until():
    """The carry grows until its data says stop: 1, 2, 4, ... up to a limit that is data."""
    body = graph("body", [constant("minus", np.array([-1])), h.make_node("Gather", ["a", "minus"], ["last"]),
                          h.make_node("Add", ["last", "last"], ["next"]), h.make_node("Concat", ["a", "next"], ["b"], axis=0),
                          h.make_node("ReduceSum", ["b"], ["s"], keepdims=0), h.make_node("Less", ["s", "stop"], ["go"])],
                 [info("i", T.INT64), info("go_in", T.BOOL), info("a", T.FLOAT, None)],
                 [info("go", T.BOOL), info("b", T.FLOAT, None)])
    nodes = [constant("yes", np.array(True)), constant("most", np.array(16, I)),
             h.make_node("Loop", ["most", "yes", "x"], ["y"], body=body)]
    path = saved("loop_growing_until", nodes, [info("x", T.FLOAT, "n"), info("stop", T.FLOAT)], [info("y", T.FLOAT, "m")])
    return path, [{"x": np.array([1], F), "stop": np.array(s, F)} for s in (0, 10, 1000)], []


def loop_stacked():
    """Steps 0, 1, ... of a running sum are stacked; the trip count is an input's extent."""
    body = graph("body", [h.make_node("Gather", ["x", "i"], ["r"]), h.make_node("Add", ["a", "r"], ["b"]),
                          h.make_node("Identity", ["b"], ["o"]), h.make_node("Identity", ["go_in"], ["go"])],
                 [info("i", T.INT64), info("go_in", T.BOOL), info("a", T.FLOAT, 3)],
                 [info("go", T.BOOL), info("b", T.FLOAT, 3), info("o", T.FLOAT, 3)])
    nodes = [constant("yes", np.array(True)), h.make_node("Shape", ["x"], ["sh"]), constant("first", np.array(0)),
             h.make_node("Gather", ["sh", "first"], ["trip"]),
             h.make_node("Loop", ["trip", "yes", "start"], ["last", "all"], body=body)]
    path = saved("loop_stacked", nodes, [info("x", T.FLOAT, "n", 3), info("start", T.FLOAT, 3)],
                 [info("last", T.FLOAT, 3), info("all", T.FLOAT, "n", 3)])
    return path, [{"x": np.arange(3 * n, dtype=F).reshape(n, 3), "start": np.ones(3, F)} for n in (1, 2, 7)], []


def scan():
    """Exponential average, forwards and backwards."""
    body = graph("body", [constant("k", F(0.5)), h.make_node("Mul", ["a", "k"], ["half"]), h.make_node("Add", ["half", "e"], ["b"]),
                          h.make_node("Neg", ["b"], ["o"])],
                 [info("a", T.FLOAT, 2), info("e", T.FLOAT, 2)], [info("b", T.FLOAT, 2), info("o", T.FLOAT, 2)])
    nodes = [h.make_node("Scan", ["start", "x"], ["last", "all"], body=body, num_scan_inputs=1),
             h.make_node("Scan", ["start", "x"], ["last2", "all2"], body=body, num_scan_inputs=1,
                         scan_input_directions=[1], scan_output_directions=[1])]
    path = saved("scan", nodes, [info("x", T.FLOAT, "n", 2), info("start", T.FLOAT, 2)],
                 [info("last", T.FLOAT, 2), info("all", T.FLOAT, "n", 2), info("last2", T.FLOAT, 2), info("all2", T.FLOAT, "n", 2)])
    return path, [{"x": np.arange(2 * n, dtype=F).reshape(n, 2), "start": np.ones(2, F)} for n in (1, 4, 9)], []


def scan_batched():
    """Scan of opset 8: a batch of sequences, each with a state of its own."""
    body = graph("body", [h.make_node("Add", ["a", "e"], ["b"]), h.make_node("Mul", ["b", "e"], ["o"])],
                 [info("a", T.FLOAT, 2), info("e", T.FLOAT, 2)], [info("b", T.FLOAT, 2), info("o", T.FLOAT, 2)])
    nodes = [h.make_node("Scan", ["", "start", "x"], ["last", "all"], body=body, num_scan_inputs=1)]
    path = saved("scan_batched", nodes, [info("start", T.FLOAT, "b", 2), info("x", T.FLOAT, "b", "n", 2)],
                 [info("last", T.FLOAT, "b", 2), info("all", T.FLOAT, "b", "n", 2)], opset=8)
    return path, [{"start": np.arange(2 * b, dtype=F).reshape(b, 2), "x": np.arange(2 * n * b, dtype=F).reshape(b, n, 2) / 8}
                  for b, n in ((1, 3), (3, 1), (2, 5))], []


def nonzero_gather():
    nodes = [constant("zero", F(0)), h.make_node("Greater", ["x", "zero"], ["p"]), h.make_node("NonZero", ["p"], ["i"]),
             constant("flat", np.array([-1])), h.make_node("Reshape", ["i", "flat"], ["j"]),
             h.make_node("Gather", ["t", "j"], ["r"]), h.make_node("Relu", ["r"], ["y"]),
             h.make_node("ReduceSum", ["y", "axes"], ["s"], keepdims=0)]
    path = saved("nonzero_gather", nodes, [info("x", T.FLOAT, "n"), info("t", T.FLOAT, "n", 3)],
                 [info("y", T.FLOAT, "m", 3), info("s", T.FLOAT, 3)], {"axes": np.array([0])})
    t = np.arange(24, dtype=F).reshape(8, 3) - 5
    return path, [{"x": np.array(x, F), "t": t[:len(x)]} for x in
                  ([1, -1, 1, 0, 0, 2, 3, -4], [-1, -1], [1, 1, 1], [0])], []


def extents_alone():
    """Nobody reads what NonZero found but its extent: a count, and a tensor of that size."""
    nodes = [h.make_node("NonZero", ["x"], ["i"]), h.make_node("Shape", ["i"], ["n"]), h.make_node("ConstantOfShape", ["n"], ["z"])]
    path = saved("extents_alone", nodes, [info("x", T.FLOAT, "n")], [info("n", T.INT64, 2), info("z", T.FLOAT, 1, "m")])
    return path, [{"x": np.array(x, F)} for x in ([1, 0, 2], [0], [1, 1, 1, 1])], []


def if_two_axes():
    """Two results, the first transposed or not: both of its axes vary."""
    then = graph("then", [h.make_node("Transpose", ["x"], ["t1"], perm=[1, 0]), h.make_node("Identity", ["x"], ["t2"])], [],
                 [info("t1", T.FLOAT, None, None), info("t2", T.FLOAT, None, None)])
    orelse = graph("else", [h.make_node("Identity", ["x"], ["e1"]), h.make_node("Neg", ["x"], ["e2"])], [],
                   [info("e1", T.FLOAT, None, None), info("e2", T.FLOAT, None, None)])
    nodes = [h.make_node("If", ["c"], ["y1", "y2"], then_branch=then, else_branch=orelse)]
    path = saved("if_two_axes", nodes, [info("c", T.BOOL), info("x", T.FLOAT, "n", "k")],
                 [info("y1", T.FLOAT, None, None), info("y2", T.FLOAT, None, None)])
    x = np.arange(12, dtype=F).reshape(3, 4)
    return path, [{"c": np.array(c), "x": v} for c in (True, False) for v in (x, x[:0], x[:1])], []


def nested():
    """A Loop that appends in even steps and drops what is not positive in odd ones."""
    then = graph("then", [h.make_node("Concat", ["a", "x"], ["t"], axis=0)], [], [info("t", T.FLOAT, None)])
    orelse = graph("else", [h.make_node("Greater", ["a", "zero"], ["p"]), h.make_node("Compress", ["a", "p"], ["e"], axis=0)],
                   [], [info("e", T.FLOAT, None)])
    body = graph("body", [constant("two", np.array(2)), h.make_node("Mod", ["i", "two"], ["m"]), constant("none", np.array(0)),
                          h.make_node("Equal", ["m", "none"], ["even"]),
                          h.make_node("If", ["even"], ["b"], then_branch=then, else_branch=orelse),
                          h.make_node("Identity", ["go_in"], ["go"])],
                 [info("i", T.INT64), info("go_in", T.BOOL), info("a", T.FLOAT, None)],
                 [info("go", T.BOOL), info("b", T.FLOAT, None)])
    nodes = [constant("zero", F(0)), constant("yes", np.array(True)), h.make_node("Loop", ["trip", "yes", "x"], ["y"], body=body),
             h.make_node("Neg", ["y"], ["z"])]
    path = saved("nested", nodes, [info("trip", T.INT64), info("x", T.FLOAT, "n")], [info("z", T.FLOAT, "m")])
    return path, [{"trip": np.array(k, I), "x": np.array([1, -2, 3], F)} for k in (0, 1, 2, 3, 6)], [
        "--dim=trip=0..8", "--dim=y_dim_0=0..64"]


def ranges():
    """Extents that grow with none of the inputs they come from: the library's bound for one is a size of its own."""
    nodes = [h.make_node("Range", ["a", "b", "step"], ["r"]), h.make_node("Neg", ["r"], ["y"])]
    path = saved("ranges", nodes, [info("a", T.INT64), info("b", T.INT64), info("step", T.INT64)], [info("y", T.INT64, "m")])
    return path, [{"a": np.array(a, I), "b": np.array(b, I), "step": np.array(s, I)}
                  for a, b, s in ((0, 5, 1), (10, -3, -4), (7, 7, 1), (0, 100000, 3), (5, 0, 1))], []


CASES = [if_shapes, if_data_shapes, loop_until, loop_growing, loop_growing_until, loop_stacked, scan, scan_batched, nonzero_gather,
         extents_alone, if_two_axes, nested, ranges]


def compare(case, backend):
    path, inputs, flags = case()
    try:
        ours = ingot.load(path, f"--backend={backend}", *flags).context()
    except ingot.CompileError as e:
        return models.judge(f"{case.__name__} {backend}", False, str(e).replace("\n", " | "))
    theirs, bad = models.session(path, optimise=False), []
    for x in inputs:
        try:
            a, b = ours.run(x), models.reference(theirs, x)
        except ingot.Failure as e:
            bad.append(str(e))
            continue
        for k in b:
            if a[k].shape != b[k].shape or not np.allclose(a[k], b[k], rtol=1e-6, atol=1e-6):
                bad.append(f"{k}: {a[k].shape} {a[k].ravel()[:4]}, expected {b[k].shape} {b[k].ravel()[:4]}")
    return models.judge(f"{case.__name__} {backend}", not bad, bad[0] if bad else f"{len(inputs)} inputs")


def capacity(backend):
    """nonzero_gather with at most 4 found: 4 work, 5 are a status, then 4 work again."""
    path, _, _ = nonzero_gather()
    listed = ingot.load(path, f"--backend={backend}")
    found = [n for n, s in listed.symbols.items() if s.flags & 1]
    if not found:
        return models.judge(f"capacity {backend}", False, f"no symbol is known only while running: {list(listed.symbols)}")
    ours = ingot.load(path, f"--backend={backend}", f"--dim={found[0]}=0..4").context()
    t, statuses = np.arange(24, dtype=F).reshape(8, 3), []
    for n in (4, 5, 8, 4):
        x = np.where(np.arange(8) < n, F(1), F(-1))
        try:
            statuses.append("OK" if np.array_equal(ours.run({"x": x, "t": t})["y"], t[:n]) else "wrong")
        except ingot.Failure as e:
            statuses.append(e.status)
            text = str(e)
    return models.judge(f"capacity {backend}", statuses == ["OK", "CAPACITY", "CAPACITY", "OK"], f"{statuses}; '{text}'")


if __name__ == "__main__":
    results = []
    for chosen in ("llvm", "c"):
        results += [compare(case, chosen) for case in CASES] + [capacity(chosen)]
    models.finish(results)
