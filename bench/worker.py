"""One peer holding one row loaded: started by measure.py, which talks to it in lines of JSON.

usage: worker.py SPEC.json      {"peer", "path", "frozen", "inputs": an .npz, "threads", "library", "processors"}
First it answers {"load_s", "first_s", "idle_mb", "peak_mb", "mb"} or {"refused": why}.  Then each line is a request:
{"run": N, "processor": 0|1} -> {"ns": [..]}; {"outputs": FILE.npz} -> {}.  The end of its input ends it.
What libraries print goes to the standard error.
"""
import json
import os
import sys
import time
import warnings

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
with open(sys.argv[1]) as f:
    request = json.load(f)
os.sched_setaffinity(0, request["processors"])
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(request["threads"])
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402

import peers  # noqa: E402


def memory(field):
    """MB of this process: VmRSS now, VmHWM the most so far."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith(field))


def answer(**what):
    answers.write(json.dumps(what) + "\n")


def load():
    with np.load(request["inputs"]) as file:
        inputs = {n: np.ascontiguousarray(x).reshape(x.shape) for n, x in file.items()}
    idle, start = memory("VmRSS"), time.perf_counter()
    spec = peers.Spec(request["path"], request["frozen"], inputs, request["threads"], request["library"])
    peer = peers.PEERS[request["peer"]].make(spec)
    loaded = time.perf_counter()
    peer.run(1, 0)
    first = time.perf_counter() - loaded
    answer(load_s=loaded - start, first_s=first, idle_mb=idle, mb=memory("VmRSS"), peak_mb=memory("VmHWM"))
    return peer


try:
    peer = load()
except ModuleNotFoundError as e:
    answer(refused=f"not installed: {e.name}")
    sys.exit(0)
except Exception as e:  # whatever a peer raises is its reason
    answer(refused=f"{type(e).__name__}: {e}"[:600])
    sys.exit(0)
for line in sys.stdin:
    asked = json.loads(line)
    if "run" in asked:
        answer(ns=peer.run(asked["run"], asked["processor"]))
    else:
        np.savez(asked["outputs"], *peer.outputs())
        answer()
