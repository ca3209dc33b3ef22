"""Derivatives of functions, and `checkpoint`, which trades memory for time.

A function is run on stand-ins for its arguments, so that the caller's Tensors are never touched. A
derivative is an operation like any other: it is itself recorded when something that it depends on
requires a gradient, be it an argument or a Tensor that the function only refers to, such as a
parameter. That makes these functions nest, to any order. Where no such record is wanted, call them
within `no_grad`, which is faster.

`f` takes Tensors; the arguments to differentiate are arrays, numbers or Tensors of floats.
"""

from types import SimpleNamespace

import numpy as np

from . import random
from .graph import enable_grad, grad
from .ops.index import getitem
from .ops.shape import reshape, stack
from .recorder import Node, next_order, op, state
from .tensor import Tensor, leaf, to_array, wrap


def value_and_grad(f, argnums=0):
    """A function that calls `f` and returns (value, gradient).

    f        a function whose result is a Tensor of one element
    argnums  which arguments to differentiate: an integer, or several for a tuple of gradients

    Raises ValueError when the result has several elements, or is not computed from those arguments.
    """
    several = isinstance(argnums, (list, tuple))

    def value_and_gradient(*args, **keywords):
        positions = _positions(args, argnums if several else [argnums])
        run = _Run("value_and_grad", f, args, positions, keywords).required()
        gradients = run.gradient()
        return run.returned(), tuple(gradients) if several else gradients[0]

    return value_and_gradient


def vjp(f, *primals):
    """(f(*primals), pullback): how a gradient of the result becomes those of the arguments.

    pullback takes the gradient in respect of the result (a tuple, if the result is one) and
    returns a tuple with one gradient per argument. It can be called any number of times.
    """
    run = _Run("vjp", f, primals).required()

    def pullback(cotangent):
        cotangents = cotangent if run.several else [cotangent]
        if not isinstance(cotangents, (list, tuple)) or len(cotangents) != len(run.results):
            raise ValueError(f"vjp: expected a tuple of {len(run.results)} gradients, one a result")
        return tuple(run.pull(cotangents))

    return run.returned(), pullback


def jvp(f, primals, tangents):
    """(f(*primals), tangent): how the result changes when the arguments move along `tangents`.

    primals, tangents  tuples of the same length and shapes
    """
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)):
        raise TypeError("jvp: expected a tuple of primals and a tuple of tangents")
    shapes = [np.shape(primal) for primal in primals], [np.shape(tangent) for tangent in tangents]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"jvp: expected tangents of the primals' shapes {shapes[0]}, got {shapes[1]}"
        )
    run = _Run("jvp", f, primals).required()
    pushed = run.pusher()(tangents)
    return run.returned(), tuple(pushed) if run.several else pushed[0]


def jacobian(f, x):
    """d f(x) / d x, of shape (*shape of f(x), *shape of x).

    One pass per element of the result or of `x`, whichever has fewer.
    """
    return _jacobian(_Run("jacobian", f, (x,)).required())


def hessian(f, x):
    """The second derivatives of `f`, whose result has one element: (*shape of x, *shape of x)."""
    return _jacobian(_Run("hessian", _gradient_of("hessian", f), (x,)))


def hvp(f, x, v):
    """The hessian of `f` at `x` times `v`, of the shape of `x`, without making the hessian."""
    return _Run("hvp", _gradient_of("hvp", f), (x,)).pull([v])[0]


def _gradient_of(name, f):
    return lambda x: _Run(name, f, (x,)).required().gradient()[0]


def _jacobian(run):
    (x,), y = run.inputs, run.only_result()
    if y.node is None or not x.size or not y.size:
        return wrap(np.zeros(y.shape + x.shape, y.dtype))
    by_rows = y.size <= x.size
    each = y if by_rows else x
    derivative = run.pull if by_rows else run.pusher()
    units = np.eye(each.size, dtype=each.dtype).reshape(-1, *each.shape)
    parts = [derivative([unit])[0] for unit in units]
    return reshape(stack(parts, axis=0 if by_rows else -1), y.shape + x.shape)


class _Run:
    """One call of a function on stand-ins for its arguments.

    inputs     the stand-ins of the arguments that are differentiated
    results    what the function returned, as a list; `several` tells whether it was one
    reached    whether the results were computed from the inputs
    recording  whether the derivatives are recorded
    """

    def __init__(self, name, f, args, positions=None, keywords=None):
        self.name, outer = name, state.recording
        positions = range(len(args)) if positions is None else positions
        mark = next_order()
        with enable_grad():
            given = list(args)
            for position in positions:
                given[position] = _stand_in(name, position, args[position], outer)
            result = f(*given, **(keywords or {}))
        self.inputs = [given[position] for position in positions]
        self.several = isinstance(result, (list, tuple))
        self.results = list(result) if self.several else [result]
        for result in self.results:
            if type(result) is not Tensor:
                raise TypeError(
                    f"{name}: expected a function that returns Tensors, got {type(result).__name__}"
                )
        inside, outside = _explore(self.results, mark)
        nodes = {x.node for x in self.inputs}
        self.reached = not nodes.isdisjoint([*inside, *outside])
        self.recording = outer and not nodes.issuperset(outside)

    def required(self):
        if not self.reached:
            raise ValueError(
                f"{self.name}: the result is not computed from the arguments by recorded operations"
            )
        return self

    def only_result(self):
        if self.several:
            raise TypeError(f"{self.name}: expected a function with one result, got a tuple")
        return self.results[0]

    def returned(self):
        results = [y if self.recording else y.detach() for y in self.results]
        return tuple(results) if self.several else results[0]

    def gradient(self):
        value = self.only_result()
        if value.size != 1:
            raise ValueError(
                f"{self.name}: expected a function with a result of one element, got shape "
                f"{value.shape}; reduce it, for instance with engine.sum"
            )
        return self.pull([None])

    def pull(self, cotangents):
        """The gradients in respect of the inputs, for those in respect of the results."""
        for y, c in zip(self.results, cotangents):
            if c is not None and np.shape(c) != y.shape:
                raise ValueError(
                    f"{self.name}: expected a gradient of shape {y.shape}, got {np.shape(c)}"
                )
        return self._gradients(self.results, cotangents, self.inputs)

    def pusher(self):
        """A function from derivatives of the inputs to derivatives of the results.

        The gradients are linear in the cotangents that they are pulled from: their gradient in
        respect of these is the derivative the other way.
        """
        with enable_grad():
            cotangents = [leaf(np.zeros(y.shape, y.dtype)) for y in self.results]
            pulled = self.pull(cotangents)
        return lambda tangents: self._gradients(pulled, tangents, cotangents)

    def _gradients(self, outputs, cotangents, inputs):
        pairs = [(y, c) for y, c in zip(outputs, cotangents) if y.node is not None]
        if not pairs:
            return [wrap(np.zeros(x.shape, x.dtype)) for x in inputs]
        tracked = any(type(c) is Tensor and c.node is not None for c in cotangents)
        return grad(
            *([y for y, _ in pairs], inputs, [c for _, c in pairs]),
            create_graph=self.recording or (tracked and state.recording),
            retain_graph=True,
        )


