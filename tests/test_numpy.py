"""NumPy both ways: conversions, NumPy's functions on Tensors, text, copies, and DLPack."""

import copy
import pickle

import numpy as np
import pytest

import engine
from engine import Tensor, no_grad


def leaf(values, dtype=None):
    return Tensor(values, requires_grad=True, dtype=dtype)


def address(array):
    return array.__array_interface__["data"][0]


# ------------------------------------------------------------------------------ conversions


def test_asarray_shares_and_array_copies():
    t = leaf([[1.0, 2.0]])
    assert np.asarray(t) is t.data
    assert t.numpy() is t.data
    assert address(np.array(t)) != address(t.data)
    assert np.array(t, copy=False) is t.data
    assert np.asarray(t, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.array(t, dtype="float64", copy=False)
    rows = np.array([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    assert rows.tolist() == [[1, 2], [3, 4]]
    a = np.zeros(2)
    a[:] = Tensor([1.0, 2.0])
    assert a.tolist() == [1, 2]
    assert np.arange(5)[Tensor([1, 3])].tolist() == [1, 3]
    assert [10, 20, 30][Tensor(1)] == 20


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1.5, "float32"),
        ([1.0, 2.0], "float32"),
        ([1, 2], "int64"),
        ([True], "bool"),
        ([], "float32"),
        (np.float64(1.5), "float64"),
        (np.ones(2), "float64"),
        (np.ones(2, "float16"), "float32"),
        (np.ones(2, ">f4"), "float32"),
        (np.ones(2, ">f8"), "float64"),
        (np.ones(2, np.longdouble), "float64"),
        (np.ones(2, "uint8"), "uint8"),
        (np.ones(2, ">i4"), "int32"),
        (np.ones((2, 2)).view(np.recarray), "float64"),
        (range(3), "int64"),
        ([Tensor([1.0]), Tensor([2.0])], "float32"),
        ([np.float32(1), 2], "float32"),
    ],
)
def test_dtypes_that_data_takes(data, dtype):
    t = Tensor(data)
    assert t.dtype == dtype
    assert t.dtype is np.dtype(dtype)  # in native byte order
    assert type(t.data) is np.ndarray
    np.testing.assert_array_equal(t, np.asarray(data))


@pytest.mark.parametrize(
    "data, kind, message",
    [
        ([1 + 2j], TypeError, "Tensor: expected real numbers, got complex128"),
        ([1, None], TypeError, "Tensor: expected real numbers, got object"),
        (np.array([1, 2], object), TypeError, "expected real numbers, got object"),
        (["a"], TypeError, "expected real numbers, got <U1"),
        (None, TypeError, "expected real numbers, got object"),
        ([2**70], TypeError, "expected real numbers, got object"),
        (np.array("2020-01-01", "M8[D]"), TypeError, "got datetime64|add: .*cannot use operands"),
        ([[1.0], [2.0, 3.0]], ValueError, "Tensor: expected numbers in equal rows, got a ragged"),
        (
            [leaf(1.0), leaf(2.0)],
            TypeError,
            "list of Tensors that require a gradient .*engine.stack",
        ),
        ([[0.0], [leaf(2.0)]], TypeError, "list of Tensors that require a gradient"),
    ],
)
def test_data_that_no_tensor_can_hold(data, kind, message):
    for make in (Tensor, engine.asarray, engine.exp, lambda x: leaf([1.0]) + x):
        if data is None and make not in (Tensor, engine.asarray):
            continue  # an operand that is missing: NumPy's words
        with pytest.raises(kind, match=message):
            make(data)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_whose_dtype_is_an_object_of_its_own(dtype):
    array = pickle.loads(pickle.dumps(np.ones(3, dtype)))
    assert array.dtype is not np.dtype(dtype)
    for result in (
        engine.exp(array),
        engine.exp(Tensor(array)),
        engine.asarray(array),
        leaf(array) * array,
        array + Tensor(np.ones(3, "float32")),
    ):
        assert result.dtype == dtype
    assert address(engine.asarray(array).data) == address(array)
    assert Tensor(array).dtype is np.dtype(dtype)


