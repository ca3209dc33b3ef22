"""Tied weights: which places of a model hold one and the same Tensor, kept through a file.

A file holds each Tensor once, under the path where it is found first; every other place of it is
written down as {path: first path}.
"""

from engine import Tensor

from .module import places


def ties_of(model):
    """A dict from the path of each further place of a Tensor to the path of its first."""
    first, ties = {}, {}
    for path, _, _, value in places(model):
        if type(value) is Tensor and first.setdefault(id(value), path) != path:
            ties[path] = first[id(value)]
    return ties


def ties_in(about):
    """The ties that the header of a file tells of; ValueError for what are none."""
    ties = about.get("tied", {})
    if not isinstance(ties, dict) or not all(type(first) is str for first in ties.values()):
        raise ValueError(f"expected tied to be a dict from path to path, got {ties!s:.80}")
    return ties


def tie_unbuilt(model, path, ties):
    """Set the Tensors of the module at `path` that are tied to ones that are there already.

    Before the module makes its own: then it takes no memory for what it would not keep.
    """
    module = dict(model.named_modules())[path]
    prefix = f"{path}." if path else ""
    own = {name for name, value in vars(module).items() if value is None}
    wanted = {prefix + name: name for name in own if prefix + name in ties}
    if wanted:
        there = {at: value for at, _, _, value in places(model) if type(value) is Tensor}
        for at, name in wanted.items():
            if ties[at] in there:
                setattr(module, name, there[ties[at]])


def tie(model, ties):
    """Make one Tensor of what is tied. Returns sentences that say where that can not be."""
    there = {path: (holder, key, value) for path, holder, key, value in places(model)}
    problems = []
    for path, first in ties.items():
        holder, key, value = there.get(path, (None, None, None))
        target = there.get(first, (None, None, None))[2]
        if type(value) is not Tensor or type(target) is not Tensor:
            problems.append(f"{path} is tied to {first}, and not both are there")
        elif value.shape != target.shape:
            problems.append(
                f"{path} has shape {value.shape}, and is tied to {first} of shape {target.shape}"
            )
        elif isinstance(holder, (list, dict)):
            holder[key] = target
        elif value is not target:
            setattr(holder, key, target)
    return problems
