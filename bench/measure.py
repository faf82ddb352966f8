"""A row, measured: every peer in a process of its own, loaded and warm, their outputs compared, then timed in turn.

Rounds are interleaved, so that what the machine does meanwhile happens to all.  A figure is the median over rounds of the
median within a round; its spread is the distance between the quartiles of the rounds' medians, as a share of the figure.
"""
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import ingot
import models
import peers

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(ingot.ROOT, "build", "bench")
TOLERANCE, LOOSE = 1e-3, 0.15  # largest difference over the largest magnitude; of columns that compute in bf16, of quantized models
MOST_RUNS = 2000


class Refused(Exception):
    pass


def is_ours(peer):
    return peer.partition(":")[0] == "ingot"


# ---- our artifact ---------------------------------------------------------------------------------------------------

def compile_ours(compiler, path, flags):
    """(library, {"seconds", "processor_s", "memory_mb", "library_bytes", "weights_bytes"}); kept while its makers are the same."""
    key = ingot.short("\n".join([*flags, *ingot.keys(path, compiler)]))
    name = os.path.splitext(os.path.basename(path))[0]
    variants = os.path.join(FOLDER, "ingot", f"{name}-{ingot.short(' '.join(flags))}")
    library, figures = os.path.join(variants, key, "libmodel.so"), os.path.join(variants, key, "figures.json")
    if not os.path.exists(figures):
        os.makedirs(os.path.dirname(library), exist_ok=True)
        ingot.drop_old(variants)
        command = [compiler, "compile", path, "-o", library, "--quiet", *flags]
        done = subprocess.run([sys.executable, os.path.join(HERE, "costs.py"), *command], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        status, said = found.pop("status"), found.pop("said")
        if status:
            raise Refused(f"ingot compile: exit status {status}: {said}")
        found.update(library_bytes=os.path.getsize(library), weights_bytes=ingot.Model(library).m.weights_bytes)
        with open(figures, "w") as f:
            json.dump(found, f)
    with open(library, "rb") as f:
        while f.read(1 << 24):
            pass  # `load` is of a file in the page cache, not of a disk
    with open(figures) as f:
        return library, json.load(f)


# ---- a worker, from outside -----------------------------------------------------------------------------------------

class Worker:
    def __init__(self, peer, spec, folder, patience):
        self.patience, self.log = patience, os.path.join(folder, "log")
        os.makedirs(folder)
        self.outputs_file, request = os.path.join(folder, "outputs.npz"), os.path.join(folder, "spec.json")
        with open(request, "w") as f:
            json.dump({"peer": peer.partition(":")[0], **spec}, f)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "worker.py"), request],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        try:
            self.info = self.answer(patience)
        except Refused:
            self.close()
            raise

    def answer(self, patience):
        ready, _, _ = select.select([self.process.stdout], [], [], patience)
        if not ready:
            raise Refused(f"no answer within {patience:g} s")
        line = self.process.stdout.readline()
        if not line:
            with open(self.log, errors="replace") as f:
                said = f.read().strip().splitlines()[-1:]
            raise Refused(f"its process ended with {self.process.wait()}: {said[0][:300] if said else 'silent'}")
        found = json.loads(line)
        if "refused" in found:
            raise Refused(found["refused"])
        return found

    def ask(self, **what):
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
        except BrokenPipeError:
            pass  # answer() says how it ended
        return self.answer(self.patience)

    def run(self, n, processor):
        return [t * 1e-3 for t in self.ask(run=n, processor=processor)["ns"]]

    def outputs(self):
        self.ask(outputs=self.outputs_file)
        with np.load(self.outputs_file) as f:
            return [f[k] for k in f.files]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# ---- a row ----------------------------------------------------------------------------------------------------------

def difference(ours, theirs):
    if len(ours) != len(theirs) or any(a.shape != b.shape for a, b in zip(ours, theirs)):
        return float("inf")
    return max((models.relative(a, b.astype(a.dtype)) for a, b in zip(ours, theirs)), default=0.0)


