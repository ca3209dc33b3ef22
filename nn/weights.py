"""Saving: the weights of a model, or the whole of it with its training, in one safetensors file.

A whole model is its configuration and compile settings, as JSON in the header; its weights, as the
tensors "model.<path>", and which of them are tied; what the optimizer remembers, as
"optimizer.<slot>"; where the training stands; and the model's `notes`. `nn.files` has the file and
its checksum, `nn.config` the JSON. No file can run code.
"""

import os

import numpy as np

from engine import random

from . import config, files
from .loop import Stood
from .module import Layer, zeros_as_weights
from .state import names_in, pack, unpack
from .tying import tie, tie_unbuilt, ties_in, ties_of

SPARE = 2**20  # elements that a header may ask for beyond those in the file, to be told of them
FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}
WEIGHTS, MODEL = "hotgrad weights 1", "hotgrad model 1"  # what is in a file, and the version


def save_weights(model, path):
    """Write the weights, a tensor for each path of `state_dict`, to the file `path`.

    Raises ValueError for a model without weights, OSError where the file can not be written; the
    old file is then as it was.
    """
    files.write(path, _weights_of(model), {"format": WEIGHTS, **_tied(model)})


def load_weights(model, path):
    """Set the weights from a file that `save_weights` or `save` has written.

    Raises ValueError for a damaged file, and, with every difference, for one that does not fit;
    then nothing has been changed.
    """
    arrays, about = files.read(path)
    if about.get("format") == MODEL:
        arrays = _within(arrays, "model.")
    elif about.get("format") != WEIGHTS:
        raise ValueError(f"{path} holds {about.get('format')!r}, expected {WEIGHTS!r}")
    own, ties = _weights_of(model), ties_in(about)
    problems = _differences(own, arrays)
    problems += [
        f"{place} is one Tensor with {ties[place]} in the file: tie them before you load it"
        for place in own.keys() - arrays.keys()
        if place in ties
    ]
    _require_none(path, problems)
    model.load_state_dict(arrays)


def _weights_of(model):
    return {name: tensor.data for name, tensor in model.named_tensors()}


def _tied(model):
    ties = ties_of(model)
    return {"tied": ties} if ties else {}


def _within(arrays, prefix):
    start = len(prefix)
    return {name[start:]: array for name, array in arrays.items() if name.startswith(prefix)}


def _differences(expected, got):
    """Sentences that say where names, shapes and dtypes of two dicts of arrays differ."""
    problems = [f"missing {name}" for name in expected if name not in got]
    problems += [f"unexpected {name}" for name in got if name not in expected]
    for name in expected.keys() & got.keys():
        for what in ("shape", "dtype"):
            wanted, found = getattr(expected[name], what), getattr(got[name], what)
            if wanted != found:
                problems.append(f"{name} has {what} {found}, expected {wanted}")
    return problems


def _require_none(path, problems):
    if problems:
        raise ValueError(f"{os.fspath(path)} does not fit the model: {'; '.join(sorted(problems))}")


def save(model, path):
    """Write the whole model to the file `path`: what `nn.load` makes it from again, and goes on.

    Raises TypeError for what can not be written as JSON, as a lambda, ValueError where the
    optimizer moves what is not in the model; else as `save_weights`.
    """
    arrays = {f"model.{name}": array for name, array in _weights_of(model).items()}
    about = {"format": MODEL, "model": config.to_config(model), "inputs": _inputs_of(model)}
    about |= _tied(model)
    if model.notes is not None:
        about["notes"] = pack(model.notes, "notes", arrays)
    settings = model.compile_settings()
    if settings is not None:
        about["compiled"] = config.to_config(settings)
        if model.optimizer.parameters is not None:
            slots = {}
            about["optimizer"] = pack(model.optimizer.state_dict(), "optimizer", slots)
            about |= _groups_of(model)
            arrays |= slots
        if model.training_state is not None:
            about["training"] = pack(model.training_state.state(), "training", arrays)
    files.write(path, arrays, about)


def load(path, custom_objects=None, compile=True):  # noqa: A002, Keras's name
    """The model that `save` has written, with its optimizer and where its training stands.

    custom_objects  a dict from name to class or function: those of one's own, which a file only
                    names
    compile         False: leave out how it is trained

    Raises ValueError for a file that is damaged, with every difference where its parts do not fit
    each other, and for names that are not in custom_objects.
    """
    arrays, about = files.read(path)
    if about.get("format") != MODEL:
        raise ValueError(
            f"{path} holds {about.get('format')!r}, expected {MODEL!r}; weights alone are loaded "
            "by model.load_weights(path)"
        )
    try:
        return _made(path, arrays, about, custom_objects, compile)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(
            f"{path}: there is no model to be made from its header: {error}"
        ) from error
    except MemoryError:
        raise ValueError(f"{path}: its header asks for more memory than there is") from None


