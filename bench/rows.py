"""What is measured: a row is a model at given sizes.

GROUPS: `big` is bound by multiply-adds, `small` by everything else, `operators` are single ones (operators.py).  Inputs are
seeded.  A model that is not there makes its rows dashes (tests/models/models.py says where models come from).
FLOOR: what `--preset=floor --check` demands, and its rows.
"""
import os
from dataclasses import dataclass
from typing import Callable

import numpy as np

import ingot
import models
import operators


@dataclass
class Row:
    name: str
    group: str
    path: Callable    # -> the .onnx file
    inputs: Callable  # -> name: array
    flags: tuple = ()        # of ingot compile, beside those of the column
    ours: Callable = dict    # of those inputs: what the library then takes
    same: str = ""           # a row whose model with fixed sizes is this one's
    loose: bool = False      # results move by whole steps of a quantized number

    def donated(self):
        """Outputs that are written where an input lies."""
        pairs = [f.removeprefix("--donate=").split(",") for f in self.flags if f.startswith("--donate=")]
        return [pair.partition("=")[0] for found in pairs for pair in found]


def image(batch):
    return lambda: {"image": np.random.default_rng(1).standard_normal((batch, 3, 224, 224), dtype=np.float32)}


def tokens(batch, length):
    return lambda: {"ids": np.random.default_rng(1).integers(5, 1000, (batch, length)), "mask": np.ones((batch, length), np.int64)}


def cached(new, past):
    def make():
        rng, cache = np.random.default_rng(1), (12, 1, 12, past, 64)
        return {"ids": rng.integers(5, 1000, (1, new)), "past_k": rng.standard_normal(cache, dtype=np.float32),
                "past_v": rng.standard_normal(cache, dtype=np.float32)}
    return make


def with_room(inputs):
    """The caches as buffers with room for what is appended, written in place (docs/attention.md)."""
    new, past = inputs["ids"].shape[1], inputs["past_k"].shape[3]
    room = [(0, 0)] * 3 + [(0, new), (0, 0)]
    return {"ids": inputs["ids"], "past": np.array(past), **{n: np.pad(inputs[n], room) for n in ("past_k", "past_v")}}


def floats(**shapes):
    return lambda: {n: np.random.default_rng(1).standard_normal(s, dtype=np.float32) for n, s in shapes.items()}


def chunk():
    return {"input": 0.1 * np.random.default_rng(1).standard_normal((1, 576), dtype=np.float32),
            "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


def made(name):
    return lambda: models.graph(name)


ROWS = [
    Row("resnet50-b1", "big", made("resnet50"), image(1)),
    Row("resnet50-b8", "big", made("resnet50"), image(8)),
    Row("vit_b_16-b1", "big", made("vit_b_16"), image(1)),
    Row("bert_base-1x128", "big", made("bert_base"), tokens(1, 128)),
    Row("bert_base-8x32", "big", made("bert_base"), tokens(8, 32)),
    Row("minilm-1x128", "big", made("minilm"), tokens(1, 128)),
    Row("minilm-8x128", "big", made("minilm"), tokens(8, 128)),
    Row("gpt2-prefill-128", "big", made("gpt2"), cached(128, 0)),
    Row("gpt2-decode-256", "small", made("gpt2"), cached(1, 256)),
    Row("gpt2-decode-256-donated", "small", made("gpt2"), cached(1, 256), ("--donate=k=past_k,v=past_v",), with_room,
        "gpt2-decode-256"),
    Row("minilm-1x16", "small", made("minilm"), tokens(1, 16)),
    Row("mobilenet_v2-b1", "small", made("mobilenet_v2"), image(1)),
    Row("mlp_small-b1", "small", made("mlp_small"), floats(x=(1, 64))),
    Row("mlp_small-b64", "small", made("mlp_small"), floats(x=(64, 64))),
    Row("silero-chunk", "small", lambda: models.given("silero_vad_16k_op15.onnx"), chunk),
    Row("rfb320-b1", "small", lambda: models.given("version-RFB-320.onnx"), floats(input=(1, 3, 240, 320))),
    Row("digits-b1", "small", lambda: os.path.join(ingot.ROOT, "examples", "digits", "digits.onnx"), floats(image=(1, 1, 8, 8))),
]
ROWS += [Row(name, "operators", lambda name=name: operators.path(name), lambda name=name: operators.inputs(name))
         for name in operators.OPERATORS]

FLOOR = {  # row: (what, limit): at most this many times ONNX Runtime's time, or at least this share of the FMA peak
    "rfb320-b1": ("times", 2.0), "mobilenet_v2-b1": ("times", 2.0), "minilm-1x128": ("times", 2.0), "resnet50-b1": ("times", 1.6),
    "gemm-512": ("share", 0.80), "gemm-1024": ("share", 0.80),
}
