"""The tape, walked backwards: `backward`, `grad`, and whether anything is recorded at all.

What is recorded is in `engine.recorder`; neither knows any operation by name.
"""

from contextlib import ContextDecorator
from heapq import heapify, heappop, heappush, heappushpop
from math import inf
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from .kernels.memory import Block
from .recorder import AnomalyError, anomalies, cast, pauses, state, sum_to
from .tensor import Tensor, to_array, wrap


class _Recording(ContextDecorator):
    """Set whether this thread records, for a `with` block or, as a decorator, for a function."""

    def __init__(self, value):
        self._value = value
        self._before = []  # a stack: one object may be entered again inside itself

    def __enter__(self):
        self._before.append(state.recording)
        state.recording = self._value
        pauses.append(None)
        return self

    def __exit__(self, *exception):
        state.recording = self._before.pop()
        pauses.pop()

    def _recreate_cm(self):
        return _Recording(self._value)  # a decorated function may run in several threads


def no_grad():
    """Record nothing inside the `with` block or the decorated function, in this thread."""
    return _Recording(False)


def enable_grad():
    """Record inside the `with` block or the decorated function, though it is within `no_grad`."""
    return _Recording(True)


def backward(tensor, grad=None, retain_graph=False, create_graph=False):
    """See `Tensor.backward`."""
    if tensor.node is None:
        raise ValueError(
            "backward: this Tensor was computed from nothing that requires a gradient (or under "
            "no_grad); make an input with requires_grad=True"
        )
    seed = _cotangent("backward", tensor, grad)
    _walk({tensor.node: seed}, create_graph, retain_graph or create_graph)


def grad(outputs, inputs, grad_outputs=None, create_graph=False, retain_graph=None):
    """The gradients of `outputs` in respect of `inputs`, without touching any `.grad`.

    outputs       a Tensor, or a list of them.
    inputs        a Tensor, or a list of them: leaves or results of operations.
    grad_outputs  the gradient in respect of each output, of its shape. May be left out (or None)
                  for an output of one element: then it is 1.
    create_graph  record the computation of the gradients, so that they can be differentiated.
    retain_graph  keep the graph for another backward. Default: as `create_graph`.

    Returns a Tensor for a Tensor, a list for a list. An input that no output depends on gets
    zeros. Raises ValueError as `Tensor.backward` does, and for an input that requires no gradient.
    """
    output_list = [outputs] if type(outputs) is Tensor else list(outputs)
    input_list = [inputs] if type(inputs) is Tensor else list(inputs)
    if grad_outputs is None or type(outputs) is Tensor:
        grad_outputs = [grad_outputs] * len(output_list)
    if len(grad_outputs) != len(output_list):
        raise ValueError(
            f"grad: expected one of grad_outputs per output, {len(output_list)}, "
            f"got {len(grad_outputs)}"
        )
    for position, tensor in enumerate(input_list):
        if tensor.node is None:
            raise ValueError(
                f"grad: input {position} does not require a gradient (shape {tensor.shape}); "
                "make it with requires_grad=True before it is used"
            )
    seeds = {}
    for tensor, given in zip(output_list, grad_outputs):
        if tensor.node is not None:
            seed = _cotangent("grad", tensor, given)
            seeds[tensor.node] = seeds[tensor.node] + seed if tensor.node in seeds else seed
    if not seeds:
        raise ValueError("grad: no output was computed from anything that requires a gradient")
    found = {tensor.node: None for tensor in input_list}
    keep = create_graph if retain_graph is None else retain_graph
    _walk(seeds, create_graph, keep, found)

    def result(tensor):
        gradient = found[tensor.node]
        if gradient is None:
            gradient = np.zeros(tensor.shape, tensor.dtype)
        return gradient if type(gradient) is Tensor else wrap(gradient)

    results = [result(tensor) for tensor in input_list]
    return results[0] if type(inputs) is Tensor else results


_hooks = WeakKeyDictionary()  # from a node to its hooks, {number: function} in order


def register_hook(tensor, hook):
    """See `Tensor.register_hook`."""
    if tensor.node is None:
        raise ValueError("register_hook: this Tensor does not require a gradient")
    hooks = _hooks.setdefault(tensor.node, {})
    number = max(hooks, default=0) + 1
    hooks[number] = hook
    return lambda: hooks.pop(number, None) and None


def is_watched(leaves):
    """Whether a backward to these nodes is more than their gradients: a hook, or one that is not
    to be recorded, or in which anomalies are looked for.
    """
    if anomalies or (pauses and not state.recording):
        return True
    return bool(_hooks) and any(leaf in _hooks for leaf in leaves)


