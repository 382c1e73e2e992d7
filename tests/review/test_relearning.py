"""The queue in the store follows the verdicts, whichever process looks at them."""

from __future__ import annotations

from pathlib import Path

from curation import review, store
from curation.review.actions import Context, verdict_action
from curation.review.learning import features
from curation.review.relearning import relearn
from curation.runs import read_run
from tests.app.workspaces import DATASET, make_workspace


def test_the_order_follows_the_verdicts_and_is_left_alone_without_new_ones(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace", count=40)
    run = read_run(workspace)
    items = review.build_items(run)
    engine = store.open_store(workspace)
    store.fill(engine, DATASET, run.run_id, "v0001", items)
    known = features(run, items)
    before = [item.item_id for item in store.find_items(engine, DATASET, count=100)]
    cards = review.cards(run, [item_id for item_id in before if item_id.startswith("s")][:16])
    for card in cards:  # cats are right, the others are what the model says
        name = "keep" if card.given_label == "cat" else "accept"
        store.record(engine, verdict_action(card, name, Context(DATASET, "ann")))

    assert relearn(engine, DATASET, known) > 0
    left = store.find_items(engine, DATASET, count=100)
    assert {item.item_id for item in left} == set(before) - {card.item_id for card in cards}
    labels = [item.given_label for item in left if item.kind == "sample"]
    cats = [place for place, label in enumerate(labels) if label == "cat"]
    others = [place for place, label in enumerate(labels) if label != "cat"]
    assert sum(cats) / len(cats) > sum(others) / len(others)
    assert relearn(engine, DATASET, known) == 0