def compare(workers, results, loose=False):
    """Drops workers whose outputs differ from those of the first peer that computes in f32, or from ours where there is none."""
    outputs = {}
    for name, worker in list(workers.items()):
        try:
            outputs[name] = worker.outputs()
        except Refused as e:
            drop(workers, results, name, str(e))
    order = [n for n in outputs if not is_ours(n) and peers.precision(n) == "f32"] + [n for n in outputs if is_ours(n)]
    for name in order[:1]:
        results[name]["reference"] = True
    for name, found in outputs.items():
        results[name]["difference"] = apart = difference(found, outputs[order[0]]) if order else 0.0
        if apart > (TOLERANCE if peers.precision(name) == "f32" and not loose else LOOSE):
            results[name]["wrong"] = True
            drop(workers, results, name, f"outputs differ from {order[0]}'s by {apart:.1e}")


def drop(workers, results, name, reason):
    workers.pop(name).close()
    results[name] = {**results.get(name, {}), "refused": reason}


def start(row, names, library_of, options, threads, folder, results):
    """Workers of the peers that take the row; the others' reasons go to results."""
    path, workers, files = row["path"], {}, {}
    for ours, inputs in ((False, row["inputs"]), (True, row["ours"])):
        files[ours] = os.path.join(folder, f"inputs-{ours:d}.npz")
        np.savez(files[ours], **inputs)
    for i, name in enumerate(names):
        try:
            needs_frozen = not is_ours(name) and peers.PEERS[name].frozen
            if needs_frozen and not row["frozen"]:
                raise Refused("no model with fixed sizes: " + row["unfrozen"])
            spec = {"path": path, "frozen": row["frozen"], "inputs": files[is_ours(name)], "threads": threads,
                    "processors": options.processors[:threads], "library": library_of(name) if is_ours(name) else None}
            workers[name] = Worker(name, spec, os.path.join(folder, str(i)), options.patience)
            results[name] = dict(workers[name].info)
        except Refused as e:
            results[name] = {"refused": str(e)}
    return workers


def time_rounds(workers, results, options):
    """Interleaved rounds, each long enough for a median."""
    processor, runs, rounds = int(options.clock == "processor"), {}, {n: [] for n in workers}
    for name, worker in list(workers.items()):
        try:
            shortest = worker.run(1, processor)[0]
            if shortest < options.round_s * 1e5:
                shortest = min(worker.run(3, processor))
            runs[name] = int(max(1, min(MOST_RUNS, options.round_s * 1e6 / max(shortest, 0.1))))
            if runs[name] > 3:
                worker.run(runs[name] // 4, processor)
        except Refused as e:
            drop(workers, results, name, str(e))
    for _ in range(options.rounds):
        for name, worker in list(workers.items()):
            try:
                rounds[name].append(statistics.median(worker.run(runs[name], processor)))
            except Refused as e:
                drop(workers, results, name, str(e))
            time.sleep(options.pause_s)  # pools of the last one stop spinning
    for name in workers:
        times = sorted(rounds[name])
        quarter, middle = len(times) // 4, statistics.median(times)
        results[name].update(us=middle, spread=(times[-1 - quarter] - times[quarter]) / middle, best_us=times[0],
                             rounds=len(times), runs=runs[name])


def measure(row, names, library_of, options, threads):
    """{peer: figures, or why not} of a row: {"path", "frozen", "unfrozen", "inputs", "ours": what our library takes}."""
    folder, results = tempfile.mkdtemp(prefix="row-", dir=FOLDER), {}
    workers = {}
    try:
        workers = start(row, names, library_of, options, threads, folder, results)
        compare(workers, results, row["loose"])
        time_rounds(workers, results, options)
    finally:
        for worker in workers.values():
            worker.close()
        shutil.rmtree(folder, ignore_errors=True)
    return results
