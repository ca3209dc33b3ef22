"""The entries of the operation table for shapes, indices and reductions."""

import numpy as np

from engine.ops import index, reduce, shape

from .op_table import REDUCED, Entry, apart, put, real

AXES = ((None, False), (1, False), (-1, True), ((0, 2), False), ((2, 0), True), ((), True))
WITH_ZEROS = apart(4, 3)
LABELS_NONE = np.zeros(0, int)
WITH_ZEROS[[0, 1, 2, 3, 3], [0, 1, 1, 0, 2]] = 0  # two, two and one in the columns


def lse(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def deviation(oracle):
    return lambda x, axis=None, correction=0.0, keepdims=False: oracle(
        x, axis=axis, ddof=correction, keepdims=keepdims
    )


def with_initial(x, axis, include_initial):
    return np.insert(np.cumsum(x, axis), 0, 0.0, axis)


ENTRIES = [
    # reductions
    *(
        Entry(row, oracle, REDUCED, {"axis": axis, "keepdims": keepdims})
        for row, oracle in (
            (reduce.prod, np.prod),
            (reduce.logsumexp, lse),
            (reduce.var, np.var),
            (reduce.std, np.std),
        )
        for axis, keepdims in AXES
        if axis != () or row not in (reduce.var, reduce.std)
    ),
    *(
        Entry(row, deviation(oracle), REDUCED, {"axis": axis, "correction": correction})
        for row, oracle in ((reduce.var, np.var), (reduce.std, np.std))
        for axis, correction in ((None, 1.0), ((1, 2), 0.5), (0, 1))
    ),
    *(
        Entry(reduce.prod, np.prod, [(WITH_ZEROS,)], {"axis": axis})
        for axis in (None, 0, 1, (1, 0), ())
    ),
    Entry(reduce.prod, np.prod, [(real(),), (real(1),), (real(7),), (real(0, 3),), (real(2, 0),)]),
    Entry(reduce.logsumexp, lse, [(real(),), (real(70),)]),
    Entry(
        reduce.exp_minus,
        lambda x, y: np.exp(x - y),
        [(real(3, 4), real(3, 1)), (real(), real()), (real(0, 2), real(2))],
        fixed=(1,),
    ),
    *(Entry(reduce.cumulative_sum, np.cumsum, REDUCED, {"axis": axis}) for axis in (0, 1, -1)),
    Entry(reduce.cumulative_sum, np.cumsum, [(real(5),), (real(1),), (real(0),)]),
    *(
        Entry(reduce.cumulative_sum, with_initial, REDUCED, {"axis": axis, "include_initial": True})
        for axis in (0, -1)
    ),
    *(
        Entry(reduce.count_nonzero, np.count_nonzero, [(WITH_ZEROS,)], {"axis": axis}, smooth=False)
        for axis in (None, 0, -1, (0, 1))
    ),
    # order
    Entry(shape.permute_dims, np.transpose, REDUCED, {"axes": (-1, 0, 1)}),
    Entry(shape.permute_dims, np.transpose, [(real(),)], {"axes": ()}),
    Entry(shape.squeeze, np.squeeze, [(real(2, 1, 3, 1),), (real(1, 1),)]),
    *(
        Entry(shape.moveaxis, np.moveaxis, REDUCED, {"source": source, "destination": destination})
        for source, destination in ((0, -1), ((0, 1), (2, 0)))
    ),
    *(
        Entry(shape.flip, np.flip, [*REDUCED, (real(2, 0, 3),)], {"axis": axis})
        for axis in (None, 1, (0, -1))
    ),
    Entry(shape.flip, np.flip, [(real(),)]),
    *(
        Entry(shape.roll, np.roll, [*REDUCED, (real(2, 0, 3),)], {"shift": shift, "axis": axis})
        for shift, axis in ((5, None), (-1, 2), (7, 0), ((1, -2), (1, 2)), ((1, 1), (0, 0)))
    ),
    # together
    *(
        Entry(row, oracle, samples, {"axis": axis}, sequence=True)
        for row, oracle, samples in (
            (shape.concat, lambda *x, axis: np.concatenate(x, axis), [(real(2, 3), real(2, 3))]),
            (shape.stack, lambda *x, axis: np.stack(x, axis), [(real(2, 3), real(2, 3))]),
            (shape.stack, lambda *x, axis: np.stack(x, axis), [(real(3, 1),), (real(0, 1),) * 2]),
        )
        for axis in (0, 1, -1)
    ),
    Entry(
        shape.stack,
        lambda *x: np.stack(x),
        [(real(), real(), real()), tuple(real(2) for _ in range(7))],
        sequence=True,
    ),
    Entry(
        shape.concat,
        lambda *x: np.concatenate(x),
        [
            (real(2, 3), real(0, 3), real(1, 3)),
            (real(3),),
            tuple(real(n % 3, 2) for n in range(9)),
        ],
        sequence=True,
    ),
    Entry(
        shape.concat,
        lambda *x, axis: np.concatenate(x, axis),
        [(real(2, 3), real(), real(4))],
        {"axis": None},
        sequence=True,
    ),
    # again, around
    *(
        Entry(shape.repeat, np.repeat, [(real(2, 3, 2),)], {"repeats": repeats, "axis": axis})
        for repeats, axis in ((2, None), (3, 1), (1, -1), (0, 0), ([2, 0, 1], 1))
    ),
    *(
        Entry(shape.pad, np.pad, [(real(2, 3),), (real(3, 4),)], {"pad_width": width, **settings})
        for width, settings in (
            (1, {}),
            (((1, 0), (2, 3)), {"constant_values": -1.5}),
            ((2, 1), {"mode": "edge"}),
            (((3, 2), (0, 5)), {"mode": "reflect"}),
            (((3, 2), (4, 1)), {"mode": "symmetric"}),
            (3, {"mode": "wrap"}),
        )
    ),
    Entry(shape.pad, np.pad, [(real(0, 1),)], {"pad_width": ((0, 2), (1, 1))}),
    # triangles and diagonals
    *(
        Entry(row, oracle, [(real(3, 4),), (real(2, 4, 3),), (real(0, 2),)], {"k": k})
        for row, oracle in ((shape.tril, np.tril), (shape.triu, np.triu))
        for k in (0, 1, -2)
    ),
    *(
        Entry(shape.diagonal, np.diagonal, [(real(3, 4),), (real(4, 3, 2),)], {"offset": offset})
        for offset in (0, 1, -2, 9)
    ),
    *(
        Entry(
            shape.diagonal, np.diagonal, [(real(3, 2, 4),)], {"offset": 1, "axis1": i, "axis2": j}
        )
        for i, j in ((-2, -1), (2, 0), (1, 0))
    ),
    # index
    *(
        Entry(index.getitem, lambda x, index: x[index], [(real(3, 4),)], {"index": where})
        for where in (
            ((0, 0, 2), (1, 1, 3)),
            range(2),
            np.array(2),
            np.int64(-1),
            True,
            [],
            [-1, 0, 2, 2],
            (np.array([[0], [2]]), [0, 0, 1]),
            ([1, 1], slice(None), None),
            (slice(None), None, [3, 3]),
            (..., np.array([True, False, True, True])),
            np.arange(12).reshape(3, 4) % 3 == 0,
            ([True, False, True], 1),
            (0, [1, 1, 1, 2, 3, 3]),
            (slice(None), np.zeros((0, 2), int)),
            np.zeros((5, 2), int),
        )
    ),
    Entry(
        index.getitem,
        lambda x, index: x[index],
        [(real(3, 4, 5),)],
        {"index": ([0, 2], slice(None), [1, 1])},  # the axis of the indices goes first
    ),
    Entry(index.put_index, put, [(real(9),)], {"index": ([0, 0, 1] * 3,), "shape": (4,)}),
    *(
        Entry(
            index.take,
            np.take,
            [(real(3, 4), np.array(indices)), (real(5, 3), np.array(indices))],
            {"axis": axis},
            fixed=(1,),
        )
        for axis in (0, -1)
        for indices in (1, [0, 2, 0, -1], [[2, 1], [1, 1]])
    ),
    Entry(
        index.take,
        np.take,
        [(real(4), np.array([0, 3, 3])), (real(400), np.array([7, 7])), (real(2), LABELS_NONE)],
        fixed=(1,),
    ),
    *(
        Entry(
            index.take_along_axis,
            np.take_along_axis,
            [(real(*lengths), np.array(indices))],
            {"axis": axis},
            fixed=(1,),
        )
        for lengths, indices, axis in (
            ((2, 3), [[0, 0, 2, -1], [1, 1, 1, 1]], -1),
            ((2, 3), [[1, 0, 1]], 0),
            ((2, 3), [[1]], 1),
            ((4,), [3, 3], 0),
            ((2, 2, 2), [[[1, 1], [0, 1]]], 1),
        )
    ),
    Entry(
        index.one_hot,
        lambda labels, num_classes, dtype: np.eye(num_classes, dtype=int)[labels],
        [(np.array([2, 0, 2]),), (np.array([[1], [0]]),), (np.array(1),), (LABELS_NONE,)],
        {"num_classes": 3, "dtype": "int64"},
        smooth=False,
    ),
]
