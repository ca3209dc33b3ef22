"""The state of an optimizer: as a flat dict, and back."""

import numpy as np

from ..checks import count_of, number_of


def state_of(optimizer):
    """The state as a dict; the arrays are copies."""
    arrays = {name: array.copy() for name, array in _arrays(optimizer).items()}
    return _numbers(optimizer) | arrays


def _arrays(optimizer):
    names = optimizer._shares[0].slots
    return {
        f"{name}.{index}": array
        for name in names
        for index, array in enumerate(optimizer.slot(name))
    }


def _as_number(rate):
    return None if callable(rate) else rate


def _numbers(optimizer):
    numbers = {
        "iterations": optimizer.iterations,
        "learning_rate": _as_number(optimizer.learning_rate),
    }
    for index, group in enumerate(optimizer.groups):
        if group.learning_rate is not None:
            numbers[f"groups.{index}.learning_rate"] = _as_number(group.learning_rate)
    if optimizer.gradient_accumulation_steps:
        numbers["waiting"] = optimizer._waiting
        numbers["pending"] = sorted(
            index
            for share in optimizer._shares
            for index, is_pending in zip(share.indices, share.pending)
            if is_pending
        )
    return numbers


def load(optimizer, state):
    """Set the state; ValueError with every difference, and then nothing has changed."""
    arrays, numbers = _arrays(optimizer), _numbers(optimizer)
    known = numbers.keys() | arrays.keys()
    problems = [f"missing {name}" for name in known - state.keys()]
    problems += [f"unexpected {name}" for name in state.keys() - known]
    for name in arrays.keys() & state.keys():
        own, got = arrays[name], np.asarray(state[name])
        if (own.shape, own.dtype) != (got.shape, got.dtype):
            problems.append(
                f"{name} is {got.dtype} of shape {got.shape}, expected {own.dtype} of shape "
                f"{own.shape}"
            )
    for name in numbers.keys() & state.keys():
        try:
            _check(optimizer, name, numbers[name], state[name])
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(
            f"{type(optimizer).__name__}.load_state_dict: {'; '.join(sorted(problems))}"
        )
    for name, array in arrays.items():
        array[...] = state[name]
    _set(optimizer, state)


def _check(optimizer, name, own, value):
    if name == "iterations":
        count_of("the state", name, value, 0)
    elif name == "waiting":
        if count_of("the state", name, value, 0) >= optimizer.gradient_accumulation_steps:
            raise ValueError(
                f"the state: expected waiting to be below gradient_accumulation_steps="
                f"{optimizer.gradient_accumulation_steps}, got {value}"
            )
    elif name == "pending":
        known = range(len(optimizer.parameters))
        if not isinstance(value, list) or not all(type(i) is int and i in known for i in value):
            raise ValueError(
                f"the state: expected pending to be a list of integers below {len(known)}, "
                f"got {value!r}"
            )
    elif (own is None) != (value is None):
        kinds = "a schedule", "a number"
        raise ValueError(
            f"{name} is {kinds[value is not None]} in the state and {kinds[own is not None]} here"
        )
    elif value is not None:
        number_of("the state", name, value, low=0, open_low=True)


def _set(optimizer, state):
    optimizer.iterations = int(state["iterations"])
    if state["learning_rate"] is not None:
        optimizer.learning_rate = state["learning_rate"]
    for index, group in enumerate(optimizer.groups):
        if state.get(f"groups.{index}.learning_rate") is not None:
            group.learning_rate = state[f"groups.{index}.learning_rate"]
    if optimizer.gradient_accumulation_steps:
        optimizer._waiting = int(state["waiting"])
        pending = set(state["pending"])
        for share in optimizer._shares:
            share.pending = [index in pending for index in share.indices]
