"""What a loaded library costs while it runs: memory, and the time from dlopen to the first result.

Memory: weights and code are pages of the library's file, no more than its bytes; what a process gains beside them from loading
the library to its fourth run is at most 1.25 times the largest live set, and SCRATCH for the stack, blocks of a thread and
tables.  The live set is counted here from the graph before pass `plan`, not taken from the compiler's plan: at each kernel the
values that are still to be read, its operands and results, outputs included (inputs are the caller's).  Time:
MobileNetV2's first result after dlopen, less a warm run; of the processor, so that who else works on the machine counts little.
It is FIRST_MS at most, or on a machine with dear page faults FAULTS times what a program pays that only touches as many pages.

usage: running.py [NAME...]
"""
import ctypes
import math
import mmap
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

import cases
import ingot
import models

SCRATCH = 1 << 20
FIRST_MS = 10
FAULTS = 1.5
PR_SET_THP_DISABLE = 41
SUBJECTS = {"mlp_small": cases.rows(64), "minilm": cases.tokens(8, 128), "mobilenet_v2": cases.images(1),
            "resnet50": cases.images(4), "bert_base": cases.tokens(8, 32), "vit_b_16": cases.images(2),
            "gpt2": cases.cached(1, 1, 255), "version-RFB-320": cases.photograph, "silero_vad_16k_op15": cases.speech,
            "digits": cases.eight_by_eight(64)}
PLACES = {"version-RFB-320": models.given, "silero_vad_16k_op15": models.given,
          "digits": lambda file: os.path.join(ingot.ROOT, "examples", "digits", file)}  # of files that are no graphs of the folder
BYTES = {"f64": 8, "i64": 8, "u64": 8, "f32": 4, "i32": 4, "u32": 4,
         "f16": 2, "bf16": 2, "i16": 2, "u16": 2, "i8": 1, "u8": 1, "bool": 1}
DIMS = {"floordiv": lambda a, b: a // b, "ceildiv": lambda a, b: -(-a // b)}  # of the text form, beside Python's own
VIEWS = ("reshape", "get", "tuple")  # share the memory of what they show
NODE = re.compile(r"^  %(\d+) = (\w+) ?((?:%\d+(?:, )?)*)")


def type_bytes(text, symbols):
    """Bytes of all tensors of a type, rounded to the alignment of 64."""
    return sum(-(-BYTES[dtype] * math.prod(eval(f"[{dims}]", dict(DIMS), symbols)) // 64) * 64
               for dtype, dims in re.findall(r"(\w+)\[([^\]]*)\]", text))


def live_set(path, inputs):
    """Bytes of the largest live set of the main function, from the text of its scheduled graph."""
    with tempfile.TemporaryDirectory(prefix="running-", dir=ingot.ARTIFACTS) as folder:
        out = os.path.join(folder, "m.graph")
        subprocess.run([ingot.INGOT, "compile", "--quiet", path, "--emit=graph", "--stop-after=schedule", "-o", out],
                       check=True)
        with open(out) as f:
            lines = f.read().splitlines()
    symbols, nodes, results, kernel = {}, [], [], None
    header = next(line for line in lines if line.startswith("graph "))
    for name, dims in re.findall(r'"([^"]+)": \w+\[([^\]]*)\]', header):
        symbols.update({d: n for d, n in zip(dims.split(","), np.shape(inputs[name])) if re.fullmatch(r"[A-Za-z_]\w*", d)})
    for line in lines:
        match = NODE.match(line)
        if match:
            kernel = [int(match[1]), match[2], [int(v) for v in re.findall(r"%(\d+)", match[3])], 0]
        if kernel and (match and "body=graph" not in line or line.startswith("  }")):
            kernel[3] = type_bytes(line.rsplit(" : ", 1)[1].split(" @")[0], symbols)
            nodes.append(kernel)
            kernel = None
        if line.startswith("  return "):
            results = [int(v) for v in re.findall(r"%(\d+)", line)]
    home, last, size = {}, {}, {}
    for at, (name, op, operands, size_here) in enumerate(nodes):
        if op == "const":
            continue
        home[name] = home.get(operands[0]) if op in VIEWS else name
        size[name] = size_here
        for v in [*operands, name]:
            if home.get(v) is not None:
                last[home[v]] = at
    last.update({home[v]: len(nodes) for v in results if home.get(v) is not None})
    first = {name: at for at, (name, op, _, _) in enumerate(nodes) if home.get(name) == name}
    return max(sum(size[v] for v in first if first[v] <= at <= last[v]) for at in range(len(nodes)))


def resident():
    """Bytes of this process's memory that no file backs."""
    with open("/proc/self/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon")).split()[1]) * 1024


def touching(library, gained):
    """Seconds of the processor to touch the pages of a file, mapped anew, and as many bytes of new memory as were gained."""
    start = time.process_time()
    with open(library, "rb") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as pages:
        pages[::mmap.PAGESIZE]
    with mmap.mmap(-1, max(gained, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1, gained)
    return time.process_time() - start


def child(name, library):
    """In a process of its own: bytes gained, milliseconds to the first result, of a warm run, and of touching the pages alone."""
    inputs = SUBJECTS[name](np.random.default_rng(1))
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # the machine's rounding up to 2 MB is not the library's
    before, start = resident(), time.process_time()
    context = ingot.Model(library).context()
    call = context.prepare(inputs)
    context.execute(call)
    first, warm = time.process_time() - start, []
    for _ in range(3):
        start = time.process_time()
        context.execute(call)
        warm.append(time.process_time() - start)
    gained = resident() - before
    print(gained, first * 1e3, min(warm) * 1e3, touching(library, gained) * 1e3)


def measure(name):
    path = PLACES[name](name + ".onnx") if name in PLACES else models.graph(name)
    library, live = ingot.artifact(path), live_set(path, SUBJECTS[name](np.random.default_rng(1)))
    runs = [[float(x) for x in subprocess.run([sys.executable, __file__, "--child", name, library], check=True, text=True,
                                              stdout=subprocess.PIPE).stdout.split()] for _ in range(5)]
    gained, allowed = min(r[0] for r in runs), 1.25 * live + SCRATCH
    yield models.judge(f"memory {name}", gained <= allowed,
                       f"{gained / 1e6:.2f} MB beside the library's {os.path.getsize(library) / 1e6:.1f} "
                       f"(<= {allowed / 1e6:.2f}; live set {live / 1e6:.2f})")
    if name == "mobilenet_v2":
        over, floor = min(r[1] - r[2] for r in runs), min(r[3] for r in runs)
        allowed = max(FIRST_MS, FAULTS * floor)
        yield models.judge(f"first result {name}", over <= allowed,
                           f"{over:.1f} ms more than a warm run (<= {allowed:.1f}; touching its pages takes {floor:.1f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        os.makedirs(ingot.ARTIFACTS, exist_ok=True)
        models.finish([r for name in sys.argv[1:] or SUBJECTS for r in measure(name)])
