"""Learning-rate schedules: the same rates and momenta as PyTorch's, epoch by epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import retrograd

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LambdaLR": lambda S, o: S.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LambdaLR by group": lambda S, o: S.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: 1 / (1 + epoch)]),
    "MultiplicativeLR": lambda S, o: S.MultiplicativeLR(o, lambda epoch: 0.95),
    "StepLR": lambda S, o: S.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda S, o: S.MultiStepLR(o, [2, 5, 5], 0.5),
    "ConstantLR": lambda S, o: S.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda S, o: S.LinearLR(o, 0.25, 0.75, 6),
    "ExponentialLR": lambda S, o: S.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda S, o: S.PolynomialLR(o, 7, 2.0),
    "CosineAnnealingLR": lambda S, o: S.CosineAnnealingLR(o, 5, 0.01),
    "CosineAnnealingWarmRestarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "CyclicLR": lambda S, o: S.CyclicLR(o, 0.01, 0.2, 3, 4),
    "CyclicLR triangular2": lambda S, o: S.CyclicLR(o, 0.01, 0.2, 2, mode="triangular2"),
    "CyclicLR exp_range": lambda S, o: S.CyclicLR(o, 0.01, 0.2, 2, mode="exp_range", gamma=0.9),
    "CyclicLR custom": lambda S, o: S.CyclicLR(o, 0.01, 0.2, 2, scale_fn=lambda x: 0.8**x, scale_mode="iterations"),
    "OneCycleLR": lambda S, o: S.OneCycleLR(o, 0.5, 14),
    "OneCycleLR three phases": lambda S, o: S.OneCycleLR(o, [0.5, 0.3], 14, three_phase=True, anneal_strategy="linear"),
    "OneCycleLR epochs": lambda S, o: S.OneCycleLR(o, 0.5, epochs=2, steps_per_epoch=7, cycle_momentum=False),
    "SequentialLR": lambda S, o: S.SequentialLR(o, [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)], [4]),
    "ChainedScheduler": lambda S, o: S.ChainedScheduler([S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)], o),
}


def rates(module: Any, make: Callable[[Any, Any], Any], name: str) -> list[Any]:
    p, q = (module.nn.Parameter(module.zeros(1)) for _ in range(2))
    optimizer = getattr(module.optim, name)([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1)
    scheduler = make(module.optim.lr_scheduler, optimizer)
    found = []
    for _ in range(13):
        found.append([dict(g, params=0, foreach=0) for g in optimizer.param_groups])
        found.append(scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_rates_equal_torch(name: str, optimizer: str) -> None:
    torch = pytest.importorskip("torch")
    assert rates(retrograd, SCHEDULES[name], optimizer) == rates(torch, SCHEDULES[name], optimizer)


METRICS = [1.0, 0.9, 0.9, 0.9, 0.89, 0.95, 0.95, 0.95, 0.95, 0.5, 0.6, 0.6, 0.6]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max"},
        {"threshold": 0.1, "threshold_mode": "abs"},
        {"cooldown": 2},
        {"min_lr": [0.02, 0.1]},
    ],
)
def test_plateau_equals_torch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for module in (retrograd, torch):
        optimizer = module.optim.SGD([{"params": module.zeros(1)}, {"params": module.zeros(1), "lr": 0.3}], lr=0.1)
        scheduler = module.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, **options)
        path = []
        for metric in METRICS:
            scheduler.step(metric)
            path.append(scheduler.get_last_lr())
        found.append((path, {k: v for k, v in scheduler.state_dict().items() if k != "optimizer"}))
    assert found[0] == found[1]


def test_wrong_order_is_warned_of() -> None:
    optimizer = retrograd.optim.SGD([retrograd.nn.Parameter(retrograd.zeros(1))], lr=0.1)
    scheduler = retrograd.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step\\(\\)`"):
        scheduler.step()


def test_epoch_argument_uses_the_closed_form() -> None:
    for name in (
        "StepLR",
        "MultiStepLR",
        "ConstantLR",
        "LinearLR",
        "ExponentialLR",
        "PolynomialLR",
        "CosineAnnealingLR",
    ):
        optimizer = retrograd.optim.SGD([{"params": [retrograd.zeros(1)]}, {"params": [retrograd.zeros(1)]}], lr=0.1)
        scheduler = SCHEDULES[name](retrograd.optim.lr_scheduler, optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step(4)
        stepped = rates(retrograd, SCHEDULES[name], "SGD")[8][0]["lr"]
        assert scheduler.get_last_lr()[0] == pytest.approx(stepped), name


def test_state_goes_through_a_state_dict() -> None:
    def make() -> Any:
        optimizer = retrograd.optim.SGD([retrograd.nn.Parameter(retrograd.zeros(1))], lr=0.1)
        return retrograd.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)

    first, second = make(), make()
    for _ in range(3):
        first.optimizer.step()
        first.step()
    second.load_state_dict(first.state_dict())
    second.optimizer.param_groups[0]["lr"] = first.optimizer.param_groups[0]["lr"]
    for each in (first, second):
        each.optimizer.step()
        each.step()
    assert first.get_last_lr() == second.get_last_lr()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda S, o: S.StepLR(3, 1), TypeError),
        (lambda S, o: S.LambdaLR(o, [len, len]), ValueError),
        (lambda S, o: S.ConstantLR(o, 2.0), ValueError),
        (lambda S, o: S.LinearLR(o, 0.0), ValueError),
        (lambda S, o: S.LinearLR(o, 0.5, 2.0), ValueError),
        (lambda S, o: S.ReduceLROnPlateau(o, factor=1.0), ValueError),
        (lambda S, o: S.ReduceLROnPlateau(o, mode="x"), ValueError),
        (lambda S, o: S.OneCycleLR(o, 0.1), ValueError),
        (lambda S, o: S.OneCycleLR(o, 0.1, 10, pct_start=2.0), ValueError),
        (lambda S, o: S.CosineAnnealingWarmRestarts(o, 0), ValueError),
        (lambda S, o: S.SequentialLR(o, [], []), ValueError),
        (lambda S, o: S.StepLR(o, 1, last_epoch=3), KeyError),
    ],
)
def test_bad_option_is_refused_as_by_torch(make: Callable[[Any, Any], Any], error: type[Exception]) -> None:
    torch = pytest.importorskip("torch")
    texts = []
    for module in (retrograd, torch):
        optimizer = module.optim.SGD([module.nn.Parameter(module.zeros(1))], lr=0.1)
        with pytest.raises(error) as caught:
            make(module.optim.lr_scheduler, optimizer)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