@op(lambda g: g)
def alias(x):
    """`x` itself, at a place of its own on the tape."""
    return x


def _stand_in(name, position, x, recording):
    array = to_array(x)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected floats as argument {position}, got {array.dtype}: integers have no "
            "derivatives"
        )
    tied = recording and type(x) is Tensor and x.node is not None
    return alias(x) if tied else leaf(array)


def _positions(args, argnums):
    for position in argnums:
        if not -len(args) <= position < len(args):
            raise ValueError(
                f"value_and_grad: there is no argument {position}, the function got {len(args)}"
            )
    return [position % len(args) for position in argnums]


def _explore(tensors, mark):
    """The nodes behind `tensors` that were made after `mark`, and those that they came from."""
    inside, outside = {}, {}
    waiting = [tensor.node for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node is None or node in inside or node in outside:
            continue
        if node.step is None or node.order > mark:
            outside[node] = None
        else:
            inside[node] = None
            waiting.extend(node.parents)
    return list(inside), list(outside)


# ---------------------------------------------------------------------------------- checkpoint


def checkpoint(f, *args):
    """f(*args), whose intermediate results are not kept: `f` is run again when they are needed.

    f  a function that does the same whenever it is called; its result is a Tensor, or a list or
       tuple with Tensors. What it draws from `engine.random` is drawn again alike. Other effects
       that it has, it has twice.

    Only the arguments are held. Gradients arrive at everything that `f` used, arguments or not, to
    any order. A result of softmax or sigmoid made in `f` is a bare probability to a loss: call
    the last activation outside. In `no_grad` this is a plain call.

    Raises ValueError, on the way back, when the second run used other Tensors than the first.
    """
    if not state.recording:
        return f(*args)
    mark, drawn = next_order(), random.state()
    result = f(*args)
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    live = [i for i, y in enumerate(results) if type(y) is Tensor and y.node is not None]
    if not live:
        return result
    shapes = [results[i].shape for i in live]
    node = Node()
    node.step = _run_again
    node.parents = tuple(_explore([results[i] for i in live], mark)[1])
    node.saved = f, args, drawn, node.parents, live, shapes
    joined = results[live[0]].data
    if len(live) > 1:  # one node makes one array
        joined = np.concatenate([results[i].data.ravel() for i in live])
    node.shape = joined.shape
    node.order = next_order()
    for i, piece in zip(live, _pieces(wrap(joined, node), shapes)):
        results[i] = piece.astype(results[i].dtype)
    if isinstance(result, tuple):
        return tuple(results)
    return results if isinstance(result, list) else results[0]


def _pieces(joined, shapes):
    if len(shapes) == 1:
        return [joined]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    starts = [0, *ends[:-1]]
    return [
        reshape(getitem(joined, slice(a, b)), shape) for a, b, shape in zip(starts, ends, shapes)
    ]


def _run_again(node, upstream, recording, needed):
    """The backward step of a checkpoint: see `engine.recorder`."""
    f, args, drawn, sources, live, shapes = node.saved
    with enable_grad(), random.drawing_from(drawn):
        # What `f` used gets a stand-in, where the walk through the new record ends.
        ends = [alias(wrap(np.broadcast_to(np.float32(0), p.shape), p)) for p in node.parents]
        mark = next_order()
        result = f(*args)
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    results = [results[i] for i in live]
    inside, outside = _explore(results, mark)
    if set(outside) != set(sources) or [y.shape for y in results] != shapes:
        raise ValueError(
            "checkpoint: the function used other Tensors, or gave other shapes, when it was run "
            "again; it has to do the same each time"
        )
    replaced = dict(zip(sources, (end.node for end in ends)))
    for made in inside:
        made.parents = tuple(replaced.get(parent, parent) for parent in made.parents)
    results = [wrap(y.data, replaced.get(y.node, y.node)) for y in results]
    wanted = [i for i, p in enumerate(node.parents) if needed is None or p in needed]
    cotangents = _pieces(upstream, shapes)
    found = grad(results, [ends[i] for i in wanted], cotangents, create_graph=recording)
    gradients = dict(zip(wanted, found if recording else (g.data for g in found)))
    return [gradients.get(i) for i in range(len(ends))]


_run_again.row = SimpleNamespace(name="checkpoint", saved=())  # for `graph.to_dot` and errors
