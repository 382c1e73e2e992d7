"""Image folders as people have them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from curation.errors import SettingsError, SourceError
from curation.importers import load
from curation.records import text_to_path
from tests.importers.pictures import labels_of, make_pictures, note_with, rejected_of, splits_of


def test_one_folder_per_class(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png"))
    assert labels_of(records) == {"cat/1.png": "cat", "cat/2.png": "cat", "dog/1.png": "dog"}
    assert records.source_format == "folder"
    assert records.samples["path"].is_monotonic_increasing
    assert records.notes[0].startswith("Read as 'folder'")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "val", "test"], ["train", "val", "test"]),
        (["Train", "VALID", "Testing"], ["train", "val", "test"]),
        (["training", "validation"], ["train", "val"]),
        (["train"], ["train"]),
    ],
)
def test_split_folders_above_the_classes(tmp_path: Path, folders: list[str], splits: list[str]) -> None:
    make_pictures(tmp_path, *(f"{folder}/{label}/1.png" for folder in folders for label in ("cat", "dog")))
    records = load(tmp_path)
    assert set(records.samples["split"]) == set(splits)
    assert set(records.annotations["label"]) == {"cat", "dog"}


def test_a_class_named_train_is_no_split(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "car/1.png", "bus/1.png", "train/1.png"))
    assert labels_of(records) == {"car/1.png": "car", "bus/1.png": "bus", "train/1.png": "train"}
    assert set(records.samples["split"]) == {""}


def test_splits_below_the_classes(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "cat/train/1.png", "cat/test/2.png", "dog/train/1.png"))
    assert labels_of(records) == {"cat/train/1.png": "cat", "cat/test/2.png": "cat", "dog/train/1.png": "dog"}
    assert splits_of(records)["cat/test/2.png"] == "test"


def test_a_flat_test_folder_is_unlabelled(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png"))
    assert labels_of(records)["test/1.png"] == ""
    assert splits_of(records)["test/1.png"] == "test"
    assert "2 pictures are in no class folder" in note_with(records, "no class folder")


def test_a_wrapping_folder_is_stepped_over(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "images/cat/1.png", "images/dog/1.png"))
    assert set(records.annotations["label"]) == {"cat", "dog"}
    assert note_with(records, "'images'")


@pytest.mark.parametrize(
    ("choice", "label"), [("first", "animal"), ("last", "cat"), ("path", "animal/cat")], ids=["first", "last", "path"]
)
def test_nested_class_folders_are_a_choice(tmp_path: Path, choice: str, label: str) -> None:
    make_pictures(tmp_path, "train/animal/cat/1.png", "train/vehicle/car/2.png", "test/animal/dog/3.png")
    records = load(tmp_path, options={"class_folder": choice})
    assert labels_of(records)["train/animal/cat/1.png"] == label
    assert any("folders inside" in note for note in records.notes) == (choice == "first")


def test_pictures_in_the_root_have_no_label(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "1.png", "cat/2.png"))
    assert labels_of(records) == {"1.png": "", "cat/2.png": "cat"}
    assert len(records.annotations) == 1


def test_a_folder_without_labels_says_how_to_get_them(tmp_path: Path) -> None:
    assert "--labels TABLE" in note_with(load(make_pictures(tmp_path, "1.png", "2.png")), "No picture has a label")


def test_clutter_is_ignored_and_counted(tmp_path: Path) -> None:
    make_pictures(
        tmp_path,
        "cat/1.png",
        "cat/.2.png",
        "cat/._3.png",
        "__MACOSX/cat/1.png",
        ".ipynb_checkpoints/x.png",
        ".git/x.png",
    )
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    records = load(tmp_path)
    assert list(records.samples["path"]) == ["cat/1.png"]
    note = note_with(records, "Ignored as clutter")
    assert "3 hidden" in note
    assert "1 'Thumbs.db'" in note
    assert "1 '__MACOSX'" in note
    assert records.rejected.empty


def test_what_is_no_picture_is_rejected_with_a_reason(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png")
    for name in ("notes.txt", "labels.csv", "logo.svg", "film.mp4", "all.zip", "empty"):
        (tmp_path / "cat" / name).write_bytes(b"" if name == "empty" else b"text")
    rejected = rejected_of(load(tmp_path))
    assert set(rejected) == {
        f"cat/{name}" for name in ("notes.txt", "labels.csv", "logo.svg", "film.mp4", "all.zip", "empty")
    }
    assert "drawing" in rejected["cat/logo.svg"]
    assert "--labels" in rejected["cat/labels.csv"]
    assert all(rejected.values())


def test_misnamed_and_nameless_pictures_are_found_by_their_bytes(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/photo", "cat/photo.txt", "cat/photo.JPG.bak", "cat/UPPER.PNG", "cat/a.b.c.png")
    assert len(load(tmp_path).samples) == 5


def test_broken_pictures_stay_samples(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png")
    (tmp_path / "cat" / "zero.jpg").write_bytes(b"")
    (tmp_path / "cat" / "text.jpg").write_text("no picture")
    records = load(tmp_path)
    assert set(records.samples["path"]) == {"cat/1.png", "cat/zero.jpg", "cat/text.jpg"}
    assert records.rejected.empty


def test_links_are_followed_only_to_files_inside(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "set", "cat/1.png")
    make_pictures(tmp_path, "outside/2.png")
    (root / "cat" / "inside.png").symlink_to(root / "cat" / "1.png")
    (root / "cat" / "outside.png").symlink_to(tmp_path / "outside" / "2.png")
    (root / "cat" / "passwd.png").symlink_to("/etc/passwd")
    (root / "cat" / "nothing.png").symlink_to("absent")
    (root / "cat" / "loop.png").symlink_to("loop.png")
    (root / "dog").symlink_to(tmp_path / "outside")
    (root / "round").symlink_to(root)
    records = load(root)
    assert set(records.samples["path"]) == {"cat/1.png", "cat/inside.png"}
    rejected = rejected_of(records)
    assert set(rejected) == {"cat/outside.png", "cat/passwd.png", "cat/nothing.png", "cat/loop.png", "dog", "round"}
    assert "leaves the folder" in rejected["cat/passwd.png"]
    assert "link to a folder" in rejected["dog"]
    assert note_with(records, "1 picture is a link")


def test_a_source_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    make_pictures(tmp_path / "set", "cat/1.png")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert len(load(tmp_path / "link").samples) == 1


def test_pipes_sockets_and_folders_with_picture_names(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png", "cat/x.jpg/2.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tmp_path / "cat")  # the path of a socket may not be long
        try:
            listener.bind("socket.png")
        finally:
            os.chdir(here)
    records = load(tmp_path)
    assert set(records.samples["path"]) == {"cat/1.png", "cat/x.jpg/2.png"}
    assert rejected_of(records) == {"cat/pipe.png": "a pipe, not a file", "cat/socket.png": "a socket, not a file"}


HOSTILE_NAMES = [
    "a\nb.png",
    "a\tb.png",
    'it\'s "quoted", yes.png',
    "-rf.png",
    "dot. .png",
    "CON.png",
    "a.jpg:b.png",
    "C:\\x.png",
    "%2e%2e%2fx.png",
    "\u202egnp.png",
    "zero\u200bwidth\U0001f469\u200d\U0001f52c.png",
    "é.png",
    "e\u0301.png",
    "#1.png",
    "\\udcff.png",
    "x" * 251 + ".png",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_odd_names_come_through_exactly(tmp_path: Path, name: str) -> None:
    records = load(make_pictures(tmp_path, f"cat/{name}", "dog/1.png"))
    assert text_to_path(records.samples["path"][0]) == f"cat/{name}"
    assert records.rejected.empty


def test_names_and_classes_that_are_no_utf8(tmp_path: Path) -> None:
    make_pictures(tmp_path, "dog/1.png", os.fsdecode(b"caf\xe9/\xff.png"))
    records = load(tmp_path)
    path = records.samples["path"][0]
    assert os.fsencode(text_to_path(path)) == b"caf\xe9/\xff.png"
    path.encode("utf-8")
    assert labels_of(records)[path] == "caf\\udce9"


def test_twins_of_case_and_unicode_form_are_reported(tmp_path: Path) -> None:
    records = load(make_pictures(tmp_path, "cat/a.png", "cat/A.png", "cat/é.png", "cat/e\u0301.png"))
    assert len(records.samples) == 4
    assert "2 groups of paths differ only by case or Unicode form" in note_with(records, "paths differ")


CLASS_TWINS = [
    ("cat", "Cat"),
    ("cat", "cat "),
    ("hot dog", "hotdog"),
    ("é", "e\u0301"),
    ("cat", "c\u0430t"),  # a Cyrillic a
    ("cat", "ca\u200bt"),
    ("1", "01"),
    ("1", "1.0"),
]


@pytest.mark.parametrize("twins", CLASS_TWINS, ids=range(len(CLASS_TWINS)))
def test_classes_that_look_the_same_are_reported_not_merged(tmp_path: Path, twins: tuple[str, str]) -> None:
    records = load(make_pictures(tmp_path, *(f"{label}/1.png" for label in twins), "zebra/1.png"))
    assert set(records.annotations["label"]) == {*twins, "zebra"}
    note = note_with(records, "kept apart")
    assert "zebra" not in note


def test_different_classes_give_no_note(tmp_path: Path) -> None:
    make_pictures(tmp_path, *(f"{label}/1.png" for label in ("cat", "cats", "1", "10", "-1", "a.0", "01a")))
    assert not [note for note in load(tmp_path).notes if "kept apart" in note]


def test_empty_class_folders_are_counted(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png")
    (tmp_path / "dog").mkdir()
    assert "'dog'" in note_with(load(tmp_path), "holds no picture")


def test_the_workspace_inside_the_source_is_not_data(tmp_path: Path) -> None:
    make_pictures(tmp_path, "cat/1.png", "data_manifest/x/thumb.png", ".curate/cache/1.png")
    records = load(tmp_path, workspace=tmp_path)
    assert list(records.samples["path"]) == ["cat/1.png"]


def test_folder_without_pictures_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(
        SourceError, match=r"no picture in .* 1 other thing in it was left out, the first is 'notes.txt'"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_column": "x"}, "--image-column has no meaning"),
        ({"class_folder": "middle"}, "can be first, last, path"),
        ({"colour": "red"}, "Unknown import option 'colour'"),
        ({"labels": "x.csv", "label_from_name": True}, "not from both"),
        ({"label_pattern": "("}, "not a regular expression"),
        ({"label_pattern": "(a)(b)"}, r"\(\?P<label>"),
        ({"labels": "x.csv", "image_column": "a", "label_column": "a"}, "are the same"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    make_pictures(tmp_path, "cat/1.png")
    with pytest.raises(SettingsError, match=words):
        load(tmp_path, options=options)
