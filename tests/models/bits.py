"""Same bits, whoever computes them: 1 to 4 threads, a host's shuffled `parallel`, row i of a batch and the row alone, a
sequence alone and padded into a batch with a mask, AVX2 and AVX-512 as tiers of one artifact and compiled alone.  Modes
of which docs/precision.md promises it (--numerics=fast, --precision=bf16): two models each, run twice, threads, tiers.

usage: bits.py [NAME...]; names: threads rows padding tiers modes, and of models
"""
import os
import sys

import numpy as np

import ingot
import light
import models


def image_inputs(batch):
    return {"image": np.random.default_rng(1).standard_normal((batch, 3, 224, 224), dtype=np.float32)}


def token_inputs(batch, seq, seed=1):
    rng = np.random.default_rng(seed)
    return {"ids": rng.integers(0, 30000, (batch, seq)), "mask": np.ones((batch, seq), np.int64)}


def gpt2_inputs(batch=2, past=19):
    rng = np.random.default_rng(1)
    caches = {k: rng.standard_normal((12, batch, 12, past, 64), dtype=np.float32) for k in ("past_k", "past_v")}
    return {"ids": rng.integers(0, 50257, (batch, 5)), **caches}


def face_inputs():
    return {"input": np.random.default_rng(1).standard_normal((1, 3, 240, 320), dtype=np.float32)}


def speech_inputs(batch=3):
    rng = np.random.default_rng(1)
    return {"input": rng.standard_normal((batch, 576), dtype=np.float32) / 8,
            "state": rng.standard_normal((2, batch, 128), dtype=np.float32), "sr": np.array(16000, np.int64)}


def mlp_inputs(batch=65):
    return {"x": np.random.default_rng(1).standard_normal((batch, 64), dtype=np.float32)}


def digits_inputs(batch=129):
    return {"image": np.random.default_rng(1).standard_normal((batch, 1, 8, 8), dtype=np.float32)}


def digit_inputs():
    return {"Input3": np.random.default_rng(1).random((1, 1, 28, 28), dtype=np.float32)}


def classified(name, tensor="data_0"):
    """A light CNN of one image."""
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)
    return lambda: light.light(name), lambda: {tensor: x}, []


SUBJECTS = {
    "version-RFB-320": (lambda: models.given("version-RFB-320.onnx"), face_inputs, []),
    "silero_vad_16k_op15": (lambda: models.given("silero_vad_16k_op15.onnx"), speech_inputs, []),
    "minilm": (lambda: models.graph("minilm"), lambda: token_inputs(3, 77), []),
    "mobilenet_v2": (lambda: models.graph("mobilenet_v2"), lambda: image_inputs(2), []),
    "resnet50": (lambda: models.graph("resnet50"), lambda: image_inputs(1), []),
    "gpt2": (lambda: models.graph("gpt2"), gpt2_inputs, []),
    "bert_base": (lambda: models.graph("bert_base"), lambda: token_inputs(2, 33), []),
    "vit_b_16": (lambda: models.graph("vit_b_16"), lambda: image_inputs(1), []),
    "mlp_small": (lambda: models.graph("mlp_small"), mlp_inputs, []),
    "digits": (lambda: os.path.join(ingot.ROOT, "examples", "digits", "digits.onnx"), digits_inputs, []),
    "mnist_keras_opset7": (lambda: models.given("mnist_keras_opset7.onnx"), digit_inputs, []),
    **{name: classified(name) for name in ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "squeezenet")},
    "shufflenet": classified("shufflenet", "gpu_0/data_0"),
}


# Every model whose batch is not fixed at 1; and the axis that rows of a batch lie along where it is not the first.
BATCHED = {"minilm": lambda n: token_inputs(n, 45), "bert_base": lambda n: token_inputs(n, 16), "mobilenet_v2": image_inputs,
           "resnet50": image_inputs, "vit_b_16": image_inputs, "mlp_small": mlp_inputs, "digits": digits_inputs,
           "silero_vad_16k_op15": speech_inputs, "gpt2": gpt2_inputs}
AXES = {"past_k": 1, "past_v": 1, "k": 1, "v": 1, "state": 1, "stateN": 1}


def different(a, b):
    """Number of elements whose bits differ."""
    count = 0
    for k in a:
        x, y = np.ascontiguousarray(a[k]), np.ascontiguousarray(b[k])
        if x.shape != y.shape:
            return -1
        count += int((x.view(np.uint8) != y.view(np.uint8)).reshape(-1, x.itemsize).any(axis=1).sum())
    return count


