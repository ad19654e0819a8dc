"""Pruning: parts of parameters are held at zero by masks.

A pruned parameter `name` becomes the parameter `name_orig` and the buffer `name_mask`. `name` is their product, which
a hook computes before each call of the module; so a gradient reaches what is not masked.

Source: https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar

from retrograd.nn.modules.module import Module
from retrograd.nn.utils.convert_parameters import parameters_to_vector
from retrograd.ops.factories import ones_like, zeros_like
from retrograd.ops.reductions import norm
from retrograd.ops.sampling import rand, rand_like
from retrograd.ops.selection import kthvalue, topk
from retrograd.tensor import Tensor

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
    "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip

M = TypeVar("M", bound=Module)


class BasePruningMethod(ABC):
    """A way to choose what to prune, and the hook that applies the mask.

    A subclass has `compute_mask` and the attribute `PRUNING_TYPE`, which says to what of an already pruned tensor it
    is applied: `"unstructured"`, the elements that are left; `"structured"`, the slices along `dim` of which something
    is left; `"global"`, the whole.
    """

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for importances `t`, of their shape, on top of another."""

    def apply_mask(self, module: Module) -> Tensor:
        """The masked parameter."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        orig: Tensor = getattr(module, f"{self._tensor_name}_orig")
        mask: Tensor = getattr(module, f"{self._tensor_name}_mask")
        return mask.to(dtype=orig.dtype) * orig

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prune the parameter `name`, on top of earlier prunings of it; the hook that does it from now on.

        Parameters
        ----------
        args, kwargs
            For the constructor of the method.
        importance_scores
            What to choose by, of the parameter's shape; by default the parameter itself.
        """
        method = cls._on_top(_taken_out(module, name), name, *args, **kwargs)
        orig = getattr(module, name)
        scores = orig if importance_scores is None else importance_scores
        if scores.shape != orig.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {scores.shape} vs {orig.shape}"
            )
        is_first = not isinstance(method, PruningContainer)
        if is_first:
            module.register_parameter(f"{name}_orig", orig)
            del module._parameters[name]
        default = ones_like(orig) if is_first else getattr(module, f"{name}_mask").detach().clone()
        try:
            module.register_buffer(f"{name}_mask", method.compute_mask(scores, default_mask=default))
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if is_first:  # as if nothing had been asked
                module.register_parameter(name, getattr(module, f"{name}_orig"))
                del module._parameters[f"{name}_orig"]
            raise
        return method

    @classmethod
    def _on_top(cls, old: BasePruningMethod | None, name: str, *args: Any, **kwargs: Any) -> BasePruningMethod:
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if old is None:
            return method
        container = old if isinstance(old, PruningContainer) else PruningContainer(old)
        container.add_pruning_method(method)
        return container

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """`t`, pruned, without any module.

        Parameters
        ----------
        default_mask
            An earlier mask; by default nothing is pruned yet.
        importance_scores
            What to choose by, of the shape of `t`; by default `t`.

        Examples
        --------
        >>> import retrograd
        >>> from retrograd.nn.utils import prune
        >>> method = prune.L1Unstructured(amount=2)
        >>> method.prune(retrograd.tensor([1.0, -4.0, 2.0, 3.0]))
        tensor([ 0., -4.,  0.,  3.])
        """
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as tensor t, got {scores.shape} vs {t.shape}"
            )
        return t * self.compute_mask(scores, default_mask=ones_like(t) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Make the masked values those of the parameter, which is one again; pruning itself is not undone."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        pruned = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        orig = module._parameters.pop(f"{name}_orig")
        assert orig is not None
        orig.data = pruned.data
        del module._buffers[f"{name}_mask"]
        setattr(module, name, orig)


def _taken_out(module: Module, name: str) -> BasePruningMethod | None:
    """The method that prunes the parameter by now, whose hook is removed."""
    found = [key for key, hook in module._forward_pre_hooks.items() if _prunes(hook, name)]
    if len(found) > 1:
        raise AssertionError(
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer."
        )
    return module._forward_pre_hooks.pop(found[0]) if found else None


def _prunes(hook: Any, name: str) -> TypeGuard[BasePruningMethod]:
    return isinstance(hook, BasePruningMethod) and hook._tensor_name == name


class PruningContainer(BasePruningMethod):
    """Methods that have been applied to one parameter, one after another.

    The mask is that of the last on top of the one before.

    Raises
    ------
    TypeError, ValueError
        By `add_pruning_method`, if it is no pruning method, or one of another parameter.
    """

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Apply another after the others."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer "
                f"{self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of the last method, for what earlier ones have left."""
        method = self._pruning_methods[-1]
        left = _left_for(method, t, default_mask)
        mask = default_mask.to(dtype=t.dtype)
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(dtype=mask.dtype)
        return mask


def _left_for(method: Any, t: Tensor, mask: Tensor) -> Any:
    """The subscript of what a method may prune."""
    kind = method.PRUNING_TYPE
    if kind == "unstructured":
        return mask == 1
    whole: list[Any] = [slice(None)] * t.dim()
    if kind == "global":
        return tuple(whole)
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.dim() if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    whole[dim] = mask.sum(dim=[each for each in range(t.dim()) if each != dim]) != 0
    return tuple(whole)


class Identity(BasePruningMethod):
    """Prunes nothing, but makes mask and parameter."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The earlier mask."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:  # type: ignore[override]
        """Add masks of ones for the parameter `name`."""
        return super().apply(module, name)


class _OfElements(BasePruningMethod):
    """Prunes a number of elements, or a part of them."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The earlier mask, with zeros where this method puts them."""
        count = _number_of(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            mask.view(-1)[self._chosen(t, count)] = 0
        return mask

    def _chosen(self, t: Tensor, count: int) -> Tensor:
        raise NotImplementedError


class RandomUnstructured(_OfElements):
    """Prunes elements at random: `amount` of them, or that part if it is a float."""

    def _chosen(self, t: Tensor, count: int) -> Tensor:
        return topk(rand_like(t).view(-1), k=count).indices

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> BasePruningMethod:  # type: ignore[override]
        """Prune the parameter `name`."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_OfElements):
    """Prunes the elements of the smallest magnitudes: `amount` of them, or that part if it is a float."""

    def _chosen(self, t: Tensor, count: int) -> Tensor:
        return topk(t.abs().view(-1), k=count, largest=False).indices

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """Prune the parameter `name`."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _OfSlices(BasePruningMethod):
    """Prunes whole slices along a dimension."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The earlier mask, with zeros in the slices that this method prunes."""
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{t.shape} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        count = _number_of(self.amount, size)
        kept = self._kept(t, size, count)
        if count == 0:
            return default_mask
        mask = zeros_like(t)
        place: list[Any] = [slice(None)] * t.dim()
        place[self.dim] = kept
        mask[tuple(place)] = 1
        mask *= default_mask.to(dtype=mask.dtype)
        return mask

    def _kept(self, t: Tensor, size: int, count: int) -> Any:
        raise NotImplementedError


class RandomStructured(_OfSlices):
    """Prunes slices along `dim` at random: `amount` of them, or that part if it is a float."""

    def _kept(self, t: Tensor, size: int, count: int) -> Any:
        if count == 0:
            return None
        order = rand(size, device=t.device)
        return order > kthvalue(order, k=count).values

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, dim: int = -1
    ) -> BasePruningMethod:
        """Prune the parameter `name`."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_OfSlices):
    """Prunes the slices along `dim` that have the smallest `n`-norms.

    `amount` of them, or that part if it is a float; `n` is what `retrograd.norm` takes as `p`.
    """

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _kept(self, t: Tensor, size: int, count: int) -> Any:
        others = list(range(t.dim()))
        del others[self.dim]
        return topk(norm(t, p=self.n, dim=others), k=size - count, largest=True).indices

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """Prune the parameter `name`."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The product of the earlier mask and the given one."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> BasePruningMethod:  # type: ignore[override]
        """Prune the parameter `name`."""
        return super().apply(module, name, mask=mask)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    number: Any = amount
    if number < 0 or (number > 1 and not isinstance(number, Integral)):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _number_of(amount: Any, size: int) -> int:
    count: Any = amount if isinstance(amount, Integral) else round(amount * size)
    if count > size:
        raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
    return int(count)


# -- functions -------------------------------------------------------------------------------------


def identity(module: M, name: str) -> M:
    """Add masks of ones for the parameter `name`, in place, as if it were pruned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: float) -> M:
    """Prune elements of the parameter `name` at random, in place.

    Parameters
    ----------
    amount
        How many, or which part of them if it is a float.

    Raises
    ------
    TypeError, ValueError
        If `amount` is no number, negative, or more than there is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_unstructured.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import prune
    >>> layer = prune.random_unstructured(retrograd.nn.Linear(2, 3), "weight", amount=0.5)
    >>> layer.weight_mask.sum(), sorted(layer.state_dict())
    (tensor(3.), ['bias', 'weight_mask', 'weight_orig'])
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: M, name: str, amount: float, importance_scores: Tensor | None = None) -> M:
    """Prune the elements of the parameter `name` that have the smallest magnitudes, in place.

    Parameters
    ----------
    amount
        How many, or which part of them if it is a float.
    importance_scores
        Whose magnitudes, if not the parameter's.

    Raises
    ------
    TypeError, ValueError
        If `amount` is no number, negative, or more than there is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: M, name: str, amount: float, dim: int) -> M:
    """Prune slices of the parameter `name` along `dim` at random, in place.

    Parameters
    ----------
    amount
        How many, or which part of them if it is a float.

    Raises
    ------
    TypeError, ValueError, IndexError
        If `amount` is no number, negative, or more than there is; if there is no dimension but one, or not `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: M, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None) -> M:
    """Prune the slices of the parameter `name` along `dim` that have the smallest `n`-norms, in place.

    Parameters
    ----------
    amount
        How many, or which part of them if it is a float.
    importance_scores
        Whose norms, if not the parameter's.

    Raises
    ------
    TypeError, ValueError, IndexError
        If `amount` is no number, negative, or more than there is; if there is no dimension but one, or not `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import prune
    >>> layer = retrograd.nn.Linear(2, 3)
    >>> _ = layer.weight.data.copy_(retrograd.tensor([[1.0, 2.0], [0.5, 0.5], [3.0, 0.0]]))
    >>> prune.ln_structured(layer, "weight", amount=1, n=2, dim=0).weight_mask
    tensor([[1., 1.],
            [0., 0.],
            [1., 1.]])
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune the parameter `name` where `mask` is 0, in place.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Callable[..., BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters together, in place, as if they were one.

    Parameters
    ----------
    parameters
        Modules and names.
    pruning_method
        An unstructured one.
    importance_scores
        For some of the parameters, what to choose by.
    kwargs
        For the constructor of the method, as `amount`.

    Raises
    ------
    TypeError
        If an argument is of another type, or the method is not an unstructured one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import prune
    >>> model = retrograd.nn.Sequential(retrograd.nn.Linear(4, 3), retrograd.nn.Linear(3, 2))
    >>> prune.global_unstructured([(layer, "weight") for layer in model], prune.L1Unstructured, amount=10)
    >>> sum(layer.weight_mask.sum() for layer in model)
    tensor(8.)
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    places = list(parameters)
    tensors = [getattr(module, name) for module, name in places]
    importance = parameters_to_vector([scores.get(place, t) for place, t in zip(places, tensors, strict=True)])
    earlier = parameters_to_vector(
        [getattr(m, f"{name}_mask", ones_like(t)) for (m, name), t in zip(places, tensors, strict=True)]
    )
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    method._tensor_name = "temp"
    mask = PruningContainer(method).compute_mask(importance, earlier)
    for (module, name), part in zip(places, mask.split([t.numel() for t in tensors]), strict=True):
        custom_from_mask(module, name, mask=part.view_as(getattr(module, name)))


def remove(module: M, name: str) -> M:
    """Make the parameter `name` what it is with its mask, and an ordinary one, in place.

    Raises
    ------
    ValueError
        If it is not pruned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html
    """
    for key, hook in module._forward_pre_hooks.items():
        if _prunes(hook, name):
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of one within it, is pruned.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.is_pruned.html
    """
    hooks = (hook for each in module.modules() for hook in each._forward_pre_hooks.values())
    return any(isinstance(hook, BasePruningMethod) for hook in hooks)
