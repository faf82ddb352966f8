"""Random networks out of ONNX operators for composed.py: what the importer, the passes and the templates meet in any order.

compose(seed) -> Composition.  Every value is known by its shape at each of VALUATIONS: an extent that is the same in all of
them is static, and two values whose shapes agree in all of them agree.  Invariants: a function of the seed alone; values stay
near 1 (sums are scaled, no function with a jump), so that results may be compared; some value is used more than once.
"""
import random
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

VALUATIONS = ({"batch": 2, "length": 7}, {"batch": 1, "length": 16}, {"batch": 3, "length": 33})
LARGEST = 40000  # elements of a value


@dataclass
class Value:
    name: str
    shapes: tuple  # of tuples, one per valuation

    @property
    def rank(self):
        return len(self.shapes[0])

    def static(self, axis):
        """The extent, or None where it depends on the valuation."""
        extents = {s[axis] for s in self.shapes}
        return extents.pop() if len(extents) == 1 else None


@dataclass
class Composition:
    model: object
    inputs: dict  # name -> shapes, one per valuation


def too_large(shapes):
    return max(np.prod(s) for s in shapes) > LARGEST


class Composer:
    def __init__(self, seed):
        self.random, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.nodes, self.weights, self.values, self.inputs, self.used = [], [], [], {}, set()

    # ---- values -----------------------------------------------------------------------------------------------------

    def constant(self, array, dtype=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def normal(self, *shape, scale=1.0):
        return self.constant(self.numbers.standard_normal(shape) * scale)

    def integers(self, *numbers):
        return self.constant(numbers, np.int64)

    def node(self, op, inputs, shapes, outputs=1, **attributes):
        """Appends a node; shapes are its first output's.  Returns that output, known from now on."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        operands = [i.name if isinstance(i, Value) else i for i in inputs]
        self.nodes.append(helper.make_node(op, operands, names, **attributes))
        self.used.update(operands)
        value = Value(names[0], tuple(tuple(s) for s in shapes))
        self.values.append(value)
        return value

    def known(self, name, shapes):
        self.values.append(Value(name, tuple(tuple(s) for s in shapes)))

    def input(self, dims):
        name = f"x{len(self.inputs)}"
        shapes = tuple(tuple(v.get(d, d) for d in dims) for v in VALUATIONS)
        self.inputs[name] = (dims, shapes)
        self.known(name, shapes)

    def pick(self, ok=lambda v: True):
        """A value that fits, late ones more often; None where there is none."""
        fits = [v for v in self.values if ok(v)]
        if not fits:
            return None
        return fits[-1 - min(int(self.random.expovariate(0.4)), len(fits) - 1)]

    # ---- operators: each appends nodes, or returns where nothing fits -------------------------------------------------

    def unary(self):
        x = self.pick()
        op = self.random.choice("Relu Sigmoid Tanh Erf Abs Neg LeakyRelu HardSwish Softplus Elu Sin Cos Gelu Mish Softsign".split())
        self.node(op, [x], x.shapes)

    def power(self):
        x = self.pick()
        small = self.node("Tanh", [x], x.shapes)
        op = self.random.choice(("Exp", "Square", "Sqrt", "Reciprocal"))
        if op == "Exp":
            return self.node("Exp", [small], x.shapes)
        square = self.node("Mul", [small, small], x.shapes)
        if op == "Square":
            return square
        return self.node(op, [self.node("Add", [square, self.constant([0.5])], x.shapes)], x.shapes)

    def binary(self):
        x = self.pick()
        y = self.pick(lambda v: v.shapes == x.shapes)
        self.node(self.random.choice(("Add", "Sub", "Mul", "Max", "Min")), [x, y], x.shapes)

    def broadcast(self):
        """With a constant of some static axes, or with a value of extents 1 (what reductions keep)."""
        x = self.pick()
        op = self.random.choice(("Add", "Sub", "Mul", "Max"))

        def narrow(v):
            return v.rank == x.rank and v.shapes != x.shapes and all(
                a in (1, b) for s, t in zip(v.shapes, x.shapes) for a, b in zip(s, t))
        y = self.pick(narrow) if self.random.random() < 0.5 else None
        if y is None:
            axes = self.random.randint(1, x.rank)
            extents = [x.static(a) if x.static(a) and self.random.random() < 0.7 else 1 for a in range(x.rank - axes, x.rank)]
            y = self.normal(*extents)
        operands = [x, y] if self.random.random() < 0.7 else [y, x]
        self.node(op, operands, x.shapes)

    def choose(self):
        x = self.pick()
        y = self.pick(lambda v: v.shapes == x.shapes)
        larger = self.node("Greater", [x, y], x.shapes)
        self.values.pop()  # a bool is no operand of the others
        self.node("Where", [larger, x, y], x.shapes)

    def linear(self):
        x = self.pick(lambda v: v.rank >= 2 and v.static(v.rank - 1) is not None)
        if x is None:
            return
        k, n = x.static(x.rank - 1), self.random.choice((1, 3, 8, 16, 17, 24, 33, 64))
        y = self.node("MatMul", [x, self.normal(k, n, scale=k ** -0.5)], [s[:-1] + (n,) for s in x.shapes])
        if self.random.random() < 0.6:
            y = self.node("Add", [y, self.normal(n)], y.shapes)
        if self.random.random() < 0.5:
            self.node(self.random.choice(("Relu", "Gelu", "Tanh")), [y], y.shapes)

    def gemm(self):
        x = self.pick(lambda v: v.rank == 2 and v.static(1) is not None)
        if x is None:
            return
        k, n = x.static(1), self.random.choice((2, 10, 31, 48))
        self.node("Gemm", [x, self.normal(n, k, scale=k ** -0.5), self.normal(n)], [(s[0], n) for s in x.shapes], transB=1)

    def product(self):
        """x . y^T and its rows: attention without its name."""
        x = self.pick(lambda v: v.rank >= 3)
        if x is None:
            return
        y = self.pick(lambda v: v.rank == x.rank and all(s[:-2] + s[-1:] == t[:-2] + t[-1:] for s, t in zip(v.shapes, x.shapes)))
        turn = list(range(x.rank))
        turn[-1], turn[-2] = turn[-2], turn[-1]
        turned = self.node("Transpose", [y], [s[:-2] + (s[-1], s[-2]) for s in y.shapes], perm=turn)
        shapes = [s[:-1] + (t[-2],) for s, t in zip(x.shapes, y.shapes)]
        if too_large(shapes):
            return
        scores = self.node("MatMul", [self.node("Mul", [x, self.constant([0.2])], x.shapes), turned], shapes)
        if self.random.random() < 0.7:
            weights = self.node("Softmax", [scores], scores.shapes, axis=-1)
            self.node("MatMul", [weights, y], x.shapes)

    def softmax(self):
        x = self.pick(lambda v: v.rank >= 2)
        self.node(self.random.choice(("Softmax", "LogSoftmax")), [x], x.shapes, axis=self.random.randrange(x.rank))

    def normalise(self):
        x = self.pick(lambda v: v.rank >= 2 and (v.static(v.rank - 1) or 0) > 1)
        if x is None:
            return
        n = x.static(x.rank - 1)
        if self.random.random() < 0.5:
            return self.node("LayerNormalization", [x, self.normal(n), self.normal(n)], x.shapes, axis=-1)
        ones = [s[:-1] + (1,) for s in x.shapes]
        apart = self.node("Sub", [x, self.node("ReduceMean", [x, self.integers(-1)], ones, keepdims=1)], x.shapes)
        square = self.node("Mul", [apart, apart], x.shapes)
        spread = self.node("ReduceMean", [square, self.integers(-1)], ones, keepdims=1)
        root = self.node("Sqrt", [self.node("Add", [spread, self.constant([1e-3])], ones)], ones)
        self.node("Div", [apart, root], x.shapes)

    def reduce(self):
        x = self.pick(lambda v: v.rank >= 2)
        axes = sorted(self.random.sample(range(x.rank), self.random.randint(1, x.rank - 1)))
        keep = self.random.random() < 0.5
        shapes = [tuple(1 if a in axes else e for a, e in enumerate(s) if keep or a not in axes) for s in x.shapes]
        op = self.random.choice(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"))
        self.node(op, [x, self.integers(*axes)], shapes, keepdims=int(keep))

    def cumulate(self):
        x = self.pick()
        scaled = self.node("Mul", [x, self.constant([0.1])], x.shapes)
        self.node("CumSum", [scaled, self.constant(self.random.randrange(x.rank), np.int64)], x.shapes,
                  reverse=self.random.randint(0, 1), exclusive=self.random.randint(0, 1))

    # ---- movement -----------------------------------------------------------------------------------------------------

    def transpose(self):
        x = self.pick(lambda v: v.rank >= 2)
        order = list(range(x.rank))
        self.random.shuffle(order)
        self.node("Transpose", [x], [tuple(s[a] for a in order) for s in x.shapes], perm=order)

    def reshape(self):
        """Merges two neighbours, or splits a static extent."""
        x = self.pick(lambda v: v.rank >= 2)
        if self.random.random() < 0.5:
            a = self.random.randrange(x.rank - 1)
            shapes = [s[:a] + (s[a] * s[a + 1],) + s[a + 2:] for s in x.shapes]
            target = [0] * a + [-1] + [x.static(i) or None for i in range(a + 2, x.rank)]
        else:
            able = [i for i in range(x.rank) if (x.static(i) or 1) % 4 == 0]
            if not able:
                return
            a = self.random.choice(able)
            part = self.random.choice((2, 4))
            shapes = [s[:a] + (s[a] // part, part) + s[a + 1:] for s in x.shapes]
            target = [0] * a + [x.static(a) // part, part] + [x.static(i) or None for i in range(a + 1, x.rank)]
        free = [i for i, t in enumerate(target) if t is None]
        if len(free) + target.count(-1) > 1 or len(shapes[0]) > 5:
            return
        for i in free:
            target[i] = -1
        self.node("Reshape", [x, self.integers(*target)], shapes)

    def concat(self):
        x = self.pick()
        axis = self.random.randrange(x.rank)

        def beside(v):
            return v.rank == x.rank and all(s[:axis] + s[axis + 1:] == t[:axis] + t[axis + 1:] for s, t in zip(v.shapes, x.shapes))
        parts = [x] + [self.pick(beside) for _ in range(self.random.randint(1, 2))]
        self.random.shuffle(parts)
        shapes = [s[:axis] + (sum(p.shapes[i][axis] for p in parts),) + s[axis + 1:] for i, s in enumerate(x.shapes)]
        if not too_large(shapes):
            self.node("Concat", parts, shapes, axis=axis)

    def split(self):
        able = [(v, a) for v in self.values for a in range(v.rank) if (v.static(a) or 1) % 2 == 0]
        if not able:
            return
        x, axis = self.random.choice(able)
        half = [s[:axis] + (s[axis] // 2,) + s[axis + 1:] for s in x.shapes]
        first = self.node("Split", [x, self.integers(x.static(axis) // 2, x.static(axis) // 2)], half, outputs=2, axis=axis)
        self.known(first.name[:-1] + "1", half)

    def slice(self):
        x = self.pick()
        axis = self.random.randrange(x.rank)
        least = min(s[axis] for s in x.shapes)
        if least < 3:
            return
        start, back = self.random.randint(0, 1), self.random.randint(0, 1)
        step = self.random.choice((1, 1, 2))
        shapes = [s[:axis] + ((s[axis] - start - back + step - 1) // step,) + s[axis + 1:] for s in x.shapes]
        end = -back if back else np.iinfo(np.int64).max
        self.node("Slice", [x, self.integers(start), self.integers(end), self.integers(axis), self.integers(step)], shapes)

    def gather(self):
        able = [(v, a) for v in self.values for a in range(v.rank) if v.static(a)]
        if not able:
            return
        x, axis = self.random.choice(able)
        n = self.random.randint(1, 6)
        rows = [self.random.randrange(x.static(axis)) for _ in range(n)]
        self.node("Gather", [x, self.integers(*rows)], [s[:axis] + (n,) + s[axis + 1:] for s in x.shapes], axis=axis)

    def pad(self):
        x = self.pick()
        before = [self.random.choice((0, 0, 1, 2)) for _ in range(x.rank)]
        after = [self.random.choice((0, 0, 1, 3)) for _ in range(x.rank)]
        mode = self.random.choice(("constant", "edge"))
        shapes = [tuple(e + b + a for e, b, a in zip(s, before, after)) for s in x.shapes]
        if not too_large(shapes):
            self.node("Pad", [x, self.integers(*before, *after)], shapes, mode=mode)

    # ---- windows --------------------------------------------------------------------------------------------------------

    def image(self):
        """A value of rank 3 or 4 whose axis 1 is static."""
        return self.pick(lambda v: v.rank in (3, 4) and v.static(1) is not None)

    def window(self, x, kernels=(1, 2, 3, 5), strides=(1, 1, 2), dilations=(1, 1, 2)):
        """Kernel, strides, dilations, pads and what they leave of each spatial axis; None where too little is there."""
        n = x.rank - 2
        kernel, stride = [self.random.choice(kernels) for _ in range(n)], [self.random.choice(strides) for _ in range(n)]
        dilation = [self.random.choice(dilations) for _ in range(n)]
        begin, end = ([self.random.randint(0, (k - 1) // 2 * d) for k, d in zip(kernel, dilation)] for _ in range(2))
        left = []
        for s in x.shapes:
            extents = [(e + b + f - d * (k - 1) - 1) // t + 1
                       for e, b, f, d, k, t in zip(s[2:], begin, end, dilation, kernel, stride)]
            if min(extents) < 1:
                return None
            left.append(tuple(extents))
        return {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": begin + end}, left

    def convolution(self):
        x = self.image()
        found = x and self.window(x)
        if not found:
            return
        attributes, left = found
        channels = x.static(1)
        groups = self.random.choice([g for g in (1, 1, 2, 4, channels) if channels % g == 0])
        filters = groups * self.random.choice((1, 1, 2, 3) if groups == channels else (1, 3, 8, 12))
        size = int(np.prod(attributes["kernel_shape"])) * channels // groups
        shapes = [(s[0], filters) + e for s, e in zip(x.shapes, left)]
        if too_large(shapes):
            return
        w = self.normal(filters, channels // groups, *attributes["kernel_shape"], scale=size ** -0.5)
        y = self.node("Conv", [x, w] + ([self.normal(filters)] if self.random.random() < 0.5 else []), shapes,
                      group=groups, **attributes)
        if self.random.random() < 0.5:
            ones = self.constant(1 + 0.1 * self.numbers.random(filters))
            y = self.node("BatchNormalization", [y, ones, self.normal(filters), self.normal(filters), ones], shapes)
        if self.random.random() < 0.6:
            self.node(self.random.choice(("Relu", "HardSwish", "Sigmoid")), [y], shapes)

    def pool(self):
        x = self.image()
        op = self.random.choice(("MaxPool", "AveragePool", "GlobalAveragePool"))
        if not x:
            return
        if op == "GlobalAveragePool":
            self.node(op, [x], [s[:2] + (1,) * (x.rank - 2) for s in x.shapes])
            return
        found = self.window(x, kernels=(2, 3, 5), dilations=(1,))
        if found:
            self.node(op, [x], [s[:2] + e for s, e in zip(x.shapes, found[1])], **found[0])

    def resize(self):
        x = self.pick(lambda v: v.rank == 4)
        if not x:
            return
        shapes = [s[:2] + (2 * s[2], 2 * s[3]) for s in x.shapes]
        if too_large(shapes):
            return
        mode = self.random.choice(("nearest", "linear"))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        self.node("Resize", [x, "", self.constant([1, 1, 2, 2])], shapes, mode=mode, **how)

    def transposed(self):
        x = self.image()
        if not x:
            return
        channels, n = x.static(1), x.rank - 2
        kernel, stride = [self.random.choice((2, 3)) for _ in range(n)], [self.random.choice((1, 2)) for _ in range(n)]
        filters = self.random.choice((1, 3, 8))
        shapes = [(s[0], filters) + tuple((e - 1) * t + k for e, t, k in zip(s[2:], stride, kernel)) for s in x.shapes]
        if too_large(shapes):
            return
        w = self.normal(channels, filters, *kernel, scale=(channels * 2) ** -0.5)
        self.node("ConvTranspose", [x, w], shapes, kernel_shape=kernel, strides=stride)

    def shuffle(self):
        x = self.pick(lambda v: v.rank == 4 and (v.static(1) or 1) % 4 == 0)
        if x:
            shapes = [(s[0], s[1] // 4, 2 * s[2], 2 * s[3]) for s in x.shapes]
            self.node("DepthToSpace", [x], shapes, blocksize=2, mode=self.random.choice(("DCR", "CRD")))

    def recurrent(self):
        """[length, batch, features] through an LSTM or a GRU."""
        x = self.pick(lambda v: v.rank == 3 and v.static(2) is not None)
        if not x:
            return
        op, gates = self.random.choice((("LSTM", 4), ("GRU", 3), ("RNN", 1)))
        hidden, k = self.random.choice((3, 8, 20)), x.static(2)
        both = self.random.random() < 0.3
        ways = 2 if both else 1
        weights = [self.normal(ways, gates * hidden, k, scale=k ** -0.5), self.normal(ways, gates * hidden, hidden, scale=0.3)]
        y = self.node(op, [x, *weights], [(s[0], ways, s[1], hidden) for s in x.shapes], hidden_size=hidden,
                      direction="bidirectional" if both else "forward")
        if not both:
            self.node("Squeeze", [y, self.integers(1)], [(s[0], s[2], s[3]) for s in y.shapes])


OPERATORS = {"unary": 4, "power": 1, "binary": 4, "broadcast": 3, "choose": 1, "linear": 4, "gemm": 1, "product": 2, "softmax": 1,
             "normalise": 2, "reduce": 2, "cumulate": 0.3, "transpose": 3, "reshape": 3, "concat": 3, "split": 1.5, "slice": 2,
             "gather": 1, "pad": 1, "convolution": 5, "pool": 2, "resize": 0.7, "transposed": 0.7, "shuffle": 0.5,
             "recurrent": 0.3}
INPUTS = (("batch", "length", 16), ("batch", 8, "length"), ("batch", 3, 12, "length"), ("batch", 16, 9, 9), ("batch", 24),
          ("length", "batch", 12), (4, "length"))


def compose(seed):
    c = Composer(seed)
    for dims in c.random.sample(INPUTS, c.random.randint(1, 2)):
        c.input(dims)
    # A network of images is none of sequences: a few operators each, those often.
    chosen = c.random.sample(list(OPERATORS), 12)
    for _ in range(c.random.randint(4, 30)):
        getattr(c, c.random.choices(chosen, [OPERATORS[o] for o in chosen])[0])()
    if not c.nodes:
        c.unary()
    made = [v for v in c.values if v.name not in c.inputs]
    ends = [v for v in made if v.name not in c.used] or made[-1:]
    if c.random.random() < 0.3:
        ends.append(c.random.choice(made))
    ends = list({v.name: v for v in ends}.values())
    outputs = [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, None) for v in ends]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n, (dims, _) in c.inputs.items()]
    graph = helper.make_graph(c.nodes, f"composed{seed}", inputs, outputs, c.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return Composition(model, {n: shapes for n, (_, shapes) in c.inputs.items()})
