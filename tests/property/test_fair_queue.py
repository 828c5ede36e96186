"""Laws of the queue before LiteLLM: nobody is starved, nothing is lost."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from webhook.broker.fair_queue import Turns

PODS = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))
# A call comes, a turn is given, the oldest waiting call of a pod gives up and comes back later (if ever).
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), PODS), st.tuples(st.just("turn"), PODS), st.tuples(st.just("leave"), PODS)
    ),
    max_size=80,
)


class Model:
    """Who waits since when, and what was served meanwhile."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.turns = Turns()
        self.waiting: dict[asyncio.Future[None], tuple[str, str]] = {}
        # For each pod that came and was not served yet: whose turns it waited for.
        self.meanwhile: dict[tuple[str, str], Counter[tuple[str, str]]] = {}

    def come(self, pod: tuple[str, str]) -> None:
        """Queue a call."""
        ticket = self.loop.create_future()
        if self.turns.add(*pod, ticket, 0.0):
            self.waiting[ticket] = pod
            self.meanwhile.setdefault(pod, Counter())

    def leave(self, pod: tuple[str, str]) -> None:
        """Have a pod's oldest waiting call give up."""
        ticket = next((ticket for ticket, of in self.waiting.items() if of == pod), None)
        if ticket is not None:
            del self.waiting[ticket]
            self.turns.leave(*pod, ticket, 60.0)

    def turn(self) -> tuple[str, str] | None:
        """Give a turn, and tell to whom."""
        ticket = self.turns.next()
        if ticket is None:
            assert not self.waiting, "somebody waits, and nobody is served"
            return None
        pod = self.waiting.pop(ticket)
        for other in {*self.waiting.values()} - {pod}:
            self.meanwhile[other][pod] += 1
        self.meanwhile.pop(pod)
        if pod in self.waiting.values():
            self.meanwhile[pod] = Counter()
        return pod


@given(STEPS)
def test_nobody_waits_for_more_than_one_turn_of_each_neighbour(
    steps: list[tuple[str, tuple[str, str]]],
) -> None:
    """Until its turn a pod, also one that was told to come back, waits for one of each neighbour at most."""
    model = Model()
    for what, pod in steps:
        if what == "come":
            model.come(pod)
        elif what == "leave":
            model.leave(pod)
        else:
            waited = {of: Counter(turns) for of, turns in model.meanwhile.items()}
            served = model.turn()
            if served is not None:
                assert all(count <= 1 for of, count in waited[served].items() if of[0] == served[0])
    model.loop.close()


@given(st.lists(PODS, min_size=1, max_size=60))
def test_everybody_is_served_exactly_once(comers: list[tuple[str, str]]) -> None:
    """Whatever comes gets its turn, nothing twice, and nothing is left behind."""
    model = Model()
    for pod in comers:
        model.come(pod)
    expected = Counter({pod: min(count, 16) for pod, count in Counter(comers).items()})
    served: Counter[tuple[str, str]] = Counter()
    while (next_one := model.turn()) is not None:
        served[next_one] += 1
    assert served == expected
    assert (model.turns.waiting, model.turns._namespaces) == (0, {})
    model.loop.close()


@given(st.lists(PODS, min_size=1, max_size=60))
def test_namespaces_are_served_alike_while_they_wait(comers: list[tuple[str, str]]) -> None:
    """At any moment no namespace that still waits has had fewer turns than another one less one."""
    model = Model()
    for pod in comers:
        model.come(pod)
    turns: Counter[str] = Counter()
    while (served := model.turn()) is not None:
        turns[served[0]] += 1
        for namespace, _ in model.waiting.values():
            assert turns[namespace] >= max(turns.values()) - 1
    model.loop.close()
