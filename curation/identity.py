"""Which sample of an earlier import each picture of a new one is, so that a `sample_id` outlives renames and edits."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from curation.records import make_annotation_id, make_sample_id

KINDS = ("same", "renamed", "edited", "new")


@dataclass(frozen=True)
class Matches:
    """For each new sample, in its order: the id it has, and how it was recognised (one of KINDS)."""

    sample_ids: list[str]
    kinds: list[str]


def match_samples(old: pd.DataFrame, new: pd.DataFrame) -> Matches:
    """Recognise the samples of `old` in `new`; both have `sample_id`, `path`, `pixel_hash`, `content_hash`.

    In this order, each old sample at most once: the same path with the same picture; the same picture elsewhere
    ("renamed", so two files that swapped their names keep their ids); the same path with another picture, unless the
    old one was found elsewhere ("edited": re-encoded or retouched in place); else it is new. Where several copies of
    one picture were renamed, they are paired in the order of their paths. No id is given to a second picture.
    """
    old_pictures, new_pictures = _pictures(old), _pictures(new)
    old_ids, old_paths, new_paths = old["sample_id"].tolist(), old["path"].tolist(), new["path"].tolist()
    at_path = {path: row for row, path in enumerate(old_paths)}
    origin: dict[int, int] = {}
    kinds = ["new"] * len(new_paths)

    def take(row: int, old_row: int, kind: str) -> None:
        origin[row], kinds[row] = old_row, kind
        free.discard(old_row)

    free = set(range(len(old_paths)))
    for row, path in enumerate(new_paths):
        old_row = at_path.get(path)
        if old_row is not None and old_pictures[old_row] == new_pictures[row]:
            take(row, old_row, "same")
    moved: dict[str, list[int]] = {}
    for old_row in sorted(free, key=old_paths.__getitem__, reverse=True):
        if old_pictures[old_row]:
            moved.setdefault(old_pictures[old_row], []).append(old_row)
    rest = sorted((row for row in range(len(new_paths)) if row not in origin), key=new_paths.__getitem__)
    for row in rest:
        if moved.get(new_pictures[row]):
            take(row, moved[new_pictures[row]].pop(), "renamed")
    for row in rest:
        old_row = at_path.get(new_paths[row])
        if row not in origin and old_row in free:
            take(row, old_row, "edited")

    used = set(old_ids)
    ids = []
    for row, path in enumerate(new_paths):
        ids.append(old_ids[origin[row]] if row in origin else _fresh_id(path, used))
        used.add(ids[-1])
    return Matches(ids, kinds)


def with_ids(
    samples: pd.DataFrame, annotations: pd.DataFrame, sample_ids: list[str], known: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with other sample ids, rows in their order; annotation ids of `known` samples are kept by position.

    `known` : annotations as they were, columns `sample_id` and `annotation_id`.
    """
    renamed = dict(zip(samples["sample_id"].tolist(), sample_ids, strict=True))
    owners = pd.Series([renamed[sample_id] for sample_id in annotations["sample_id"].tolist()], dtype="str")
    known = known[known["annotation_id"] != ""]
    kept = dict(zip(_places(known["sample_id"]), known["annotation_id"].tolist(), strict=True))
    used = set(kept.values())
    annotation_ids = []
    for owner, place in zip(owners.tolist(), _places(owners), strict=True):
        annotation_ids.append(kept.get(place) or _fresh_annotation_id(owner, used))
        used.add(annotation_ids[-1])
    return (
        samples.assign(sample_id=pd.Series(sample_ids, index=samples.index, dtype="str")),
        annotations.assign(
            sample_id=owners.set_axis(annotations.index),
            annotation_id=pd.Series(annotation_ids, index=annotations.index, dtype="str"),
        ),
    )


def _pictures(samples: pd.DataFrame) -> list[str]:
    """What tells a picture: its pixels, or the bytes of a file that cannot be decoded, "" where neither is known."""
    pairs = zip(samples["pixel_hash"].tolist(), samples["content_hash"].tolist(), strict=True)
    return [pixels or (f"bytes:{content}" if content else "") for pixels, content in pairs]


def _fresh_id(path: str, used: set[str]) -> str:
    taken = 0
    while (sample_id := make_sample_id(path, taken)) in used:
        taken += 1
    return sample_id


def _fresh_annotation_id(sample_id: str, used: set[str]) -> str:
    position = 0
    while (annotation_id := make_annotation_id(sample_id, position)) in used:
        position += 1
    return annotation_id


def _places(owners: pd.Series) -> list[str]:
    """`sample id/0`, `/1` ...: the place of each annotation among those of its sample."""
    positions = owners.groupby(owners).cumcount()
    return [f"{owner}/{position}" for owner, position in zip(owners.tolist(), positions.tolist(), strict=True)]
