"""Layers, one file per family."""

from .activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    HardSigmoid,
    HardTanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .core import Dense, Embedding, Lambda
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .noise import Dropout, GaussianDropout, GaussianNoise
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
)
from .preprocessing import Normalization, Rescaling
from .reshaping import Flatten, Permute, Reshape
