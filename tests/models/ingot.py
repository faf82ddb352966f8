"""The generic artifact ABI (include/ingot_rt.h) by ctypes, and compiling through the command line with a cache.

compile_model() runs the `ingot` executable (environment INGOT, else build/release/ingot) and keeps what it wrote under
build/artifacts, named by hashes of the flags, and of the executable and the model's bytes: a changed compiler compiles again.
Model is a loaded library; Context runs it: run(inputs) -> outputs, both dicts of numpy arrays by the model's names.
Invariant: the structs below are those of ingot_rt.h, ABI 1.
"""
import ctypes as C
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INGOT = os.environ.get("INGOT", os.path.join(ROOT, "build", "release", "ingot"))
ARTIFACTS = os.path.join(ROOT, "build", "artifacts")

STATUS = ("OK ARG SHAPE DTYPE SHORT ALIGN INDEX CAPACITY MEMORY RESERVE CPU ABI WEIGHTS CANCELLED FORKED DEVICE "
          "DEVICE_LOST SYSTEM BUG").split()
DTYPES = {0x800: np.int8, 0x1000: np.int16, 0x2000: np.int32, 0x4000: np.int64, 0x801: np.uint8, 0x1001: np.uint16,
          0x2001: np.uint32, 0x4001: np.uint64, 0x1002: np.float16, 0x2002: np.float32, 0x4002: np.float64,
          0x806: np.bool_}
CODES = {np.dtype(t): code for code, t in DTYPES.items()}


class Failure(Exception):
    """A status other than OK; .status is its name without the prefix INGOT_E_."""

    def __init__(self, status, text):
        super().__init__(f"{STATUS[status] if status < len(STATUS) else status}: {text}")
        self.status = STATUS[status] if status < len(STATUS) else str(status)


class Error(C.Structure):
    _fields_ = [("code", C.c_int32), ("text", C.c_char * 252)]


class Tensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("bytes", C.c_uint64), ("dims", C.c_int64 * 8), ("strides", C.c_int64 * 8),
                ("dtype", C.c_uint32), ("rank", C.c_int32), ("device", C.c_int32), ("device_id", C.c_int32),
                ("reserved", C.c_uint64 * 4)]


class Memory(C.Structure):
    _fields_ = [("base", C.c_void_p), ("bytes", C.c_uint64)]


class Symbol(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p), ("min", C.c_int64),
                ("max", C.c_int64), ("multiple", C.c_int64), ("hint", C.c_int64)]


class TensorInfo(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p), ("dtype", C.c_uint32),
                ("rank", C.c_int32), ("alias", C.c_int32), ("dims", C.POINTER(C.c_int64)),
                ("dim_text", C.POINTER(C.c_char_p))]


class Entry(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p), ("n_inputs", C.c_uint32),
                ("n_outputs", C.c_uint32), ("inputs", C.POINTER(C.POINTER(TensorInfo))),
                ("outputs", C.POINTER(C.POINTER(TensorInfo)))]


TASK = C.CFUNCTYPE(None, C.c_void_p, C.c_int64, C.c_int32)
PARALLEL_RUN = C.CFUNCTYPE(None, C.c_void_p, C.c_int64, C.c_int32, TASK, C.c_void_p)


class Parallel(C.Structure):
    _fields_ = [("size", C.c_uint32), ("workers", C.c_int32), ("user", C.c_void_p), ("run", PARALLEL_RUN)]


class Options(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("weights", C.c_void_p),
                ("parallel", C.POINTER(Parallel)), ("device", C.c_int32), ("device_id", C.c_int32),
                ("memory", Memory * 4), ("tier", C.c_uint32), ("reserved", C.c_uint32)]


class Call(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("entry", C.c_uint32), ("max_workers", C.c_int32),
                ("n_inputs", C.c_uint32), ("n_outputs", C.c_uint32), ("inputs", C.POINTER(Tensor)),
                ("outputs", C.POINTER(Tensor)), ("state", C.c_void_p), ("stream", C.c_void_p),
                ("cancel", C.POINTER(C.c_uint32)), ("trace", C.c_void_p), ("trace_user", C.c_void_p)]


def method(*args):
    return C.CFUNCTYPE(C.c_int32, *args, C.POINTER(Error))


