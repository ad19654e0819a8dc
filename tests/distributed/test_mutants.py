"""Tests of faults are worth what they notice: for each fault, a product with a defect under which its test fails.

The test is the very function that `test_twenty_faults` runs on the product as it is. A hang ends when the simulated
network's time is up, so a mutant costs no waiting. Mutants that only real sockets, files and keys find out are in
`test_live_mutants`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import losses, mutants as m, troubles
from faults.losses import Body

MUTANTS: dict[Body, tuple[m.Mutant, ...]] = {
    losses.dead_before_its_push_fails: (m.silence_unnoticed,),
    losses.dead_before_its_push_shrinks: (m.silence_unnoticed, m.the_dead_are_waited_for, m.sum_of_those_who_are_left),
    losses.dead_where_nobody_waits: (m.everybody_waits,),
    losses.dead_between_slices: (m.half_a_push_counts, m.abandoned_parts_stay),
    losses.answer_lost: (m.half_is_applied, m.no_answer_twice, m.no_table_of_what_came, m.nothing_said_again),
    losses.request_lost: (m.nothing_said_again, m.order_of_arrival),
    losses.doubled_while_it_waits: (m.no_table_of_what_came,),
    losses.doubled_where_nobody_waits: (m.no_table_of_what_came,),
    losses.parts_out_of_order: (m.last_part_is_all, m.half_a_push_counts),
    losses.pushes_out_of_order: (m.no_table_of_what_came,),
    losses.server_dies_before_its_answer: (m.journal_not_written, m.journal_not_flushed, m.no_fsync, m.table_not_kept),
    losses.server_dies_after_an_answer: (m.journal_not_written, m.journal_not_flushed, m.no_fsync, m.table_not_kept),
    losses.server_dies_without_a_journal: (m.going_back_unnoticed,),
    losses.server_dies_in_a_snapshot: (m.snapshot_in_place,),
    losses.newest_snapshot_damaged: (m.no_checksum, m.no_older_snapshot),
    losses.disk_full: (m.full_disk_is_fatal,),
    troubles.zombie: (m.stale_incarnation_welcome, m.silence_unnoticed),
    troubles.zombie_whose_push_is_late: (m.stale_incarnation_welcome, m.silence_unnoticed),
    troubles.straggler: (m.late_gradients_count, m.no_backups),
    troubles.bounded_staleness: (m.no_bound, m.everybody_waits),
    troubles.nothing_is_read_too_old: (m.no_bound, m.the_oldest_there_are),
    troubles.server_stands_still: (m.impatient,),
    troubles.one_way_to_the_worker: (m.silent_server_unnoticed,),
    troubles.connections_cut: (m.stranger_not_greeted, m.hello_all_the_time),
    troubles.slow_reader: (m.slow_readers_are_sent_more,),
    troubles.greedy: (m.no_credit,),
    troubles.hostile: (m.strangers_end_the_server, m.strangers_fill_the_log),
    troubles.unfitting: (m.no_shapes,),
    troubles.nan_is_rejected: (m.no_finite_check, m.routine_does_not_look),
    troubles.nan_is_skipped: (m.no_finite_check,),
    troubles.nan_is_allowed: (m.finite_check_always,),
    troubles.sum_overflows: (m.sums_are_not_looked_at, m.routine_does_not_look),
    troubles.churn: (m.sum_of_those_who_are_left, m.the_dead_are_waited_for),
    troubles.uneven: (m.the_dead_are_waited_for, m.sum_of_those_who_are_left),
    troubles.one_worker: (m.nothing_is_applied,),
    troubles.all_die: (m.no_end, m.silence_unnoticed),
    troubles.clock_jumps: (m.wall_clock,),
}


PAIRS = [pytest.param(fault, m_, id=f"{m_.__name__}-{fault.__name__}") for fault in MUTANTS for m_ in MUTANTS[fault]]


@pytest.mark.parametrize(("fault", "mutant"), PAIRS)
def test_a_fault_finds_a_mutant_out(
    fault: Body, mutant: m.Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        fault(tmp_path)


def test_every_fault_has_a_mutant_and_every_mutant_a_fault() -> None:
    assert MUTANTS.keys() == {*losses.FAULTS, *troubles.FAULTS}
    defined = {each for each in vars(m).values() if getattr(each, "__annotations__", {}).get("patch") == "Patch"}
    assert {each for several in MUTANTS.values() for each in several} == defined
