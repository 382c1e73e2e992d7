"""A source that is imported again: what changed makes a version, what reviewers said stays, pictures keep their ids."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from curation.errors import WorkspaceError
from curation.importers import load
from curation.manifest import NewVersion, canonical_hash, read, write_version
from curation.manifest.changes import apply, diff
from curation.manifest.history import changes_of
from curation.manifest.reimport import Ensured, ensure_version, source_rows
from curation.manifest.revert import revert_version
from curation.manifest.verify import verify
from curation.manifest.version_files import read_header, versions
from curation.pixels import decode


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photo-like pictures in two classes: soft random shapes, large enough for JPEG to be decoded reduced."""
    root = tmp_path / "photos"
    for place in range(6):
        draw(root / ("cat" if place < 3 else "dog") / f"{place}.jpg", place)
    return root


def draw(path: Path, seed: int, size: tuple[int, int] = (320, 240), **options: Any) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    picture = small.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **{"quality": 90, **options} if path.suffix == ".jpg" else options)
    return picture


def score(root: Path, **options: Any) -> Ensured:
    """The part of `curate score` that this is about."""
    workspace = root.parent
    records = load(root)
    cache = workspace / ".curate" / "cache"
    samples = decode(records, 32, cache).samples[list(records.samples)]
    return ensure_version(
        samples, records.annotations, folder_of(root), author="me", message="first", dataset="photos", cache=cache,
        **options,
    )  # fmt: skip


def folder_of(root: Path) -> Path:
    return root.parent / "data_manifest" / "photos"


def review(root: Path, **changed: dict[str, str]) -> str:
    """Publish other values by path (with `/` as `__`, without the ending): column -> value."""
    folder = folder_of(root)
    newest = versions(folder)[-1]
    rows = read(folder, newest)
    after = rows.copy()
    for name, values in changed.items():
        row = after["path"].str.startswith(name.replace("__", "/") + ".")
        for column, value in values.items():
            after.loc[row, column] = value
    lines = [{**line, "reviewer": "ann"} for line in diff(rows, after)]
    return write_version(after, NewVersion(newest, "publish", "lead", "corrections", lines), folder)


def told(root: Path) -> list[tuple[str, str, Any, Any]]:
    folder = folder_of(root)
    lines = changes_of(folder, versions(folder)[-1])
    return [(c["change"], c["path"], c["from"], c["to"]) for c in lines]


def by_path(rows: pd.DataFrame, column: str = "label") -> dict[str, str]:
    return dict(zip(rows["path"], rows[column], strict=True))


def newest(root: Path) -> pd.DataFrame:
    return read(folder_of(root), versions(folder_of(root))[-1])


def test_an_unchanged_source_keeps_its_version(photos: Path) -> None:
    first, again = score(photos), score(photos)
    assert (first.version, again.version, again.changed, again.notes) == ("v0001", "v0001", False, ())
    assert read_header(folder_of(photos), "v0001")["dataset"] == "photos"
    review(photos, cat__0={"label": "dog"})
    third = score(photos)
    assert (third.version, third.changed, third.notes) == ("v0002", False, ())
    labels = dict(zip(third.annotations["sample_id"], third.annotations["label"], strict=True))
    assert labels[first.samples["sample_id"][0]] == "dog", "the run is made with the labels that were reviewed"


def test_what_was_added_removed_renamed_and_edited_is_said(photos: Path) -> None:
    first = score(photos)
    ids = by_path(first.samples, "sample_id")
    (photos / "cat" / "0.jpg").rename(photos / "cat" / "zero.jpg")
    (photos / "cat" / "1.jpg").unlink()
    draw(photos / "dog" / "new.jpg", 99)
    (photos / "cat" / "2.jpg").rename(photos / "dog" / "2.jpg")
    found = score(photos)
    assert (found.version, found.changed) == ("v0002", True)
    assert "1 added, 1 removed, 2 renamed, 1 relabelled" in found.notes[0]
    assert [(kind, path) for kind, path, _, _ in told(photos)] == [
        ("drop", "cat/1.jpg"), ("rename", "cat/zero.jpg"), ("rename", "dog/2.jpg"), ("relabel", "dog/2.jpg"),
        ("add", "dog/new.jpg"),
    ]  # fmt: skip
    now = by_path(found.samples, "sample_id")
    assert now["cat/zero.jpg"] == ids["cat/0.jpg"]
    assert now["dog/2.jpg"] == ids["cat/2.jpg"]
    assert now["dog/new.jpg"] not in ids.values()
    assert read_header(folder_of(photos), "v0002")["kind"] == "import"
    rows = read(folder_of(photos), "v0001")
    assert canonical_hash(apply(rows, changes_of(folder_of(photos), "v0002"))) == canonical_hash(newest(photos))
    assert not score(photos).changed


# --- reviews survive


