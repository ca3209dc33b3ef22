"""NumPy's own functions, called with Tensors. One rule for ufuncs and the rest:

What `engine` has under that name, or under the name that the array API standard gives it, is
called instead, and records. Everything else is NumPy's business: it gets the arrays and gives
arrays, but never where that would lose a gradient. A result of integers, booleans or text has no
gradient to lose; one of floats, computed from a Tensor that requires a gradient, is an error.
"""

import inspect

import numpy as np

from ..recorder import state
from ..tensor import Tensor

_OUR_NAMES = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "concatenate": "concat",
    "cumsum": "cumulative_sum",
    "power": "pow",
    "transpose": "permute_dims",
}
# NumPy's third argument of these is a dtype or an array to write to.
_REDUCTIONS = {"all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"}


def array_ufunc(self, ufunc, method, *inputs, **keywords):
    row = _ours(ufunc) if method == "__call__" and not keywords else None
    if row is not None:
        return row(*inputs)
    title = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    return _on_the_data(getattr(ufunc, method), title, inputs, keywords)


def array_function(self, function, types, arguments, keywords):
    if function is np.shape:  # asked often, so the quick way
        return self.shape
    if function is np.transpose and len(arguments) == 1 and not keywords:
        return self.T
    row = _ours(function)
    if row is not None and _fits(row, arguments, keywords):
        return row(*arguments, **keywords)
    module = function.__module__.removeprefix("numpy").removeprefix(".")
    title = f"{module}.{function.__name__}" if module else function.__name__
    return _on_the_data(function, title, arguments, keywords)


def _ours(function):
    import engine  # which imports this module

    name = function.__name__
    if getattr(np, name, None) is not function:
        return None  # np.linalg.diagonal is not np.diagonal
    return getattr(engine, _OUR_NAMES.get(name, name), None)


def _fits(row, arguments, keywords):
    if row.__name__ in _REDUCTIONS and len(arguments) > 2:
        return False
    try:
        inspect.signature(row).bind(*arguments, **keywords)
    except TypeError:
        return False
    return True


def _on_the_data(function, title, arguments, keywords):
    given = (*arguments, *keywords.values())
    tracked = state.recording and any(map(_is_recorded, given))
    if not tracked:
        return function(*_data(arguments), **_data(keywords))
    if "out" in keywords or _is_real(result := function(*_data(arguments), **_data(keywords))):
        raise TypeError(
            f"np.{title}, with these arguments, does not record what it does to a Tensor, and its "
            "gradient would be lost: use what `engine` has, or give it the array t.data"
        )
    return result


def _is_recorded(value):
    if type(value) is Tensor:
        return value.node is not None
    return type(value) in (list, tuple) and any(map(_is_recorded, value))


def _data(value):
    if type(value) is Tensor:
        return value.data
    if type(value) is dict:
        return {key: _data(item) for key, item in value.items()}
    return type(value)(map(_data, value)) if type(value) in (list, tuple) else value


def _is_real(result):
    if isinstance(result, (list, tuple)):
        return any(map(_is_real, result))
    return isinstance(result, float) or getattr(result, "dtype", np.dtype(bool)).kind in "fc"
