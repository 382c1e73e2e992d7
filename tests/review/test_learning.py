"""A queue that learns: it starts as the run ordered it, follows the verdicts, and stays put where they say nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.review import build_items, learning
from curation.review.learning import Features, calibrated, features, fit, reorder
from curation.review.second_look import RIDGE, preference
from curation.runs import Run
from tests.building import evidence_of, make_run, twin

CLASSES = ["cat", "dog", "owl"]
COUNT = 120


def doubted_run(folder: Path, seed: int = 0, embeddings: bool = True, **more: Any) -> Run:
    """COUNT pictures in three classes, all labels doubted more or less, the first ones most."""
    rng = np.random.default_rng(seed)
    given = rng.integers(0, 3, COUNT)
    other = (given + 1 + rng.integers(0, 2, COUNT)) % 3
    score = np.linspace(0.05, 0.95, COUNT)
    labels = [CLASSES[k] for k in given]
    probs = np.full((COUNT, 3), 0.05)
    probs[np.arange(COUNT), given] = score
    probs[np.arange(COUNT), other] = 1 - score
    findings = [
        {"at": row, "issue": "label_error", "score": float(score[row]), "suggestion": CLASSES[other[row]],
         "is_issue": bool(score[row] < 0.5), "evidence": evidence_of("label_error")}
        for row in range(COUNT)
    ]  # fmt: skip
    arrays = {"pred_probs": probs.astype(np.float32), "training_margin": rng.normal(size=COUNT).astype(np.float32)}
    if embeddings:
        arrays["embeddings"] = (np.eye(3)[other] * 3 + rng.normal(size=(COUNT, 3))).astype(np.float32)
    return make_run(folder, labels, findings, pictures=False, arrays=arrays, classes=CLASSES, **more)


def said(items: pd.DataFrame, verdict: str, labels: str = "[]", reviewer: str = "ann") -> pd.DataFrame:
    return pd.DataFrame(
        {"item_id": items["item_id"], "sample_id": items["item_id"], "verdict": verdict, "labels": labels,
         "reviewer": reviewer}
    )  # fmt: skip


NOTHING = pd.DataFrame({"item_id": [], "sample_id": [], "verdict": [], "labels": []}, dtype="str")


@pytest.fixture
def known(tmp_path: Path) -> tuple[Features, pd.DataFrame]:
    run = doubted_run(tmp_path)
    items = build_items(run)
    return features(run, items), items


def order_of(known: Features, odds: np.ndarray) -> list[str]:
    return known.ids[np.argsort(-odds, kind="stable")].tolist()


def test_without_verdicts_the_queue_is_that_of_the_run(known: tuple[Features, pd.DataFrame]) -> None:
    found, items = known
    assert order_of(found, fit(found, NOTHING)) == items["item_id"].tolist()
    assert (np.diff(found.prior) < 0).all()


def test_a_few_verdicts_hardly_move_it(known: tuple[Features, pd.DataFrame]) -> None:
    found, items = known
    for count, most in ((1, 4), (3, 20)):
        odds = fit(found, said(items.head(count), "relabel", '["cat"]'))
        place = np.argsort(np.argsort(-odds))
        assert np.abs(place - np.arange(COUNT)).max() <= most


def test_a_class_pair_that_is_always_kept_sinks_and_one_that_is_always_changed_rises(
    known: tuple[Features, pd.DataFrame],
) -> None:
    found, items = known
    head = items.iloc[:80]
    right = (head["given_label"] == "cat") & (head["suggestion"] == "dog")
    verdicts = pd.concat([said(head[right], "keep"), said(head[~right], "relabel", '["owl"]')], ignore_index=True)
    moved = fit(found, verdicts) - found.prior
    rest = items.iloc[80:]
    sunk = (rest["given_label"] == "cat") & (rest["suggestion"] == "dog")
    assert moved[80:][sunk].max() < moved[80:][~sunk].min()


def test_neighbours_of_corrected_pictures_are_looked_at_again(tmp_path: Path) -> None:
    run = doubted_run(tmp_path)
    items = build_items(run)
    found = features(run, items)
    without = features(doubted_run(tmp_path / "bare", embeddings=False), items)
    assert found.look is not None
    assert without.look is None
    before = preference(found.look, found.given, found.suggested, found.look.labels)
    changed = items.iloc[:60]
    verdicts = pd.concat(
        [said(row.to_frame().T, "relabel", json.dumps([row["suggestion"]])) for _, row in changed.iterrows()]
    )
    after = preference(found.look, found.given, found.suggested, learning._labels_now(found, verdicts))
    # Embeddings say what the suggested class says: with the labels corrected, the look agrees more.
    assert after[60:].mean() > before[60:].mean() + 0.1


def test_a_pictures_own_label_never_speaks_for_itself(tmp_path: Path) -> None:
    run = doubted_run(tmp_path)
    found = features(run, build_items(run))
    look = found.look
    assert look is not None
    row = 5
    labels = look.labels.copy()
    rest = np.arange(len(labels)) != look.place[row]
    rows, hot = look.rows[rest], np.eye(3)[labels[rest]]
    ridge = RIDGE * len(look.rows) * np.eye(rows.shape[1])
    own = look.rows[look.place[row]] @ np.linalg.solve(rows.T @ rows + ridge, rows.T @ hot)
    expected = (own[found.suggested[row]] - own[found.given[row]] - look.centre) / look.spread
    assert preference(look, found.given, found.suggested, labels)[row] == pytest.approx(expected)


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Features, pd.DataFrame]:
    """Ten doubted labels, then dark and blurry pictures in turn, whose scores say nothing of labels."""
    doubted = [{"at": row, "issue": "label_error", "score": 0.1 + row / 100} for row in range(10)]
    others = [{"at": row, "issue": ("dark", "blurry")[row % 2], "score": row % 7 / 10} for row in range(10, 50)]
    last = [{"at": row, "issue": "label_error", "score": 0.9, "is_issue": False} for row in range(50, 60)]
    run = make_run(tmp_path, ["cat"] * 60, doubted + others + last, pictures=False, classes=["cat", "dog"])
    items = build_items(run)
    return features(run, items), items


def test_findings_of_every_kind_start_in_the_order_of_the_run(mixed: tuple[Features, pd.DataFrame]) -> None:
    found, items = mixed
    assert order_of(found, fit(found, NOTHING)) == items["item_id"].tolist()
    assert (np.diff(found.prior) < 0).all()


def test_the_kind_of_finding_is_judged_by_its_verdicts(mixed: tuple[Features, pd.DataFrame]) -> None:
    found, items = mixed
    seen = items.iloc[10:20]
    blurry = seen["issue"] == "blurry"
    odds = fit(found, pd.concat([said(seen[blurry], "exclude"), said(seen[~blurry], "keep")]))
    rest, is_blurry = odds[20:50], (items["issue"] == "blurry").to_numpy()[20:50]
    assert rest[is_blurry].mean() > rest[~is_blurry].mean() + 1


def test_unsure_counts_for_nothing_and_reviewers_who_differ_for_half(known: tuple[Features, pd.DataFrame]) -> None:
    found, items = known
    assert np.array_equal(fit(found, said(items.head(30), "unsure")), found.prior)
    keep, change = said(items.head(30), "keep"), said(items.head(30), "exclude", reviewer="bob")
    low, middle, high = (fit(found, v).mean() for v in (keep, pd.concat([keep, change]), change))
    assert low < middle < high


def test_verdicts_on_items_that_are_not_looked_at_do_no_harm(known: tuple[Features, pd.DataFrame]) -> None:
    found, _ = known
    elsewhere = said(pd.DataFrame({"item_id": ["gone", "d0123456789abcdef"]}), "relabel", '["new class"]')
    assert np.array_equal(fit(found, elsewhere), found.prior)


def test_the_same_verdicts_give_the_same_order_whatever_theirs(known: tuple[Features, pd.DataFrame]) -> None:
    found, items = known
    verdicts = pd.concat([said(items.iloc[:20], "keep"), said(items.iloc[20:40], "relabel", '["owl"]')])
    assert np.array_equal(fit(found, verdicts), fit(found, verdicts.iloc[::-1]))


def test_new_priorities_are_for_open_items_and_only_where_something_changes(
    known: tuple[Features, pd.DataFrame],
) -> None:
    found, items = known
    first = reorder(found, NOTHING, top=10)
    assert first == {item_id: float(10 - place) for place, item_id in enumerate(items["item_id"][:10])}
    assert reorder(found, NOTHING, before=first, top=10) == {}
    verdicts = said(items.head(4), "relabel", '["owl"]')
    second = reorder(found, verdicts, before=first, top=10)
    assert all(second[item_id] < 0 for item_id in items["item_id"][:4])
    now = {**first, **second}
    ahead = [item_id for item_id in now if now[item_id] > 0]
    assert len(ahead) == 10
    assert not set(ahead) & set(items["item_id"][:4])


def test_items_that_leave_the_head_get_their_place_in_the_run_back(known: tuple[Features, pd.DataFrame]) -> None:
    found, items = known
    before = {items["item_id"].iloc[-1]: 7.0}
    assert reorder(found, NOTHING, before=before, top=5)[items["item_id"].iloc[-1]] == items["priority"].iloc[-1]


def test_only_the_head_of_the_queue_is_looked_at(tmp_path: Path) -> None:
    run = doubted_run(tmp_path)
    items = build_items(run)
    assert features(run, items, limit=7).ids.tolist() == items["item_id"].tolist()[:7]


def test_what_is_left_is_counted_near_what_the_run_says_until_verdicts_tell_otherwise(
    known: tuple[Features, pd.DataFrame],
) -> None:
    found, items = known

    def left(verdicts: pd.DataFrame) -> float:
        rest = ~np.isin(found.ids, verdicts["item_id"])
        return float((1 / (1 + np.exp(-calibrated(found, verdicts)[rest]))).sum())

    expected = float((1 - items["score"]).sum())
    assert left(NOTHING) == pytest.approx(expected, rel=0.02)
    assert left(said(items.head(10), "exclude")) == pytest.approx(expected - 9, rel=0.1)
    right, wrong = (left(said(items.head(80), verdict)) for verdict in ("keep", "exclude"))
    assert right < float((1 - items["score"][80:]).sum()) / 2 < wrong


def test_a_review_that_follows_the_queue_finds_more_errors_than_the_static_order(tmp_path: Path) -> None:
    """A pair of classes that the model mixes up and people do not: half of what the run doubts is right."""
    run = doubted_run(tmp_path)
    items = build_items(run)
    found = features(run, items)
    wrong = ~((items["given_label"] == "cat") | (items["suggestion"] == "cat")).to_numpy()
    order: list[int] = []
    odds = found.prior
    while len(order) < 60:
        left = np.setdiff1d(np.arange(COUNT), order)
        order += left[np.argsort(-odds[left], kind="stable")][:5].tolist()
        seen = items.iloc[order]
        verdicts = [said(seen[wrong[order]], "relabel", '["owl"]'), said(seen[~wrong[order]], "keep")]
        odds = fit(found, pd.concat(verdicts, ignore_index=True))
    assert wrong[order].sum() > 1.4 * wrong[:60].sum()


def test_decided_items_take_no_place_of_open_ones(tmp_path: Path) -> None:
    run = doubted_run(tmp_path)
    items = build_items(run)
    ids = items["item_id"].tolist()
    found = features(run, items, limit=7, decided=ids[:50])
    assert found.ids.tolist() == ids[:7] + ids[50:57]
    assert set(reorder(found, said(items.head(50), "keep"))) == set(ids[50:57])


def test_what_is_kept_of_the_queue_to_learn_from_does_not_end_with_what_was_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "LIMIT", 10)
    run = doubted_run(tmp_path)
    items = build_items(run)
    ids = items["item_id"].tolist()
    head = learning.worth_knowing(items, set(ids[:50]))
    assert head["item_id"].tolist() == ids[:10] + ids[50:90]
    further = features(run, head, limit=10, decided=ids[:70])
    assert further.ids.tolist() == ids[:10] + ids[70:80]


def test_cases_and_what_nothing_was_found_on_have_their_places(tmp_path: Path) -> None:
    labels = ["cat", "dog", "cat", ""]
    findings = [
        twin(0, 1, labels, "conflicting_duplicate") | {"score": 0.0},
        {"at": 2, "issue": "label_error", "score": 0.3},
    ]
    run = make_run(tmp_path, labels, findings, unreadable=[("x", "y")], columns={"cluster": [0, 0, 2, 3]},
                   pictures=False, classes=["cat", "dog"])  # fmt: skip
    items = build_items(run)
    found = features(run, items)
    assert order_of(found, fit(found, NOTHING)) == items["item_id"].tolist()
    case = items.iloc[[0]].assign(item_id=items["item_id"][0])
    assert np.isfinite(fit(found, said(case, "exclude"))).all()


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b"]])
def test_runs_of_next_to_nothing_have_a_queue(tmp_path: Path, labels: list[str]) -> None:
    run = make_run(tmp_path, labels, [], unreadable=[("x", "y")], pictures=False)
    items = build_items(run)
    found = features(run, items)
    assert list(reorder(found, said(items.head(1), "exclude"))) == items["item_id"].tolist()[1:]
