"""The queue of a workspace follows its newest version and what was decided on it."""

from __future__ import annotations

import json
from pathlib import Path

from curation import manifest, store
from curation.decisions import Action, Decision
from curation.review.work_queue import labels_given, refill
from curation.runs import read_run
from tests.app.workspaces import DATASET, make_workspace


def queued(workspace: Path) -> set[str]:
    engine = store.open_store(workspace)
    return set(refill(engine, read_run(workspace), manifest.manifest_folder(workspace, DATASET)).items["item_id"])


def say(workspace: Path, reviewer: str, item: store.Item, verdict: str) -> None:
    made = tuple(Decision(item.item_id, member, verdict, given_label="cat") for member in item.members)
    store.record(store.open_store(workspace), Action(f"{reviewer}-{item.item_id}", DATASET, reviewer, made))


def test_a_case_that_was_taken_apart_becomes_pictures_when_all_who_must_look_agree(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace", count=12)
    before = queued(workspace)
    engine = store.open_store(workspace)
    store.set_policy(engine, DATASET, second_opinion=1.0)
    case = next(item for item in store.find_items(engine, DATASET, count=50) if item.kind == "duplicates")
    say(workspace, "ann", case, "distinct")
    assert case.item_id in queued(workspace)  # bob has not looked yet
    say(workspace, "bob", case, "distinct")
    assert queued(workspace) == before - {case.item_id} | set(case.members)
    assert queued(workspace) == before - {case.item_id} | set(case.members)  # opening it again changes nothing


def test_labels_of_decisions_are_known_also_those_that_were_taken_back(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace", count=8)
    engine = store.open_store(workspace)
    queue = refill(engine, read_run(workspace), manifest.manifest_folder(workspace, DATASET))
    (item,) = store.find_items(engine, DATASET, store.Filters(kind="sample"), 1)
    said = Decision(item.item_id, item.item_id, "relabel", ("quokka",), given_label=item.given_label)
    store.record(engine, Action("a", DATASET, "ann", (said,)))
    store.undo(engine, DATASET, "ann", undo_id="b")
    assert labels_given(queue.decided) == set()
    assert labels_given(store.decisions(engine, DATASET)) == {"quokka"}
    assert json.loads(store.decisions(engine, DATASET)["labels"].iloc[0]) == ["quokka"]
