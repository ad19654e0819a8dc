"""What the distributions have in common whose parameter is given as `probs` or as `logits`."""

from __future__ import annotations

from typing import Any

from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import lazy_property, logits_to_probs, probs_to_logits
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["ProbsOrLogits"]


def exactly_one(probs: Any, logits: Any) -> None:
    """Refuse both, and neither."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class ProbsOrLogits(Distribution):
    """One of `probs` and `logits` is held, and is `_param`; the other is computed when asked for."""

    _is_binary = True
    """Whether logits are log-odds; else they are log-probabilities of the values along the last dimension."""

    def _hold(self, probs: Tensor | None, logits: Tensor | None) -> None:
        given = {"probs": probs} if logits is None else {"logits": logits}
        self.__dict__.update(given)

    @property
    def _param(self) -> Tensor:
        held = self.__dict__
        # The one that was given came first.
        return held[next(name for name in held if name in ("probs", "logits"))]

    @lazy_property
    def logits(self) -> Tensor:
        """Log-odds, or logarithms of the probabilities."""
        return probs_to_logits(self.probs, self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """The probabilities."""
        return logits_to_probs(self.logits, self._is_binary)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)

    def _given(self, shape: Any) -> dict[str, Tensor]:
        """What is held, expanded to a shape, in the same order."""
        return {name: each.expand(shape) for name, each in self.__dict__.items() if name in ("probs", "logits")}
