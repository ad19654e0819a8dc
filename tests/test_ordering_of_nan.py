"""Where NaN stands among numbers of 16 bits: after all others, as among the wider ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_sorting_and_ranking() -> None:
    assert_same("""
    nan, inf = math.nan, math.inf
    for type_ in (torch.bfloat16, torch.float16, torch.float32):
        x = torch.tensor([[1.5, -2.0, nan, 3.0, -1.0], [inf, nan, nan, -inf, 0.0]]).to(type_)
        for result in (
            x.sort(1), x.sort(1, descending=True), x.topk(3, 1), x.kthvalue(2, 1), x.median(1), x.nanmedian(1),
        ):
            print(result.values.tolist())
        print(x.argsort(dim=1, stable=True), x[0].median(), x.nanmedian(), torch.msort(x), x[0].unique())
        print(torch.searchsorted(torch.tensor([-1.0, 1.0, 2.0]).to(type_), x))
    """)


def test_sorting_many() -> None:
    places = retrograd.arange(9000).reshape(2, 4500)
    x = (places * 7919 % 4500 / 16.0).to(retrograd.bfloat16)
    x[0, 10] = float("nan")
    wide = x.float()
    for function in ("topk", "sort", "median"):
        options = {"k": 5, "dim": 1} if function == "topk" else {"dim": 1}
        narrow, other = getattr(x, function)(**options), getattr(wide, function)(**options)
        assert retrograd.equal(narrow.values.float().nan_to_num(-1.0), other.values.nan_to_num(-1.0)), function
    assert retrograd.equal(x.argsort(dim=1, stable=True), wide.argsort(dim=1, stable=True))
