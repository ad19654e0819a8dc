"""What a codec is: how a gradient becomes frames in a worker, and an array again in a server.

A codec has two sides. The worker's side is an object: it may keep, for each key, what it has not sent yet.
The server's side is made of class methods, which know nothing but what has arrived, and trust none of it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ProtocolError
from .arrays import Array, DType, is_floating

__all__ = ["NOT_FINITE", "Codec", "Encoded", "Layout", "Numbers", "no_numbers", "only_integer"]

Numbers: TypeAlias = tuple[float | int, ...]
Layout: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


class Encoded(NamedTuple):
    """A gradient as it travels."""

    numbers: Numbers
    """Parameters of the encoding, which go into a message's header."""
    frames: tuple[Array, ...]
    """Contiguous arrays, which become frames of their own. Nothing writes to them later."""

    @property
    def nbytes(self) -> int:
        """Bytes of all frames.

        >>> Encoded((2,), (np.zeros(3, np.float32), np.zeros(2, np.uint8))).nbytes
        14
        """
        return sum(frame.nbytes for frame in self.frames)


NOT_FINITE = Encoded((), ())
"""What a codec sends that has no code for NaN and infinities, in place of a gradient with one of them.

It decodes to an array of NaN, so that the server's policy for such gradients sees it.
"""


