"""Products along axes of any choice, against NumPy's; matmul's rows are in the operation table."""

import numpy as np
import pytest

import engine
from engine import Tensor, gradgradcheck
from engine.kernels import gemm

EINSUMS = [
    # one operand: transposes, sums, diagonals, traces
    ("ij->ji", (2, 3)),
    ("ij", (2, 3)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ijk->k", (2, 3, 4)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("iiijj->ij", (2, 2, 2, 3, 3)),
    ("...ij->...ji", (4, 5, 2, 3)),
    ("...ii->...", (4, 3, 3)),
    ("i...->...", (2, 3, 4)),
    ("->", ()),
    # two
    ("i,i->", (3,), (3,)),
    ("i,i", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("i,j->ij", (3,), (4,)),
    ("i,j->ji", (3,), (4,)),
    (",i->i", (), (3,)),
    (",", (), ()),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("ij,kj->ik", (2, 3), (4, 3)),
    ("ji,jk->ik", (3, 2), (3, 4)),
    ("ij,j->i", (2, 3), (3,)),
    ("i,ij->j", (2,), (2, 3)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("ij,ij->i", (2, 3), (2, 3)),
    ("ij,ji->", (2, 3), (3, 2)),
    ("ij,kl->ijkl", (2, 3), (4, 5)),
    ("ij,kl->ik", (2, 3), (4, 5)),
    ("ijk,kjl->il", (2, 3, 4), (4, 3, 5)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("bij,jk->bik", (5, 2, 3), (3, 4)),
    ("ij,bjk->bik", (2, 3), (5, 3, 4)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("bi,bi->b", (4, 3), (4, 3)),
    ("bi,bij->bj", (4, 3), (4, 3, 2)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    ("ii,ij->j", (3, 3), (3, 2)),
    ("iij,jkk->ik", (2, 2, 3), (3, 4, 4)),
    ("Ba,aB", (2, 3), (3, 2)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    # axes of length 1, and of `...`, broadcast
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("...ij,...jk->...ik", (2, 3), (5, 3, 4)),
    ("...ij,...jk", (6, 1, 2, 3), (5, 3, 4)),
    ("...,...", (2, 3), (3,)),
    ("i...,i...->...", (2, 3), (2, 4, 3)),
    ("b...,b->b...", (2, 3, 4), (2,)),
    # several
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,k->i", (2, 3), (3, 4), (4,)),
    ("i,j,k->kji", (2,), (3,), (4,)),
    ("ij,ik,il->jkl", (5, 2), (5, 3), (5, 4)),
    ("ab,bc,cd,de,ea->", (2, 3), (3, 4), (4, 2), (2, 3), (3, 2)),
    # nothing
    ("ij,jk", (0, 3), (3, 4)),
    ("ij,jk", (2, 0), (0, 4)),
    ("ij->i", (2, 0)),
]
IDS = [subscripts.replace(" ", "_") for subscripts, *_ in EINSUMS]


def numbers(rng, shapes):
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("subscripts, shapes", [(e[0], e[1:]) for e in EINSUMS], ids=IDS)
def test_einsum(subscripts, shapes, rng):
    arrays = numbers(rng, shapes)
    expected = np.einsum(subscripts, *arrays)
    result = engine.einsum(subscripts, *arrays)
    assert type(result) is np.ndarray
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    single = engine.einsum(subscripts, *(Tensor(x, dtype="float32") for x in arrays))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert gradgradcheck(lambda *tensors: engine.einsum(subscripts, *tensors), arrays)


def test_einsum_sums_over_axes_of_dots_that_the_result_does_not_have():
    x = np.arange(6.0).reshape(2, 3)
    assert engine.einsum("i...->i", x).tolist() == [3, 12]


@pytest.mark.parametrize(
    "axes, shapes",
    [
        (2, [(2, 3, 4), (3, 4, 5)]),
        (1, [(2, 3), (3, 4)]),
        (0, [(2, 3), (4,)]),
        (2, [(2, 3), (2, 3)]),
        (([2, 0], [1, 2]), [(2, 3, 4), (5, 4, 2)]),
        ((-1, 0), [(2, 3), (3, 4)]),
        (((), ()), [(2,), (3,)]),
        (1, [(2, 0), (0, 4)]),
    ],
)
def test_tensordot(axes, shapes, rng):
    arrays = numbers(rng, shapes)
    expected = np.tensordot(*arrays, axes)
    result = engine.tensordot(*(Tensor(x) for x in arrays), axes).numpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert gradgradcheck(lambda x, y: engine.tensordot(x, y, axes), arrays)


@pytest.mark.parametrize(
    "axis, shapes",
    [
        (-1, [(3,), (3,)]),
        (-1, [(4, 3), (3,)]),
        (-1, [(4, 1, 3), (5, 3)]),
        (-2, [(3, 4), (2, 3, 1)]),
        (0, [(3, 4), (3, 4)]),
        (-1, [(0, 3), (0, 3)]),
    ],
)
def test_vecdot(axis, shapes, rng):
    arrays = numbers(rng, shapes)
    expected = np.sum(np.multiply(*(np.moveaxis(x, axis, -1) for x in arrays)), axis=-1)
    result = engine.vecdot(*(Tensor(x) for x in arrays), axis=axis).numpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert gradgradcheck(lambda x, y: engine.vecdot(x, y, axis), arrays)


def test_outer(rng):
    x, y = numbers(rng, [(3,), (4,)])
    np.testing.assert_allclose(engine.outer(Tensor(x), Tensor(y)).numpy(), np.outer(x, y))
    assert gradgradcheck(engine.outer, [x, y])


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 4), (5, 4, 2)],
        [(2, 1, 3, 4), (5, 4, 2)],
        [(2, 5, 3, 4), (1, 5, 4, 2)],
        [(0, 3, 4), (1, 4, 2)],
        [(0, 3, 4), (4, 2)],
        [(5, 3, 0), (5, 0, 2)],
        [(4,), (5, 4, 2)],
        [(5, 3, 4), (4,)],
    ],
)
def test_batches_of_matrices_broadcast(shapes, rng):
    arrays = numbers(rng, shapes)
    result = engine.matmul(*arrays)
    expected = np.matmul(*arrays)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert gradgradcheck(engine.matmul, arrays)


def test_whole_numbers_are_taken_as_float32():
    x, y = np.arange(3), np.arange(3)
    for result in (
        engine.einsum("i,i->i", x, y),
        engine.einsum("i,i", [0, 1, 2], y),
        engine.outer(x, y),
        engine.vecdot(np.ones((2, 3), bool), y),
        engine.tensordot(x, y, 0),
    ):
        assert result.dtype == np.float32
    assert engine.einsum("i,i", np.ones(3, "f"), np.ones(3)).dtype == np.float64


def test_transposes_are_strides_and_not_copies(monkeypatch, rng):
    seen = []

    def spy(x, y, **keywords):
        seen.extend((x, y))
        return matmul(x, y, **keywords)

    matmul = gemm.matmul
    monkeypatch.setattr(gemm, "matmul", spy)
    for subscripts, *shapes in (
        ("ij,kj->ik", (2, 3), (4, 3)),
        ("ji,jk->ki", (3, 2), (3, 4)),
        ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
        ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
        ("ijk,jkl->il", (2, 3, 4), (3, 4, 5)),
        ("...ij,jk->...ik", (5, 2, 3), (3, 4)),
    ):
        x, y = (x.astype("f") for x in numbers(rng, shapes))
        seen.clear()
        engine.einsum(subscripts, x, y)
        assert seen
        assert all(np.shares_memory(view, x) for view in seen[::2]), subscripts
        assert all(np.shares_memory(view, y) for view in seen[1::2]), subscripts
    x = np.ones((2, 3))
    assert np.shares_memory(engine.einsum("ij->ji", x), x)


def test_several_operands_are_multiplied_in_a_good_order(monkeypatch):
    sizes = []
    rows = engine.ops.linalg.matmul_rows

    def spy(x, y):
        sizes.append(x.shape[-2] * x.shape[-1] * y.shape[-1])
        return rows(x, y)

    monkeypatch.setattr(engine.ops.linalg, "matmul_rows", spy)
    n = 30
    engine.einsum("ij,jk,k->i", np.ones((n, n)), np.ones((n, n)), np.ones(n))
    assert sizes == [n * n, n * n]


M, V = np.ones((2, 3)), np.ones(3)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: engine.einsum(M, "ij"), TypeError, "einsum: expected subscripts first, got ndarr"),
        (lambda: engine.einsum("ij,jk", M), ValueError, '"ij,jk" is for 2 operands, but got 1'),
        (lambda: engine.einsum("ijk", M), ValueError, '"ijk" does not fit an operand with 2 axes'),
        (lambda: engine.einsum("i", M), ValueError, '"i" does not fit an operand with 2 axes'),
        (lambda: engine.einsum("...ijk", M), ValueError, '"...ijk" does not fit an operand with 2'),
        (
            lambda: engine.einsum("ij,jk", M, M),
            ValueError,
            r'"j" stands for axes of 3 and 2 elements \(\(2, 3\), \(2, 3\)\)',
        ),
        (
            lambda: engine.einsum("...,...", M, np.ones(2)),
            ValueError,
            r'"\.\.\." stands for axes of 3 and 2',
        ),
        (lambda: engine.einsum("ii", M), ValueError, '"i" stands for axes of 2 and 3 elements'),
        (lambda: engine.einsum("ii", np.ones((1, 3))), ValueError, '"i" repeats on unequal axes'),
        (
            lambda: engine.einsum("ij->ik", M),
            ValueError,
            '"k" is in no operand, only in the result',
        ),
        (lambda: engine.einsum("ij->ii", M), ValueError, '"i" occurs twice in the result'),
        (lambda: engine.einsum("i1", M), ValueError, 'expected letters .* got "i1"'),
        (lambda: engine.einsum("i..j", M), ValueError, 'expected letters .* got "i..j"'),
        (lambda: engine.einsum("...i...", M), ValueError, r"at most one"),
        (lambda: engine.einsum("ij->i->j", M), ValueError, 'got "i->j"'),
        (
            lambda: engine.tensordot(M, M, 1),
            ValueError,
            r"tensordot: axes \(1,\) of x \(2, 3\) and \(0,\) of y \(2, 3\) differ in length",
        ),
        (lambda: engine.tensordot(M, M, 3), ValueError, "tensordot: axis -3 is out of bounds"),
        (lambda: engine.tensordot(M, M, -1), ValueError, r"tensordot: .*axes=-1"),
        (lambda: engine.tensordot(M, M, ([0, 0], [0, 1])), ValueError, "tensordot: repeated axis"),
        (lambda: engine.tensordot(M, M, (0, [0, 1])), ValueError, "tensordot: .* differ in length"),
        (
            lambda: engine.vecdot(M, V, axis=0),
            ValueError,
            "vecdot: the lengths along axis 0 differ",
        ),
        (lambda: engine.vecdot(M, V, axis=-2), ValueError, r"vecdot: axis -2 is out of bounds"),
        (
            lambda: engine.vecdot(M, np.ones((4, 3))),
            ValueError,
            r"vecdot: the other axes do not broadcast \(x \(2, 3\), y \(4, 3\)\)",
        ),
        (lambda: engine.vecdot(M, 1.0), ValueError, "vecdot: axis -1 is out of bounds"),
        (lambda: engine.outer(M, V), ValueError, r"outer: expected 1 axis each, got x \(2, 3\)"),
        (lambda: engine.outer(V, 1j * V), TypeError, "expected real numbers, got complex"),
    ],
)
def test_errors_say_what_does_not_fit(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# ----------------------------------------------------------------------- dense layers in one row


def dense_operands(rng, lead):
    shapes = ((*lead, 70), (70, 30), (30,))
    return [
        Tensor(rng.normal(size=shape).astype("float32"), requires_grad=True) for shape in shapes
    ]


@pytest.mark.parametrize("lead", [(1,), (40,), (3, 20), (0,)])
def test_relu_within_dense_changes_no_bit(rng, lead):
    operands = dense_operands(rng, lead)
    g = rng.normal(size=(*lead, 30)).astype("float32")
    found = []
    for out in (engine.dense_relu(*operands), engine.relu(engine.dense(*operands))):
        out.backward(g)
        found.append([out.data, *(operand.grad.data for operand in operands)])
        for operand in operands:
            operand.grad = None
    for within, after in zip(*found):
        assert within.tobytes() == after.tobytes()


@pytest.mark.parametrize("row", [engine.dense, engine.dense_relu])
@pytest.mark.parametrize("lead", [(1,), (40,), (3, 20)])
def test_gradients_computed_together_are_those_of_the_formulas(rng, row, lead):
    operands = dense_operands(rng, lead)
    g = rng.normal(size=(*lead, 30)).astype("float32")
    expected = engine.grad(row(*operands), operands, g, create_graph=True)
    for chosen in ([0], [1], [2], [0, 2], [1, 2], [0, 1, 2]):
        inputs = [operands[i] for i in chosen]
        constants = [x if i in chosen else x.detach() for i, x in enumerate(operands)]
        for out in (row(*operands), row(*constants)):
            for i, slope in zip(chosen, engine.grad(out, inputs, g)):
                np.testing.assert_allclose(slope.data, expected[i].data, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [engine.dense, engine.dense_relu])
def test_dense_of_integers_and_of_two_float_types(rng, row):
    x, kernel, bias = dense_operands(rng, (40,))
    whole = rng.integers(0, 3, (40, 70))
    g = rng.normal(size=(40, 30)).astype("float32")
    for given in (whole, whole.astype("float64")):
        row(given, kernel, bias).backward(g)
        slope, kernel.grad = kernel.grad.data, None
        row(whole.astype("float32"), kernel, bias).backward(g)
        np.testing.assert_allclose(slope, kernel.grad.data, rtol=1e-4, atol=1e-4)
        assert slope.dtype == np.float32
        kernel.grad = None
    constant = rng.integers(-2, 3, (70, 30))
    row(x, constant, bias).backward(g)
    assert x.grad.shape == x.shape and x.grad.dtype == np.float32


def test_dense_keeps_what_its_formulas_mention():
    x, kernel, bias = (np.ones(shape, "float32") for shape in ((4, 3), (3, 2), (2,)))
    bias = Tensor(bias, requires_grad=True)
    assert engine.dense(x, kernel, bias).node.saved == (None, None)
    out = engine.dense_relu(x, kernel, bias)
    assert [value is out.data for value in out.node.saved if value is not None] == [True]
