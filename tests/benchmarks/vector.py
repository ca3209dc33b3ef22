"""Vector kernels beside NumPy, PyTorch and JAX: softmax, elementwise, reductions, updates.

Each result is compared with the twin in tests/naive.py before it is timed. NumPy and PyTorch use as
many threads as ours, where they can use several; JAX's are bound to the process's cores.
"""

import functools
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import engine
from engine.kernels import _jit, elementwise, softmax, update
from engine.kernels.bundle import Bundle
from tests import naive, ulp

from . import machine
from .report import Row, say
from .timing import PAUSE, best_times

SHAPES = [(128, 10), (1024, 10), (1024, 1000), (256, 32000)]
SIZES = [1_000, 100_000, 10_000_000]
CHECKED = 100_000  # elements of a result that are compared


@dataclass
class Case:
    """A function of arrays, and how each peer writes it.

    numpy  None where NumPy has no such function
    moved  arrays of the size of the first argument that have to be read or written
    torch, jax  given the module, the function of its arrays
    """

    name: str
    ours: Callable
    twin: Callable
    numpy: Callable | None
    torch: Callable
    jax: Callable
    arguments: tuple
    moved: int


def numpy_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def numpy_log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def row_cases(shape, dtype):
    """The functions along rows; the gradients from a forward that is not timed."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(0, 3, (2, *shape)).astype(dtype)
    labels, rows = rng.integers(0, shape[1], shape[0]), np.arange(shape[0])
    out, slope = softmax.softmax(x), g[:, 0].copy()

    def numpy_slope(g, x, labels):
        slope = numpy_softmax(x)
        slope[rows, labels] -= 1
        return slope * g[:, None]

    def torch_slope(torch):
        aten, one = torch.ops.aten, torch.tensor(1.0, dtype=getattr(torch, np.dtype(dtype).name))

        def call(g, x, labels):
            logs = aten._log_softmax(x, 1, False)
            back = aten.nll_loss_backward(-g, logs, labels, None, 0, -100, one)
            return aten._log_softmax_backward_data(-back, logs, 1, x.dtype)

        return call

    def torch_back(torch):
        return lambda g, out: torch.ops.aten._softmax_backward_data(g, out, 1, out.dtype)

    def torch_loss(torch):
        return lambda x, y: torch.nn.functional.cross_entropy(x, y, reduction="none")

    def jax_loss(jax):
        return lambda x, y: -jax.nn.log_softmax(x)[rows, y]

    def jax_slope(jax):
        return lambda g, x, y: g[:, None] * (jax.nn.softmax(x) - jax.nn.one_hot(y, shape[1]))

    yield Case(
        "softmax",
        softmax.softmax,
        naive.softmax,
        numpy_softmax,
        lambda torch: lambda x: torch.softmax(x, 1),
        lambda jax: jax.nn.softmax,
        (x,),
        2,
    )
    yield Case(
        "softmax_grad",
        softmax.softmax_grad,
        naive.softmax_grad,
        lambda g, out: out * (g - (g * out).sum(axis=-1, keepdims=True)),
        torch_back,
        lambda jax: lambda g, out: out * (g - (g * out).sum(axis=-1, keepdims=True)),
        (g, out),
        3,
    )
    yield Case(
        "log_softmax",
        softmax.log_softmax,
        naive.log_softmax,
        numpy_log_softmax,
        lambda torch: lambda x: torch.log_softmax(x, 1),
        lambda jax: jax.nn.log_softmax,
        (x,),
        2,
    )
    yield Case(
        "cross_entropy",
        softmax.sparse_cross_entropy,
        naive.sparse_cross_entropy,
        lambda x, labels: -numpy_log_softmax(x)[rows, labels],
        torch_loss,
        jax_loss,
        (x, labels),
        1,
    )
    yield Case(
        "cross_entropy_grad",
        softmax.sparse_cross_entropy_grad,
        naive.sparse_cross_entropy_grad,
        numpy_slope,
        torch_slope,
        jax_slope,
        (slope, x, labels),
        2,
    )


def numpy_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def unary_cases(x, positive):
    """One array in, one out: (name, NumPy's function, its argument)."""
    twins = (
        ("exp", np.exp, x),
        ("log", np.log, positive),
        ("tanh", np.tanh, x),
        ("sigmoid", numpy_sigmoid, x),
        ("relu", lambda x: np.maximum(x, 0), x),
    )
    for name, numpy_call, argument in twins:
        yield Case(
            name,
            getattr(elementwise, name),
            getattr(naive, name),
            numpy_call,
            lambda torch, name=name: getattr(torch, name),
            lambda jax, name=name: getattr(
                jax.nn if name in ("relu", "sigmoid") else jax.numpy, name
            ),
            (argument,),
            2,
        )


def smooth_cases(x):
    """The activations that are made of exponentials and of the error function."""
    peers = {  # PyTorch's, JAX's
        "erf": (lambda torch: torch.erf, lambda jax: jax.scipy.special.erf),
        "gelu": (
            lambda torch: torch.nn.functional.gelu,
            lambda jax: functools.partial(jax.nn.gelu, approximate=False),
        ),
        "gelu_tanh": (
            lambda torch: functools.partial(torch.nn.functional.gelu, approximate="tanh"),
            lambda jax: jax.nn.gelu,
        ),
        "silu": (lambda torch: torch.nn.functional.silu, lambda jax: jax.nn.silu),
        "softplus": (lambda torch: torch.nn.functional.softplus, lambda jax: jax.nn.softplus),
        "mish": (lambda torch: torch.nn.functional.mish, lambda jax: jax.nn.mish),
    }
    for name, (torch_call, jax_call) in peers.items():
        twin = ulp.reference(name)
        yield Case(name, getattr(elementwise, name), twin, None, torch_call, jax_call, (x,), 2)


AXES = {1_000: (10, 100), 100_000: (100, 1000), 10_000_000: (1000, 10000)}


def reduction_cases(size, dtype):
    """The reductions of a matrix, of all of it and along either axis."""
    x = np.random.default_rng(0).uniform(0, 3, AXES[size]).astype(dtype)  # no sum cancels
    for axis in (None, 0, 1):
        axes = (0, 1) if axis is None else axis
        for name in ("sum", "mean", "max", "var", "logsumexp"):
            options = {"correction": 0} if name == "var" else {}
            torch_name = "amax" if name == "max" else name
            yield Case(
                f"{name} axis={axis}",
                functools.partial(getattr(engine, name), axis=axis, keepdims=True),
                functools.partial(wide_reduction, name, axis),
                None if name == "logsumexp" else functools.partial(getattr(np, name), axis=axis),
                lambda torch, name=torch_name, axes=axes, options=options: functools.partial(
                    getattr(torch, name), dim=axes, **options
                ),
                lambda jax, name=name, axis=axis: functools.partial(
                    jax.scipy.special.logsumexp
                    if name == "logsumexp"
                    else getattr(jax.numpy, name),
                    axis=axis,
                ),
                (x,),
                1,
            )


def wide_reduction(name, axis, x):
    x = naive.wide(x)
    if name == "logsumexp":
        return np.log(np.exp(x).sum(axis=axis, keepdims=True))
    return getattr(np, name)(x, axis=axis, keepdims=True)


def element_cases(size, dtype):
    """The functions of arrays of one size."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(0, 3, (2, size)).astype(dtype)
    targets = rng.uniform(size=size).astype(dtype)
    yield from unary_cases(x, targets + dtype(0.1))
    yield from smooth_cases(x)
    yield Case(
        "add",
        engine.add,
        lambda x, y: naive.wide(x) + y,
        np.add,
        lambda torch: torch.add,
        lambda jax: jax.numpy.add,
        (x, g),
        3,
    )
    yield Case(
        "tanh_grad",
        elementwise.tanh_grad,
        naive.tanh_grad,
        lambda g, out: g * (1 - out * out),
        lambda torch: torch.ops.aten.tanh_backward,
        lambda jax: lambda g, out: g * (1 - out * out),
        (g, np.tanh(x)),
        3,
    )
    yield Case(
        "binary_cross_entropy",
        elementwise.binary_cross_entropy,
        naive.binary_cross_entropy,
        lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        lambda torch: functools.partial(
            torch.nn.functional.binary_cross_entropy_with_logits, reduction="none"
        ),
        lambda jax: lambda x, t: jax.nn.softplus(x) - x * t,
        (x, targets),
        3,
    )


def update_cases(size, dtype):
    """One step of an optimizer; the learning rate is 0, so that it can be repeated."""
    rng = np.random.default_rng(0)
    p, g, m, v = np.abs(rng.normal(size=(4, size)).astype(dtype))

    def in_place(step):
        def call(p, *rest):
            step(p, *rest)
            return p

        return call

    def ours(name, *numbers):
        bundle = Bundle([(size,)], dtype, [0], update.RULES[name].slots)
        rates, scales = np.zeros((1, update.WIDTH)), np.ones(1)
        rates[0, : 2 + len(numbers)] = 1.0, np.inf, *numbers
        return in_place(lambda p, g, *_: update.move(bundle, name, [p, g], rates, scales))

    def numpy_sgd(p, g):
        p -= dtype(0.0) * g

    yield Case(
        "sgd",
        ours("sgd", 0.0),
        lambda p, g: naive.wide(p),
        in_place(numpy_sgd),
        lambda torch: in_place(lambda p, g: p.add_(g, alpha=-0.0)),
        lambda jax: lambda p, g: p - 0.0 * g,
        (p, g),
        3,
    )

    def numpy_adam(p, g, m, v):
        m += dtype(0.1) * (g - m)
        v += dtype(0.001) * (g * g - v)
        p -= dtype(0.0) * m / (np.sqrt(v) + dtype(1e-7))

    def torch_adam(torch):
        step, rates = torch.tensor(100.0), {"lr": 0.0, "beta1": 0.9, "beta2": 0.999}
        rates |= {"weight_decay": 0.0, "eps": 1e-7, "amsgrad": False, "maximize": False}
        return in_place(
            lambda p, g, m, v: torch._fused_adam_([p], [g], [m], [v], [], [step], **rates)
        )

    def jax_adam(jax):
        def call(p, g, m, v):
            m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
            return p - 0.0 * m / (jax.numpy.sqrt(v) + 1e-7), m, v

        return call

    yield Case(
        "adam",
        ours("adam", 0.0, 0.1, 0.001, 1e-7),
        lambda p, g, m, v: naive.wide(p),
        in_place(numpy_adam),
        torch_adam,
        jax_adam,
        (p, g, m, v),
        7,
    )


# ------------------------------------------------------------------------------------ running


def check(name, got, twin, arguments, dtype):
    """Raise ValueError unless the first elements of the result are those of the twin.

    Of a reduction, which keeps an axis of length 1, all are compared.
    """
    rows = None if 1 in got.shape else max(1, CHECKED * len(got) // got.size)
    expected = twin(*(x[:rows] for x in arguments))
    size = np.maximum(1, np.abs(expected))
    error = float((np.abs(got[:rows] - expected) / size).max() / np.finfo(dtype).eps)
    if not error < 50:
        raise ValueError(f"{name}: wrong by {error:.0f} eps")


def peers_of(options):
    """The modules of the peers that are installed and wanted, by name."""
    found = {"numpy": np}
    for name in ("torch", "jax"):
        if options.peers and name not in options.peers:
            continue
        if importlib.util.find_spec(name) is None:
            say(f"vector: {name} is left out, it is not installed")
            continue
        found[name] = importlib.import_module(name)
    return found


def calls_of(case, peers):
    """The call of each peer, on arrays of its own kind; of the first results nothing is kept."""
    calls = {"numpy": functools.partial(case.numpy, *case.arguments)} if case.numpy else {}
    if "torch" in peers:
        torch = peers["torch"]
        tensors = [torch.from_numpy(x.copy()) for x in case.arguments]
        calls["torch"] = functools.partial(case.torch(torch), *tensors)
    if "jax" in peers:
        jax = peers["jax"]
        arrays = [jax.numpy.asarray(x) for x in case.arguments]
        function = jax.jit(case.jax(jax))
        calls["jax"] = lambda: jax.block_until_ready(function(*arrays))
    return calls


def run(options, table):
    """Add a row for each function, size, dtype and number of threads."""
    peers = peers_of(options)
    if "jax" in peers:
        peers["jax"].config.update("jax_enable_x64", True)
    for dtype in options.dtypes:
        for threads in sorted(set(options.threads or [_jit.get_num_threads()])):
            _jit.set_num_threads(threads)
            if "torch" in peers:
                peers["torch"].set_num_threads(threads)
            with np.errstate(all="ignore"):
                run_group(options, table, peers, np.dtype(dtype).type, threads)


def run_group(options, table, peers, dtype, threads):
    group = f"vectors {np.dtype(dtype).name}, {threads} threads"
    for shape in SHAPES:
        for case in row_cases(shape, dtype):
            add_row(options, table, peers, group, f"{shape[0]}x{shape[1]}", case, threads)
    for size in SIZES:
        cases = element_cases(size, dtype), reduction_cases(size, dtype), update_cases(size, dtype)
        for case in itertools.chain(*cases):
            add_row(options, table, peers, group, f"{size:.0e}", case, threads)


def add_row(options, table, peers, group, size, case, threads):
    """Check and time one case, if it is wanted."""
    name = f"{case.name} {size}"
    if options.cases and options.cases not in name:
        return
    got = case.ours(*case.arguments)
    check(name, got, case.twin, case.arguments, got.dtype)
    calls = {"ours": functools.partial(case.ours, *case.arguments), **calls_of(case, peers)}
    is_large = case.arguments[0].size >= 1 << 15
    pause = PAUSE if threads > 1 and is_large else 0.0
    best = best_times(list(calls.values()), options.turns, pause=pause)
    times = dict(zip(calls, best))
    moved = 1e-9 * case.moved * max(x.nbytes for x in case.arguments)
    limit = machine.stream_gbytes(threads) if moved > 0.02 else 0.0
    table.add(Row(group, name, times.pop("ours"), times, moved, "GB/s", limit))
