"""Several reviewers on the same pictures: how far they agree, and what holds where three or more have looked."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from curation.decisions import UNDO
from curation.review.run_index import open_index
from curation.runs import Run
from curation.seen import read_part

AT_LEAST = 3  # reviewers of a picture, for the multi-annotator estimate to say more than a majority does
NO_ANSWER = ("unsure", "distinct", UNDO)
LABELS = ("keep", "hard", "relabel")
# What a picture is that reviewers exclude; no label can look like it, because labels have no control characters.
EXCLUDED = "\0excluded"


def answers(decided: pd.DataFrame) -> pd.DataFrame:
    """What each reviewer says that a sample is: columns sample_id, reviewer, answer, is_label, changed.

    decided : the store's `effective`: the latest decision of each reviewer on each sample
    answer : the label; EXCLUDED; of several labels their JSON list, sorted; of an edit what it changes, without the
        places of boxes; nothing for `unsure` and `distinct`
    is_label : whether the answer is one label; changed : whether it differs from the label that the reviewer saw
    """
    rows = decided[~decided["verdict"].isin(NO_ANSWER)].drop_duplicates(["sample_id", "reviewer"], keep="last")
    if "seen" in rows:  # who has looked at some of several annotations has not answered what the picture is
        rows = rows[rows["seen"].map(read_part) == ""]
    said = [
        _answer(verdict, labels, given, edits)
        for verdict, labels, given, edits in zip(
            rows["verdict"], rows["labels"], rows["given_label"], rows.get("edits", rows["labels"]), strict=True
        )
    ]
    return pd.DataFrame(
        {
            "sample_id": rows["sample_id"].to_numpy(dtype=object),
            "reviewer": rows["reviewer"].to_numpy(dtype=object),
            "answer": said,
            "is_label": rows["verdict"].isin(LABELS).to_numpy(),
            "changed": (~rows["verdict"].isin(["keep", "hard"])).to_numpy(),
        }
    ).astype({"sample_id": "str", "reviewer": "str", "answer": "str", "is_label": "bool", "changed": "bool"})


def agreement_of_pairs(decided: pd.DataFrame) -> pd.DataFrame:
    """Every two reviewers who looked at the same samples, those with most in common first.

    Columns
    -------
    first, second : reviewers, in alphabetical order; samples : how many both answered; agreed : share of equal answers
    kappa : Cohen's kappa in [-1, 1], agreement beyond chance; NaN where both always gave one and the same answer
    """
    from sklearn.metrics import cohen_kappa_score

    table = answers(decided).pivot(index="sample_id", columns="reviewer", values="answer")
    found: list[tuple[Any, ...]] = []
    for first, second in combinations(sorted(table.columns), 2):
        both = table[[first, second]].dropna()
        if len(both):
            a, b = both[first].to_numpy(dtype=object), both[second].to_numpy(dtype=object)
            one_answer = len(set(a) | set(b)) == 1
            kappa = float("nan") if one_answer else float(cohen_kappa_score(a.tolist(), b.tolist()))
            found.append((first, second, len(both), float((a == b).mean()), kappa))
    pairs = pd.DataFrame(found, columns=["first", "second", "samples", "agreed", "kappa"])
    return pairs.sort_values(["samples", "first", "second"], ascending=[False, True, True], ignore_index=True)


def krippendorff_alpha(decided: pd.DataFrame, of: str = "answer") -> float:
    """Agreement of all reviewers at once: 1 = always, 0 = as by chance, NaN = nothing to compare or one answer only.

    of : "answer" compares labels, "changed" only whether the label was left as it is

    Any number of reviewers, whoever looked at what; nominal distance.

    References
    ----------
    Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C.
    """
    table = answers(decided)
    several = table[table.groupby("sample_id")["reviewer"].transform("size") >= 2]
    if not len(several):
        return float("nan")
    sample, value = pd.factorize(several["sample_id"])[0], pd.factorize(several[of])[0]
    counts = np.zeros((sample.max() + 1, value.max() + 1))
    np.add.at(counts, (sample, value), 1)
    size = counts.sum(axis=1)
    total = counts.sum(axis=0)
    # Observed and expected share of differing pairs.
    observed = ((size**2 - (counts**2).sum(axis=1)) / (size - 1)).sum() / size.sum()
    expected = (total.sum() ** 2 - (total**2).sum()) / (total.sum() * (total.sum() - 1))
    return float(1 - observed / expected) if expected > 0 else float("nan")


def crowd_labels(run: Run, decided: pd.DataFrame, at_least: int = AT_LEAST) -> pd.DataFrame:
    """What each sample that `at_least` reviewers gave a label probably is, weighing reviewers and model (CROWDLAB).

    Every reviewer's weight is learned from all samples with an answer, so that one who is often alone counts less.
    Answers that are no label of the run (excluded, ambiguous, a new class) are beyond the method: a sample that has one
    gets the majority's answer, and so does everything in a run without a model.

    Columns
    -------
    sample_id, label : the consensus, EXCLUDED where most excluded it; "" where the majority is tied
    quality : probability that the consensus is right, in [0, 1]; by majority, the share of reviewers who say so
    agreed : share of the reviewers who say so; reviewers : how many; method : "crowdlab" or "majority"

    References
    ----------
    Goh, Tkachenko & Mueller (2022), CROWDLAB: supervised learning to infer consensus labels and quality scores for data
    with multiple annotators.
    """
    said = answers(decided)
    size = said.groupby("sample_id")["reviewer"].size()
    asked = size.index[size >= at_least]
    found = _majority(said[said["sample_id"].isin(asked)])
    model = _by_model(run, said)
    at = pd.Index(model["sample_id"]).get_indexer(found["sample_id"])
    for name in ("label", "quality", "agreed"):
        values = found[name].to_numpy(dtype=object)
        values[at >= 0] = model[name].to_numpy(dtype=object)[at[at >= 0]]
        found[name] = pd.Series(values, dtype=found[name].dtype)
    found["method"] = pd.Series(np.where(at >= 0, "crowdlab", "majority"), dtype="str")
    return found


def _answer(verdict: str, labels: str, given: str, edits: str) -> str:
    if verdict in ("keep", "hard"):
        return given
    if verdict == "exclude":
        return EXCLUDED
    if verdict == "edit":
        return _in_short(edits)
    names = json.loads(labels)
    return str(names[0]) if verdict == "relabel" else json.dumps(sorted(names))


def _in_short(edits: str) -> str:
    """What an edit changes; of boxes only that they are others: nobody draws the same one twice."""
    short = []
    for line in json.loads(edits):
        kind, to = line["change"], line["to"]
        label = to["label"] if kind == "add" else to if kind == "relabel" else ""
        short.append([kind, "" if kind == "add" else line["annotation_id"], label])
    return json.dumps(sorted(short))


def _majority(said: pd.DataFrame) -> pd.DataFrame:
    votes = said.groupby(["sample_id", "answer"]).size().rename("votes").reset_index()
    total = votes.groupby("sample_id")["votes"].sum()
    most = votes.groupby("sample_id")["votes"].transform("max")
    first = votes[votes["votes"] == most]
    tied = first["sample_id"].duplicated(keep=False)
    first = first.assign(answer=first["answer"].where(~tied, "")).drop_duplicates("sample_id")
    share = first["votes"].to_numpy(dtype=np.float64) / total.reindex(first["sample_id"]).to_numpy(dtype=np.float64)
    return pd.DataFrame(
        {
            "sample_id": pd.Series(first["sample_id"].to_numpy(dtype=object), dtype="str"),
            "label": pd.Series(first["answer"].to_numpy(dtype=object), dtype="str"),
            "quality": share,
            "agreed": share,
            "reviewers": total.reindex(first["sample_id"]).to_numpy(dtype=np.int64),
        }
    )


def _by_model(run: Run, said: pd.DataFrame) -> pd.DataFrame:
    """sample_id, label, quality, agreed of every sample whose answers are all labels that the model knows."""
    index = open_index(run)
    nothing = pd.DataFrame({"sample_id": [], "label": [], "quality": [], "agreed": []})
    probs = index.arrays.get("pred_probs")
    if probs is None or not len(said):
        return nothing
    said = said.assign(row=index.rows(said["sample_id"]), label=said["answer"].map(_numbers(index.classes)))
    fits = said["is_label"] & said["label"].notna() & (said["row"] >= 0) & (said["row"] < len(probs))
    said = said[fits.groupby(said["sample_id"]).transform("all")]
    if said["reviewer"].nunique() < 2:
        return nothing
    table = said.pivot(index="row", columns="reviewer", values="label").astype("float64")
    believed = np.asarray(probs[table.index.to_numpy()], dtype=np.float64)
    judged = np.isfinite(believed).all(axis=1)
    table, believed = table[judged], believed[judged]
    table = table.loc[:, table.notna().any()]
    if not len(table) or table.notna().sum(axis=1).max() < 2:  # cleanlab wants one that two have looked at
        return nothing
    from cleanlab.multiannotator import get_label_quality_multiannotator

    quality = get_label_quality_multiannotator(
        table.to_numpy(), believed, verbose=False, return_detailed_quality=False, return_annotator_stats=False
    )["label_quality"]
    return pd.DataFrame(
        {
            "sample_id": index.samples["sample_id"].to_numpy(dtype=object)[table.index.to_numpy()],
            "label": np.asarray(index.classes, dtype=object)[quality["consensus_label"].to_numpy(dtype=np.int64)],
            "quality": quality["consensus_quality_score"].to_numpy(dtype=np.float64),
            "agreed": quality["annotator_agreement"].to_numpy(dtype=np.float64),
        }
    )


def _numbers(classes: list[str]) -> dict[str, int]:
    return {name: k for k, name in enumerate(classes)}