def _hooked(node, g):
    for hook in list(_hooks[node].values()):
        given = g if type(g) is Tensor else wrap(g)
        result = hook(given)
        if result is None:
            continue
        result = result if type(result) is Tensor else wrap(to_array(result, given.dtype))
        if result.shape != given.shape or result.dtype != given.dtype:
            raise ValueError(
                f"register_hook: expected the hook to return {given.dtype} of shape "
                f"{given.shape}, got {result.dtype} of shape {result.shape}"
            )
        g = result if type(g) is Tensor else result.data
    return g


def _cotangent(name, tensor, given):
    if given is None:
        if tensor.size != 1:
            raise ValueError(
                f"{name}: a Tensor of shape {tensor.shape} has no single gradient; reduce it to "
                "a scalar, or pass the gradient in respect of it"
            )
        return np.ones(tensor.shape, tensor.dtype)
    value = given if type(given) is Tensor else wrap(to_array(given, tensor.dtype))
    if value.shape != tensor.shape:
        raise ValueError(
            f"{name}: expected a gradient of the Tensor's shape {tensor.shape}, got {value.shape}"
        )
    if value.dtype != tensor.dtype:
        value = cast(value, value.dtype, tensor.dtype)
    return value if value.node is not None else value.data


def _walk(gradients, recording, keep, found=None):
    """Carry gradients from the nodes in `gradients` back to the leaves.

    The nodes run from the last made to the first: whatever was computed from a node was made
    later, so that its gradient is complete when its turn comes. It is at first borrowed from
    whoever made it; the first addition allocates, later ones add in place.

    recording  gradients are Tensors, and what happens to them is recorded
    keep       leave the graph usable; otherwise each node is emptied once it has run
    found      a dict with the nodes whose gradients are wanted, to be filled in; the leaves then
               get nothing, and formulas that lead to no wanted node do not run
    """
    needed = None if found is None else _leading_to(found, gradients)
    gradients = _as_seeds(gradients, recording)
    queue = [(node.order, node) for node in gradients if node.step is not None]
    heapify(queue)
    node, owned = heappop(queue)[1] if queue else None, set()
    hooks = _hooks if _hooks else ()  # asked once: it is slow to say that it is empty
    # A slope may be infinite where a function is not, as that of sqrt at 0: no warnings from here.
    try:
        with _Recording(recording), np.errstate(all="ignore"):
            while node is not None:
                g = gradients.pop(node)
                if hooks and node in hooks:
                    g = _hooked(node, g)
                if needed is not None:
                    if node in found:
                        found[node] = g
                    if needed.isdisjoint(node.parents):
                        node = heappop(queue)[1] if queue else None
                        continue
                parts, following = node.step(node, g, recording, needed), None
                for parent, part in zip(node.parents, parts):
                    if part is None:
                        continue
                    if (node.shape if part is g else part.shape) != parent.shape:
                        part = sum_to(part, parent.shape)
                    sofar = gradients.get(parent)
                    if sofar is None:
                        if parent.step is None:
                            if part is g or _is_view(part):
                                part = _copied(part)  # a leaf keeps it: it must be nobody else's
                        elif following is None:
                            following = parent
                        else:
                            heappush(queue, (parent.order, parent))
                        gradients[parent] = part
                    elif parent in owned:
                        sofar += part
                    else:
                        gradients[parent] = total = sofar + part
                        if not recording:
                            gradients[parent] = np.asarray(total)  # a sum of 0-d arrays is a number
                            owned.add(parent)
                if not keep:
                    node.step, node.parents, node.saved = _freed, (), None
                if following is None:
                    node = heappop(queue)[1] if queue else None
                elif queue:
                    node = heappushpop(queue, (following.order, following))[1]
                else:
                    node = following  # in a chain the queue stays empty
    except AnomalyError as error:
        raise _located(error, node) from None
    _arrive(gradients, found)


def _located(error, node):
    """An AnomalyError that says whose gradient it came from."""
    where = f" at {node.line}" if hasattr(node, "line") else ""
    return AnomalyError(f"{error}, in the gradient of {node.step.row.name}, recorded{where}")


def _arrive(gradients, found):
    """Give the leaves what has arrived for them: to keep, or to be found."""
    hooks = _hooks if _hooks else ()
    for leaf, g in gradients.items():
        if hooks and leaf in hooks:
            g = _hooked(leaf, g)
        if found is None:
            # Never in place: the array in `.grad` may be in the user's hands.
            g = g if type(g) is Tensor else wrap(g)
            leaf.grad = g if leaf.grad is None else leaf.grad + g
        elif leaf in found:
            found[leaf] = g


