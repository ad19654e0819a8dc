"""The table of operators that move elements: into places that an index names, into pieces, into other shapes."""

from __future__ import annotations

from opinfo import A, OpInfo, op, s

__all__ = ["PLACE_OPS"]

M = (3, 4)


def index(values: object) -> A:
    return A(values=values, dtype="int64")


def apart(*shape: int) -> A:
    return A(shape, 0.5, 2.0, distinct=True)


ROWS = index([[0, 1, 2, 0], [0, 1, 0, 2]])
SMALL = index([[2, 0, 1]])
CORNERED = (A(M), 0, SMALL, A((2, 4), grad=False))

INDEXED = [
    op("gather", s(A(M), 0, ROWS), s(A(M), -1, index([[3, 0], [1, 1], [2, 2]])), s(A(M), 0, SMALL)),
    op("index_select", s(A(M), 0, index([2, 0, 0])), s(A(M), -1, index([3]))),
    op("take", s(A(M), index([[0, 11], [5, 5]]))),
    op("take_along_dim", s(A(M), ROWS, 0), s(A(M), index([3, 3]))),
    op("scatter", s(A(M), 0, index([[2, 0, 1, 1], [0, 1, 2, 0]]), A((2, 4))), s(*CORNERED), s(A(M), 1, SMALL, 2.0)),
    op("scatter_add", s(A(M), 0, ROWS, A((2, 4))), s(*CORNERED)),
    op("index_add", s(A(M), 0, index([2, 0, 0]), A(M)), s(A(M), 1, index([1]), A((3, 1)), alpha=2)),
    op("index_copy", s(A(M), 0, index([2, 0]), A((2, 4)))),
    op("index_fill", s(A(M), 0, index([2, 0]), 3.0)),
    *(
        op(
            "scatter_reduce",
            s(apart(3, 4), 0, ROWS, apart(2, 4), reduce),
            s(apart(3, 4), 0, ROWS, apart(2, 4), reduce, include_self=False),
            s(apart(3, 4), 1, index([[2, 0, 1], [3, 3, 3]]), apart(2, 3), reduce),
            s(apart(4), 0, index([0, 0, 1, 0, 3]), apart(5), reduce),
        )
        for reduce in ("sum", "prod", "mean", "amax", "amin")
    ),
    *(
        op(
            "index_reduce",
            s(apart(3, 4), 0, index([2, 0, 0]), apart(3, 4), reduce),
            s(apart(3, 4), -1, index([1, 1]), apart(3, 2), reduce, include_self=False),
        )
        for reduce in ("prod", "mean", "amax", "amin")
    ),
    # Where there is a zero, and two: the product of the others is not the product over the element.
    op(
        "scatter_reduce",
        s(A(values=[1.5, 2.0, 3.0]), 0, index([0, 0, 1, 1]), A(values=[0.0, 2.0, 0.0, 0.0]), "prod"),
        s(A(values=[0.0, 2.0]), 0, index([0, 1]), A(values=[0.0, 2.0]), "prod"),
        second=False,
    ),
    op("put", s(A(M), index([[0, -1], [5, 3]]), A((2, 2))), s(A(M), index([1, 1, 2]), A((3,)), accumulate=True)),
    op("masked_fill", s(A(M), A(M, dtype="bool"), 2.0), s(A(M), A((4,), dtype="bool"), A(()))),
    op("masked_select", s(A(M), A(M, dtype="bool"))),
]

PARTS = [
    op("slice_scatter", s(A(M), A((3, 2)), 1, 1, 3), s(A(M), A((2, 4)), 0, 0, None, 2), s(A((4,)), A((4,)))),
    op("select_scatter", s(A(M), A((4,)), 0, 1), s(A(M), A((3,)), -1, -1)),
    op("diagonal_scatter", s(A(M), A((3,))), s(A(M), A((2,)), -1), s(A((2, 3, 3)), A((3, 2)), 1, 0, 2)),
    # By `input` it has no derivative here, since PyTorch's is wrong: tests/test_op_semantics.py takes it.
    op(
        "as_strided_scatter",
        s(A(M, grad=False), A((2, 2)), (2, 2), (1, 2)),
        s(A(M, grad=False), A((3,)), (3,), (4,), 1),
    ),
]