class ModelStruct(C.Structure):
    _fields_ = [("size", C.c_uint32), ("abi", C.c_uint32)] + \
        [(n, C.c_char_p) for n in ("name", "compiler", "target", "cpu", "numerics", "licence")] + \
        [("model_sha256", C.c_uint8 * 32), ("weights_sha256", C.c_uint8 * 32), ("weights_bytes", C.c_uint64),
         ("alignment", C.c_uint32), ("n_symbols", C.c_uint32), ("n_entries", C.c_uint32), ("reserved", C.c_uint32),
         ("symbols", C.POINTER(C.POINTER(Symbol))), ("entries", C.POINTER(C.POINTER(Entry))),
         ("query", C.c_void_p), ("weights_open", C.c_void_p), ("weights_close", C.c_void_p),
         ("create", method(C.c_void_p, C.POINTER(Options), C.POINTER(C.c_void_p))),
         ("destroy", C.CFUNCTYPE(None, C.c_void_p)),
         ("reserve", method(C.c_void_p, C.c_uint32, C.POINTER(C.c_int64))), ("use_weights", C.c_void_p),
         ("run", method(C.c_void_p, C.POINTER(Call))), ("state_open", C.c_void_p), ("state_copy", C.c_void_p),
         ("state_close", C.c_void_p), ("pool_open", method(C.c_int32, C.POINTER(Parallel))),
         ("pool_close", C.CFUNCTYPE(None, C.POINTER(Parallel))), ("self_test", C.c_void_p)]


def raise_on(status, error):
    if status:
        raise Failure(status, error.text.decode(errors="replace"))


# ---- loading and running --------------------------------------------------------------------------------------------

class Model:
    def __init__(self, path):
        self.library = C.CDLL(path, mode=os.RTLD_LOCAL | os.RTLD_NOW)
        getter = self.library.ingot_model_v1
        getter.restype = C.POINTER(ModelStruct)
        self.pointer = getter()
        self.m = self.pointer.contents
        assert self.m.abi >> 16 == 1 and self.m.size >= C.sizeof(ModelStruct)
        entry = self.m.entries[0].contents
        self.inputs = [entry.inputs[i].contents for i in range(entry.n_inputs)]
        self.outputs = [entry.outputs[i].contents for i in range(entry.n_outputs)]
        self.symbols = {self.m.symbols[i].contents.name.decode(): self.m.symbols[i].contents
                        for i in range(self.m.n_symbols)}

    def context(self, **how):
        return Context(self, **how)

    def run(self, inputs):
        return self.context().run(inputs)


class Context:
    """threads: the artifact's own pool; parallel: a Parallel of the host's; tier: of the CPU tiers the first so many, 0 all."""

    def __init__(self, model, threads=1, parallel=None, tier=0):
        self.model, self.pool, self.made_pool = model, parallel, False
        m, error = model.m, Error()
        if threads > 1:
            self.pool, self.made_pool = Parallel(size=C.sizeof(Parallel)), True
            raise_on(m.pool_open(threads, C.byref(self.pool), C.byref(error)), error)
        options = Options(size=C.sizeof(Options), tier=tier)
        if self.pool is not None:
            options.parallel = C.pointer(self.pool)
        self.handle = C.c_void_p()
        raise_on(m.create(C.cast(model.pointer, C.c_void_p), C.byref(options), C.byref(self.handle), C.byref(error)), error)
        self.error = error

    def close(self):
        if self.handle:
            self.model.m.destroy(self.handle)
            self.handle = None
            if self.made_pool:
                self.model.m.pool_close(C.byref(self.pool))

    __del__ = close

    def reserve(self, **sizes):
        names = [n for n, s in self.model.symbols.items() if not s.flags & 1]
        values = (C.c_int64 * max(1, len(names)))(*[sizes[n] for n in names])
        raise_on(self.model.m.reserve(self.handle, 0, values, C.byref(self.error)), self.error)

    def prepare(self, inputs, max_workers=0):
        """A call that can be repeated, `execute`: its tensors point at the arrays given."""
        ins = (Tensor * max(1, len(self.model.inputs)))()
        outs = (Tensor * max(1, len(self.model.outputs)))()
        kept = []
        for t, info in zip(ins, self.model.inputs):
            x = np.ascontiguousarray(inputs[info.name.decode()])
            kept.append(x)
            t.data, t.bytes, t.dtype, t.rank = x.ctypes.data, x.nbytes, CODES[x.dtype], x.ndim
            for i, d in enumerate(np.shape(inputs[info.name.decode()])):
                t.dims[i] = d
            t.rank = np.ndim(inputs[info.name.decode()])
        for t, info in zip(outs, self.model.outputs):
            t.dtype = info.dtype
        call = Call(size=C.sizeof(Call), max_workers=max_workers, n_inputs=len(self.model.inputs),
                    n_outputs=len(self.model.outputs), inputs=ins, outputs=outs)
        call.kept = (kept, ins, outs)
        return call

    def execute(self, call):
        raise_on(self.model.m.run(self.handle, C.byref(call), C.byref(self.error)), self.error)

    def results(self, call):
        out = {}
        for t, info in zip(call.kept[2], self.model.outputs):
            dims, dtype = tuple(t.dims[i] for i in range(t.rank)), np.dtype(DTYPES[t.dtype])
            n = int(np.prod(dims, dtype=np.int64))
            raw = C.string_at(t.data, n * dtype.itemsize) if n else b""
            out[info.name.decode()] = np.frombuffer(raw, dtype).reshape(dims).copy()
        return out

    def run(self, inputs, max_workers=0):
        call = self.prepare(inputs, max_workers)
        self.execute(call)
        return self.results(call)


