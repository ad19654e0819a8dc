"""All parameters of a model as one long vector."""

from __future__ import annotations

from collections.abc import Iterable

from retrograd.tensor import Tensor

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
    """Let the parameters look at consecutive pieces of a vector: they share its memory.

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
        each.data = vec[start : start + count].view_as(each).data
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
