"""ONNX Runtime through its C API by ctypes: no time of Python's in the figures of small models.

API is a table of functions whose order is frozen; the numbers are positions in OrtApi (onnxruntime_c_api.h, since version 1).
"""
import ctypes as C
import glob
import importlib.util
import os

import numpy as np

GET_ERROR_MESSAGE, CREATE_ENV, CREATE_SESSION, RUN, CREATE_SESSION_OPTIONS = 2, 3, 7, 9, 10
SET_INTRA_OP_THREADS, SET_INTER_OP_THREADS = 24, 25
CREATE_TENSOR_WITH_DATA, GET_TENSOR_DATA, GET_ELEMENT_TYPE, GET_N_DIMS, GET_DIMS, GET_TYPE_AND_SHAPE = 49, 51, 60, 61, 62, 65
CREATE_CPU_MEMORY_INFO = 69
VERSION, ERRORS_ONLY = 1, 3


class Base(C.Structure):
    _fields_ = [("get_api", C.CFUNCTYPE(C.POINTER(C.c_void_p), C.c_uint32)), ("get_version", C.c_void_p)]


def pointers(values):
    return (C.c_void_p * max(1, len(values)))(*values)


class Session:
    """After a first run the outputs are kept: further runs write into them."""

    def __init__(self, path, inputs, output_names, threads, types):
        """types: numpy dtype -> ONNX's number."""
        found = importlib.util.find_spec("onnxruntime")
        if not found:
            raise ModuleNotFoundError("onnxruntime", name="onnxruntime")
        self.library = C.CDLL(glob.glob(os.path.join(os.path.dirname(found.origin), "capi", "libonnxruntime.so*"))[0])
        self.library.OrtGetApiBase.restype = C.POINTER(Base)
        self.api, self.types = self.library.OrtGetApiBase().contents.get_api(VERSION), {n: t for t, n in types.items()}
        env, options = self.new(CREATE_ENV, C.c_int(ERRORS_ONLY), C.c_char_p(b"bench")), self.new(CREATE_SESSION_OPTIONS)
        self.call(SET_INTRA_OP_THREADS, options, C.c_int(threads))
        self.call(SET_INTER_OP_THREADS, options, C.c_int(1))
        self.session = self.new(CREATE_SESSION, env, C.c_char_p(path.encode()), options)
        memory = self.new(CREATE_CPU_MEMORY_INFO, C.c_int(0), C.c_int(0))
        self.kept, values = [np.ascontiguousarray(x).reshape(x.shape) for x in inputs.values()], []
        for x in self.kept:
            dims = (C.c_int64 * max(1, x.ndim))(*x.shape)
            values.append(self.new(CREATE_TENSOR_WITH_DATA, memory, C.c_void_p(x.ctypes.data), C.c_size_t(x.nbytes), dims,
                                   C.c_size_t(x.ndim), C.c_int(types[x.dtype])))
        self.names = [[C.c_char_p(n.encode()) for n in names] for names in (inputs, output_names)]
        tables = [(C.c_char_p * max(1, len(n)))(*n) for n in self.names]
        self.n = len(output_names)
        self.values, self.outputs_ = pointers([v.value for v in values]), pointers([None] * self.n)
        self.arguments = [self.session, C.c_void_p(), tables[0], self.values, C.c_void_p(len(values)), tables[1],
                          C.c_void_p(self.n), self.outputs_]

    def call(self, index, *arguments):
        self.check(C.CFUNCTYPE(C.c_void_p)(self.api[index])(*arguments))

    def check(self, status):
        if status:
            message = C.CFUNCTYPE(C.c_char_p, C.c_void_p)(self.api[GET_ERROR_MESSAGE])
            raise RuntimeError(message(status).decode(errors="replace"))

    def new(self, index, *arguments):
        made = C.c_void_p()
        self.call(index, *arguments, C.byref(made))
        return made

    def first(self):
        """Runs once; the outputs are allocated."""
        self.call(RUN, *self.arguments)

    def outputs(self):
        found = []
        for i in range(self.n):
            value = C.c_void_p(self.outputs_[i])
            info, data = self.new(GET_TYPE_AND_SHAPE, value), self.new(GET_TENSOR_DATA, value)
            kind, rank = C.c_int(), C.c_size_t()
            self.call(GET_ELEMENT_TYPE, info, C.byref(kind))
            self.call(GET_N_DIMS, info, C.byref(rank))
            dims = (C.c_int64 * max(1, rank.value))()
            self.call(GET_DIMS, info, dims, rank)
            dtype, shape = self.types[kind.value], tuple(dims[:rank.value])
            n = int(np.prod(shape, dtype=np.int64))
            found.append(np.frombuffer(C.string_at(data.value, n * dtype.itemsize) if n else b"", dtype).reshape(shape))
        return found
