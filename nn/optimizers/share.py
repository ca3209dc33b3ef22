"""Share: the parameters of one dtype, and what an optimizer does with all of them in one launch."""

import numpy as np

from engine.kernels import update
from engine.kernels.bundle import Bundle


class Share:
    """Parameters of one dtype, with the slots that an optimizer keeps for them.

    parameters  Tensors of one dtype
    indices     their places among all parameters of the optimizer
    rows        the row of the rates that each of them moves by
    slots       the names of the slots
    """

    def __init__(self, parameters, indices, rows, slots):
        self.parameters, self.indices, self.rows = parameters, indices, rows
        self.bundle = Bundle([p.shape for p in parameters], parameters[0].dtype, rows, slots)
        self.slots = self.bundle.slots
        self.scales = self._ones = np.ones(len(parameters))
        self._plain_rates = np.zeros((max(rows) + 1, update.WIDTH))
        self.pending = [False] * len(parameters)  # which have an accumulated gradient

    def __reduce__(self):
        # For copy and pickle: the bundle holds addresses, so that another one has to be made.
        state = self.slots, self.scales, self.pending
        return _restored, (self.parameters, self.indices, self.rows, *state)

    def pairs(self):
        """[parameter, gradient or None, parameter, ...], as arrays."""
        arrays = []
        for parameter in self.parameters:
            gradient = parameter.grad
            arrays += parameter.data, None if gradient is None else gradient.data
        return arrays

    def _blend(self, targets, sources, keep, weight):
        # target = keep target + weight source, for all: as a step of SGD with decay
        self._plain_rates[:, :3] = keep, np.inf, -weight
        arrays = [array for pair in zip(targets, sources) for array in pair]
        update.move(self.bundle, "sgd", arrays, self._plain_rates, self._ones)

    def accumulate(self):
        """Add the gradients to those that are waiting."""
        gradients = self.pairs()[1::2]
        self._blend(self.slots["accumulated"], gradients, 1.0, 1.0)
        for i, gradient in enumerate(gradients):
            self.pending[i] |= gradient is not None

    def accumulated_pairs(self):
        """As `pairs`, with the accumulated gradients."""
        arrays = []
        for parameter, total, is_pending in zip(
            self.parameters, self.slots["accumulated"], self.pending
        ):
            arrays += parameter.data, total if is_pending else None
        return arrays

    def forget_accumulated(self):
        """Start to accumulate anew."""
        for total in self.slots["accumulated"]:
            total.fill(0)
        self.pending = [False] * len(self.parameters)

    def average(self, momentum):
        """Let the moving averages follow the parameters."""
        parameters = [parameter.data for parameter in self.parameters]
        self._blend(self.slots["average"], parameters, momentum, 1 - momentum)


def _restored(parameters, indices, rows, slots, scales, pending):
    share = Share(parameters, indices, rows, list(slots))
    for name, arrays in slots.items():
        for own, array in zip(share.slots[name], arrays):
            own[...] = array
    share.scales, share.pending = scales, list(pending)
    return share
