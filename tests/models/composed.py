"""Random networks (composition.py) against ONNX Runtime, at several sizes each; on two threads and on each tier the same bits.

usage: composed.py [FIRST [COUNT]]        seeds; default 1 and 60.  A network that fails is kept under build/composed.
"""
import os
import shutil
import sys
import tempfile

import numpy as np

import ingot
import models

LIMIT = 2e-4  # of the largest magnitude; chains of some tens of operators
SMALL = 0.1  # of results that ought to vanish, such as the mean of what was normalised, the difference counts as if they were this

models.package("onnx")
models.package("onnxruntime")
from composition import VALUATIONS, compose  # noqa: E402


def inputs_of(composition, valuation, rng):
    return {name: rng.standard_normal(shapes[valuation]).astype(np.float32) for name, shapes in composition.inputs.items()}


def off(found, wanted):
    return models.relative(found, wanted) * min(1, np.abs(wanted).max(initial=0) / SMALL)


def close_to_exact(path, x, name, ours, theirs):
    """Two that round may be further apart than each is from f64: ours has to be near it, or nearer than ONNX Runtime's."""
    wide = models.exact(path, x)[name].astype(ours.dtype)
    return off(ours, wide) <= max(LIMIT, off(theirs, wide))


def compare(composition, path, library):
    """What differs, or None."""
    theirs, model = models.session(path, optimise=False), ingot.Model(library)
    ways = [model.context(), model.context(threads=2), model.context(tier=1)]
    rng = np.random.default_rng(7)
    for v, sizes in enumerate(VALUATIONS):
        x = inputs_of(composition, v, rng)
        expected, (got, *others) = models.reference(theirs, x), [w.run(x) for w in ways]
        for name, e in expected.items():
            difference = off(got[name], e)
            if not difference <= LIMIT and not close_to_exact(path, x, name, got[name], e):
                return f"{name} at {sizes} differs by {difference:.1e} (<= {LIMIT:g})"
            for how, other in zip(("two threads", "the first tier"), others):
                if other[name].tobytes() != got[name].tobytes():
                    return f"{name} at {sizes} has other bits on {how}"
    return None


def check(seed, folder):
    composition = compose(seed)
    path, library = os.path.join(folder, f"composed{seed}.onnx"), os.path.join(folder, f"libcomposed{seed}.so")
    with open(path, "wb") as f:
        f.write(composition.model.SerializeToString())
    try:
        ingot.compile_to(path, library, "--threads")
        return compare(composition, path, library)
    except (AssertionError, ingot.CompileError, ingot.Failure) as e:
        return str(e)


first, count = (int(a) for a in (sys.argv[1:] + ["1", "60"][len(sys.argv) - 1:])[:2])
failed = []
with tempfile.TemporaryDirectory() as folder:
    for seed in range(first, first + count):
        why = check(seed, folder)
        if why:
            failed.append(seed)
            kept = os.path.join(ingot.ROOT, "build", "composed")
            os.makedirs(kept, exist_ok=True)
            shutil.move(os.path.join(folder, f"composed{seed}.onnx"), os.path.join(kept, f"composed{seed}.onnx"))
            print(f"FAIL  composed {seed}: {why}", flush=True)
        for name in os.listdir(folder):
            os.remove(os.path.join(folder, name))
models.finish([models.judge("composed", not failed, f"{count - len(failed)} of {count} networks from seed {first}")])
