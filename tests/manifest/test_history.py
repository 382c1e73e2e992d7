"""Log, blame, names, reverts, branches and merges: what happened, and how it is taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from curation import store
from curation.decisions import Action, Decision
from curation.errors import NotFoundError, SettingsError
from curation.file_names import path_to_text
from curation.manifest import NewVersion, canonical_hash, history, read, write_version
from curation.manifest.changes import diff
from curation.manifest.merge import merge
from curation.manifest.publish import propose, publish
from curation.manifest.revert import revert_reviewer, revert_sample, revert_version
from curation.manifest.version_files import ancestors, head, read_header, resolve, versions
from tests.manifest.test_changes import EMPTY, make_rows, same, tables

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "data_manifest" / "set"
    write(found, make_rows(*({"id": name, "path": f"cat/{name}.png"} for name in NAMES)), None, "import", "first")
    return found


def write(
    folder: Path, rows: pd.DataFrame, parent: str | None, kind: str = "publish", message: str = "", **more: Any
) -> str:
    told = more.pop("told", {})
    lines = [{**line, **told} for line in diff(read(folder, parent), rows)] if parent else [{"change": "import"}]
    new = NewVersion(parent, kind, more.pop("author", "lead"), message, lines, dataset="set", **more)
    return write_version(rows, new, folder)


def relabel(
    folder: Path, sample: str, label: str, by: str = "ann", at: str = "2026-01-01T10:00:00Z", **more: Any
) -> str:
    """Publish another label."""
    branch = more.get("branch", "main")
    parent = str(head(folder, branch))
    rows = read(folder, parent)
    rows.loc[rows["sample_id"] == sample, "label"] = label
    told = {"verdict": "relabel", "reviewer": by, "decided": at, "decision": [1], "comment": "", **more.pop("told", {})}
    return write(folder, rows, parent, message=f"{sample} is {label}", told=told, **more)


def labels(folder: Path, version: str = "") -> dict[str, str]:
    rows = read(folder, version or str(head(folder)))
    return dict(zip(rows["sample_id"], rows["label"], strict=True))


# --- log and names


def test_the_log_lists_versions_with_their_tags(folder: Path) -> None:
    relabel(folder, "a", "dog")
    history.tag(folder, "paper", "v1", "ann", "as submitted")
    history.tag(folder, "best")
    log = history.log(folder)
    assert [(h["version"], h["kind"], h["tags"]) for h in log] == [
        ("v0002", "publish", ["best"]),
        ("v0001", "import", ["paper"]),
    ]
    with pytest.raises(NotFoundError, match="no version of none"):
        history.log(folder.parent / "none")


@pytest.mark.parametrize("name", ["v0001", "v1", "1", "paper", "HEAD", "main", "v0002", "2"])
def test_versions_can_be_named_in_many_ways(folder: Path, name: str) -> None:
    relabel(folder, "a", "dog")
    history.tag(folder, "paper", "v0001")
    assert resolve(folder, name) == ("v0001" if name in ("v0001", "v1", "1", "paper") else "v0002")


@pytest.mark.parametrize("name", ["v9", "../v0001", "", "nothing", "v0001.json", "\0"])
def test_a_name_of_nothing_is_said_to_be_one(folder: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="there are"):
        resolve(folder, name)


@pytest.mark.parametrize(
    "name", ["", "v1", "12", "head", "a/b", "..", ".x", "-x", "a b", "x" * 61, "con", "a\n", "é", "x."]
)
def test_a_tag_needs_a_name_that_is_safe_and_no_version(folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name"):
        history.tag(folder, name)
    assert not (folder / "tags").exists()


def test_tags_and_branches_are_never_moved(folder: Path) -> None:
    history.tag(folder, "one")
    relabel(folder, "a", "dog")
    for again in ("one", "ONE", "main"):
        with pytest.raises(SettingsError, match="already"):
            history.tag(folder, again)
        with pytest.raises(SettingsError, match="already"):
            history.start_branch(folder, again)
    assert resolve(folder, "one") == "v0001"


# --- blame


def test_blame_tells_who_when_why_and_what_the_model_said(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    said = Decision("a", "a", "relabel", ("dog",), given_label="cat", suggestion="dog")
    store.record(engine, Action("action-1", "set", "ann", (said,), run_id="run-7", comment="long ears"))
    publish(folder, engine, "set", "animals", "lead")
    revert_version(folder, "v0002", "boss")
    first, change, back = history.blame(folder, "a.png")
    assert (first["change"], first["to"], first["version"]) == ("import", "cat", "v0001")
    assert {key: change[key] for key in ("from", "to", "reviewer", "verdict", "comment", "run", "suggestion")} == {
        "from": "cat", "to": "dog", "reviewer": "ann", "verdict": "relabel", "comment": "long ears", "run": "run-7",
        "suggestion": "dog",
    }  # fmt: skip
    assert (change["version"], change["author"], change["message"]) == ("v0002", "lead", "animals")
    assert change["decided"].startswith("20")
    assert (back["kind"], back["from"], back["to"], back["author"]) == ("revert", "dog", "cat", "boss")


def test_blame_finds_pictures_that_were_renamed_or_dropped(folder: Path) -> None:
    rows = read(folder, "v0001")
    rows.loc[rows["sample_id"] == "a", "path"] = "dog/new.png"
    write(folder, rows[rows["sample_id"] != "b"].reset_index(drop=True), "v0001", "import")
    for name in ("a", "dog/new.png", "new.png", "cat/a.png"):
        assert [line["change"] for line in history.blame(folder, name)] == ["import", "rename"]
    assert [line["change"] for line in history.blame(folder, "cat/b.png")] == ["import", "drop"]
    assert [line["change"] for line in history.blame(folder, "cat/b.png", "v0001")] == ["import"]


def test_a_picture_whose_name_is_no_text_is_found_as_the_shell_names_it(folder: Path) -> None:
    name = os.fsdecode(b"cat/\xff.png")
    write(folder, make_rows({"id": "odd", "path": path_to_text(name)}), "v0001", "import")
    assert [line["change"] for line in history.blame(folder, name)] == ["add"]


def test_a_sample_that_is_not_there_or_several_is_said(folder: Path) -> None:
    rows = make_rows(*({"id": f"{p}{n}", "path": f"{p}/{n}.png"} for p in ("x", "y") for n in range(3)))
    write(folder, rows, "v0001", "import")
    with pytest.raises(NotFoundError, match=r"2 pictures end in '1.png'; there are 'x/1.png', 'y/1.png'"):
        history.blame(folder, "1.png")
    for text in ("nothing", "", "/1.png", "%", "x\0", "\udcff.png"):
        with pytest.raises(NotFoundError):
            history.blame(folder, text)


# --- revert


def test_reverting_a_version_and_reverting_that(folder: Path) -> None:
    first = read_header(folder, "v0001")["hash"]
    relabel(folder, "a", "dog")
    done = revert_version(folder, "v0002", "lead")
    assert (done.version, done.conflicts) == ("v0003", [])
    assert read_header(folder, "v0003")["hash"] == first
    assert read_header(folder, "v0003")["message"] == "Revert v0002: a is dog"
    again = revert_version(folder, "v0003", "lead")
    assert read_header(folder, again.version)["hash"] == read_header(folder, "v0002")["hash"]


def test_a_revert_leaves_what_changed_since_and_says_so(folder: Path) -> None:
    rows = read(folder, "v0001").assign(label=pd.Series(["dog"] * 4, dtype="str"))
    write(folder, rows, "v0001")
    relabel(folder, "b", "eel")
    done = revert_version(folder, "v0002", "lead")
    assert labels(folder) == {"a": "cat", "b": "eel", "c": "cat", "d": "cat"}
    assert [(c["path"], c["from"], c["to"]) for c in done.conflicts] == [("cat/b.png", "eel", "cat")]


def test_what_cannot_be_reverted(folder: Path) -> None:
    with pytest.raises(SettingsError, match="first version"):
        revert_version(folder, "v0001", "lead")
    with pytest.raises(SettingsError, match="has not changed since it was imported"):
        revert_sample(folder, "a", "lead")
    with pytest.raises(NotFoundError, match="'zoe' decided"):
        revert_reviewer(folder, "zoe", "", "lead")
    with pytest.raises(SettingsError, match="is no time"):
        revert_reviewer(folder, "ann", "yesterday", "lead")
    relabel(folder, "a", "dog")
    revert_version(folder, "v0002", "lead")
    assert revert_version(folder, "v0002", "lead").version == "", "it is taken back already"
    assert versions(folder) == ["v0001", "v0002", "v0003"]


def test_reverting_a_reviewer_since_a_time(folder: Path) -> None:
    relabel(folder, "a", "dog", at="2026-01-01T10:00:00Z")
    relabel(folder, "b", "dog", at="2026-01-02T10:00:00Z")
    relabel(folder, "b", "eel", at="2026-01-03T10:00:00Z")
    relabel(folder, "c", "dog", by="bob", at="2026-01-03T10:00:00Z")
    relabel(folder, "d", "dog", at="2026-01-03T10:00:00Z", told={"reviewers": ["ann", "bob"]})
    done = revert_reviewer(folder, "ann", "2026-01-02", "lead")
    assert labels(folder) == {"a": "dog", "b": "cat", "c": "dog", "d": "dog"}
    assert [(c["path"], c["why"]) for c in done.conflicts] == [("cat/d.png", "others agreed")]
    again = revert_reviewer(folder, "ann", "2026-01-02", "lead")
    assert (again.version, len(again.conflicts)) == ("", 1), "what was taken back already is no conflict"
    assert revert_reviewer(folder, "ann", "", "lead").version == "v0008"
    assert labels(folder)["a"] == "cat"


def test_reverting_a_reviewer_leaves_what_others_changed_after_him(folder: Path) -> None:
    relabel(folder, "a", "dog")
    relabel(folder, "a", "eel", by="bob")
    done = revert_reviewer(folder, "ann", "", "lead")
    assert done.version == ""
    assert [c["why"] for c in done.conflicts] == ["changed again since"]
    assert labels(folder)["a"] == "eel"


def test_reverting_a_sample_takes_back_its_last_change_and_brings_it_back(folder: Path) -> None:
    relabel(folder, "a", "dog")
    relabel(folder, "b", "dog")
    relabel(folder, "a", "eel")
    for expected in ("dog", "eel", "dog"):
        revert_sample(folder, "cat/a.png", "lead")
        assert labels(folder)["a"] == expected
    assert labels(folder)["b"] == "dog"


def test_published_decisions_that_were_reverted_are_not_published_again(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    store.record(engine, Action("one", "set", "ann", (Decision("a", "a", "relabel", ("dog",), given_label="cat"),)))
    publish(folder, engine, "set", "m", "lead")
    revert_version(folder, "v0002", "lead")
    assert publish(folder, engine, "set", "m", "lead") == ""
    assert propose(folder, engine, "set").plan.conflicts == []
    revert_version(folder, "v0003", "lead")
    assert labels(folder)["a"] == "dog"
    assert publish(folder, engine, "set", "m", "lead") == ""


# --- branches and merges


def test_a_branch_leaves_the_main_one_alone_until_it_is_merged(folder: Path) -> None:
    history.start_branch(folder, "try")
    assert head(folder, "try") == "v0001"
    relabel(folder, "a", "dog", branch="try")
    relabel(folder, "b", "eel")
    assert (head(folder), head(folder, "try")) == ("v0003", "v0002")
    assert labels(folder) == {"a": "cat", "b": "eel", "c": "cat", "d": "cat"}
    assert history.branches(folder) == {"main": "v0003", "try": "v0002"}
    done = merge(folder, "try", "lead")
    assert (done.version, done.conflicts) == ("v0004", [])
    assert labels(folder) == {"a": "dog", "b": "eel", "c": "cat", "d": "cat"}
    assert (read_header(folder, "v0004")["parent"], read_header(folder, "v0004")["merged"]) == ("v0003", "v0002")
    assert ancestors(folder, "v0004") == ["v0004", "v0003", "v0002", "v0001"]
    assert merge(folder, "try", "lead").version == ""
    assert [line["version"] for line in history.blame(folder, "a")] == ["v0001", "v0002", "v0004"]
    assert [h["version"] for h in history.log(folder, "try")] == ["v0002", "v0001"]


def test_conflicts_of_a_merge_are_open_until_somebody_decides(tmp_path: Path, folder: Path) -> None:
    history.start_branch(folder, "try")
    relabel(folder, "a", "dog", branch="try")
    relabel(folder, "a", "eel")
    done = merge(folder, "try", "lead")
    assert labels(folder)["a"] == "eel"
    assert [(c["base"], c["from"], c["to"]) for c in done.conflicts] == [("cat", "eel", "dog")]
    assert [(c["sample_id"], c["version"]) for c in history.open_conflicts(folder)] == [("a", "v0004")]
    engine = store.open_store(tmp_path)
    store.record(engine, Action("one", "set", "ann", (Decision("a", "a", "keep", given_label="eel"),)))
    assert publish(folder, engine, "set", "looked again", "lead") == "v0005"
    assert history.open_conflicts(folder) == []


def test_what_was_published_on_a_branch_is_not_published_again_after_the_merge(tmp_path: Path, folder: Path) -> None:
    engine = store.open_store(tmp_path)
    history.start_branch(folder, "try")
    store.record(engine, Action("one", "set", "ann", (Decision("a", "a", "relabel", ("dog",), given_label="cat"),)))
    publish(folder, engine, "set", "m", "lead", branch="try")
    assert len(propose(folder, engine, "set").plan.changes) == 1
    merge(folder, "try", "lead")
    assert publish(folder, engine, "set", "m", "lead") == ""


def test_merging_back_and_forth(folder: Path) -> None:
    history.start_branch(folder, "try")
    relabel(folder, "a", "dog", branch="try")
    merge(folder, "try", "lead")
    relabel(folder, "b", "eel")
    assert merge(folder, "main", "lead", into="try").conflicts == []
    relabel(folder, "a", "fox", branch="try")
    done = merge(folder, "try", "lead")
    assert (done.conflicts, labels(folder)["a"]) == ([], "fox")
    with pytest.raises(SettingsError, match="into itself"):
        merge(folder, "try", "lead", into="try")
    with pytest.raises(NotFoundError, match="no branch 'none'"):
        merge(folder, "none", "lead")


# --- properties


@settings(max_examples=40, deadline=None)
@given(tables, tables)
def test_reverting_a_version_gives_exactly_what_was_before(
    tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any
) -> None:
    from curation.manifest.changes import replace_samples

    folder = tmp_path_factory.mktemp("versions") / "set"
    before, after = replace_samples(EMPTY, old), replace_samples(EMPTY, new)
    write(folder, before, None, "import")
    write(folder, after, "v0001")
    if not same(before, after):
        assert revert_version(folder, "v0002", "lead").version == "v0003"
        assert same(read(folder, "v0003"), before)
        assert canonical_hash(read(folder, "v0003")) == read_header(folder, "v0001")["hash"]
        assert revert_version(folder, "v0003", "lead").version == "v0004"
        assert same(read(folder, "v0004"), after)
