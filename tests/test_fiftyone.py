"""FiftyOne both ways: its folders without the library; data sets in a real MongoDB, sent and brought back."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation import manifest, store
from curation.cli import main
from curation.datasets import Dataset, find_dataset
from curation.errors import LabelParseError, NotFoundError, SettingsError, SourceError
from curation.exporters.content import make_content
from curation.fiftyone_link.labels import GROUND_TRUTH, ID, Annotation, label_document, labels_in
from curation.fiftyone_link.pulling import not_said_yet, pull_action, read_corrections
from curation.fiftyone_link.sending import made_from, send
from curation.importers import load
from curation.manifest.history import source_of, task_of
from curation.manifest.publish import publish
from curation.records import Records
from tests.boxes import draw_slides, records_of
from tests.exporting import make_set
from tests.round_trips import export_plain, first_version, same_boxes, there_and_back, told

HAS_FIFTYONE = importlib.util.find_spec("fiftyone") is not None
needs_fiftyone = pytest.mark.skipif(not HAS_FIFTYONE, reason="fiftyone is not installed: pip install -e '.[fiftyone]'")


def slides(folder: Path, task: str = "detection") -> Records:
    """Five pictures with boxes, in splits, one without any; as multi-label, the set of labels of each."""
    boxes = draw_slides(folder / "slides", 5)
    records = records_of(folder / "slides", boxes[boxes["path"] != "004.png"])
    records.samples["split"] = pd.Series(["train", "train", "val", "fold 3", ""], dtype="str")
    table = records.annotations
    table["attributes"] = pd.Series(
        [json.dumps({"difficult": 1, "pose": "left", "odd.key": [1, None], "big": 2**70, "confidence": 0.5})]
        + [""] * (len(table) - 1), dtype="str",
    )  # fmt: skip
    if task == "multi-label":
        table = table.drop_duplicates(["sample_id", "label"]).reset_index(drop=True)
        table[["x", "y", "w", "h"]] = np.nan
    classes = ({"name": "square"}, {"name": "never"}, {"name": "disc"})
    return Records(records.samples, table, records.root, "by hand", task, classes=classes)


# --- without the library ---------------------------------------------------------------------------------------------


def test_a_label_says_what_the_annotation_says_and_comes_back() -> None:
    said = {"difficult": 1, "label": "not ours", "a.b": 2, "$x": 3, "big": 2**70, "tags": ["a"], "copy": "method"}
    one = Annotation("s1-0", "cat", (10.0, 5.0, 20.0, 10.0), said)
    document = label_document(one, (40, 20))
    assert document["bounding_box"] == [0.25, 0.25, 0.5, 0.5]
    assert document["difficult"] == 1
    assert not {"a.b", "$x", "big", "copy"} & set(document)
    (back,) = labels_in(document) or []
    assert (back.annotation_id, back.label, back.attributes) == ("s1-0", "cat", said)


@pytest.mark.parametrize("task", ["detection", "multi-label"])
def test_an_exported_folder_says_the_same_when_it_is_read_again(task: str, tmp_path: Path) -> None:
    records = slides(tmp_path, task)
    back = there_and_back(records, "fiftyone", tmp_path)
    assert back.source_format == "fiftyone"
    assert back.task == task
    assert [entry["name"] for entry in back.classes] == ["square", "never", "disc"]
    before, after = told(records, tmp_path / "cache"), told(back, tmp_path / "cache")
    assert same_boxes(before, after)
    assert sorted(a[2] for marks in before.values() for a in marks[2] if a[2]) == sorted(
        a[2] for marks in after.values() for a in marks[2] if a[2]
    )


def test_an_exported_folder_of_single_labels_keeps_splits_and_groups(tmp_path: Path) -> None:
    facts = [
        {"path": "a.png", "label": "cat", "split": "train", "group": "g"},
        {"path": "b.png", "label": " dog", "split": "odd"},
    ]
    workspace, dataset, source = make_set(tmp_path, facts)
    back = load(export_plain(dataset, "fiftyone", tmp_path / "out", workspace, source))
    rows = back.samples.merge(back.annotations, on="sample_id")
    found = sorted(zip(rows["label"], rows["split"], rows["group"], strict=True))
    assert found == [(" dog", "odd", ""), ("cat", "train", "g")]


def test_a_broken_folder_is_refused_with_its_place(tmp_path: Path) -> None:
    workspace, dataset, source = make_set(tmp_path, [{"path": "a.png", "label": "cat"}])
    out = export_plain(dataset, "fiftyone", tmp_path / "out", workspace, source)
    text = (out / "samples.json").read_text()
    (out / "samples.json").write_text(text[:-20])
    with pytest.raises(LabelParseError, match=r"samples.json'? line \d+ column"):
        load(out)
    (out / "samples.json").write_text(text.replace("data/", "../../"))
    with pytest.raises(SourceError, match="No images"):  # nothing outside of the folder is looked at
        load(out)


def test_without_the_library_the_error_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fiftyone'] = None\n"
        "from curation.cli import main; sys.exit(main(['score', 'fiftyone:x', '--workspace', sys.argv[1]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "curate[fiftyone]" in done.stderr


# --- with a real MongoDB ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """FiftyOne with a MongoDB of its own, one per test process."""
    from curation.fiftyone_link.library import open_library

    folder = tmp_path_factory.mktemp("mongo")
    before = dict(os.environ)
    yield open_library(folder)
    os.environ.clear()
    os.environ.update(before)


pytestmark = pytest.mark.filterwarnings("default")  # of the library and those that it brings along


def sent(library: Any, records: Records, folder: Path, name: str) -> tuple[Any, Dataset, pd.DataFrame]:
    """Its FiftyOne data set, the data set, the rows that were sent."""
    dataset = first_version(records, folder / "workspace")
    rows = manifest.read(dataset.folder, "v0001")
    content = make_content(rows, records.root, (), source_of(dataset.folder, "v0001"))
    if name in library.list_datasets():
        library.delete_dataset(name)
    send(library, name, {"dataset": dataset.name, "version": "v0001", "run": ""}, content, None, folder / "workspace")
    return library.load_dataset(name), dataset, rows


@needs_fiftyone
@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "multi-label"])
def test_a_trip_through_mongodb_changes_no_label_box_or_tag(library: Any, task: str, tmp_path: Path) -> None:
    records = slides(tmp_path, task)
    there, _, rows = sent(library, records, tmp_path, f"trip-{task}")
    assert there.count() == 5
    assert there.count_sample_tags() == {"train": 2, "val": 1, "fold 3": 1}
    back = load(f"fiftyone:trip-{task}", workspace=tmp_path)
    assert back.task == task
    assert same_boxes(told(records, tmp_path / "cache"), told(back, tmp_path / "cache"))
    assert read_corrections(there, rows, task, None).decisions == ()


@needs_fiftyone
@pytest.mark.slow
def test_the_library_reads_what_was_exported(library: Any, tmp_path: Path) -> None:
    records = slides(tmp_path)
    dataset = first_version(records, tmp_path / "workspace")
    out = export_plain(dataset, "fiftyone", tmp_path / "out", tmp_path / "workspace", records.root)
    read = library.Dataset.from_dir(str(out), library.types.FiftyOneDataset, name="exported", overwrite=True)
    assert read.count(f"{GROUND_TRUTH}.detections") == len(records.annotations)
    first = read.match({"filepath": {"$regex": "000"}}).first()
    assert [one.label for one in first[GROUND_TRUTH].detections] == records.annotations["label"].tolist()[:4]
    assert first.tags == ["train"]
    back = load("fiftyone:exported", workspace=tmp_path)
    assert same_boxes(told(records, tmp_path / "cache"), told(back, tmp_path / "cache"))


@needs_fiftyone
@pytest.mark.slow
def test_boxes_corrected_in_fiftyone_become_the_next_version(library: Any, tmp_path: Path) -> None:
    records = slides(tmp_path)
    there, dataset, rows = sent(library, records, tmp_path, "boxes")
    by_id = {sample[ID]: sample for sample in there}
    ids = records.samples["sample_id"].tolist()
    first, second, third, empty = by_id[ids[0]], by_id[ids[1]], by_id[ids[2]], by_id[ids[4]]
    first[GROUND_TRUTH].detections[0].label = "never"
    first[GROUND_TRUTH].detections[1].bounding_box = [0.5, 0.5, 0.25, 0.25]
    gone = first[GROUND_TRUTH].detections.pop(2)[ID]
    first.save()
    empty[GROUND_TRUTH] = library.Detections(
        detections=[library.Detection(label="disc", bounding_box=[0.0, 0.0, 0.5, 0.5])]
    )
    empty.save()
    second.tags.append("curate:exclude:broken")
    second.save()
    third.tags.append("curate:keep")
    third.save()
    found = read_corrections(there, rows, "detection", {"square", "disc", "never"})
    assert {d.sample_id: d.verdict for d in found.decisions} == {
        ids[0]: "edit", ids[1]: "exclude", ids[2]: "keep", ids[4]: "edit",
    }  # fmt: skip
    engine = store.open_store(tmp_path / "workspace")
    from curation.decisions import Action

    action = pull_action(Action("", dataset.name, "ann", (), manifest_version="v0001"), found.decisions, set())
    assert store.record(engine, action).new
    assert not store.record(engine, action).new
    assert not_said_yet(found.decisions, store.effective(engine, dataset.name), "ann") == []
    publish(dataset.folder, engine, dataset.name, "corrected", "ann")
    now = manifest.read(dataset.folder, "v0002")
    before = rows[rows["sample_id"] == ids[0]].reset_index(drop=True)
    after = now[now["sample_id"] == ids[0]].set_index("annotation_id")
    assert after.loc[before["annotation_id"][0], "label"] == "never"
    assert after.loc[before["annotation_id"][1], ["x", "y", "w", "h"]].tolist() == [64.0, 48.0, 32.0, 24.0]
    assert gone not in after.index
    drawn = now[now["sample_id"] == ids[4]].iloc[0]
    assert (drawn["label"], drawn["x"], drawn["y"], drawn["w"], drawn["h"]) == ("disc", 0.0, 0.0, 64.0, 48.0)
    assert now.loc[now["sample_id"] == ids[1], "status"].unique().tolist() == ["excluded"]
    engine.dispose()


@needs_fiftyone
@pytest.mark.slow
def test_a_new_label_has_to_be_allowed_and_what_is_unclear_is_told(library: Any, tmp_path: Path) -> None:
    records = slides(tmp_path)
    there, _, rows = sent(library, records, tmp_path, "unclear")
    sample = there.first()
    sample.tags += ["curate:keep", "curate:exclude"]
    sample.save()
    assert "contradict" in " ".join(read_corrections(there, rows, "detection", {"disc", "square"}).notes)
    sample.tags = []
    sample[GROUND_TRUTH].detections[0].label = "new one"
    sample.save()
    with pytest.raises(SettingsError, match="--new-label"):
        read_corrections(there, rows, "detection", {"disc", "square"})
    assert len(read_corrections(there, rows, "detection", None).decisions) == 1


@needs_fiftyone
@pytest.mark.slow
def test_sending_again_keeps_what_the_user_added_and_follows_the_version(library: Any, tmp_path: Path) -> None:
    records = slides(tmp_path)
    there, dataset, rows = sent(library, records, tmp_path, "again")
    sample = there.first()
    sample.tags.append("mine")
    sample["own_field"] = "mine, too"
    sample[GROUND_TRUTH].detections[0].label = "never"
    sample.save()
    content = make_content(rows[rows["path"] != "003.png"].reset_index(drop=True), records.root, (),
                           source_of(dataset.folder, "v0001"))  # fmt: skip
    about = {"dataset": dataset.name, "version": "v0001", "run": ""}
    done = send(library, "again", about, content, None, tmp_path / "workspace")
    assert (done.pictures, done.added, done.removed) == (4, 0, 1)
    there = library.load_dataset("again")
    there.reload()
    sample = there.match({ID: sample[ID]}).first()
    assert "mine" in sample.tags
    assert sample["own_field"] == "mine, too"
    assert read_corrections(there, rows, task_of(dataset.folder, "v0001"), None).decisions == ()
    assert made_from(there) == {"schema": 1, "task": "detection", **about}


@needs_fiftyone
@pytest.mark.slow
def test_a_data_set_that_is_not_ours_is_left_alone(library: Any, tmp_path: Path) -> None:
    if "foreign" in library.list_datasets():
        library.delete_dataset("foreign")
    library.Dataset("foreign")
    records = slides(tmp_path)
    dataset = first_version(records, tmp_path / "workspace")
    content = make_content(manifest.read(dataset.folder, "v0001"), records.root)
    with pytest.raises(SettingsError, match="did not make"):
        send(library, "foreign", {"dataset": "x", "version": "v0001", "run": ""}, content, None, tmp_path)
    with pytest.raises(NotFoundError, match="'foreign'"):
        load("fiftyone:nothing", workspace=tmp_path)


@needs_fiftyone
@pytest.mark.slow
def test_a_run_goes_to_fiftyone_and_a_corrected_label_comes_back(
    library: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = [
        {"path": f"{('cat', 'dog')[i % 2]}/{i}.png", "label": ("cat", "dog")[i % 2]}
        for i in range(6)
    ]  # fmt: skip
    make_set(tmp_path, facts)
    (tmp_path / "source/cat/bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    workspace = ["--workspace", str(tmp_path / "w")]
    assert main(["score", str(tmp_path / "source"), "--name", "animals", *workspace, "--json"]) == 0
    assert main(["fiftyone", "--no-launch", "--json", *workspace]) == 0
    text = capsys.readouterr().out
    assert json.loads(text[text.rindex("\n{\n") :])["pictures"] == 6
    there = library.load_dataset("animals")
    sample = there.match({"filepath": {"$regex": "cat/0.png"}}).first()
    assert sample[GROUND_TRUTH].label == "cat"
    sample[GROUND_TRUTH].label = "dog"
    sample.save()
    assert main(["fiftyone", "--no-launch", *workspace]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert main(["fiftyone", "--pull", "--reviewer", "ann", *workspace]) == 0
    assert "1 relabel" in capsys.readouterr().out
    assert main(["fiftyone", "--pull", "--reviewer", "ann", *workspace]) == 0
    assert "Nothing new" in capsys.readouterr().out
    assert main(["publish", "-m", "corrected", *workspace]) == 0
    dataset = find_dataset(tmp_path / "w", "animals")
    now = manifest.read(dataset.folder, "v0002")
    assert now.loc[now["path"] == "cat/0.png", "label"].tolist() == ["dog"]
    assert main(["fiftyone", "--no-launch", *workspace]) == 0
    there.reload()
    assert made_from(there)["version"] == "v0002"  # type: ignore[index]
    library.delete_dataset("animals")