def test_arrays_of_other_kinds_as_operands():
    t = leaf([1.0, 2.0])
    assert (t * np.ones(2, "float16")).dtype == np.float32
    assert (t * np.ones(2, np.longdouble)).dtype == np.float64
    assert engine.exp(np.ones(2, "float16")).dtype == np.float32
    for f, name in (
        (engine.exp, "exp"),
        (lambda x: t * x, "multiply"),
        (lambda x: x - t, "subtract"),
    ):
        with pytest.raises(TypeError, match=f"{name}: .*expected real numbers, got complex128"):
            f(np.array([1j, 2.0]))


def test_numbers():
    t = Tensor(2.5)
    assert (float(t), int(t), bool(t), t.item()) == (2.5, 2, True, 2.5)
    assert float(leaf([[2.5]])) == 2.5
    assert range(5)[Tensor(3)] == 3
    for convert in (float, int):
        with pytest.raises(ValueError, match=r"item: expected one element, .* shape \(2,\)"):
            convert(Tensor([1, 2]))
    with pytest.raises(ValueError, match=r"bool: a Tensor of shape \(2,\) is neither"):
        bool(Tensor([1, 2]))
    with pytest.raises(TypeError, match="index: only an integer Tensor"):
        range(5)[Tensor(1.0)]


def test_length_iteration_and_membership():
    t = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(t) == 3
    a, b, c = t
    engine.sum(a * 1.0 + b * 10.0 + c * 100.0).backward()
    assert t.grad.numpy().tolist() == [[1, 1], [10, 10], [100, 100]]
    assert [x.item() for x in Tensor([1, 2])] == [1, 2]
    assert list(Tensor(np.zeros((0, 2)))) == []
    assert 3.0 in t
    assert 7.0 not in t
    assert Tensor(4.0) in t
    assert [5.0, 6.0] in t
    with pytest.raises(TypeError, match="iter: a 0-d Tensor"):
        list(Tensor(1.0))
    with pytest.raises(TypeError, match="len: a 0-d Tensor"):
        len(Tensor(1.0))


# -------------------------------------------------------------------- operators with arrays


def test_operators_record_with_an_array_on_either_side():
    a = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    for f in (
        lambda t: a + t,
        lambda t: t + a,
        lambda t: a - t,
        lambda t: a * t,
        lambda t: a / t,
        lambda t: a**t,
        lambda t: a @ t,
        lambda t: t @ a,
        lambda t: np.float32(2) * t,
        lambda t: 2 - t,
        lambda t: [[1.0, 2.0], [3.0, 4.0]] * t,
    ):
        t = leaf([[1.0, 2.0], [0.5, 3.0]])
        result = f(t)
        assert type(result) is Tensor
        assert result.requires_grad
        np.testing.assert_allclose(result, f(t.data), rtol=1e-6)
    assert type(a > leaf([1.0, 2.0])) is Tensor
    assert (a == Tensor(a)).numpy().all()


def test_an_array_is_updated_in_place_only_where_no_gradient_is_lost():
    a = np.zeros(2, "float32")
    a += Tensor([1.0, 2.0])
    assert type(a) is np.ndarray
    assert a.tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"np\.add, with these arguments, does not record"):
        a += leaf([1.0, 2.0])
    with no_grad():
        a += leaf([1.0, 2.0])
    assert a.tolist() == [2, 4]
    t = kept = leaf([1.0, 2.0])
    t += 1.0  # another Tensor of the same name
    assert kept.numpy().tolist() == [1, 2]
    assert t.requires_grad


# -------------------------------------------------------------------------- NumPy's functions


@pytest.mark.parametrize(
    "f",
    [
        np.exp,
        np.log,
        np.tanh,
        np.sin,
        np.abs,
        np.negative,
        np.square,
        np.arctan,
        lambda t: np.power(t, 2),
        lambda t: np.add(1.0, t),
        lambda t: np.maximum(t, 2.5),
        lambda t: np.matmul(t, t),
        np.sum,
        lambda t: np.sum(t, axis=0, keepdims=True),
        lambda t: np.mean(t, 1),
        np.max,
        np.amax,
        lambda t: np.var(t, axis=1),
        lambda t: np.prod(t, axis=0),
        lambda t: np.cumsum(t, axis=1),
        np.transpose,
        lambda t: np.transpose(t, (1, 0)),
        np.matrix_transpose,
        lambda t: np.reshape(t, (4,)),
        lambda t: np.expand_dims(t, 0),
        lambda t: np.broadcast_to(t, (3, 2, 2)),
        lambda t: np.clip(t, 1.5, 3.5),
        lambda t: np.where(np.array([True, False]), t, 0.0),
        lambda t: np.concatenate([t, t]),
        lambda t: np.concatenate([t, np.ones((2, 2), "float32")], axis=1),
        lambda t: np.stack([t, t], axis=1),
        lambda t: np.roll(t, 1, axis=1),
        np.tril,
    ],
)
def test_functions_that_the_engine_has_are_recorded(f):
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    result = f(t)
    assert type(result) is Tensor
    assert result.requires_grad
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, f(t.data), rtol=1e-6)


