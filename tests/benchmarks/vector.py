"""Vector kernels beside NumPy and PyTorch: `python -m tests.benchmarks vector [THREADS]`.

Each result is compared with the twin in tests/naive.py before it is timed. Our call and the peers'
alternate, so that what else the machine does hits all of them, and the best time of each counts.
"""

import sys
import time

import numpy as np

from engine.kernels import _jit, elementwise, softmax, update
from tests import naive

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

SHAPES = [(128, 10), (1024, 10), (1024, 1000), (256, 32000)]
SIZES = [1_000, 100_000, 10_000_000]
SECONDS = 0.4  # of alternating calls, for one line of the table
CHECKED = 100_000  # elements of a result that are compared


def numpy_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def numpy_log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def elementwise_cases(size, dtype):
    """(name, ours, twin, NumPy's, PyTorch's, arguments) for each function of one kind."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(0, 3, (2, size)).astype(dtype)
    targets = rng.uniform(size=size).astype(dtype)
    aten = torch and torch.ops.aten
    yield "exp", elementwise.exp, naive.exp, np.exp, torch and torch.exp, (x,)
    yield "log", elementwise.log, naive.log, np.log, torch and torch.log, (targets + dtype(0.1),)
    yield "tanh", elementwise.tanh, naive.tanh, np.tanh, torch and torch.tanh, (x,)
    sigmoid = torch and torch.sigmoid
    yield "sigmoid", elementwise.sigmoid, naive.sigmoid, numpy_sigmoid, sigmoid, (x,)
    relu = torch and torch.relu
    yield "relu", elementwise.relu, naive.relu, lambda x: np.maximum(x, 0), relu, (x,)
    yield (
        "tanh_grad",
        elementwise.tanh_grad,
        naive.tanh_grad,
        lambda g, out: g * (1 - out * out),
        aten and aten.tanh_backward,
        (g, np.tanh(x)),
    )
    yield (
        "binary_cross_entropy",
        elementwise.binary_cross_entropy,
        naive.binary_cross_entropy,
        lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        torch and (lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none")),
        (x, targets),
    )


def numpy_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def row_cases(shape, dtype):
    """As above, for the functions along rows; the gradients from a forward that is not timed."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(0, 3, (2, *shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    out, aten = softmax.softmax(x), torch and torch.ops.aten
    yield (
        "softmax",
        softmax.softmax,
        naive.softmax,
        numpy_softmax,
        torch and (lambda x: torch.softmax(x, 1)),
        (x,),
    )
    yield (
        "softmax_grad",
        softmax.softmax_grad,
        naive.softmax_grad,
        lambda g, out: out * (g - (g * out).sum(axis=-1, keepdims=True)),
        aten and (lambda g, out: aten._softmax_backward_data(g, out, 1, out.dtype)),
        (g, out),
    )
    yield (
        "log_softmax",
        softmax.log_softmax,
        naive.log_softmax,
        numpy_log_softmax,
        torch and (lambda x: torch.log_softmax(x, 1)),
        (x,),
    )
    rows = np.arange(shape[0])
    yield (
        "sparse_cross_entropy",
        softmax.sparse_cross_entropy,
        naive.sparse_cross_entropy,
        lambda x, labels: -numpy_log_softmax(x)[rows, labels],
        torch and (lambda x, labels: F.cross_entropy(x, labels, reduction="none")),
        (x, labels),
    )

    def numpy_slope(g, x, labels):
        slope = numpy_softmax(x)
        slope[rows, labels] -= 1
        return slope * g[:, None]

    def torch_slope(g, x, labels):
        logs = aten._log_softmax(x, 1, False)
        back = aten.nll_loss_backward(-g, logs, labels, None, 0, -100, torch.tensor(1.0))
        return aten._log_softmax_backward_data(-back, logs, 1, x.dtype)

    yield (
        "sparse_cross_entropy_grad",
        softmax.sparse_cross_entropy_grad,
        naive.sparse_cross_entropy_grad,
        numpy_slope,
        torch and torch_slope,
        (g[:, 0].copy(), x, labels),
    )


