"""`ExponentialFamily`: distributions whose density is ``exp(<t(x), theta> - F(theta) + k(x))``."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.api import grad
from retrograd.distributions.distribution import Distribution
from retrograd.tensor import Tensor

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """The base of distributions of densities ``exp(<t(x), theta> - F(theta) + k(x))``.

    `theta` are the natural parameters (`_natural_params`), `F` the logarithm of the normaliser (`_log_normalizer`)
    and `E[k(x)]` is `_mean_carrier_measure`. Entropies and divergences follow from F and its gradient.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#exponentialfamily
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """``F(theta) - <theta, grad F(theta)> - E[k(x)]``."""
        natural = [each.detach().requires_grad_() for each in self._natural_params]
        normalizer = self._log_normalizer(*natural)
        slopes = grad((normalizer.sum(),), natural, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for parameter, slope in zip(natural, slopes, strict=True):
            term = parameter * slope
            result = result - term.reshape((*self._batch_shape, -1)).sum(-1)
        return result