def _made(path, arrays, about, custom_objects, with_training):
    weights = _within(arrays, "model.")
    room = SPARE + sum(array.size for array in weights.values())
    with random.drawing_from(0), zeros_as_weights(room):  # no number is drawn for them
        model = config.from_config(about["model"], custom_objects)
        problems = _build(model, about["inputs"], ties_in(about))
    _take_float_types(model, weights)
    parts = (about.get(part) for part in ("notes", "optimizer", "training"))
    named = set().union(*map(names_in, parts))
    rest = {name for name in arrays if not name.startswith("model.")}
    problems += _differences(_weights_of(model), weights)
    problems += [f"missing {name}" for name in named - rest]
    problems += [f"unexpected {name}" for name in rest - named]
    _require_none(path, problems)
    model.load_state_dict(weights)
    if "notes" in about:
        model.notes = unpack(about["notes"], arrays)
    if with_training and "compiled" in about:
        model.compile(**config.from_config(about["compiled"], custom_objects))
        if "optimizer" in about:
            groups = config.from_config(about.get("groups"), custom_objects)
            _bind(model, groups)
            model.optimizer.load_state_dict(unpack(about["optimizer"], arrays))
        if "training" in about:
            model.training_state = Stood(unpack(about["training"], arrays))
    return model


def _build(model, inputs, ties):
    """Make the weights of the layers, for these shapes of their inputs; tied ones once.

    Returns sentences that say what can not be tied.
    """
    named = model.named_modules()
    # What is within comes before what it is in, which would build it untied.
    for name, module in sorted(named, key=lambda pair: len(pair[1].modules()) > 1):
        if isinstance(module, Layer) and name in inputs:
            tie_unbuilt(model, name, ties)
            module.ensure_built(tuple(inputs[name]))
    return tie(model, ties)


def _groups_of(model):
    """What the optimizer moves, by path, where that is not what `bind(model)` gives it."""
    path_of = {id(tensor): path for path, tensor in model.named_tensors()}
    groups = model.optimizer.groups
    for parameter in model.optimizer.parameters:
        if id(parameter) not in path_of:
            raise ValueError(
                f"save: the optimizer moves a parameter of shape {parameter.shape} that is not in "
                "the model: make it an attribute of the model or of a layer"
            )
    written = [
        {
            "paths": [path_of[id(parameter)] for parameter in group.params],
            "names": group.names,
            "learning_rate": group.learning_rate,
            "weight_decay": group.weight_decay,
        }
        for group in groups
    ]
    paths = [path_of[id(parameter)] for parameter in model.trainable_parameters()]
    usual = {"paths": paths, "learning_rate": None, "weight_decay": None}
    if any(written == [usual | {"names": names}] for names in (paths, [None] * len(paths))):
        return {}
    return {"groups": config.to_config(written)}


def _bind(model, groups):
    """Let the optimizer move what `_groups_of` wrote down; all that can be trained without it."""
    if groups is None:
        model.optimizer.bind(model)
        return
    tensors = dict(model.named_tensors())
    bound = [tensors[path] for group in groups for path in group["paths"]]
    frozen = [tensor for tensor in bound if not tensor.requires_grad]  # since the optimizer began
    for tensor in frozen:
        tensor.requires_grad = True
    model.optimizer.bind(
        [
            {
                "params": [
                    tensors[path] if name is None else (name, tensors[path])
                    for path, name in zip(group["paths"], group["names"])
                ],
                "learning_rate": group["learning_rate"],
                "weight_decay": group["weight_decay"],
            }
            for group in groups
        ]
    )
    for tensor in frozen:
        tensor.requires_grad = False


def _inputs_of(model):
    """The shapes that layers have learnt, by path: a constructor may not know them."""
    return {
        name: module.input_shape
        for name, module in model.named_modules()
        if isinstance(module, Layer) and module.input_shape is not None
    }


def _take_float_types(model, arrays):
    """Give the Tensors of floats the float type, 32 or 64, that the arrays of their names have."""
    for name, tensor in model.named_tensors():
        found = arrays[name].dtype if name in arrays else None
        if tensor.dtype != found and {tensor.dtype, found} == FLOATS:
            required, tensor.requires_grad = tensor.requires_grad, False
            tensor.data = tensor.data.astype(found)
            tensor.requires_grad = required
