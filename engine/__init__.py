"""hotgrad's engine: a Tensor that records what is done to it, and differentiates it."""

from .check import GradcheckError, gradcheck, gradgradcheck
from .graph import enable_grad, grad, no_grad
from .kernels._jit import get_num_threads, set_num_threads
from .ops.elementwise import (
    abs,
    add,
    clip,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    pow,
    relu,
    sigmoid,
    sign,
    sqrt,
    square,
    subtract,
    tanh,
    where,
    zeros_like,
)
from .ops.fused import (
    binary_cross_entropy,
    dense_cross_entropy,
    log_softmax,
    softmax,
    sparse_cross_entropy,
)
from .ops.linalg import (
    dense,
    matmul,
)
from .ops.reduce import (
    all,
    any,
    argmax,
    argmin,
    max,
    mean,
    min,
    sum,
)
from .ops.shape import (
    broadcast_to,
    expand_dims,
    matrix_transpose,
    permute_dims,
    reshape,
    squeeze,
)
from .random import seed
from .recorder import op
from .tensor import Tensor, asarray

__version__ = "0.1.0"
