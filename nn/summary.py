"""The table that `Module.summary` prints: what is in a model, and what an example costs in it."""

import copy

from engine import Tensor

from .module import Layer

HEADS = ("layer (type)", "output shape", "parameters", "trainable", "memory", "FLOPs")


def summary(model, input_shape=None, print_fn=print):
    """Print a table of what is in `model`, in the order in which it is called.

    input_shape  of one example; a list of shapes for a model of several inputs. Default: the one
                 that the model knows, or that of the examples it was trained on. Without one the
                 modules are listed as they are found.
    print_fn     called with each line

    The columns: name and type; shape of the output; number of parameters and buffers, each counted
    where it comes first; whether they are trainable; the memory that the output of one example
    takes; and the floating-point operations for one example in inference. A multiply-add counts as
    2, any function of one number as 1: a Dense layer of i inputs and u units has 2 i u, and u for
    the bias. Operations outside of layers, as the addition of a skip connection, are not counted.

    Raises ValueError for a model without weights when the shape is not known.
    """
    shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if shape is None and getattr(model, "current_batch", None) is not None:
        shape = model.current_batch[0].shape[1:]
    if shape is None:
        model.ensure_built()
        rows = _found(model)
    else:
        rows = _called(model, shape)
    _print(_cells(rows), print_fn)
    _print_totals(model, rows, print_fn)


class Row:
    """A module of the table, as often as it is called."""

    def __init__(self, module, name, depth=0, output=None, flops=None):
        self.module, self.name, self.depth = module, name, depth
        self.output = output  # a Tensor of one example, or None
        self.flops = flops
        self.is_container = len(module.modules()) > 1


# ----------------------------------------------------------------------------------------- rows


def _found(model):
    """Rows of the modules below `model`, from its attributes."""
    names = _names(model)
    rows = [Row(module, names[id(module)]) for module in model.modules()[1:]]
    inner = {id(row.module): row for row in rows}
    for row in rows:
        for below in row.module.modules()[1:]:
            inner[id(below)].depth += 1
    own = [Row(model, model.label)] if model.own_tensors() or not rows else []
    return own + rows


def _called(model, shape):
    """Rows of the modules below `model` in the order of a forward on zeros."""
    shapes = shape if isinstance(shape, list) else [shape]
    shapes = [(part,) if isinstance(part, int) else tuple(part) for part in shapes]
    if len(shapes) == 1:
        model.ensure_built(shapes[0])
    else:
        model._trace(*shapes)  # which builds the layers within
    rows, names = [], _names(model)

    def note(module, inputs, output):
        below = {id(inner) for inner in module.modules()[1:]}
        start = len(rows)
        while start and id(rows[start - 1].module) in below:
            start -= 1
            rows[start].depth += 1
        flops = module.flops(_example_shape(inputs[0])) if isinstance(module, Layer) else None
        rows.insert(start, Row(module, names[id(module)], 0, output, flops))

    removers = [inner.register_forward_hook(note) for inner in model.modules()[1:]]
    try:
        output = model._trace(*shapes)
    finally:
        for remove in removers:
            remove()
    if model.own_tensors() or not rows:
        flops = model.flops(shapes[0]) if isinstance(model, Layer) else None
        rows.insert(0, Row(model, model.label, 0, output, flops))
    return rows


def _names(model):
    """What each module is called: its name, or the attribute where it is found."""
    return {
        id(module): module.name or path.rpartition(".")[2] or module.label
        for path, module in model.named_modules()
    }


def _example_shape(x):
    return [part.shape[1:] for part in x] if isinstance(x, list) else x.shape[1:]


# ---------------------------------------------------------------------------------------- cells


def _cells(rows):
    table, counted = [HEADS], set()
    for row in rows:
        tensors = [tensor for _, tensor in row.module.own_tensors()]
        fresh = [tensor for tensor in tensors if id(tensor) not in counted]
        counted.update(map(id, tensors))
        shared = "*" if len(fresh) < len(tensors) else ""
        size = f"{sum(tensor.size for tensor in fresh):,}{shared}"
        table.append(
            (
                f"{'  ' * row.depth}{row.name} ({type(row.module).__name__})",
                _shape_text(row.output),
                "" if row.is_container and not tensors else size,
                _trainable_text(tensors),
                "" if row.output is None or row.is_container else _bytes_text(_size(row.output)),
                "" if row.output is None or row.is_container else _count_text(row.flops),
            )
        )
    return table


def _print(table, print_fn):
    table = [(_cut(row[0], 36), _cut(row[1], 20), *row[2:]) for row in table]
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        left = [f"{cell:<{width}}" for cell, width in zip(row[:2], widths)]
        right = [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:])]
        print_fn("  ".join(left + right).rstrip())
    if any("*" in row[2] for row in table[1:]):
        print_fn("* shared with a layer above, and counted there")


def _print_totals(model, rows, print_fn):
    tensors = [tensor for _, tensor in model.named_tensors()]
    trainable = model.trainable_parameters()
    ids = set(map(id, trainable))
    rest = [tensor for tensor in tensors if id(tensor) not in ids]
    for name, part in (("trainable", trainable), ("not trainable", rest)):
        count = sum(tensor.size for tensor in part)
        print_fn(f"{name}: {count:,} parameters, {_bytes_text(_size(part))}")
    optimizer = getattr(model, "_optimizer", None)
    if optimizer is not None and trainable:
        print_fn(f"optimizer: {_bytes_text(_optimizer_size(optimizer, model))}")
    leaves = [row for row in rows if not row.is_container]
    if any(row.output is not None for row in leaves):
        known = [row.flops for row in leaves if row.flops is not None]
        least = "" if len(known) == len(leaves) else "at least "
        memory = _bytes_text(sum(_size(row.output) for row in leaves))
        print_fn(f"one example: outputs of {memory}, {least}{_count_text(sum(known))} FLOPs")


def _optimizer_size(optimizer, model):
    if optimizer.parameters is None:  # one like it, as it will be from the first step on
        optimizer = copy.deepcopy(optimizer)
        optimizer.bind(model)
    return sum(getattr(value, "nbytes", 0) for value in optimizer.state_dict().values())


def _size(value):
    """The bytes of a Tensor, or of all in a list."""
    if type(value) is Tensor:
        return value.data.nbytes
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0


def _shape_text(output):
    if type(output) is not Tensor:
        return ""
    return f"(None{''.join(f', {n}' for n in output.shape[1:])})"


def _trainable_text(tensors):
    if not tensors:
        return ""
    trainable = sum(tensor.requires_grad for tensor in tensors)
    return "yes" if trainable == len(tensors) else "in part" if trainable else "no"


def _count_text(count):
    return "?" if count is None else _in_units(count, 1000, ("", " k", " M", " G", " T"))


def _bytes_text(count):
    return _in_units(count, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _in_units(count, factor, units):
    """`count` in the greatest unit that it reaches, in three digits from the second unit on."""
    power = 0
    while count >= factor ** (power + 1) and power + 1 < len(units):
        power += 1
    value = count / factor**power
    digits = 0 if power == 0 or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{units[power]}"


def _cut(text, width):
    return text if len(text) <= width else text[: width - 1] + "…"
