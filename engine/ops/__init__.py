"""The operation table, one module per kind, and the one place where Tensor gets its operators."""

from .. import tensor
from ..recorder import cast
from ..tensor import Tensor
from . import elementwise, index, linalg, numpy_calls, reduce, shape


def _operators():
    e = elementwise

    def swapped(function):
        return lambda self, other: function(other, self)

    yield from {
        "__add__": e.add,
        "__radd__": e.add,
        "__sub__": e.subtract,
        "__rsub__": swapped(e.subtract),
        "__mul__": e.multiply,
        "__rmul__": e.multiply,
        "__truediv__": e.divide,
        "__rtruediv__": swapped(e.divide),
        "__floordiv__": e.floor_divide,
        "__rfloordiv__": swapped(e.floor_divide),
        "__mod__": e.remainder,
        "__rmod__": swapped(e.remainder),
        "__pow__": e.pow,
        "__rpow__": swapped(e.pow),
        "__neg__": e.negative,
        "__pos__": lambda self: self,
        "__abs__": e.abs,
        "__and__": e.bitwise_and,
        "__rand__": e.bitwise_and,
        "__or__": e.bitwise_or,
        "__ror__": e.bitwise_or,
        "__xor__": e.bitwise_xor,
        "__rxor__": e.bitwise_xor,
        "__invert__": e.bitwise_invert,
        "__eq__": e.equal,
        "__ne__": e.not_equal,
        "__lt__": e.less,
        "__le__": e.less_equal,
        "__gt__": e.greater,
        "__ge__": e.greater_equal,
        "__matmul__": linalg.matmul,
        "__rmatmul__": swapped(linalg.matmul),
        "__getitem__": index.getitem,
    }.items()


def _iterate(self):
    """The Tensors along the first axis."""
    if self.ndim == 0:
        raise TypeError("iter: a 0-d Tensor has no elements to go through")
    return iter(shape.unstack(self))


def _reshape(self, *lengths):
    """`self` with the given lengths: reshape(2, 3) or reshape((2, 3))."""
    return shape.reshape(self, lengths[0] if len(lengths) == 1 else lengths)


def _astype(self, dtype):
    """`self` as another dtype; between float types the gradient passes, in its own dtype."""
    target = tensor.dtype_of(dtype)
    return self if target is self.dtype else cast(self, self.dtype, target)


def _transpose(self, *axes):
    """`self` with its axes in the order given, as in transpose(1, 0), or reversed."""
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return shape.permute_dims(self, axes or tuple(reversed(range(self.ndim))))


for _name, _function in _operators():
    setattr(Tensor, _name, _function)
for _module, _names in {
    elementwise: "abs clip exp log round sqrt square",
    index: "take",
    reduce: "all any argmax argmin max mean min prod std sum var",
    shape: "diagonal ravel repeat squeeze",
}.items():
    for _name in _names.split():
        setattr(Tensor, _name, getattr(_module, _name))
Tensor.reshape = _reshape
Tensor.astype = _astype
Tensor.transpose = _transpose
Tensor.T = property(_transpose)
Tensor.mT = property(shape.matrix_transpose, doc="`self` with its last two axes exchanged.")
Tensor.__iter__ = _iterate
Tensor.__array_ufunc__ = numpy_calls.array_ufunc
Tensor.__array_function__ = numpy_calls.array_function
Tensor.__hash__ = object.__hash__  # `==` compares elements: what makes a key is identity
