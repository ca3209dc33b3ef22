"""The same bits for any number of threads, and the error of products beside that of NumPy's BLAS.

A row of errors has the root mean square of a product's errors, in units of the type's eps times
the mean magnitude of its elements; a row of bits has how many of its values differ: none may.
"""

import numpy as np

import engine
import nn
from engine.kernels import _jit, gemm

from .contestants import Ours
from .gemm import CHECKED, KINDS, operands
from .report import Row
from .step import MODELS

THREADS = (1, 2, 3, 8)
SHAPES = ((32, 784, 512), (128, 512, 512), (256, 2048, 256), (100, 100, 100), (1, 784, 512))
STEPS = 100


def run(options, table):
    """Add rows of bits, then rows of errors."""
    before = _jit.get_num_threads()
    for what, compute in (
        ("forward", lambda: [model().predict(images())]),
        ("backward", gradients),
        (f"after {STEPS} steps", trained),
    ):
        results = []
        for threads in THREADS:
            _jit.set_num_threads(threads)
            results.append(compute())
        differing = sum(
            int((one.view("i4") != other.view("i4")).sum())
            for result in results[1:]
            for one, other in zip(results[0], result)
        )
        case = f"{what}, {', '.join(map(str, THREADS))} threads"
        table.add(Row("bits that differ", case, differing, unit="values"))
    _jit.set_num_threads(before)
    for dtype in options.dtypes:
        for m, k, n in SHAPES:
            for kind in KINDS:
                a, b = operands(kind, m, k, n, np.dtype(dtype).type)
                ours, theirs = errors((gemm.matmul(a, b), a @ b), a, b)
                group = f"error of matmul, {dtype}"
                case = f"{kind} {m} x {k} x {n}"
                table.add(Row(group, case, ours, {"numpy": theirs}, unit="eps"))


def images():
    return np.random.default_rng(0).random((200, 784), dtype="float32")


def model():
    engine.seed(0)
    layers = [nn.Dense(units, activation="relu") for units in MODELS["A"][1:-1]]
    result = nn.Sequential([nn.Flatten(input_shape=(784,)), *layers, nn.Dense(10, "softmax")])
    result.ensure_built()
    return result


def gradients():
    model_a, labels = model(), np.arange(200) % 10
    nn.losses.sparse_categorical_crossentropy(labels, model_a(images())).backward()
    return [parameter.grad.data for parameter in model_a.parameters()]


def trained():
    step = Ours(MODELS["A"], 128, "adam")
    for _ in range(STEPS):
        step()
    return [parameter.data for parameter in step.model.parameters()]


def errors(products, a, b):
    """The error of each product of a and b, beside one in more digits; of up to CHECKED rows."""
    rows = slice(None, None, max(1, len(a) // CHECKED))
    wider = np.float64 if a.dtype == np.float32 else np.longdouble
    exact = a[rows].astype(wider) @ b.astype(wider)
    unit = np.finfo(a.dtype).eps * np.sqrt(np.mean(exact**2))
    return [float(np.sqrt(np.mean((c[rows] - exact) ** 2)) / unit) for c in products]
