"""Data: where batches come from. Arrays, files mapped into memory, or whatever yields batches.

Every source gives, epoch by epoch, (x, y, sample_weight) in arrays that were checked. What lies in
memory is checked once, before the training. A mapped file, and what yields batches, is read once
anyway: there each batch is checked when it comes, before the update.
"""

import mmap

import numpy as np

from engine import Tensor, random

from .checks import count_of
from .labels import weights_of_classes

BATCH_SIZE = 32
PARTS = ("x", "y", "sample_weight")
LOOKED_AT = 2**17  # elements that are checked at a time, so that their mask stays in the cache


def source(what, x, y=None, sample_weight=None, *, batch_size=None, steps=None, **settings):
    """The source for what a user gave as data.

    what          the name for messages, as "fit"
    x             an array (n, ...), with `y` and perhaps `sample_weight` (n,); or batches (x, y) or
                  (x, y, sample_weight): an iterable, an iterator, a callable that returns one for
                  each epoch, or an object with __len__ and __getitem__ as Keras's PyDataset
    batch_size    of arrays. Default 32.
    steps         how many batches an epoch has. Default: all.
    shuffle       draw a new order for every epoch. Default False.
    class_weight  a dict from class to weight, or None
    labelled      whether labels are needed. Default True; without, a batch may be x alone.

    Raises ValueError or TypeError for data that no model can be trained on.
    """
    steps = None if steps is None else count_of(what, "the number of steps", steps)
    if not gives_batches(x):
        batch_size = count_of(what, "batch_size", BATCH_SIZE if batch_size is None else batch_size)
        return Arrays(what, (x, y, sample_weight), batch_size, steps, **settings)
    for name, value in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if value is not None:
            raise ValueError(
                f"{what}: {name} goes with arrays, but x is of the type {type(x).__name__}, which "
                f"gives batches of its own: leave {name} out"
            )
    indexed = hasattr(x, "__getitem__") and hasattr(x, "__len__")
    return (Indexed if indexed else Stream)(what, x, steps, **settings)


def gives_batches(x):
    """Whether `x` gives batches, and is no array of examples."""
    if isinstance(x, Tensor) or hasattr(x, "__array__"):
        return False
    if isinstance(x, (list, tuple)):  # of batches, or of rows of numbers
        return bool(x) and isinstance(x[0], tuple) and np.ndim(x[0][0]) > 1
    return callable(x) or any(hasattr(x, name) for name in ("__next__", "__iter__", "__getitem__"))


