"""The normal distribution and the error function, as formulas of vectors.

z times the area beyond z is z erfc(z / sqrt(2)) / 2 = exp(-z^2 / 2) W((z - c) / (z + c)): in this
form one polynomial W does for all z (after Shepherd and Laframboise, Chebyshev Approximation of
(1 + 2x) exp(x^2) erfc x, 1981) but those near 0, where the area below x is
1/2 + x / sqrt(2 pi) + x^3 R(x^2). erf(x) is 1 - exp(-x - x E(x)), with one polynomial E for all
x >= 0.

W, R and E are minimax fits, by Remez's exchange in 50 digits; of W and E, each coefficient was
rounded before the next ones were fitted, and c is such that rounding hardly changes the first.
Their relative errors, seen from the area, from the smaller of both areas and from erf, are 8.8e-9,
1.6e-8 and 4.4e-9 for float32, 2.1e-17, 3.4e-17 and 4.1e-17 for float64.
"""

import math

import numpy as np

from .exponentials import expm1_of_negative, quotient, raised_exp
from .vmath import absolute, exact_product, halves, maximum, minimum, polynomial, with_sign_of

CENTRE = {np.float32: 2.921875, np.float64: 2.953125}  # c
# fmt: off
AREA_COEFFICIENTS = {  # of W, from the lowest power up
    np.float32: (
        0.36306777596473694, 0.11358895152807236, -0.141755148768425, 0.08908819407224655,
        -0.025119423866271973, -0.0034701048862189054, 0.0038154765497893095,
        0.0003076687571592629, -0.0005973523948341608,
    ),
    np.float64: (
        0.36366797738127565, 0.11208528182161938, -0.1409262320411865, 0.09004187147176482,
        -0.026630140578356883, -0.002806014762232645, 0.003904473433781935,
        0.00021857544336399007, -0.0006400182660295005, -0.00010071230437576028,
        0.00010792437182420931, 4.3042386296471725e-05, -1.2363696328016294e-05,
        -1.3397514457862841e-05, -1.5923529097578507e-06, 2.6493744209082166e-06,
        1.5234996498738326e-06, 2.681218956389909e-08, -5.136689391943618e-07,
        -2.768549495479756e-07, 1.408742228202085e-07, 9.90132225045478e-08,
        -4.344180138925079e-08,
    ),
}
NEAR_COEFFICIENTS = {  # of R, from the lowest power up
    np.float32: (
        -0.06649035215377808, 0.009973229840397835, -0.0011860734084621072, 0.00011320446355966851,
        -7.545621883764397e-06,
    ),
    np.float64: (
        -0.06649038006690544, 0.009973557010035817, -0.0011873282154804478, 0.00011543468761608962,
        -9.444656259108626e-06, 6.659693500781797e-07, -4.122666999131242e-08,
        2.27352210960389e-09, -1.1300177123160141e-10, 5.103675036462205e-12,
        -2.0712339181149302e-13, 6.390246846118109e-15,
    ),
}
ERF_COEFFICIENTS = {  # of E, from the lowest power up
    np.float32: (
        0.12837916612625122, 0.6366195678710938, 0.10277630388736725, -0.019147826358675957,
        -0.0001694887032499537, 0.0016756461700424552, -0.0006373366923071444,
        0.00011885043932124972, -9.386285455548204e-06,
    ),
    np.float64: (
        0.1283791670955126, 0.6366197723675759, 0.10277260330232674, -0.01912844701995721,
        -0.00020919447790955641, 0.00169620445817353, -0.0005901141447838035,
        2.58309227354036e-05, 6.463851387414594e-05, -3.00660971277523e-05,
        4.026011531319241e-06, 1.9521897013297782e-06, -7.347797523122614e-07,
        -5.896247750010654e-07, 8.287859191881305e-07, -5.629555280897775e-07,
        2.752603289565239e-07, -1.0604432147599459e-07, 3.310517048072336e-08,
        -8.413903077073542e-09, 1.728139796456041e-09, -2.8227227049450323e-10,
        3.575403318274386e-11, -3.37945352745424e-12, 2.23942551347767e-13,
        -9.267150424246414e-15, 1.7998092917665875e-16,
    ),
}
# fmt: on
DENSITY_PARTS = {  # 1 / sqrt(2 pi): the first half of its digits, and the rest
    np.float32: (0.39892578125, 1.6499151432677940e-5),
    np.float64: (0.3989422768354416, 3.5659910885844773e-9),
}
NEAR = 1.0  # below it, R does


def _tail(z):
    # z times the area beyond z, for z >= NEAR (or nan), and a function that multiplies by
    # exp(-z^2 / 2) / unit, and unit
    z = minimum(z.like({32: 15.0, 64: 39.0}[z.width]), z)  # there all of it rounds to 0
    square, lost = exact_product(z, z)  # its exponential has as many wrong digits as it has lost
    centre = CENTRE[z.dtype]
    t = quotient(z - centre, centre, z)
    w = polynomial(t, AREA_COEFFICIENTS[z.dtype][::-1])
    times_power, unit = raised_exp(-0.5 * square, -0.5 * lost)
    return times_power(w) * unit, times_power, unit


def _near_area(x):
    # The area below x for |x| < NEAR. Where x is negative, most of it cancels: so the product of
    # the first halves of the digits, which is exact, is added first.
    high, low = halves(x)
    first, rest = DENSITY_PARTS[x.dtype]
    square = x * x
    series = polynomial(square, NEAR_COEFFICIENTS[x.dtype][::-1])
    small = low * first + (x * rest + square * x * series)
    total = high * first + 0.5
    return total + (((0.5 - total) + high * first) + small)  # with what the sum has lost


def gelu(x):
    """x times the area below x."""
    far = maximum(x, x.like(0.0)) - _tail(absolute(x))[0]
    return (x * _near_area(x)).where(absolute(x) < NEAR, far)


def area_and_density(x):
    """The area below x, and the density at x."""
    size = absolute(x)
    beyond, times_power, unit = _tail(size)
    density = times_power(x.like(1 / math.sqrt(2 * math.pi))) * unit
    area = beyond / size
    area = _near_area(x).where(size < NEAR, area.where(x < 0.0, 1.0 - area))
    return area, density


def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    size = minimum(x.like({32: 4.0, 64: 6.0}[x.width]), absolute(x))  # there it rounds to 1
    exponent = size * polynomial(size, ERF_COEFFICIENTS[x.dtype][::-1]) + size
    return with_sign_of(x, absolute(expm1_of_negative(-exponent)))
