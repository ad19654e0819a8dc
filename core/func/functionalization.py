"""`functionalize`: PyTorch's transform for compilers that can take no in-place operators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.levels import running

__all__ = ["functionalize"]


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """A function with the results and the effects of `func`, computed without in-place operators.

    Which operators compute them cannot be seen here: on a backend whose arrays cannot be written to, a write makes a
    new array in any case, and it is those that are compiled. So it calls `func` as it is.

    Parameters
    ----------
    remove
        `"mutations"`, or `"mutations_and_views"`.

    Raises
    ------
    RuntimeError
        If `remove` is neither.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.functionalize.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.func import functionalize, grad
    >>> def f(x):
    ...     y = x.clone()
    ...     return y.mul_(2).sum()
    >>> grad(functionalize(f))(retrograd.ones(2))
    tensor([2., 2.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program, and replaced "
            "with their out-of-place equivalents.\n"
            "     remove='mutations_and_views': In addition to the above, all aliasing operators {view} will be "
            "replaced with their non-aliasing counterparts, {view}_copy.\n"
        )

    @functools.wraps(func)
    def functionalized(*args: Any, **kwargs: Any) -> Any:
        with running("functionalize"):  # for what no transform may be running at
            return func(*args, **kwargs)

    return functionalized