def is_mapped(array):
    """Whether an array lies in a file that is mapped into memory."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, (np.memmap, mmap.mmap))


def split(what, x, y, sample_weight, share):
    """(training, validation) as two triples: the last `share` of the examples is the validation."""
    if not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"{what}: expected validation_split above 0 and below 1, got {share!r}")
    if gives_batches(x):
        raise ValueError(
            f"{what}: validation_split cuts arrays, and x gives batches: use validation_data"
        )
    arrays = [None if part is None else _as_array(part) for part in (x, y, sample_weight)]
    cut = int(len(arrays[0]) * (1 - share)) if arrays[0].ndim else 0  # as Keras cuts
    if not 0 < cut:
        raise ValueError(f"{what}: validation_split={share} leaves no examples to train on")
    return (
        tuple(part if part is None else part[:cut] for part in arrays),
        tuple(part if part is None else part[cut:] for part in arrays),
    )


class Arrays:
    """Examples in arrays, cut into batches; in a new order every epoch when `shuffle` is on."""

    def __init__(
        self, what, parts, batch_size, steps=None, shuffle=False, class_weight=None, labelled=True
    ):
        if labelled and parts[1] is None:
            raise ValueError(f"{what}: expected labels, write {what.split(',')[0]}(x, y)")
        self._what, self._class_weight = what, class_weight
        self._parts = examples(what, *parts)
        self._late = [name for name, part in zip(PARTS, self._parts) if is_mapped(part)]
        self._batch_size, self.shuffle = batch_size, bool(shuffle)
        self.steps = -(-len(self._parts[0]) // batch_size)
        if steps is not None and steps > self.steps:
            raise ValueError(
                f"{what}: expected at most {self.steps} steps, since there are "
                f"{len(self._parts[0])} examples in batches of {batch_size}, got {steps}"
            )
        self.steps = steps or self.steps

    @property
    def labels(self):
        """All labels; None where there are none, or in a mapped file."""
        return None if "y" in self._late else self._parts[1]

    def check_epochs(self, epochs):
        """Arrays last for any number of epochs."""

    def describe(self):
        """What has to be the same when a training is resumed."""
        return {
            "examples": len(self._parts[0]),
            "batch_size": self._batch_size,
            "steps": self.steps,
            "shuffle": self.shuffle,
        }

    def epoch(self, done=0, epochs_done=0):
        """The batches of an epoch after the first `done`. The order is drawn at once."""
        count = len(self._parts[0])
        order = random.generator().permutation(count) if self.shuffle else None
        return self._batches(order, done)

    def _batches(self, order, done):
        x, y, weight = self._parts
        size = self._batch_size
        for start in range(done * size, self.steps * size, size):
            rows = slice(start, start + size) if order is None else order[start : start + size]
            batch = x[rows], y if y is None else y[rows], weight if weight is None else weight[rows]
            if self._late:
                self._check(batch, rows)
            yield _weighted(batch, self._class_weight)

    def _check(self, batch, rows):
        for name, part in zip(PARTS, batch):
            bad = first_not_finite(part) if name in self._late else None
            if bad is not None:
                row = rows.start + bad if isinstance(rows, slice) else rows[bad]
                raise ValueError(f"{self._what}: {name} holds nan or inf, in example {row}")


class Indexed:
    """Batches by their index: `x[i]` for i below len(x), in a new order when `shuffle` is on.

    An `on_epoch_end()` of the object is called after every epoch.
    """

    def __init__(self, what, x, steps=None, shuffle=False, class_weight=None, labelled=True):
        self._what, self._x, self._class_weight, self._labelled = what, x, class_weight, labelled
        self.shuffle, self.steps = bool(shuffle), len(x) if steps is None else steps
        if not 0 < self.steps <= len(x):
            raise ValueError(
                f"{what}: expected from 1 to {len(x)} steps, which is the length of the "
                f"{type(x).__name__}, got {self.steps}"
            )

    def check_epochs(self, epochs):
        """What has an index lasts for any number of epochs."""

    def describe(self):
        """What has to be the same when a training is resumed."""
        return {"batches": len(self._x), "steps": self.steps, "shuffle": self.shuffle}

    def epoch(self, done=0, epochs_done=0):
        """The batches of an epoch after the first `done`. The order is drawn at once."""
        order = np.arange(len(self._x))
        if self.shuffle:
            order = random.generator().permutation(len(self._x))
        return self._batches(order[done : self.steps])

    def _batches(self, order):
        for index in order:
            batch = _given(self._what, int(index), self._x[int(index)], self._labelled)
            yield _weighted(batch, self._class_weight)
        getattr(self._x, "on_epoch_end", lambda: None)()


class Stream:
    """Batches as they come: from an iterable, begun anew every epoch; from what a callable returns
    for each epoch; or from an iterator, of which each epoch takes the next `steps`.
    """

    shuffle = False

    def __init__(self, what, x, steps=None, shuffle=False, class_weight=None, labelled=True):
        self._what, self._class_weight, self._labelled = what, class_weight, labelled
        self._x = x
        self._goes_on = hasattr(x, "__next__")  # an iterator: not begun anew
        self._taken = 0  # of its batches
        self.steps = len(x) if steps is None and hasattr(x, "__len__") else steps

    def describe(self):
        """What has to be the same when a training is resumed."""
        return {"steps": self.steps}

    def check_epochs(self, epochs):
        """Raise ValueError for an iterator of unknown length that has to last several epochs."""
        if self._goes_on and self.steps is None and epochs > 1:
            raise ValueError(
                f"{self._what}: the {type(self._x).__name__} can be run through only once: give "
                "steps_per_epoch, or a function without arguments that returns a new one"
            )

    def epoch(self, done=0, epochs_done=0):
        """The batches of an epoch after the first `done`; an iterator that was not taken from yet
        is advanced past `epochs_done` epochs as well.
        """
        iterator = self._x if self._goes_on else iter(self._x() if callable(self._x) else self._x)
        skip = done
        if self._goes_on:
            skip = max(0, done + epochs_done * (self.steps or 0) - self._taken)
        for _ in range(skip):
            self._taken += next(iterator, None) is not None
        return self._batches(iterator, done)

    def _batches(self, iterator, index):
        while index != self.steps:
            batch = next(iterator, None)
            if batch is None:
                return
            self._taken += 1
            batch = _given(self._what, index, batch, self._labelled)
            yield _weighted(batch, self._class_weight)
            index += 1


def batch(what, x, y=None, sample_weight=None, class_weight=None, looks=True):
    """One batch (x, y, sample_weight), in arrays that were checked.

    looks  False: whether `x` is finite is left to `require_finite`
    """
    return _weighted(examples(what, x, y, sample_weight, looks), class_weight)


def _given(what, index, batch, labelled):
    """A batch that a user's object gave, in arrays that were checked."""
    parts = batch if isinstance(batch, (tuple, list)) else (batch,)
    if not (1 + labelled) <= len(parts) <= 3:
        raise ValueError(
            f"{what}: expected batches (x, y) or (x, y, sample_weight), got "
            f"{type(batch).__name__} of {len(parts)} as batch {index}"
        )
    parts = examples(f"{what}, batch {index}", *parts)
    for name, part in zip(PARTS, parts):
        if part is not None and is_mapped(part) and first_not_finite(part) is not None:
            raise ValueError(f"{what}, batch {index}: {name} holds nan or inf")
    return parts