class Codec(ABC):
    """A way to write a gradient in fewer bytes.

    A subclass gives `name`, :meth:`_encode`, :meth:`_layout` and :meth:`_decode`; this class does what all have
    in common: it holds dtypes, numbers and frames against what was announced, stands in for gradients that
    are not finite, and keeps, saves and forgets state.

    Calls for different keys may come from different threads; those for one key must not overlap.
    """

    name: ClassVar[str]
    carries_not_finite: ClassVar[bool] = False
    """Whether NaN and infinities arrive in their places. If not, `NOT_FINITE` stands for the whole gradient."""
    keeps: ClassVar[tuple[str, ...]] = ()
    """Names of what is kept for each key from one call to the next."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, Array]] = {name: {} for name in self.keeps}

    @property
    def spec(self) -> str:
        """The text that :func:`~retrograd.distributed.compression.codec_for` makes an equal codec of."""
        return self.name

    @classmethod
    def parse(cls, argument: str | None, seed: int) -> Self:
        """A codec for what stands behind the colon of a spec (`None`: there is no colon).

        Raises
        ------
        ValueError
            If the codec takes no such argument.
        """
        if argument is not None:
            raise ValueError(f"the codec {cls.name!r} takes no argument, and {argument!r} was given")
        return cls()

    def __repr__(self) -> str:
        return f"<codec {self.spec}>"

    # ---- worker --------------------------------------------------------------------------------------------

    def encode(self, key: int, gradient: Array) -> Encoded:
        """A gradient's frames.

        Parameters
        ----------
        key
            Which tensor or slice this is a gradient of: what is kept from earlier calls is kept by it.
        gradient
            Array of a floating-point dtype, 1-D, or 2-D of rows by columns. It is not changed. A codec that
            leaves numbers as they are returns it, or a part of it, as a frame.

        Raises
        ------
        TypeError
            If the dtype is none the codec takes.
        ValueError
            If the key's last gradient had another shape or dtype. :meth:`reset` forgets it.
        """
        if not self._takes(gradient.dtype):
            raise TypeError(f"the codec {self.name!r} takes floating-point gradients, and this one is {gradient.dtype}")
        with np.errstate(all="ignore"):
            return self._encode(key, np.asarray(gradient, order="C"))

    def nbytes(self, shape: Sequence[int], dtype: npt.DTypeLike) -> int:
        """Bytes of the frames for a gradient of this shape that is finite and has no zeros."""
        dtype = np.dtype(dtype)
        layout = self.layout(shape, dtype, self._typical(tuple(shape), dtype))
        return sum(math.prod(lengths) * np.dtype(name).itemsize for name, lengths in layout)

    def ratio(self, shape: Sequence[int], dtype: npt.DTypeLike) -> float:
        """How many times smaller a gradient of this shape becomes; 1 for one without elements.

        A few numbers in the header, at most nine bytes each, are not counted.
        """
        whole = math.prod(shape) * np.dtype(dtype).itemsize
        return whole / self.nbytes(shape, dtype) if whole else 1.0

    # ---- state ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """All that is kept, under names such as ``residual.3`` for key 3.

        A worker that starts again with it goes on as if it had never stopped. The arrays are the codec's own: they
        are replaced by later calls and not written to, so they may be saved meanwhile, and must not be changed.
        """
        return {f"{name}.{key}": array for name, kept in self._kept.items() for key, array in kept.items()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Replace all that is kept by copies of what :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If a name is none of this codec's; nothing is replaced then.
        """
        kept: dict[str, dict[int, Array]] = {name: {} for name in self.keeps}
        for entry, array in state.items():
            name, _, key = entry.rpartition(".")
            if name not in kept or not key.removeprefix("-").isdecimal():
                raise ValueError(f"{entry!r} is not state of the codec {self.name!r}")
            kept[name][int(key)] = np.array(array)
        self._kept = kept

    def reset(self) -> None:
        """Forget all that is kept, as a worker does that joins anew."""
        self.load_state_dict({})

    def _recall(self, name: str, key: int, shape: tuple[int, ...], dtype: DType) -> Array | None:
        """What is kept for a key, if it is for gradients like the present one."""
        array = self._kept[name].get(key)
        if array is not None and (array.shape, array.dtype) != (shape, dtype):
            raise ValueError(
                f"the {name} of key {key} has shape {array.shape} and dtype {array.dtype}, and the gradient that "
                f"comes now needs {shape} and {dtype}: reset() forgets the former"
            )
        return array

    # ---- server --------------------------------------------------------------------------------------------

    @classmethod
    def layout(cls, shape: Sequence[int], dtype: npt.DTypeLike, numbers: Numbers) -> Layout:
        """Name of the dtype, and shape, that each frame of a gradient must have.

        Parameters
        ----------
        shape, dtype
            Those of the gradient. They are the receiver's own, not the message's.
        numbers
            What came in the header.

        Raises
        ------
        ProtocolError
            If the numbers are none that :meth:`encode` can have sent.
        """
        dtype = np.dtype(dtype)
        if not cls._takes(dtype):
            raise ProtocolError(f"no gradient of dtype {dtype} travels as {cls.name!r}")
        if not numbers and not cls.carries_not_finite:
            return ()
        return cls._layout(tuple(shape), dtype, numbers)

    @classmethod
    def decode(cls, encoded: Encoded, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """The gradient that the frames stand for, as near as they say it.

        Returns
        -------
        array
            Of the given shape and dtype. Where a frame holds just that, it is the frame, and not to be written to.

        Raises
        ------
        ProtocolError
            If the frames are not those that :meth:`layout` says, or hold what :meth:`encode` never makes.
        """
        layout, dtype = cls.layout(shape, dtype, encoded.numbers), np.dtype(dtype)
        found = tuple((frame.dtype.name, frame.shape) for frame in encoded.frames)
        if found != layout:
            raise ProtocolError(f"a gradient encoded as {cls.name!r} comes in frames {layout}, and these are {found}")
        if not layout and not cls.carries_not_finite:
            return np.full(shape, np.nan, dtype)
        with np.errstate(all="ignore"):
            return cls._decode(encoded, tuple(shape), dtype)

    # ---- what a codec is made of ---------------------------------------------------------------------------

    @classmethod
    def _takes(cls, dtype: DType) -> bool:
        return is_floating(dtype)

    @abstractmethod
    def _encode(self, key: int, gradient: Array) -> Encoded: ...

    @abstractmethod
    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        """The numbers that go with a finite gradient without zeros."""

    @classmethod
    @abstractmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout: ...

    @classmethod
    @abstractmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array: ...


def no_numbers(numbers: Numbers, name: str) -> None:
    """Raise `ProtocolError` if a header has numbers for a codec that sends none."""
    if numbers:
        raise ProtocolError(f"a gradient encoded as {name!r} comes without numbers, and {numbers} came")


def only_integer(numbers: Numbers, low: int, high: int, meaning: str) -> int:
    """The one number of a header, which must be a whole one from `low` to `high`.

    >>> only_integer((3,), 0, 8, "rank")
    3
    >>> only_integer((9,), 0, 8, "rank")
    Traceback (most recent call last):
    retrograd.distributed.errors.ProtocolError: the rank must be one whole number from 0 to 8, and (9,) came
    """
    value: Any = numbers[0] if len(numbers) == 1 else None
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"the {meaning} must be one whole number from {low} to {high}, and {numbers} came")
    return value
