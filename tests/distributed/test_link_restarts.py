"""A worker's conversation with a server that has started again, or has gone on without it."""

from __future__ import annotations

from typing import Any

import pytest
from link_talk import Talk, welcome
from ps_harness import SGD, SLOTS, TABLE, push

from retrograd.distributed.errors import ServerLost, Taken
from retrograd.distributed.messages import Barrier, Error, Hello, Init, Message, Pull, Released, Weights

# ---- a server that has started again ----------------------------------------------------------------------


def restart(talk: Talk, **fields: Any) -> list[Message]:
    """Let the server come back; what the link then repeats."""
    talk.pulse(0, 0, now=20.0, boot=2)
    talk.said()
    talk.hear(welcome(**{"boot": 2, "takes_part": True, **fields}), 20.1)
    return talk.said()


def test_a_push_is_for_the_step_that_is_next_on_a_server_which_has_gone_back(joined: Talk) -> None:
    joined.ask(push(2, 9, version=8))
    joined.said()
    assert restart(joined, step=5, version=4) == [push(2, 6, version=0)]


def test_a_push_for_a_server_which_has_lost_nothing_is_repeated_as_it_was(joined: Talk) -> None:
    joined.ask(push(2, 9, version=8))
    joined.said()
    assert restart(joined, step=8, version=8) == [push(2, 9, version=8)]


def test_what_is_asked_later_is_for_the_server_s_step_until_the_program_knows_of_it(joined: Talk) -> None:
    assert restart(joined, step=5, version=4) == []
    joined.ask(Pull(2, 8))
    request = joined.ask(push(3, 9, part=0, parts=0, version=3))
    joined.link.say(request, push(3, 9, part=1, parts=2, version=3), now=21.0)
    assert joined.said() == [Pull(2, 5), push(3, 6, part=0, parts=0, version=3), push(3, 6, part=1, parts=2, version=3)]
    joined.hear(Weights(SLOTS, 3, 6, version=5))
    joined.ask(push(4, 7, version=5))
    assert joined.said() == [push(4, 7, version=5)]


def test_a_barrier_tells_the_program_nothing_of_the_server_s_step(joined: Talk) -> None:
    assert restart(joined, step=5) == []
    joined.ask(Barrier(2))
    joined.hear(Released(2))
    joined.ask(push(3, 9))
    assert joined.said() == [Barrier(2), push(3, 6)]


def test_a_server_without_its_weights_is_lost(joined: Talk) -> None:
    joined.ask(push(2, 1))
    restart(joined, initialized=False, takes_part=False)
    with pytest.raises(ServerLost, match="has started again without its weights"):
        raise joined.errors[0]


def test_a_server_from_before_we_took_part_is_joined_again(joined: Talk) -> None:
    joined.ask(push(2, 1))
    assert restart(joined, takes_part=False) == []
    assert joined.link.must_join
    joined.ask(push(3, 2))
    assert joined.said() == []  # it would be for weights that are gone
    joined.link.begin_anew(7, 21.0)
    assert (joined.said(), joined.link.must_join, joined.link.requests, joined.link.seq) == ([], False, {}, 3)


# ---- given up ---------------------------------------------------------------------------------------------


def test_a_worker_that_was_given_up_begins_a_new_life(joined: Talk) -> None:
    late = joined.ask(push(2, 1))
    begun = joined.ask(None)
    joined.hear(Error("stranger", "who is it?", 2), 2.0)
    joined.hear(Error("evicted", "the others have gone on"), 2.1)
    assert joined.link.must_join
    assert joined.errors == []
    joined.said()
    joined.link.begin_anew(8, 2.2)
    assert joined.said() == [Hello("run", "worker", 2, 8, 1, "here")]
    assert (joined.link.requests, joined.link.joined, joined.link.must_join) == ({}, False, False)
    joined.hear(welcome(), 2.3)
    joined.ask(init := Init(4, "SGD", SGD, TABLE, (), False))
    joined.hear(Weights(SLOTS, 2, 1), 2.3)  # to what was asked in the old life
    assert joined.answers == []
    for former in (late, begun):  # what was asked in the old life is not said in the new one
        joined.link.say(former, push(former.seq, 1), now=2.4)
    assert joined.said() == [init]


def test_what_is_dropped_is_neither_said_nor_answered(joined: Talk) -> None:
    request = joined.ask(push(2, 1, part=0, parts=0))
    joined.said()
    joined.link.drop(request)
    joined.link.say(request, push(2, 1, part=1, parts=2), now=0.0)
    joined.hear(Weights(SLOTS, 2, 1))
    assert (joined.said(), joined.answers) == ([], [])
    joined.hear(Error("stranger", "who is it?"), 2.0)
    joined.hear(welcome(takes_part=True, received=1), 2.1)
    assert len(joined.said()) == 1  # HELLO, and nothing is repeated


def test_a_rank_that_is_taken_is_asked_for_again_and_given_up_after_a_while(talk: Talk) -> None:
    talk.ask(Init(1, "SGD", SGD, TABLE, (), False))
    for now in range(1, 9):
        talk.hear(Error("taken", "rank 1 is taken"), float(now))
        talk.link.tick(now + 0.9, waiting_since=0.0)
        assert talk.errors == []
    assert [type(each) for each in talk.said()] == [Hello]  # the last; those before it were not sent
    talk.link.tick(11.5, waiting_since=0.0)
    assert [type(error) for error in talk.errors] == [Taken]


def test_a_rank_that_is_free_again_is_ours(talk: Talk) -> None:
    talk.hear(Error("taken", "rank 1 is taken"), 1.0)
    talk.link.tick(1.5, waiting_since=0.0)
    talk.hear(welcome(), 2.0)
    for now in range(3, 30):
        talk.pulse(0, 0, float(now))
        talk.link.tick(float(now), waiting_since=0.0)
    assert talk.link.failure is None


@pytest.mark.parametrize(
    "answer", [welcome(incarnation=7), Error("evicted", "gone on", 0, 7)], ids=["welcome", "error"]
)
def test_what_was_said_to_a_former_life_does_not_count(joined: Talk, answer: Message) -> None:
    joined.link.begin_anew(8, 2.2)
    joined.said()
    joined.hear(answer, 2.3)
    joined.link.take_pulse(Error("stranger", "who is it?", 0, 7), 2.3, 2.3)
    assert (joined.link.welcome, joined.link.must_join, joined.said()) == (None, False, [])
    joined.hear(welcome(incarnation=8), 2.4)
    joined.link.take_pulse(Error("stranger", "who is it?", 0, 7), 2.5, 2.5)
    assert joined.said() == []
    assert joined.link.welcome is not None