def _as_seeds(gradients, recording):
    """The gradients as Tensors when recording, else as arrays; those of leaves in own memory."""
    if recording:
        gradients = {n: g if type(g) is Tensor else wrap(g) for n, g in gradients.items()}
    else:
        gradients = {n: g.data if type(g) is Tensor else g for n, g in gradients.items()}
    return {n: _copied(g) if n.step is None else g for n, g in gradients.items()}


def _leading_to(wanted, roots):
    """The wanted nodes, and those below `roots` from which one of them can be reached."""
    children, stack = {root: [] for root in roots}, list(roots)
    oldest = max((node.order if node.step else inf for node in wanted), default=-inf)
    while stack:
        node = stack.pop()
        if node.step is _freed and node.order < oldest:
            _freed()  # where it led is no longer known
        for parent in node.parents:
            if parent is None or (parent.step and parent.order > oldest):
                continue  # what was made before all that is wanted does not lead there
            if parent not in children:
                children[parent] = []
                stack.append(parent)
            children[parent].append(node)
    needed, stack = set(wanted), list(wanted)
    while stack:
        for child in children.get(stack.pop(), ()):
            if child not in needed:
                needed.add(child)
                stack.append(child)
    return needed


def _is_view(part):
    base = (part.data if type(part) is Tensor else part).base
    return base is not None and type(base) is not Block


def _copied(part):
    return wrap(part.data.copy(), part.node) if type(part) is Tensor else part.copy()


def _freed(*given):
    raise ValueError(
        "backward: this graph has been used and what it saved is freed; "
        "pass retain_graph=True to the first backward to run through it again"
    )


# ---------------------------------------------------------------------------------- a picture


class Drawn(NamedTuple):
    """A node of a graph, as a picture shows it.

    title    the operation's name, or "leaf"
    lines    dtype and shape of its result, and what it keeps in memory for the way back, if any
    parents  the places in the list of the nodes that it was computed from
    is_leaf  whether it is the end of a walk
    """

    title: str
    lines: list
    parents: list
    is_leaf: bool


def drawn_nodes(tensor, names=None, what="drawn_nodes"):
    """The graph behind a Tensor as a list of `Drawn`, each after those it was computed from.

    names  a dict from name to Tensor: their nodes are titled so
    what   in whose name a ValueError is raised when nothing was recorded
    """
    if tensor.node is None:
        raise ValueError(f"{what}: this Tensor was computed from nothing that requires a gradient")
    found, stack = {tensor.node}, [tensor.node]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
    nodes = sorted(found, key=lambda node: node.order if node.step else 1, reverse=True)
    places, dtypes, drawn = {node: place for place, node in enumerate(nodes)}, {}, []
    named = {tensor.node: name for name, tensor in (names or {}).items()}
    for node in nodes:
        dtypes[node] = _dtype_of(node, dtypes)
        kept = _kept(node)
        lines = [f"{dtypes[node]} {node.shape}", *([f"keeps {', '.join(kept)}"] if kept else [])]
        parents = [places[parent] for parent in node.parents if parent is not None]
        title = _title(node)
        if node in named:
            title = named[node] if node.step is None else f"{named[node]} = {title}"
        drawn.append(Drawn(title, lines, parents, node.step is None))
    return drawn


def to_dot(tensor, names=None):
    """The graph behind a Tensor as Graphviz text, from the leaves down to the Tensor.

    names  a dict from name to Tensor, as `dict(model.named_tensors())`: their boxes are named

    Every box is an operation or a leaf, with the shape and dtype of its result and what it keeps
    in memory for the way back. `dot -Tsvg`, or the Python package graphviz, renders the text.
    """
    lines = []
    for place, node in enumerate(drawn_nodes(tensor, names, "to_dot")):
        text = "\\n".join([node.title, *node.lines])
        shape = "ellipse" if node.is_leaf else "box"
        lines.append(f'  n{place} [label="{text}", shape={shape}];')
        lines += [f"  n{parent} -> n{place};" for parent in node.parents]
    return "\n".join(["digraph {", *lines, "}"])


def _title(node):
    if node.step is None:
        return "leaf"
    return node.step.row.name if hasattr(node.step, "row") else "used and freed"


def _dtype_of(node, dtypes):
    # A row works in one float type, but for `cast`, whose result has that of its setting.
    if node.step is None:
        return node.dtype
    target = dict(zip(node.step.row.saved, node.saved)).get("target") if node.saved else None
    return target or next((dtypes[p] for p in node.parents if p is not None), "freed")


def _kept(node):
    if node.step is None or not node.saved:
        return []
    pairs = zip(node.step.row.saved, node.saved)
    return [f"{name} ({value.nbytes:,} B)" for name, value in pairs if hasattr(value, "nbytes")]
