"""Errors of ingot's and ONNX Runtime's f32 results against an f64 run of the interpreter: ingot's are no larger, on every model.

The error of a run is the RMS of (result - f64) over the RMS of f64, and of several outputs and runs the root of the mean of
squares.  Two implementations that round equally often differ by chance: SLACK is for that, and FLOOR, an error of some
roundings, because ONNX Runtime's order of sums depends on the machine; ingot's does not.

usage: accuracy.py [NAME...]
"""
import os
import sys

import numpy as np

import cases
import ingot
import light
import models

SLACK = 1.02
FLOOR = 2.0 ** -22
RUNS = {"bvlc_alexnet": 6, "zfnet512": 4}  # where one image says little: 5 to 9 % either way
# name: file, None for a graph of the folder, "light"; inputs; runs
MODELS = {"digits": (os.path.join(ingot.ROOT, "examples", "digits", "digits.onnx"), cases.eight_by_eight(9), 5),
          "mnist_keras_opset7": ("mnist_keras_opset7.onnx", cases.digit, 20),
          "version-RFB-320": ("version-RFB-320.onnx", cases.photograph, 3),
          "silero_vad_16k_op15": ("silero_vad_16k_op15.onnx", cases.speech, 20),
          "mlp_small": (None, cases.rows(64), 5),
          "minilm": (None, cases.tokens(1, 128), 1),
          "mobilenet_v2": (None, cases.images(1), 1),
          "resnet50": (None, cases.images(1), 1),
          "vit_b_16": (None, cases.images(1), 1),
          "bert_base": (None, cases.tokens(1, 128), 1),
          "gpt2": (None, cases.cached(1, 17, 15), 1),
          **{name: ("light", cases.classified(name), RUNS.get(name, 1)) for name in cases.LIGHT}}


def squares(found, wide):
    """Of each f32 output: the square of its relative error; and the largest error over the largest value."""
    relative, largest = [], 0.0
    for name, y in wide.items():
        if y.dtype != np.float64 or found[name].dtype != np.float32 or not y.size:
            continue
        error = found[name].astype(np.float64) - y
        relative.append(float((error ** 2).mean() / max((y ** 2).mean(), 1e-300)))
        largest = max(largest, float(np.abs(error).max() / max(np.abs(y).max(), 1e-300)))
    return relative, largest


results = []
for name in [a for a in sys.argv[1:] if not a.startswith("-")] or MODELS:
    file, make, runs = MODELS[name]
    path = light.light(name) if file == "light" else models.given(file) if file else models.graph(name)
    theirs, ours, rng = models.session(path), ingot.load(path).context(), np.random.default_rng(11)
    errors, largest = {"ingot": [], "ORT": []}, {"ingot": 0.0, "ORT": 0.0}
    for _ in range(runs):
        x = make(rng)
        wide = models.exact(path, x)
        for who, y in (("ingot", ours.run(x)), ("ORT", models.reference(theirs, x))):
            found, most = squares(y, wide)
            errors[who] += found
            largest[who] = max(largest[who], most)
    rms = {who: np.mean(e) ** 0.5 for who, e in errors.items()}
    results.append(models.judge(name, len(errors["ingot"]) > 0 and rms["ingot"] <= max(SLACK * rms["ORT"], FLOOR),
                                f"RMS error against f64 {rms['ingot']:.2e}, ONNX Runtime {rms['ORT']:.2e} "
                                f"({rms['ingot'] / rms['ORT']:.3f}, <= {SLACK:g}); largest {largest['ingot']:.1e}, {largest['ORT']:.1e}"))
models.finish(results)