def test_functions_that_make_tensors_like_another():
    t = leaf([[1.0, 2.0]])
    assert type(np.zeros_like(t)) is Tensor
    assert np.full_like(t, 7).numpy().tolist() == [[7, 7]]


LOSING = [
    lambda t: np.median(t),
    lambda t: np.linalg.norm(t),
    lambda t: np.sort(t),
    lambda t: np.cbrt(t),
    lambda t: np.add.reduce(t),
    lambda t: np.multiply.outer(t, t),
    lambda t: np.sum(t, 0, np.float64),
    lambda t: np.sum(t, dtype="float64"),
    lambda t: np.exp(t, out=np.zeros(3, "float32")),
    lambda t: np.interp(0.5, [0.0, 1.0, 2.0], t),
    lambda t: np.histogram(t)[1],
    lambda t: np.polyfit([1.0, 2.0, 3.0], t, 1),
]


@pytest.mark.parametrize("f", LOSING)
def test_functions_that_the_engine_has_not_never_lose_a_gradient(f):
    values = np.array([1.0, 3.0, 2.0], "float32")
    with pytest.raises(TypeError, match=r"np\.[\w.]+, with these arguments, does not record"):
        f(leaf(values))
    with no_grad():
        np.testing.assert_array_equal(f(leaf(values)), f(values))
    result = f(Tensor(values))
    assert type(result) is not Tensor
    np.testing.assert_array_equal(result, f(values))


def test_an_array_to_write_to_is_not_touched_by_what_is_refused():
    out = np.zeros(3, "float32")
    with pytest.raises(TypeError, match="does not record"):
        np.exp(leaf([1.0, 2.0, 3.0]), out=out)
    assert out.tolist() == [0, 0, 0]


def test_questions_that_have_no_gradient_are_answered():
    t = leaf([[1.0, 3.0, 2.0]])
    assert np.shape(t) == (1, 3)
    assert (np.ndim(t), np.size(t)) == (2, 3)
    assert np.argsort(t).tolist() == [[0, 2, 1]]
    assert np.allclose(t, t)
    assert np.array_equal(t, t.data)
    assert np.searchsorted(np.array([0.0, 2.0]), t).tolist() == [[1, 2, 1]]
    assert np.iscomplexobj(t) is False
    assert np.array2string(t) == "[[1. 3. 2.]]"
    np.testing.assert_allclose(t, [[1, 3, 2]])


def test_a_namesake_elsewhere_in_numpy_is_another_function():
    t = leaf(np.arange(8.0).reshape(2, 2, 2))
    with pytest.raises(TypeError, match=r"np\.linalg\.diagonal, with these"):
        np.linalg.diagonal(t)


# -------------------------------------------------------------------------------------- text


