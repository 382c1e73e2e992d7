"""What was published and taken back is asked again, until it is decided anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from curation import manifest, review, store
from curation.decisions import Action, Decision, case_id
from curation.manifest.publish import publish
from curation.manifest.revert import revert_sample, revert_version
from curation.review.taken_back import taken_back, told
from curation.review.work_queue import WorkQueue, refill
from curation.runs import Run, read_run
from tests.app.workspaces import DATASET, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace", count=12)


def folder(workspace: Path) -> Path:
    return manifest.manifest_folder(workspace, DATASET)


def queue(workspace: Path) -> tuple[Engine, Run, WorkQueue]:
    engine, run = store.open_store(workspace), read_run(workspace)
    return engine, run, refill(engine, run, folder(workspace))


def say(engine: Engine, item: store.Item, verdict: str, *labels: str, by: str = "ann") -> None:
    made = tuple(
        Decision(item.item_id, member, verdict, labels, given_label=item.given_label, annotation_id=f"{member}-0")
        for member in item.members
    )
    store.record(engine, Action(f"{by} {item.item_id} {verdict}", DATASET, by, made))


def waiting(engine: Engine, **filters: str) -> list[store.Item]:
    return store.find_items(engine, DATASET, store.Filters(**filters), 100)


def test_a_label_whose_change_was_taken_back_waits_again_and_says_why(workspace: Path) -> None:
    engine, run, _ = queue(workspace)
    item = waiting(engine, kind="sample")[0]
    say(engine, item, "relabel", "quokka")
    version = publish(folder(workspace), engine, DATASET, "no cat", "lead")
    queue(workspace)
    assert item.members not in [other.members for other in waiting(engine)]

    revert_version(folder(workspace), version, "lead", "Only a rehearsal")
    engine, run, filled = queue(workspace)
    (again,) = [other for other in waiting(engine) if other.members == item.members]
    assert again.item_id != item.item_id
    assert again.given_label == item.given_label
    place = [other.members for other in store.find_items(engine, DATASET, count=100)].index(item.members)
    assert place == 0 or filled.items["priority"].is_monotonic_decreasing
    (card,) = told(
        review.cards(run, [again.item_id], {again.item_id: again.members}, filled.changed),
        taken_back(folder(workspace), filled.version),
    )
    assert card.why[0].startswith("Asked again: lead took back what was decided (v0003, ")
    assert card.why[0].endswith(": Only a rehearsal.")
    assert store.claim(engine, DATASET, "ann", "tab", store.Filters(item_id=again.item_id))  # also by who decided it

    say(engine, again, "relabel", "wombat")
    publish(folder(workspace), engine, DATASET, "a wombat", "lead")
    _, _, filled = queue(workspace)
    assert taken_back(folder(workspace), filled.version) == {}
    assert item.members not in [other.members for other in waiting(engine)]
    rows = manifest.read(folder(workspace), filled.version).set_index("sample_id")
    assert rows.loc[item.members[0], "label"] == "wombat"


def test_a_case_is_asked_again_as_a_case(workspace: Path) -> None:
    engine, _, _ = queue(workspace)
    case = waiting(engine, kind="duplicates")[0]
    first, *others = case.members
    given = manifest.read(folder(workspace), "v0001").set_index("sample_id")["label"]
    made = [Decision(case.item_id, first, "keep", given_label=given[first], annotation_id=f"{first}-0")]
    made += [Decision(case.item_id, name, "exclude", (), "duplicate", f"{name}-0", given[name]) for name in others]
    store.record(engine, Action("case", DATASET, "ann", tuple(made)))
    version = publish(folder(workspace), engine, DATASET, "one is enough", "lead")
    revert_version(folder(workspace), version, "lead", "both are needed")
    engine, run, filled = queue(workspace)
    (again,) = [item for item in waiting(engine) if set(item.members) == set(case.members)]
    assert again.kind == "duplicates"
    assert again.item_id not in (case.item_id, case_id(case.members))
    (card,) = told(
        review.cards(run, [again.item_id], {again.item_id: again.members}),
        taken_back(folder(workspace), filled.version),
    )
    assert "both are needed" in card.why[0]


def test_bringing_a_decision_back_asks_nothing(workspace: Path) -> None:
    engine, _, _ = queue(workspace)
    item = waiting(engine, kind="sample")[0]
    say(engine, item, "relabel", "quokka")
    publish(folder(workspace), engine, DATASET, "no cat", "lead")
    revert_sample(folder(workspace), item.members[0], "lead")
    revert_sample(folder(workspace), item.members[0], "lead")
    _, _, filled = queue(workspace)
    assert taken_back(folder(workspace), filled.version) == {}
    assert item.members not in [other.members for other in waiting(engine)]