PIECES = [
    op("hsplit", s(A(M), 2), s(A(M), [1, 3]), s(A((4,)), 2)),
    op("vsplit", s(A(M), 3), s(A(M), [1])),
    op("dsplit", s(A((2, 2, 4)), 2), s(A((2, 2, 4)), [1])),
    op("unsafe_split", s(A(M), 2), s(A(M), 3, 1)),
    op("unsafe_split_with_sizes", s(A(M), [1, 2])),
    op("unsafe_chunk", s(A(M), 2), s(A(M), 3, 1)),
    op("dstack", s([A((3,)), A((3,))]), s([A(M), A(M)])),
    op("atleast_3d", s(A(())), s(A((3,))), s(A(M))),
    op("block_diag", s(A(M), A((2,)), A(())), s(A(M), A((2, 0)))),
    op("kron", s(A(M), A((2, 2))), s(A((2,)), A(M)), s(A(()), A((3,)))),
    op("rot90", *(s(A(M), k) for k in (0, 1, 2, 3, -1)), s(A((2, 3, 2)), 1, [2, 0])),
    op("narrow_copy", s(A(M), 1, 1, 2)),
]

DIFFERENCES = [
    op("diff", s(A(M)), s(A(M), 2, 0), s(A((4,)), 1, -1, A((1,)), A((2,))), s(A((3,)), 5)),
    op("trapezoid", s(A(M)), s(A(M), A((4,))), s(A(M), A(M), dim=0), s(A(M), dx=0.5)),
    op("cumulative_trapezoid", s(A(M)), s(A(M), A((4,))), s(A(M), dx=0.5, dim=0)),
    op("dist", s(A(M), A(M)), s(A(M), A((4,)), 1), s(A(M), A(M), 3)),
    op(
        "cdist",
        s(A(M), A((2, 4))),
        s(A((2, 3, 4)), A((1, 2, 4)), 1.0),
        s(A(M), A(M), 3.0),
        s(A(M), A(M), 0.0),
        second=False,
    ),
    op("cross", s(A((3,)), A((3,)), 0), s(A((2, 3)), A((2, 3)), -1), s(A((3, 3)), A((1, 3)), 1)),
    op(
        "addbmm",
        s(A((2, 3)), A((4, 2, 5)), A((4, 5, 3))),
        s(A((3,)), A((2, 2, 2)), A((2, 2, 3)), beta=2, alpha=0.5),
    ),
    op("vander", s(A((3,))), s(A((3,)), 4, True), s(A((3,)), 1), differentiable=False),
    op(
        "cov",
        s(A(M)),
        s(A((4,))),
        s(A(M), correction=0),
        s(A(M), fweights=index([1, 2, 1, 1])),
        s(A(M), aweights=A((4,), 0.5, 1.0, grad=False)),
        s(A(M), fweights=index([1, 2, 1, 1]), aweights=A((4,), 0.5, 1.0, grad=False)),
    ),
    op("corrcoef", s(A(M)), rtol=1e-5, fd=False, second=False),
    op("renorm", s(A(M), 2, 0, 1.5), s(A(M), 1, 1, 2.0), fd=False),
]

COUNTS = [
    op(
        "searchsorted",
        s(A(values=[1.0, 3.0, 5.0]), A(M, 0, 6)),
        s(A(values=[1.0, 3.0]), A(values=[1.0, 3.0]), right=True),
    ),
    op("bucketize", s(A(M, 0, 6), A(values=[1.0, 3.0, 5.0])), s(A(M, 0, 6), A(values=[1.0, 3.0]), out_int32=True)),
    op(
        "isin",
        s(A((5,), 0, 4, dtype="int64"), index([1, 3])),
        s(index([1, 2]), 2),
        s(index([1, 2]), index([2]), invert=True),
    ),
    op("bincount", s(index([1, 4, 1])), s(index([1, 0]), A((2,), grad=False), minlength=4)),
    op("histc", s(A(M, grad=False), 5), s(A(M, grad=False), 4, -1, 1)),
    op("unravel_index", s(index([[5, 7], [0, 11]]), (3, 4))),
    op("unique_consecutive", s(index([1, 1, 2, 1]), True, True), s(index([[1, 2], [1, 2], [0, 2]]), dim=0)),
]

PLACE_OPS: list[OpInfo] = [
    *INDEXED, *PARTS, *PIECES, *DIFFERENCES,
    *(OpInfo(each.name, each.samples, differentiable=False, node=False) for each in COUNTS),
]  # fmt: skip
