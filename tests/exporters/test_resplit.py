"""New splits of an export: each class by its share, and nothing that belongs together in two of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation.errors import SettingsError
from curation.export import ExportSettings, export
from curation.exporters.content import read_ratios, resplit
from curation.exporters.contract import Content
from curation.exporters.verify import compare_with_version, verify_export
from curation.importers import load
from tests.exporting import make_set

THREE = {"train": 0.8, "val": 0.1, "test": 0.1}


def content(labels: list[str], **columns: list[str]) -> Content:
    """Pictures with these labels; `group`, `content_hash` and `pixel_hash` are all different where not given."""
    classes = sorted(set(labels) - {""})
    ids = [classes.index(label) if label else -1 for label in labels]
    count = range(len(labels))
    alone = {
        "group": [""] * len(labels),
        "content_hash": [f"c{n}" for n in count],
        "pixel_hash": [f"p{n}" for n in count],
    }
    samples = pd.DataFrame(
        {"sample_id": [f"s{n:04d}" for n in count], "label": labels, "split": "old", **alone, **columns}
    ).assign(class_id=np.array(ids, np.int64))
    return Content(samples, [(k,) if k >= 0 else () for k in ids], samples, classes, {}, Path())


def splits_of(found: Content) -> list[str]:
    assert found.rows["split"].tolist() == found.samples["split"].tolist()
    return found.samples["split"].tolist()


@pytest.mark.parametrize("ratios", [THREE, {"train": 0.5, "test": 0.5}, {"a": 0.25, "b": 0.75}, {"x": 0.17, "y": 0.83}])
def test_every_class_is_in_every_split_by_its_share(ratios: dict[str, float]) -> None:
    sizes = {"many": 400, "some": 200, "few": 100}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    found = splits_of(resplit(content(labels), ratios, seed=3))
    counts = Counter(zip(labels, found, strict=True))
    for label, size in sizes.items():
        for split, share in ratios.items():
            assert abs(counts[label, split] - share * size) <= 1 + 0.005 * size, (label, split)


def test_a_rare_second_label_is_in_every_split_by_its_share(tmp_path: Path) -> None:
    """Every picture has a cup, every tenth a vase, too; 20 show nothing; pairs of copies."""
    count = 400
    samples = content(["cup"] * count, group=[str(n // 2) for n in range(count)]).samples
    vases = {n for n in range(count) if n // 2 % 10 == 0}
    empty = set(range(380, count)) - vases
    rows = [
        {"sample_id": f"s{n:04d}", "label": label, "split": "old", "x": np.nan, "y": np.nan, "w": np.nan, "h": np.nan}
        for n in range(count)
        for label in ([""] if n in empty else ["cup", "vase"] if n in vases else ["cup"])
    ]
    several = Content(samples, [], pd.DataFrame(rows), ["cup", "vase"], {}, tmp_path, task="multi-label")
    found = resplit(several, THREE, seed=0).samples["split"].tolist()
    assert found[::2] == found[1::2]
    for chosen in (vases, empty, range(count)):
        sizes = Counter(found[n] for n in chosen)
        assert all(abs(sizes[split] - share * len(chosen)) <= 2 for split, share in THREE.items()), sizes


def test_a_seed_decides_the_splits() -> None:
    labels = ["cat", "dog"] * 50
    first, again, other = (splits_of(resplit(content(labels), THREE, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_belongs_together_stays_in_one_split() -> None:
    """Equal bytes, equal pixels, one group, one duplicate cluster; and chains of these."""
    random = np.random.default_rng(0)
    labels = random.choice(["cat", "dog", ""], 300).tolist()
    pair = [str(n // 2) for n in range(300)]
    shifted = [str((n + 1) // 4) for n in range(300)]
    for name in ("group", "content_hash", "pixel_hash"):
        found = splits_of(resplit(content(labels, **{name: pair}), THREE, seed=0))
        assert found[::2] == found[1::2], name
        assert set(found) == set(THREE)
    clusters = np.array(pair, dtype=object)
    found = splits_of(resplit(content(labels), THREE, 0, clusters))
    assert found[::2] == found[1::2]
    chained = splits_of(resplit(content(labels, group=shifted), THREE, 0, clusters))
    groups = pd.DataFrame({"split": chained, "group": shifted, "pair": pair})
    assert groups.groupby("group")["split"].nunique().max() == 1
    assert groups.groupby("pair")["split"].nunique().max() == 1


def test_no_group_is_not_a_group_of_its_own() -> None:
    found = splits_of(resplit(content(["cat"] * 50, group=[""] * 50), THREE, 0, np.array([""] * 50, dtype=object)))
    assert Counter(found) == {"train": 40, "val": 5, "test": 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.8/0.1/0.1", THREE),
        ("0.8/0.2", {"train": 0.8, "test": 0.2}),
        ("train=0.7/dev=0.3", {"train": 0.7, "dev": 0.3}),
        ("a=b=0.5/..=0.5", {"a=b": 0.5, "..": 0.5}),
        ("a=0.25/b=0.25/c=0.25/d=0.25", {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}),
    ],
)
def test_shares_can_have_names(text: str, expected: dict[str, float]) -> None:
    assert read_ratios(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("0.8/0.1", "0.8/0.3", "1", "1.0", "0/1", "-0.5/1.5", "nan/nan", "inf/0", "1e-1/0.9", "a/b", "/", "0.5//0.5"),
        *("train=0.5/train=0.5", "train=0.5/0.5", "=0.5/=0.5", "0.25/0.25/0.25/0.25", "0.1.1/0.9", "0.5,0.5", "80/20"),
        *("٠.٥/٠.٥", "x" * 10_000, "\0"),
    ],
)
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"as 0\.8/0\.1/0\.1"):
        read_ratios(text)


def test_an_export_with_new_splits_says_so_and_is_read_back_with_them(tmp_path: Path) -> None:
    facts = [
        {
            "path": f"{at}.png",
            "label": "cat" if at % 2 else "dog",
            "split": "all",
            "same_as": at // 2 if at < 10 else at,
        }
        for at in range(40)
    ]
    workspace, dataset, source = make_set(tmp_path, facts)
    settings = ExportSettings(source=source, ratios="train=0.5/..=0.5", seed=7)
    done = export(tmp_path / "out", settings, workspace, dataset)
    assert verify_export(done.place) == []
    assert compare_with_version(done.place, dataset.folder) == ([], "")
    assert sorted(done.facts["counts"]["splits"]) == ["..", "train"]
    assert "made anew" in (done.place / "README.md").read_text()
    assert not any("another split" in note for note in done.notes)
    assert all(os.path.realpath(path).startswith(str(done.place)) for path in done.place.rglob("*"))
    samples = load(done.place).samples
    assert set(samples["split"]) == {"..", "train"}
    assert dict(Counter(samples["split"])) == done.facts["counts"]["splits"]
    hashes = {path: (done.place / path).read_bytes() for path in samples["path"]}
    for data in set(hashes.values()):
        together = [path for path, other in hashes.items() if other == data]
        assert samples.loc[samples["path"].isin(together), "split"].nunique() == 1
