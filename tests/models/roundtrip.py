"""Printed Loop IR is the whole artifact: `compile m.onnx --emit=loop` and then `compile m.loop` gives the library, and the C
text, that `compile m.onnx` gives, byte for byte.

usage: roundtrip.py [NAME...]
"""
import os
import shutil
import sys
import tempfile

import ingot
import models

SMALL = ["mnist_keras_opset7", "version-RFB-320", "silero_vad_16k_op15"]
GRAPHS = ["mlp_small", "mobilenet_v2", "resnet50", "minilm", "vit_b_16", "bert_base", "gpt2"]


def same_bytes(a, b):
    if os.path.getsize(a) != os.path.getsize(b):
        return False
    with open(a, "rb") as x, open(b, "rb") as y:
        while True:
            p, q = x.read(1 << 24), y.read(1 << 24)
            if p != q:
                return False
            if not p:
                return True


def check(name):
    path = models.given(name + ".onnx") if name in SMALL else models.graph(name)
    c_name = "".join(c if c.isalnum() else "_" for c in name)
    folder = tempfile.mkdtemp(prefix="roundtrip-", dir=ingot.ARTIFACTS)
    at = lambda file: os.path.join(folder, file)  # noqa: E731
    # A C text holds its weights as numbers: beyond some MB they are better kept beside it.
    beside = ["--weights=file"] if name in GRAPHS[1:] else []
    try:
        verdicts = []
        for suffix, flags in ((".so", []), (".c", beside)):
            os.makedirs(at("a")), os.makedirs(at("b"))
            direct, loop, again = at("a/m" + suffix), at("b/m.loop"), at("b/m" + suffix)
            # Name and place of weights are part of Loop IR.
            ingot.compile_to(path, direct, f"--name={c_name}", *flags)
            ingot.compile_to(path, loop, f"--name={c_name}", *flags)
            ingot.compile_to(loop, again)
            verdicts.append((suffix, same_bytes(direct, again), os.path.getsize(direct)))
            shutil.rmtree(at("a")), shutil.rmtree(at("b"))
        figures = ", ".join(f"{s} {'equal' if ok else 'DIFFERS'} ({n} bytes)" for s, ok, n in verdicts)
        return models.judge(f"roundtrip {name}", all(ok for _, ok, _ in verdicts), figures)
    except ingot.CompileError as e:
        return models.judge(f"roundtrip {name}", False, str(e))
    finally:
        shutil.rmtree(folder)


os.makedirs(ingot.ARTIFACTS, exist_ok=True)
models.finish([check(n) for n in sys.argv[1:] or SMALL + GRAPHS])
