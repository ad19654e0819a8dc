"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.gamma import Gamma
from retrograd.tensor import Tensor

__all__ = ["Chi2"]


class Chi2(Gamma):
    """The sum of the squares of `df` standard normal numbers: ``Gamma(df / 2, 1 / 2)``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#chi2

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Chi2
    >>> Chi2(3.0).variance
    tensor(6.)
    """

    arg_constraints: ClassVar[Any] = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return super().expand(batch_shape, self._get_checked_instance(Chi2, _instance))

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2
