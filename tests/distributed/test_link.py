"""A worker's conversation with one server, without a socket or a clock: what is said, and what is said again."""

from __future__ import annotations

import numpy as np
import pytest
from link_talk import Talk, welcome
from ps_harness import SGD, SLICES, SLOTS, TABLE, push, sliced

from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import DistributedError, Mismatch, Refused, ServerLost, WorkerLost
from retrograd.distributed.link import Link
from retrograd.distributed.messages import Barrier, Done, Error, Hello, Init, Message, Ready, Released, Weights

# ---- beginning --------------------------------------------------------------------------------------------


def test_hello_comes_first_and_again_until_it_is_answered(talk: Talk) -> None:
    hello = Hello("run", "worker", 2, 7, 1, "here")
    assert talk.said() == [hello]
    talk.link.tick(0.5)
    assert talk.said() == []
    talk.link.tick(1.5)
    assert talk.said() == [hello]
    talk.hear(welcome(), 1.6)
    talk.link.tick(3.0)
    assert talk.said() == []


def test_what_is_asked_before_the_welcome_is_said_after_it(talk: Talk) -> None:
    talk.said()
    talk.ask(init := Init(1, "SGD", SGD, TABLE, (), False))
    assert talk.said() == []
    talk.hear(welcome())
    assert talk.said() == [init]
    assert talk.link.retries == 0


def test_taking_part_is_a_ready_and_the_weights(talk: Talk) -> None:
    talk.hear(welcome())
    talk.ask(Init(1, "SGD", SGD, TABLE, (), False))
    talk.hear(ready := Ready(1, 5, SLICES))
    assert (talk.link.slices, talk.link.joined, list(talk.link.requests)) == (SLICES, True, [1])
    first, last = Weights(SLOTS[:1], 1, 5, part=0, parts=2), Weights(SLOTS[1:], 1, 5, part=1, parts=2)
    talk.hear(first)
    talk.hear(last)
    assert talk.answers == [ready, first, last]
    assert talk.link.requests == {}


def test_a_server_at_another_place_is_an_error(talk: Talk) -> None:
    talk.hear(welcome(shard=1))
    with pytest.raises(
        DistributedError, match="tcp://one is server 1 of 2, and RETROGRAD_SERVERS names it as number 0"
    ):
        raise talk.link.failure


def test_a_refusal_ends_it(talk: Talk) -> None:
    talk.ask(Barrier(1))
    talk.hear(Error("refused", "not you"))
    assert [type(error) for error in talk.errors] == [Refused]
    talk.ask(Barrier(2))  # fails at once
    assert [str(error) for error in talk.errors] == ["not you", "not you"]
    assert talk.link.requests == {}


# ---- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [Done(2, 1), Released(2), Weights(SLOTS, 2, 1)], ids=lambda each: type(each).__name__
)
def test_an_answer_is_delivered_once(joined: Talk, answer: Message) -> None:
    joined.ask(push(2, 1))
    joined.hear(answer)
    joined.hear(answer)
    assert joined.answers == [answer]


def test_a_part_that_comes_twice_is_delivered_once(joined: Talk) -> None:
    joined.ask(push(2, 1))
    parts = [Weights((), 2, 1, part=number, parts=3) for number in range(3)]
    for number in (0, 1, 0, 1, 2, 2):
        joined.hear(parts[number])
    assert joined.answers == parts


def test_an_error_fails_the_request_that_it_is_for(joined: Talk) -> None:
    joined.ask(push(2, 1))
    joined.ask(Barrier(3))
    joined.hear(Error("mismatch", "another model", 2))
    assert [type(error) for error in joined.errors] == [Mismatch]
    assert list(joined.link.requests) == [3]
    joined.hear(Error("worker_lost", "worker 0", 0))  # for none in particular: for all
    assert [type(error) for error in joined.errors] == [Mismatch, WorkerLost]


# ---- again ------------------------------------------------------------------------------------------------


