"""Tensors of random numbers: new ones, ones drawn from other tensors, and in-place variants.

Each draws from a `Generator` (see Note [Random stream] in `retrograd.random`). What is drawn from a
tensor does not depend on it differentiably, and so its gradient is zero.
"""

from __future__ import annotations

import math
from typing import Any, Unpack

from retrograd.autograd.modes import current_mode
from retrograd.autograd.rebase import check_writable
from retrograd.dtypes import FLOAT8, Category, bool_, cpp_name, dtype, finfo, get_default_dtype, iinfo, int64
from retrograd.levels import is_mapped
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import everywhere, not_implemented
from retrograd.ops.declare import Array, Op, op, op_of, publics
from retrograd.ops.flags import flagged
from retrograd.ops.inplace import call_inplace
from retrograd.ops.mapped_writes import refuse_write
from retrograd.ops.options import Destination, Options, as_number, as_size, destination, finish, fresh
from retrograd.ops.reducing import deliver, refuse_out_of_random
from retrograd.random import (
    Generator,
    bernoulli_mask,
    default_generator,
    drawing_level,
    integer_array,
    normal_array,
    open_uniform_array,
    uniform_array,
    words_array,
)
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "bernoulli", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm",
]  # fmt: skip


def _source(name: str, generator: Any) -> Generator:
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{name}(): argument 'generator' must be retrograd.Generator, not {type(generator).__name__}")
    return generator


def _destination(name: str, options: Options, like: Tensor | None = None) -> Destination:
    """Where the numbers that the function `name` draws go to; inside `vmap` to its level."""
    to = destination(name, options, like)
    if to.out is not None:
        refuse_out_of_random()
    k = drawing_level(to.k)
    return to if k is to.k else to._replace(k=k)


def _at_drawing_level(*tensors: Any) -> Any:
    """Tensors to draw from; inside `vmap` those of its level. Numbers are left as they are."""
    leader = next(each for each in tensors if isinstance(each, Tensor))
    k = drawing_level(leader._kernels)
    if not k.level:
        return tensors
    lifted = tuple(k.lift(each) if isinstance(each, Tensor) else each for each in tensors)
    if k.randomness == "same" and any(isinstance(each, Tensor) and each._array.mapped for each in lifted):
        raise RuntimeError(
            "Vmap does not currently support same randomness with a batched tensor input. Please file an issue with "
            "functorch"
        )
    return lifted


# -- new tensors -------------------------------------------------------------------------------


def _check_native(chosen: dtype, kernel: str) -> dtype:
    """The type, if numbers are drawn of it."""
    if not chosen.is_differentiable or chosen in FLOAT8:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{chosen.type_name}'")
    return chosen


def _uniform_of(to: Destination, shape: tuple[int, ...], source: Generator) -> Tensor:
    """Uniform numbers of the destination's type; both parts of complex ones."""
    native = to.k.dtypes[_check_native(to.dtype or get_default_dtype(), "check_uniform_bounds").name]
    return finish(uniform_array(to.k, shape, native, source), to)


def _normal_of(to: Destination, shape: tuple[int, ...], source: Generator) -> Tensor:
    """Standard normal numbers; a complex one has variance 1 in all, one half in each part."""
    native = to.k.dtypes[_check_native(to.dtype or get_default_dtype(), "normal_kernel_cpu").name]
    return finish(normal_array(to.k, shape, native, source), to)


