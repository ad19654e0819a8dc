"""A few eigenvalues of large symmetric matrices, the greatest or the smallest, without factorizing them.

Each step looks for the best eigenvectors in the span of the present ones X, of the directions P in which they have
just moved, and of their residuals, as a conjugate gradient method does.

* Knyazev, "Toward the Optimal Preconditioned Eigensolver", 2001: the method ``"basic"``.
* Stathopoulos and Wu, "A Block Orthogonalization Procedure with Constant Synchronization Requirements", 2002, and
  Duersch, Shao, Yang and Gu, "A Robust and Efficient Implementation of LOBPCG", 2018: the method ``"ortho"``, which
  keeps a basis of that span orthonormal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.autograd.function import Function
from retrograd.dtypes import float32, float64
from retrograd.ops.creation import empty
from retrograd.ops.declare import composite, publics
from retrograd.ops.factories import eye, zeros
from retrograd.ops.linalg_solving import cholesky, solve, solve_triangular
from retrograd.ops.linalg_spectra import eigh, qr
from retrograd.ops.low_rank import floating_type
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["LOBPCG"]

_PRECISION = {float32: 1.2e-07, float64: 2.23e-16}


def _times(A: Tensor | None, X: Tensor) -> Tensor:
    """``A @ X``; no matrix is the identity."""
    return X if A is None else A @ X


def _form(A: Tensor | None, X: Tensor) -> Tensor:
    return X.mT @ _times(A, X)


def _pairs(A: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    """All eigenvalues, those that are looked for first, and eigenvectors."""
    values, vectors = eigh(A, UPLO="U")
    return (values.flip(-1), vectors.flip(-1)) if largest else (values, vectors)


def _norm(X: Tensor) -> float:
    return float(publics["norm"](X))


class LOBPCG:
    """The state of one search, as a `tracker` sees it after each step.

    Attributes
    ----------
    A, B, iK
        The matrices of the problem and the preconditioner; None is the identity.
    iparams, fparams, bparams
        What it was called with: integers, floats and bools by name.
    E, X, R, S
        The eigenvalues and eigenvectors so far, their residuals, and a basis of the span that is searched next.
    ivars, fvars, bvars, tvars
        Variables of the search by name, among them ``ivars["istep"]``, ``ivars["converged_count"]`` and
        ``tvars["rerr"]``, the relative residuals. ``bvars["force_stop"] = True`` ends the search.
    """

    def __init__(
        self, A: Tensor, B: Tensor | None, X: Tensor, iK: Tensor | None, iparams: dict[str, int],
        fparams: dict[str, float], bparams: dict[str, bool], method: str, tracker: Callable[[LOBPCG], Any] | None,
    ) -> None:  # fmt: skip
        self.A, self.B, self.iK = A, B, iK
        self.iparams, self.fparams, self.bparams = iparams, fparams, bparams
        self.method, self.tracker = method, tracker
        rows, columns = iparams["m"], iparams["n"]
        self.X = X
        self.E = zeros(columns, dtype=X.dtype, device=X.device)
        self.R = zeros(rows, columns, dtype=X.dtype, device=X.device)
        self.S = zeros(rows, 3 * columns, dtype=X.dtype, device=X.device)
        self.tvars: dict[str, Tensor] = {}
        self.ivars: dict[str, int] = {"istep": 0}
        self.fvars: dict[str, float] = {"_": 0.0}
        self.bvars: dict[str, bool] = {"_": False}

    def __str__(self) -> str:
        names = "iparams fparams bparams ivars fvars bvars tvars A B iK X E".split()
        return "".join(["LOBPCG:\n", *(f"  {name}={getattr(self, name)}\n" for name in names)])

    # -- the search ----------------------------------------------------------------------------

    def run(self) -> None:
        """Step until enough pairs have converged, or no step is left."""
        stopped = False
        while not stopped:
            self.update()
            if self.tracker is not None:
                self.call_tracker()
            stopped = self.stop_iteration()

    def call_tracker(self) -> None:
        """Show the state to who asked for it."""
        if self.tracker is not None:
            self.tracker(self)

    def stop_iteration(self) -> bool:
        """Whether the search is over."""
        left, converged = self.ivars["iterations_left"], self.ivars["converged_count"]
        return self.bvars.get("force_stop", False) or left == 0 or converged >= self.iparams["k"]

    def update(self) -> None:
        """Do one step; the first one orders what the search starts with."""
        if self.ivars["istep"] == 0:
            self._measure()
            moved = self._first_pairs()
            behind = 0
        else:
            moved = self._next_pairs()
            behind = 1
        self.update_residual()
        converged = self.update_converged_count()
        self._search_next(moved, self.R[:, converged:] if behind else self.R)
        self.ivars["iterations_left"] -= 1
        self.ivars["istep"] += 1

    def update_residual(self) -> None:
        """How far the pairs are from being eigenpairs."""
        self.R = _times(self.A, self.X) - _times(self.B, self.X) * self.E

    def update_converged_count(self) -> int:
        """Count the first pairs whose residual is small beside the norms of the matrices.

        It may be overridden, to judge convergence otherwise.
        """
        norm = publics["norm"]
        size = self.fvars["A_norm"] + self.E[: self.X.shape[-1]].abs() * self.fvars["B_norm"]
        error = norm(self.R, 2, (0,)) / (norm(self.X, 2, (0,)) * size)
        good = (error < self.fparams["tol"]).tolist()
        before, count = self.ivars["converged_count"], (*good, False).index(False)
        if count < before:
            raise AssertionError(f"the number of converged eigenpairs (was {before}, got {count}) cannot decrease")
        self.ivars["converged_count"] = count
        self.tvars["rerr"] = error
        return count

    # -- its parts -----------------------------------------------------------------------------

    def _measure(self) -> None:
        self.fvars["X_norm"] = size = _norm(self.X)
        self.fvars["A_norm"] = _norm(_times(self.A, self.X)) / size
        self.fvars["B_norm"] = _norm(_times(self.B, self.X)) / size
        self.ivars |= {"iterations_left": self.iparams["niter"], "converged_count": 0, "converged_end": 0}

    @property
    def _basic(self) -> bool:
        return self.method != "ortho"

    def _in_span(self, basis: Tensor) -> tuple[Tensor, Tensor]:
        """The eigenvalues of A in the span of some columns, and of what combinations of them the vectors are."""
        inside = _form(self.A, basis)
        to_orthonormal = self._get_rayleigh_ritz_transform(basis)
        values, vectors = _pairs(_form(inside, to_orthonormal), self.bparams["largest"])
        return values, to_orthonormal @ vectors

    def _first_pairs(self) -> Tensor | None:
        values, combined = self._in_span(self.X)
        if self._basic:
            self.X[:] = self.X @ combined
            self.E[:] = values
        else:  # which leaves the eigenvalues for the next step, so that the first residual is ``A @ X``
            self.X = self.X @ combined
        return None

    def _next_pairs(self) -> Tensor:
        """New pairs in place of those that have not converged. Returns the directions in which these have moved."""
        converged = self.ivars["converged_count"]
        basis, count = self.S[:, converged : self.ivars["converged_end"]], self.iparams["n"] - converged
        if self._basic:
            values, combined = self._in_span(basis)
            n = self.iparams["n"]
            moved = basis @ combined[:, n : n + count]
        else:
            values, combined = _pairs(_form(self.A, basis), self.bparams["largest"])
            moved = basis @ (combined[:, count:] @ qr(combined[:count, count:].mT).Q)
        self.X[:, converged:] = basis @ combined[:, :count]
        self.E[converged:] = values[:count]
        return moved

    def _search_next(self, moved: Tensor | None, residual: Tensor) -> None:
        """Make the basis of the next step's span."""
        n = self.iparams["n"]
        so_far = n if moved is None else n + moved.shape[-1]
        self.S[:, :n] = self.X
        if moved is not None:
            self.S[:, n:so_far] = moved
        added = _times(self.iK, residual) if self._basic else self._get_ortho(residual, self.S[:, :so_far])
        self.ivars["converged_end"] = end = so_far + added.shape[-1]
        self.S[:, so_far:end] = added

    def _get_rayleigh_ritz_transform(self, S: Tensor) -> Tensor:
        """A triangle, by which S becomes orthonormal as B measures it; S is scaled first, for precision."""
        inside = _form(self.B, S)
        scale = inside.diagonal(0, -2, -1) ** -0.5
        factor = cholesky(inside * scale * scale.unsqueeze(-1), upper=True)
        return solve_triangular(factor, scale.diag_embed(), upper=True, left=False)

    def _get_svqb(self, U: Tensor, drop: bool, tau: float) -> Tensor:
        """Columns with the span of U, orthonormal as B measures it; with `drop` those alone that matter to it.

        Algorithm 4 of Duersch, "High Efficiency Spectral Analysis and BLAS-3 Randomized QRCP", 2015.
        """
        if not U.numel():
            return U
        inside = _form(self.B, U)
        there = inside.diagonal(0, -2, -1).abs() != 0.0
        if not bool(there.all()):
            U = U[:, there]
            if not U.numel():
                return U
            inside = _form(self.B, U)
        scale = inside.diagonal(0, -2, -1) ** -0.5
        values, vectors = _pairs(inside * scale.unsqueeze(-1) * scale, False)
        least = tau * values.abs().max()
        if drop:
            matter = values > least
            values, vectors = values[matter], vectors[:, matter]
        else:
            values = publics["maximum"](values, least)
        return (U * scale) @ (vectors * values**-0.5)

    def _get_ortho(self, U: Tensor, V: Tensor) -> Tensor:
        """What of the span of U is orthogonal to V, orthonormal as B measures it; maybe nothing.

        Algorithms 3 and (with `ortho_use_drop`) 6 of the same work.
        """
        self._forget_last()
        tolerance = self.fparams["ortho_tol"]
        size = _norm(_times(self.B, V))
        along = V.mT @ _times(self.B, U)
        i = 0
        for i in range(self.iparams["ortho_i_max"]):
            U = self._orthonormal(U - V @ along, i)
            if not U.numel():
                return U
            along = V.mT @ _times(self.B, U)
            self.fvars[f"ortho_VBU_rerr[{i}]"] = error = _norm(along) / (size * _norm(U))
            if error < tolerance:
                break
            self._check_room(U, V)
        self.ivars["ortho_i"] = i
        return U

    def _forget_last(self) -> None:
        for name in [each for each in self.fvars if each.startswith("ortho_") and each.endswith("_rerr")]:
            del self.fvars[name]
        self.ivars.pop("ortho_i", None)
        self.ivars.pop("ortho_j", None)

    def _orthonormal(self, U: Tensor, i: int) -> Tensor:
        """U made orthonormal, as often as it takes."""
        drops, params = self.bparams["ortho_use_drop"], self.fparams
        j = 0
        for j in range(self.iparams["ortho_j_max"]):
            first = drops and j == 0
            U = self._get_svqb(U, drops and not first, params["ortho_tol_drop" if first else "ortho_tol_replace"])
            if not U.numel():  # all of it lay in the span of V
                self.ivars["ortho_i"] = i
                break
            BU = _times(self.B, U)
            off = U.mT @ BU
            off = off - eye(off.shape[-1], dtype=U.dtype, device=U.device)
            self.fvars[f"ortho_UBUmI_rerr[{i}, {j}]"] = error = _norm(off) / (_norm(BU) * _norm(U))
            if error < params["ortho_tol"]:
                break
        self.ivars["ortho_j"] = j
        return U

    def _check_room(self, U: Tensor, V: Tensor) -> None:
        if self.iparams["m"] < U.shape[-1] + V.shape[-1]:
            if self.B is None:
                raise AssertionError("B must not be None")
            raise ValueError(
                f"Overdetermined shape of U: #B-cols(={self.B.shape[-1]}) >= #U-cols(={U.shape[-1]}) + "
                f"#V-cols(={V.shape[-1]}) must hold"
            )


