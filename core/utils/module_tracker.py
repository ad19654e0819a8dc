"""Which modules are running, forward or backward, told by a context.

Source: https://docs.pytorch.org/docs/stable/module_tracker.html
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

from retrograd._C import _current_graph_task_id
from retrograd.autograd.graph import register_multi_grad_hook
from retrograd.autograd.hooks import RemovableHandle
from retrograd.autograd.variable import Variable
from retrograd.nn.modules.everywhere import register_module_forward_hook, register_module_forward_pre_hook
from retrograd.nn.modules.module import Module
from retrograd.tensor import Tensor
from retrograd.utils._pytree import tree_leaves

__all__ = ["ModuleTracker"]

logger = logging.getLogger(__name__)


class ModuleTracker:
    """A context that knows which modules are running.

    Attributes
    ----------
    parents
        Their names, each that of its place within the outermost module that has been called, and `"Global"`. In a
        backward pass a module runs from when the gradients of its outputs are there until those of its inputs are.

    Source: https://docs.pytorch.org/docs/stable/module_tracker.html

    Examples
    --------
    >>> import retrograd
    >>> class Telling(retrograd.nn.Module):
    ...     def forward(self, x):
    ...         print(sorted(tracker.parents), tracker.is_bw)
    ...         return x
    >>> with retrograd.utils.module_tracker.ModuleTracker() as tracker:
    ...     _ = retrograd.nn.Sequential(Telling())(retrograd.ones(1))
    ['Global', 'Sequential', 'Sequential.0'] False
    """

    parents: set[str]

    def __init__(self) -> None:
        self.parents = {"Global"}
        self._names: weakref.WeakKeyDictionary[Module, str] = weakref.WeakKeyDictionary()
        self._named: weakref.WeakSet[Module] = weakref.WeakSet()
        self._ends_pass = False
        self._hooks: list[Any] = []
        self._everywhere: list[RemovableHandle] = []

    @property
    def is_bw(self) -> bool:
        """Whether a backward pass is running."""
        return _current_graph_task_id() != -1

    def _name(self, module: Module) -> str:
        """The module's name, given with those of its parts when it is met first."""
        name = self._names.setdefault(module, type(module).__name__)
        if module not in self._named:
            for part_name, part in module.named_children():
                self._names[part] = f"{name}.{part_name}"
                self._name(part)
            self._named.add(module)
        return name

    def _begin(self, name: str) -> None:
        if name in self.parents:
            logger.info("the module %s begins a second time before it has ended", name)
        self.parents.add(name)

    def _end(self, name: str) -> None:
        if name not in self.parents:
            logger.info("the module %s ends without having begun", name)
        self.parents.discard(name)

    def _begin_backward(self, name: str) -> None:
        if not self._ends_pass:
            self._ends_pass = True
            Variable._execution_engine.queue_callback(self._end_pass)
        self._begin(name)

    def _end_pass(self) -> None:
        self._ends_pass = False
        self.parents = {"Global"}

    def _before(self, module: Module, args: Any) -> None:
        name = self._name(module)
        self._begin(name)
        self._once_there(args, lambda *grads: self._end(name))

    def _after(self, module: Module, args: Any, output: Any) -> None:
        name = self._name(module)
        self._end(name)
        self._once_there(output, lambda *grads: self._begin_backward(name))

    def _once_there(self, value: Any, act: Callable[..., None]) -> None:
        """Act when a backward pass has the gradients of all tensors in `value`."""
        tensors = [each for each in tree_leaves(value) if isinstance(each, Tensor) and each.requires_grad]
        if tensors:
            self._hooks.append(register_multi_grad_hook(tensors, act))

    def __enter__(self) -> ModuleTracker:
        self._everywhere = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in (*self._everywhere, *self._hooks):
            handle.remove()
        self._everywhere.clear()
        self._hooks.clear()
