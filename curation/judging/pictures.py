"""Pictures as detectors see them, before any model has judged a label; the same for every task."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from curation.detectors.contract import Inputs, set_names
from curation.duplicates import Duplicates
from curation.pixels import Pixels
from curation.wording import counted


def picture_inputs(pixels: Pixels, annotations: pd.DataFrame, duplicates: Duplicates) -> tuple[Inputs, np.ndarray]:
    """Inputs without a model, and the rows (N,) of `pixels` that they consist of: the readable pictures.

    Where a picture has several annotations, or boxes, none of them is its label.

    annotations : columns of curation.records.ANNOTATION_COLUMNS, of the version that is scored
    """
    ok = (pixels.samples["status"] == "ok").to_numpy()
    readable = np.flatnonzero(ok)
    samples = pixels.samples[ok].reset_index(drop=True)
    position = np.full(len(ok), -1, dtype=np.int64)
    position[readable] = np.arange(len(readable))
    class_names = sorted(annotations.loc[annotations["sample_id"].isin(samples["sample_id"]), "label"].unique())
    whole = annotations[annotations["x"].isna() & ~annotations["sample_id"].duplicated(keep=False)]
    by_sample = whole.set_index("sample_id")[["annotation_id", "label"]]
    mine = by_sample.reindex(samples["sample_id"])
    codes = pd.Categorical(mine["label"], categories=class_names).codes.astype(np.int64)
    pairs = duplicates.pairs
    unreadable = pixels.samples[~ok].reset_index(drop=True)
    theirs = by_sample.reindex(unreadable["sample_id"])
    for column in theirs:
        unreadable[column] = pd.Series(theirs[column].fillna("").tolist(), dtype="str")
    inputs = Inputs(
        samples=samples,
        annotation_id=np.where(mine["label"].notna(), mine["annotation_id"].to_numpy(object), ""),
        labels=codes,
        class_names=class_names,
        unreadable=unreadable,
        duplicate_pairs=pairs.assign(a=position[pairs["a"].to_numpy()], b=position[pairs["b"].to_numpy()]),
        cluster=pd.factorize(duplicates.cluster[readable])[0].astype(np.int64),
    )
    return inputs, readable


def samples_table(inputs: Inputs) -> pd.DataFrame:
    """samples.parquet: the readable pictures, aligned with the arrays, then the unreadable ones.

    Where pictures can have several labels, `given_label` is "" and `given_labels` a JSON list of all of them.
    """
    names = np.asarray([*inputs.class_names, ""], dtype=object)
    readable = inputs.samples.assign(given_label=pd.Series(names[inputs.labels], dtype="str"), cluster=inputs.cluster)
    readable["fold"] = -1 if inputs.fold is None else inputs.fold
    if inputs.label_sets is not None:
        texts = [json.dumps(set_names(inputs, row), ensure_ascii=False) for row in range(len(readable))]
        readable["given_labels"] = pd.Series(texts, dtype="str")
    unreadable = inputs.unreadable.rename(columns={"label": "given_label"}).drop(columns="annotation_id")
    unreadable = unreadable.assign(cluster=-1, fold=-1)
    if inputs.label_sets is not None:
        unreadable["given_labels"] = pd.Series(["[]"] * len(unreadable), dtype="str")
    return pd.concat([readable, unreadable], ignore_index=True) if len(unreadable) else readable


def unreadable_class_notes(inputs: Inputs) -> list[str]:
    """A sentence on classes all of whose pictures are broken."""
    lost = sorted(set(inputs.unreadable["label"]) - {"", *inputs.class_names})
    named = ", ".join(repr(name) for name in lost[:5]) + " ..." * (len(lost) > 5)
    return [f"{counted(len(lost), 'class has', 'classes have')} no picture that can be read: {named}."] if lost else []
