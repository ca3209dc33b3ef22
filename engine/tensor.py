"""Tensor: an array, and the place on the tape where it was made. It knows no operation.

Operators and methods such as `+` and `sum` are attached by `engine.ops`; how a Tensor came to be
is in its `node`, which `engine.recorder` makes and `engine.graph` walks.
"""

import numpy as np

from .kernels.memory import copied

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Leaf:
    """The end of a walk: where the gradient of a Tensor that nothing was computed from arrives."""

    __slots__ = ("__weakref__", "dtype", "grad", "shape")
    parents = ()
    step = None

    def __init__(self, array):
        self.grad = None
        self.shape = array.shape
        self.dtype = array.dtype


class Tensor:
    """An n-dimensional array that records what is computed from it.

    data           array-like. It is copied. Arrays of float64 (and wider) are float64, those of
                   float32 and float16 and Python floats float32; integers and booleans stay such.
    requires_grad  True: operations on this Tensor are recorded, and `backward` leaves the
                   gradient in `.grad`. Needs a float dtype. Default False.
    dtype          float32, float64, an integer type or bool; overrides the rule above.

    Raises TypeError for complex, object and text data and for a gradient of integers, ValueError
    for ragged lists.
    """

    # `origin` is set only on what softmax and sigmoid return: see `engine.op`.
    __slots__ = ("data", "node", "origin", "__weakref__")

    def __init__(self, data, requires_grad=False, dtype=None):
        self.data = copied(to_array(data, dtype))
        self.node = None
        self.requires_grad = requires_grad

    shape = property(lambda self: self.data.shape, doc="The lengths of the axes, a tuple.")
    dtype = property(lambda self: self.data.dtype, doc="The NumPy dtype of the elements.")
    ndim = property(lambda self: self.data.ndim, doc="The number of axes.")
    size = property(lambda self: self.data.size, doc="The number of elements.")

    @property
    def requires_grad(self):
        """Whether operations on this Tensor are recorded. Can be set on a Tensor made by hand."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value):
        if self.node is not None and type(self.node) is not Leaf:
            if not value:
                raise ValueError(
                    "requires_grad: this Tensor is the result of a recorded operation; "
                    "use detach() to get one that is not recorded"
                )
            return
        if not value:
            self.node = None
        elif self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: only float32 and float64 Tensors have gradients, this one is "
                f"{self.data.dtype}; pass dtype='float32' if its numbers are meant as reals"
            )
        elif self.node is None:
            self.node = Leaf(self.data)

    @property
    def grad(self):
        """The gradient that `backward` has accumulated here: a Tensor of the same shape, or None.

        Only Tensors made by hand with requires_grad=True collect one; for a result of an
        operation use `engine.grad`.
        """
        return self.node.grad if type(self.node) is Leaf else None

    @grad.setter
    def grad(self, value):
        if value is None and self.node is None:
            return  # nothing to drop, as with the weights of a layer that is frozen
        if type(self.node) is not Leaf:
            raise ValueError("grad: only a Tensor made with requires_grad=True has one to set")
        if value is not None:
            value = value if type(value) is Tensor else Tensor(value, dtype=self.dtype)
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"grad: expected {self.dtype} of shape {self.shape}, "
                    f"got {value.dtype} of shape {value.shape}"
                )
        self.node.grad = value

    def backward(self, grad=None, retain_graph=False, create_graph=False):
        """Add d(self)/d(leaf) to `.grad` of every leaf that this Tensor was computed from.

        grad          the gradient of some scalar in respect of this Tensor, of this Tensor's
                      shape; may be left out when it has one element (then it is 1).
        retain_graph  keep what the tape has saved, so that backward can run again.
        create_graph  record the backward pass too: the gradients can be differentiated again.

        A leaf that this Tensor does not depend on keeps its `.grad`, None at first, and optimizers
        leave such a parameter alone. The tape holds the arrays themselves: what is written into
        the `.data` of a Tensor between its use and backward, be it by an optimizer's step, changes
        what backward computes with. Step after backward, or compute on a copy.

        Raises ValueError when nothing was recorded, when `grad` is missing or mis-shaped, and
        when the graph has already been used and freed.
        """
        from . import graph  # which builds on this module

        graph.backward(self, grad, retain_graph, create_graph)

    def register_hook(self, hook):
        """Call `hook` with the gradient in respect of this Tensor whenever a backward has it.

        hook  function of a Tensor; what it returns, unless None, takes the gradient's place, and
              has to have its shape and dtype. Several hooks run in the order they came in.

        Returns a function of no arguments that takes the hook away. Raises ValueError when this
        Tensor does not require a gradient.
        """
        from . import graph

        return graph.register_hook(self, hook)

    def detach(self):
        """The same numbers (shared, not copied) as a Tensor that is not recorded."""
        return wrap(self.data)

    def numpy(self):
        """The data as a NumPy array: shared, not copied."""
        return self.data

    def item(self):
        """The only element, as a Python number. ValueError when there is not exactly one."""
        if self.data.size != 1:
            raise ValueError(f"item: expected one element, this Tensor has shape {self.shape}")
        return self.data.item()

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype=dtype, copy=copy)

    def __dlpack__(self, **keywords):
        if self.node is not None:
            raise BufferError(
                "__dlpack__: a Tensor that requires a gradient is not shared, since what is done "
                "elsewhere is not recorded: use t.detach()"
            )
        return self.data.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __reduce__(self):
        # For copy and pickle: the numbers, and whether they require a gradient.
        if self.node is not None and type(self.node) is not Leaf:
            raise TypeError(
                "copy: this Tensor is the result of a recorded operation, and the record is not "
                "copied or pickled: use t.detach()"
            )
        return _restored, (self.data, self.requires_grad)

    def __len__(self):
        if self.data.ndim == 0:
            raise TypeError("len: a 0-d Tensor has no length")
        return len(self.data)

    def __contains__(self, value):
        return bool((self.data == to_array(value)).any())

    def __bool__(self):
        if self.data.size != 1:
            raise ValueError(
                f"bool: a Tensor of shape {self.shape} is neither true nor false; "
                "compare it and use all() or any() on the result"
            )
        return bool(self.data)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.data.dtype.kind not in "iu":
            raise TypeError(f"index: only an integer Tensor is an index, this one is {self.dtype}")
        return int(self.item())

    def __format__(self, spec):
        if spec and self.data.size != 1:
            raise TypeError(
                f"format: {spec!r} is for one element, this Tensor has shape {self.shape}; "
                "use str(t), or numpy.array2string(t.data)"
            )
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self):
        parts = [np.array2string(self.data, separator=", ", prefix="Tensor(")]
        if self.data.size == 0 or self.data.size > np.get_printoptions()["threshold"]:
            parts.append(f"shape={self.shape}")
        if self.data.dtype not in (FLOAT32, np.int64, np.bool_):
            parts.append(f"dtype={self.dtype}")
        if self.requires_grad:
            parts.append("requires_grad=True")
        return f"Tensor({', '.join(parts)})"

    def __setitem__(self, index, value):
        raise TypeError(
            "a Tensor is not assigned into, since the tape may still need what it holds: "
            "use engine.where to choose, or write to the array t.data if nothing recorded uses it"
        )


_new = object.__new__


def wrap(array, node=None):
    """A Tensor around `array` itself: no copy, no check. For results of operations."""
    result = _new(Tensor)
    result.data = array
    result.node = node
    return result


def asarray(data, dtype=None):
    """`data` as a Tensor that shares its memory where it can; a Tensor of that dtype as it is.

    For the dtypes and errors see `Tensor`.
    """
    if type(data) is Tensor:
        return data if dtype is None else data.astype(dtype)
    return wrap(to_array(data, dtype))


def leaf(array, requires_grad=True):
    """A Tensor around `array` itself that is the result of nothing recorded."""
    result = wrap(array)
    result.requires_grad = requires_grad
    return result


def _restored(data, requires_grad):
    return leaf(to_array(data), requires_grad)


def dtype_of(dtype):
    """`dtype` as a NumPy dtype. TypeError for one that Tensors do not have."""
    target = np.dtype(dtype)
    if target.kind not in "biu" and target not in (FLOAT32, FLOAT64):
        raise TypeError(
            f"Tensor: expected dtype float32, float64, an integer type or bool, got {target}"
        )
    return target


def to_array(data, dtype=None):
    """`data` (array-like, Tensor or number) as an array of a dtype that Tensors may have."""
    if type(data) is Tensor:
        data = data.data
    elif type(data) in (list, tuple) and _holds_recorded(data):
        raise TypeError(
            "Tensor: a list of Tensors that require a gradient would lose it; use engine.stack "
            "or engine.concat"
        )
    given = hasattr(data, "dtype")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"Tensor: expected numbers in equal rows, got a ragged list ({error})")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Tensor: expected real numbers, got {array.dtype} data")
    if dtype is not None:
        target = dtype_of(dtype)
    elif array.dtype.kind == "f":
        # A list of Python floats arrives as float64 too, but nobody asked for that.
        target = FLOAT64 if given and array.dtype.itemsize >= 8 else FLOAT32
    else:
        target = np.dtype(array.dtype.type)  # in native byte order
    # By identity, which the rows rely on: an array that was pickled has a dtype of its own.
    return array if array.dtype is target else np.asarray(array, dtype=target)


def _holds_recorded(items):
    kinds = set(map(type, items))  # of a long list of numbers this is the quick way
    return (Tensor in kinds and any(type(x) is Tensor and x.node is not None for x in items)) or (
        not kinds.isdisjoint((list, tuple))
        and any(type(x) in (list, tuple) and _holds_recorded(x) for x in items)
    )
