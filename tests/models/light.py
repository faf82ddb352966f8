"""The nine light models of the onnx wheel with seeded random weights in place of their splats (which hide packing errors),
against ONNX Runtime.

usage: light.py [NAME...]

A light model makes its weights by ConstantOfShape; here every such node becomes an initializer of normal numbers, scaled so
that activations stay tame.  The result compared is what enters the last softmax.
"""
import os
import sys

import numpy as np

import ingot
import models

LIMIT = 1e-4
FOLDER = os.path.join(ingot.ROOT, "build", "models", "light")


def weights_for(name, shape, users, rng):
    """Around one for what scales and for variances, small for what is added, 1/sqrt(fan in) for filters and matrices."""
    x = rng.standard_normal(shape).astype(np.float32)
    op, place = users.get(name, ("", 0))
    if op == "BatchNormalization":
        return np.abs(1 + 0.1 * x).astype(np.float32) if place in (1, 4) else 0.1 * x
    if op in ("Conv", "Gemm", "MatMul") and len(shape) > 1:
        # Half of what enters is cut off by a Relu: deviation sqrt(2 / fan in) keeps magnitudes.
        fan = int(np.prod(shape[1:])) if op == "Conv" or len(shape) == 2 else shape[0]
        return x * np.float32((2 / fan) ** 0.5)
    if op == "Mul":
        return 1 + 0.1 * x
    return 0.05 * x


def with_random_weights(source, to):
    onnx = models.package("onnx")
    from onnx import numpy_helper
    m = onnx.load(source)
    g, rng = m.graph, np.random.default_rng(11)
    users, initial = {}, {i.name: numpy_helper.to_array(i) for i in g.initializer}
    for n in g.node:
        for place, name in enumerate(n.input):
            users.setdefault(name, (n.op_type, place))
    rest, new = [], []
    for n in g.node:
        if n.op_type == "ConstantOfShape" and n.input[0] in initial:
            shape = tuple(int(d) for d in initial[n.input[0]])
            new.append(numpy_helper.from_array(weights_for(n.output[0], shape, users, rng), n.output[0]))
        else:
            rest.append(n)
    assert new, f"{source}: no splats found"
    shown = {n.output[0]: n.input[0] for n in rest if n.op_type == "Softmax"}
    for o in list(g.output):  # what a saturated softmax would hide
        if o.name in shown:
            o.name = shown[o.name]
    del g.node[:]
    g.node.extend(rest)
    g.initializer.extend(new)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    onnx.save(m, to + ".part", save_as_external_data=False)
    os.rename(to + ".part", to)
    return len(new)


def light_models():
    onnx = models.package("onnx")
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")
    found = sorted(f[6:-5] for f in os.listdir(folder) if f.endswith(".onnx")) if os.path.isdir(folder) else []
    return found or models.skip("the onnx package has no light models"), folder


def light(name):
    """Path of a light model with random weights."""
    _, folder = light_models()
    to = os.path.join(FOLDER, name + ".onnx")
    if not os.path.exists(to):
        with_random_weights(os.path.join(folder, f"light_{name}.onnx"), to)
    return to


def compare(name):
    to = light(name)
    try:
        theirs, ours = models.session(to), ingot.load(to).context()
    except ingot.CompileError as e:
        return models.judge(f"light {name}", False, str(e))
    rng = np.random.default_rng(2)
    x = {i.name: rng.standard_normal(i.shape, dtype=np.float32) for i in theirs.get_inputs()}
    a, b = ours.run(x), models.reference(theirs, x)
    worst = max(models.relative(a[k], b[k]) for k in b)
    spread = min(float(np.std(b[k])) for k in b)
    return models.judge(f"light {name}", worst <= LIMIT and spread > 0,
                        f"relative difference {worst:.1e} (<= {LIMIT:g}); deviation of the outputs {spread:.2g}")


if __name__ == "__main__":
    models.finish([compare(name) for name in sys.argv[1:] or light_models()[0]])
