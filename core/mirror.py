"""The conjugates of a memory, for libraries whose arrays share it: `conj()` is a view there, too.

Note [Mirrors]
    No array of such a library shows the conjugates of what another holds. So a memory that is looked at conjugated has
    a mirror: all its elements, conjugated, in a memory of the same layout. Conjugated views are ordinary views of
    the mirror, and it lives as long as one of them does. After a write to either side, the part that was written is
    conjugated into the other (`bump` in `retrograd.storage`): reading a tensor's array stays one attribute access.

    Arrays that share no memory need none of this: there a view is what its steps make of the base, and `Conjugate` is a
    step as others are.
"""

from __future__ import annotations

from typing import Any

from retrograd.dtypes import DTYPES
from retrograd.views import Layout, in_memory_order

__all__ = ["Mirror"]


class Mirror:
    """See Note [Mirrors].

    Attributes
    ----------
    memory, image
        Both sides as vectors, in the order of memory.
    """

    __slots__ = ("__weakref__", "image", "memory")

    def __init__(self, k: Any, array: Any) -> None:
        for step in in_memory_order(Layout(tuple(array.shape), k.strides(array))):
            array = step.apply(k, array)
        self.memory = k.reshape(array, (-1,))
        self.image = k.conj(self.memory)

    @staticmethod
    def can_be(k: Any, array: Any) -> bool:
        """Whether a memory can have one: of real numbers it has none, nor with elements that lie apart."""
        is_complex = DTYPES[k.names[array.dtype]].is_complex
        shape = tuple(array.shape)
        return is_complex and (0 in shape or Layout(shape, k.strides(array)).is_dense())

    def across(self, k: Any, array: Any, from_image: bool) -> Any:
        """What lies on the other side where `array` lies on its own."""
        own, other = (self.image, self.memory) if from_image else (self.memory, self.image)
        return k.as_strided(other, tuple(array.shape), k.strides(array), k.offset(own, array))

    def reflect(self, k: Any, array: Any, from_image: bool) -> None:
        """Let the other side show what was written to `array`."""
        if array.dtype == self.memory.dtype:
            k.assign(self.across(k, array, from_image), k.conj(array))
        else:  # a view of real numbers: which of them are imaginary parts, it does not say
            own, other = (self.image, self.memory) if from_image else (self.memory, self.image)
            k.assign(other, k.conj(own))
