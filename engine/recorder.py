"""How an operation is recorded: `@op` compiles a row of the operation table into a function.

A row is a forward on arrays, and one formula per differentiable argument that says what becomes of
the incoming gradient. From it `op` writes the source of two functions, specialised for the row, so
that whatever is known when a row is defined costs nothing when it is called: one for users, which
calls the forward and records a Node, and one backward step, which the walk in `engine.graph` calls.
For `multiply` they read, in essence:

    def multiply(x, y):                                def step(node, upstream, recording, needed):
        x_node, x_data = ...  # of a Tensor or array       x_node, y_node = node.parents
        y_node, y_data = ...                               x, y = node.saved
        out = forward(x_data, y_data)                      return (
        result = Tensor around out                             x_formula(upstream, y),
        node = Node(step, (x_node, y_node),                    y_formula(upstream, x),
                    saved=(x_data, y_data))                )
        return result
"""

import inspect
import threading
from itertools import count

import numpy as np

from .kernels.memory import MUCH, with_kept
from .tensor import FLOAT32, FLOAT64, Tensor, to_array, wrap


class Node:
    """One recorded operation.

    It holds the Nodes of the arguments and the arrays that the formulas mention, never a Tensor
    and never itself, so that a graph that is dropped is freed at once by reference counting.

    step     the row's backward: (node, gradient, recording, needed) -> gradients of the arguments
    parents  the Nodes of the differentiable arguments, None for one that needs no gradient
    saved    the values that the live formulas mention
    shape    the shape of the result
    order    less than that of every node made before
    """

    __slots__ = ("__weakref__", "order", "parents", "saved", "shape", "step")


class AnomalyError(ArithmeticError):
    """Within `detect_anomaly`: an operation made nan or inf of finite input."""


class State(threading.local):
    """What each thread has for itself: whether it records."""

    recording = True


state = State()
pauses = []  # as long as it is empty no thread has changed its state: cheaper to look at
anomalies = []  # not empty while they are looked for, see `engine.anomaly`
next_order = count(step=-1).__next__

ROWS = []  # (row, scope of its functions) of every row that was defined


def op(*formulas, forward=None, origin=False, promote=True, sequence=False, together=None):
    """Make a row of the operation table from a forward on arrays. Use as a decorator.

    formulas  one per leading parameter of the forward: how the gradient of the result becomes
              that of the argument, or None where there is none (an index, a label). The first
              parameter of a formula is the incoming gradient; every further one is a name: of
              an argument, of a keyword of the forward, `out` for the result, or `shape` for the
              shape of the argument that is being differentiated. What no live formula mentions
              is not kept. A formula is written with other rows, so that it can itself be
              differentiated; it need not sum over axes that were broadcast: the walk does.
    forward   a function to call instead of the decorated one, which then is only a name, a
              signature and a docstring: a NumPy function as it is costs one call less.
    origin    keep on the resulting Tensor, as `.origin`, this function and its arguments, recorded
              or not: how a loss finds the logits behind probabilities.
    promote   False for a row whose result's dtype is its own business: the rule below is not
              applied to it.
    sequence  True for a row whose first parameter is a list of Tensors and arrays, and the only
              one with a formula. The forward gets a list of arrays; the formula gives a list of
              gradients, and `shape` is for it the list of all their shapes.
    together  a function for the way back when it is not recorded, in place of the formulas: what
              they share it computes once. Its parameters are the incoming gradient, a tuple that
              says of which arguments the gradient is wanted, and names that the formulas mention;
              it gets arrays (None for what only the formula of an unwanted one mentions) and gives
              a gradient for each wanted argument, None for the others.

    The parameters of the forward that have no formula are settings: they are passed on as given.
    The function made takes Tensors, arrays and numbers. Given no Tensor it returns an array and
    records nothing; given one it returns a Tensor, recorded if an argument requires a gradient.

    Numbers never decide a dtype. float32 with float64 gives float64; integers with floats give
    the float type, integers alone, where the result is real, float32.
    """

    def define(function):
        row = (_SequenceRow if sequence else _Row)(function, formulas, together)
        scope = {**_RUNTIME, "forward": forward or function, "together": together}
        scope |= row.formula_scope()
        if _gives_floats(forward):
            scope["large"] = with_kept(forward)
        if row.live:
            _execute(row.step_source(), f"<backward of {row.name}>", scope)
            scope["step"].row = row
        ROWS.append((row, scope))
        _execute(row.function_source(scope, origin, promote), f"<row {row.name}>", scope)
        made = scope[row.name]
        made.__doc__, made.__module__ = function.__doc__, function.__module__
        made.__wrapped__ = function  # the source that help() and inspect show
        return made

    return define


