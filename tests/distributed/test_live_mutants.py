"""As `test_mutants`, for what needs real sockets, files and keys: each of these tests finds a defect out.

What is run on a mutant are the very tests that run on the product as it is, in their own files.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import ps_harness
import pytest
from faults import live_mutants as m
from faults.mutants import Mutant

from retrograd.distributed import client as client_module, follower as follower_module, link as link_module
from retrograd.distributed.errors import DistributedError


def file_of(name: str) -> ModuleType:
    """A file of tests beside this one; pytest imports none by its name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


among, flooding = map(file_of, ("test_among_servers", "test_floods"))
damaged, going_back, lanes = map(file_of, ("test_damaged_bytes", "test_going_back", "test_lanes"))
security, writing_beside = map(file_of, ("test_security", "test_writing_beside"))
stranger, disk = security.stranger, writing_beside.disk  # fixtures

Case: TypeAlias = tuple[Mutant, Callable[..., None], dict[str, Any]]

CASES: tuple[Case, ...] = (
    (
        m.who_is_behind_speaks,
        going_back.test_a_worker_that_pulls_meanwhile_never_sees_two_times_at_once,
        {"staleness": 1},
    ),
    (m.return_of_the_first_unnoticed, going_back.test_what_the_first_server_alone_had_done_and_answered_is_undone, {}),
    (m.the_lost_are_not_called_gone, going_back.test_one_that_was_given_up_joins_again_also_after_that, {}),
    (m.nobody_goes_back, going_back.test_where_nothing_is_kept_that_all_have_the_run_ends, {}),
    (
        m.no_copy_is_taken,
        writing_beside.test_the_server_goes_on_while_a_snapshot_of_one_moment_is_written,
        {"durable": False},
    ),
    (
        m.no_copy_is_taken,
        writing_beside.test_the_server_goes_on_while_a_snapshot_of_one_moment_is_written,
        {"durable": True},
    ),
    (m.any_key_is_any_workers, security.test_with_another_workers_key_one_is_not_let_in_as_this_worker, {}),
    (m.any_key_is_any_workers, security.test_the_server_s_own_copy_says_what_a_key_is_for, {}),
    (m.nobody_looks_at_the_list, security.test_a_key_that_is_not_on_the_list_is_named, {}),
    (m.no_key_is_needed, security.test_a_client_without_a_key_is_told_to_bring_one, {}),
    (m.no_key_is_needed, security.test_what_passes_is_encrypted, {}),
    (m.refusals_are_not_told, security.test_a_client_without_a_key_is_told_to_bring_one, {}),
    (m.refusals_are_not_told, security.test_a_key_that_is_not_on_the_list_is_named, {}),
    (m.a_name_is_believed, security.test_a_name_that_a_peer_gives_itself_is_not_believed, {}),
    (
        m.no_checksum_of_messages,
        damaged.test_a_message_that_is_damaged_is_said_again,
        {"kind": "push", "change": damaged.turn_a_bit},
    ),
    (
        m.damage_is_an_error,
        damaged.test_a_message_that_is_damaged_is_said_again,
        {"kind": "push", "change": damaged.turn_a_bit},
    ),
    (
        m.a_deaf_connection_is_kept,
        damaged.test_a_connection_that_nothing_comes_out_of_is_made_anew,
        {"which": 1, "direction": "to_server"},
    ),
    (m.twins_share_a_place, among.test_a_server_that_is_started_twice_ends_and_the_run_does_not, {}),
    (m.a_message_need_not_end, flooding.test_who_sends_a_message_that_does_not_end_is_cut_off, {"known": False}),
    (m.any_token_opens_a_lane, lanes.test_a_token_is_good_for_one_lane, {}),
    (m.a_chosen_way_is_left, lanes.test_a_worker_whose_address_has_another_port_opens_none, {}),
)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would never come is not waited for long."""
    monkeypatch.setattr(ps_harness, "DEADLINE", 5.0)
    monkeypatch.setattr(going_back, "DEADLINE", 5.0)
    monkeypatch.setattr(writing_beside, "DEADLINE", 5.0)
    monkeypatch.setattr(damaged, "DEADLINE", 5.0)
    monkeypatch.setattr(security, "PROMISED", 1.0)
    for module, name in ((follower_module, "_REPORT"), (client_module, "HEARTBEAT")):
        monkeypatch.setattr(module, name, 0.05)
    for name in ("_REPEAT", "_HELLO_AGAIN"):
        monkeypatch.setattr(link_module, name, 0.1)


def name_of(case: Case) -> str:
    mutant, test, given = case
    return "-".join(
        [mutant.__name__, test.__name__, *(getattr(each, "__name__", str(each)) for each in given.values())]
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
@pytest.mark.usefixtures("hurried")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # whoever waits is let down
def test_a_test_finds_a_mutant_out(case: Case, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant, test, given = case
    wanted = [name for name in inspect.signature(test).parameters if name not in given]
    fixtures = {name: request.getfixturevalue(name) for name in wanted}
    mutant(monkeypatch)
    with pytest.raises((AssertionError, DistributedError, pytest.fail.Exception)):
        test(**fixtures, **given)


def test_every_mutant_is_used() -> None:
    defined = {each for each in vars(m).values() if getattr(each, "__annotations__", {}).get("patch") == "Patch"}
    assert {mutant for mutant, _, _ in CASES} == defined
