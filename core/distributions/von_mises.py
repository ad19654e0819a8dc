"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import broadcast_all, lazy_property
from retrograd.dtypes import float64
from retrograd.ops.factories import zeros
from retrograd.ops.indexing import where
from retrograd.ops.sampling import rand
from retrograd.special import i0e, i1e
from retrograd.tensor import Tensor

__all__ = ["VonMises"]


def log_bessel_i(x: Tensor, order: int = 0) -> Tensor:
    """The logarithm of the modified Bessel function of the first kind, of order 0 or 1."""
    return x + (i1e(x) if order else i0e(x)).log()


class VonMises(Distribution):
    """Angles about `loc`: ``p(x) = exp(concentration cos(x - loc)) / (2 pi I0(concentration))``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#vonmises

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import VonMises
    >>> VonMises(0.0, 1.0).log_prob(retrograd.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "concentration": constraints.positive}
    support: ClassVar[Any] = constraints.real
    has_rsample: ClassVar[Any] = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_named(VonMises, _instance, batch_shape, "loc", "concentration")

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        density = self.concentration * (value - self.loc).cos()
        return density - math.log(2 * math.pi) - log_bessel_i(self.concentration)

    @lazy_property
    def _proposal_r(self) -> Tensor:
        """The parameter of the wrapped Cauchy distribution that proposes."""
        kappa = self.concentration.to(float64)
        tau = 1 + (1 + 4 * kappa.square()).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        exact = (1 + rho.square()) / (2 * rho)
        return where(kappa < 1e-5, 1 / kappa + kappa, exact)  # rho cancels there

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Angles from [-pi, pi), by rejection from wrapped Cauchy distributions.

        Source: Best, Fisher, "Efficient simulation of the von Mises distribution", 1979.
        """
        shape = self._extended_shape(sample_shape)
        with no_grad():
            like: dict[str, Any] = {"dtype": float64, "device": self.loc.device}
            kappa, r = self.concentration.to(float64).expand(shape), self._proposal_r.expand(shape)
            angle = zeros(shape, **like)
            waiting = kappa > 0
            while bool(waiting.any()):
                u1, u2, u3 = rand((3, *shape), **like).unbind(0)
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                taken = waiting & ((c * (2 - c) > u2) | ((c / u2).log() + 1 - c >= 0))
                angle = where(taken, (u3 - 0.5).sign() * f.clamp(min=-1, max=1).acos(), angle)
                waiting = waiting & ~taken
            return ((angle + math.pi + self.loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The middle angle."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The circular variance, ``1 - I1(concentration) / I0(concentration)``."""
        return 1 - (log_bessel_i(self.concentration, 1) - log_bessel_i(self.concentration)).exp()
