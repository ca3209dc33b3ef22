"""hotgrad's nn: layers, losses, optimizers and training over `engine`."""

from . import (
    activations,
    callbacks,
    datasets,
    initializers,
    losses,
    metrics,
    optimizers,
    pairing,
    plots,
    regularizers,
    schedules,
)
from .callbacks import Callback, History
from .config import from_config, from_json, to_config, to_json
from .diagnostics import Diagnostics
from .layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    HardSigmoid,
    HardTanh,
    Identity,
    Lambda,
    LayerNormalization,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Maximum,
    Minimum,
    Mish,
    Multiply,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    ReLU6,
    Rescaling,
    Reshape,
    RMSNormalization,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Subtract,
    Tanh,
)
from .learning_rate import (
    LearningRates,
    LearningRateScheduler,
    ReduceLROnPlateau,
    find_learning_rate,
)
from .module import Layer, Module
from .pairing import PairingWarning
from .sequential import Sequential
from .training import Model
from .utils import to_categorical
from .weights import load
