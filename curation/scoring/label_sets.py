"""Several labels per picture as arrays, and which of them never, or always, go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# A combination is odd if fewer pictures show it than this share of what chance alone would give ...
ODD_SHARE = 0.1
# ... and so few would come about by chance with at most this probability, over all pairs of classes together.
ODD_CHANCE = 0.01
BLOCK = 1 << 16

COMBINATION_COLUMNS = ["row", "label", "other", "kind", "pictures", "expected", "chance"]


@dataclass(frozen=True, eq=False)
class LabelSets:
    """The labels of N pictures, K classes.

    given : (N, K) int8, 1 = labelled so, 0 = not, -1 = unknown (the whole row)
    key : (A,) int64, row * K + class of each label, ascending
    annotation_id : (A,) str, of the same labels
    combinations : labels that are odd beside others of the same picture, one line each; columns row, label, other
        (class ids), kind ("never" together, or `label` "always" with `other`, which is not there), pictures (how many
        are like this one), expected (how many would be by chance) and chance (probability of so few)
    """

    given: np.ndarray
    key: np.ndarray
    annotation_id: np.ndarray
    combinations: pd.DataFrame

    def ids(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(R,) str: the annotation that gives each picture that class, "" where none does."""
        wanted = np.asarray(rows, dtype=np.int64) * self.given.shape[1] + np.asarray(classes, dtype=np.int64)
        found = np.full(len(wanted), "", dtype=object)
        if len(self.key):
            place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
            there = self.key[place] == wanted
            found[there] = self.annotation_id[place[there]]
        return found


def label_sets(annotations: pd.DataFrame, samples: pd.DataFrame, class_names: list[str]) -> LabelSets:
    """The labels of `samples`, in their order; a class that a picture has twice counts once, by its first annotation.

    A picture without a label shows none of the classes, but where no picture of its split has a label, none of that
    split has been labelled.

    annotations : curation.records.ANNOTATION_COLUMNS; those of other samples and boxes' places are not looked at
    class_names : all labels of these samples
    """
    row = pd.Series(np.arange(len(samples)), index=samples["sample_id"].to_numpy())
    mine = annotations[annotations["sample_id"].isin(row.index)]
    at = row.loc[mine["sample_id"].to_numpy()].to_numpy(dtype=np.int64)
    classes = pd.Categorical(mine["label"], categories=class_names).codes.astype(np.int64)
    key, first = np.unique(at * max(len(class_names), 1) + classes, return_index=True)
    given = np.zeros((len(samples), len(class_names)), dtype=np.int8)
    given[at, classes] = 1
    labelled = pd.Series(given.any(axis=1)).groupby(samples["split"].to_numpy()).transform("any").to_numpy(dtype=bool)
    given[~labelled] = -1
    ids = mine["annotation_id"].to_numpy(dtype=object)[first]
    return LabelSets(given, key, ids, odd_combinations(given))


def odd_combinations(given: np.ndarray) -> pd.DataFrame:
    """The labels of (N, K) `given` that stand beside one that they (nearly) never meet, or without one that they
    (nearly) always do; see LabelSets.combinations.

    Exact: the hypergeometric probability of so few such pictures if both classes were dealt out by chance, times the
    number of pairs that are looked at (Bonferroni).
    """
    known = given[given[:, 0] >= 0] if given.shape[1] else given[:0]
    count, classes = known.shape
    if count == 0 or classes < 2:
        return _combinations([])
    together = np.zeros((classes, classes))
    for start in range(0, count, BLOCK):
        part = (known[start : start + BLOCK] > 0).astype(np.float32)
        together += part.T @ part
    size = np.diag(together)
    lines = []
    pairs = classes * (classes - 1) * 3 // 2  # both ways for "always", one way for "never"
    for kind, observed, others in (
        ("never", together, size),
        ("always", size[:, None] - together, count - size),
    ):
        expected = size[:, None] * others[None, :] / count
        candidate = (observed > 0) & (observed <= ODD_SHARE * expected)
        candidate &= ~np.eye(classes, dtype=bool) if kind == "always" else np.triu(np.ones_like(candidate), 1)
        for a, b in np.argwhere(candidate):
            chance = _at_most(observed[a, b], count, size[a], others[b]) * pairs
            if chance <= ODD_CHANCE:
                with_b = given[:, b] > 0 if kind == "never" else given[:, b] == 0
                for row in np.flatnonzero((given[:, a] > 0) & with_b):
                    facts = (int(observed[a, b]), float(expected[a, b]), float(chance))
                    lines.append((int(row), int(a), int(b), kind, *facts))
                    if kind == "never":
                        lines.append((int(row), int(b), int(a), kind, *facts))
    return _combinations(lines)


def _at_most(observed: float, count: int, size: float, others: float) -> float:
    """Probability that at most `observed` of `size` pictures are among `others` of all `count` by chance."""
    from scipy.stats import hypergeom

    return float(hypergeom.cdf(int(observed), int(count), int(others), int(size)))


def _combinations(lines: list[tuple[int, int, int, str, int, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(lines, columns=COMBINATION_COLUMNS)
    return table.sort_values(["row", "label", "chance", "other"], kind="stable", ignore_index=True)
