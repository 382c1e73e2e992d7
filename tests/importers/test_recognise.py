"""Which format a source is, and the contract that every importer keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from curation.errors import SettingsError, SourceError
from curation.export import ExportSettings, export
from curation.importers import IMPORTERS, ImportOptions, load, recognise
from curation.importers.assemble import shown
from curation.progress import Advance, Progress
from curation.records import check_records, make_sample_id
from tests.exporting import make_set
from tests.importers.annotation_sets import TEXTS, one_box
from tests.importers.box_sets import small_set
from tests.importers.pictures import make_pictures


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, tuple[str, dict[str, object]]]:
    """One source for each importer."""
    make_pictures(tmp_path / "set", "cat/cat.1.png", "dog/dog.1.png")
    (tmp_path / "set" / "labels.csv").write_text("image,label\ncat/cat.1.png,cat\ndog/dog.1.png,dog\n")
    np.savez(tmp_path / "set.npz", images=np.ones((2, 4, 4), np.uint8), labels=["cat", "dog"])
    folder = str(tmp_path / "set")
    return {
        "folder": (folder, {}),
        "filename": (folder, {"label_from_name": True}),
        "table": (folder, {"labels": "labels.csv"}),
        "arrays": (str(tmp_path / "set.npz"), {}),
        "torchvision": ("torchvision:FakeData", {}),
        "exported": (exported(tmp_path / "exported"), {}),
        "fiftyone": (exported(tmp_path / "fiftyone", "fiftyone"), {}),
        **{
            name: (str(small_set(tmp_path / name, name)), {})
            for name in ("voc", "yolo", "oidv4", "openimages", "tfrecord", "csv")
        },
        **{name: (str(one_box(tmp_path / name, name)), {}) for name in TEXTS},
    }


def exported(folder: Path, name: str = "") -> str:
    """An export of ours; as another tool would have written it, where the format has a name."""
    workspace, dataset, source = make_set(
        folder, [{"path": "a.png", "label": "cat"}, {"path": "b.png", "label": "dog"}]
    )
    export(folder / "out", ExportSettings(source=source, format=name or "folder"), workspace, dataset)
    if name:
        (folder / "out" / "curate-export.json").unlink()
    return str(folder / "out")


@pytest.mark.parametrize("name", IMPORTERS)
def test_every_importer_keeps_the_contract(
    name: str, sources: dict[str, tuple[str, dict[str, object]]], tmp_path: Path
) -> None:
    source, options = sources[name]
    assert recognise(source, ImportOptions(**options))[0] == name  # type: ignore[arg-type]
    records = check_records(load(source, options=options, workspace=tmp_path))
    assert records.source_format == name
    assert records.settings["format"] == name
    assert records.settings["why"] in records.notes[0]
    assert records.samples["path"].is_monotonic_increasing
    if name != "exported":  # an export says which pictures they are
        assert list(records.samples["sample_id"]) == [make_sample_id(path) for path in records.samples["path"]]
    assert set(records.samples["status"]) == {"ok"}
    again = load(source, options=options, workspace=tmp_path)
    assert records.samples.equals(again.samples)
    assert records.annotations.equals(again.annotations)


@pytest.mark.parametrize("name", ["folder", "filename", "table", "arrays"])
def test_the_format_can_be_forced(name: str, sources: dict[str, tuple[str, dict[str, object]]]) -> None:
    source, options = sources[name]
    records = load(source, format=name, options=options)
    assert records.notes[0] == f"Read as '{name}': as you said."


def test_a_forced_format_that_does_not_fit(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png")
    with pytest.raises(SourceError, match="is not a file"):
        load(tmp_path, format="arrays")
    with pytest.raises(SourceError, match="is not a file"):
        load(tmp_path, format="table")
    with pytest.raises(SettingsError, match="no format 'kitti'; there are: folder, filename"):
        load(tmp_path, format="kitti")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "does not exist"),
        ("CIFAR10", "does not exist. For the torchvision data set, write torchvision:CIFAR10"),
        ("x.mat", "MATLAB"),
        ("x.pkl", "can run any code"),
        ("x.zip", "unpack it"),
        ("x.json", "save the labels as CSV"),
        ("x.jpg", "one picture"),
        ("x.record", "record 1 is cut off"),
        ("a\0b", "is not a path"),
    ],
)
def test_a_source_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.startswith("x."):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError) as raised:
        load(name)
    assert words in str(raised.value)


class Seen(Progress):
    """Remembers the stages, and that each was advanced to its end."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "images") -> Iterator[Advance]:
        self.stages.append(name)
        done = [0]
        yield lambda count: done.append(count)
        assert not total or sum(done) == total


def test_long_stages_report_progress(tmp_path: Path) -> None:
    make_pictures(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text("image,label\na.png,cat\n")
    np.savez(tmp_path / "t.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    for source, options, stages in (
        ("", {}, ["Listing", "Making tables"]),
        ("", {"labels": str(tmp_path / "t.csv")}, ["Reading table", "Listing", "Matching table", "Making tables"]),
        ("t.npz", {}, ["Reading labels", "Making tables"]),
    ):
        seen = Seen()
        load(tmp_path / source, options=options, progress=seen)
        assert seen.stages == stages


def test_text_for_people_holds_no_terminal_codes() -> None:
    for text in ("\x1b[31mred", "a\nb", "\u202egnp", "zero\u200bwidth", "\x07"):
        assert shown(text).isprintable()
    assert shown("x" * 1000) == "'" + "x" * 60 + "'... (1,000 characters)"
    assert shown("c\u0430t", codes=True) == r"'c\u0430t'"