def test_a_stranger_says_hello_and_then_all_that_was_not_received(joined: Talk) -> None:
    joined.ask(message := push(2, 1), now=1.0)
    joined.said()
    joined.hear(Error("stranger", "who is it?", 2), 2.0)
    [hello] = joined.said()
    assert isinstance(hello, Hello)
    joined.link.take(welcome(takes_part=True, received=1), [], 2.1)
    [(again, arrays)] = joined.link.outgoing
    assert again == message
    np.testing.assert_array_equal(arrays[0], sliced()[0])
    assert (joined.link.retries, joined.errors) == (1, [])


def test_two_errors_for_one_new_connection_are_one_hello(joined: Talk) -> None:
    joined.hear(Error("stranger", "who is it?", 2), 2.0)
    joined.hear(Error("stranger", "who is it?", 2), 2.0)
    assert len(joined.said()) == 1


def test_of_what_was_received_only_the_answer_is_asked_for(joined: Talk) -> None:
    joined.ask(push(2, 1), now=1.0)
    joined.said()
    joined.hear(Error("stranger", "who is it?"), 2.0)
    joined.said()
    joined.link.take(welcome(takes_part=True, received=2, step=1), [], 2.1)
    [(nudge, arrays)] = joined.link.outgoing
    assert nudge == push(2, 1, tensors=())
    assert list(arrays) == []


def test_of_a_push_in_parts_the_last_asks_for_the_answer(joined: Talk) -> None:
    request = joined.ask(push(2, 1, part=0, parts=0, present=()))
    joined.link.say(request, last := push(2, 1, tensors=(), part=1, parts=2), now=0.0)
    joined.said()
    joined.hear(Error("stranger", "who is it?"), 2.0)
    joined.hear(welcome(takes_part=True, received=2, step=1), 2.1)
    assert joined.said()[1:] == [last]


def test_parts_of_a_push_that_are_said_while_hello_is_out_come_after_the_others(joined: Talk) -> None:
    request = joined.ask(first := push(2, 1, part=0, parts=0, present=()))
    joined.hear(Error("stranger", "who is it?"), 2.0)
    joined.link.say(request, last := push(2, 1, part=1, parts=2), now=2.0)
    [hello] = joined.said()
    assert isinstance(hello, Hello)
    joined.hear(welcome(takes_part=True, received=1), 2.1)
    assert joined.said() == [first, last]


@pytest.mark.parametrize(
    ("received", "answered", "again"),
    [(1, 1, True), (2, 2, True), (2, 1, False)],
    ids=["lost on its way", "its answer lost", "waits for others"],
)
def test_a_pulse_tells_whether_something_was_lost(joined: Talk, received: int, answered: int, again: bool) -> None:
    joined.ask(push(2, 1), now=10.0)
    joined.said()
    joined.pulse(received, answered, now=11.0)  # it may be on its way yet
    assert joined.said() == []
    joined.pulse(received, answered, now=13.0)
    assert [type(each) for each in joined.said()] == ([Hello] if again else [])


def test_a_pulse_says_nothing_of_what_came_after_it_was_asked_for(joined: Talk) -> None:
    joined.ask(push(2, 1), now=10.0)
    joined.said()
    joined.pulse(1, 1, now=100.0, asked=9.9)
    assert joined.said() == []


def test_a_push_that_is_not_complete_is_not_missed(joined: Talk) -> None:
    joined.ask(push(2, 1, part=0, parts=0, present=()), now=10.0)
    joined.said()
    joined.pulse(1, 1, now=100.0)
    assert joined.said() == []