def _gives_floats(forward):
    return isinstance(forward, np.ufunc) and not {"f->f", "ff->f"}.isdisjoint(forward.types)


def _execute(source, title, scope):
    exec(compile(source, title, "exec"), scope)


_FUNCTION = """
def {name}{signature}:
    {unwrap}
    try:
        out = {called}({call})
    except (TypeError, ValueError, IndexError) as error:
        raise explain(error, {name!r}, {given}) from None
    if type(out) is not ndarray:
        out = asarray(out)
    {promote}
    if {plain}:
        return out
    result = new(Tensor)
    result.data = out
    {origin}
    {record}
    return result
"""

# Of a NumPy function, for whose results memory would be mapped and cleared anew
_LARGE = "(large if type({0}_data) is ndarray and {0}_data.nbytes >= MUCH else forward)"

_PROMOTE = """if out.dtype is not FLOAT32 and promotes({name!r}, out, {arrays}):
        return {name}({promoted}, {settings})"""

_RECORD = """if ({live}) and (not pauses or state.recording):
        result.node = node = new(Node)
        node.step = step
        node.parents = ({parents})
        node.saved = ({saved})
        node.shape = out.shape
        node.order = next_order()
    else:
        result.node = None"""

_STEP = """
def step(node, upstream, recording, needed):
    ({parents}) = node.parents
    {saved}
    {together}
    {rewrap}
    return ({gradients})
"""

_TOGETHER = """if together is not None and not recording:
        return together(upstream, ({wanted}), {values})"""