def test_reviewed_labels_stay_through_any_number_of_imports(photos: Path) -> None:
    score(photos)
    review(photos, cat__0={"label": "dog"}, dog__3={"status": "excluded", "reason": "broken"})
    for number in range(3):
        draw(photos / "cat" / f"more{number}.jpg", 50 + number)
        found = score(photos)
        assert found.changed
        assert by_path(newest(photos))["cat/0.jpg"] == "dog"
        assert by_path(newest(photos), "status")["dog/3.jpg"] == "excluded"
        assert [kind for kind, *_ in told(photos)] == ["add"]
        assert "dog/3.jpg" not in set(found.samples["path"])
        assert any("excluded" in note for note in found.notes)
        assert len(found.kept) == len(found.samples) == 5 + 1 + number
    base = source_rows(folder_of(photos), versions(folder_of(photos))[-1])
    assert by_path(base)["cat/0.jpg"] == "cat", "what the source said is known, too"


def test_a_label_that_both_changed_stays_reviewed_and_is_a_conflict(photos: Path) -> None:
    score(photos)
    review(photos, cat__0={"label": "eel"}, cat__1={"label": "dog"})
    for name in ("0.jpg", "1.jpg", "2.jpg"):
        (photos / "cat" / name).rename(photos / "dog" / name)
    found = score(photos)
    labels = by_path(newest(photos))
    assert (labels["dog/0.jpg"], labels["dog/1.jpg"], labels["dog/2.jpg"]) == ("eel", "dog", "dog")
    (conflict,) = [line for line in changes_of(folder_of(photos), found.version) if line["change"] == "conflict"]
    assert (conflict["path"], conflict["base"], conflict["from"], conflict["to"]) == ("dog/0.jpg", "cat", "eel", "dog")
    assert "1 change of the source contradicted what reviewers had changed" in found.notes[1]
    again = score(photos)
    assert (again.version, again.changed) == (found.version, False), "a conflict is said once"


def test_a_reviewed_picture_that_goes_and_comes_back_keeps_id_and_review(photos: Path) -> None:
    first = score(photos)
    review(photos, cat__0={"label": "dog"})
    shutil.move(photos / "cat" / "0.jpg", photos.parent / "0.jpg")
    found = score(photos)
    assert "cat/0.jpg" not in by_path(newest(photos))
    assert any("had been reviewed" in note for note in found.notes)
    shutil.move(photos.parent / "0.jpg", photos / "cat" / "back.jpg")
    score(photos)
    rows = newest(photos)
    assert by_path(rows)["cat/back.jpg"] == "dog"
    assert by_path(rows, "sample_id")["cat/back.jpg"] == by_path(first.samples, "sample_id")["cat/0.jpg"]
    assert told(photos)[0][0] == "add"


def test_a_path_that_was_left_gives_no_old_id_to_a_new_picture(photos: Path) -> None:
    used = set(score(photos).samples["sample_id"])
    for seed in (70, 71, 72):
        (photos / "cat" / "0.jpg").unlink(missing_ok=True)
        used |= set(score(photos).samples["sample_id"])
        draw(photos / "cat" / "0.jpg", seed)
        fresh = by_path(score(photos).samples, "sample_id")["cat/0.jpg"]
        assert fresh not in used
        used.add(fresh)


def test_what_was_reverted_out_of_the_data_set_is_not_scored(photos: Path) -> None:
    score(photos)
    draw(photos / "cat" / "new.jpg", 99)
    assert score(photos).version == "v0002"
    assert revert_version(folder_of(photos), "v0002", "lead").version == "v0003"
    found = score(photos)
    assert (found.version, found.changed) == ("v0003", False)
    assert "cat/new.jpg" not in set(found.samples["path"])
    assert any("does not have them any more" in note for note in found.notes)


# --- pictures that are encoded again


