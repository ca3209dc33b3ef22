"""The matrix product: every size class and layout against float64, and bit for bit with itself.

Most cases are small integers, of which every sum is exact: a single wrong index shows.
"""

import threading

import numpy as np
import pytest
from llvmlite import binding

from engine.kernels import gemm, registers

from . import naive, smaller_cpus

FLOATS = [np.float32, np.float64]
# Of vectors (8 and 16 lanes), tiles (1 to 8 rows, up to 3 vectors), the rows that stay in the
# cache (96), packing (200 rows), a part of the inner dimension (384) and of the columns (1024)
ROWS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 31, 32, 33, 41, 63, 64, 65, 199, 200, 201]
DEPTHS = [1, 2, 15, 16, 17, 33, 63, 64, 65, 383, 384, 385, 769, 1025]
COLUMNS = [1, 2, 7, 8, 9, 10, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 64, 65, 97, 129, 200]
SIZES = sorted(
    {(m, 37, 50) for m in ROWS}
    | {(m, 100, n) for m in (1, 9, 33) for n in COLUMNS}
    | {(m, k, n) for m, n in [(1, 33), (33, 1), (10, 17), (201, 40)] for k in DEPTHS}
    | {(3, 5, n) for n in (1023, 1024, 1025, 1100)}
    | {(201, 520, 1030), (33, 1030, 1025), (1, 1, 1), (1, 2000, 1), (2000, 2, 1), (1, 2, 2000)}
    # One row, of so much that the rows of the right matrix are read whole, 8 at a time
    | {(1, k, n) for k, n in [(7, 5000), (37, 1000), (392, 90), (409, 1030), (800, 47)]}
    # Of few columns (16, with 1024 rows at a time), and of long rows of the left matrix (500)
    | {(m, 30, n) for m in (16, 17, 1024, 1025) for n in (15, 16, 17)}
    | {(m, 33, n) for m in (499, 500, 523) for n in (499, 500, 523)}
    # Of a few columns more than whole vectors, and of an inner dimension up to 16
    | {(m, 30, n) for m in (17, 40) for n in (20, 21, 24, 25, 33, 65)}
    | {(m, k, 600) for m in (20, 210) for k in (1, 15, 16, 17)}
    # Of few rows, by dot products or with the result turned (12 rows, inner dimension 256)
    | {(m, k, n) for m in (4, 5, 11, 12) for k in (255, 256, 271) for n in (3, 4, 5, 34)}
    | {(m, k, n) for m in (8, 9, 10) for k in (256, 260) for n in (9, 10, 15, 101)}
    # Of few columns, for which the right matrix is turned (24 rows), and of rows that clash
    | {(m, k, n) for m in (23, 24, 99) for k in (255, 256, 300) for n in (2, 10, 12, 13)}
    | {(1024, 9, n) for n in (31, 32, 40)}
    | {(m, 70, 1024) for m in (29, 30, 199)}
    | {(m, 300, n) for m in (13, 16, 17, 32, 33) for n in (66, 79, 80, 81)}
    # Of columns beside whole vectors, up to half of one: dot products of 24 rows and more
    | {(m, k, n) for m in (23, 24, 40) for k in (63, 64, 80) for n in (17, 20, 24, 25, 52)}
    | {(30, k, 24) for k in (2048, 2049, 4097)}
    # Of a transposed left matrix that is packed tile by tile
    | {(m, k, 800) for m, k in [(225, 9), (288, 40), (291, 400)]}
    | {(m, 60, 800) for m in range(226, 235)}
    # Of rows that stay in the cache (144, where they are not longer than 272)
    | {(m, k, 130) for m in (143, 144, 145) for k in (270, 540, 560)}
    # Of one row of so many columns that their rows clash, read 4 at a time, and of one column
    | {(1, k, n) for k in (3, 4, 67, 200) for n in (512, 1024, 1030)}
    | {(m, 70, 1) for m in (80, 512, 1024, 1025)}
    # Of one column or one row: dot products of four rows at a time
    | {(m, 70, 1) for m in range(1, 10)}
    | {(1, 70, n) for n in range(2, 10)}
)


def integers(rng, shape, dtype):
    return rng.integers(-9, 10, shape).astype(dtype)


