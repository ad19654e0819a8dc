"""The contract between whoever starts a worker and the worker: a handful of environment variables.

The launcher sets them; so can a shell script, mpirun's wrapper or a test. Nothing else passes from a
launcher to a worker's program: its arguments are its own.

========================  ==================================================================
variable                  meaning
========================  ==================================================================
``RETROGRAD_RANK``        number of this worker, from 0
``RETROGRAD_WORLD_SIZE``  number of workers
``RETROGRAD_SERVERS``     addresses of the servers, comma-separated (``tcp://127.0.0.1:5555``)
``RETROGRAD_RUN``         name of the run; a server refuses workers of another run
``RETROGRAD_TIMEOUT``     seconds of silence after which a peer is taken for dead
``RETROGRAD_RECOVERY``    seconds beyond that in which a server that died may come back; it says so itself, later
``RETROGRAD_KEYS``        folder or file with this worker's key; see ``retrograd keys``
``RETROGRAD_BACKEND``     array backend; read by ``import retrograd`` itself
========================  ==================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .addresses import checked
from .errors import DistributedError, OptionError

__all__ = ["DEFAULT_TIMEOUT", "Environment"]

DEFAULT_TIMEOUT = 10.0
"""Seconds of silence after which a peer is taken for dead, unless ``RETROGRAD_TIMEOUT`` says otherwise."""

# How other launchers say which of their processes this is, and of how many.
_RANKS = (
    ("RANK", "WORLD_SIZE"),  # torchrun, and what follows its contract
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH and its relatives
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)

_REQUIRED = ("RETROGRAD_RANK", "RETROGRAD_WORLD_SIZE", "RETROGRAD_SERVERS")


@dataclass(frozen=True, slots=True)
class Environment:
    """A worker's place in a run, as its environment gives it.

    Examples
    --------
    >>> place = Environment(rank=1, world_size=2, servers=("tcp://127.0.0.1:5555",), run="demo")
    >>> Environment.read(place.variables()) == place
    True
    >>> Environment.read({}) is None  # started by hand: alone
    True
    """

    rank: int
    world_size: int
    servers: tuple[str, ...]
    run: str = ""
    timeout: float = DEFAULT_TIMEOUT
    keys: str = ""
    recovery: float = 0.0

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment | None:
        """Read the variables; ``None`` when there are none, so that the program runs alone.

        Raises
        ------
        OptionError
            When only some of the three required ones are set, or one cannot be read. A run that has lost
            a variable on its way must not train alone by mistake.
        """
        variables = with_rank(os.environ if variables is None else variables)
        missing = [name for name in _REQUIRED if not variables.get(name)]
        if len(missing) == len(_REQUIRED):
            return None
        if missing:
            raise OptionError(
                f"the environment names a run but lacks {' and '.join(missing)}: set all of "
                f"{', '.join(_REQUIRED)}, or none of them to train alone"
            )
        place = cls(
            rank=_read_int(variables, "RETROGRAD_RANK"),
            world_size=_read_int(variables, "RETROGRAD_WORLD_SIZE"),
            servers=_read_addresses(variables, "RETROGRAD_SERVERS"),
            run=variables.get("RETROGRAD_RUN", ""),
            timeout=read_timeout(variables),
            keys=variables.get("RETROGRAD_KEYS", ""),
            recovery=_read_seconds(variables, "RETROGRAD_RECOVERY"),
        )
        if not 0 <= place.rank < place.world_size:
            raise OptionError(
                f"RETROGRAD_RANK={place.rank} is not a rank of a run with "
                f"RETROGRAD_WORLD_SIZE={place.world_size}: ranks go from 0 to world size - 1"
            )
        return place

    def variables(self) -> dict[str, str]:
        """The variables that make a process read this place."""
        return {
            "RETROGRAD_RANK": str(self.rank),
            "RETROGRAD_WORLD_SIZE": str(self.world_size),
            "RETROGRAD_SERVERS": ",".join(self.servers),
            "RETROGRAD_RUN": self.run,
            "RETROGRAD_TIMEOUT": f"{self.timeout:g}",
            **({"RETROGRAD_KEYS": self.keys} if self.keys else {}),
            **({"RETROGRAD_RECOVERY": f"{self.recovery:g}"} if self.recovery else {}),
        }


def with_rank(variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables, with rank and world size from another launcher's if ours name servers and no rank.

    >>> given = {"RETROGRAD_SERVERS": "tcp://10.0.0.5:5555", "SLURM_PROCID": "3", "SLURM_NTASKS": "8"}
    >>> [with_rank(given)[name] for name in ("RETROGRAD_RANK", "RETROGRAD_WORLD_SIZE")]
    ['3', '8']
    """
    if not variables.get("RETROGRAD_SERVERS") or variables.get("RETROGRAD_RANK"):
        return variables
    for rank, size in _RANKS:
        if variables.get(rank) and variables.get(size):
            return {"RETROGRAD_WORLD_SIZE": variables[size], **variables, "RETROGRAD_RANK": variables[rank]}
    return variables


def read_timeout(variables: Mapping[str, str] | None = None) -> float:
    """``RETROGRAD_TIMEOUT``, or the default: one place for the launcher, the server and the workers."""
    variables = os.environ if variables is None else variables
    if "RETROGRAD_TIMEOUT" not in variables:
        return DEFAULT_TIMEOUT
    try:
        timeout = float(variables["RETROGRAD_TIMEOUT"])
    except ValueError:
        timeout = 0.0
    if not timeout > 0:
        raise OptionError(f"RETROGRAD_TIMEOUT={variables['RETROGRAD_TIMEOUT']!r} is not a positive number of seconds")
    return timeout


def _read_seconds(variables: Mapping[str, str], name: str) -> float:
    try:
        seconds = float(variables.get(name, "0"))
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise OptionError(f"{name}={variables[name]!r} is not a number of seconds")
    return seconds


def _read_addresses(variables: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return tuple(checked(each.strip()) for each in variables[name].split(","))
    except DistributedError as error:
        raise OptionError(f"{name}={variables[name]!r}: {error}") from None


def _read_int(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except ValueError:
        raise OptionError(f"{name}={variables[name]!r} is not an integer") from None