def _size(name: str, size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    return as_size(name, (options.pop("size"),) if "size" in options else size)


def rand(*size: Any, generator: Generator | None = None, **options: Unpack[Options]) -> Tensor:
    """Uniform numbers from [0, 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rand.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.rand(2, 3)
    >>> bool(((x >= 0) & (x < 1)).all())
    True
    """
    shape = _size("rand", size, options)  # type: ignore[arg-type]
    return _uniform_of(_destination("rand", options), shape, _source("rand", generator))


def rand_like(input: Tensor, *, generator: Generator | None = None, **options: Unpack[Options]) -> Tensor:
    """Uniform numbers from [0, 1), of the shape, type and device of `input`."""
    to = _destination("rand_like", options, input)
    return _uniform_of(to, tuple(input._array.shape), _source("rand_like", generator))


def randn(*size: Any, generator: Generator | None = None, **options: Unpack[Options]) -> Tensor:
    """Numbers from the normal distribution of mean 0 and variance 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randn.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.randn(2, 3).shape
    retrograd.Size([2, 3])
    """
    shape = _size("randn", size, options)  # type: ignore[arg-type]
    return _normal_of(_destination("randn", options), shape, _source("randn", generator))


def randn_like(input: Tensor, *, generator: Generator | None = None, **options: Unpack[Options]) -> Tensor:
    """Standard normal numbers, of the shape, type and device of `input`."""
    to = _destination("randn_like", options, input)
    return _normal_of(to, tuple(input._array.shape), _source("randn_like", generator))


def randint(*bounds: Any, generator: Generator | None = None, **options: Any) -> Tensor:
    """Integers from [low, high), all equally likely: `randint(high, size)` or `randint(low, high, size)`.

    Raises
    ------
    RuntimeError
        If `low` is not below `high`, or the type cannot hold the numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randint.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.randint(3, 4, (2,))
    tensor([3, 3])
    """
    names = _randint_names(len(bounds), options)
    given = dict(zip(names, bounds, strict=False))
    for each in ("low", "high", "size"):
        if each in options:
            given[each] = options.pop(each)
    if "high" not in given or "size" not in given:
        raise TypeError('randint() missing required arguments: "high" and "size"')
    low, high = _integers("randint", given.get("low", 0), given["high"])
    if hasattr(given["size"], "__index__"):
        raise TypeError(f"randint(): argument 'size' (position {len(bounds)}) must be tuple of ints, not int")
    shape = as_size("randint", (given["size"],))
    to = _destination("randint", options)  # type: ignore[arg-type]
    return _integers_of(to, to.dtype or int64, shape, low, high, _source("randint", generator))


def _randint_names(count: int, options: dict[str, Any]) -> tuple[str, ...]:
    """What the positional arguments of `randint` are, given which others came by name."""
    if count == 2:
        if "size" in options:
            return "low", "high"
        return ("low", "size") if "high" in options else ("high", "size")
    if count == 1:
        if "high" not in options:
            return ("high",)
        return ("low",) if "size" in options else ("size",)
    return "low", "high", "size"


def randint_like(input: Tensor, *bounds: int, generator: Generator | None = None, **options: Any) -> Tensor:
    """Integers from [low, high) of the shape, type and device of `input`.

    Called as `randint_like(input, high)` or `randint_like(input, low, high)`.
    """
    low = options.pop("low", 0) if len(bounds) < 2 else bounds[0]
    high = options.pop("high") if "high" in options else bounds[-1]
    low, high = _integers("randint_like", low, high)
    to = _destination("randint_like", options, input)  # type: ignore[arg-type]
    source = _source("randint_like", generator)
    return _integers_of(to, to.dtype or int64, tuple(input._array.shape), low, high, source)


def _check_kind(kernel: str, type_: dtype, *categories: Category) -> None:
    """Refuse a type that is of none of these categories, in the name of PyTorch's kernel."""
    if type_.category not in categories or type_ in FLOAT8:
        raise not_implemented(kernel, type_)


def _check_real(kernel: str, type_: dtype) -> None:
    if type_.is_complex or type_ in FLOAT8:
        raise not_implemented(kernel, type_)


def _integers(name: str, *values: Any) -> tuple[int, ...]:
    for each in values:
        if not hasattr(each, "__index__"):
            raise TypeError(f"{name}(): bounds must be int, not {type(each).__name__}")
    return tuple(each.__index__() for each in values)


_C_TYPE = {
    "Bool": "bool", "Byte": "unsigned char", "Char": "signed char", "Short": "short", "Int": "int",
    "Long": "long",
}  # fmt: skip


def _check_bounds(chosen: dtype, low: int, high: int) -> None:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if chosen.is_complex:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if chosen.category > Category.INTEGER:
        return
    smallest, largest = (0, 1) if chosen is bool_ else (iinfo(chosen).min, iinfo(chosen).max)
    for what, value in (("from", low), ("to - 1", high - 1)):
        if not smallest <= value <= largest:
            raise RuntimeError(f"{what} is out of bounds for {_C_TYPE[chosen.type_name]}")


def _integers_of(
    to: Destination, chosen: dtype, shape: tuple[int, ...], low: int, high: int, source: Generator
) -> Tensor:
    _check_bounds(chosen, low, high)
    _check_real("random_update_from_to", chosen)
    array = integer_array(to.k, shape, low, high, source)
    return finish(to.k.astype(array, to.k.dtypes[chosen.name]), to)


def randperm(n: int, *, generator: Generator | None = None, **options: Unpack[Options]) -> Tensor:
    """The integers 0 to n - 1 in random order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randperm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.randperm(4).sort().values
    tensor([0, 1, 2, 3])
    """
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    to = _destination("randperm", options)
    k = to.k
    # Two of these keys are equal once in 2**32 pairs, and then keep their order.
    order = k.argsort(words_array(k, (n,), _source("randperm", generator)), 0, False, True)
    return finish(k.astype(order, to.native(int64)), to)


# -- drawn from tensors ------------------------------------------------------------------------


def _forgetting(name: str, node: str) -> Op:
    """An operator whose result is `value`, drawn beforehand: it forgets its input, whose gradient is zero."""

    def overwrite(K, self: Array, value: Array) -> Array:
        return value

    return op_of(op(name=name, node=node, vjp={"self": lambda K, g: K.zeros_like(g)}, jvp="zero")(overwrite))


_BERNOULLI = _forgetting("_bernoulli", "BernoulliBackward0")
_POISSON = _forgetting("_poisson", "PoissonBackward0")
_NORMAL_BY_MEAN = _forgetting("_normal_by_mean", "NormalBackward1")
_NORMAL_BY_STD = _forgetting("_normal_by_std", "NormalBackward2")


def _drawn(operator: Op, input: Tensor, array: Any) -> Tensor:
    """The numbers in `array` as what `operator` gives for `input`."""
    result: Tensor = publics[operator.name](input, wrap_array(array, drawing_level(input._kernels)))
    return result


def _probabilities(p: Tensor) -> Any:
    """The array of `p`, checked to lie in [0, 1]."""
    k = p._kernels
    if not everywhere(k, k.logical_and(p._array >= 0, p._array <= 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return p._array


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def _lifted_to(self: Tensor, p: Tensor) -> Tensor:
    return self._kernels.lift(p) if self._kernels.level else p


def _coins(p: Tensor, k: Any, shape: tuple[int, ...], source: Generator) -> Any:
    """A raw bool array of `shape`; an element is true with the probability at its place in `p`."""
    wide = k.dtypes["float64"]
    uniform = uniform_array(k, shape, k.dtypes["float32"], source)
    return k.astype(uniform, wide) < k.broadcast_to(k.astype(_probabilities(p), wide), shape)


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Ones and zeros: one with the probability that `input` holds at that place, or `p` everywhere.

    Raises
    ------
    RuntimeError
        If a probability is not in [0, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bernoulli.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bernoulli(retrograd.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    source = _source("bernoulli", generator)
    p = p if p is None else as_number("bernoulli", p, "p", 2)
    (input,) = _at_drawing_level(input) if p is None else (input,)
    k, shape = drawing_level(input._kernels), tuple(input._array.shape)
    if p is None:
        _check_real("bernoulli_tensor_cpu_self_", input.dtype)
        _check_kind("bernoulli_tensor_cpu_p_", input.dtype, Category.FLOAT)
        coins = _coins(input, k, shape, source)
    else:
        _check_p(p)
        coins = bernoulli_mask(shape, p, k, source)
    return _drawn(_BERNOULLI, input, k.astype(coins, input._array.dtype))


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **options: Unpack[Options],
) -> Tensor:
    """Normal numbers of the given means and standard deviations, which are tensors, or numbers with a `size`.

    Raises
    ------
    RuntimeError
        If a standard deviation is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.normal.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.normal(retrograd.tensor([1.0, 2.0]), 0.0)
    tensor([1., 2.])
    """
    source = _source("normal", generator)
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        out = options.get("out")
        if out is not None:
            refuse_out_of_random()
        made = _normal_by_tensors(mean, std, source)
        return made if out is None else deliver("normal", out, made)
    _check_std("normal", std)
    if size is None:
        raise TypeError('normal() missing 1 required positional arguments: "size"')
    to = _destination("normal", options)
    drawn = _normal_of(to._replace(requires_grad=False, out=None), as_size("normal", (size,)), source)
    return finish(drawn._array * float(std) + float(mean), to)


def _check_std(name: str, std: Any) -> None:
    if not std >= 0:
        raise RuntimeError(f"{name} expects std >= 0.0, but found std {std:g}")


def _normal_by_tensors(mean: Any, std: Any, source: Generator) -> Tensor:
    mean, std = _at_drawing_level(mean, std)
    leader: Tensor = mean if isinstance(mean, Tensor) else std
    k = leader._kernels
    if isinstance(std, Tensor):
        if std.is_complex():
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if not everywhere(k, k.logical_not(std._array < 0)):
            raise RuntimeError("normal expects all elements of std >= 0.0")
    else:
        _check_std("normal", std)
    scale = std._array if isinstance(std, Tensor) else float(std)
    shift = mean._array if isinstance(mean, Tensor) else float(mean)
    to = _destination("normal", {}, leader)
    shape = _broadcast(mean, std)
    drawn = _normal_of(to, shape, source)._array * scale + shift
    if not (isinstance(mean, Tensor) and isinstance(std, Tensor)):
        return _drawn(_NORMAL_BY_MEAN if leader is mean else _NORMAL_BY_STD, leader, drawn)
    result: Tensor = _normal_by_both(mean, std, wrap_array(drawn, k))
    return result


@op(
    node="NormalBackward3",
    vjp={
        "mean": lambda K, g, mean_shape: K.zeros_like(sum_to(K, g, mean_shape)),
        "std": lambda K, g, std_shape: K.zeros_like(sum_to(K, g, std_shape)),
    },
    jvp="zero",
)
def _normal_by_both(K, mean: Array, std: Array, value: Array) -> Array:
    """`value`, drawn beforehand."""
    return value


def _broadcast(*values: Any) -> tuple[int, ...]:
    return broadcast_shapes(*(tuple(each._array.shape) for each in values if isinstance(each, Tensor)))


@flagged
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the weights in each row of `input`, `num_samples` a row.

    Without replacement, by the smallest of exponential numbers of those rates (Efraimidis and
    Spirakis, 2006): each row's arrival times, in order.

    Raises
    ------
    RuntimeError
        If `input` is not 1- or 2-dimensional and floating-point, has a negative or infinite weight or
        only zeros, or a row has too few elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.multinomial.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.multinomial(retrograd.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    _check_weights(input, num_samples, replacement)
    (input,) = _at_drawing_level(input)
    k, source = input._kernels, _source("multinomial", generator)
    wide = k.dtypes["float64"]
    weights = k.reshape(k.astype(input._array, wide), (-1, input._array.shape[-1]))
    rows, categories = weights.shape
    last = input.ndim - 1
    _check_totals(k, weights, replacement and num_samples > 1)
    if replacement:
        places = uniform_array(k, (rows, num_samples, 1), wide, source)
        sums = k.cumsum(weights, 1)
        # The last sum with weight is the row's total, which a place never reaches.
        limits = k.reshape(sums, (rows, 1, categories))
        total = k.slice(limits, (slice(None), slice(None), slice(categories - 1, categories)))
        chosen = k.sum(k.astype(limits <= places * total, k.dtypes["int64"]), (2,), False)
    else:
        with k.quiet():
            arrivals = -k.log(open_uniform_array(k, (rows, categories), wide, source)) / weights
        order = k.argsort(arrivals, 1, False, True)
        chosen = k.row_major(k.slice(order, (slice(None), slice(0, num_samples))))
    return fresh(k.reshape(chosen, (num_samples,) if last == 0 else (rows, num_samples)), k)


def _check_weights(input: Tensor, count: int, replacement: bool) -> None:
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.is_floating_point():
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype.type_name}")
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > input.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if input.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")


def _check_totals(k: Any, weights: Any, one_by_one: bool) -> None:
    """Refuse weights that are none; PyTorch says more where it looks at them one by one."""
    if one_by_one and not everywhere(k, weights >= 0):
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if not everywhere(k, k.logical_and(weights >= 0, k.isfinite(weights))):
        raise RuntimeError(
            "invalid multinomial distribution (encountering probability entry = infinity or NaN)"
            if one_by_one
            else "probability tensor contains either `inf`, `nan` or element < 0"
        )
    if not everywhere(k, k.sum(weights, (1,), False) > 0):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of events from Poisson distributions of the rates in `input`.

    By counting arrivals: exponential waiting times are added up until their sum passes the rate, so
    the time this takes grows with the largest rate.

    Raises
    ------
    RuntimeError
        If a rate is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.poisson.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.poisson(retrograd.zeros(3))
    tensor([0., 0., 0.])
    """
    if not input.is_floating_point():
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{input.dtype.type_name}'")
    (input,) = _at_drawing_level(input)
    k, source = input._kernels, _source("poisson", generator)
    wide = k.dtypes["float64"]
    rates = k.astype(input._array, wide)
    if not everywhere(k, k.logical_not(rates < 0)):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    shape = tuple(rates.shape)
    count, passed = k.zeros(shape, wide), k.zeros(shape, wide)
    while True:
        passed = passed - k.log(open_uniform_array(k, shape, wide, source))
        running = passed <= rates
        if everywhere(k, k.logical_not(running)):
            return _drawn(_POISSON, input, k.astype(count, input._array.dtype))
        count = count + k.astype(running, wide)


# -- in place ----------------------------------------------------------------------------------

_IN_PLACE = {
    name: _forgetting(f"_{name}_in_place", node)
    for name, node in (
        ("uniform", "UniformBackward0"), ("normal", "NormalBackward0"),
        ("exponential", "ExponentialBackward0"), ("log_normal", "LogNormalBackward0"),
        ("bernoulli_tensor", "BernoulliBackward1"), ("bernoulli", "BernoulliBackward2"),
        ("random_from", "RandomBackward0"), ("random_to", "RandomBackward1"), ("random", "RandomBackward2"),
        ("cauchy", "CauchyBackward0"), ("geometric", "GeometricBackward0"),
    )
}  # fmt: skip


def _begin(self: Tensor) -> tuple[Any, tuple[int, ...]]:
    """Refuse a forbidden write before a random number is used up; the kernels and the shape."""
    mode = current_mode()
    check_writable(self, mode, mode.grad and self.requires_grad, ())
    _check_level(self)
    return self._kernels, tuple(self._array.shape)


def _check_level(self: Tensor) -> None:
    """Refuse to draw other numbers for each sample of a `vmap` into a tensor that they share."""
    level = drawing_level(self._kernels)
    if level.level and level.randomness == "different" and not (self._kernels is level and self._array.mapped):
        raise RuntimeError(
            "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
            "randomness. If this is necessary for your usage, please file an issue with functorch."
        )


def _overwrite(self: Tensor, name: str, array: Any) -> Tensor:
    """Write drawn numbers into a tensor, as the in-place operator `name`."""
    k = self._kernels
    own = self._array.dtype
    fitting = array if array.dtype == own else k.astype(array, own)
    return call_inplace(_IN_PLACE[name], self, wrap_array(fitting, k))


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with uniform numbers from [from, to).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.uniform_.html
    """
    source = _source("uniform_", generator)
    chosen, is_unit = _check_native(self.dtype, "check_uniform_bounds"), from_ == 0 and to == 1
    if not is_unit:
        _check_uniform_bounds(chosen, from_, to)
    k, shape = _begin(self)
    numbers = uniform_array(k, shape, self._array.dtype, source)
    if not is_unit:
        numbers = numbers * float(to - from_) + (complex(from_, from_) if self.is_complex() else float(from_))
    return _overwrite(self, "uniform", numbers)


def _check_uniform_bounds(chosen: dtype, from_: float, to: float) -> None:
    limit = finfo(chosen).max
    for what, value in (("from", from_), ("to", to)):
        if not abs(value) <= limit:
            raise RuntimeError(f"{what} is out of bounds for {chosen.type_name.lower()}")
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_:g} > to={to:g}")


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.normal_.html
    """
    source = _source("normal_", generator)
    _check_std("normal", std)
    k, shape = _begin(self)
    _check_native(self.dtype, "normal_kernel_cpu")
    numbers = normal_array(k, shape, self._array.dtype, source)
    if mean != 0 or std != 1:
        numbers = numbers * float(std) + float(mean)
    return _overwrite(self, "normal", numbers)


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with ``exp`` of normal numbers of that mean and standard deviation."""
    source = _source("log_normal_", generator)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    _check_kind("log_normal_cpu", self.dtype, Category.FLOAT)
    k, shape = _begin(self)
    drawn = normal_array(k, shape, k.dtypes["float64"], source)
    return _overwrite(self, "log_normal", k.exp(drawn * float(std) + float(mean)))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponential numbers of density ``lambd * exp(-lambd * x)``; never zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.exponential_.html
    """
    source = _source("exponential_", generator)
    if not self.is_floating_point():
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating "
            f"point but you specified {self.dtype.type_name}"
        )
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    k, shape = _begin(self)
    uniform = open_uniform_array(k, shape, self._array.dtype, source)
    tiny = finfo(self.dtype).eps / 2
    waits = k.maximum(-k.log(uniform), k.full((), tiny, uniform.dtype))
    return _overwrite(self, "exponential", waits / float(lambd))


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of the Cauchy distribution of that median and half-width."""
    source = _source("cauchy_", generator)
    if not self.is_floating_point():
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point "
            f"but you specified {cpp_name(self.dtype)}"
        )
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    k, shape = _begin(self)
    uniform = open_uniform_array(k, shape, self._array.dtype, source)
    return _overwrite(self, "cauchy", k.tan((uniform - 0.5) * math.pi) * float(sigma) + float(median))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of coin tosses up to the first success, each with probability `p`."""
    source = _source("geometric_", generator)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    _check_kind("geometric_cpu", self.dtype, Category.INTEGER, Category.FLOAT)
    k, shape = _begin(self)
    uniform = open_uniform_array(k, shape, k.dtypes["float64"], source)
    tosses = k.ceil(k.log(uniform) / math.log1p(-p))
    return _overwrite(self, "geometric", k.maximum(tosses, k.full((), 1.0, tosses.dtype)))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with ones, with probability `p` (a number, or a tensor that broadcasts), and zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.bernoulli_.html
    """
    source = _source("bernoulli_", generator)
    if isinstance(p, Tensor) and is_mapped(p):
        (p,) = _at_drawing_level(p)
        if not is_mapped(self):
            refuse_write("inplace bernoulli", "in a vmap")
    _check_real("bernoulli_tensor_cpu_self_" if isinstance(p, Tensor) else "bernoulli_scalar_cpu_", self.dtype)
    if isinstance(p, Tensor):
        _check_kind("bernoulli_tensor_cpu_p_", p.dtype, Category.FLOAT)
    k, shape = _begin(self)
    if isinstance(p, Tensor):
        return _overwrite(self, "bernoulli_tensor", _coins(_lifted_to(self, p), k, shape, source))
    _check_p(p)
    return _overwrite(self, "bernoulli", bernoulli_mask(shape, p, k, source))


def random_(
    self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Overwrite with integers: `random_(from, to)` from [from, to), `random_(to)` from [0, to).

    Without bounds, from zero to the largest integer of the type, or for floating-point types to the
    largest below which they hold every integer.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.random_.html
    """
    source = _source("random_", generator)
    name = "random" if from_ is None else "random_to" if to is None else "random_from"
    if from_ is None:
        _check_real("random_kernel_cpu", self.dtype)
        low, high = 0, _integer_limit(self.dtype) + 1
    elif to is None:
        low, high = _integers("random_", 0, from_)
    else:
        low, high = _integers("random_", from_, to)
    _check_bounds(self.dtype, low, high)
    k, shape = _begin(self)
    return _overwrite(self, name, integer_array(k, shape, low, high, source))


def _integer_limit(type_: dtype) -> int:
    if type_ is bool_:
        return 1
    if type_.category is Category.INTEGER:
        return iinfo(type_).max
    return int(2 / finfo(type_).eps)


for _method in (
    uniform_, normal_, log_normal_, exponential_, cauchy_, geometric_, bernoulli_, random_, bernoulli,
    multinomial,
):  # fmt: skip
    setattr(Tensor, _method.__name__, _method)
