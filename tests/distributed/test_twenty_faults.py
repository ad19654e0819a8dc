"""Twenty faults in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import losses, troubles
from faults.losses import Body


@pytest.mark.parametrize("fault", losses.FAULTS + troubles.FAULTS, ids=lambda each: each.__name__)
def test_a_run_survives(fault: Body, tmp_path: Path) -> None:
    fault(tmp_path)
