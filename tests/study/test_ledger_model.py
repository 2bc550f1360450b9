"""The ledger agrees with a model in plain Python after any sequence of events."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from distillab.study.ledger import Ledger
from distillab.study.ledger.ledger import MAX_DEATHS
from support.ledgers import DEAD, META, claim, hold_by, numbered


class LedgerStory(RuleBasedStateMachine):
    """Everything that workers can do to a ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.state: dict[str, str] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.deaths: dict[str, int] = {}
        self.dead: set[str] = set()  # running jobs whose worker is dead

    @initialize(data=st.data(), count=st.integers(1, 7), batch_size=st.sampled_from([1, 2, 1000]))
    def plan(self, data: st.DataObject, count: int, batch_size: int) -> None:
        self.ledger = Ledger(Path(self.folder.name) / "ledger.sqlite", batch_size=batch_size)
        jobs = []
        for number in range(count):
            earlier = st.lists(st.sampled_from(range(number)), unique=True) if number else st.just([])
            jobs.append(numbered(number, *data.draw(earlier)))
        self.ledger.create(META, jobs, [], [])
        self.state = {each.id: "queued" for each in jobs}
        self.needs = {each.id: each.needs for each in jobs}
        self.deaths = dict.fromkeys(self.state, 0)

    def any_of(self, data: st.DataObject, *wanted: str) -> str:
        return data.draw(st.sampled_from([name for name, state in self.state.items() if state in wanted]))

    def there_is(self, *wanted: str) -> bool:
        return any(state in wanted for state in self.state.values())

    def fall(self, name: str) -> None:
        self.state[name] = "failed"
        for dependent, needs in self.needs.items():
            if name in needs and self.state[dependent] == "queued":
                self.fall(dependent)

    @rule()
    def claim(self) -> None:
        ready = [
            name
            for name, state in self.state.items()
            if state == "queued" and all(self.state[need] == "done" for need in self.needs[name])
        ]
        expected = ready[0] if ready else None
        assert claim(self.ledger) == expected
        if expected:
            self.state[expected] = "running"

    @precondition(lambda self: self.there_is("running", "done", "failed"))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running", "done", "failed")
        self.ledger.done(name, 1.0)
        if self.state[name] == "running":
            self.state[name] = "done"
            self.dead.discard(name)

    @precondition(lambda self: self.there_is("running", "done", "failed"))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running", "done", "failed")
        self.ledger.fail(name, "why")
        if self.state[name] == "running":
            self.fall(name)
            self.dead.discard(name)

    @precondition(lambda self: self.there_is("running"))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running")
        self.ledger.release(name)
        self.state[name] = "queued"
        self.dead.discard(name)

    @precondition(lambda self: self.there_is("running"))
    @rule(data=st.data())
    def worker_dies(self, data: st.DataObject) -> None:
        name = self.any_of(data, "running")
        hold_by(self.ledger, name, pid=DEAD)
        self.dead.add(name)

    @rule(count_death=st.booleans())
    def reclaim(self, count_death: bool) -> None:
        assert self.ledger.reclaim(count_death=count_death) == len(self.dead)
        for name in self.dead:
            self.deaths[name] += count_death
            if count_death and self.deaths[name] >= MAX_DEATHS:
                self.fall(name)
            else:
                self.state[name] = "queued"
        self.dead.clear()

    @rule()
    def retry_failed(self) -> None:
        failed = [name for name, state in self.state.items() if state == "failed"]
        assert self.ledger.retry_failed() == len(failed)
        for name in failed:
            self.state[name], self.deaths[name] = "queued", 0

    @invariant()
    def ledger_and_model_agree(self) -> None:
        if not self.state:
            return
        found = self.ledger.states()
        assert {name: status.state for name, status in found.items()} == self.state
        assert self.ledger.open_jobs() == sum(s in ("queued", "running") for s in self.state.values())
        assert [failure.id for failure in self.ledger.failures()] == [
            name for name, state in self.state.items() if state == "failed"
        ]
        assert all((status.error is not None) == (status.state == "failed") for status in found.values())
        counted: dict[str, dict[str, int]] = {}
        for kind, state, jobs in self.ledger.db.execute(
            "SELECT kind, state, COUNT(*) FROM jobs GROUP BY kind, state"
        ):
            counted.setdefault(kind, {})[state] = jobs
        assert self.ledger.tally() == counted
        costs = "SELECT TOTAL(cost) FILTER (WHERE state IN ('done', 'failed')), TOTAL(cost) FROM jobs"
        assert self.ledger.progress() == self.ledger.db.execute(costs).fetchone()

    def teardown(self) -> None:
        self.ledger.__exit__(None, None, None)
        self.folder.cleanup()


TestLedgerStory = LedgerStory.TestCase
TestLedgerStory.settings = settings(max_examples=25, stateful_step_count=30)
