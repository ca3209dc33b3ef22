"""Parameter groups: which parameters an optimizer has, and what is set for some of them alone."""

import re

from engine import Tensor

from ..checks import number_of

SETTINGS = ("params", "learning_rate", "weight_decay")


def rate_of(what, value):
    """A learning rate: a float above 0, or a schedule as it is. ValueError for anything else."""
    if callable(value) and not isinstance(value, type):
        return value
    return number_of(what, "learning_rate", value, low=0, open_low=True)


class Group:
    """Parameters with settings of their own; None for a setting is that of the optimizer.

    params         a list of Tensors
    learning_rate  a number above 0 or a schedule; may be set between steps
    weight_decay   a number of at least 0; may be set between steps
    """

    def __init__(self, what, names, params, decaying, learning_rate=None, weight_decay=None):
        self._what = what
        self.names, self.params, self.decaying = names, params, decaying
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    @property
    def learning_rate(self):
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._learning_rate = None if value is None else rate_of(self._what, value)

    @property
    def weight_decay(self):
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value):
        is_set = value is not None
        self._weight_decay = number_of(self._what, "weight_decay", value, low=0) if is_set else None


def groups_of(what, parameters, excluded):
    """The groups that are written as `parameters` (see `Optimizer`).

    what      the optimizer's name, for errors
    excluded  `exclude_from_weight_decay`
    """
    parameters = [parameters] if isinstance(parameters, Tensor | dict) else list(parameters)
    given = [entry for entry in parameters if isinstance(entry, dict)]
    if given and len(given) < len(parameters):
        raise TypeError(f"{what}: expected groups, or parameters, not some of both")
    groups = [_group(what, entry, excluded) for entry in given or [{"params": parameters}]]
    seen = set()
    for group in groups:
        for name, parameter in zip(group.names, group.params):
            if id(parameter) in seen:
                called = f"{name!r}" if name else f"of shape {parameter.shape}"
                raise ValueError(f"{what}: the parameter {called} is given twice")
            seen.add(id(parameter))
    if not seen:
        raise ValueError(f"{what}: there are no parameters to move")
    return groups


def _group(what, entry, excluded):
    unknown = sorted(map(str, entry.keys() - set(SETTINGS)))
    if unknown or "params" not in entry:
        raise ValueError(
            f"{what}: expected a group to be a dict with 'params' and maybe 'learning_rate' and "
            f"'weight_decay', got {', '.join(map(str, entry))}"
        )
    params = entry["params"]
    pairs = [
        pair if isinstance(pair, tuple) and len(pair) == 2 else (None, pair)
        for pair in ([params] if isinstance(params, Tensor) else params)
    ]
    for _, parameter in pairs:
        if type(parameter) is not Tensor or not parameter.requires_grad:
            raise TypeError(
                f"{what}: expected Tensors with requires_grad=True, got {type(parameter).__name__}"
            )
    decaying = [not _is_excluded(what, name, parameter, excluded) for name, parameter in pairs]
    names, tensors = (list(column) for column in zip(*pairs)) if pairs else ([], [])
    settings = {name: value for name, value in entry.items() if name != "params"}
    return Group(what, names, tensors, decaying, **settings)


def _is_excluded(what, name, parameter, excluded):
    if excluded is None:
        return False
    if callable(excluded):
        return bool(excluded(parameter))
    if name is None:
        raise ValueError(
            f"{what}: exclude_from_weight_decay={excluded!r} needs the parameters' names; "
            f"write {what}(model, ...), or exclude_from_weight_decay=lambda p: p.ndim < 2"
        )
    return any(re.search(pattern, name) for pattern in excluded)
