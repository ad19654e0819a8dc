"""Quasi-random numbers: points that fill a cube more evenly than random ones do.

Source: https://docs.pytorch.org/docs/stable/generated/torch.quasirandom.SobolEngine.html
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.backends import sobol
from retrograd.dtypes import dtype, float32, float64, get_default_dtype
from retrograd.ops.creation import from_numpy
from retrograd.ops.sampling import randint
from retrograd.tensor import Tensor

__all__ = ["SobolEngine"]


class SobolEngine:
    """Points of a Sobol' sequence in [0, 1) for each coordinate.

    Parameters
    ----------
    dimension
        How many coordinates a point has.
    scramble
        Whether to scramble the points at random, which leaves them as even.
    seed
        Of the scrambling; by default a random number of `retrograd.manual_seed`'s stream. It gives other points
        than PyTorch's.

    Raises
    ------
    ValueError
        If there are more dimensions than direction numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.quasirandom.SobolEngine.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.quasirandom.SobolEngine(dimension=2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT: ClassVar[int] = sobol.BITS
    MAXDIM: ClassVar[int] = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if dimension > self.MAXDIM or dimension < 1:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed = seed
        self.scramble = scramble
        self.dimension = dimension
        self.num_generated = 0
        drawn = int(randint(2**62, ()).item()) if scramble and seed is None else seed
        self._sequence = sobol.Sequence(dimension, scramble, drawn)

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: dtype | None = None) -> Tensor:
        """The next `n` points, as rows; in `out`, which is resized, if that is given.

        Raises
        ------
        NotImplementedError
            If the type is none of float32 and float64.
        """
        type_ = get_default_dtype() if dtype is None else dtype
        if type_ not in (float32, float64):
            raise NotImplementedError(f'"_sobol_engine_draw" not implemented for {type_.type_name!r}')
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}, {self.dimension}]")
        made = from_numpy(self._sequence.draw(n)).to(type_)
        self.num_generated += n
        if out is None:
            return made
        changed: Tensor = out.resize_(made.shape).copy_(made)
        return changed

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: dtype | None = None) -> Tensor:
        """The next ``2**m`` points.

        Raises
        ------
        ValueError
            If with those before it they are no power of 2, so that they would be less even.
        """
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: n={self.num_generated}+2**{m}="
                f"{total}. If you still want to do this, please use 'SobolEngine.draw()' instead."
            )
        return self.draw(n, out, dtype)

    def reset(self) -> Self:
        """Go back to the first point."""
        self._sequence.restart()
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> Self:
        """Leave out `n` points."""
        self._sequence.skip(n)
        self.num_generated += n
        return self

    def __repr__(self) -> str:
        options: dict[str, Any] = {"dimension": self.dimension}
        options |= {"scramble": True} if self.scramble else {}
        options |= {} if self.seed is None else {"seed": self.seed}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in options.items())})"
