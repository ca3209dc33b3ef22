"""The normal distribution and the error function, as formulas of vectors.

The area beyond z, erfc(z / sqrt(2)) / 2, is exp(-z^2 / 2) W(t) / (z + 5), t = (z - 5) / (z + 5):
in this form one polynomial W covers all z >= 0 (after Shepherd and Laframboise, Chebyshev
Approximation of (1 + 2x) exp(x^2) erfc x, 1981). W, and E in erf(x) = x + x E(x^2) for |x| < 1, are
minimax fits, by Remez's exchange in 40 digits. Their relative errors, of the area and of erf, are
1.0e-8 and 1.2e-9 for float32, 6.2e-18 and 7.3e-18 for float64.
"""

import math

import numpy as np

from .vmath import absolute, exp_of_negative, minimum, polynomial, with_sign_of

# fmt: off
AREA_COEFFICIENTS = {  # of W, from the highest power down
    np.float32: (
        4.097920965777777e-4, -9.59769526798724e-4, -2.9541156850534968e-3, 0.0208740926182702,
        -0.06911921011406168, 0.16500657856228024, -0.31353356693181145, 0.49530643733262425,
        -0.6653824931901186, 0.7691930419861525,
    ),
    np.float64: (
        -3.2344029382915623e-10, 1.3794523119590354e-9, 7.964503320104282e-9,
        -8.14389455480499e-9, -6.59744864513565e-8, 4.069626442019819e-8, 4.3279468470243563e-7,
        -3.3541248835169934e-7, -2.7688753439695786e-6, 3.980333403740691e-6,
        1.668100496559138e-5, -4.9762641674588995e-5, -5.937566466998274e-5,
        5.448990312520437e-4, -7.97869409694951e-4, -2.9933767664956216e-3, 0.02079506680099679,
        -0.0691186387065817, 0.16502036617032986, -0.3135331566712959, 0.49530561596997746,
        -0.6653825028900567, 0.769193049750063,
    ),
}
ERF_COEFFICIENTS = {  # of E, from the highest power down
    np.float32: (
        7.853849828429409e-5, -8.010202699272506e-4, 5.188330482592488e-3, -0.026853814582072515,
        0.11283585248605635, -0.376126258374651, 0.12837916572955937,
    ),
    np.float64: (
        -7.779462971761597e-10, 1.3710988704190523e-8, -1.6206318752969208e-7,
        1.6447132699786621e-6, -1.4924712439534814e-5, 1.205529358693695e-4,
        -8.548325929766244e-4, 5.223977606130842e-3, -0.026866170643113415, 0.112837916709442,
        -0.3761263890318352, 0.12837916709551256,
    ),
}
# fmt: on


def tail(z):
    """exp(-z^2 / 2) and the area beyond z of the standard normal distribution, z >= 0 (or nan)."""
    z = minimum(z.like({32: 15.0, 64: 40.0}[z.width]), z)  # there both are 0
    # What z^2 loses in rounding, exactly (Dekker 1971): its exponential has that many wrong digits.
    square = (z * z).rounded()
    high = (z.bits() & -(1 << {32: 12, 64: 27}[z.width])).floats()  # half of the digits
    low = z - high
    lost = ((high * high - square) + 2.0 * high * low) + low * low
    power = exp_of_negative(-0.5 * square)
    power = power - power * (0.5 * lost)
    inverse = 1.0 / (z + 5.0)
    return power, power * (polynomial((z - 5.0) * inverse, AREA_COEFFICIENTS[z.dtype]) * inverse)


def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    size = absolute(x)
    near = x + x * polynomial(x * x, ERF_COEFFICIENTS[x.dtype])
    far = 1.0 - 2.0 * tail(size * math.sqrt(2))[1]
    return near.where(size < 1.0, with_sign_of(x, far))