class _Row:
    """What is known of a row when it is defined, and the sources that follow from it.

    arguments  the names of the parameters that may be Tensors
    settings   the names of the others
    formulas   by name, for the arguments that are differentiated: the live ones
    uses       the names that each formula mentions
    saved      the names that any formula mentions and that a Node has to keep
    """

    star = ""  # before the name of what stands for several Nodes or arrays
    is_plain = "type({0}) is not Tensor"
    is_live = "{0}_node is not None"

    def __init__(self, function, formulas, together):
        self.name = function.__name__
        self.together = together
        self.signature = inspect.signature(function)
        names = list(self.signature.parameters)
        self.arguments, self.settings = names[: len(formulas)], names[len(formulas) :]
        self.formulas = {n: f for n, f in zip(self.arguments, formulas) if f is not None}
        self.live = list(self.formulas)
        self.uses = {n: list(inspect.signature(f).parameters)[1:] for n, f in self.formulas.items()}
        mentioned = dict.fromkeys(use for name in self.live for use in self.uses[name])
        self.saved = [use for use in mentioned if use != "shape"]

        reserved = sorted((_RUNTIME.keys() | _LOCALS) & {self.name, *names})
        if reserved:
            raise TypeError(f"op {self.name}: rename {', '.join(reserved)}, which recording uses")
        known = [*(self.settings if self.star else names), "out"]
        unknown = [use for use in self.saved if use not in known]
        if unknown:
            raise TypeError(f"op {self.name}: a formula mentions {', '.join(unknown)}")
        if self.star and "shape" in mentioned:  # of arguments that may have no Node
            self.saved.append("shape")

    def formula_scope(self):
        return {f"{name}_formula": formula for name, formula in self.formulas.items()}

    def function_source(self, scope, origin, promote):
        names = [*self.arguments, *self.settings]
        promotion = _PROMOTE.format(
            name=self.name,
            arrays=", ".join(f"{self.star}{name}_data" for name in self.live),
            promoted=self._promoted(),
            settings=", ".join(self.settings),
        )
        record = _RECORD.format(
            live=" or ".join(self.is_live.format(name) for name in self.live),
            parents=_tuple(f"{self.star}{name}_node" for name in self.live),
            saved=_tuple(self._kept(use) for use in self.saved),
        )
        return _FUNCTION.format(
            name=self.name,
            signature=_plain_signature(self.signature, scope),
            unwrap="\n    ".join(self._unwrap(name) for name in self.arguments) or "pass",
            called=_LARGE.format(self.arguments[0]) if "large" in scope else "forward",
            call=", ".join([f"{name}_data" for name in self.arguments] + self.settings),
            given="{" + ", ".join(f"{name!r}: {name}" for name in names) + "}",
            promote=promotion if self.live and promote else "",
            plain=" and ".join(self.is_plain.format(name) for name in self.arguments),
            origin=f"result.origin = ({self.name}, ({_tuple(names)}))" if origin else "",
            record=record if self.live else "result.node = None",
        )

    def _unwrap(self, name):
        is_live = name in self.live
        return (
            f"if type({name}) is Tensor: "
            f"{f'{name}_node = {name}.node; ' if is_live else ''}{name}_data = {name}.data\n"
            f"    else: {f'{name}_node = None; ' if is_live else ''}"
            f"{name}_data = {name} if type({name}) is ndarray else convert({name})"
        )

    def _promoted(self):
        return f"*in_one_type({_tuple(self.arguments)})"

    def _kept(self, use):
        # A value is kept only when a formula that mentions it will run.
        readers = [f"{name}_node" for name in self.live if use in self.uses[name]]
        value = f"{use}_data" if use in self.arguments else use
        if len(readers) == len(self.live):
            return value
        return f"{value} if {' is not None or '.join(readers)} is not None else None"

    def step_source(self):
        wrapped = [use for use in self.saved if use in (*self.arguments, "out")]
        lines = ["if recording:", *(f"    {self._rewrap(use)}" for use in wrapped)]
        return _STEP.format(
            parents=_tuple(f"{self.star}{name}_node" for name in self.live),
            saved=f"({_tuple(self.saved)}) = node.saved" if self.saved else "",
            together=self._together() if self.together else "",
            rewrap="\n    ".join(lines) if wrapped else "",
            gradients=_tuple(self._gradient(name) for name in self.live),
        )

    def _rewrap(self, use):
        # With `recording` the formula gets Tensors, tied to the Nodes of what they were.
        node = "node" if use == "out" else f"{use}_node" if use in self.live else "None"
        return f"if type({use}) is ndarray: {use} = wrap({use}, {node})"

    def _gradient(self, name):
        values = [f"{name}_node.shape" if use == "shape" else use for use in self.uses[name]]
        call = self._call(name, ", ".join(["upstream", *values]))
        return f"{call} if {self._wanted(name)} else None"

    def _wanted(self, name):
        return f"{name}_node is not None and (needed is None or {name}_node in needed)"

    def _together(self):
        values = list(inspect.signature(self.together).parameters)[2:]
        wanted = _tuple(self._wanted(name) for name in self.live)
        return _TOGETHER.format(wanted=wanted, values=", ".join(values))

    def _call(self, name, values):
        # A gradient that is passed back as it is, as in `add`, is not worth a call.
        code = getattr(self.formulas[name], "__code__", None)
        is_passed_back = code is not None and code.co_code == _PASSING_BACK
        return values if is_passed_back else f"{name}_formula({values})"


class _SequenceRow(_Row):
    """A row of a list: its one argument stands for a list of Nodes and a list of arrays."""

    star = "*"
    is_plain = "not any([type(item) is Tensor for item in {0}])"
    is_live = "any([item is not None for item in {0}_node])"

    def _unwrap(self, name):
        return f"{name}_node, {name}_data = unwrap_all({name}, {self.name!r})"

    def _promoted(self):
        return f"in_one_type(*{self.live[0]})"

    def _kept(self, use):
        return f"[item.shape for item in {self.live[0]}_data]" if use == "shape" else use

    def _gradient(self, name):
        uses = ", ".join(["upstream", *self.uses[name]])
        return f"*wanted({name}_formula({uses}), {name}_node, needed)"


_PASSING_BACK = (lambda g: g).__code__.co_code


def _tuple(items):
    return "".join(f"{item}, " for item in items)


def _plain_signature(signature, scope):
    """The signature as source, its defaults as names in `scope`."""
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.default is not parameter.empty:
            scope[f"{parameter.name}_default"] = parameter.default
            parameter = parameter.replace(default=_Verbatim(f"{parameter.name}_default"))
        parameters.append(parameter.replace(annotation=parameter.empty))
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Verbatim(str):
    __repr__ = str.__str__