def test_repr_and_str():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(leaf([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]], requires_grad=True)"
    assert repr(Tensor(2.5)) == str(Tensor(2.5)) == "Tensor(2.5)"
    assert repr(Tensor([1, 2])) == "Tensor([1, 2])"
    assert repr(Tensor([True])) == "Tensor([ True])"
    assert repr(Tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"
    assert repr(Tensor(np.ones(1, "uint8"))) == "Tensor([1], dtype=uint8)"
    assert repr(Tensor(np.zeros((0, 3), "float32"))) == "Tensor([], shape=(0, 3))"
    large = repr(Tensor(np.zeros((200, 300))))
    assert "..." in large
    assert large.endswith("shape=(200, 300), dtype=float64)")
    assert len(large) < 1000


def test_format():
    assert f"{Tensor(2.0 / 3):.3f} {leaf([[1.5]]):6.2f}|{Tensor(7):04d}" == "0.667   1.50|0007"
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    with pytest.raises(TypeError, match=r"format: '.3f' is for one element, .* shape \(2,\)"):
        f"{Tensor([1.0, 2.0]):.3f}"


# ------------------------------------------------------------------------------------ copies


@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        copy.copy,
        *(lambda t, p=p: pickle.loads(pickle.dumps(t, p)) for p in range(6)),
    ],
)
def test_copies(again):
    for t in (
        leaf([1.0, 2.0]),
        Tensor(3.0),
        Tensor(np.ones((2, 2), int)),
        engine.softmax(Tensor([1.0, 2.0])),
    ):
        other = again(t)
        assert type(other) is Tensor
        assert other.dtype is t.dtype
        assert other.requires_grad == t.requires_grad
        np.testing.assert_array_equal(other, t)
        assert (address(other.data) == address(t.data)) == (again is copy.copy)
        if t.requires_grad:
            engine.sum(other * other).backward()
            assert t.grad is None
            assert other.grad is not None
            assert again(other).grad is None  # the gradient is not copied
    with pytest.raises(TypeError, match=r"copy: this Tensor is the result .*detach\(\)"):
        again(leaf([1.0]) * 2.0)
    assert again((leaf([1.0]) * 2.0).detach()).item() == 2


def test_a_deep_copy_keeps_what_is_shared_shared():
    t = leaf([1.0])
    a, b = copy.deepcopy([t, t])
    assert a is b


# ------------------------------------------------------------------------------------ DLPack


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_dlpack_with_numpy(dtype):
    t = Tensor(np.arange(6).reshape(2, 3).astype(dtype))
    array = np.from_dlpack(t)
    assert array.dtype == dtype
    assert address(array) == address(t.data)
    np.testing.assert_array_equal(array, t.data)
    back = engine.from_dlpack(t.data)
    assert type(back) is Tensor
    assert not back.requires_grad
    assert address(back.data) == address(t.data)
    strided = Tensor(t.data).data[:, ::2]
    assert address(engine.from_dlpack(strided).data) == address(strided)
    assert engine.from_dlpack(t).dtype is np.dtype(dtype)


def test_dlpack_rules():
    assert Tensor(1.0).__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match=r"requires a gradient is not shared.*detach\(\)"):
        np.from_dlpack(leaf([1.0]))
    np.from_dlpack(leaf([1.0]).detach())
    frozen = np.ones(3, "float32")
    frozen.flags.writeable = False
    with pytest.raises(BufferError, match="readonly"):  # a consumer that knows no read-only memory
        engine.asarray(frozen).__dlpack__()
    assert not engine.from_dlpack(engine.asarray(frozen)).data.flags.writeable
    assert engine.from_dlpack(np.ones(2, "float16")).dtype == np.float32
    for wrong in ([1.0, 2.0], "a", np.ones(2, "complex64")):
        with pytest.raises(TypeError, match=r"from_dlpack: expected an array on the CPU.* got"):
            engine.from_dlpack(wrong)


def test_dlpack_with_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    t = Tensor(np.arange(6.0).reshape(2, 3))
    theirs = torch.from_dlpack(t)
    assert theirs.data_ptr() == address(t.data)
    theirs[0, 0] = 42
    assert t.data[0, 0] == 42
    source = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    for view in (source, source.T, source[:, 1:]):
        ours = engine.from_dlpack(view)
        assert address(ours.data) == view.data_ptr()
        assert ours.data.tolist() == view.tolist()
        assert ours.data.flags.writeable
    ours.requires_grad = True
    engine.sum(ours * ours).backward()
    assert ours.grad.shape == (2, 2)
    with pytest.raises((BufferError, TypeError), match="require"):
        engine.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="requires a gradient"):
        torch.from_dlpack(leaf([1.0]))
    with pytest.raises(TypeError, match="from_dlpack: expected an array on the CPU"):
        engine.from_dlpack(torch.ones(2, dtype=torch.bfloat16))


def test_dlpack_with_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    theirs = jax.numpy.arange(6.0).reshape(2, 3)
    ours = engine.from_dlpack(theirs)
    assert address(ours.data) == theirs.unsafe_buffer_pointer()
    t = Tensor(np.arange(6, dtype="float32"))
    np.testing.assert_array_equal(jax.numpy.from_dlpack(t), t)