def test_patience_doubles_up_to_a_limit(joined: Talk) -> None:
    joined.ask(push(2, 1), now=0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        began = now
        while not any(isinstance(each, Hello) for each in joined.said()):
            now += 0.5
            joined.pulse(1, 1, now)
        pauses.append(now - began)
        joined.hear(welcome(takes_part=True, received=1), now)
    assert pauses == [2.5, 4.5, 8.5, 10.5, 10.5, 10.5, 10.5]
    assert joined.link.retries == 7


def test_a_new_boot_in_a_pulse_is_greeted(joined: Talk) -> None:
    joined.pulse(1, 1, now=1.0, boot=2)
    [hello] = joined.said()
    assert isinstance(hello, Hello)
    joined.pulse(1, 1, now=1.1, boot=3)  # HELLO is out
    assert joined.said() == []


# ---- silence ----------------------------------------------------------------------------------------------


def tick(link: Link, begin: float, end: float, *, waiting_since: float | None) -> None:
    for step in range(round((end - begin) * 10)):
        link.tick(begin + step / 10, waiting_since=waiting_since)


def test_a_server_that_is_silent_while_we_wait_is_lost(joined: Talk) -> None:
    joined.ask(push(2, 1), now=1.0)
    tick(joined.link, 0.0, 10.9, waiting_since=1.0)
    assert joined.errors == []
    tick(joined.link, 10.9, 11.2, waiting_since=1.0)
    with pytest.raises(ServerLost, match=r"worker 1 has lost the server at tcp://one: no sign of life for 10 s"):
        raise joined.errors[0]


def test_where_a_silent_server_is_waited_for_is_said_once(joined: Talk, caplog: pytest.LogCaptureFixture) -> None:
    joined.link.recovery = 60.0
    for begin in (0.0, 100.0):
        joined.ask(push(2, 1), now=begin)
        joined.link.heard = begin
        caplog.clear()
        tick(joined.link, begin, begin + 10.0, waiting_since=begin)
        assert not caplog.records
        tick(joined.link, begin + 10.1, begin + 60.0, waiting_since=begin)
        [said] = [record.getMessage() for record in caplog.records]
        assert said == (
            "worker 1 has heard nothing from the server at tcp://one for 10 s, and waits up to 60 s more for it to "
            "come back there: whoever starts it again elsewhere says --bind tcp://one"
        )
    assert joined.errors == []


def test_a_silence_that_nobody_waited_in_does_not_count(joined: Talk) -> None:
    tick(joined.link, 0.0, 60.0, waiting_since=None)
    joined.ask(push(2, 1), now=60.0)
    tick(joined.link, 60.0, 69.0, waiting_since=60.0)
    assert joined.link.failure is None


def test_a_silence_that_is_our_own_is_not_the_server_s(joined: Talk) -> None:
    joined.ask(push(2, 1))
    tick(joined.link, 0.0, 5.0, waiting_since=0.0)
    # Now this process sleeps for an hour, and then looks at its watch before it looks at its mail.
    tick(joined.link, 3600.0, 3604.0, waiting_since=0.0)
    assert joined.link.failure is None
    tick(joined.link, 3604.0, 3612.0, waiting_since=0.0)
    assert isinstance(joined.link.failure, ServerLost)


def test_a_server_that_can_come_back_is_given_the_time(talk: Talk) -> None:
    talk.hear(welcome(recovery=60.0))
    talk.ask(Barrier(1))
    tick(talk.link, 0.0, 69.0, waiting_since=0.0)
    assert talk.link.failure is None
    tick(talk.link, 69.0, 71.0, waiting_since=0.0)
    assert isinstance(talk.link.failure, ServerLost)


def test_who_is_told_of_the_recovery_before_waits_for_the_first_answer_as_long() -> None:
    place = Environment(1, 2, ("tcp://one",), timeout=10.0, recovery=60.0)
    link = Link(place, 0, 7, "", 0.0)
    tick(link, 0.0, 69.0, waiting_since=0.0)
    assert link.failure is None
    tick(link, 69.0, 71.0, waiting_since=0.0)
    assert isinstance(link.failure, ServerLost)


@pytest.mark.parametrize("sign", ["pulse", "answer"])
def test_every_sign_of_life_counts(joined: Talk, sign: str) -> None:
    joined.ask(push(2, 1))
    for second in range(60):
        if sign == "pulse":
            joined.pulse(2, 1, float(second))
        else:
            joined.hear(Weights((), 9, 1), float(second))
        tick(joined.link, second, second + 1, waiting_since=0.0)
    assert joined.link.failure is None
