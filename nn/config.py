"""Configuration: objects as JSON and back, by the parameters of their constructors.

An object is {"class": name, "config": {parameter: value}}, where each value is the attribute of
the parameter's name, or what `get_config()` gives; a function is {"function": name}, an array
{"array": lists, "dtype": name}, a dict {"dict": [[key, value], ...]}, a tuple a list. A module that
is met again is {"same": number}, which counts the modules as they were finished. Only what comes
with hotgrad is made from a name, and what is given as custom objects: JSON can run no code.
"""

import functools
import importlib.util
import inspect
import json

import numpy as np

from engine import Tensor

from .module import Module
from .optimizers import Optimizer

ATOMS = (bool, int, float, str, type(None))
PLACES = (
    "layers",
    "sequential",
    "activations",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "optimizers",
    "schedules",
)


@functools.cache
def known():
    """What can be made from a name: a dict from name to class or function.

    The public classes of hotgrad's modules, and the functions in their tables, as ACTIVATIONS. A
    name that was taken before stands after its module: "metrics.mean_squared_error".
    """
    table = {}
    for place in PLACES:
        if importlib.util.find_spec(f".{place}", __package__) is None:
            continue
        module = importlib.import_module(f".{place}", __package__)
        tables = [value for name, value in vars(module).items() if name == place.upper()]
        functions = [item for entries in tables for item in entries.values() if callable(item)]
        classes = [
            value
            for name, value in vars(module).items()
            if isinstance(value, type) and not name.startswith("_")
            if value.__module__.startswith(f"{__package__}.{place}")
        ]
        for value in [*classes, *functions]:
            name = value.__name__
            if table.setdefault(name, value) is not value:
                table.setdefault(f"{place}.{name}", value)
    return table


@functools.cache
def _names():
    names = {}
    for name, value in known().items():
        names.setdefault(value, name)
    return names


# ---------------------------------------------------------------------------------- object to JSON


def to_config(obj):
    """An object as JSON-able dicts, lists and atoms, from which `from_config` makes one like it.

    obj  a layer, model, optimizer, schedule, loss, metric, regularizer or initializer; one's own
         class or function is written by its name, and is to be given to `from_config` again

    Raises TypeError for what can not be written: functions without a name, Tensors, and objects
    that keep no attribute of the name of one of their constructor's parameters.
    """
    config = _encode(obj, type(obj).__name__, [], [])
    if isinstance(obj, Module):
        frozen = [i for i, module in enumerate(obj.modules()) if not module.trainable]
        config |= {"frozen": frozen} if frozen else {}
    return config


def _encode(value, where, modules, under_way):
    if isinstance(value, (np.number, np.bool_)):
        return value.item()
    if type(value) in ATOMS:
        return value
    if isinstance(value, (list, tuple)):
        parts = enumerate(value)
        return [_encode(v, f"{where}[{i}]", modules, under_way) for i, v in parts]
    if isinstance(value, dict) and all(type(key) in ATOMS for key in value):
        pairs = [
            [key, _encode(v, f"{where}[{key!r}]", modules, under_way)] for key, v in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if inspect.isfunction(value):
        return _encode_function(value, where)
    if isinstance(value, Module):
        if id(value) in under_way:
            raise TypeError(f"{where}: the {type(value).__name__} is within itself")
        done = [id(module) for module in modules]
        if id(value) in done:
            return {"same": done.index(id(value))}
    config = _encode_object(value, where, modules, [*under_way, id(value)])
    if isinstance(value, Module):
        modules.append(value)
    return config


def _encode_function(function, where):
    if function in _names():
        return {"function": _names()[function]}
    name = function.__name__
    if not name.isidentifier():
        raise TypeError(
            f"{where}: a file holds a function by its name, and a lambda has none: write "
            "def my_function(x): ..., and give it to load as custom_objects"
        )
    return {"function": name, "own": True}


def _encode_object(value, where, modules, under_way):
    cls = type(value)
    own = {} if cls in _names() else {"own": True}
    if own and (cls.__module__ == "builtins" or isinstance(value, (type, np.generic, Tensor))):
        raise TypeError(f"{where}: {value!r:.60} can not be written as JSON")
    settings = value.get_config() if hasattr(value, "get_config") else _settings(value, where)
    config = {
        name: _encode(setting, f"{where}.{name}", modules, under_way)
        for name, setting in settings.items()
    }
    return {"class": _names().get(cls, cls.__name__), "config": config, **own}


def _settings(obj, where):
    """The parameters of an object's constructor, from its attributes."""
    settings = {}
    for name in _parameters(type(obj)):
        if not hasattr(obj, name):
            raise TypeError(
                f"{where}: the constructor of {type(obj).__name__} takes {name}, and there is no "
                f"attribute of that name: write self.{name} = {name} in __init__, or define "
                "get_config(), a dict of the constructor's arguments"
            )
        settings[name] = getattr(obj, name)
    return settings


@functools.cache
def _parameters(cls):
    """The names of a constructor's parameters; where it takes **more, with those of the bases."""
    names = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters) and base is not object:
            raise TypeError(
                f"{cls.__name__} takes *arguments: define get_config(), a dict of its arguments"
            )
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        names += [p.name for p in parameters if p.kind not in kinds and p.name not in names]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if not (name == "parameters" and issubclass(cls, Optimizer))]


