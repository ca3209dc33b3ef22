"""Reading elements by index, and its adjoint: adding them back to where they were read."""

import numpy as np

from ..recorder import op
from ..tensor import Tensor


@op(lambda g, shape, index: put_index(g, index, shape))
def getitem(x, index):
    """x[index], with everything that NumPy's basic and advanced indexing reads.

    The indices may be Tensors. An element that is read twice gets both gradients.
    Raises IndexError for an index out of range or of a wrong type.
    """
    return x[_plain(index)]


@op(lambda h, index: getitem(h, index))
def put_index(g, index, shape):
    """Zeros of `shape`, with `g` added at `index`: the adjoint of reading there."""
    index = _plain(index)
    out = np.zeros(shape, g.dtype)
    parts = index if type(index) is tuple else (index,)
    if any(isinstance(part, (np.ndarray, list)) for part in parts):
        np.add.at(out, index, g)  # an element may occur more than once
    else:
        out[index] = g
    return out


def _plain(index):
    if type(index) is tuple:
        return tuple(_plain(part) for part in index)
    return index.data if type(index) is Tensor else index