def stored(x, order):
    """`x` in a memory order, for which "T" is that of a transposed array."""
    return np.ascontiguousarray(x.T).T if order == "T" else np.ascontiguousarray(x)


# -------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("orders", ["CC", "CT", "TC", "TT"])
def test_sizes_around_every_boundary(rng, dtype, orders):
    for m, k, n in SIZES:
        a = stored(integers(rng, (m, k), dtype), orders[0])
        b = stored(integers(rng, (k, n), dtype), orders[1])
        bias = integers(rng, n, dtype)
        before = a.copy(), b.copy(), bias.copy()
        expected = naive.matmul(a, b)
        for got, right in [
            (gemm.matmul(a, b), expected),
            (gemm.matmul(a, b, bias=bias), expected + bias),
            (gemm.matmul(a, b, relu=True), np.maximum(expected, 0)),
            (gemm.matmul(a, b, bias=bias, relu=True), np.maximum(expected + bias, 0)),
        ]:
            assert got.dtype == dtype
            assert got.flags.c_contiguous
            np.testing.assert_array_equal(got, right, err_msg=f"{m} x {k} x {n}")
        for array, old in zip((a, b, bias), before):
            np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("orders", ["CC", "CT", "TC"])
@pytest.mark.parametrize("size", [(1, 300, 40), (33, 1300, 50), (210, 700, 70), (40, 300, 1)])
def test_rounding_errors_are_a_few(rng, dtype, orders, size):
    m, k, n = size
    a = stored(rng.normal(size=(m, k)).astype(dtype), orders[0])
    b = stored(rng.normal(1000, 1, size=(k, n)).astype(dtype), orders[1])
    bound = 8 * np.finfo(dtype).eps * naive.matmul(np.abs(a), np.abs(b))
    assert (np.abs(gemm.matmul(a, b) - naive.matmul(a, b)) <= bound).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m, k, n", [(0, 3, 4), (3, 4, 0), (3, 0, 4), (0, 0, 0), (1, 0, 20)])
@pytest.mark.parametrize("orders", ["CC", "TT"])
def test_empty(dtype, m, k, n, orders):
    a, b = stored(np.ones((m, k), dtype), orders[0]), stored(np.ones((k, n), dtype), orders[1])
    np.testing.assert_array_equal(gemm.matmul(a, b), np.zeros((m, n)))
    bias = np.arange(n).astype(dtype)
    np.testing.assert_array_equal(gemm.matmul(a, b, bias=bias), np.zeros((m, n)) + bias)


