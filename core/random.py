"""Random numbers: one counter-based generator, and everything drawn from it.

Note [Random stream]
    A generator is a 64-bit seed, which is the key, and an offset into the stream of random 32-bit
    words that `K.random_bits` (Philox4x64) defines for that key. Whatever draws numbers takes the
    next words and moves the offset on. Words become numbers by exact arithmetic (integers and
    uniform numbers) or through `log` and `cos` (normal and other distributions), so that a seed means the
    same numbers on every backend: equal ones for the former, and within a few roundings for the latter,
    since libraries compute `log` and `cos` to the last digit or not.

The functions here that give raw arrays are for operators that need random numbers inside, as dropout
does; those that give tensors stand in `retrograd.ops.sampling`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import index
from typing import Any, Final

from retrograd.backends.philox import WORDS
from retrograd.device import current_kernels, device
from retrograd.dtypes import DTYPES, uint8
from retrograd.levels import innermost_vmap
from retrograd.ops.reducing import into
from retrograd.tensor import Tensor

__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state",
]  # fmt: skip

_WORD = 0xFFFFFFFF

# -- the generator -----------------------------------------------------------------------------


class Generator:
    """A source of random numbers with a seed of its own.

    Parameters
    ----------
    device
        Accepted for PyTorch's sake: one generator serves every backend, with the same numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Generator.html

    Examples
    --------
    >>> import retrograd
    >>> g = retrograd.Generator().manual_seed(7)
    >>> a = retrograd.rand(3, generator=g)
    >>> b = retrograd.rand(3, generator=g.manual_seed(7))
    >>> bool((a == b).all())
    True
    """

    __slots__ = ("_device", "_lock", "_offset", "_seed")

    def __init__(self, device: Any = None) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._seed = 67280421310721
        self._offset = 0

    @property
    def device(self) -> device:
        """The device it was made for; the current one if none was named."""
        return device(current_kernels() if self._device is None else self._device)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` from its beginning; returns the generator.

        Raises
        ------
        ValueError
            If `seed` does not fit in 64 bits.
        """
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        with self._lock:
            self._seed, self._offset = seed % 2**64, 0
        return self

    def seed(self) -> int:
        """Start a stream that nobody can know beforehand; returns its seed."""
        fresh = secrets.randbits(64)
        self.manual_seed(fresh)
        return fresh

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def get_state(self) -> Tensor:
        """Seed and place in the stream, as a uint8 tensor."""
        with self._lock:
            content = self._seed.to_bytes(8, "little") + self._offset.to_bytes(8, "little")
        from retrograd.ops.creation import tensor

        return tensor(list(content), dtype=uint8)

    def set_state(self, new_state: Tensor) -> None:
        """Go to the place that `get_state` has noted.

        Raises
        ------
        TypeError
            If it is no uint8 tensor.
        RuntimeError
            If its size is not that of a state.
        """
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            raise TypeError("RNG state must be a retrograd.ByteTensor")
        if new_state.numel() != 16:
            raise RuntimeError(
                f"Expected a generator state of size 16 but found the input RNG state size to be {new_state.numel()}"
            )
        content = bytes(new_state.tolist())
        with self._lock:
            self._seed, self._offset = (int.from_bytes(part, "little") for part in (content[:8], content[8:]))

    def clone_state(self) -> Generator:
        """An independent generator at the same place of the same stream."""
        made = Generator(self._device)
        with self._lock:
            made._seed, made._offset = self._seed, self._offset
        return made

    clone = clone_state

    def bits(self, k: Any, count: int) -> Any:
        """The next `count` words, as an array of 32-bit unsigned ints of the library of `k`."""
        if k.meta:
            return k.random_bits((0, 0), 0, count)  # of which nothing is taken
        count = index(count)  # before anything is changed
        seed, offset = self._take(-(-count // WORDS))
        return k.random_bits(_key(seed), offset, count)

    def _take(self, blocks: int) -> tuple[int, int]:
        """Move on by some blocks; the seed, and where they begin."""
        with self._lock:
            offset = self._offset
            self._offset = (offset + blocks) % 2**64
            return self._seed, offset

    def __getstate__(self) -> tuple[int, int]:
        return self._seed, self._offset

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.__init__()  # type: ignore[misc]
        self._seed, self._offset = state


def _key(seed: int) -> tuple[int, int]:
    return seed & _WORD, seed >> 32


default_generator: Final = Generator()
"""The generator of every function that is not given one."""
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it. The same seed gives the same numbers on every backend.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.manual_seed.html

    Examples
    --------
    >>> import retrograd
    >>> _ = retrograd.manual_seed(0)
    >>> retrograd.initial_seed()
    0
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator with a number that nobody can know beforehand; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, as a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Bring the default generator to a state that `get_rng_state` has noted."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Iterator[None]:
    """Within the `with` block, random numbers may be drawn and seeds set; afterwards the state is as before.

    Examples
    --------
    >>> import retrograd
    >>> _ = retrograd.manual_seed(3)
    >>> with retrograd.random.fork_rng():
    ...     _ = retrograd.manual_seed(99)
    >>> retrograd.initial_seed()
    3
    """
    if not enabled:
        yield
        return
    kept = default_generator.__getstate__()
    try:
        yield
    finally:
        with default_generator._lock:
            default_generator._seed, default_generator._offset = kept


# -- raw numbers -------------------------------------------------------------------------------


def drawing_level(k: Any) -> Any:
    """The table to draw for tensors of `k` with: that of the innermost `vmap` that is running, if one is.

    Raises
    ------
    RuntimeError
        If that one allows no random numbers.
    """
    table = innermost_vmap()
    if table is None or table.base is not k.base:
        return k
    table.check_randomness()
    return table


def _drawing(scale: float | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Inside `vmap`, draw at the level below: for every sample or once for all, as its `randomness` says.

    With a `scale`, both parts of complex numbers are drawn, each `scale` times what is drawn for real ones.
    """

    def decorated(draw: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(draw)
        def drawn(k: Any, shape: Sequence[int], native_dtype: Any, generator: Generator | None = None) -> Any:
            if k.level:
                return k.random(lambda lower, wider: drawn(lower, wider, native_dtype, generator), tuple(shape))
            if native_dtype in k.floats or scale is None or not (chosen := DTYPES[k.names[native_dtype]]).is_complex:
                return draw(k, tuple(shape), native_dtype, default_generator if generator is None else generator)
            parts = drawn(k, (*shape, 2), k.dtypes[chosen.to_real().name], generator) * scale
            lead = (slice(None),) * len(shape)
            return k.complex(k.slice(parts, (*lead, 0)), k.slice(parts, (*lead, 1)))

        return drawn

    return decorated


# Note [Small draws]
#     A dozen array operations on a few numbers take as long as on a thousand. A small draw that follows another one
#     therefore makes what the next ones will need, too, of the words that come next in the stream; those are served
#     from it. What numbers are made of a word depends on nothing else, so what is kept is never wrong.
_AHEAD = 256  # blocks
_SMALL = _AHEAD * WORDS // 2  # numbers

_kept: dict[Any, tuple[Any, int, int, Any]] = {}  # by how they are made: kernels, seed, first block, numbers


def _drawn(k: Any, source: Generator, count: int, make: Callable[[Any, Any], Any]) -> Any:
    """The next `count` numbers that `make` makes of as many words. See Note [Small draws].

    Parameters
    ----------
    make
        Called with kernels and an even number of words; no number may depend on words other than its own and its
        neighbour's, the two of which begin at an even place.
    """
    if count > _SMALL or not k.mutable or k.meta:
        made = make(k, source.bits(k, count + count % 2))
        return k.slice(made, (slice(0, count),)) if count % 2 else made
    blocks = -(-count // WORDS)
    seed, offset = source._take(blocks)
    kept = _kept.get(make)
    start = -1 if kept is None or kept[0] is not k or kept[1] != seed else WORDS * (offset - kept[2])
    if kept is None or start < 0 or start + count > len(kept[3]):
        follows = kept is not None and 0 <= start <= len(kept[3]) + _SMALL
        words = k.random_bits(_key(seed), offset, WORDS * (_AHEAD if follows else blocks))
        kept, start = (k, seed, offset, make(k, words)), 0
        _kept[make] = kept
    return k.copy(k.slice(kept[3], (slice(start, start + count),)))


def _fractions(digits: int) -> Callable[[Any, Any], Any]:
    """How float32 numbers from [0, 1) are made in steps of 2**-digits, each of a word."""

    def make(k: Any, words: Any) -> Any:
        # Exact: the integers fit in float32's significand, the results in the type's own.
        return into(k, "multiply", k.astype(words >> (32 - digits), k.dtypes["float32"]), 2.0**-digits)

    return make


# As many random bits as the significand of a number of each type holds.
_FRACTIONS = {"float16": _fractions(11), "bfloat16": _fractions(8), "float32": _fractions(24)}


@_drawing(1.0)
def uniform_array(k: Any, shape: tuple[int, ...], native_dtype: Any, generator: Generator) -> Any:
    """A raw array of numbers from [0, 1), equal on every backend. See Note [Random stream].

    Parameters
    ----------
    k
        The kernels of the array's backend.
    native_dtype
        A floating-point type of the backend; or a complex one, for numbers both parts of which are such.
    """
    name, count = k.names[native_dtype], math.prod(shape)
    if name == "float64":
        return k.reshape(_fractions53(k, generator.bits(k, 2 * count)), shape)
    numbers = _drawn(k, generator, count, _FRACTIONS[name])
    return k.reshape(numbers if name == "float32" else k.astype(numbers, native_dtype), shape)


def _pairs(k: Any, words: Any) -> tuple[Any, Any]:
    """The first of each two, and the second."""
    return k.slice(words, (slice(0, None, 2),)), k.slice(words, (slice(1, None, 2),))


def _fractions53(k: Any, words: Any) -> Any:
    """float64 numbers from [0, 1) in steps of 2**-53, of two words each."""
    (high, low), wide = _pairs(k, words), k.dtypes["float64"]
    return (k.astype(high >> 5, wide) * 2.0**26 + k.astype(low >> 6, wide)) * 2.0**-53


def _open_fractions(k: Any, words: Any) -> Any:
    """float64 numbers from (0, 1] in steps of 2**-32, each of a word; never zero."""
    return into(k, "multiply", into(k, "add", k.astype(words, k.dtypes["float64"]), 1.0), 2.0**-32)


@_drawing()
def open_uniform_array(k: Any, shape: tuple[int, ...], native_dtype: Any, generator: Generator) -> Any:
    """A raw float64 array of numbers from (0, 1], as finely spaced as numbers of type `native_dtype` need."""
    count = math.prod(shape)
    if k.names[native_dtype] == "float64":
        numbers = 1.0 - _fractions53(k, generator.bits(k, 2 * count))
    else:
        numbers = _open_fractions(k, generator.bits(k, count))
    return k.reshape(numbers, shape)


@_drawing(math.sqrt(0.5))
def normal_array(k: Any, shape: tuple[int, ...], native_dtype: Any, generator: Generator) -> Any:
    """A raw array of standard normal numbers, by Box and Muller's transform, of neighbours in the stream.

    The radius, on which the distribution's tails depend, is computed in float64; the angle in float32 unless the
    numbers are to be float64, since libraries are ten times slower at a cosine of that. Complex numbers have variance
    1 in all, one half in each part.

    Source: Box, Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29, 1958.
    """
    name, count = k.names[native_dtype], math.prod(shape)
    if name == "float64":
        words = generator.bits(k, 2 * (count + count % 2))
        numbers = k.slice(_turned(k, 1.0 - _fractions53(k, words), native_dtype), (slice(0, count),))
    else:
        numbers = _drawn(k, generator, count, _normal32)
        numbers = numbers if name == "float32" else k.astype(numbers, native_dtype)
    return k.reshape(numbers, shape)


def _normal32(k: Any, words: Any) -> Any:
    return _turned(k, _open_fractions(k, words), k.dtypes["float32"])


def _turned(k: Any, uniform: Any, working: Any) -> Any:
    """Normal numbers of type `working`, two of two float64 numbers from (0, 1]: of a radius, and an angle."""
    radius, angle = _pairs(k, uniform)
    radius = k.astype(into(k, "sqrt", into(k, "multiply", k.log(radius), -2.0)), working)
    angle = k.astype(angle * (2.0 * math.pi), working)
    parts = [into(k, "multiply", turned, radius) for turned in (k.cos(angle), k.sin(angle))]
    return k.reshape(k.stack(parts, 1), uniform.shape)


def integer_array(k: Any, shape: Sequence[int], low: int, high: int, generator: Generator | None = None) -> Any:
    """A raw int64 array of integers from [low, high), equal on every backend.

    A remainder of 63 random bits is off the uniform by less than 2**-43 for the ranges that 20 bits
    hold, which take 32 bits and are off by less than 2**-12.
    """
    if k.level:
        return k.random(lambda lower, wider: integer_array(lower, wider, low, high, generator), tuple(shape))
    source = default_generator if generator is None else generator
    count, span = math.prod(shape), high - low
    wide = k.dtypes["int64"]
    if span <= 2**20:
        words = k.astype(source.bits(k, count), wide)
    else:
        first, second = _pairs(k, source.bits(k, 2 * count))
        words = k.astype(first >> 1, wide) * 2**32 + k.astype(second, wide)
    if span <= 2**63 - 1:
        words = k.remainder(words, k.full((), span, wide))
    return k.reshape(words + low if low else words, tuple(shape))


def words_array(k: Any, shape: Sequence[int], generator: Generator) -> Any:
    """A raw array of 32-bit words, as unsigned integers of the library's own."""
    if k.level:
        return k.random(lambda lower, wider: words_array(lower, wider, generator), tuple(shape))
    return k.reshape(generator.bits(k, math.prod(shape)), tuple(shape))


def bernoulli_mask(shape: Sequence[int], p: float, k: Any, generator: Generator | None = None) -> Any:
    """A raw bool array, each element true with probability `p`."""
    if k.level:
        return k.random(lambda lower, wider: bernoulli_mask(wider, p, lower, generator), tuple(shape))
    source = default_generator if generator is None else generator
    words = source.bits(k, math.prod(shape))
    threshold = round(p * 2**32)
    if threshold > _WORD:
        return k.ones(tuple(shape), k.dtypes["bool"])
    return k.reshape(k.astype(words, k.dtypes["int64"]) < threshold, tuple(shape))
