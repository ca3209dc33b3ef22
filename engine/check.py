"""Gradient checks: what the tape says, against finite differences, in float64.

The derivative is taken along random directions and contracted with a random cotangent, so that
one number sees every element of the Jacobian; a sum as the cotangent would not see a wrong
softmax, whose sum does not change. Only when that number is wrong is the Jacobian taken apart, to
name the worst element.

Differences are central, of fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, whose error
is about h^4 f^(5) / 30 (Abramowitz and Stegun 1964, 25.3.6).
"""

import numpy as np

from . import random
from .graph import enable_grad, grad
from .tensor import FLOAT64, Tensor, to_array, wrap

# 1e-3 is near the best for fourth order in float64, where truncation, h^4, meets rounding,
# 1e-16 / h. The smaller step is for functions that bend sharply, or have a kink close by.
STEPS = (1e-3, 1e-5)


class GradcheckError(AssertionError):
    """A gradient does not agree with finite differences; the message says where."""


def gradcheck(f, inputs, *, rtol=1e-6, atol=1e-8, directions=3, name=None):
    """Check the first derivatives of `f` at `inputs`.

    f           function of Tensors that returns a Tensor or several
    inputs      a Tensor or array, or a list of them; taken to float64. Integers and booleans are
                passed on but not differentiated; a Tensor made with requires_grad=False likewise,
                when some other one has requires_grad=True.
    rtol, atol  an error is accepted up to atol + rtol * size, where size is what the contraction
                would give if nothing cancelled
    directions  how many random directions per input
    name        what to call `f` in messages; default: its own name

    Returns True. Raises GradcheckError, with the argument, the worst element, the expected and
    the actual value; also where `f` is not differentiable at `inputs` (the slopes from the two
    sides disagree), and where `f` gives a result that is not finite. Draws from `engine.seed`.
    """
    return _check(f, inputs, rtol, atol, directions, name or _name_of(f), order=1)


def gradgradcheck(f, inputs, *, rtol=1e-6, atol=1e-8, directions=3, name=None):
    """Check the second derivatives of `f` at `inputs`, and the first. As `gradcheck`.

    The gradient of `f`, contracted with a cotangent, is checked as a function of the inputs and
    of the cotangent.
    """
    name = name or _name_of(f)
    _check(f, inputs, rtol, atol, directions, name, order=1)
    arrays, wanted = _prepare(inputs, name)
    with enable_grad():
        outputs = _outputs(f, _tensors(arrays, wanted), name)
    cotangents = [_normal(output.shape) for output in outputs]

    def gradient(*arguments):
        given, weights = arguments[: len(arrays)], arguments[len(arrays) :]
        results = _outputs(f, given, name)
        live = [(r, w) for r, w in zip(results, weights) if r.requires_grad]
        return grad(
            [r for r, _ in live],
            [given[i] for i in wanted],
            [w for _, w in live],
            create_graph=True,
        )

    everything = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(arrays)] + [
        Tensor(c, requires_grad=True) for c in cotangents
    ]
    return _check(gradient, everything, rtol, atol, directions, f"gradient of {name}", order=2)


def _name_of(f):
    return getattr(f, "__name__", None) or type(f).__name__


def _normal(shape):
    return np.asarray(random.generator().standard_normal(shape))


def _prepare(inputs, name):
    """The inputs as arrays, float ones as float64, and the positions to differentiate."""
    inputs = [inputs] if isinstance(inputs, (Tensor, np.ndarray)) else list(inputs)
    chosen = any(type(x) is Tensor and x.requires_grad for x in inputs)
    arrays, wanted = [], []
    for position, x in enumerate(inputs):
        array = to_array(x)
        if array.dtype.kind == "f":
            array = array.astype(FLOAT64)  # a copy: the caller's is never touched
            if not chosen or (type(x) is Tensor and x.requires_grad):
                wanted.append(position)
        arrays.append(array)
    if not wanted:
        raise TypeError(f"gradcheck: {name} has no float input to differentiate")
    return arrays, wanted


def _tensors(arrays, wanted):
    tensors = [wrap(array) for array in arrays]
    for position in wanted:
        tensors[position].requires_grad = True
    return tensors


