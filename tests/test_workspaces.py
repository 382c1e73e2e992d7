"""Workspaces and outputs at places that are hard to reach or not to be written: a sentence, and nothing harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation import cli, doctor, runs
from curation.errors import WorkspaceError
from curation.score import ScoreSettings, score
from tests.building import make_run
from tests.importers.pictures import make_pictures
from tests.unprivileged import ROOT, unprivileged

LONG = "x" * 300
NO_FOLDERS = ["loop", "loop/x", LONG, f"{LONG}/x", "file", "file/x", "pipe"]


@pytest.fixture
def places(tmp_path: Path) -> Path:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.training.plan.weights_reachable", lambda model: (False, "no network in tests"))


@pytest.mark.parametrize("name", NO_FOLDERS, ids=lambda name: name[:8])
@pytest.mark.parametrize("command", ["issues", "report", "demo"])
def test_a_workspace_that_is_no_folder_is_refused_in_a_sentence(
    places: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "--workspace", str(places / name)]) == 2
    err = capsys.readouterr().err
    assert "workspace" in err
    assert "--workspace DIR" in err
    assert (places / "file").read_text() == "precious"


@pytest.mark.parametrize("name", NO_FOLDERS, ids=lambda name: name[:8])
def test_a_workspace_that_is_no_folder_is_refused_before_anything_is_read(places: Path, name: str) -> None:
    with pytest.raises(WorkspaceError, match="workspace"):
        score(places / "there is no such source", ScoreSettings(), places / name)


@pytest.mark.parametrize("name", NO_FOLDERS, ids=lambda name: name[:8])
@pytest.mark.usefixtures("offline")
def test_doctor_says_that_a_workspace_is_no_folder(places: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 0)  # a full disk of the machine is another problem
    found = doctor.inspect(places / name)
    assert len(found["problems"]) == 1
    assert "workspace" in found["problems"][0]
    assert not found["workspace"]["writable"]


@pytest.mark.parametrize("arguments", [["--workspace", ""], ["--workspace="], ["", "--json"], ["--issue", ""]])
def test_an_empty_argument_is_a_variable_that_was_not_set(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["issues", *arguments]) == 2
    assert "empty" in capsys.readouterr().err


def unprivileged_curate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*unprivileged(), sys.executable, "-m", "curation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_a_workspace_without_the_right_to_enter_is_said_by_every_command(tmp_path: Path) -> None:
    make_run(tmp_path / "closed" / "ws", ["a", "b"], [{"at": 0, "issue": "dark"}])
    make_pictures(tmp_path, "set/cat/1.png")
    (tmp_path / "closed").chmod(0)
    try:
        for name in ("closed", "closed/ws"):
            place = ("--workspace", str(tmp_path / name))
            for arguments in (["issues"], ["report"], ["score", str(tmp_path / "set"), "--mode", "compact"]):
                done = unprivileged_curate(*arguments, *place)
                assert done.returncode == 2, (arguments, done.stderr)
                assert "Permission denied" in done.stderr or "is not readable" in done.stderr
        done = unprivileged_curate("issues", "--output", str(tmp_path / "closed" / "x.csv"), "--workspace", str(ROOT))
        assert done.returncode == 2
    finally:
        (tmp_path / "closed").chmod(0o755)


@pytest.mark.slow
def test_a_read_only_workspace_can_be_read_and_says_where_to_write(tmp_path: Path) -> None:
    run = make_run(tmp_path / "ws", ["a", "b"], [{"at": 0, "issue": "dark"}])
    folders = [path for path in (tmp_path / "ws").rglob("*") if path.is_dir()] + [tmp_path / "ws"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        place = ("--workspace", str(tmp_path / "ws"))
        assert unprivileged_curate("issues", *place).returncode == 0
        refused = unprivileged_curate("report", *place)
        assert refused.returncode == 2
        assert "--output FILE.html" in refused.stderr
        elsewhere = unprivileged_curate("report", "--output", str(tmp_path / "page.html"), *place)
        assert elsewhere.returncode == 0, elsewhere.stderr
        found = json.loads(unprivileged_curate("doctor", "--json", *place).stdout)
        assert found["workspace"]["runs"] == [run.run_id]
        assert not found["workspace"]["writable"]
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("name", ["page.png", "page", "page.html.jpg"])
def test_a_report_is_never_written_over_what_is_no_page(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, ["a"], [])
    (tmp_path / name).write_text("precious")
    assert cli.main(["report", "--output", str(tmp_path / name), "--workspace", str(tmp_path)]) == 2
    assert ".html" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("facts", [{"source": "labels.csv"}, {"source": ".", "import": {"labels": "labels.csv"}}])
def test_issues_are_never_written_over_the_labels_that_they_are_about(
    tmp_path: Path, facts: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, ["a"], [], **facts)
    table = Path(run.info["root"]) / "labels.csv"
    table.write_text("image,label\np0.png,a\n")
    (tmp_path / "link.csv").symlink_to(table)
    for output in (table, tmp_path / "link.csv"):
        assert cli.main(["issues", "--output", str(output), "--workspace", str(tmp_path)]) == 2
        assert "another name" in capsys.readouterr().err
    assert table.read_text() == "image,label\np0.png,a\n"
    assert cli.main(["issues", "--output", str(tmp_path / "ours.csv"), "--workspace", str(tmp_path)]) == 0


def test_an_output_that_cannot_be_written_names_its_own_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, ["a"], [])
    (tmp_path / "file").write_text("precious")
    for command, name in (("issues", "x.csv"), ("report", "x.html")):
        output = str(tmp_path / "file" / name)
        assert cli.main([command, "--output", output, "--workspace", str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert "--output FILE" in err
        assert "--workspace" not in err


def test_a_damaged_pointer_to_the_latest_run_is_no_obstacle(tmp_path: Path) -> None:
    run = make_run(tmp_path, ["a"], [])
    pointer = runs.runs_folder(tmp_path) / "latest"
    pointer.unlink()
    pointer.mkdir()
    assert runs.read_run(tmp_path).run_id == run.run_id


# --- streams and machines that fail


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("curate", f"{sys.executable} -m curation")],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["issues", "issues --json", "report --json"])
def test_a_full_output_is_said_in_a_sentence(tmp_path: Path, command: str) -> None:
    make_run(tmp_path, ["a", "b"], [{"at": 0, "issue": "dark"}])
    done = shell(f"curate {command} --workspace {tmp_path} > /dev/full")
    assert (done.returncode, done.stderr) == (2, "Error: The output could not be written: No space left on device.\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(tmp_path: Path, closed: str) -> None:
    make_run(tmp_path, ["a", "b"], [{"at": 0, "issue": "dark"}])
    done = shell(f"curate issues --workspace {tmp_path} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_current_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    for command in ("doctor", "score x", "issues"):
        done = shell(f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && "
                     f"PYTHONPATH={ROOT} curate {command}")  # fmt: skip
        assert done.returncode == 2
        assert "The current folder is not there any more" in done.stderr


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_a_machine_without_memory_is_not_our_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def exhausted(*_: object) -> None:
        raise error

    make_run(tmp_path, ["a"], [])
    monkeypatch.setattr("curation.issue_files.ranked_issues", exhausted)
    assert cli.main(["issues", "--workspace", str(tmp_path)]) == 2
    assert "memory" in capsys.readouterr().err
