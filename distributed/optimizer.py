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
        # Checks what it is given and fills in what it is not; and it is what steps when there is no server.
        self._local = optimizer_class(params, **hyperparameters)
        self._worker = worker.current()
        self._client = self._worker.client
        super().__init__(self._local.param_groups, self._local.defaults)
        self._share()
        if self._client is not None:
            self._initialize(self._client)
        self._worker.begin()

    def _share(self) -> None:
        """Have the local optimizer's very groups and state, so that a change of one is a change of both."""
        self.param_groups, self.state = self._local.param_groups, self._local.state

    def _parameters(self) -> list[rg.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _initialize(self, client: Client) -> None:
        from . import bridge  # like all that talks to a server, loaded only when there is one

        if client.initialized:
            raise DistributedError(
                "this process has a ServerOptimizer already, and this version has one set of weights on "
                "the server: put all parameters into one optimizer, in groups if their hyperparameters differ"
            )
        weights = client.initialize(
            type(self._local).__name__,
            bridge.plain_groups(self.param_groups),
            bridge.table_of(self.param_groups),
            [bridge.array_of(p) for p in self._parameters()],
        )
        bridge.assign(self._parameters(), weights)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step together with all other workers: push, wait for everyone's, pull."""
        if self._client is None:
            loss = self._local.step() if closure is None else self._local.step(closure)
            self._worker.advance(self._worker.step + 1)
            return loss
        if self._worker.client is None:
            raise DistributedError("this process has left the run: step() after retrograd.distributed.shutdown()")
        loss = None
        if closure is not None:
            with rg.enable_grad():
                loss = closure()
        self._push_and_pull(self._client)
        return loss

    def _push_and_pull(self, client: Client) -> None:
        from . import bridge

        parameters = self._parameters()
        slots, gradients = bridge.gradients_of(parameters)
        weights = client.push(bridge.plain_groups(self.param_groups), slots, gradients)
        bridge.assign(parameters, weights)
        self._worker.advance(client.step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave; only a worker that is alone can.

        With a server the momenta and the like live there, and `state_dict` holds the groups alone.
        """
        if self._client is not None:
            raise DistributedError(
                "the optimizer's state lives on the server, which cannot load one in this version: load it "
                "in a process that trains alone, or set the hyperparameters in param_groups"
            )
        self._local.load_state_dict(state_dict)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; only a worker that is alone can, once the optimizer is made."""
        if self._client is not None and self._client.initialized:
            raise DistributedError(
                "give ServerOptimizer all parameter groups when it is made: the server has its table"
            )
        super().add_param_group(param_group)

    def __repr__(self) -> str:
        return f"ServerOptimizer({self._local!r})"
