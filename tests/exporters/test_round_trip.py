"""What leaves by any format comes back the same: samples, labels, splits, groups, attributes; hostile ones, too."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.errors import SettingsError
from curation.export import ExportSettings, export
from curation.exporters import EXPORTERS
from curation.exporters.verify import compare_with_version, verify_export
from curation.importers import load
from curation.manifest import read
from curation.pixels import decode
from tests.exporting import HOSTILE_LABELS, HOSTILE_NAMES, make_set, said

WAYS = [
    (name, images)
    for name, exporter in EXPORTERS.items()
    for images in exporter.images
    if images != "symlink" and "single-label" in exporter.tasks
]
REFUSING = ("voc", "openimages", "cvat")  # formats of others, in which not every label can be written
SPLITS = ("", "train", "val", "Train", "../up", "ünï", "a b", "x" * 300)


def hostile() -> list[dict[str, Any]]:
    """Every hostile label and name, with splits, groups, attributes, an unlabelled and two ambiguous pictures."""
    count = max(len(HOSTILE_LABELS), len(HOSTILE_NAMES))
    facts: list[dict[str, Any]] = []
    for at, label, name, split in zip(
        range(count), itertools.cycle(HOSTILE_LABELS), itertools.cycle(HOSTILE_NAMES), itertools.cycle(SPLITS)
    ):
        path = name if at < len(HOSTILE_NAMES) else f"more/{at}.png"
        facts.append({"path": path, "label": label, "split": split, "group": label[:3]})
    facts[3]["label"] = ""
    facts[5]["attributes"] = {"curate:labels": ["NUL.txt", "only here", "cat"], "mine": "x\u2028y"}
    facts[6]["attributes"] = {"curate:hard": True}
    return facts


def check(facts: list[dict[str, Any]], way: tuple[str, str], folder: Path) -> None:
    workspace, dataset, source = make_set(folder, facts)
    before = read(dataset.folder, "v0001")
    dest = folder / "out"
    try:
        done = export(dest, ExportSettings(way[0], images=way[1], source=source), workspace, dataset)
    except SettingsError:
        if way[0] not in REFUSING or dest.exists():
            raise
        return  # said before anything is lost
    assert verify_export(dest) == []
    assert compare_with_version(dest, dataset.folder) == ([], "")
    records = load(dest)
    assert records.source_format == "exported"
    assert records.rejected.empty
    pixels = decode(records, 16, folder / "cache2")
    assert (pixels.samples["status"] == "ok").all()
    left = before[before["status"] == "ok"]
    assert said(pixels.samples, records.annotations) == said(
        left.drop_duplicates("sample_id"), left[left["annotation_id"] != ""]
    )
    then = left.drop_duplicates("sample_id").set_index("sample_id")["pixel_hash"].sort_index()
    now = pixels.samples.set_index("sample_id")["pixel_hash"].sort_index()
    assert then.tolist() == now.tolist()
    assert done.facts["classes"] == sorted(done.facts["classes"])


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_hostile_labels_and_names_come_back(way: tuple[str, str], tmp_path: Path) -> None:
    check(hostile(), way, tmp_path)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(HOSTILE_LABELS)
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
FACT = st.fixed_dictionaries(
    {
        "path": st.lists(NAME, min_size=1, max_size=2).map("/".join) | st.sampled_from(HOSTILE_NAMES),
        "label": TEXT | st.just(""),
        "split": st.sampled_from(SPLITS),
        "group": TEXT | st.just(""),
        "attributes": st.dictionaries(TEXT, TEXT, max_size=2),
    }
)


def possible(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that can be in one folder: different paths, no file where another has a folder, no `.` or `..`."""
    kept: dict[str, dict[str, Any]] = {}
    for fact in facts:
        path = fact["path"]
        clash = any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in kept)
        if path not in kept and not clash and not {".", "..", ""} & set(path.split("/")):
            kept[path] = fact
    return list(kept.values())


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(facts=st.lists(FACT, min_size=1, max_size=6).map(possible).filter(bool))
def test_whatever_a_data_set_says_comes_back(way: tuple[str, str], facts: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(facts, way, Path(folder))