def shuffled_parallel(workers, seed=1):
    """A host's pool that runs the tasks of every launch in a shuffled order on one thread, under changing worker ids."""
    rng = random.Random(seed)

    def run(_user, n, allowed, task, arg):
        order = list(range(n))
        rng.shuffle(order)
        for i in order:
            task(arg, i, rng.randrange(min(workers, allowed)))

    p = Parallel(size=C.sizeof(Parallel), workers=workers)
    p.run = PARALLEL_RUN(run)
    return p


# ---- compiling ------------------------------------------------------------------------------------------------------

class CompileError(Exception):
    pass


_file_hashes = {}


def file_hash(path):
    """Bytes of small files; size and time of large ones (weights of hundreds of MB)."""
    st = os.stat(path)
    key = (path, st.st_size, st.st_mtime_ns)
    if key not in _file_hashes:
        if st.st_size > 16 << 20:
            _file_hashes[key] = repr(key)
        else:
            with open(path, "rb") as f:
                _file_hashes[key] = hashlib.sha256(f.read()).hexdigest()
    return _file_hashes[key]


def compile_to(model, out, *flags):
    """Compiles without the cache; returns seconds."""
    start = time.perf_counter()
    done = subprocess.run([INGOT, "compile", model, "-o", out, "--quiet", *flags], capture_output=True, text=True)
    if done.returncode:
        raise CompileError(f"ingot compile {os.path.basename(model)} {' '.join(flags)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def keys(model, compiler=INGOT):
    """What an artifact depends on besides flags: the compiler and the model's bytes, its weights included."""
    side = os.path.splitext(model)[0] + ".bin"
    return [file_hash(compiler), file_hash(model), file_hash(side) if os.path.exists(side) else ""]


def short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def artifact(model, *flags, suffix=".so"):
    """Path of the compiled model, from the cache where it is there."""
    if not os.path.exists(INGOT):
        print(f"skipped: no compiler at {INGOT}")
        sys.exit(77)
    name = os.path.splitext(os.path.basename(model))[0]
    variants = os.path.join(ARTIFACTS, f"{name}-{short(chr(10).join(flags))}")
    path = os.path.join(variants, short(chr(10).join(keys(model))), "lib" + name + suffix)
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        drop_old(variants)
        compile_to(model, path, *flags)
    return path


def drop_old(variants, keep=2):
    """Of artifacts that differ in the compiler or the model's bytes alone the newest are kept: some are hundreds of MB."""
    folders = sorted((os.path.join(variants, f) for f in os.listdir(variants)), key=os.path.getmtime)
    for folder in folders[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def load(model, *flags):
    return Model(artifact(model, *flags))