def _weighted(batch, class_weight):
    if class_weight is None:
        return batch
    x, y, weight = batch
    of_classes = weights_of_classes(class_weight, y)
    return x, y, of_classes if weight is None else of_classes * weight


def examples(what, x, y=None, sample_weight=None, looks=True):
    """Examples, labels and weights as arrays that a model can be trained on.

    Checks that they are numbers, as many of each, and, but for mapped files, finite.

    looks  False: whether `x` is finite is left out
    """
    x = (_finite if looks else _numbers)(what, "x", x)
    if x.ndim < 2:
        raise ValueError(
            f"{what}: expected x to hold examples, of shape (n, ...), got shape {x.shape}"
        )
    if len(x) == 0:
        raise ValueError(f"{what}: there are no examples, x has shape {x.shape}")
    if y is not None:
        y = _finite(what, "y", y)
        if y.ndim == 0 or len(y) != len(x):
            raise ValueError(
                f"{what}: expected one label per example, got {len(x)} examples in x and "
                f"{len(y) if y.ndim else 'a single number'} in y"
            )
    if sample_weight is not None:
        sample_weight = _finite(what, "sample_weight", sample_weight)
        if sample_weight.shape != (len(x),):
            raise ValueError(
                f"{what}: expected sample_weight of shape ({len(x)},), one per example, got "
                f"{sample_weight.shape}"
            )
    return x, y, sample_weight


def _as_array(values):
    return values.data if type(values) is Tensor else np.asarray(values)


def _finite(what, name, values):
    array = _numbers(what, name, values)
    if array.dtype.kind == "f" and not is_mapped(array):
        require_finite(what, name, array)
    return array


def _numbers(what, name, values):
    try:
        array = _as_array(values)
    except ValueError as error:
        raise ValueError(f"{what}: expected {name} in equal rows, got a ragged list ({error})")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}: expected {name} to hold numbers, got {array.dtype}")
    return array


def require_finite(what, name, array):
    """Raise ValueError where an array holds nan or inf."""
    if array.ndim:
        search = first_not_finite if array.size <= LOOKED_AT else _in_many_rows
        bad = search(array)
        if bad is not None:
            raise ValueError(f"{what}: {name} holds nan or inf, first in example {bad}")


def _in_many_rows(array):
    rows = max(1, LOOKED_AT * len(array) // array.size)
    for start in range(0, len(array), rows):
        bad = first_not_finite(array[start : start + rows])
        if bad is not None:
            return start + bad
    return None


def first_not_finite(part):
    """The index of the first row that holds nan or inf; None where all is finite."""
    if part.dtype.kind != "f" or np.count_nonzero(np.isfinite(part)) == part.size:
        return None  # for few numbers, to count takes half the time of `all`
    return int(np.argwhere(~np.isfinite(part))[0][0])
