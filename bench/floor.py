"""The first floor of speed: one thread, medians, every model interleaved with ONNX Runtime in this run; and matrix products
with a constant operand as a share of the FMA peak measured in this run.  Times are processor time: of one thread that is the
wall time of an idle machine, and on a busy one nearer to it than what a clock says.

usage: bench/floor.py [--check] [--cpu=LIST] [--seconds=S] [NAME...]
--cpu: the tiers compiled for; without it, as users compile: default flags, one library that chooses its tier when loaded.
--check: exit status 1 where a figure misses its limit (timings of a shared machine are noise, so CI only prints).
One run at a time: a lock file, build/bench.lock, keeps other benchmarks of this checkout waiting.
"""
import fcntl
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "models"))
import numpy as np  # noqa: E402

import ingot  # noqa: E402
import models  # noqa: E402

RNG = np.random.default_rng(1)
IMAGE = {"image": RNG.standard_normal((1, 3, 224, 224), dtype=np.float32)}
TOKENS = {"ids": RNG.integers(0, 30000, (1, 128)), "mask": np.ones((1, 128), np.int64)}
FACES = {"input": RNG.standard_normal((1, 3, 240, 320), dtype=np.float32)}
MODELS = {  # name: (file, inputs, most times ONNX Runtime's time)
    "version-RFB-320": (lambda: models.given("version-RFB-320.onnx"), FACES, 2.0),
    "mobilenet_v2": (lambda: models.graph("mobilenet_v2"), IMAGE, 2.0),
    "minilm": (lambda: models.graph("minilm"), TOKENS, 2.0),
    "resnet50": (lambda: models.graph("resnet50"), IMAGE, 1.6),
}
PRODUCTS = (512, 1024)
SHARE = 0.80


def interleaved(runs, seconds):
    """Median times of several functions, called in turn until the time is up, each at least 7 times."""
    times = [[] for _ in runs]
    for run in runs:
        run()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times[0]) < 7:
        for run, list_ in zip(runs, times):
            begin = time.process_time()
            run()
            list_.append(time.process_time() - begin)
    return [statistics.median(t) for t in times]


def ours(path, inputs, flags):
    context = ingot.load(path, *flags).context()
    call = context.prepare(inputs)
    context.execute(call)
    return lambda: context.execute(call)


def model_row(name, flags, seconds):
    path, inputs, most = MODELS[name]
    session = models.session(path())
    a, b = interleaved([ours(path(), inputs, flags), lambda: session.run(None, inputs)], seconds)
    return models.judge(" ".join([name, *flags]), a <= most * b,
                        f"{a * 1e3:.2f} ms, ONNX Runtime {b * 1e3:.2f} ms: {a / b:.2f} times (<= {most:g})")


def peak(wide):
    program = os.path.join(ingot.ROOT, "build", "peak")
    source = os.path.join(ingot.ROOT, "bench", "peak.c")
    subprocess.run(["gcc", "-O2", source, "-o", program], check=True)
    return lambda: float(subprocess.run([program, "16" if wide else "8"], check=True, capture_output=True, text=True).stdout)


def product_model(n):
    onnx = models.package("onnx")
    from onnx import TensorProto, helper, numpy_helper
    path = os.path.join(ingot.ARTIFACTS, f"gemm{n}.onnx")
    w = numpy_helper.from_array((RNG.standard_normal((n, n)) / n ** 0.5).astype(np.float32), "w")
    info = [helper.make_tensor_value_info(v, TensorProto.FLOAT, [n, n]) for v in "xy"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "gemm", info[:1], info[1:], [w])
    if not os.path.exists(path):
        os.makedirs(ingot.ARTIFACTS, exist_ok=True)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def product_row(n, flags, wide, seconds):
    measure, inputs = peak(wide), {"x": RNG.standard_normal((n, n), dtype=np.float32)}
    path = product_model(n)
    session = models.session(path)
    before = measure()
    a, b = interleaved([ours(path, inputs, flags), lambda: session.run(None, inputs)], seconds)
    highest = max(before, measure())
    share = 2 * n ** 3 / a * 1e-9 / highest
    return models.judge(" ".join([f"gemm {n}", *flags]), share >= SHARE,
                        f"{2 * n ** 3 / a * 1e-9:.0f} GFLOP/s of {highest:.0f}: {share:.0%} of peak (>= {SHARE:.0%}); "
                        f"ONNX Runtime {2 * n ** 3 / b * 1e-9:.0f}")


def main():
    options = dict(a[2:].partition("=")[::2] for a in sys.argv[1:] if a.startswith("--"))
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    flags, seconds = [f"--cpu={options['cpu']}"] if "cpu" in options else [], float(options.get("seconds", 5))
    with open("/proc/cpuinfo") as f: # the peak is that of the tier that runs
        wide = "avx512vl" in f.read() and "v4" in options.get("cpu", "v4")
    os.makedirs(os.path.join(ingot.ROOT, "build"), exist_ok=True)
    with open(os.path.join(ingot.ROOT, "build", "bench.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = [model_row(n, flags, seconds) for n in MODELS if not names or n in names]
        results += [product_row(n, flags, wide, seconds) for n in PRODUCTS if not names or f"gemm{n}" in names]
    sys.exit(1 if "check" in options and not all(results) else 0)


main()
