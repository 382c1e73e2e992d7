"""`curate export` and `curate verify-export`: what they print, what a program gets, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curation import cli
from tests.exporting import HOSTILE_LABELS, make_set


@pytest.fixture
def pets(tmp_path: Path) -> list[str]:
    """What follows every command: a workspace with one version, whose pictures are in a folder beside it."""
    facts = [
        {"path": f"{split}/{at}.png", "label": "dog" if at % 2 else "cat", "split": split}
        for split in ("train", "val")
        for at in range(5)
    ]
    facts[0]["excluded"] = True
    workspace, _, source = make_set(tmp_path, facts)
    return ["--workspace", str(workspace), "--source", str(source)]


def run(*arguments: object, code: int = 0, capsys: Any) -> tuple[str, str]:
    """What is printed to (stdout, stderr)."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == code
    return capsys.readouterr()


def test_export_says_what_it_wrote_and_verify_export_that_it_is_so(
    pets: list[str], tmp_path: Path, capsys: Any
) -> None:
    out, _ = run("export", tmp_path / "out", *pets, capsys=capsys)
    assert out.startswith(f"Exported v0001 of pets as folder to {tmp_path / 'out'}: 9 pictures, 2 classes.\n")
    assert "Left out: 1 excluded." in out
    assert (tmp_path / "out" / "train" / "dog" / "1.png").exists()
    out, _ = run("verify-export", tmp_path / "out", *pets[:2], capsys=capsys)
    assert out == f"{tmp_path / 'out'} is what was exported from v0001.\n"


def test_a_program_gets_json(pets: list[str], tmp_path: Path, capsys: Any) -> None:
    out, _ = run("export", tmp_path / "out", "--format", "npz", "--size", "8", "--json", *pets, capsys=capsys)
    found = json.loads(out)
    assert (found["exporter"], found["version"], found["classes"]) == ("npz", "v0001", ["cat", "dog"])
    assert found["counts"]["samples"] == 9
    assert found["counts"]["splits"] == {"train": 4, "val": 5}
    assert found["settings"]["size"] == 8
    assert found["place"] == str(tmp_path / "out")
    out, _ = run("verify-export", tmp_path / "out", "--json", *pets[:2], capsys=capsys)
    assert json.loads(out) == {
        "export": str(tmp_path / "out"), "version": "v0001", "not_compared": "", "problems": []
    }  # fmt: skip
    (tmp_path / "out" / "data.npz").write_bytes(b"")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    out, error = run("verify-export", tmp_path / "out", "--json", *pets[:2], code=cli.USER_MISTAKE, capsys=capsys)
    assert json.loads(out)["problems"] == [
        "'data.npz' has other bytes than when it was exported.", "'mine.txt' is not part of the export."
    ]  # fmt: skip
    assert "2 problems: export again" in error


def test_an_export_without_its_workspace_is_verified_by_itself(pets: list[str], tmp_path: Path, capsys: Any) -> None:
    run("export", tmp_path / "out", *pets, capsys=capsys)
    (tmp_path / "elsewhere").mkdir()
    out, _ = run("verify-export", tmp_path / "out", "--workspace", tmp_path / "elsewhere", capsys=capsys)
    assert "Not compared with its version: 'v0001' of 'pets' is not in this workspace." in out


@pytest.mark.parametrize("way", ["--copy", "--link", "--symlink"])
def test_pictures_are_copied_or_linked_as_asked(pets: list[str], way: str, tmp_path: Path, capsys: Any) -> None:
    run("export", tmp_path / "out", "--format", "csv", way, *pets, capsys=capsys)
    picture = tmp_path / "out" / "images" / "train" / "1.png"
    assert picture.is_symlink() == (way == "--symlink")
    assert (picture.stat().st_nlink > 1) == (way == "--link")


def test_splits_are_chosen_or_made_anew(pets: list[str], tmp_path: Path, capsys: Any) -> None:
    out, _ = run("export", tmp_path / "some", "--split", "val", "--json", *pets, capsys=capsys)
    assert json.loads(out)["counts"]["splits"] == {"val": 5}
    assert json.loads(out)["left_out"]["in other splits"] == 4
    new = ("--resplit", "mine=0.5/other=0.5", "--seed", "3")
    out, _ = run("export", tmp_path / "new", *new, "--json", *pets, capsys=capsys)
    assert sorted(json.loads(out)["counts"]["splits"]) == ["mine", "other"]


MISTAKES = {
    ("--format", "zip"): "There is no format 'zip'; there are: folder, csv, parquet",
    ("--version", "v0009"): "v0009",
    ("--split", "dev"): "There is no split 'dev'; there are: 'train', 'val'.",
    ("--resplit", "0.5/0.6"): "as 0.8/0.1/0.1",
    ("--format", "npz", "--link"): "--link has no meaning for --format npz",
    ("--format", "csv", "--size", "9"): "--size has no meaning for --format csv",
    ("--format", "npz", "--size", "0"): "it can be 1 to 4,096 pixels",
    ("--format", "npz", "--size", "99999"): "it can be 1 to 4,096 pixels",
    ("--name", "cats"): "There is no data set 'cats'",
    ("--source", "/nowhere/at/all"): "say where they are with --source DIR",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_a_mistake_is_said_and_nothing_is_written(
    pets: list[str], mistake: tuple[str, ...], tmp_path: Path, capsys: Any
) -> None:
    out, error = run("export", tmp_path / "out", *pets, *mistake, code=cli.USER_MISTAKE, capsys=capsys)
    assert out == ""
    assert MISTAKES[mistake] in " ".join(error.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "workspace"]


def test_places_where_something_could_be_lost_are_refused(pets: list[str], tmp_path: Path, capsys: Any) -> None:
    source = Path(pets[3])
    for place in (source, source / "new", source / "train" / "new"):
        _, error = run("export", place, *pets, "--overwrite", code=cli.USER_MISTAKE, capsys=capsys)
        assert "is inside the source" in " ".join(error.split())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    _, error = run("export", tmp_path / "full", *pets, "--overwrite", code=cli.USER_MISTAKE, capsys=capsys)
    assert "no export of curate" in " ".join(error.split())
    _, error = run("verify-export", tmp_path / "full", *pets[:2], code=cli.USER_MISTAKE, capsys=capsys)
    assert "is no export of curate" in " ".join(error.split())
    run("export", tmp_path / "out", *pets, capsys=capsys)
    _, error = run("export", tmp_path / "out", *pets, code=cli.USER_MISTAKE, capsys=capsys)
    assert "replace it with --overwrite" in " ".join(error.split())
    run("export", tmp_path / "out", *pets, "--overwrite", "--format", "csv", capsys=capsys)
    assert (tmp_path / "out" / "labels.csv").exists()


def test_hostile_names_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    """The real program, its output as bytes: names of splits and data sets are shown, not sent."""
    facts = [{"path": f"{at}.png", "label": label, "split": f"\x1b]0;owned\x07{at}"} for at, label in
             enumerate((*HOSTILE_LABELS[:4], "\x1b[31mred", "\u202eleft"))]  # fmt: skip
    workspace, _, source = make_set(tmp_path, facts)
    words = ["--workspace", str(workspace), "--source", str(source)]
    program = Path(sys.executable).with_name("curate")
    for command in (["export", str(tmp_path / "out"), *words], ["verify-export", str(tmp_path / "out"), *words[:2]]):
        done = subprocess.run([program, *command], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"v0001" in done.stdout
        for sign in ("\x1b", "\x07", "\u202e"):
            assert sign.encode() not in done.stdout
