"""Several reviewers on the same pictures: agreement as the literature defines it, and the label that holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.review.consensus import EXCLUDED, agreement_of_pairs, answers, crowd_labels, krippendorff_alpha
from curation.runs import Run
from tests.building import make_run


def said(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows (sample, reviewer, verdict, labels ...); every given label is `cat`."""
    return pd.DataFrame(
        [(sample, by, verdict, json.dumps(labels), "cat") for sample, by, verdict, *labels in rows],
        columns=["sample_id", "reviewer", "verdict", "labels", "given_label"],
    )


def votes(**by: str) -> pd.DataFrame:
    """One column of answers per reviewer, one letter per sample; `.` = not asked."""
    rows = [
        (f"s{row}", name, "relabel", letter)
        for name, letters in by.items()
        for row, letter in enumerate(letters)
        if letter != "."
    ]
    return said(*rows)


def run_with(folder: Path, probs: Any) -> Run:
    probs = np.asarray(probs, dtype=np.float32)
    return make_run(
        folder, ["cat"] * len(probs), [], pictures=False, arrays={"pred_probs": probs}, classes=["cat", "dog"]
    )


def test_answers_are_labels_or_why_there_is_none() -> None:
    table = answers(
        said(
            ("s0", "ann", "keep"),
            ("s1", "ann", "relabel", "dog"),
            ("s2", "ann", "ambiguous", "dog", "cat"),
            ("s3", "ann", "exclude"),
            ("s4", "ann", "unsure"),
            ("s5", "ann", "distinct"),
            ("s6", "ann", "hard"),
        )
    ).set_index("sample_id")
    assert table["answer"].to_dict() == {"s0": "cat", "s1": "dog", "s2": '["cat", "dog"]', "s3": EXCLUDED, "s6": "cat"}
    assert table.index[table["is_label"]].tolist() == ["s0", "s1", "s6"]
    assert table.index[table["changed"]].tolist() == ["s1", "s2", "s3"]


def test_keeping_a_label_and_giving_it_anew_are_the_same_answer() -> None:
    pairs = agreement_of_pairs(said(("s0", "ann", "keep"), ("s0", "bob", "relabel", "cat")))
    assert pairs.iloc[0].tolist()[:4] == ["ann", "bob", 1, 1.0]
    assert np.isnan(pairs["kappa"][0])


def test_kappa_is_agreement_beyond_chance() -> None:
    # Cohen (1960): observed 0.7, expected 0.5.
    pairs = agreement_of_pairs(votes(ann="aaaaabbbbb", bob="aaaabbbbaa", cat="a........."))
    first = pairs.iloc[0]
    assert (first["first"], first["second"], first["samples"]) == ("ann", "bob", 10)
    assert first["agreed"] == pytest.approx(0.7)
    assert first["kappa"] == pytest.approx(0.4)
    assert pairs["samples"].tolist() == [10, 1, 1]


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    # Krippendorff (2011), section C: four observers, twelve units, answers missing, nominal data.
    example = votes(A="123321412...", B="1233224125.3", C=".3332342251.", D="12332441251.")
    assert krippendorff_alpha(example) == pytest.approx(0.743, abs=5e-4)


def test_alpha_without_anything_to_compare_is_not_a_number() -> None:
    assert np.isnan(krippendorff_alpha(said()))
    assert np.isnan(krippendorff_alpha(votes(ann="ab..", bob="..ab")))
    assert np.isnan(krippendorff_alpha(votes(ann="aaa", bob="aaa")))
    assert krippendorff_alpha(votes(ann="aabb", bob="aabb")) == 1.0
    assert krippendorff_alpha(votes(ann="cdcd", bob="dcdc")) < 0


def test_whether_a_label_was_changed_can_be_agreed_on_where_the_label_is_not() -> None:
    rows = said(("s0", "ann", "relabel", "dog"), ("s0", "bob", "relabel", "owl"),
                ("s1", "ann", "keep"), ("s1", "bob", "keep"))  # fmt: skip
    assert krippendorff_alpha(rows, "changed") == 1.0
    assert krippendorff_alpha(rows) < 1.0


def test_three_reviewers_and_the_model_settle_a_label(tmp_path: Path) -> None:
    run = run_with(tmp_path, [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    rows = said(
        *[(f"s{k}", by, "relabel", ["cat", "dog"][k % 2]) for k in range(3) for by in ("ann", "bob", "eve")],
        ("s3", "ann", "relabel", "dog"),
    )
    found = crowd_labels(run, rows).set_index("sample_id")
    assert found["label"].to_dict() == {"s0": "cat", "s1": "dog", "s2": "cat"}
    assert (found["method"] == "crowdlab").all()
    assert (found["quality"] > 0.8).all()
    assert found["reviewers"].tolist() == [3, 3, 3]


def test_a_reviewer_who_is_always_alone_counts_less(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 60)
    run = run_with(tmp_path, np.where(np.eye(2)[truth] > 0, 0.8, 0.2))
    names = ["cat", "dog"]
    rows = [(f"s{k}", by, "relabel", names[truth[k]]) for k in range(60) for by in ("ann", "bob")]
    rows += [(f"s{k}", "eve", "relabel", names[1 - truth[k]]) for k in range(60)]
    found = crowd_labels(run, said(*rows)).set_index("sample_id")
    assert found["label"].tolist() == [names[truth[int(sample[1:])]] for sample in found.index]


def test_answers_beyond_the_models_classes_are_settled_by_majority(tmp_path: Path) -> None:
    run = run_with(tmp_path, [[0.9, 0.1]] * 3)
    rows = said(
        *[("s0", by, "exclude") for by in ("ann", "bob")], ("s0", "eve", "keep"),
        *[("s1", by, "relabel", "owl") for by in ("ann", "bob", "eve")],
        ("s2", "ann", "keep"), ("s2", "bob", "relabel", "owl"), ("s2", "eve", "exclude"),
    )  # fmt: skip
    found = crowd_labels(run, rows).set_index("sample_id")
    assert found["label"].to_dict() == {"s0": EXCLUDED, "s1": "owl", "s2": ""}
    assert found["agreed"].round(2).tolist() == [0.67, 1.0, 0.33]
    assert (found["method"] == "majority").all()


def test_without_a_model_or_enough_reviewers_nothing_is_made_up(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["cat", "cat"], [], pictures=False)
    assert len(crowd_labels(run, said(("s0", "ann", "keep"), ("s0", "bob", "keep")))) == 0
    assert len(crowd_labels(run, said())) == 0
    rows = said(*[("s0", by, "keep") for by in ("ann", "bob", "eve")])
    assert crowd_labels(run, rows)[["label", "method"]].values.tolist() == [["cat", "majority"]]


def test_reviewers_who_share_no_picture_have_no_consensus_and_stop_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["cat", "dog"] * 4, [], arrays={"pred_probs": np.full((8, 2), 0.5, dtype=np.float32)})
    table = pd.DataFrame(
        {"sample_id": ["s0", "s1"], "reviewer": ["ann", "bo"], "verdict": "keep", "labels": "[]", "given_label": "cat"}
    )
    assert crowd_labels(run, table, at_least=1)["method"].tolist() == ["majority", "majority"]
