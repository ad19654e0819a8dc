"""The simulated network does what its rules say, and finds what is wrong with a server that is not careful."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
import zmq
from faults import wire
from faults.machine import PICK, NetworkMachine, assert_found_out, pick
from faults.simulation import Channel, Flight, Interference, Network, Weather, by_hand
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test


class Listener:
    """A node that remembers what it is told."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.heard: list[tuple[float, bytes, tuple[bytes, ...]]] = []
        self.ticks: list[float] = []

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        self.heard.append((self.network.clock.now(), peer, tuple(frames)))

    def tick(self, now: float) -> None:
        self.ticks.append(now)

    @property
    def texts(self) -> list[bytes]:
        return [frames[0] for _, _, frames in self.heard]

    @property
    def times(self) -> list[float]:
        return [when for when, _, _ in self.heard]


def listeners(network: Network, *names: str) -> list[Listener]:
    nodes = [Listener(network) for _ in names]
    for name, node in zip(names, nodes, strict=True):
        network.attach(name, node)
    return nodes


@pytest.fixture
def network() -> Network:
    return Network()


# ---- time --------------------------------------------------------------------------------------------------


def test_messages_arrive_when_they_are_due_and_in_between_no_time_passes(network: Network) -> None:
    [server] = listeners(network, "server")
    delays = iter([3600.0, 1.0, 2.0])
    network.rules.append(lambda flight: [next(delays)])
    for text in (b"a", b"b", b"c"):
        network.endpoint("worker").send("server", [text])
    network.run_until(lambda: len(server.heard) == 3)
    assert (server.texts, server.times) == ([b"b", b"c", b"a"], [1.0, 2.0, 3600.0])
    assert network.clock.now() == 3600.0


def test_what_happens_at_the_same_time_happens_in_the_order_of_sending(network: Network) -> None:
    [server] = listeners(network, "server")
    for number in range(20):
        network.endpoint(f"worker{number % 3}").send("server", [b"%d" % number])
    network.run_for(0.0)
    assert server.texts == [b"%d" % number for number in range(20)]


def test_nodes_are_told_the_time(network: Network) -> None:
    node = Listener(network)
    network.attach("server", node, tick=0.25)
    network.run_for(1.0)
    assert node.ticks == [0.25, 0.5, 0.75, 1.0]
    network.pause("server")
    network.run_for(1.0)
    network.resume("server")
    network.run_for(0.25)
    assert node.ticks[4:] == [2.25]
    network.crash("server")
    network.run_for(1.0)
    assert len(node.ticks) == 5
    again = Listener(network)
    network.attach("server", again, tick=0.25)
    network.run_for(0.25)
    assert (len(node.ticks), again.ticks) == (5, [3.5])
    network.crash("server")
    at_once = Listener(network)
    network.attach("server", at_once, tick=0.5)
    network.run_for(0.5)
    assert at_once.ticks == [4.0]


def test_waiting_in_vain_says_what_is_under_way_and_what_has_happened(network: Network) -> None:
    listeners(network, "server")
    network.endpoint("worker").send("server", [b"hello"])
    network.run_for(0.0)
    network.rules.append(by_hand)
    network.endpoint("worker").send("server", [b"stays away"])
    with pytest.raises(
        AssertionError, match=r"(?s)the end has not.*1 messages.*stays away'.*last:.*worker -> server.*hello"
    ):
        network.run_until(lambda: False, "the end", within=5)


