"""The operation table, one module per kind, and the one place where Tensor gets its operators."""

from .. import tensor
from ..recorder import cast
from ..tensor import Tensor
from . import elementwise, index, linalg, reduce, shape


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
        "__pow__": e.pow,
        "__rpow__": swapped(e.pow),
        "__neg__": e.negative,
        "__pos__": lambda self: self,
        "__abs__": e.abs,
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


def _reshape(self, *lengths):
    """`self` with the given lengths: reshape(2, 3) or reshape((2, 3))."""
    return shape.reshape(self, lengths[0] if len(lengths) == 1 else lengths)


def _astype(self, dtype):
    """`self` as another dtype; between float types the gradient passes, in its own dtype."""
    target = tensor.to_array((), dtype).dtype
    return self if target is self.dtype else cast(self, self.dtype, target)


def _transposed(self):
    """`self` with its axes in reverse order."""
    return shape.permute_dims(self, tuple(reversed(range(self.ndim))))


def _array_ufunc(self, ufunc, method, *inputs, **keywords):
    """NumPy's functions on Tensors: those that the table has, under NumPy's name for them."""
    name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
    row = linalg.matmul if name == "matmul" else getattr(elementwise, name, None)
    if method != "__call__" or keywords or row is None:
        call = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise TypeError(
            f"{call} does not record what it does to a Tensor: use the function of that kind in "
            "`engine`, or give it the array t.data"
        )
    return row(*inputs)


_UFUNC_NAMES = {"power": "pow", "absolute": "abs"}

for _name, _function in _operators():
    setattr(Tensor, _name, _function)
for _module, _names in {
    elementwise: "abs clip exp log sqrt square",
    reduce: "all any argmax argmin max mean min sum",
    shape: "squeeze",
}.items():
    for _name in _names.split():
        setattr(Tensor, _name, getattr(_module, _name))
Tensor.reshape = _reshape
Tensor.astype = _astype
Tensor.T = property(_transposed)
Tensor.mT = property(shape.matrix_transpose, doc="`self` with its last two axes exchanged.")
Tensor.__array_ufunc__ = _array_ufunc
Tensor.__hash__ = object.__hash__  # `==` compares elements: what makes a key is identity
