"""Histograms, slopes, quantiles without NaN and their like, beside PyTorch's."""

from __future__ import annotations

import warnings

from programs import assert_same

import retrograd


def test_slopes_of_samples() -> None:
    assert_same("""
    x = torch.tensor([[1.0, 4.0, 9.0, 16.0], [2.0, 3.0, 5.0, 9.0], [0.0, 1.0, 3.0, 8.0]], requires_grad=True)
    at = torch.tensor([0.0, 1.0, 2.5]), torch.tensor([0.0, 1.0, 2.0, 4.0])
    for options in {}, {"spacing": 2.0}, {"spacing": [1.0, 0.5]}, {"spacing": at}, {"dim": 1}, {"dim": (1, 0)}:
        for order in 1, 2:
            parts = torch.gradient(x, edge_order=order, **options)
            print([each.detach() for each in parts], torch.autograd.grad(sum((each ** 2).sum() for each in parts), x))
    print(torch.gradient(torch.arange(4)), torch.gradient(torch.tensor([1.0, 3.0])))
    attempt(torch.gradient, x.detach(), spacing=[1.0, 2.0, 3.0])
    attempt(torch.gradient, x.detach()[:1])
    attempt(torch.gradient, x.detach(), edge_order=3)
    attempt(torch.gradient, x.detach(), dim=(0, 0))
    """)


def test_histograms() -> None:
    assert_same("""
    x = torch.tensor([1.0, 4.0, 9.0, 16.0, 4.0])
    print(torch.histogram(x, 4), x.histogram(bins=3, range=(0.0, 9.0), density=True, weight=torch.arange(5.0)))
    print(torch.histogram(x, torch.tensor([0.0, 4.0, 10.0])), torch.histogram(torch.ones(2), 2))
    points = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    print(torch.histogramdd(points, bins=[2, 3]), torch.histogramdd(points, bins=2, range=[0.0, 1.5, 0.0, 4.0]))
    print(torch.histogramdd(points, bins=[torch.tensor([0.0, 1.0, 4.0])] * 2, density=True, weight=torch.ones(4)))
    attempt(torch.histogram, torch.arange(3), 3)
    attempt(torch.histogram, x, 0)
    attempt(torch.histogram, x, 3, range=(3.0, 1.0))
    """)


def test_quantiles_without_nan() -> None:
    assert_same("""
    nan = math.nan
    x = torch.tensor([[1.0, nan, 3.0, 7.0], [nan, nan, nan, nan], [5.0, 2.0, 1.0, 0.0]], requires_grad=True)
    for rule in "linear", "lower", "higher", "midpoint", "nearest":
        for q in 0.3, torch.tensor([0.0, 0.5, 1.0]):
            for dim in None, 0, -1:
                y = x.nanquantile(q, dim, dim is not None, interpolation=rule)
                print(y.detach(), torch.autograd.grad(y.nansum(), x) if rule == "lower" else "")
    print(torch.nanquantile(torch.tensor(2.0), 0.5), torch.nanquantile(x.detach(), 0.5, keepdim=True))
    attempt(torch.nanquantile, x, 2.0)
    """)


def test_parts_of_numbers_places_and_windows() -> None:
    assert_same("""
    x = torch.tensor([0.0, -3.0, math.inf, math.nan, 1e-40, 1.0, 0.4999, 1e38])
    print(torch.frexp(x), x.double().frexp(), x[5:7].half().frexp())
    y = torch.tensor([3.0, -0.1], requires_grad=True)
    print(torch.autograd.grad(y.frexp().mantissa.sum(), y))
    attempt(torch.frexp, torch.tensor([1]))
    m = torch.tensor([[1, 0, 2], [1, 1, 1]])
    for size in 0, 2, 7:
        print(torch.nonzero_static(m, size=size), m.nonzero_static(size=size, fill_value=9))
    attempt(torch.nonzero_static, m, size=-1)
    print(torch.kaiser_window(5), torch.kaiser_window(5, False, beta=3.0), torch.kaiser_window(1))
    print(torch.kaiser_window(4, dtype=torch.float64), torch.kaiser_window(0))
    attempt(torch.kaiser_window, -1)
    """)


def test_on_jax() -> None:
    x = [1.0, 4.0, float("nan"), 16.0]
    ours, others = (retrograd.tensor(x, device=device) for device in ("numpy", "jax"))
    for function in (
        lambda t: retrograd.nanquantile(t, 0.4), lambda t: retrograd.gradient(t)[0], lambda t: t.frexp().mantissa,
        lambda t: retrograd.histogram(t.nan_to_num(), 3).hist, lambda t: retrograd.nonzero_static(t, size=5),
    ):  # fmt: skip
        assert retrograd.allclose(function(ours), function(others).to("numpy"), equal_nan=True)


def test_who_is_warned() -> None:
    rows, weights = retrograd.ones(2, 2), retrograd.tensor([1, 0])
    for call, warns in (
        (lambda: retrograd.cov(rows, correction=2), True),
        (lambda: retrograd.cov(rows[:, :1]), True),
        (lambda: retrograd.cov(rows, fweights=weights), True),
        (lambda: retrograd.corrcoef(rows[:, :1]), True),
        (lambda: retrograd.cov(rows), False),
        (lambda: retrograd.cov(rows, fweights=weights + 1), False),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", UserWarning)
            call()
        told = [each for each in found if str(each.message).startswith("cov(): degrees of freedom is <= 0.")]
        assert [each.filename for each in told] == [__file__] * warns
