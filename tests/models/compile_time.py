"""How long `ingot compile` takes, how much memory, and how much larger than its weights the library is.

Time is judged by processor time, the best of a few (the compiler is single-threaded, so that is the wall time of an idle
machine); the best wall time is printed as well.  Memory is the largest resident set of any of the compiler's processes (its child
under --isolate, and the linker), pages of the mapped model included: at most 1.3 times the weights and 300 MB.
"""
import json
import os
import subprocess
import sys
import tempfile

import ingot
import models

# seconds of processor, compilations, KB (of 1024 bytes) of the library beyond its weights; of digits, on any machine, abi/speed
# judges the time
LIMITS = {"digits": (5.0, 1, None), "resnet50": (5.0, 3, 300), "minilm": (10.0, 1, 300), "bert_base": (10.0, 1, None),
          "gpt2": (10.0, 1, None)}


def compile_once(path, out):
    """Seconds of processor, seconds, bytes of memory: of this call alone, which is why it has a process of its own."""
    script = ("import resource, subprocess, sys, time; t = time.monotonic(); subprocess.run(sys.argv[1:], check=True);"
              "r = resource.getrusage(resource.RUSAGE_CHILDREN);"
              "print(r.ru_utime + r.ru_stime, time.monotonic() - t, r.ru_maxrss * 1024)")
    done = subprocess.run([sys.executable, "-c", script, ingot.INGOT, "compile", "--quiet", path, "-o", out], check=True,
                          stdout=subprocess.PIPE, text=True)
    return [float(x) for x in done.stdout.split()]


def measure(path, times):
    """Best times, most memory, the library's size and its weights."""
    with tempfile.TemporaryDirectory(prefix="time-", dir=ingot.ARTIFACTS) as folder:
        out = os.path.join(folder, "libm.so")
        processor, wall, memory = zip(*[compile_once(path, out) for _ in range(times)])
        shown = subprocess.run([ingot.INGOT, "inspect", "--json", out], check=True, stdout=subprocess.PIPE).stdout
        return min(processor), min(wall), max(memory), os.path.getsize(out), json.loads(shown)["weights_bytes"]


os.makedirs(ingot.ARTIFACTS, exist_ok=True)
results = []
for name in sys.argv[1:] or LIMITS:
    limit, times, beyond = LIMITS[name]
    path = os.path.join(ingot.ROOT, "examples", "digits", "digits.onnx") if name == "digits" else models.graph(name)
    processor, wall, memory, size, weights = measure(path, times)
    most, rest = 1.3 * weights + 300e6, (size - weights) / 1024
    ok = processor < limit and memory <= most and (beyond is None or rest <= beyond)
    results.append(models.judge(f"compile {name}", ok,
                                f"{processor:.2f} s of processor (< {limit:g}), wall {wall:.2f} s, memory {memory / 1e6:.0f} MB "
                                f"(<= {most / 1e6:.0f}), library {rest:.0f} KB beyond weights" + (f" (<= {beyond})" if beyond else "")))
models.finish(results)
