"""Who is measured: one class for each peer, all called the same way.  A peer lives in a worker process (worker.py).

A peer is made from a Spec, loaded and ready.  run(n, processor) runs it n times and returns nanoseconds each; outputs() gives
the arrays of the last run, in the model's order.  Where it has a C interface the loop is C (loop.c), else Python's, which costs
about a microsecond a call.  What a peer lacks or refuses is an exception: the row's figure becomes a dash with that reason.
PEERS: name -> class; peers compete with the columns of ours that compute in the same `precision`; `slow` ones take minutes to compile a model.
"""
import ctypes as C
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np

import ingot

FOLDER = os.path.join(ingot.ROOT, "build", "bench")


@dataclass
class Spec:
    path: str      # the model as it is
    frozen: str    # the same with fixed sizes
    inputs: dict
    threads: int
    library: str   # what ingot compiled


def call_in_c(function, arguments, checked, on_failure):
    """run(n, processor) of a C function of up to eight pointers."""
    loop = C.CDLL(os.path.join(FOLDER, "loop.so"))
    loop.time_calls.argtypes = [C.c_void_p, C.c_void_p, C.c_int32, C.c_int32, C.c_int64, C.c_void_p]
    array = (C.c_void_p * 8)(*[C.cast(a, C.c_void_p) for a in arguments])

    def run(n, processor):
        ns = np.zeros(n, np.uint64)
        status = loop.time_calls(C.cast(function, C.c_void_p), array, checked, processor, n, ns.ctypes.data)
        if status:
            on_failure(status)
        return ns.tolist()
    return run


class Python:
    """The loop for peers whose interface is Python: subclasses set self.call."""

    def run(self, n, processor):
        clock, call, ns = time.process_time_ns if processor else time.perf_counter_ns, self.call, []
        for _ in range(n):
            start = clock()
            call()
            ns.append(clock() - start)
        return ns


class Ingot:
    def __init__(self, spec):
        context = self.context = ingot.Model(spec.library).context(threads=spec.threads)
        self.prepared = context.prepare(spec.inputs)
        self.run = call_in_c(context.model.m.run, [context.handle, C.pointer(self.prepared), C.pointer(context.error)], 1,
                             lambda status: ingot.raise_on(status, context.error))

    def outputs(self):
        return list(self.context.results(self.prepared).values())


class OnnxRuntime:
    def __init__(self, spec):
        import onnx

        import onnx_runtime
        names = [v.name for v in onnx.load(spec.path, load_external_data=False).graph.output]
        types = {np.dtype(d): n for d, n in ((np.float32, 1), (np.uint8, 2), (np.int8, 3), (np.int32, 6), (np.int64, 7), (np.bool_, 9),
                                             (np.float16, 10), (np.float64, 11))}
        session = self.session = onnx_runtime.Session(spec.path, spec.inputs, names, spec.threads, types)
        session.first()
        self.run = call_in_c(C.c_void_p(session.api[onnx_runtime.RUN]), session.arguments, 1, lambda _: session.first())
        self.outputs = session.outputs


class OpenVino(Python):
    precision, fixed = "f32", False

    def __init__(self, spec):
        import openvino
        core = openvino.Core()
        model = core.read_model(spec.path)
        if self.fixed:
            model.reshape({name: list(x.shape) for name, x in spec.inputs.items()})
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": spec.threads, "NUM_STREAMS": 1,
                                                     "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self.precision})
        request = self.request = compiled.create_infer_request()
        self.inputs = {n: np.ascontiguousarray(x).reshape(x.shape) for n, x in spec.inputs.items()}  # tensors only point at them
        for name, x in self.inputs.items():
            request.set_tensor(name, openvino.Tensor(x, shared_memory=True))
        self.n_outputs = len(compiled.outputs)
        self.call = lambda: (request.start_async(), request.wait())

    def outputs(self):
        return [np.array(self.request.get_output_tensor(i).data) for i in range(self.n_outputs)]


class OpenVinoFixed(OpenVino):
    fixed = True


class OpenVinoBf16(OpenVino):
    precision = "bf16"


class Inductor(Python):
    """torch.compile with freezing, of the frozen graph in torch's own operators (onnx_torch.py)."""

    def __init__(self, spec):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(FOLDER, "inductor")
        import torch
        import torch._inductor.config

        import onnx_torch
        torch.set_num_threads(spec.threads)
        torch._inductor.config.freezing = True
        torch._inductor.config.cpp.threads = spec.threads
        module, names = onnx_torch.load(spec.frozen)
        compiled, self.inputs = torch.compile(module), [torch.from_numpy(spec.inputs[n]) for n in names]
        torch.no_grad().__enter__()
        self.call = lambda: setattr(self, "result", compiled(*self.inputs))

    def outputs(self):
        return [y.numpy() for y in self.result]


class OpenBlas(Python):
    """The OpenBLAS that numpy brings, for models that are one product of matrices: what multiplying alone costs there."""

    def __init__(self, spec):
        import onnx
        import threadpoolctl
        graph = onnx.load(spec.frozen).graph
        matrices = {**{t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}, **spec.inputs}
        if [n.op_type for n in graph.node] != ["MatMul"]:
            raise NotImplementedError("multiplies matrices alone")
        a, b = (matrices[name] for name in graph.node[0].input)
        if a.dtype != np.float32 or a.ndim != 2 or b.ndim != 2:
            raise NotImplementedError("multiplies two matrices of f32 alone")
        threadpoolctl.threadpool_limits(spec.threads, "blas")
        self.result = np.empty((a.shape[0], b.shape[1]), np.float32)
        self.call = lambda: np.matmul(a, b, out=self.result)

    def outputs(self):
        return [self.result]


