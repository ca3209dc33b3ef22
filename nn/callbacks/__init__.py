"""Callbacks: what `fit` calls at the turns of a training, one's own and those that are ready."""

from .base import Callback, History, Hooks, checked
from .checkpoint import ModelCheckpoint
from .reporting import CSVLogger, LambdaCallback, LivePlot
from .stopping import EarlyStopping, Monitor, TerminateOnNaN
