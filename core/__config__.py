"""What this installation is made of, for reports of programs.

Source: PyTorch's torch/__config__.py
"""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from retrograd.backends import registry
from retrograd.settings import get_num_interop_threads, get_num_threads

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Python, the libraries that are installed of those used here, and the backends on offer, a line each.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.__config__.show().splitlines()[0]
    'retrograd runs with:'
    """
    lines = [f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"]
    for library in _libraries():
        try:
            lines.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            lines.append(f"no {library}")
    lines += [f"backend {name} (plugin {plugin})" for name, plugin in registry.available().items()]
    return "\n".join(["retrograd runs with:", *(f"  - {line}" for line in lines), ""])


def _libraries() -> list[str]:
    """What the package needs, or can use."""
    try:
        wanted = requires("retrograd") or []
    except PackageNotFoundError:  # run from its sources
        return []
    of_users = (each for each in wanted if not re.search(r"extra == .(dev|docs|examples)", each))
    return sorted({re.split(r"[^\w.-]", each)[0] for each in of_users})


def parallel_info() -> str:
    """How many threads there are, and what the environment says of them."""
    lines = [
        f"retrograd.get_num_threads() : {get_num_threads()}",
        f"retrograd.get_num_interop_threads() : {get_num_interop_threads()}",
        f"os.cpu_count() : {os.cpu_count()}",
    ]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    lines += [f"{name} : {os.environ.get(name, '[not set]')}" for name in names]
    return "\n".join([*lines, ""])
