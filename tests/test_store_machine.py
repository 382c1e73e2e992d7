"""Any sequence of claims, decisions, undos, expired leases and new fillings, against a model that is easy to read."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine

from curation import store
from curation.decisions import Action
from curation.store import Filters
from curation.store.schema import leases
from tests.reviewing import action, queue_items

ITEMS = ("s0", "s1", "s2", "s3")  # in the queue's order
REVIEWERS = st.sampled_from(["ann", "bob", "cid"])
TABS = st.sampled_from(["1", "2"])
VERDICTS = st.sampled_from([("keep",), ("relabel", "dog"), ("relabel", "elk"), ("unsure",)])
LABELS = st.sampled_from(["cat", "dog"])
_numbers = itertools.count()


@dataclass
class Model:
    """What the store has to say, worked out the slow way."""

    labels: dict[str, str] = field(default_factory=lambda: dict.fromkeys(ITEMS, "cat"))
    listed: set[str] = field(default_factory=lambda: set(ITEMS))
    actions: list[Action] = field(default_factory=list)  # as they were sent
    undone: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)  # item: tab
    needed: int = 1

    def standing(self, action: Action) -> bool:
        """Whether the action still says something: not taken back, and about the label that there is."""
        (said,) = action.decisions
        outcome = said.labels[0] if said.labels else said.given_label
        # The label of what is not in the run is not known.
        fits = said.item_id not in self.listed or self.labels[said.item_id] in (said.given_label, outcome)
        return fits and action.action_id not in self.undone

    def opinions(self, item: str) -> dict[str, tuple[str, ...]]:
        """What each reviewer says now, in the order in which they said it; who settled it is marked."""
        found: dict[str, tuple[str, ...]] = {}
        for sent in self.actions:
            (said,) = sent.decisions
            if said.item_id == item and self.standing(sent):
                before = found.get(sent.reviewer, ("unsure",))
                known = dict(found)
                found.pop(sent.reviewer, None)
                words = (said.verdict, *said.labels)
                if said.verdict in ("keep", "relabel"):  # the same label is the same opinion, whatever was there before
                    words = ("label", *(said.labels or (said.given_label,)))
                settles = self.state_of(known) == "disagreement" if before[0] == "unsure" else "settles" in before
                found[sent.reviewer] = (*words, "settles") if settles and said.verdict != "unsure" else words
        return found

    def state_of(self, opinions: dict[str, tuple[str, ...]]) -> str:
        words = [said for said in opinions.values() if said[0] != "unsure"]
        if not words:
            return "open"
        if any("settles" in said for said in words):
            return "done"
        if len(words) < self.needed:
            return "second"
        most = max(words.count(said) for said in words)
        return "done" if most == len(words) or (most >= 2 and most > len(words) / 2) else "disagreement"

    def state(self, item: str) -> str:
        return self.state_of(self.opinions(item))

    def waiting(self, reviewer: str) -> list[str]:
        """What may be handed to a reviewer, in order, whoever holds it."""
        return [
            item
            for item in ITEMS
            if item in self.listed and self.state(item) in ("open", "second") and reviewer not in self.opinions(item)
        ]


class Reviewing(RuleBasedStateMachine):
    """Several reviewers with two tabs each on one data set."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.dataset = f"set {next(_numbers)}"
        self.model = Model()
        self.fill()

    def fill(self) -> None:
        table = queue_items(4, given_label=[self.model.labels[item] for item in ITEMS])
        table = table[table["item_id"].isin(self.model.listed)]
        store.fill(self.engine, self.dataset, "run", "v0001", table)

    # --- what people do

    @rule(by=REVIEWERS, tab=TABS, count=st.integers(1, 3))
    def claim(self, by: str, tab: str, count: int) -> None:
        tab = f"{by} {tab}"
        found = store.claim(self.engine, self.dataset, by, tab, count=count)
        model = self.model
        held = [item for item in model.waiting(by) if model.held.get(item) == tab][:count]
        free = [item for item in model.waiting(by) if item not in model.held]
        expected = [*held, *free[: count - len(held)]]
        assert [item.item_id for item in found] == expected
        model.held |= dict.fromkeys(expected, tab)
        for item in found:
            assert item.state == model.state(item.item_id)
            assert item.blind == (item.state == "second")

    def send(self, sent: Action, new: bool) -> None:
        recorded = store.record(self.engine, sent)
        assert recorded.new == new
        if new:
            self.model.actions.append(self.as_kept(sent))
        (item,) = recorded.states
        assert recorded.states[item] == self.model.state(item)
        if new and self.model.held.get(item) == sent.session:
            del self.model.held[item]

    def as_kept(self, sent: Action) -> Action:
        (said,) = sent.decisions
        if said.labels == (said.given_label,):
            said = replace(said, verdict="keep", labels=())
        return replace(sent, decisions=(said,))

    @rule(by=REVIEWERS, tab=TABS, item=st.sampled_from(ITEMS), verdict=VERDICTS, given=st.none() | LABELS)
    def decide(self, by: str, tab: str, item: str, verdict: tuple[str, ...], given: str | None) -> None:
        """Mostly what is there, sometimes what was on the screen before; with a lease or without."""
        seen = given or self.model.labels[item]
        made = action(item, *verdict, by=by, given=seen, session=f"{by} {tab}", action_id=f"a{next(_numbers)}")
        self.send(replace(made, dataset=self.dataset), new=True)

    @precondition(lambda self: self.model.actions)
    @rule(data=st.data())
    def send_again(self, data: Any) -> None:
        self.send(data.draw(st.sampled_from(self.model.actions)), new=False)

    @rule(by=REVIEWERS, again=st.booleans(), keep=st.booleans())
    def undo(self, by: str, again: bool, keep: bool) -> None:
        mine = [a for a in self.model.actions if a.reviewer == by and a.action_id not in self.model.undone]
        undo_id, tab = f"u{next(_numbers)}", f"{by} 1" if keep else ""
        for time in range(1 + again):
            undone = store.undo(self.engine, self.dataset, by, undo_id=undo_id, session=tab)
            if not mine:
                assert undone is None
                continue
            (item,) = (said.item_id for said in mine[-1].decisions)
            assert undone == store.Undone(mine[-1].action_id, (item,), new=time == 0)
            if time == 0:
                self.model.undone.append(mine[-1].action_id)
                if keep and item not in self.model.held:
                    self.model.held[item] = tab

    @precondition(lambda self: self.model.actions)
    @rule(data=st.data())
    def undo_in_the_middle(self, data: Any) -> None:
        target = data.draw(st.sampled_from(self.model.actions))
        new = target.action_id not in self.model.undone
        undo_id = f"u{next(_numbers)}"
        undone = store.undo(self.engine, self.dataset, target.reviewer, target.action_id, undo_id=undo_id)
        assert undone is not None
        assert undone.new == new
        if new:
            self.model.undone.append(target.action_id)

    @rule(by=REVIEWERS, tab=TABS)
    def close_the_tab(self, by: str, tab: str) -> None:
        released = store.release(self.engine, self.dataset, f"{by} {tab}")
        mine = [item for item, holder in self.model.held.items() if holder == f"{by} {tab}"]
        assert released == len(mine)
        for item in mine:
            del self.model.held[item]

    # --- what happens

    @rule()
    def all_leases_expire(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.delete(leases).where(leases.c.dataset == self.dataset))
        self.model.held.clear()

    @rule(item=st.sampled_from(ITEMS), label=LABELS, listed=st.booleans())
    def a_new_run(self, item: str, label: str, listed: bool) -> None:
        self.model.labels[item] = label
        (self.model.listed.add if listed else self.model.listed.discard)(item)
        self.fill()

    @rule(needed=st.sampled_from([1, 2]))
    def another_policy(self, needed: int) -> None:
        self.model.needed = needed
        store.set_policy(self.engine, self.dataset, second_opinion=needed - 1.0)

    @rule()
    def the_cache_is_rebuilt(self) -> None:
        store.rebuild(self.engine, self.dataset)

    # --- what always holds

    @invariant()
    def every_state_is_right(self) -> None:
        for item in ITEMS:
            assert store.read_item(self.engine, self.dataset, item).state == self.model.state(item)

    @invariant()
    def every_decision_is_kept_once(self) -> None:
        rows = store.decisions(self.engine, self.dataset)
        made = rows[rows["undoes"] == ""]
        assert made["action_id"].tolist() == [sent.action_id for sent in self.model.actions]
        assert rows.loc[rows["undoes"] != "", "undoes"].tolist() == self.model.undone
        current = store.effective(self.engine, self.dataset)
        latest = {}
        for sent in self.model.actions:
            if sent.action_id not in self.model.undone:
                latest[(sent.decisions[0].sample_id, sent.reviewer)] = sent.action_id
        assert set(current["action_id"]) == set(latest.values())
        assert len(current) == len(latest)

    @invariant()
    def the_queues_are_what_the_states_say(self) -> None:
        for state in ("open", "second", "disagreement", "done"):
            found = [item.item_id for item in store.find_items(self.engine, self.dataset, Filters(state=state))]
            assert found == [i for i in ITEMS if i in self.model.listed and self.model.state(i) == state]


def test_any_sequence_ends_where_the_model_does(engine: Engine) -> None:
    machine = type("Machine", (Reviewing,), {"engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
