"""Models that nobody listed: some hundred and fifty architectures with random weights, exported to ONNX where they are asked for.

`bench/run --zoo` measures them: rows() is what it asks.  A model is written by export.py in a process of its own, under
MADE/zoo with its inputs beside it, and again where one of these files is newer.  All randomness is seeded by the name.
"""
import fnmatch
import glob
import os
import subprocess
import sys

import numpy as np

import models
from rows import Row

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(models.MADE, "zoo")
PACKAGES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "zoo-packages")


def install():
    """The exporter's packages, once: a folder that only the makers' processes see."""
    listed, done = os.path.join(HERE, "requirements.txt"), os.path.join(PACKAGES, "made")
    with open(listed) as f:
        wanted = f.read()
    if os.path.exists(done) and open(done).read() == wanted:
        return
    print("making build/zoo-packages: once", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade",
                    "--target", PACKAGES, "-r", listed], check=True)
    with open(done, "w") as f:
        f.write(wanted)


def export(*arguments):
    """What export.py prints; it alone imports torch."""
    install()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, PACKAGES])}
    done = subprocess.run([sys.executable, "-m", "zoo.export", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        models.skip(f"zoo.export {' '.join(arguments)}: {(done.stderr.strip().splitlines() or ['silent'])[-1][:200]}")
    return done.stdout


def path(name, kind):
    """The model's .onnx, made where it is missing or older than what makes it."""
    at = os.path.join(FOLDER, name + ".onnx")
    makers = [os.path.join(HERE, f) for f in (kind + ".py", "blocks.py", "export.py")]
    if not os.path.exists(at) or os.path.getmtime(at) < max(map(os.path.getmtime, makers)):
        os.makedirs(FOLDER, exist_ok=True)
        export(name, at)
    return at


def inputs(name, kind):
    with np.load(os.path.splitext(path(name, kind))[0] + ".npz") as f:
        return {n: f[n] for n in f.files}


def rows(pattern):
    """Rows of the architectures whose name, or kind, matches one of the patterns."""
    globs, found = pattern.split(","), []
    for name, kind, loose in (line.split() for line in export("--list").splitlines()):
        if any(fnmatch.fnmatch(name, g) or kind == g for g in globs):
            found.append(Row(name, "zoo", lambda n=name, k=kind: path(n, k), lambda n=name, k=kind: inputs(n, k),
                             loose=loose == "1"))
    return found
