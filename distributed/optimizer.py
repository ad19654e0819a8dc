"""`ServerOptimizer`: an optimizer whose step is done by the server, for all workers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import retrograd as rg

from . import worker
from .errors import DistributedError

if TYPE_CHECKING:
    from .client import Client

__all__ = ["ServerOptimizer"]


class ServerOptimizer(rg.optim.Optimizer):
    r"""An optimizer that pushes gradients to the server and pulls the new weights from it.

    One step of all workers together is one step of `optimizer_class` on the server with the *sum* of
    their gradients, in the order of ranks:

    .. math:: W \leftarrow \mathrm{step}(W,\; (g_0 + g_1) + g_2 + \dots)

    This equals, on NumPy bit for bit, one process that calls ``backward()`` for each worker's share of the
    batch in that order and then steps. Divide each worker's loss by the size of the *global* batch, and the
    sum is the mean over it.

    When it is made, every worker gets rank 0's weights. A worker that is alone gets `optimizer_class`
    itself, in this process, with no server in between.

    Parameters
    ----------
    optimizer_class : type
        A class of `retrograd.optim`. Its name and hyperparameters travel, never code.
    params : iterable
        Parameters or parameter groups, as for any optimizer; the same ones on every worker.
    **hyperparameters
        Passed on to `optimizer_class`.

    Raises
    ------
    Mismatch
        When another worker has another model or optimizer.
    WorkerLost, ServerLost
        Also by `step`: when another worker or the server has died.

    Examples
    --------
    >>> import retrograd.distributed as dist
    >>> dist.init()
    >>> w = rg.nn.Parameter(rg.tensor([1.0, 2.0]))
    >>> opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.5)
    >>> w.square().sum().backward()
    >>> opt.step()
    >>> w.tolist()
    [0.0, 0.0]
    >>> dist.shutdown()

    A change of a hyperparameter holds from the next step on, also on the server:

    >>> opt.param_groups[0]["lr"] = 0.1
    """

    def __init__(
        self, optimizer_class: type[rg.optim.Optimizer], params: Iterable[Any], **hyperparameters: Any
    ) -> None:
        # Not `super().__init__`: groups, defaults and state are the local optimizer's, which checks what it
        # is given and fills in what it is not. It is also a whole optimizer when there is no server.
        self._local = optimizer_class(params, **hyperparameters)
        self._worker = worker.current()
        self._parameters = [p for group in self._local.param_groups for p in group["params"]]
        if self._worker.client is not None:
            self._initialize(self._worker.client)
        self._worker.begin()

    def _initialize(self, client: Client) -> None:
        from . import bridge  # like all that talks to a server, loaded only when there is one

        if client.initialized:
            raise DistributedError(
                "this process has a ServerOptimizer already, and this version has one set of weights on "
                "the server: put all parameters into one optimizer, in groups if their hyperparameters differ"
            )
        groups = self._local.param_groups
        weights = [bridge.array_of(p) for p in self._parameters]
        name = type(self._local).__name__
        bridge.assign(
            self._parameters,
            client.initialize(name, bridge.plain_groups(groups), bridge.table_of(groups), weights),
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step together with all other workers: push, wait for everyone's, pull."""
        if self._worker.client is None:
            loss = self._local.step() if closure is None else self._local.step(closure)
            self._worker.advance(self._worker.step + 1)
            return loss
        loss = None
        if closure is not None:
            with rg.enable_grad():
                loss = closure()
        self._push_and_pull(self._worker.client)
        return loss

    def _push_and_pull(self, client: Client) -> None:
        from . import bridge

        slots, gradients = bridge.gradients_of(self._parameters)
        weights = client.push(bridge.plain_groups(self._local.param_groups), slots, gradients)
        bridge.assign(self._parameters, weights)
        self._worker.advance(client.step)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget this worker's gradients."""
        self._local.zero_grad(set_to_none)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The parameter groups. Numbers that are changed here reach the server with the next step."""
        return self._local.param_groups

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return self._local.defaults

    @property
    def state(self) -> Any:  # type: ignore[override]
        """Momenta and the like: empty on a worker, since they live on the server."""
        return self._local.state

    def state_dict(self) -> dict[str, Any]:
        """The groups and, when this worker is alone, the state, which else lives on the server."""
        return self._local.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave; only a worker that is alone can."""
        if self._worker.client is not None:
            raise DistributedError(
                "the optimizer's state lives on the server, which cannot load one in this version: load it "
                "in a process that trains alone, or set the hyperparameters in param_groups"
            )
        self._local.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; only a worker that is alone can."""
        if self._worker.client is not None:
            raise DistributedError(
                "give ServerOptimizer all parameter groups when it is made: the server has its table"
            )
        self._local.add_param_group(param_group)
        self._parameters = [p for group in self._local.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        return f"ServerOptimizer({self._local!r})"
