"""Random programs of views, writes, modes and backward passes: after each step all tensors are as PyTorch's.

A program works on a few tensors, some of them views of others. What is compared of each: its values, whether it
requires a gradient, whether it is a leaf, its version, the name of its node and its gradient; and whether a step is
refused. (Where a step is wrong for two reasons, it is another question which of them is told.)
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import retrograd

STEPS, MOST = 16, 8  # of a program: how long it is, and how many tensors it keeps


@dataclass
class Place:
    """A tensor of a program, and the number of the memory that it lies in."""

    tensor: Any
    memory: int


def silently(torch: Any, call: Callable[[], Any]) -> Any:
    with torch.no_grad():
        return call()


def of_real(x: Any) -> Any:
    return (x * (1 - 0.5j)).real if x.is_complex() else x


# What a step makes of one or two tensors and a number. Views share the memory of the first.
VIEWS: dict[str, Callable[[Any, Any, int], Any]] = {
    "t": lambda torch, x, n: x.t() if x.ndim <= 2 else x.transpose(0, 1),
    "select": lambda torch, x, n: x[n % 3],
    "columns": lambda torch, x, n: x[..., n % 2 : n % 3 + 1],
    "every_other": lambda torch, x, n: x[::2],
    "view": lambda torch, x, n: x.view(-1),
    "reshape": lambda torch, x, n: x.reshape(2, -1),
    "unsqueeze": lambda torch, x, n: x.unsqueeze(n % 2),
    "expand": lambda torch, x, n: x.expand(2, *x.shape) if x.ndim < 3 else x[0],
    "detach": lambda torch, x, n: x.detach(),
    "data": lambda torch, x, n: x.data,
    "diagonal": lambda torch, x, n: x.diagonal(),
    "split": lambda torch, x, n: x.split(1)[n % 2],
    "unbind": lambda torch, x, n: x.unbind(0)[0],
    "narrow": lambda torch, x, n: x.narrow(0, n % 2, 1),
    "unfold": lambda torch, x, n: x.unfold(n % 2 - 1, 2, 2),
    "silent view": lambda torch, x, n: silently(torch, lambda: x[0]),
}
OF_COMPLEX: dict[str, Callable[[Any, Any, int], Any]] = {
    "conj": lambda torch, x, n: x.conj(),
    "mH": lambda torch, x, n: x.mH,
    "real": lambda torch, x, n: x.real,
    "imag": lambda torch, x, n: x.imag,
    "as real": lambda torch, x, n: torch.view_as_real(x),
}
RESULTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "mul": lambda torch, x, y: x * y,
    "add": lambda torch, x, y: x + y,
    "exp": lambda torch, x, y: (x * 0.1).exp(),
    "clone": lambda torch, x, y: x.clone(),
    "silent mul": lambda torch, x, y: silently(torch, lambda: x * 2),
}
WRITES: dict[str, Callable[[Any, Any, Any, int], Any]] = {
    "add_": lambda torch, x, y, n: x.add_(y),
    "mul_": lambda torch, x, y, n: x.mul_(y),
    "scale": lambda torch, x, y, n: x.mul_(1.5),
    "sub_": lambda torch, x, y, n: x.sub_(y, alpha=0.5),
    "zero_": lambda torch, x, y, n: x.zero_(),
    "fill_": lambda torch, x, y, n: x.fill_(0.25),
    "copy_": lambda torch, x, y, n: x.copy_(y),
    "set": lambda torch, x, y, n: x.__setitem__(n % 3, 0.5),
    "set row": lambda torch, x, y, n: x.__setitem__(0, y),
    "set column": lambda torch, x, y, n: x.__setitem__((..., slice(0, 1)), y),
    "set where": lambda torch, x, y, n: x.__setitem__(x > 0, 0.1),
    "exp_": lambda torch, x, y, n: x.mul_(0.1).exp_(),
    "clamp_": lambda torch, x, y, n: x.clamp_(-1, 1),
    "addcmul_": lambda torch, x, y, n: x.addcmul_(y, y, value=0.1),
    "lerp_": lambda torch, x, y, n: x.lerp_(y, 0.3),
    "silent add_": lambda torch, x, y, n: silently(torch, lambda: x.add_(y)),
    "silent set": lambda torch, x, y, n: silently(torch, lambda: x.__setitem__(0, 0.75)),
    "silent zero_": lambda torch, x, y, n: silently(torch, lambda: x.zero_()),
    "requires_grad_": lambda torch, x, y, n: x.requires_grad_(bool(n % 2)),
    "detach_": lambda torch, x, y, n: x.detach_(),
    "t_": lambda torch, x, y, n: x.t_(),
    "unsqueeze_": lambda torch, x, y, n: x.unsqueeze_(0),
    "backward": lambda torch, x, y, n: of_real(x.sum()).backward(retain_graph=bool(n % 2)),
    "retain_grad": lambda torch, x, y, n: x.retain_grad(),
}
# What gives the first the memory of the second.
MOVES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "silent set_": lambda torch, x, y: silently(torch, lambda: x.set_(y)),
    "set_": lambda torch, x, y: x.set_(y),
    "set_ part": lambda torch, x, y: silently(torch, lambda: x.set_(y, 0, (min(2, y.numel()),), (1,))),
    "data =": lambda torch, x, y: setattr(x, "data", y),
    "data = copy": lambda torch, x, y: setattr(x, "data", y.detach().clone()),
}
Program = list[tuple[str, int, int, int]]


def program_of(seed: int, is_complex: bool, moves: bool) -> Program:
    chosen = random.Random(seed)
    names = ["leaf", *VIEWS, *RESULTS, *WRITES]
    if is_complex:
        names += [*OF_COMPLEX] * 2
    if moves:
        names += [*MOVES] * 2
    numbers = [[chosen.randrange(99) for _ in range(3)] for _ in range(STEPS)]
    first = [("leaf", 7 * seed, 1, 0), ("leaf", 5 * seed, 0, 1)]
    return first + [(chosen.choice(names), *each) for each in numbers]  # type: ignore[misc]


def leaf(torch: Any, start: int, requires_grad: bool, is_complex: bool) -> Any:
    values: list[Any] = [((7 * i + start) % 11 - 5) / 4 for i in range(12)]
    if is_complex:
        values = [x + 1j * (0.5 - y) for x, y in zip(values, reversed(values), strict=True)]
    made = torch.tensor(values, dtype=torch.complex128 if is_complex else torch.float64).reshape(
        3, 4
    )  # a view itself, and of every other a copy
    return (made.clone() if start % 2 else made).requires_grad_(requires_grad)


def run(torch: Any, program: Program, is_complex: bool) -> list[Any]:
    """Whether each step is refused, and all tensors after it."""
    places: list[Place] = []
    seen = []
    for count, (name, a, b, c) in enumerate(program):
        one, other = (places[n % len(places)] if places else None for n in (a, b))
        made, refused = None, False
        try:
            if name == "leaf":
                made = Place(leaf(torch, a, bool(b % 2), is_complex), count)
            else:
                made = step(torch, count, name, one, other, (a, b, c))
        except (RuntimeError, IndexError):
            refused = True
        if made is not None:
            places[c % MOST : c % MOST + 1] = [made]
        seen.append((name, refused, [state(each.tensor) for each in places]))
    return seen


def step(torch: Any, count: int, name: str, one: Any, other: Any, numbers: tuple[int, int, int]) -> Place | None:
    if name in VIEWS or name in OF_COMPLEX:
        return Place((VIEWS | OF_COMPLEX)[name](torch, one.tensor, numbers[1]), one.memory)
    if name in RESULTS:
        return Place(RESULTS[name](torch, one.tensor, other.tensor), count)
    if name in MOVES:
        MOVES[name](torch, one.tensor, other.tensor)
        one.memory = count if name == "data = copy" else other.memory
        return None
    if one is other or one.memory != other.memory:  # else what is read depends on the order of elements, in PyTorch too
        WRITES[name](torch, one.tensor, other.tensor, numbers[2])
    return None


_DEFECT = "new_fn INTERNAL ASSERT"
"""What PyTorch says of some views of real parts or of conjugates, once a write without a graph has made them stale."""


def state(tensor: Any) -> Any:
    try:
        node = None if tensor.grad_fn is None else tensor.grad_fn.name()
        grad = None if not tensor.is_leaf or tensor.grad is None else rounded(tensor.grad)
        return rounded(tensor), tensor.requires_grad, tensor.is_leaf, tensor._version, node, grad
    except RuntimeError as error:
        return re.sub(r"^(\w+ \w+ \w+).*", r"\1", str(error))


def rounded(tensor: Any) -> Any:
    return np.round(tensor.detach().resolve_conj().resolve_neg().numpy(), 7).tolist()


def assert_same(seed: int, is_complex: bool = False, moves: bool = False) -> None:
    torch = pytest.importorskip("torch")
    program = program_of(seed, is_complex, moves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = list(zip(*(run(library, program, is_complex) for library in (retrograd, torch)), strict=True))
    for i, (ours, theirs) in enumerate(pairs):
        if any(each == _DEFECT for each in theirs[2]):
            return  # which PyTorch cannot look at: what follows cannot be compared
        assert ours == theirs, f"seed {seed}, after step {i} of {program[: i + 1]}"


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 600, 50)], ids=str)
def test_all_tensors_are_as_pytorchs_after_each_step(seeds: range) -> None:
    for seed in seeds:
        assert_same(seed)


def test_so_they_are_on_immutable_arrays() -> None:
    pytest.importorskip("jax")
    with retrograd.use_backend("jax"):
        for seed in range(1000, 1080):
            assert_same(seed)


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in (0, 50, 200, 250)], ids=str)
def test_tensors_of_complex_numbers_and_their_parts_are_too(seeds: range) -> None:
    for seed in seeds:
        assert_same(seed, is_complex=True)


def test_those_are_so_on_immutable_arrays() -> None:
    pytest.importorskip("jax")
    with retrograd.use_backend("jax"):
        for seed in range(2000, 2040):
            assert_same(seed, is_complex=True)


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(2000, 2300, 50)], ids=str)
def test_tensors_that_are_moved_to_other_memory_are_too(seeds: range) -> None:
    for seed in seeds:
        assert_same(seed, moves=True)
