"""Small architectures of bench/zoo through `bench/run --zoo`: each compiles, and agrees with ONNX Runtime.

Skipped where build/bench-venv, which exports them, was not made (bench/run makes it).
"""
import json
import os
import subprocess
import tempfile

import ingot
import models

NAMES = ("logistic dlrm fm gcn gat_scatter var_std_misc rnn_dyn mamba_scan mamba_loop gat_softmax experts_gathered codebook "
         "detect_topk dcgan einsum_mha tacotron voice_activity keras_recurrent darknet_anchors quantized_linear "
         "fused_decoder forest boosted support_vectors nearest").split()

python = os.path.join(ingot.ROOT, "build", "bench-venv", "bin", "python")
if not os.path.exists(os.path.join(ingot.ROOT, "build", "bench-venv", "made")):
    models.skip("no build/bench-venv (bench/run makes it)")
with tempfile.TemporaryDirectory() as folder:
    file = os.path.join(folder, "figures.json")
    options = [f"--zoo={','.join(NAMES)}", "--peers=ort", "--threads=1", "--rounds=1", "--round=0.001", f"--json={file}"]
    done = subprocess.run([python, os.path.join(ingot.ROOT, "bench", "run"), *options], capture_output=True, text=True)
    if done.returncode == models.SKIPPED:
        models.skip(done.stdout.strip().splitlines()[-1])
    if not os.path.exists(file):
        models.finish([models.judge("zoo", False, f"exit status {done.returncode}\n{done.stdout}{done.stderr}")])
    with open(file) as f:
        rows = json.load(f)["rows"]


def agrees(row):
    ours = row["results"]["ingot"]
    ok = "us" in ours and ours["difference"] < 1e-4 and row["results"]["ort"].get("reference", False)
    return models.judge(f"zoo {row['name']}", ok, ours.get("refused") or f"differs by {ours['difference']:.0e}")


whole = len(rows) == len(NAMES) and not done.returncode
figures = f"{len(rows)} of {len(NAMES)} models, exit status {done.returncode}"
models.finish([*map(agrees, rows), models.judge("zoo", whole, figures)])
