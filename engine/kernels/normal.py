"""The normal distribution and the error function, as formulas of vectors.

z times the area beyond z is z erfc(z / sqrt(2)) / 2 = exp(-z^2 / 2) W((z - c) / (z + c)): in this
form one polynomial W does for all z (after Shepherd and Laframboise, Chebyshev Approximation of
(1 + 2x) exp(x^2) erfc x, 1981) but those near 0, where the area beyond z is 1/2 - z R(z^2).
erf(x) is 1 - exp(-x - x E(x)), with one polynomial E for all x >= 0.

W, R and E are minimax fits, by Remez's exchange in 40 digits or more; each coefficient was rounded
before the next ones were fitted, and c is such that rounding hardly changes the first of W. Their
relative errors, seen from the area, from the smaller of both areas and from erf, are 8.8e-9, 2.9e-9
and 4.4e-9 for float32, 2.1e-17, 2.5e-18 and 4.1e-17 for float64.
"""

import math

import numpy as np

from .exponentials import exp_less_one, quotient, raised_exp
from .vmath import absolute, exact_product, minimum, polynomial, with_sign_of

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
        0.3989422917366028, -0.066490538418293, 0.0099741630256176, -0.001188020221889019,
        0.00011501943663461134, -8.169939974322915e-06,
    ),
    np.float64: (
        0.3989422804014327, -0.0664903800669074, 0.009973557010082366, -0.0011873282160021073,
        0.00011543469090332364, -9.444669025368469e-06, 6.66001400580613e-07,
        -4.1279684163436656e-08, 2.330921828082471e-09, -1.52139438867666e-10,
        2.03382389457538e-11, -2.7776162901847665e-12,
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


def _near(z):
    # The area beyond z, for z < NEAR. Most of it cancels, but little of it in the last subtraction.
    first, *rest = NEAR_COEFFICIENTS[z.dtype]
    square = z * z
    return (0.5 - z * first) - square * z * polynomial(square, rest[::-1])


def gelu(x):
    """x times the area below x."""
    size, positive = absolute(x), x.like(0.0).where(x < 0.0, x)  # -0 for -0
    return (positive - size * _near(size)).where(size < NEAR, positive - _tail(size)[0])


def area_and_density(x):
    """The area below x, and the density at x."""
    size = absolute(x)
    beyond, times_power, unit = _tail(size)
    density = times_power(x.like(1 / math.sqrt(2 * math.pi))) * unit
    area = _near(size).where(size < NEAR, beyond / size)
    return area.where(x < 0.0, 1.0 - area), density


def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    size = minimum(x.like({32: 4.0, 64: 6.0}[x.width]), absolute(x))  # there it rounds to 1
    exponent = size * polynomial(size, ERF_COEFFICIENTS[x.dtype][::-1]) + size
    return with_sign_of(x, absolute(exp_less_one(-exponent)))
