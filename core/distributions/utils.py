"""What distributions share: parameters brought to one shape, probabilities and log-odds, lazy attributes.

Source: https://docs.pytorch.org/docs/stable/distributions.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

from retrograd.autograd.modes import enable_grad
from retrograd.dtypes import bool_, dtype, finfo, get_default_dtype
from retrograd.ops.creation import tensor
from retrograd.ops.factories import ones, zeros
from retrograd.ops.sampling import randn
from retrograd.ops.shape import broadcast_tensors
from retrograd.tensor import Tensor

__all__ = [
    "broadcast_all", "clamp_probs", "is_number", "lazy_property", "logits_to_probs", "probs_to_logits",
    "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060


def is_number(value: Any) -> bool:
    """Whether a parameter is a Python number."""
    return isinstance(value, Number)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers, broadcast to one shape.

    Numbers take the type and device of the first tensor, or the default type where there is none.

    Raises
    ------
    ValueError
        If an argument is neither.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import broadcast_all
    >>> broadcast_all(retrograd.tensor([1.0, 2.0]), 3)
    (tensor([1., 2.]), tensor([3., 3.]))
    """
    if not all(isinstance(each, Tensor | Number) for each in values):
        raise ValueError(
            "Input arguments must all be instances of Number, retrograd.Tensor or objects implementing "
            "__torch_function__."
        )
    first = next((each for each in values if isinstance(each, Tensor)), None)
    like: dict[str, Any] = {"dtype": get_default_dtype()}
    if first is not None:
        like = {"dtype": first.dtype, "device": first.device}
    return tuple(broadcast_tensors(*(each if isinstance(each, Tensor) else tensor(each, **like) for each in values)))


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of log-odds, if `is_binary`, or of unnormalised log-probabilities along the last dimension.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import logits_to_probs
    >>> logits_to_probs(retrograd.zeros(2), is_binary=True)
    tensor([0.5000, 0.5000])
    """
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities moved by one rounding away from 0 and 1, so that their logarithms are finite.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import clamp_probs
    >>> clamp_probs(retrograd.tensor([0.0, 0.5])).log()
    tensor([-15.9424,  -0.6931])
    """
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log-odds of probabilities, if `is_binary`, or their logarithms; never infinite.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import probs_to_logits
    >>> probs_to_logits(retrograd.tensor([0.5, 0.75]), is_binary=True)
    tensor([0.0000, 1.0986])
    """
    inner = clamp_probs(probs)
    return inner.log() - (-inner).log1p() if is_binary else inner.log()


def _standard_normal(shape: Sequence[int], dtype: dtype | None, device: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1; a name that packages with distributions of their own import."""
    return randn(tuple(shape), dtype=dtype, device=device)


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dimensions; imported by other packages, too."""
    if dim == 0:
        return value
    return value.reshape((*value.shape[:-dim], -1)).sum(-1)


class lazy_property:
    """An attribute that is computed when first asked for, with gradients, and then kept.

    Examples
    --------
    >>> from retrograd.distributions.utils import lazy_property
    >>> class Circle:
    ...     @lazy_property
    ...     def area(self):
    ...         print("computed")
    ...         return 3.14
    >>> circle = Circle()
    >>> circle.area, circle.area
    computed
    (3.14, 3.14)
    """

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__
        self.__name__ = wrapped.__name__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self.__name__] = value
        return value


def _triangle(size: int, diag: int, like: Tensor) -> Tensor:
    return ones(size, size, dtype=bool_, device=like.device).tril(diag)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements of matrices on and below diagonal `diag`, row by row.

    Raises
    ------
    ValueError
        If the matrices have no such diagonal.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import tril_matrix_to_vec
    >>> tril_matrix_to_vec(retrograd.tensor([[1.0, 0.0], [2.0, 3.0]]))
    tensor([1., 2., 3.])
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _triangle(n, diag, mat)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Matrices with the given elements on and below diagonal `diag`, row by row, and zeros elsewhere.

    Raises
    ------
    ValueError
        If no matrix has so many.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions.utils import vec_to_tril_matrix
    >>> vec_to_tril_matrix(retrograd.tensor([1.0, 2.0, 3.0]))
    tensor([[1., 0.],
            [2., 3.]])
    """
    count = vec.shape[-1]
    # count = (n + diag)(n + diag + 1) / 2 where diag <= 0, and that less the triangle cut off elsewhere
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if abs(n - round(n)) > finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a "
            "square D x D matrix."
        )
    size = round(n)
    matrix = zeros(*vec.shape[:-1], size, size, dtype=vec.dtype, device=vec.device)
    matrix[..., _triangle(size, diag, vec)] = vec
    return matrix