def compare(name, pairs):
    """pairs: (what, results, results expected)."""
    counts = [(what, different(a, b)) for what, a, b in pairs]
    return models.judge(name, not any(c for _, c in counts),
                        ", ".join(f"{what}: {'equal' if c == 0 else f'{c} elements differ'}" for what, c in counts))


def threads(chosen):
    results = []
    for name, (path, inputs, flags) in SUBJECTS.items():
        if chosen and name not in chosen:
            continue
        x, model = inputs(), ingot.load(path(), "--threads", *flags)
        alone = model.context().run(x)
        pairs = [(f"{n} threads", model.context(threads=n).run(x), alone) for n in (2, 3, 4)]
        pairs.append(("1 of 4", model.context(threads=4).run(x, max_workers=1), alone))
        pairs += [(f"shuffled {n}", model.context(parallel=ingot.shuffled_parallel(n, seed=n)).run(x), alone) for n in (2, 3, 4)]
        pairs.append(("built without threads", ingot.load(path(), *flags).run(x), alone))
        results.append(compare(f"threads {name}", pairs))
    return results


def row(values, i):
    return {k: np.take(v, [i], AXES.get(k, 0)) if np.ndim(v) else v for k, v in values.items()}


def rows(_):
    results = []
    for name, inputs in BATCHED.items():
        x, ours = inputs(8), ingot.load(SUBJECTS[name][0]()).context()
        whole = ours.run(x)
        pairs = [(str(i), ours.run(row(x, i)), row(whole, i)) for i in range(8)]
        results.append(compare(f"row i of batch 8 and batch 1, {name}", pairs))
    return results


def padding(_):
    results = []
    lengths = (1, 15, 16, 17, 255)
    for name in ("minilm", "bert_base"):
        ours = ingot.load(models.graph(name)).context()
        x = token_inputs(len(lengths), 256)
        x["mask"] = (np.arange(256)[None] < np.array(lengths)[:, None]).astype(np.int64)
        padded, pairs = ours.run(x)["hidden"], []
        for i, n in enumerate(lengths):
            alone = ours.run({k: v[i:i + 1, :n] for k, v in x.items()})
            pairs.append((f"length {n}", alone, {"hidden": padded[i:i + 1, :n]}))
        results.append(compare(f"alone and padded to 256, {name}", pairs))
    return results


def tiers(chosen):
    if "avx512f" not in open("/proc/cpuinfo").read():
        return [models.judge("AVX2 and AVX-512", True, "skipped: this machine has no AVX-512")]
    results = []
    for name, (path, inputs, flags) in SUBJECTS.items():
        if chosen and name not in chosen:
            continue
        x = inputs()
        one, alone = ingot.load(path(), *flags), ingot.load(path(), "--cpu=v3", *flags).run(x)
        pairs = [(f"{cpu} of one library", one.context(tier=1 + i).run(x), alone) for i, cpu in enumerate(("AVX2", "AVX-512"))]
        pairs.append(("AVX-512 alone", ingot.load(path(), "--cpu=v4", *flags).run(x), alone))
        results.append(compare(f"AVX2 and AVX-512 {name}", pairs))
    return results


MODES = {"--numerics=fast": (("resnet50", "squeezenet", "version-RFB-320"), ("avx2", "avx512f")),
         "--precision=bf16": (("minilm", "version-RFB-320"), ("avx2", "avx512f", "avx512_bf16"))}


def modes(chosen):
    has = set(open("/proc/cpuinfo").read().split())
    results = []
    for mode, (names, tiers_of) in MODES.items():
        for name in names:
            if chosen and name not in chosen:
                continue
            path, inputs, flags = SUBJECTS[name]
            x, model = inputs(), ingot.load(path(), "--threads", mode, *flags)
            context = model.context()
            alone = context.run(x)
            pairs = [("again", context.run(x), alone)]
            pairs += [(f"{n} threads", model.context(threads=n).run(x), alone) for n in (2, 3, 4)]
            pairs.append(("shuffled", model.context(parallel=ingot.shuffled_parallel(3, seed=1)).run(x), alone))
            pairs += [(cpu, model.context(tier=1 + i).run(x), alone) for i, cpu in enumerate(tiers_of) if cpu in has]
            results.append(compare(f"{mode} {name}", pairs))
    return results


PARTS = {"threads": threads, "rows": rows, "padding": padding, "tiers": tiers, "modes": modes}
if __name__ == "__main__":
    chosen = [a for a in sys.argv[1:] if a in SUBJECTS]
    models.finish([r for part in ([a for a in sys.argv[1:] if a in PARTS] or PARTS) for r in PARTS[part](chosen)])