# ---- compiled to a file, which is kept ------------------------------------------------------------------------------

def kept(spec, peer, suffix, make):
    """Path of what make(path) writes for the frozen model; kept while that is the same."""
    key = hashlib.sha256(ingot.file_hash(spec.frozen).encode()).hexdigest()[:12]
    name = os.path.basename(spec.frozen).split(".onnx")[0].removesuffix(".frozen")
    path = os.path.join(FOLDER, peer, f"{name}-{key}", "model" + suffix)
    if not os.path.exists(path):
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
        os.makedirs(os.path.dirname(path))
        make(path)
    return path


def tool(folder, *command):
    """Runs a program of the venv, or of the system, in the model's folder; what it says becomes the reason."""
    beside = os.path.join(os.path.dirname(sys.executable), command[0])
    program = beside if os.path.exists(beside) else command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        said = done.stderr.splitlines()
        lines = [s for s in said if "error" in s.lower()] + said + [f"exit status {done.returncode}"]
        raise RuntimeError(f"{command[0]}: {lines[0][:300]}")


class Iree(Python):
    def __init__(self, spec):
        import iree.runtime as rt

        def make(path):
            mlir, folder = path + ".mlir", os.path.dirname(spec.frozen)
            tool(folder, "iree-import-onnx", spec.frozen, "-o", mlir)
            tool(folder, "iree-compile", mlir, "-o", path + ".part", "--iree-hal-target-device=local",
                 "--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3",
                 "--iree-llvmcpu-stack-allocation-limit=262144")  # 32 KiB are too few for its attention and softmax
            os.replace(path + ".part", path)
            os.remove(mlir)
        config = rt.Config("local-sync" if spec.threads == 1 else "local-task")
        context = rt.SystemContext(config=config)
        module = rt.VmModule.mmap(context.instance, kept(spec, "iree", ".vmfb", make))
        context.add_vm_module(module)
        entry = next(f for f in module.function_names if not f.startswith("__") and not f.endswith("$async"))
        function = context.modules[module.name][entry]
        arguments = [rt.asdevicearray(config.device, x) for x in frozen_inputs(spec)]
        self.call = lambda: setattr(self, "result", function(*arguments))

    def outputs(self):
        return [np.asarray(y) for y in (self.result if isinstance(self.result, (list, tuple)) else (self.result,))]


class Emx:
    """C by emx-onnx-cgen, compiled as a user would who wants it fast."""

    def __init__(self, spec):
        if spec.threads > 1:
            raise NotImplementedError("emx-onnx-cgen has no threads")

        def make(path):
            source, folder = os.path.join(os.path.dirname(path), "model.c"), os.path.dirname(spec.frozen)
            tool(folder, "emx-onnx-cgen", "compile", spec.frozen, source, "--model-name", "model")
            tool(folder, "gcc", "-O3", "-march=native", "-ffast-math", "-w", "-shared", "-fPIC", source, "-o", path, "-lm")
        path = kept(spec, "emx", ".so", make)
        with open(os.path.join(os.path.dirname(path), "model.c")) as f:
            parameters = re.search(r"^void model\(([^)]*)\)", f.read(), re.M)
        library = C.CDLL(path)
        weights = os.path.join(os.path.dirname(path), "model.bin")
        if os.path.exists(weights):
            library.model_load.restype = C.c_bool
            if not library.model_load(weights.encode()):
                raise RuntimeError("its weights do not load")
        import onnx
        model = onnx.load(spec.frozen, load_external_data=False)
        kinds = [v.type.tensor_type for v in model.graph.output]
        self.arrays = [np.ascontiguousarray(x) for x in frozen_inputs(spec)]
        dtypes = [onnx.helper.tensor_dtype_to_np_dtype(k.elem_type) for k in kinds]
        self.results = [np.zeros([d.dim_value for d in k.shape.dim], t) for k, t in zip(kinds, dtypes)]
        pointers = [x.ctypes.data for x in self.arrays + self.results]
        if not parameters or len(parameters[1].split(",")) != len(pointers) or len(pointers) > 8:
            raise RuntimeError("its function takes other parameters than the model's inputs and outputs")
        self.run = call_in_c(library.model, pointers, 0, None)

    def outputs(self):
        return self.results


def frozen_inputs(spec):
    """In the order of the frozen model, which has lost those that became constants."""
    import onnx
    return [spec.inputs[v.name] for v in onnx.load(spec.frozen, load_external_data=False).graph.input]


@dataclass
class Peer:
    make: type
    precision: str = "f32"
    slow: bool = False
    frozen: bool = False
    package: str = ""  # whose version is noted


PEERS = {
    "ingot": Peer(Ingot),
    "ort": Peer(OnnxRuntime, package="onnxruntime"),
    "ov": Peer(OpenVino, package="openvino"),
    "ovfixed": Peer(OpenVinoFixed, package="openvino"),
    "ovbf16": Peer(OpenVinoBf16, precision="bf16", package="openvino"),
    "inductor": Peer(Inductor, frozen=True, package="torch"),
    "openblas": Peer(OpenBlas, frozen=True, package="numpy"),
    "iree": Peer(Iree, slow=True, frozen=True, package="iree-base-compiler"),
    "emx": Peer(Emx, slow=True, frozen=True, package="emx-onnx-cgen"),
}
DEFAULT = ("ort", "ov", "ovbf16", "inductor", "openblas")


def precision(name):
    """What a column computes in: a peer's, or ours as its flags say (`ingot:--precision=bf16`)."""
    own, _, flags = name.partition(":")
    return PEERS[own].precision if own != "ingot" else "bf16" if "--precision=bf16" in flags.split() else "f32"
