"""Results lie in memory row by row where PyTorch's do: programs take views of them, however the operands lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opinfo import OPS, OpInfo
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS
from programs import assert_same

import retrograd

pytestmark = [pytest.mark.filterwarnings("ignore")]

OTHERWISE = frozenset("pow div renorm nn.functional.bilinear nn.functional.rms_norm nn.functional.batch_norm".split())
"""Made of operators in which elements keep their places here, or copied by PyTorch in special cases."""


def reversed_(module: Any, x: Any) -> Any:
    """The same tensor, of which the first index is the fastest in memory."""
    axes = list(range(x.dim()))[::-1]
    return x.permute(axes).contiguous().permute(axes)


def swapped(module: Any, x: Any) -> Any:
    return x.transpose(0, 1).contiguous().transpose(0, 1) if x.dim() > 1 else x


def expanded(module: Any, x: Any) -> Any:
    return x[:1].expand(x.shape) if x.dim() > 1 else x


LAYOUTS: list[Callable[[Any, Any], Any]] = [reversed_, swapped, expanded]


def layouts(module: Any, op: OpInfo, lay: Callable[[Any, Any], Any]) -> list[list[Any]]:
    """Shape, and whether it is row-major, of each result of each sample; of a sample that is refused, nothing."""
    found = []
    for sample in op.samples:
        args, kwargs = sample.filled([lay(module, module.tensor(each)) for each in sample.arrays(op.name)])
        try:
            made = op(module, args, kwargs)
        except Exception:
            found.append([])
            continue
        results = made if isinstance(made, (tuple, list)) else [made]
        found.append(
            [
                (tuple(x.shape), x.is_contiguous(), min(x.stride(), default=0) < 0)
                for x in results
                if hasattr(x, "stride")
            ]
        )
    return found


@pytest.mark.parametrize("op", [each for each in (*OPS, *NN_OPS, *PLACE_OPS) if each.name not in OTHERWISE], ids=str)
def test_results_are_row_major_where_pytorch_s_are(op: OpInfo) -> None:
    torch = pytest.importorskip("torch")
    for lay in LAYOUTS:
        for ours, theirs in zip(layouts(retrograd, op, lay), layouts(torch, op, lay), strict=True):
            for have, want in zip(ours, theirs, strict=bool(theirs)):
                assert have[1] or not want[1], (lay.__name__, have[0])
                assert not have[2], "no stride is negative"


def test_views_of_results_of_three_dimensions(backend: str) -> None:
    assert_same("""
        x = torch.arange(48.0).reshape(2, 3, 2, 4).permute(3, 2, 1, 0)
        part, e = x[0], torch.ones(1, 3, 2).expand(4, 3, 2)
        for result in (
            x.sum(1), x.mean(0, keepdim=True), x.amax(1), x.amin(2), x.prod(1), x.std(1), x.var((0, 1)), x.logsumexp(1),
            x.norm(dim=1), x.median(1)[0], (x > 3).any(1), (x > 3).all(2), x.softmax(1), x.log_softmax(0), x.cumsum(2),
            x.cumprod(0), torch.cat([x, x], 1), torch.stack([x, x], 2), torch.cat([e, e], 1), part.tril(), part.triu(1),
            x.masked_fill(x > 3, 0.0), x.topk(2, 1)[1],
            x.gather(0, torch.zeros_like(x).long()), e.double(), nn.functional.layer_norm(x, (2,)),
            torch.einsum("abcd,de->acbe", x.permute(3, 2, 1, 0), torch.ones(4, 5)), torch.vstack([part, part]),
            torch.einsum("ij,kj->ki", part[:, 0], torch.ones(5, 2)),
        ):
            print(result.is_contiguous(), result.view(-1)[:2].dtype)
    """)


def test_copies_of_views_and_what_is_drawn_are_row_major(backend: str) -> None:
    assert_same(
        """
        x = torch.arange(24.0).reshape(2, 3, 4)
        for each in (
            torch.permute_copy(x, (2, 0, 1)), torch.transpose_copy(x, 0, 2), torch.unfold_copy(x, 2, 2, 1),
            torch.as_strided_copy(x, (2, 2), (1, 2)), torch.t_copy(x[0]), torch.unbind_copy(x, 2)[1],
            torch.alias_copy(x.permute(2, 0, 1)), torch.multinomial(torch.ones(3, 10), 3),
            F.bilinear(torch.ones(8, 3), torch.ones(8, 4), torch.ones(5, 3, 4), torch.ones(5)),
        ):
            print(each.stride(), each.view(-1).shape)
        """
    )


def test_results_lie_in_the_order_of_the_first_operand_that_tells() -> None:
    """So that what a program turns, adds to and turns back can be viewed. Only arrays of NumPy show how they lie."""
    assert_same(
        """
        r = lambda *shape: torch.arange(float(torch.Size(shape).numel())).reshape(shape) / 10 - 0.5
        turned, rows = r(3, 4, 5).permute(2, 0, 1), r(5, 3, 4)
        print((r(2, 3, 4).transpose(1, 2) + r(4, 3)).transpose(1, 2).view(2, 12).shape)
        pairs = {
            "turned": (turned, rows), "rows": (rows, turned), "vector": (turned, r(4)), "before": (r(4), turned),
            "broadcast": (turned, r(5, 1, 4)), "column": (r(5, 1, 4), turned), "matrix": (r(6, 4).t(), r(4, 6)),
            "steps": (r(4, 8)[:, ::2], r(4, 4).t()), "expanded": (r(4, 1).expand(4, 3).t(), r(3, 4)),
            "row": (r(4, 4).t(), r(1, 4)), "one": (r(3, 1), r(4, 1).t()),
            "last": (r(2, 4, 4, 3).permute(0, 3, 1, 2), r(3, 1, 1)),
            "bias": (r(1, 3, 1, 1), r(2, 4, 4, 3).permute(0, 3, 1, 2)), "double": (turned, rows.double()),
        }
        functions = {
            "+": lambda x, y: x + y, "-": torch.sub, "*": torch.mul, "/": torch.div, "maximum": torch.maximum,
            "==": lambda x, y: x == y, "where": lambda x, y: torch.where(x > 0, x, y), "clamp": torch.clamp,
            "and": lambda x, y: (x > 0) & (y > 0), "addcmul": lambda x, y: torch.addcmul(x, y, y),
            "lerp": lambda x, y: torch.lerp(x, y.to(x.dtype), 0.3),
            "atan2": torch.atan2, "int": lambda x, y: (x * 9).int() + (y * 9).int(), "rsub": torch.rsub,
            "fill": lambda x, y: torch.broadcast_tensors(x, y)[0].masked_fill(y > 0, 1.0),
            "mse": lambda x, y: F.mse_loss(*torch.broadcast_tensors(x, y), reduction="none"),
        }
        for pair, (x, y) in pairs.items():
            for name, f in functions.items():
                for a in (x, x.clone().requires_grad_()):
                    result = f(a, y)
                    print(pair, name, [n for n, size in zip(result.stride(), result.shape) if size > 1])
        for name, f in {
            "flip": lambda x: x.flip(0), "sort": lambda x: x.sort(-1)[1], "elu": F.elu,
            "fill": lambda x: x.index_fill(0, torch.tensor([0]), 1.0),
        }.items():
            print(name, f(turned).stride(), f(turned.clone().requires_grad_()).stride())
        spread = r(4, 1, 5).expand(4, 3, 5).permute(2, 1, 0)
        print(spread.clone().stride(), torch.zeros_like(spread).stride(), spread.sign().stride())
        print(torch.xlogy(r(3, 4), r(4, 3, 5).permute(2, 1, 0)).stride())
        print(F.binary_cross_entropy_with_logits(turned, rows, reduction="none").stride())
        """
    )
