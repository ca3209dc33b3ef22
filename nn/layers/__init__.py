"""Layers, one file per family."""

from .activation import Activation, ReLU, Sigmoid, Softmax, Tanh
from .core import Dense, Flatten
