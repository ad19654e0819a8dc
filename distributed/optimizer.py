"""`ServerOptimizer`: an optimizer whose step is done by the server, for all workers at once."""

from __future__ import annotations

import threading
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
    itself, in this process, with no server in between. A process may have several, which every worker makes in the same
    order.

    Parameters
    ----------
    optimizer_class : type
        A class of `retrograd.optim`. Its name and hyperparameters travel, never code.
    params : iterable
        Parameters or parameter groups, as for any optimizer; the same ones on every worker.
    accumulate : int
        Make a step at every `accumulate`-th call of :meth:`step` only, with the sum of the gradients of all the
        calls since the last one.
    overlap : bool
        Let gradients leave for the server while backward goes on. What changes after that, by another backward
        or by clipping, is sent again, so the result is the same. And let weights that come over a network do so
        while the program goes on, the first parameters' first: whoever looks at one waits for that one.
    **hyperparameters
        Passed on to `optimizer_class`.

    Raises
    ------
    Mismatch
        When another worker has another model or optimizer, or a server cannot run it: LBFGS asks for the loss again
        in the middle of its step.
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
        self,
        optimizer_class: type[rg.optim.Optimizer],
        params: Iterable[Any],
        *,
        accumulate: int = 1,
        overlap: bool = True,
        **hyperparameters: Any,
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, and is {accumulate}")
        self._worker = worker.current()
        if self._worker.client is not None:
            from . import bridge  # like all that talks to a server, loaded only when there is one

            bridge.check_runs_on_servers(optimizer_class)
        self._client: Client | None = None
        # Checks what it is given and fills in what it is not; and it is what steps when there is no server.
        self._local = optimizer_class(params, **hyperparameters)
        self._accumulate = accumulate
        self._calls = 0
        self._sums: dict[int, rg.Tensor] = {}
        super().__init__(self._local.param_groups, self._local.defaults)
        self._share()
        self._client = self._worker.next_client()
        if self._client is not None:
            from .prefetch import Prefetch
            from .pushing import Departures

            self._turn = threading.Lock()  # a step is a conversation, and two at once would be none
            self._initialize(self._client)
            self._departures = Departures(self._client, self._parameters(), early=overlap and accumulate == 1)
            self._prefetch, self._overlap = Prefetch(self._client, self._parameters(), self._receive), overlap
        self._worker.begin()

    def _share(self) -> None:
        """Have the local optimizer's very groups and state, so that a change of one is a change of both."""
        self.param_groups, self.state = self._local.param_groups, self._local.state

    def _parameters(self) -> list[rg.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _initialize(self, client: Client) -> None:
        from . import bridge

        self._receive, self._hyperparameters = bridge.Receiver(self._parameters()), bridge.Hyperparameters()
        client.initialize(
            type(self._local).__name__,
            bridge.plain_groups(self.param_groups),
            bridge.table_of(self.param_groups),
            [bridge.array_of(p) for p in self._parameters()],
            self._receive,
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step together with the other workers: push, wait as long as the run's consistency asks, pull.

        Threads of the program take turns, and each call is a step.
        """
        client = self._server("step()")
        if client is None:
            return self._step_alone(closure)
        loss = None
        if closure is not None:
            with rg.enable_grad():
                loss = closure()
        with self._turn:
            if self._is_due():
                self._push_and_pull(client)
        return loss

    def _server(self, what: str) -> Client | None:
        """The connection to the servers; ``None`` for a worker that is alone."""
        if self._client is not None and self._worker.client is None:
            raise DistributedError(
                f"this process is in the run no more: {what} after retrograd.distributed.shutdown(), or in a fork"
            )
        return self._client

    def _step_alone(self, closure: Callable[[], Any] | None) -> Any:
        loss = None
        if closure is not None:
            with rg.enable_grad():
                loss = closure()
        if self._is_due():
            kept = [p.grad for p in self._parameters()]
            for index, p in enumerate(self._parameters()):
                p.grad = self._total(index, p)
            self._sums.clear()
            self._local.step()
            for p, grad in zip(self._parameters(), kept, strict=True):
                p.grad = grad
            self._worker.advance(self._worker.step + 1)
        return loss

    def _is_due(self) -> bool:
        """Whether this call of `step` is the one that makes the step; else its gradients are added to the others'."""
        self._calls += 1
        if self._calls % self._accumulate == 0:
            return True
        for index, p in enumerate(self._parameters()):
            if (total := self._total(index, p)) is not None:
                self._sums[index] = total
        return False

    def _total(self, index: int, p: rg.Tensor) -> rg.Tensor | None:
        """The gradient with those of earlier calls, which came first."""
        if index not in self._sums:
            return p.grad if self._accumulate == 1 or p.grad is None else p.grad.detach().clone()
        return self._sums[index] if p.grad is None else self._sums[index] + p.grad.detach()

    def _push_and_pull(self, client: Client) -> None:
        if self._prefetch.is_busy:
            self._prefetch.finish()
        totals = {
            index: total for index, p in enumerate(self._parameters()) if (total := self._total(index, p)) is not None
        }
        self._sums.clear()
        gradients = self._departures.gradients(type(self._local).__name__, totals)
        client.push(self._hyperparameters(self.param_groups), gradients, self._receive, early=self._overlap)
        self._departures.clear()
        if client.is_receiving:
            self._prefetch.begin()
        else:
            self._receive.finish()
        self._worker.advance(client.step)

    def pull(self) -> None:
        """Get the weights as the server has them, without a step."""
        if (client := self._server("pull()")) is not None:
            with self._turn:
                self._prefetch.finish()
                client.pull(self._receive)

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, and what the optimizer keeps for each parameter, which is fetched from the servers.

        It is what `optimizer_class` itself would give, so a process that trains alone can load it.
        """
        if (client := self._server("state_dict()")) is not None:
            from . import bridge

            parameters = self._parameters()
            with self._turn:
                kept = client.fetch()
            joined = bridge.joined_state(type(self._local).__name__, parameters, kept)
            self.state.clear()
            self.state.update({parameters[index]: mine for index, mine in joined.items()})
        try:
            return self._local.state_dict()
        finally:
            if client is not None:
                self.state.clear()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave; every worker must, and rank 0's reaches the servers."""
        client = self._server("load_state_dict()")
        self._local.load_state_dict(state_dict)
        self._share()
        if client is None:
            return
        from . import bridge

        parameters = self._parameters()
        state = {index: self.state[p] for index, p in enumerate(parameters) if p in self.state}
        with self._turn:
            client.barrier()
            if self._worker.rank == 0:
                client.load(bridge.divided_state(type(self._local).__name__, parameters, state, client.layout))
            client.barrier()
        self.state.clear()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; only a worker that is alone can, once the optimizer is made."""
        if self._client is not None and self._client.initialized:
            raise DistributedError(
                "give ServerOptimizer all parameter groups when it is made: the server has its table"
            )
        super().add_param_group(param_group)

    def __repr__(self) -> str:
        return f"ServerOptimizer({self._local!r})"
