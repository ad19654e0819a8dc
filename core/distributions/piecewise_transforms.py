"""Transforms that treat parts of a tensor each by a transform of its own: `CatTransform` and `StackTransform`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.distributions import constraints
from retrograd.distributions.transform import Transform
from retrograd.distributions.utils import _sum_rightmost
from retrograd.ops.arrange import cat, stack
from retrograd.tensor import Tensor

__all__ = ["CatTransform", "StackTransform"]


def _transforms(tseq: Sequence[Any], cache_size: int) -> list[Any]:
    if not all(isinstance(each, Transform) for each in tseq):
        raise AssertionError("All elements of tseq must be Transform instances")
    return [each.with_cache(cache_size) for each in tseq] if cache_size else list(tseq)


def _require_dim(dim: int, value: Tensor, name: str) -> None:
    if not -value.dim() <= dim < value.dim():
        raise AssertionError(f"dim {dim} out of range for {name} with {value.dim()} dimensions")


class CatTransform(Transform):
    """Pieces of the given `lengths` along dimension `dim`, each transformed by one of `tseq`.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.transforms.CatTransform

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import CatTransform, ExpTransform, identity_transform
    >>> CatTransform([ExpTransform(), identity_transform], lengths=[1, 2])(retrograd.ones(3))
    tensor([2.7183, 1.0000, 1.0000])
    """

    def __init__(
        self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0
    ) -> None:
        self.transforms = _transforms(tseq, cache_size)
        super().__init__(cache_size=cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})")
        self.dim = dim

    @property
    def event_dim(self) -> int:
        return max(each.event_dim for each in self.transforms)

    @property
    def length(self) -> int:
        """The size of the dimension."""
        return sum(self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _pieces(self, value: Tensor, name: str, told: str) -> list[Tensor]:
        _require_dim(self.dim, value, told)
        size = value.size(self.dim)
        if size != self.length:
            raise AssertionError(f"{name}.size({self.dim}) = {size} must equal length {self.length}")
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        return [value.narrow(self.dim, at, n) for at, n in zip(starts, self.lengths, strict=True)]

    def _call(self, x: Tensor) -> Tensor:
        pieces = self._pieces(x, "x", "tensor")
        return cat([each(piece) for each, piece in zip(self.transforms, pieces, strict=True)], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        pieces = self._pieces(y, "y", "tensor")
        return cat([each.inv(piece) for each, piece in zip(self.transforms, pieces, strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        terms = []
        for each, before, after in zip(
            self.transforms, self._pieces(x, "x", "x"), self._pieces(y, "y", "y"), strict=True
        ):
            term = each.log_abs_det_jacobian(before, after)
            if each.event_dim < self.event_dim:
                term = _sum_rightmost(term, self.event_dim - each.event_dim)
            terms.append(term)
        dim = self.dim if self.dim < 0 else self.dim - x.dim()
        dim += self.event_dim
        return cat(terms, dim) if dim < 0 else sum(terms[1:], terms[0])

    @property
    def bijective(self) -> bool:
        return all(each.bijective for each in self.transforms)

    @property
    def domain(self) -> Any:
        return constraints.cat([each.domain for each in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        return constraints.cat([each.codomain for each in self.transforms], self.dim, self.lengths)


class StackTransform(Transform):
    """The slices along dimension `dim`, each transformed by one of `tseq`.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.transforms.StackTransform

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import ExpTransform, StackTransform, identity_transform
    >>> StackTransform([identity_transform, ExpTransform()], dim=1)(retrograd.ones(1, 2))
    tensor([[1.0000, 2.7183]])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        self.transforms = _transforms(tseq, cache_size)
        super().__init__(cache_size=cache_size)
        self.dim = dim

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slice(self, z: Tensor) -> list[Tensor]:
        return [z.select(self.dim, i) for i in range(z.size(self.dim))]

    def _slices(self, value: Tensor, name: str, told: str) -> list[Tensor]:
        _require_dim(self.dim, value, told)
        size, count = value.size(self.dim), len(self.transforms)
        if size != count:
            raise AssertionError(f"{name}.size({self.dim}) = {size} must equal len(transforms) {count}")
        return self._slice(value)

    def _stacked(self, call: Callable[..., Any], *slices: list[Tensor]) -> Tensor:
        return stack([call(*each) for each in zip(self.transforms, *slices, strict=True)], self.dim)

    def _call(self, x: Tensor) -> Tensor:
        return self._stacked(lambda each, x: each(x), self._slices(x, "x", "tensor"))

    def _inverse(self, y: Tensor) -> Tensor:
        return self._stacked(lambda each, y: each.inv(y), self._slices(y, "y", "tensor"))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self._stacked(
            lambda each, x, y: each.log_abs_det_jacobian(x, y), self._slices(x, "x", "x"), self._slices(y, "y", "y")
        )

    @property
    def bijective(self) -> bool:
        return all(each.bijective for each in self.transforms)

    @property
    def domain(self) -> Any:
        return constraints.stack([each.domain for each in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        return constraints.stack([each.codomain for each in self.transforms], self.dim)
