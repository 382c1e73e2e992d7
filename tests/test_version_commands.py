"""The commands for versions: what they print, what they refuse, and that no label acts on a terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from curation import cli, store
from curation.commands.version_text import print_changes
from curation.decisions import Action, Decision
from curation.manifest import NewVersion, manifest_folder, read, write_version
from curation.manifest.version_files import versions
from tests.manifest.test_changes import make_rows
from tests.manifest.test_history import relabel

HOSTILE = ["\x1b[31mred", "cat\u202egnp", "[bold]x[/bold]", "<script>", "a\nb\0c", "=cmd|'/C calc'!A0", "x" * 100_000]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    samples = [
        {"id": f"s{n}", "path": f"cat/{n} \x1b[5m\u202e.png", "labels": [label]} for n, label in enumerate(HOSTILE)
    ]
    first = NewVersion(None, "import", "curate \x1b[31mscore", "first \x1b]0;title\x07\u202e", [{"change": "import"}])
    folder = manifest_folder(tmp_path, "my set")
    write_version(make_rows(*samples, {"id": "plain", "path": "dog/1.png"}), first, folder)
    return tmp_path


def run(workspace: Path, *arguments: str, code: int = 0, capsys: Any) -> str:
    assert cli.main([*arguments, "--workspace", str(workspace)]) == code
    found = capsys.readouterr()
    for text in (found.out, found.err):
        assert not set(text) & set("\x1b\x07\0\u202e"), "nothing from outside acts on a terminal"
    return found.out if code == 0 else found.err


def decide(workspace: Path, number: int, sample: str, verdict: str, *labels: str, by: str = "ann", **more: Any) -> None:
    engine = store.open_store(workspace)
    rows = read(manifest_folder(workspace, "my set"), "v0001")
    given = str(rows.loc[rows["sample_id"] == sample, "label"].item())
    made = Decision(sample, sample, verdict, labels, given_label=given, **more)
    store.record(engine, Action(f"action-{number}", folder_name(workspace), by, (made,), comment="why \x1b[31m\u202e"))


def folder_name(workspace: Path) -> str:
    return manifest_folder(workspace, "my set").name


def test_everything_once(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing to publish" in run(workspace, "status", capsys=capsys)
    for number, sample in enumerate(["s0", "s1", "s2"]):
        decide(workspace, number, sample, "relabel", "dog")
    decide(workspace, 3, "s3", "exclude", reason="broken", by="bob")
    decide(workspace, 4, "plain", "unsure")
    said = run(workspace, "status", capsys=capsys)
    assert "To publish: 3 relabelled, 1 excluded" in said
    assert "Held back: 1 as the reviewer was unsure" in said
    assert "curate publish -m TEXT --workspace" in said
    assert "Would be published on top of v0001" in run(workspace, "publish", "--dry-run", capsys=capsys)
    assert versions(manifest_folder(workspace, "my set")) == ["v0001"]
    assert "Published v0002" in run(workspace, "publish", "-m", "three \x1b[31mdogs", capsys=capsys)
    assert "Nothing to publish: v0002" in run(workspace, "publish", "-m", "again", capsys=capsys)
    assert "v0002" in run(workspace, "log", capsys=capsys)
    assert "3 relabelled" in run(workspace, "show", capsys=capsys)
    assert "From v0001 to v0002" in run(workspace, "diff", "1", capsys=capsys)
    assert "by ann" in run(workspace, "blame", "s0", capsys=capsys)
    assert "There are no tags yet" in run(workspace, "tag", capsys=capsys)
    assert "paper" in run(workspace, "tag", "paper", "v1", "-m", "\x1b[31m", capsys=capsys)
    assert "try" in run(workspace, "branch", "try", "paper", capsys=capsys)
    assert "Version v0003" in run(workspace, "revert", "--reviewer", "bob", "--since", "2020-01-01", capsys=capsys)
    assert "Version v0004" in run(workspace, "revert", "v2", capsys=capsys)
    assert "Version v0005" in run(workspace, "revert", "s1", capsys=capsys)
    relabel(manifest_folder(workspace, "my set"), "s1", "eel", branch="try")
    assert "Version v0007" in run(workspace, "merge", "try", capsys=capsys)
    assert "contradict reviewed ones" in run(workspace, "status", capsys=capsys)
    assert "7 versions of" in run(workspace, "verify", capsys=capsys)


def test_what_is_printed_says_who_reviewed_who_published_and_what_to_do_next(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    decide(workspace, 1, "plain", "hard", by="Mia")
    decide(workspace, 2, "s3", "keep", by="bob")
    said = run(workspace, "status", capsys=capsys)
    assert re.search(r"Verdict +Reviewer +Decisions\n.*\nhard +Mia +1\nkeep +bob +1\n", said)
    said = run(workspace, "publish", "-m", "m", "--author", "lead", capsys=capsys)
    assert "1 marked as hard, 1 kept" in said
    assert re.search(r"Change +Picture +From +To +Reviewer", said)
    assert "dog/1.png" in said, "a path that fits is shown whole"
    assert "keep" in said
    assert "confirm" not in said
    assert "curate revert v0002 -m TEXT --workspace" in said
    assert "curate score SOURCE --workspace" in said
    said = run(workspace, "log", capsys=capsys)
    assert "v0002  published by lead" in said
    assert "1 marked as hard, 1 kept" in said, "the same words as everywhere"
    said = run(workspace, "revert", "v2", capsys=capsys)
    assert "curate revert v0003 -m TEXT --workspace" in said
    assert "Next" not in run(workspace, "publish", "-m", "nothing", capsys=capsys)


def test_a_long_path_takes_the_room_that_the_other_columns_leave() -> None:
    path = "a_folder_of_some_length/with_another_one_in_it/one.png"
    stream = io.StringIO()
    change = {"change": "relabel", "path": path, "from": "1", "to": "2", "reviewer": "me"}
    print_changes([change], Console(file=stream, width=90))
    assert path in stream.getvalue()
    stream.truncate(0)
    print_changes([change], Console(file=stream, width=60))
    assert "…" in stream.getvalue()
    assert all(cell_len(line) <= 60 for line in stream.getvalue().splitlines())


def test_json_is_whole_and_says_the_same(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide(workspace, 1, "s0", "relabel", "dog")

    def asked(*arguments: str) -> Any:
        return json.loads(run(workspace, *arguments, "--json", capsys=capsys))

    status = asked("status")
    assert status["pending"] == [{"verdict": "relabel", "reviewer": "ann", "decisions": 1}]
    assert (status["version"], status["changes"], status["source"]["changed"]) == ("v0001", {"relabel": 1}, None)
    made = asked("publish", "-m", "m")
    assert (made["version"], made["parent"], made["counts"]) == ("v0002", "v0001", {"relabel": 1})
    assert asked("publish", "-m", "m")["version"] is None
    (change,) = asked("diff", "v0001", "v0002")["changes"]
    assert (change["change"], change["from"], change["to"], change["sample_id"]) == ("relabel", HOSTILE[0], "dog", "s0")
    assert [entry["version"] for entry in asked("log")["versions"]] == ["v0002", "v0001"]
    assert asked("show", "v2")["changes"][0]["reviewer"] == "ann"
    assert [line["version"] for line in asked("blame", "s0")["changes"]] == ["v0001", "v0002"]
    assert asked("tag", "x")["version"] == "v0002"
    assert asked("tag")["tags"][0]["name"] == "x"
    assert asked("branch")["branches"] == {"main": "v0002"}
    assert asked("revert", "v2")["version"] == "v0003"
    assert asked("verify") == {
        "dataset": folder_name(workspace),
        "versions": ["v0001", "v0002", "v0003"],
        "problems": [],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["publish"], "Say what was reviewed"),
        (["publish", "-m", "m", "--branch", "none"], "no branch 'none'"),
        (["show", "v9"], "no version, tag or branch 'v9'"),
        (["diff", "v1", "v9"], "'v9'"),
        (["blame", "nothing"], "There is no picture 'nothing'"),
        (["blame", "\udcff"], "There is no picture"),
        (["revert", "\udcff"], "There is no picture"),
        (["decisions", "--since", str(2**63)], "not in the range"),
        (["decisions", "--store", "elsewhere"], "'elsewhere' is no URL"),
        (["publish", "-m", "m", "--store", "postgres//host"], "'postgres//host' is no URL"),
        (["revert"], "Say what to take back"),
        (["revert", "v1"], "first version"),
        (["revert", "v1", "--reviewer", "ann"], "Say what to take back"),
        (["revert", "s0", "--since", "2020"], "--since goes with"),
        (["revert", "s0"], "has not changed"),
        (["revert", "--reviewer", "\x1b[31m"], "was published"),
        (["tag", "../x"], "cannot name a tag"),
        (["merge", "none"], "no branch 'none'"),
        (["log", "--name", "other \x1b[31m"], "no data set"),
        (["status", "--name", "../../etc"], "no data set"),
    ],
)
def test_mistakes_are_said_in_one_sentence(
    workspace: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in run(workspace, *arguments, code=2, capsys=capsys)
    assert versions(manifest_folder(workspace, "my set")) == ["v0001"]


def test_a_workspace_without_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "curate score SOURCE" in run(tmp_path, "status", code=2, capsys=capsys)
    assert not (tmp_path / ".curate").exists(), "looking makes nothing"


def test_of_several_data_sets_one_has_to_be_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = NewVersion(None, "import", "me", "first", [{"change": "import"}], dataset="other")
    write_version(make_rows({"id": "a"}), first, manifest_folder(workspace, "other"))
    assert "no runs" in run(workspace, "log", code=2, capsys=capsys)
    assert "v0001" in run(workspace, "log", "--name", "my set", capsys=capsys)
    assert "v0001" in run(workspace, "log", "--name", "other", capsys=capsys)


def test_verify_says_what_is_wrong_and_fails(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (manifest_folder(workspace, "my set") / "v0001.changes.jsonl").write_text("{}")
    assert cli.main(["verify", "--workspace", str(workspace)]) == 2
    found = capsys.readouterr()
    assert "another hash" in found.out
    assert "2 problems" in found.err


def test_two_publishers_see_each_other(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide(workspace, 1, "s0", "relabel", "dog")
    relabel(manifest_folder(workspace, "my set"), "plain", "eel")
    said = run(workspace, "publish", "-m", "m", "--expect", "v1", code=2, capsys=capsys)
    assert "v0002 by lead (1 relabelled)" in said
    assert "publish again" in said
