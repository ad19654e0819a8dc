"""`Distribution`, the base of all: shapes, the checks of parameters and values, and what the others override."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.utils import lazy_property
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["Distribution"]


class Distribution:
    """A distribution of probability: `batch_shape` independent ones, each of samples of `event_shape`.

    `sample(shape)` has the shape ``shape + batch_shape + event_shape``, and `log_prob` of that ``shape +
    batch_shape``.

    Raises
    ------
    ValueError
        If `validate_args` (by default on, see `set_default_validate_args`) and a parameter does not satisfy its
        constraint.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#torch.distributions.distribution.Distribution

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Normal
    >>> normal = Normal(retrograd.zeros(2), retrograd.ones(2))
    >>> normal.batch_shape, normal.sample((3,)).shape
    (retrograd.Size([2]), retrograd.Size([3, 2]))
    """

    has_rsample: ClassVar[Any] = False
    has_enumerate_support: ClassVar[Any] = False
    _validate_args: Any = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and values are checked, where `validate_args` says nothing.

        Raises
        ------
        ValueError
            If `value` is no bool.
        """
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Any = (),
        event_shape: Any = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()
        super().__init__()

    def _validate_parameters(self) -> None:
        try:
            declared = self.arg_constraints
        except NotImplementedError:
            declared = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                "the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
        for name, constraint in declared.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # computed from a parameter that is checked
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with its batch broadcast to `batch_shape`; parameters are views."""
        raise NotImplementedError

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample of one distribution."""
        return self._event_shape

    if TYPE_CHECKING:  # attributes of the class, or properties
        arg_constraints: ClassVar[Any]
        support: ClassVar[Any]
    else:

        @property
        def arg_constraints(self) -> dict[str, Any]:
            """The constraint of each parameter, by name."""
            raise NotImplementedError

        @property
        def support(self) -> Any:
            """The constraint that samples satisfy."""
            raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation, ``sqrt(variance)``."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of shape ``sample_shape + batch_shape + event_shape``, without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples as a differentiable function of the parameters, of noise that does not depend on them."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`n` samples. To be replaced by ``sample((n,))``."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at `value`."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a sample that is at most `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`: the quantile of a probability."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first dimension.

        With `expand` of the whole batch, else with dimensions of size 1 for it.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy, ``-E[log p(x)]``, of each distribution of the batch."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """``exp(entropy)``."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        """The shape of samples."""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Refuse what cannot be a value of this distribution."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.dim() - len(self._event_shape)
        if value.shape[start:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs {self._event_shape}."
            )
        actual, expected = value.size(), Size((*self._batch_shape, *self._event_shape))
        for i, j in zip(reversed(actual), reversed(expected), strict=False):
            if i not in (1, j) and j != 1:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {actual} vs {expected}.")
        self._validate_support(value)

    def _validate_support(self, value: Tensor) -> None:
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """A new object for `expand` of class `cls` to fill; refused where a subclass has parameters of its own."""
        if _instance is None and type(self).__init__ != cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also "
                "define a custom .expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    def _expanded(
        self, cls: type, instance: Any, batch_shape: Any, parameters: dict[str, Any], event_shape: Any = None
    ) -> Self:
        """What `expand` of class `cls` returns: a copy with other, already checked, `parameters`."""
        new: Self = self._get_checked_instance(cls, instance)
        new.__dict__.update(parameters)
        event_shape = self._event_shape if event_shape is None else event_shape
        Distribution.__init__(new, Size(batch_shape), event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _expand_named(self, cls: type, instance: Any, batch_shape: Any, *names: str) -> Self:
        """`expand` of a distribution whose parameters, in attributes of those names, have the batch's shape."""
        held = {name: self.__dict__[name].expand(batch_shape) for name in names if name in self.__dict__}
        return self._expanded(cls, instance, batch_shape, held)

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"
