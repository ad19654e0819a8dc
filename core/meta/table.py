"""The table of kernels of the device `meta`, of which there is one."""

from __future__ import annotations

from typing import Final

from retrograd.backends.spec import Kernels
from retrograd.dtypes import DTYPES
from retrograd.meta.arrays import MetaArray
from retrograd.meta.kernels import KERNELS
from retrograd.ops.decompositions import complete

__all__ = ["TABLE"]

TABLE: Final[Kernels] = Kernels(
    "meta",
    "meta",
    array_type=MetaArray,
    mutable=True,
    meta=True,
    dtypes=DTYPES,
    names={each: name for name, each in DTYPES.items()},
    floats=frozenset(each for each in DTYPES.values() if each.is_floating_point),
    **KERNELS,
)
complete(TABLE)
MetaArray.table = TABLE