def _outputs(f, tensors, name):
    result = f(*tensors)
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    for output in outputs:
        if type(output) is not Tensor:
            raise TypeError(f"gradcheck: {name} returned {type(output).__name__}, not a Tensor")
    return outputs


def _check(f, inputs, rtol, atol, directions, name, order):
    arrays, wanted = _prepare(inputs, name)

    def evaluate(changed, position):
        given = list(arrays)
        given[position] = changed
        # Second order needs the tape inside f.
        tensors = _tensors(given, wanted) if order > 1 else [wrap(array) for array in given]
        return [output.data.astype(FLOAT64) for output in _outputs(f, tensors, name)]

    tensors = _tensors(arrays, wanted)
    with enable_grad():
        outputs = _outputs(f, tensors, name)
    for output in outputs:
        if not np.isfinite(output.data).all():
            raise GradcheckError(f"{name}: the result at this point is not finite")
    cotangents = [_normal(output.shape) for output in outputs]
    live = [(o, c) for o, c in zip(outputs, cotangents) if o.requires_grad]
    if not live:
        raise GradcheckError(f"{name}: no result requires a gradient")
    gradients = grad([o for o, _ in live], [tensors[i] for i in wanted], [c for _, c in live])
    for position, gradient in zip(wanted, gradients):
        _check_input(
            evaluate,
            arrays[position],
            position,
            cotangents,
            gradient.data,
            rtol,
            atol,
            directions,
            name,
        )
    return True


def _check_input(evaluate, array, position, cotangents, gradient, rtol, atol, directions, name):
    if gradient.shape != array.shape or gradient.dtype != FLOAT64:
        raise GradcheckError(
            f"{name}, argument {position}: expected a float64 gradient of shape {array.shape}, "
            f"got {gradient.dtype} of shape {gradient.shape}"
        )

    def along(direction, step):
        return _derivative(
            lambda t: evaluate(np.asarray(array + t * direction), position), cotangents, step
        )

    for _ in range(directions if array.size else 0):
        direction = _normal(array.shape)
        actual = np.vdot(gradient, direction)
        for step in STEPS:
            expected, size, kink = along(direction, step)
            size = max(size, np.vdot(np.abs(gradient), np.abs(direction)))
            right = abs(actual - expected) <= atol + rtol * size
            if right and kink <= 1e-3 * size + atol:
                break
        else:
            if kink > 1e-3 * size + atol:
                raise GradcheckError(
                    f"{name}, argument {position}: not differentiable at this point, the slopes "
                    f"from the two sides differ by {kink:.3g}"
                )
            raise GradcheckError(_report(along, array, gradient, position, name))


def _derivative(f, cotangents, step):
    """d f(t) / dt at 0, contracted; its size without cancellation; how much it jumps at 0."""
    at = {t: f(t * step) for t in (-2, -1, 0, 1, 2)}
    total = size = kink = 0.0
    for index, cotangent in enumerate(cotangents):
        far_left, left, here, right, far_right = (at[t][index] for t in (-2, -1, 0, 1, 2))
        slopes = (8 * (right - left) - (far_right - far_left)) / (12 * step)
        total += np.vdot(cotangent, slopes)
        size += np.vdot(np.abs(cotangent), np.abs(slopes))
        # The second difference of a smooth function is h^2 f'', of a kink h * jump: halving the
        # step divides the first by four, the second by two.
        wide = np.abs(far_right - 2 * here + far_left) / (2 * step)
        narrow = np.abs(right - 2 * here + left) / step
        kinked = narrow > 0.75 * wide
        kink += np.vdot(np.abs(cotangent), np.where(kinked, narrow, 0.0))
    return total, size, kink


def _report(along, array, gradient, position, name):
    """Take the contraction apart, element by element, and describe the worst."""
    worst, worst_error = None, -1.0
    for index in np.ndindex(array.shape):
        unit = np.zeros(array.shape)
        unit[index] = 1.0
        expected = along(unit, STEPS[-1])[0]
        error = abs(gradient[index] - expected)
        if not error <= worst_error:  # a nan counts as worst
            worst, worst_error = (index, expected, gradient[index]), error
    index, expected, actual = worst
    return (
        f"{name}, argument {position} of shape {array.shape}: wrong gradient; worst element "
        f"{index}: expected {expected:.10g}, got {actual:.10g} (contracted with a random cotangent)"
    )