def update_cases(size, dtype):
    """As above, for one step of an optimizer; the learning rate is 0 so that it can be repeated."""
    rng = np.random.default_rng(0)
    p, g, m, v = np.abs(rng.normal(size=(4, size)).astype(dtype))

    def in_place(step):
        def call(p, *rest):
            step(p, *rest)
            return p

        return call

    def numpy_sgd(p, g):
        p -= dtype(0.0) * g

    yield (
        "sgd",
        in_place(lambda p, g: update.sgd(p, g, 0.0)),
        lambda p, g: naive.wide(p),
        in_place(numpy_sgd),
        torch and in_place(lambda p, g: p.add_(g, alpha=-0.0)),
        (p, g),
    )

    def numpy_adam(p, g, m, v):
        m += dtype(0.1) * (g - m)
        v += dtype(0.001) * (g * g - v)
        p -= dtype(0.0) * m / (np.sqrt(v) + dtype(1e-7))

    step = torch and torch.tensor(100.0)
    rates = {"lr": 0.0, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-7}

    def torch_adam(p, g, m, v):
        torch._fused_adam_([p], [g], [m], [v], [], [step], amsgrad=False, maximize=False, **rates)

    yield (
        "adam",
        in_place(lambda p, g, m, v: update.adam(p, g, m, v, 0.0, 0.9, 0.999, 1e-7, 100)),
        lambda p, g, m, v: naive.wide(p),
        in_place(numpy_adam),
        torch and in_place(torch_adam),
        (p, g, m, v),
    )


# ------------------------------------------------------------------------------------ running


def check(name, got, twin, arguments, dtype):
    """Raise ValueError unless the first elements of the result are those of the twin."""
    rows = max(1, CHECKED * len(got) // got.size)
    expected = twin(*(x[:rows] for x in arguments))
    size = np.maximum(1, np.abs(expected))
    error = float((np.abs(got[:rows] - expected) / size).max() / np.finfo(dtype).eps)
    if not error < 50:
        raise ValueError(f"{name}: wrong by {error:.0f} eps")


def best_times(calls):
    """The shortest time of each call, in microseconds, all of them taking turns."""
    times = [float("inf")] * len(calls)
    rounds, end = 0, time.perf_counter() + SECONDS
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[i] = min(times[i], 1e6 * (time.perf_counter() - start))
    return times


def run(label, cases, dtype):
    """Time the cases, print a line for each, return the ratios to the faster peer."""
    ratios = []
    for name, ours, twin, numpy_call, torch_call, arguments in cases:
        check(name, ours(*arguments), twin, arguments, dtype)
        calls = [lambda: ours(*arguments), lambda: numpy_call(*arguments)]  # noqa: B023
        if torch_call is not None:
            tensors = [torch.from_numpy(x) for x in arguments]
            calls.append(lambda: torch_call(*tensors))  # noqa: B023
        times = best_times(calls)
        ratios.append(times[0] / min(times[1:]))
        shown = [f"{t:11.1f}" for t in times] + ["          -"] * (3 - len(times))
        title = f"{name} {label} {np.dtype(dtype).name}"
        print(f"{title:48}{''.join(shown)} {ratios[-1]:8.2f}")
    return ratios


def main(argv):
    """Print the table of all cases, in microseconds; the ratio is ours to the faster peer."""
    if argv:
        _jit.set_num_threads(int(argv[0]))
    threads = _jit.get_num_threads()
    if torch is not None:
        torch.set_num_threads(threads)
    peers = f"NumPy {np.__version__}, " + (
        f"PyTorch {torch.__version__}" if torch else "no PyTorch"
    )
    print(f"{threads} threads; peers: {peers}")
    print(f"{'us':48}{'ours':>11}{'NumPy':>11}{'PyTorch':>11} {'ratio':>8}")
    ratios = []
    with np.errstate(all="ignore"):
        for dtype in (np.float32, np.float64):
            for shape in SHAPES:
                ratios += run(f"{shape[0]}x{shape[1]}", row_cases(shape, dtype), dtype)
            for size in SIZES:
                ratios += run(f"{size:.0e}", elementwise_cases(size, dtype), dtype)
                ratios += run(f"{size:.0e}", update_cases(size, dtype), dtype)
    print(f"geometric mean of {len(ratios)} ratios: {np.exp(np.mean(np.log(ratios))):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