def test_messages_without_end_are_noticed(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.simulation._MOST_EVENTS", 1000)

    class Echo(Listener):
        def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
            self.network.endpoint("server").send("server", frames)

    network.attach("server", Echo(network))
    network.endpoint("server").send("server", [b"again"])
    with pytest.raises(AssertionError, match="1000 events, and no end"):
        network.run_for(1.0)


# ---- messages ----------------------------------------------------------------------------------------------


def test_an_answer_goes_back_over_the_connection(network: Network) -> None:
    server, first, second = listeners(network, "server", "first", "second")
    network.endpoint("first").send("server", [b"question", b"tensor"])
    network.endpoint("second").send("server", [b"mine"])
    network.run_for(0.0)
    peers = [peer for _, peer, _ in server.heard]
    network.endpoint("server").send(peers[0], [b"answer"])
    network.endpoint("server").send(peers[1], [b"yours"])
    network.run_for(0.0)
    assert first.heard == [(0.0, b"server", (b"answer",))]
    assert second.heard == [(0.0, b"server", (b"yours",))]
    assert server.heard[0][2] == (b"question", b"tensor")


def test_bytes_are_those_of_the_moment_of_sending(network: Network) -> None:
    [server] = listeners(network, "server")
    buffer = bytearray(b"before")
    network.endpoint("worker").send("server", [memoryview(buffer)])
    buffer[:] = b"after!"
    network.run_for(0.0)
    assert server.texts == [b"before"]


def test_weather_depends_on_its_seed_alone() -> None:
    def trace(seed: int) -> list[tuple[float, str]]:
        network = Network()
        listeners(network, "server")
        network.rules.append(Weather(random.Random(seed), drop=0.3, duplicate=0.3, delay=(0.1, 2.0)))
        for number in range(30):
            network.endpoint("worker").send("server", [b"%d" % number])
        network.run_for(10.0)
        return network.trace

    assert trace(1) == trace(1) != trace(2)


@pytest.mark.parametrize("ordered", [False, True])
def test_weather_loses_doubles_and_reorders(network: Network, ordered: bool) -> None:
    [server] = listeners(network, "server")
    weather = Weather(random.Random(0), drop=0.2, duplicate=0.2, delay=(0.5, 1.5), ordered=ordered)
    network.rules.append(weather)
    for number in range(1000):
        network.endpoint("worker").send("server", [number.to_bytes(2, "big")])
    network.run_for(2.0)
    numbers = [int.from_bytes(text, "big") for text in server.texts]
    lost = 1000 - len(set(numbers))
    doubled = len(numbers) - len(set(numbers))
    assert 150 < lost < 250
    assert 100 < doubled < 220
    assert min(server.times) >= 0.5
    assert max(server.times) <= 1.5
    assert (numbers == sorted(numbers)) is ordered


def test_chosen_messages_are_interfered_with(network: Network) -> None:
    [server] = listeners(network, "server")
    first_push = Interference("push", [], times=1)
    network.rules += [Interference(lambda flight: flight.source == "slow", [5.0]), first_push]

    def send(source: str, kind: str, number: int) -> None:
        header = wire.MAGIC + msgspec.msgpack.encode({"type": kind, "seq": number})
        network.endpoint(source).send("server", [header])

    for source, kind, number in [("slow", "pull", 1), ("quick", "push", 2), ("quick", "push", 3), ("slow", "push", 4)]:
        send(source, kind, number)
    network.run_for(10.0)
    headers = [wire.header_of(text) for text in server.texts]
    assert [header and header["seq"] for header in headers] == [3, 1, 4]
    assert server.times == [0.0, 5.0, 5.0]
    assert first_push.hits == 1


def test_a_test_can_decide_about_every_message(network: Network) -> None:
    [server] = listeners(network, "server")
    network.rules.append(by_hand)
    for text in (b"a", b"b", b"c"):
        network.endpoint("worker").send("server", [text])
    network.run_for(3600.0)
    assert server.heard == []
    a, b, c = network.in_flight
    network.deliver(c)
    network.double(a)
    network.deliver(a)
    network.lose(b)
    assert server.texts == [b"c", b"a"]
    [again] = network.in_flight
    network.deliver(again)
    assert server.texts == [b"c", b"a", b"a"]


# ---- connections and nodes ---------------------------------------------------------------------------------


def test_nothing_passes_a_partition_until_it_heals(network: Network) -> None:
    server, first, second = listeners(network, "server", "first", "second")
    network.endpoint("first").send("server", [b"here I am"])
    network.run_for(0.0)
    peer = server.heard[0][1]
    network.partition(["first"])
    network.endpoint("first").send("server", [b"late"])
    network.endpoint("server").send(peer, [b"late, too"])
    network.endpoint("second").send("server", [b"passes"])
    network.run_for(10.0)
    assert (server.texts, first.texts) == ([b"here I am", b"passes"], [])
    network.heal()
    network.run_for(0.0)
    assert (server.texts[2:], first.texts) == ([b"late"], [b"late, too"])
    assert (server.times[2], second.heard) == (10.0, [])


def test_a_partition_can_be_one_way(network: Network) -> None:
    server, worker = listeners(network, "server", "worker")
    network.block("server", "worker")
    network.endpoint("worker").send("server", [b"passes"])
    network.run_for(1.0)
    network.endpoint("server").send(server.heard[0][1], [b"waits"])
    network.run_for(1.0)
    assert worker.heard == []
    network.heal()
    network.run_for(1.0)
    assert worker.heard == [(2.0, b"server", (b"waits",))]


def test_what_arrives_waits_for_a_node_that_stands_still(network: Network) -> None:
    [server] = listeners(network, "server")
    network.pause("server")
    network.endpoint("worker").send("server", [b"a"])
    network.endpoint("worker").send("server", [b"b"])
    network.run_for(20.0)
    assert server.heard == []
    network.resume("server")
    assert (server.texts, server.times) == ([b"a", b"b"], [20.0, 20.0])


def test_after_a_cut_the_old_peer_is_gone_and_the_next_message_makes_a_new_one(network: Network) -> None:
    server, worker = listeners(network, "server", "worker")
    network.endpoint("worker").send("server", [b"first"])
    network.run_for(0.0)
    old = server.heard[0][1]
    network.rules.append(by_hand)
    network.endpoint("server").send(old, [b"lost answer"])
    for text in (b"arrives", b"lost"):
        network.endpoint("worker").send("server", [text])
    network.cut("worker", "server", arrive=1)
    with pytest.raises(zmq.ZMQError) as caught:
        network.endpoint("server").send(old, [b"to nobody"])
    assert caught.value.errno == zmq.EHOSTUNREACH
    network.endpoint("worker").send("server", [b"second"])
    network.calm()
    network.run_for(0.0)
    assert server.texts == [b"first", b"arrives", b"second"]
    assert [peer == old for _, peer, _ in server.heard] == [True, True, False]
    assert worker.heard == []


def test_a_crash_loses_what_was_under_way_to_the_node_and_not_what_it_had_sent(network: Network) -> None:
    server, worker = listeners(network, "server", "worker")
    network.endpoint("worker").send("server", [b"first"])
    network.run_for(0.0)
    old = server.heard[0][1]
    network.rules.append(by_hand)
    network.endpoint("server").send(old, [b"answer"])
    network.endpoint("worker").send("server", [b"lost"])
    network.crash("server")
    with pytest.raises(zmq.Again):
        network.endpoint("worker").send("server", [b"nobody listens"])
    [next_life] = listeners(network, "server")
    network.calm()
    network.run_for(0.0)
    assert worker.texts == [b"answer"]
    with pytest.raises(zmq.ZMQError) as caught:
        network.endpoint("server").send(old, [b"of another life"])
    assert caught.value.errno == zmq.EHOSTUNREACH
    network.endpoint("worker").send("server", [b"second"])
    network.run_for(0.0)
    assert (server.texts, next_life.texts) == ([b"first"], [b"second"])


def test_a_place_is_taken_once(network: Network) -> None:
    listeners(network, "server")
    with pytest.raises(ValueError, match="there is a server already"):
        listeners(network, "server")


def test_a_channel_is_what_servers_and_clients_send_through(network: Network) -> None:
    server, worker = listeners(network, "server", "worker")
    encode: Callable[[str, Sequence[bytes]], list[bytes]] = lambda message, arrays: [message.encode(), *arrays]
    ours = Channel(network.endpoint("worker"), encode, to="server")
    theirs = Channel(network.endpoint("server"), encode)
    assert (ours.address, theirs.address) == ("sim://server", "sim://server")
    assert ours.poll(0, to_send=True)
    assert ours.send("push", [b"gradient"]).landed
    network.run_for(0.0)
    [(_, peer, frames)] = server.heard
    assert frames == (b"push", b"gradient")
    assert theirs.send("weights", to=peer).wait(0)
    network.run_for(0.0)
    assert worker.texts == [b"weights"]
    with pytest.raises(ValueError, match="which peer"):
        theirs.send("to whom?")
    network.crash("server")
    assert not ours.poll(0, to_send=True)


# ---- a server and its clients, as they are tried later -----------------------------------------------------


class Adder:
    """Adds what clients send, each request once, and survives its end with what it has written down."""

    def __init__(self, network: Network, disk: dict[str, dict[str, int]], *, forgetful: bool = False) -> None:
        self.endpoint = network.endpoint("server")
        self.disk = disk
        self.forgetful = forgetful

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        client, seq, value = msgspec.json.decode(frames[0], type=tuple[str, int, int])
        done, total = self.disk["done"], self.disk["total"]
        if self.forgetful or seq > done.get(client, 0):
            done[client] = seq
            total[client] = total.get(client, 0) + value
        with contextlib.suppress(zmq.ZMQError):  # who has gone will ask again
            self.endpoint.send(peer, [b"%d" % seq])

    def tick(self, now: float) -> None:
        pass


class Asker:
    """Sends one request after the other, each until it is answered."""

    def __init__(self, network: Network, name: str) -> None:
        self.endpoint, self.name = network.endpoint(name), name
        self.sent: list[int] = []
        self.answered = 0

    def begin(self, value: int) -> None:
        self.sent.append(value)
        if self.is_waiting and len(self.sent) == self.answered + 1:
            self.say()

    @property
    def is_waiting(self) -> bool:
        return self.answered < len(self.sent)

    def say(self) -> None:
        request = (self.name, self.answered + 1, self.sent[self.answered])
        with contextlib.suppress(zmq.Again):  # the next tick tries again
            self.endpoint.send("server", [msgspec.json.encode(request)])

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        if int(frames[0]) == self.answered + 1:
            self.answered += 1
            if self.is_waiting:
                self.say()

    def tick(self, now: float) -> None:
        if self.is_waiting:
            self.say()


class AdderMachine(NetworkMachine):
    """Whatever happens, everything is added, and once."""

    forgetful = False
    loses_the_disk = False

    @initialize()
    def begin(self) -> None:
        self.disk: dict[str, dict[str, int]] = {"done": {}, "total": {}}
        self.askers = [Asker(self.network, name) for name in self.clients]
        self._start_server()
        for asker in self.askers:
            self.network.attach(asker.name, asker, tick=2.0)

    def _start_server(self) -> None:
        self.network.attach("server", Adder(self.network, self.disk, forgetful=self.forgetful))

    @rule(client=PICK, value=st.integers(1, 9))
    def client_asks(self, client: int, value: int) -> None:
        pick(self.askers, client).begin(value)

    @rule()
    def server_starts_again(self) -> None:
        self.network.crash("server")
        if self.loses_the_disk:
            self.disk["done"] = {}
        self._start_server()

    @invariant()
    def nothing_is_added_twice(self) -> None:
        for asker in getattr(self, "askers", ()):
            total = self.disk["total"].get(asker.name, 0)
            assert total in (sum(asker.sent[: asker.answered]), sum(asker.sent[: asker.answered + 1]))

    def finish(self) -> None:
        self.network.run_until(lambda: not any(each.is_waiting for each in self.askers), "all answers", within=1000)
        assert self.disk["total"] == {each.name: sum(each.sent) for each in self.askers if each.sent}


def test_each_rule_of_the_machine_does_what_its_name_says() -> None:
    machine = AdderMachine()
    network = machine.network
    machine.begin()
    machine.client_asks(client=0, value=3)
    machine.message_is_doubled(number=0)
    assert [flight.source for flight in network.in_flight] == ["worker0", "worker0"]
    machine.message_is_lost(number=0)
    machine.network_is_partitioned(client=0, server=0, both=False)
    assert (len(network.in_flight), network.deliverable) == (1, [])
    machine.network_heals()
    machine.message_arrives(number=1)
    assert (machine.disk["total"], [flight.target for flight in network.in_flight]) == ({"worker0": 3}, ["worker0"])
    machine.connection_ends(client=0, server=0, arrive=0)
    assert network.in_flight == []
    machine.node_stands_still_or_goes_on(node=1)
    machine.time_passes(seconds=5.0)
    assert (network.is_paused("worker0"), network.in_flight) == (True, [])
    machine.node_stands_still_or_goes_on(node=1)
    machine.time_passes(seconds=1.0)
    assert [flight.source for flight in network.in_flight] == ["worker0"]  # it asks again every 2 s
    machine.network_is_partitioned(client=0, server=0, both=True)
    machine.teardown()
    assert not machine.askers[0].is_waiting


def test_a_careful_server_is_found_right() -> None:
    run_state_machine_as_test(AdderMachine, settings=settings(max_examples=50, stateful_step_count=30))


@pytest.mark.parametrize("fault", ["forgetful", "loses_the_disk"])
def test_a_careless_server_is_found_out(fault: str) -> None:
    assert_found_out(type("Careless", (AdderMachine,), {fault: True}))


def test_a_machine_that_is_not_found_out_is_an_error() -> None:
    with pytest.raises(AssertionError, match="3 histories, and AdderMachine fails in none"):
        assert_found_out(AdderMachine, examples=3)


@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 9), max_size=10))
def test_a_careful_server_is_right_in_any_weather(chance: random.Random, values: list[int]) -> None:
    network = Network()
    network.rules.append(Weather(chance, drop=0.3, duplicate=0.3, delay=(0.0, 3.0)))
    disk: dict[str, dict[str, int]] = {"done": {}, "total": {}}
    network.attach("server", Adder(network, disk))
    asker = Asker(network, "worker")
    network.attach("worker", asker, tick=1.0)
    for value in values:
        asker.begin(value)
    network.call_at(5.0, network.calm)
    network.run_until(lambda: not asker.is_waiting, "all answers", within=1000)
    assert disk["total"].get("worker", 0) == sum(values)


def test_a_flight_is_described_by_its_type(network: Network) -> None:
    listeners(network, "server")
    network.rules.append(by_hand)
    network.endpoint("worker").send("server", [wire.MAGIC + msgspec.msgpack.encode({"type": "push"})])
    [flight] = network.in_flight
    assert isinstance(flight, Flight)
    assert repr(flight).startswith("worker -> server (connection ")
    assert repr(flight).endswith("): 'push'")