# -------------------------------------------------------------- what the compiled functions call


def _convert(value):
    """An argument that is neither Tensor nor array: numbers stay, the rest becomes an array."""
    if value is None or type(value) in (float, int, bool):
        return value
    return to_array(value)


def _promotes(name, out, *values):
    """Whether a result that is not float32 has a float type other than the rule of `op` gives.

    Raises TypeError for a result that no Tensor can hold.
    """
    if out.dtype is FLOAT64:
        dtypes = [value.dtype for value in values if type(value) is np.ndarray]
        return not dtypes or dtypes != [FLOAT64] * len(dtypes)
    if out.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got {out.dtype} data")
    return out.dtype.kind == "f"


def _in_one_type(*arguments):
    """The arguments in the float type that the rule of `op` gives."""
    values = [value if type(value) is Tensor else _convert(value) for value in arguments]
    wide = any(value.dtype is FLOAT64 for value in values if hasattr(value, "dtype"))
    target = FLOAT64 if wide else FLOAT32
    return [_cast_to(value, target) for value in values]


def _cast_to(value, target):
    if value is None or (type(value) in (float, int, bool) and target is FLOAT64):
        return value
    if type(value) is Tensor:
        return value if value.dtype is target else cast(value, value.dtype, target)
    return np.asarray(value, dtype=target)


def _unwrap_all(values, name):
    """The Nodes (None where there is none) and the arrays of a list of Tensors and arrays."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(
            f"{name}: expected a list of Tensors or arrays, got {type(values).__name__}"
        )
    nodes = [value.node if type(value) is Tensor else None for value in values]
    return nodes, [value.data if type(value) is Tensor else _convert(value) for value in values]


def _wanted(gradients, nodes, needed):
    return [
        g if node is not None and (needed is None or node in needed) else None
        for g, node in zip(gradients, nodes)
    ]


def _explain(error, name, given):
    """The error of a forward, so that it names the operation and what it was given."""
    kind = IndexError if type(error) is IndexError else TypeError
    kind = ValueError if isinstance(error, ValueError) else kind
    message = str(error).strip()
    if message.startswith(f"{name}:"):
        return kind(message)
    described = ", ".join(
        f"{key} {_described(value)}" if hasattr(value, "shape") else f"{key}={_described(value)}"
        for key, value in given.items()
    )
    return kind(f"{name}: {message} (got {described})")


def _described(value):
    if hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, (list, tuple)) and any(hasattr(item, "shape") for item in value):
        return f"[{', '.join(map(_described, value[:5]))}{', ...' if value[5:] else ''}]"
    return repr(value)


_LOCALS = {
    "forward",
    "large",
    "needed",
    "node",
    "out",
    "recording",
    "result",
    "step",
    "together",
    "upstream",
}
_RUNTIME = {
    "FLOAT32": FLOAT32,
    "MUCH": MUCH,
    "Node": Node,
    "Tensor": Tensor,
    "asarray": np.asarray,
    "convert": _convert,
    "explain": _explain,
    "in_one_type": _in_one_type,
    "ndarray": np.ndarray,
    "new": object.__new__,
    "next_order": next_order,
    "pauses": pauses,
    "promotes": _promotes,
    "state": state,
    "unwrap_all": _unwrap_all,
    "wanted": _wanted,
    "wrap": wrap,
}


# --------------------------------------------- the three rows that recording itself relies on


@op(lambda g, source, target: cast(g, target, source), promote=False)
def cast(x, source, target):
    return x.astype(target)


@op(lambda g, shape: sum_to(g, shape))
def broadcast_to(x, shape):
    """`x` repeated along new and length-1 axes to `shape`: a view, nothing is copied."""
    return np.broadcast_to(x, shape)


@op(lambda g, shape: broadcast_to(g, shape))
def sum_to(x, shape):
    """The adjoint of `broadcast_to`: the sum over the axes along which `shape` was repeated."""
    lead = x.ndim - len(shape)
    axes = tuple(
        axis for axis in range(x.ndim) if axis < lead or (shape[axis - lead] == 1 != x.shape[axis])
    )
    return x.sum(axis=axes).reshape(shape)
