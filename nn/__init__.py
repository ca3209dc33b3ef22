"""hotgrad's nn: layers, losses, optimizers and training over `engine`."""

from . import activations, datasets, initializers, losses, metrics, optimizers, pairing
from .layers import Activation, Dense, Flatten, ReLU, Sigmoid, Softmax, Tanh
from .module import Layer, Module
from .sequential import Sequential
from .training import History, Model
from .utils import to_categorical