# ---------------------------------------------------------------------------------- JSON to object


def from_config(config, custom_objects=None):
    """The object that `to_config` wrote.

    custom_objects  a dict from name to class or function, for one's own

    Raises ValueError for names that are unknown, all of them at once, for JSON that `to_config`
    did not write, and for settings that a constructor refuses.
    """
    custom_objects = dict(custom_objects or {})
    missing = sorted(set(_missing(config, custom_objects)))
    if missing:
        given = ", ".join(f"{name!r}: {name}" for name in missing)
        raise ValueError(
            f"there is no {', '.join(map(repr, missing))} in hotgrad: give your own as "
            f"custom_objects={{{given}}}"
        )
    try:
        obj = _decode(config, custom_objects, [])
        if isinstance(obj, Module):
            _freeze(obj, config.get("frozen", ()))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"the configuration can not be made into an object: {error}") from error
    return obj


def _freeze(module, frozen):
    for index, inner in enumerate(module.modules()):  # what is within comes after, and has its own
        if inner.trainable == (index in frozen):
            inner.trainable = index not in frozen


def _found(config, custom_objects):
    """The class or function that a dict names; None for an unknown one."""
    name = config.get("class", config.get("function"))
    table = custom_objects if config.get("own") else known()
    found = table.get(name) if isinstance(name, str) else None
    wanted = isinstance(found, type) if "class" in config else callable(found)
    return found if wanted else None


def _missing(config, custom_objects):
    """The names of classes and functions that are unknown."""
    if isinstance(config, list):
        for item in config:
            yield from _missing(item, custom_objects)
    elif isinstance(config, dict):
        if ("class" in config or "function" in config) and not _found(config, custom_objects):
            yield str(config.get("class", config.get("function")))
        inner = config.get("config") if "class" in config else config.get("dict")
        yield from _missing(
            list(inner.values()) if isinstance(inner, dict) else inner, custom_objects
        )


def _decode(config, custom_objects, modules):
    if type(config) in ATOMS:
        return config
    if isinstance(config, list):
        return [_decode(item, custom_objects, modules) for item in config]
    if "class" in config:
        settings = {
            name: _decode(item, custom_objects, modules) for name, item in config["config"].items()
        }
        obj = _found(config, custom_objects)(**settings)
        if isinstance(obj, Module):
            modules.append(obj)
        return obj
    if "function" in config:
        return _found(config, custom_objects)
    if "array" in config:
        return np.array(config["array"], config["dtype"])
    if "dict" in config:
        return {key: _decode(item, custom_objects, modules) for key, item in config["dict"]}
    if "same" in config:
        return modules[config["same"]]
    raise ValueError(f"the configuration holds {str(config)[:80]}, which nothing is made from")


def to_json(obj):
    """What `to_config` gives, as text."""
    return json.dumps(to_config(obj), indent=2)


def from_json(text, custom_objects=None):
    """The object that `to_json` wrote; a model has new weights. Errors as of `from_config`."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"from_json: expected JSON: {error}") from None
    return from_config(config, custom_objects)
