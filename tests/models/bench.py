"""bench/run on one small row, in this Python: what is missing is a dash, outputs are compared, the figures add up."""
import json
import math
import os
import subprocess
import sys
import tempfile

import ingot
import models

sys.path.insert(0, os.path.join(ingot.ROOT, "bench"))
models.package("onnx")
models.package("onnxruntime")
import numpy as np  # noqa: E402

import measure  # noqa: E402
import report  # noqa: E402
import table  # noqa: E402

RUN = os.path.join(ingot.ROOT, "bench", "run")
results = []


def run(*arguments):
    return subprocess.run([sys.executable, RUN, "--here", *arguments], capture_output=True, text=True)


def one_row():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "figures.json")
        done = run("--rows=gemm-256,conv-depthwise-s2", "--peers=ort,iree,emx", "--threads=1", "--quick", f"--json={file}")
        if done.returncode:
            return models.judge("bench rows", False, f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
        with open(file) as f:
            found = json.load(f)
    rows, peak = found["rows"], found["peak_gflops"]["1"]
    ok = all(found["machine"][k] for k in ("cpu", "family", "processors", "caches", "memory_gb", "features", "system"))
    ok &= found["versions"]["ort"].startswith("onnxruntime ") and found["bandwidth_gbs"] != {}
    ok &= [r["name"] for r in rows] == ["gemm-256", "conv-depthwise-s2"] and rows[0]["work"]["flops"] == 2 * 256 ** 3
    for row in rows:
        ours, ort = row["results"]["ingot"], row["results"]["ort"]
        ok &= ours["difference"] < 1e-5 and ort["reference"] and row["compiled"]["library_bytes"] > row["compiled"]["weights_bytes"]
        ok &= all(("us" in r) != ("refused" in r) for r in row["results"].values())
        theirs = [r["us"] for n, r in row["results"].items() if n != "ingot" and "us" in r]
        ok &= math.isclose(row["ratio"], ours["us"] / min(theirs)) and math.isclose(row["share"], row["bound"]["us"] / ours["us"])
    share = rows[0]["work"]["flops"] / rows[0]["results"]["ingot"]["us"] * 1e-3 / peak
    return models.judge("bench rows", ok, f"gemm-256 at {share:.0%} of {peak:.0f} GFLOP/s, {rows[0]['ratio']:.2f} of ONNX Runtime's time")


def any_model():
    from onnx import TensorProto, helper
    x, ids = (helper.make_tensor_value_info(n, t, ["batch", 4]) for n, t in (("x", TensorProto.FLOAT), ("ids", TensorProto.INT64)))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    nodes = [helper.make_node("Cast", ["ids"], ["f"], to=TensorProto.FLOAT), helper.make_node("Add", ["x", "f"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [x, ids], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        path, file = os.path.join(folder, "mine.onnx"), os.path.join(folder, "figures.json")
        models.package("onnx").save(model, path)
        np.savez(os.path.join(folder, "mine.npz"), ids=np.full((3, 4), 7))
        done = run(f"--model={path}", "--dims=batch=3", "--peers=ort", "--threads=1", "--quick", f"--json={file}")
        wrong = [run(f"--model={path}", "--dims=bath=3").returncode, run("--model=/no/such.onnx").returncode]
        if done.returncode:
            return models.judge("bench any model", False, f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
        with open(file) as f:
            row = json.load(f)["rows"][0]
    ok = row["name"] == "mine" and row["results"]["ingot"]["difference"] == 0 and row["ratio"] > 0 and wrong == [2, 2]
    return models.judge("bench any model", ok, f"a given and a random input, {row['work']['read']} bytes read; exit statuses {wrong}")


def into_a_document():
    results = {"ingot": {"us": 20.0}, "ort": {"us": 40.0}, "ovbf16": {"us": 1.0}}
    row = {"name": "some-model", "group": "big", "threads": 1, "bound": {"us": 10.0, "by": "flops"}, "results": results}
    report.judge(row)
    last = {"rows": [row], "peak_gflops": {"1": 100.0}, "versions": {"ort": "onnxruntime 1"},
            "machine": {"cpu": "a CPU", "family": "1", "processors": 2}}
    with tempfile.TemporaryDirectory() as folder:
        document, file = os.path.join(folder, "d.md"), os.path.join(folder, "f.json")
        with open(document, "w") as f:
            f.write(f"before\n{table.BEGIN}old\n{table.END}after\n")
        with open(file, "w") as f:
            json.dump(last, f)
        table.write_into(document, table.markdown(*table.merged([file]), ["big"]))
        with open(document) as f:
            text = f.read()
    ok = "| some-model | 20 us | 40 us (ort) | **0.50** | 50% flops |" in text and "old" not in text
    ok &= text.startswith(f"before\n{table.BEGIN}") and text.endswith(f"{table.END}after\n")
    return models.judge("bench table", ok, "Markdown between two marks")


class Told:
    """A worker that answers what it was told to."""

    def __init__(self, *arrays):
        self.arrays, self.closed = list(arrays), False

    def outputs(self):
        return self.arrays

    def close(self):
        self.closed = True


def disagreement():
    """Who differs from the first f32 peer is dropped before anything is timed; bf16 may differ more, numbers that are none never."""
    x, off = np.ones(4, np.float32), np.array([1, 1, 1, np.nan], np.float32)
    told = {"ingot": Told(x * np.float32(1.01)), "ort": Told(x), "ov": Told(x), "ovbf16": Told(x * np.float32(1.01)), "emx": Told(off)}
    workers, results = dict(told), {name: {} for name in told}
    measure.compare(workers, results)
    ok = sorted(workers) == ["ort", "ov", "ovbf16"] and results["ort"]["reference"]
    ok &= all(told[n].closed and results[n]["wrong"] and "outputs differ from ort's" in results[n]["refused"] for n in ("ingot", "emx"))
    loose, close = {"ingot": Told(x * np.float32(1.01)), "emx": Told(off), "ort": Told(x)}, {name: {} for name in ("ingot", "emx", "ort")}
    measure.compare(loose, close, loose=True)  # a quantized model's results
    ok &= sorted(loose) == ["ingot", "ort"]
    return models.judge("bench disagreement", ok, f"left: {sorted(workers)}")


def judgements():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    ok = measure.difference([x], [x]) == 0 and measure.difference([x], [x + 1]) > measure.TOLERANCE
    ok &= measure.difference([x], [x.T]) == math.inf and measure.difference([x], []) == math.inf
    row = {"results": {"ingot": {"us": 2.0}, "ingot:--precision=bf16": {"us": 1.5}, "ort": {"us": 5.0}, "ov": {"us": 4.0}, "ovbf16": {"us": 1.0}, "emx": {"refused": "no"}},
           "bound": {"us": 1.0, "by": "flops"}, "group": "big", "threads": 1}
    report.judge(row)
    ok &= (row["fastest"], row["ratio"], row["share"]) == ("ov", 0.5, 0.5)
    ok &= row["also"] == {"ingot:--precision=bf16": {"fastest": "ovbf16", "ratio": 1.5}}
    means = report.geomeans([row, {**row, "ratio": 2.0, "group": "small"}])
    ok &= math.isclose(means["all"][1][0], 1.0) and means["big"][1] == (0.5, 1)
    return models.judge("bench judgements", ok, "differences, the fastest peer of a precision, geometric means")


def refusals():
    statuses = [run(*a).returncode for a in (["--rows=no-such-row"], ["--peers=nobody"], ["--rounds=many"], ["--rounds=0"], ["--round=-1"], ["--what"])]
    return models.judge("bench usage", statuses == [2] * 6, f"exit statuses {statuses}")


models.finish([judgements(), disagreement(), into_a_document(), refusals(), any_model(), one_row()])
