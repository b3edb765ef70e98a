"""The pool against a model of a few lines: never more seats than allowed, the count always exact."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mock_activation.answers import Outcome
from mock_activation.pool import Change, KeySpec, Move, Pool
from mock_activation.secrecy import fingerprint
from mock_activation.switches import Quantity, SamePair, Switches

KEYS = ("ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ01", "ZZZZ-EFGH-IJKL-MNOP-QRST-UVWX-YZ01")
IDS = tuple(f"MSCL{number:032x}" for number in range(5))
which_key, which_id = st.integers(0, 1), st.sampled_from(IDS)


class PoolAgainstModel(RuleBasedStateMachine):
    """The model: a dictionary from (key, deployment) to the number of seats that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.taken: dict[tuple[int, str], int] = {}
        self.history: list[Change] = []

    @initialize(
        seats=st.tuples(st.integers(0, 4), st.integers(0, 4)),
        same_pair=st.sampled_from(SamePair),
        quantity=st.sampled_from(Quantity),
    )
    def start(self, seats: tuple[int, int], same_pair: SamePair, quantity: Quantity) -> None:
        self.limit = list(seats)
        self.switches = Switches(same_pair=same_pair, quantity=quantity)
        self.pool = Pool(dict(zip(KEYS, seats, strict=True)), self.switches, on_change=self.history.append)

    def used(self, key: int) -> int:
        return sum(units for (owner, _), units in self.taken.items() if owner == key)

    @rule(key=which_key, name=which_id, quantity=st.integers(1, 3))
    def activate(self, key: int, name: str, quantity: int) -> None:
        self.now += 1.0
        held = self.taken.get((key, name), 0)
        asked = quantity if self.switches.quantity is Quantity.COUNTED else 1
        consumes = self.switches.same_pair is SamePair.CONSUMES
        wanted = held + asked if consumes else max(held, asked)
        fits = wanted == held or self.used(key) - held + wanted <= self.limit[key]
        outcome = self.pool.activate(KEYS[key], name, str(quantity), self.now).outcome
        assert outcome is (Outcome.ACTIVATED if fits else Outcome.NO_SEATS)
        if fits:
            self.taken[key, name] = wanted

    @rule(key=which_key, name=which_id)
    def deactivate(self, key: int, name: str) -> None:
        self.now += 1.0
        was = self.taken.pop((key, name), 0)
        outcome = self.pool.deactivate(KEYS[key], name, self.now).outcome
        assert outcome is (Outcome.RELEASED if was else Outcome.NOT_ACTIVE)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def force_release(self, data: st.DataObject) -> None:
        key, name = data.draw(st.sampled_from(sorted(self.taken)))
        del self.taken[key, name]
        assert self.pool.force_release(fingerprint(KEYS[key]), name, self.now)

    @rule(key=which_key, seats=st.integers(0, 4))
    def resize(self, key: int, seats: int) -> None:
        # Only ever more than are taken: what happens below is a row of test_pool.py, not an invariant.
        self.limit[key] = max(seats, self.used(key))
        self.pool.put(KEYS[key], KeySpec(self.limit[key]))

    @invariant()
    def counts_are_exact(self) -> None:
        if not hasattr(self, "pool"):
            return
        for key, view in enumerate(self.pool.view()):
            assert view.used == self.used(key) == sum(seat.units for seat in view.taken)
            assert view.used <= view.spec.seats
            assert {seat.deployment: seat.units for seat in view.taken} == {
                name: units for (owner, name), units in self.taken.items() if owner == key
            }

    @invariant()
    def history_tells_the_same(self) -> None:
        held: set[tuple[str, str]] = set()
        for change in self.history:
            seat = change.key_fingerprint, change.deployment
            if change.move is Move.TAKEN:
                held.add(seat)
            else:
                held.remove(seat)
        assert held == {(fingerprint(KEYS[key]), name) for key, name in self.taken}


PoolAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class TestPoolAgainstModel(PoolAgainstModel.TestCase):  # type: ignore[misc] # hypothesis makes the base at run time
    """Whatever is asked in whatever order, the pool agrees with the model after every step."""