@pytest.mark.parametrize("dtype", FLOATS)
def test_empty_slices_of_transposed_arrays(dtype):
    a, b = np.ones((3, 5), dtype)[:, :0], np.ones((4, 5), dtype).T[:0]
    for left in (a, np.ones((5, 3), dtype)[:0].T):
        np.testing.assert_array_equal(gemm.matmul(left, b), np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("orders", ["CC", "CT", "TC", "TT"])
@pytest.mark.parametrize("m, k, n", [(11, 70, 50), (1, 70, 50), (205, 70, 9), (20, 70, 1)])
def test_nan_and_inf_stay_in_their_row_and_column(rng, dtype, special, orders, m, k, n):
    a, b = rng.uniform(1, 2, (m, k)).astype(dtype), rng.uniform(1, 2, (k, n)).astype(dtype)
    row, column = m // 2, n // 2
    a[row, k // 3], b[k // 2, column] = special, special
    got = gemm.matmul(stored(a, orders[0]), stored(b, orders[1]))
    expected = np.zeros((m, n), bool)
    expected[row], expected[:, column] = True, True
    np.testing.assert_array_equal(~np.isfinite(got), expected)
    np.testing.assert_array_equal(np.isnan(got), expected & np.isnan(special))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k, n", [(3, 20), (70, 1), (70, 20)])
def test_relu_leaves_nan_and_the_sign_of_zero(dtype, k, n):
    a, b = np.zeros((4, k), dtype), np.ones((k, n), dtype)
    a[:, 0] = np.nan, np.inf, -np.inf, -1
    np.testing.assert_array_equal(
        gemm.matmul(a, b, relu=True), np.repeat([[np.nan], [np.inf], [0], [0]], n, axis=1)
    )
    negative = gemm.matmul(a[:, :0], b[:0], bias=np.full(n, -0.0, dtype), relu=True)
    np.testing.assert_array_equal(negative, 0)


# ------------------------------------------------------------------------------------- layouts


def layouts(x):
    """Arrays equal to `x`, each in another layout; around those that are slices there is nan."""
    m, n = x.shape
    wide = np.full((3 * m + 2, 2 * n + 3), np.nan, x.dtype)
    wide[1 : 1 + m, 1 : 1 + n] = x
    yield wide[1 : 1 + m, 1 : 1 + n]
    steps = np.full((3 * m + 2, 2 * n + 3), np.nan, x.dtype)
    steps[: 3 * m : 3, : 2 * n : 2] = x
    yield steps[: 3 * m : 3, : 2 * n : 2]
    tall = np.full((n + 2, m + 5), np.nan, x.dtype)
    tall[1 : 1 + n, 2 : 2 + m] = x.T
    yield tall[1 : 1 + n, 2 : 2 + m].T
    yield np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    yield np.ascontiguousarray(x[::-1]).T[:, ::-1].T
    for order in "CT":
        read_only = stored(x, order).copy(order="K")
        read_only.flags.writeable = False
        yield read_only
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(x.dtype).reshape(m, n)
    unaligned[...] = x
    yield unaligned


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m, k, n", [(10, 35, 50), (1, 70, 33), (203, 70, 20), (1, 1, 1)])
def test_any_layout(rng, dtype, m, k, n):
    a, b, bias = (integers(rng, size, dtype) for size in ((m, k), (k, n), (1, n)))
    expected = naive.matmul(a, b) + bias
    for left in layouts(a):
        for right in layouts(b):
            np.testing.assert_array_equal(gemm.matmul(left, right, bias=bias[0]), expected)
    for sum_ in layouts(bias):
        np.testing.assert_array_equal(gemm.matmul(a, b, bias=sum_[0]), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_broadcast_operands(rng, dtype):
    number, row, column = (integers(rng, size, dtype) for size in ((1, 1), (1, 40), (40, 1)))
    b = integers(rng, (40, 30), dtype)
    for small in (number, row, column):
        a = np.broadcast_to(small, (40, 40))
        np.testing.assert_array_equal(gemm.matmul(a, b), naive.matmul(a, b))
        np.testing.assert_array_equal(gemm.matmul(b.T, a), naive.matmul(b.T, a))
    bias = np.broadcast_to(number[0], 30)
    np.testing.assert_array_equal(gemm.matmul(b.T, b, bias=bias), naive.matmul(b.T, b) + bias)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("orders", ["CC", "CT", "TC", "TT"])
def test_nothing_beside_out_is_written_and_nan_in_it_is_overwritten(rng, dtype, orders):
    sizes = [(1, 70, 33), (5, 600, 9), (9, 20, 49), (201, 30, 50), (33, 70, 1), (7, 5, 70)]
    for m, k, n in [*sizes, (1, 70, 170)]:
        a = stored(integers(rng, (m, k), dtype), orders[0])
        right = stored(integers(rng, (k, n), dtype), orders[1])
        for b in (right, placed(right, 64 // right.itemsize - 1)):
            buffer = np.full(m * n + 200, np.nan, dtype)
            out = buffer[100 : 100 + m * n].reshape(m, n)
            assert gemm.matmul(a, b, out=out) is out
            np.testing.assert_array_equal(out, naive.matmul(a, b))
            assert np.isnan(buffer[:100]).all()
            assert np.isnan(buffer[100 + m * n :]).all()


# ---------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("orders", ["CC", "CT", "TC", "TT"])
def test_same_bits_for_any_number_of_threads(rng, dtype, orders, threads):
    for m, k, n in [
        (1, 700, 600),
        (1, 5000, 70),
        (300, 1200, 1),
        (33, 600, 100),
        (97, 100, 70),
        (250, 1100, 30),
        (5, 100, 1500),
        (501, 64, 10),
        (9, 600, 130),
        (40, 600, 130),
        (128, 512, 10),
        (10, 4096, 10),
        (100, 100, 100),
        (20, 900, 49),
        (60, 16, 700),
        (60, 300, 100),
        (30, 900, 52),
        (200, 300, 52),
        (400, 300, 20),
    ]:
        a = stored(rng.normal(size=(m, k)).astype(dtype), orders[0])
        b = stored(rng.normal(size=(k, n)).astype(dtype), orders[1])
        bias = rng.normal(size=n).astype(dtype)
        threads(1)
        expected = gemm.matmul(a, b), gemm.matmul(a, b, bias=bias, relu=True)
        for count in (2, 3, 8):
            threads(count)
            got = gemm.matmul(a, b), gemm.matmul(a, b, bias=bias, relu=True)
            for one, right in zip(got, expected):
                assert one.tobytes() == right.tobytes(), (m, k, n, count)


@pytest.mark.parametrize("dtype", FLOATS)
def test_same_bits_for_any_number_of_threads_in_any_layout(rng, dtype, threads):
    a, b = (rng.normal(size=size).astype(dtype) for size in ((60, 100), (100, 100)))
    for left in layouts(a):
        for right in layouts(b):
            threads(1)
            expected = gemm.matmul(left, right)
            for count in (2, 3):
                threads(count)
                assert gemm.matmul(left, right).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m", [9, 17])
def test_same_bits_where_the_last_thread_has_one_row(rng, dtype, threads, m):
    a, b = rng.normal(size=(30_000, m)).astype(dtype).T, rng.normal(size=(30_000, 1)).astype(dtype)
    results = []
    for count in (1, 2, 3, 8):
        threads(count)
        results.append(gemm.matmul(a, b).tobytes())
    assert len(set(results)) == 1


def placed(x, first):
    """A copy of `x` that starts so many elements after the start of a cache line."""
    memory = np.full(x.size + 40, np.nan, x.dtype)
    start = -memory.ctypes.data % 64 // x.itemsize + first
    copy = memory[start : start + x.size].reshape(x.T.shape if x.flags.fnc else x.shape)
    copy[...] = x.T if x.flags.fnc else x
    return copy.T if x.flags.fnc else copy


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("orders", ["CC", "CT", "TC", "TT"])
@pytest.mark.parametrize(
    "m, k, n", [(1, 150, 170), (1, 70, 1024), (170, 150, 1), (9, 70, 200), (70, 70, 200)]
)
def test_same_bits_wherever_in_a_cache_line_the_arrays_start(rng, dtype, orders, m, k, n):
    a, b = (rng.normal(size=size).astype(dtype) for size in ((m, k), (k, n)))
    a, b = stored(a, orders[0]), stored(b, orders[1])
    expected = gemm.matmul(placed(a, 0), placed(b, 0))
    np.testing.assert_allclose(expected, a.astype(float) @ b, rtol=1e-3, atol=1e-3)
    for first in (1, 3, 4, 64 // a.itemsize - 1):
        out = gemm.matmul(placed(a, first), placed(b, first))
        assert out.tobytes() == expected.tobytes(), first


@pytest.mark.parametrize("dtype", FLOATS)
def test_same_bits_in_any_tile(rng, dtype):
    a, b = (rng.normal(size=size).astype(dtype) for size in ((210, 600), (600, 150)))
    whole = gemm.matmul(a, b)
    for rows in [slice(5, 50), slice(9, 209)]:
        assert gemm.matmul(a[rows], b).tobytes() == whole[rows].tobytes()
    # Which columns fill vectors and which are dot products goes by the whole result: the latter,
    # of 24 rows and more, have other bits. So only the former are compared: 16 lanes at most.
    for rows in [slice(1, 3), slice(2, 7)]:
        part = gemm.matmul(a[rows], b)
        np.testing.assert_array_equal(part[:, :144], whole[rows, :144])
    for chosen in [slice(0, 20), slice(5, 50), slice(40, 149)]:
        part = gemm.matmul(a, np.ascontiguousarray(b[:, chosen]))
        filled = part.shape[1] // 16 * 16
        np.testing.assert_array_equal(part[:, :filled], whole[:, chosen][:, :filled])
    turned = gemm.matmul(np.asfortranarray(a), np.asfortranarray(b))
    np.testing.assert_array_equal(turned[:, :144], whole[:, :144])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", "CT")
def test_columns_that_fill_no_vector_are_more_exact_than_a_chain_of_additions(rng, dtype, order):
    a, b = (rng.normal(size=size).astype(dtype) for size in ((100, 384), (384, 100)))
    wider = np.float64 if dtype == np.float32 else np.longdouble
    exact = a.astype(wider) @ b[:, 96:].astype(wider)
    chain = np.add.accumulate(a[:, :, np.newaxis] * b[:, 96:], axis=1)[:, -1]
    rest = gemm.matmul(a, stored(b, order))[:, 96:]
    assert np.square(rest - exact).mean() < 0.5 * np.square(chain - exact).mean()


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_row_is_more_exact_than_a_chain_of_additions(rng, dtype):
    a, b = (rng.normal(size=size).astype(dtype) for size in ((1, 784), (784, 512)))
    wider = np.float64 if dtype == np.float32 else np.longdouble
    exact = (a.T.astype(wider) * b).sum(axis=0)
    chain = np.add.accumulate(a.T * b)[-1]
    for row in (gemm.matmul(a, b), gemm.matmul(np.asfortranarray(a.T).T, b)):
        assert np.square(row - exact).mean() < 0.25 * np.square(chain - exact).mean()


def test_callers_in_several_threads_do_not_share_scratch(rng):
    cases = [
        (integers(rng, (210, 600), np.float32), integers(rng, (n, 600), np.float32).T)
        for n in (30, 170, 60, 110)
    ]
    expected = [naive.matmul(a, b) for a, b in cases]
    wrong = []

    def work(case):
        for _ in range(20):
            if not np.array_equal(gemm.matmul(*cases[case]), expected[case]):
                wrong.append(case)

    workers = [threading.Thread(target=work, args=(case,)) for case in range(len(cases))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


# ---------------------------------------------------------------------------------- other CPUs

PROGRAM = """
import numpy as np
from engine.kernels import _jit, gemm
rng = np.random.default_rng(0)
sizes = [(1, 70, 70), (1, 5, 33), (7, 20, 50), (13, 520, 17), (205, 30, 40), (90, 70, 1)]
sizes += [(7, 270, 9), (18, 300, 70), (26, 300, 10), (33, 20, 1024), (1024, 9, 40), (8, 70, 21)]
sizes += [(30, 64, 20), (40, 70, 24), (63, 20, 256), (64, 20, 256), (100, 30, 100)]
sizes += [(66, 400, 150), (40, 70, 1024), (225, 30, 256), (291, 400, 270), (1, 70, 200)]
sizes += [(m, 20, 256) for m in range(226, 233)] + [(144, 272, 150), (145, 544, 150)]
for m, k, n in sizes:
    a, b = rng.integers(-9, 10, (m, k)), rng.integers(-9, 10, (k, n))
    for orders in ("CC", "CF", "FC"):
        x, y = np.array(a, np.float32, order=orders[0]), np.array(b, np.float32, order=orders[1])
        for first in (0, 5, 13):  # elements from where a cache line starts
            if orders == "CC":
                memory = np.empty(k * n + 40, np.float32)
                start = -memory.ctypes.data % 64 // 4 + first
                y = memory[start : start + k * n].reshape(k, n)
                y[...] = b
            for threads in (1, 2):
                _jit.set_num_threads(threads)
                beside = np.full(m * n + 200, np.nan, np.float32)
                out = beside[100:-100].reshape(m, n)
                if not np.array_equal(gemm.matmul(x, y, out=out), a @ b):
                    raise SystemExit(f"wrong: {m} x {k} x {n}, {orders}, {threads} threads")
                if not np.isnan([beside[:100], beside[-100:]]).all():
                    raise SystemExit(f"beside: {m} x {k} x {n}, {orders}, {threads} threads")
"""


@smaller_cpus.on_each(*smaller_cpus.TARGETS)
def test_right_on_smaller_cpus(cpu, tmp_path):
    smaller_cpus.run(cpu, tmp_path, "-c", PROGRAM)


def test_tiles_fit_the_registers():
    triple = binding.get_process_triple()
    if triple.startswith("x86_64"):
        for cpu, rows in [("x86-64-v4", 8), ("haswell", 6), ("x86-64", 2)]:
            assert registers.tile_shapes((triple, cpu, ""))[0][0] == rows
        assert registers.tile_shapes((triple, "x86-64", "+avx512f"))[0] == (8, 3)
        assert registers.tile_shapes((triple, "skylake-avx512", "-avx512f"))[0] == (6, 1)