# -- the derivative ------------------------------------------------------------------------------


def _gradient(g_values: Tensor, g_vectors: Tensor, A: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
    """Of the matrix, of which these are some eigenvalues and vectors.

    A vector moves towards each other one by ``1 / (its value - the other's)``. For the vectors that are not there the
    same follows from ``A - value``, restricted to what is orthogonal to those that are; on these it is made 1.
    """
    up = vectors.mT
    gaps = values.unsqueeze(-2) - values.unsqueeze(-1) + values.new_full(values.shape, math.inf).diag_embed()
    found = vectors @ (g_values.diag_embed() + up @ g_vectors / gaps) @ up
    if vectors.shape[-1] == vectors.shape[-2]:
        return found
    known = vectors @ up
    others = eye(A.shape[-1], dtype=A.dtype, device=A.device) - known
    inside = (others @ A @ others + known).unsqueeze(-3) - values[..., None, None] * others.unsqueeze(-3)
    outside = solve(inside, (others @ g_vectors).mT.unsqueeze(-1)).squeeze(-1)
    return found - outside.mT @ up


class LOBPCGAutogradFunction(Function):
    """The search, with a derivative by the matrix."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, B: Tensor | None, search: Callable[..., tuple[Tensor, Tensor]]) -> Any:
        values, vectors = search(A, B)
        ctx.save_for_backward(A, B, values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, g_values: Tensor, g_vectors: Tensor) -> Any:
        A, B, values, vectors = ctx.saved_tensors
        if A.is_complex() or (B is not None and B.is_complex()):
            raise ValueError(
                "lobpcg.backward does not support complex input yet. Note that lobpcg.forward does though."
            )
        if B is not None:
            raise ValueError("lobpcg.backward does not support backward with B != I yet.")
        return _gradient(g_values, g_vectors, A, values, vectors), None, None


# -- what users call -----------------------------------------------------------------------------


def _check(A: Tensor, B: Tensor | None, n: int) -> None:
    if A.shape[-2] != A.shape[-1]:
        raise AssertionError(f"A must be square, got shape {A.shape}")
    if B is not None and A.shape != B.shape:
        raise AssertionError(f"A and B must have same shape, got {A.shape} vs {B.shape}")
    if A.shape[-1] < 3 * n:
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={A.shape[-1]}) is smaller than 3 x the "
            f"number of requested eigenpairs (={n})"
        )


def _search(
    A: Tensor, B: Tensor | None, k: int | None, X: Tensor | None, n: int | None, iK: Tensor | None, niter: int | None,
    tol: float | None, largest: bool | None, method: str | None, tracker: Callable[[LOBPCG], Any] | None,
    ortho: tuple[dict[str, Any] | None, ...],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    kind, m = floating_type(A), A.shape[-1]
    k = k if k is not None else 1 if X is None else X.shape[-1]
    n = X.shape[-1] if X is not None else k if n is None else n
    _check(A, B, n)
    tol = _PRECISION[kind] ** 0.5 if tol is None else tol
    method = "ortho" if method is None else method
    iparams = {"m": m, "n": n, "k": k, "niter": 1000 if niter is None else niter}
    fparams, bparams = {"tol": tol}, {"largest": True if largest is None else largest}
    if method == "ortho":
        _add_ortho((iparams, fparams, bparams), ortho, tol)

    def found(A: Tensor, B: Tensor | None, X: Tensor | None) -> tuple[Tensor, Tensor]:
        start = randn(m, n, dtype=kind, device=A.device) if X is None else X
        if tuple(start.shape) != (m, n):
            raise AssertionError(f"X{'_' * batched} shape mismatch: got {start.shape}, expected {(m, n)}")
        worker = LOBPCG(A, B, start, iK, iparams, fparams, bparams, method, tracker)
        worker.run()
        return worker.E[:k], worker.X[:, :k]

    batched = A.ndim > 2
    if not batched:
        return found(A, B, X)
    lead = tuple(A.shape[:-2])
    stacks = [None if each is None else each.reshape(-1, *each.shape[-2:]) for each in (A, B, X)]
    values = empty(math.prod(lead), k, dtype=kind, device=A.device)
    vectors = empty(math.prod(lead), m, k, dtype=kind, device=A.device)
    for i in range(math.prod(lead)):
        iparams["batch_index"] = i
        values[i], vectors[i] = found(*(None if each is None else each[i] for each in stacks))  # type: ignore[arg-type]
    return values.reshape(*lead, k), vectors.reshape(*lead, m, k)


def _add_ortho(params: Any, given: tuple[dict[str, Any] | None, ...], tol: float) -> None:
    """The parameters of the method that keeps a basis orthonormal: those that are given, and defaults."""
    defaults: Any = (
        {"ortho_i_max": 3, "ortho_j_max": 3},
        dict.fromkeys(("ortho_tol", "ortho_tol_drop", "ortho_tol_replace"), tol),
        {"ortho_use_drop": False},
    )
    for each, default, own in zip(params, defaults, given, strict=True):
        each.update({**default, **(own or {})})


@composite
def lobpcg(
    A: Tensor, k: int | None = None, B: Tensor | None = None, X: Tensor | None = None, n: int | None = None,
    iK: Tensor | None = None, niter: int | None = None, tol: float | None = None, largest: bool | None = None,
    method: str | None = None, tracker: Callable[[LOBPCG], Any] | None = None,
    ortho_iparams: dict[str, int] | None = None, ortho_fparams: dict[str, float] | None = None,
    ortho_bparams: dict[str, bool] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A few eigenvalues, and eigenvectors as columns, of ``A @ x == value * B @ x`` for symmetric, positive definite A.

    Where `A` requires a gradient, its symmetric part is taken, so that the gradient is symmetric.

    Parameters
    ----------
    k
        How many; by default as many as `X` has columns, or 1.
    B
        Symmetric and positive definite; by default the identity.
    X
        What to start with; by default `n` (or `k`) random columns. With the method ``"basic"`` it is written to.
    iK
        A preconditioner of the method ``"basic"``.
    niter
        The most steps, by default 1000; -1 is any number.
    tol
        What residual is small enough, by default the root of the type's precision.
    largest
        Whether the greatest eigenvalues are looked for, which is the default, or the smallest.
    method
        ``"ortho"``, the default, or ``"basic"``, whose steps are cheaper and less robust.
    tracker
        Called with the `LOBPCG` after each step.
    ortho_iparams, ortho_fparams, ortho_bparams
        What replaces defaults of the method ``"ortho"``: `ortho_i_max` and `ortho_j_max` (3), `ortho_tol`,
        `ortho_tol_drop` and `ortho_tol_replace` (`tol`), `ortho_use_drop` (False).

    Raises
    ------
    AssertionError
        If shapes do not fit.
    ValueError
        If `A` has less than 3 rows for each column of `X`; in a derivative, if there is a `B` or numbers are complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lobpcg.html

    Examples
    --------
    >>> import retrograd
    >>> E, X = retrograd.lobpcg(retrograd.tensor([1.0, 4.0, 2.0, 3.0]).diag(), largest=False)
    >>> retrograd.allclose(E, retrograd.tensor([1.0])), X.shape
    (True, retrograd.Size([4, 1]))
    """

    def search(A: Tensor, B: Tensor | None) -> tuple[Tensor, Tensor]:
        ortho = (ortho_iparams, ortho_fparams, ortho_bparams)
        return _search(A, B, k, X, n, iK, niter, tol, largest, method, tracker, ortho)

    if not (A.requires_grad or (B is not None and B.requires_grad)):
        return search(A, B)
    even = (A + A.mT) / 2, None if B is None else (B + B.mT) / 2
    values, vectors = LOBPCGAutogradFunction.apply(*even, search)
    return values, vectors