def encoded_again(root: Path, rename: bool = False, **options: Any) -> None:
    """Every JPEG as a PNG of the same name, or under another name; at half its size with scale=2."""
    scale = options.get("scale", 1)
    for place, path in enumerate(sorted(root.rglob("*.jpg"))):
        with Image.open(path) as picture:
            small = picture.resize((picture.width // scale, picture.height // scale), Image.Resampling.LANCZOS)
        small.save(path.with_name(f"image{place:03d}.png") if rename else path.with_suffix(".png"))
        path.unlink()


@pytest.mark.parametrize("rename", [False, True])
@pytest.mark.parametrize("scale", [1, 2])
def test_pictures_encoded_again_in_another_format_are_the_same_samples(photos: Path, rename: bool, scale: int) -> None:
    ids = sorted(score(photos).samples["sample_id"])
    review(photos, cat__0={"label": "dog"})
    encoded_again(photos, rename, scale=scale)
    found = score(photos)
    assert sorted(found.samples["sample_id"]) == ids
    assert {kind for kind, *_ in told(photos)} == {"rename", "edit"}
    assert sorted(newest(photos)["label"]) == ["cat", "cat", "dog", "dog", "dog", "dog"]


def test_pictures_encoded_again_at_their_old_path_are_the_same_samples(photos: Path) -> None:
    ids = by_path(score(photos).samples, "sample_id")
    review(photos, cat__0={"label": "dog"})
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as picture:
            again = picture.convert("RGB")
        again.save(path, quality=60)
    assert by_path(score(photos).samples, "sample_id") == ids
    assert {kind for kind, *_ in told(photos)} == {"edit"}


def test_files_that_swapped_names_while_encoded_again_keep_their_ids(photos: Path) -> None:
    ids = by_path(score(photos).samples, "sample_id")
    one, two = photos / "cat" / "0.jpg", photos / "cat" / "1.jpg"
    pictures = [Image.open(path).convert("RGB") for path in (one, two)]
    pictures[0].save(two, quality=70)
    pictures[1].save(one, quality=70)
    now = by_path(score(photos).samples, "sample_id")
    assert (now["cat/1.jpg"], now["cat/0.jpg"]) == (ids["cat/0.jpg"], ids["cat/1.jpg"])


def test_pictures_renamed_encoded_again_and_relabelled_at_once_keep_ids_and_reviews(photos: Path) -> None:
    ids = by_path(score(photos).samples, "sample_id")
    review(photos, cat__0={"label": "owl"}, cat__1={"status": "excluded", "reason": "broken"})
    for place, path in enumerate(sorted(photos.rglob("*.jpg"))):
        to = photos / ("fox" if place < 3 else "eel") / f"new{place}.png"
        to.parent.mkdir(exist_ok=True)
        with Image.open(path) as picture:
            picture.resize((160, 120), Image.Resampling.LANCZOS).save(to)
        path.unlink()
    score(photos)
    rows = newest(photos)
    assert set(rows["sample_id"]) == set(ids.values())
    assert by_path(rows, "sample_id")["fox/new0.png"] == ids["cat/0.jpg"]
    assert by_path(rows)["fox/new0.png"] == "owl", "what a reviewer said stays"
    assert by_path(rows)["eel/new3.png"] == "eel"
    assert by_path(rows, "status")["fox/new1.png"] == "excluded"
    conflicts = [line for line in changes_of(folder_of(photos), "v0003") if line["change"] == "conflict"]
    assert [(c["sample_id"], c["from"], c["to"]) for c in conflicts] == [(ids["cat/0.jpg"], "owl", "fox")]
    assert verify(folder_of(photos)) == []
    assert score(photos).version == "v0003", "and once more, nothing has changed"


def test_another_picture_under_the_same_name_with_another_ending_is_a_new_sample(photos: Path) -> None:
    ids = by_path(score(photos).samples, "sample_id")
    (photos / "cat" / "0.jpg").unlink()
    draw(photos / "cat" / "0.png", 77)
    assert by_path(score(photos).samples, "sample_id")["cat/0.png"] not in ids.values()


def test_another_picture_in_a_reviewed_file_is_looked_at_again(photos: Path) -> None:
    score(photos)
    review(photos, cat__0={"label": "dog"})
    draw(photos / "cat" / "0.jpg", 77)
    draw(photos / "cat" / "1.jpg", 78)  # not reviewed: nothing to look at again
    found = score(photos)
    conflicts = [line for line in changes_of(folder_of(photos), found.version) if line["change"] == "conflict"]
    assert [(line["path"], line["field"]) for line in conflicts] == [("cat/0.jpg", "picture")]
    assert by_path(newest(photos))["cat/0.jpg"] == "dog"


def test_another_decoder_is_no_change(photos: Path) -> None:
    score(photos)
    records = load(photos)
    cache = photos.parent / ".curate" / "cache"
    samples = decode(records, 32, cache).samples[list(records.samples)]
    draw(photos / "dog" / "new.jpg", 99)
    more = load(photos)
    again = decode(more, 32, cache).samples[list(more.samples)]
    again["pixel_hash"] = pd.Series([f"other {value}" for value in again["pixel_hash"]], dtype="str")
    ensure_version(again, more.annotations, folder_of(photos), author="me", message="", cache=cache)
    assert [(kind, path) for kind, path, *_ in told(photos)] == [("add", "dog/new.jpg")]
    assert len(samples) == 6


def test_another_data_set_of_the_same_name_is_refused(photos: Path, tmp_path: Path) -> None:
    score(photos)
    shutil.rmtree(photos)
    for place in range(3):
        draw(photos / "bird" / f"{place}.jpg", 40 + place)
    with pytest.raises(WorkspaceError, match="another data set"):
        score(photos)


def test_somebody_who_publishes_meanwhile_loses_nothing(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.manifest import reimport

    score(photos)
    draw(photos / "dog" / "new.jpg", 99)
    waiting = [lambda: review(photos, cat__0={"label": "dog"})]

    def interrupted(*arguments: Any) -> str:
        while waiting:
            waiting.pop()()
        return write_version(*arguments)

    monkeypatch.setattr(reimport, "write_version", interrupted)
    found = score(photos)
    assert (found.version, by_path(newest(photos))["cat/0.jpg"]) == ("v0003", "dog")
    assert [(kind, path) for kind, path, *_ in told(photos)] == [("add", "dog/new.jpg")]
