"""The checker is checked: what is wrong by a little must fail."""

import numpy as np
import pytest

import engine
from engine import GradcheckError, Tensor, gradcheck, gradgradcheck, op


def test_right_gradients_pass():
    assert gradcheck(lambda x, y: engine.tanh(x @ y), [np.ones((2, 3)), np.ones((3, 2))])
    assert gradgradcheck(engine.softmax, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("wrong_by", [1e-3, -1e-3, 1.0, np.nan])
def test_a_wrong_first_derivative_fails(wrong_by):
    @op(lambda g, x: g * (2 * x * (1 + wrong_by)))
    def squared(x):
        return x * x

    with pytest.raises(
        GradcheckError,
        match=r"squared, argument 0 of shape \(3,\): wrong gradient; worst element \(\d,\): "
        r"expected",
    ):
        gradcheck(squared, [np.array([1.0, 2.0, 3.0])])


def test_one_wrong_element_is_named():
    off = np.ones((2, 2))
    off[1, 0] = 1.001

    @op(lambda g, x: g * 2 * x * off)
    def squared(x):
        return x * x

    with pytest.raises(GradcheckError, match=r"worst element \(1, 0\)"):
        gradcheck(squared, [np.ones((2, 2))])


def test_a_wrong_second_derivative_fails():
    @op(lambda h: h * 1.001)
    def off(g):
        return g

    @op(lambda g, x: off(g * 2 * x))
    def squared(x):
        return x * x

    x = np.array([1.0, 2.0])
    assert gradcheck(squared, [x])
    with pytest.raises(GradcheckError, match="gradient of squared, argument"):
        gradgradcheck(squared, [x])


def test_a_wrong_softmax_fails_though_its_rows_sum_to_one():
    @op(lambda g, out: g * out)  # forgets the mean of the gradient
    def soft(x):
        return engine.softmax(x)

    with pytest.raises(GradcheckError, match="soft, argument 0"):
        gradcheck(soft, [np.array([[1.0, 2.0, 3.0]])])


def test_points_without_a_derivative_are_detected():
    for f in (engine.relu, engine.abs):
        with pytest.raises(GradcheckError, match="not differentiable at this point"):
            gradcheck(f, [np.array([1.0, 0.0])])
    with pytest.raises(GradcheckError, match="not differentiable"):
        gradcheck(engine.maximum, [np.array([1.0, 2.0]), np.array([1.0, 0.0])])
    with pytest.raises(GradcheckError, match="not finite"):
        gradcheck(engine.log, [np.array([0.0])])


def test_inputs_are_left_alone_and_taken_to_float64():
    x = Tensor([1.0, 2.0], requires_grad=True)
    before = x.numpy().copy()
    seen = []

    def f(t, labels):
        seen.append((t.dtype, labels.dtype))
        return t * t * labels

    assert gradcheck(f, [x, np.array([1, 2])])
    assert set(seen) == {(np.dtype("float64"), np.dtype("int64"))}
    np.testing.assert_array_equal(x.numpy(), before)
    assert x.grad is None


def test_what_can_not_be_checked_is_an_error():
    with pytest.raises(TypeError, match="no float input"):
        gradcheck(engine.sum, [np.array([1, 2])])
    with pytest.raises(TypeError, match="returned ndarray, not a Tensor"):
        gradcheck(lambda x: x.numpy(), [np.ones(2)])
    with pytest.raises(GradcheckError, match="no result requires a gradient"):
        gradcheck(lambda x: x.detach(), [np.ones(2)])
