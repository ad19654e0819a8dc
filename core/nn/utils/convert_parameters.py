"""All parameters of a model as one long vector."""

from __future__ import annotations

from collections.abc import Iterable

from retrograd.storage import write
from retrograd.tensor import Tensor, wrap_array

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters in one vector, differentiably.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parameters_to_vector.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.utils.parameters_to_vector([retrograd.zeros(2), retrograd.ones(1, 2)])
    tensor([0., 0., 1., 1.])
    """
    from retrograd.ops.arrange import cat

    return cat([each.view(-1) for each in _on_one_device(parameters)])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write consecutive pieces of a vector into the parameters.

    Raises
    ------
    TypeError
        If `vec` is no tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.vector_to_parameters.html
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}".replace("torch.", "retrograd."))
    start = 0
    for each in _on_one_device(parameters):
        count = each.numel()
        piece = vec.detach()[start : start + count].view_as(each)
        k = each._kernels
        write(each, wrap_array(k.copy(k.astype(piece._array, each._array.dtype)), k)._array)
        start += count


def _on_one_device(parameters: Iterable[Tensor]) -> list[Tensor]:
    tensors = list(parameters)
    for each in tensors:
        if each._kernels is not tensors[0]._kernels:
            raise TypeError(
                f"Found two parameters on different devices ({tensors[0].device} and {each.device}): this is "
                "currently not supported."
            )
    return tensors
