"""The command line: exit codes, what goes where, and that nothing from outside gets through unharmed."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console

from curation import cli, issue_files, runs
from curation.commands.options import GroupedOption
from curation.commands.summary import print_next, print_summary
from curation.detectors import DETECTORS
from tests.building import make_run

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\n=1",
    "\u00a0=1",
    " =1",
    "'quoted",
    "＝1",
    "\x1b[31mred",
    "cat\u202egnp",
    "a,b;c\"d'e",
    "[bold]x[/bold]",
    "01",
    "nan",
    "",
    "line\r\nbreak",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    findings = [{"at": at, "issue": "label_error", "suggestion": "cat"} for at in range(len(HOSTILE))]
    findings += [{"at": 0, "issue": "label_error", "is_issue": False, "score": 0.9}, {"at": 1, "issue": "dark"}]
    make_run(
        tmp_path,
        HOSTILE,
        findings,
        unreadable=[("cut\x1b[1m.png", "the file ends too early")],
        issues={"label_error": len(HOSTILE), "dark": 1, "unreadable": 1},
        plan={"mode": "compact", "model": "compact", "device": "cpu", "size_px": 32, "why": ["no \x1b[1mGPU"]},
    )
    return tmp_path


def curate(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    environment = {**os.environ, "COLUMNS": "100", **variables}
    return subprocess.run(
        [sys.executable, "-m", "curation", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# --- help


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.COMMANDS)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_each_command_says_in_its_help_what_the_list_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    assert command.help is not None
    assert command.help.split("\n\n")[0].replace("\n", " ") == cli.COMMANDS[name]
    assert cli.main([name, "--help"]) == 0
    assert "--workspace DIR" in capsys.readouterr().out


def test_every_command_has_a_file_and_takes_workspace_and_json() -> None:
    for name in cli.COMMANDS:
        command = cli.cli.get_command(click.Context(cli.cli), name)
        assert command is not None
        assert {"workspace", "as_json"} <= {parameter.name for parameter in command.params}
        for parameter in command.params:
            assert not isinstance(parameter, GroupedOption) or parameter.help


def test_score_takes_what_the_library_takes() -> None:
    from curation.importers import ImportOptions
    from curation.score import ScoreSettings

    command = cli.cli.get_command(click.Context(cli.cli), "score")
    assert command is not None
    flags = {parameter.name for parameter in command.params}
    known = {*ScoreSettings.__dataclass_fields__, *ImportOptions.__dataclass_fields__, "predictions"} - {"flip"}
    assert flags - {"source", "source_format", "workspace", "as_json", "debug", "no_flip"} == known


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("curate 0.")


# --- mistakes of the user: exit code 2 and one sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["scroe"], "Did you mean 'score'?"),
        (["frobnicate"], "There are: "),
        (["score"], "Missing argument 'SOURCE'"),
        (["score", "x", "--folds", "1"], "--folds"),
        (["score", "x", "--mode", "magic"], "--mode"),
        (["issues", "--top", "0"], "--top"),
        (["issues", "--nope"], "--nope"),
        (["issues", "one", "two"], "two"),
    ],
)
def test_a_mistyped_command_is_one_clear_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert "Traceback" not in captured.err


def test_a_missing_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(tmp_path / "nothing"), "--workspace", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing" in captured.err


def test_an_empty_workspace_is_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("issues", "report"):
        assert cli.main([name, "--workspace", str(tmp_path)]) == 2
        assert "curate score SOURCE" in capsys.readouterr().err


def test_an_escape_sequence_in_a_mistake_does_not_reach_the_terminal(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["issues", "no\x1b[31m\nsuch\u202e", "--workspace", str(workspace)]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "\\x1b[31m" in err
    assert err.count("\n") == 1


# --- our own faults: exit code 1


def test_a_fault_of_ours_is_short_and_says_how_to_report_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("what\x1b")

    monkeypatch.setattr(issue_files, "ranked_issues", broken)
    assert cli.main(["issues", "--workspace", str(workspace)]) == 1
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "issues.py:" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert cli.main(["issues", "--workspace", str(workspace), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("CURATE_DEBUG", "1")
    assert cli.main(["issues", "--workspace", str(workspace)]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(issue_files, "ranked_issues", interrupted)
    assert cli.main(["issues", "--workspace", str(workspace)]) == 130
    assert "Run the same command again to go on" in capsys.readouterr().err


def test_being_terminated_tidies_up_and_says_how_to_go_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(issue_files, "ranked_issues", killed)
    assert cli.main(["issues", "--workspace", str(workspace)]) == 143
    assert "Run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_file_that_ends_early_is_not_taken_for_an_interruption(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def truncated(*_: object) -> None:
        raise EOFError("no data left")

    monkeypatch.setattr(issue_files, "ranked_issues", truncated)
    assert cli.main(["issues", "--workspace", str(workspace)]) == 1
    assert "EOFError" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(workspace: Path) -> None:
    # `true` never reads, so the pipe breaks whatever its size.
    command = f"{sys.executable} -m curation issues --json --workspace {workspace} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


# --- issues


def test_issues_are_printed_in_rank_order_and_harmless(workspace: Path) -> None:
    done = curate("issues", "--workspace", str(workspace), "--top", "50")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[bold]x[/bold]" in done.stdout
    assert done.stdout.index("label_error") < done.stdout.index("dark") < done.stdout.index("unreadable")


def test_the_terminal_shows_the_first_and_says_how_many_more(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["issues", "--workspace", str(workspace)]) == 0
    out = capsys.readouterr().out
    assert "p0.png" in out
    assert "And 1 issue: --top N" in out


def test_json_is_a_list_in_rank_order_with_evidence_as_objects(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["issues", "--workspace", str(workspace), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    rows = json.loads(out)
    assert [row["rank"] for row in rows] == list(range(1, len(HOSTILE) + 4))
    assert [row["given_label"] for row in rows[: len(HOSTILE)]] == HOSTILE
    assert rows[0]["path"] == "p0.png"
    assert rows[0]["evidence"]["p_given"] == 0.02
    assert rows[0]["reason"].startswith("Labelled “")
    assert rows[-1]["reason"] == "The file ends too early."
    assert rows[-1]["issue"] == "unreadable"


def test_one_kind_of_issue_keeps_its_ranks(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["issues", "--issue", "dark", "--issue", "unreadable", "--json", "--workspace", str(workspace)]) == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [(row["issue"], row["rank"]) for row in rows] == [("dark", 20), ("unreadable", 21)]
    assert cli.main(["issues", "--issue", "outlier", "--json", "--workspace", str(workspace)]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["issues", "--issue", "typo", "--workspace", str(workspace)]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in DETECTORS)


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_issues_can_be_read_at_any_width(
    workspace: Path, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["issues", "--workspace", str(workspace)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(cell_len(line) <= int(columns) for line in lines)
    first = [line for line in lines if "label_error" in line]
    assert len(first) == len(HOSTILE) + 1, "one line per issue names picture and issue"
    assert len(lines) <= 4 * 20 + 1
    assert " ".join(line.strip() for line in lines[1:4]).startswith("Labelled “=cmd|' /C calc'!A0”, to which the model")


def test_what_was_saved_is_counted_as_issues_and_as_labels_without_a_finding(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["issues", "--output", str(workspace / "all.csv"), "--workspace", str(workspace)]) == 0
    assert f"{len(HOSTILE) + 2} issues and 1 label without a finding of run" in capsys.readouterr().out
    arguments = ["issues", "--top", "1", "--output", str(workspace / "one.csv"), "--workspace", str(workspace)]
    assert cli.main(arguments) == 0
    assert "1 issue of run" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_saved_issues_hold_the_labels_as_they_are(workspace: Path, suffix: str) -> None:
    output = workspace / f"issues{suffix}"
    assert cli.main(["issues", "--output", str(output), "--workspace", str(workspace)]) == 0
    if suffix == ".csv":
        with output.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        labels = [row["given_label"] for row in rows]
        assert not any(label.strip(" \u00a0\n\t").startswith(("=", "+", "-", "@", "＝")) for label in labels)
        labels = [label.removeprefix("'") for label in labels]
    elif suffix == ".parquet":
        labels = pd.read_parquet(output)["given_label"].tolist()
    else:
        labels = [row["given_label"] for row in json.loads(output.read_text(encoding="utf-8"))]
    assert labels[: len(HOSTILE)] == HOSTILE


def test_a_csv_of_issues_is_read_back_by_pandas(workspace: Path) -> None:
    output = workspace / "issues.csv"
    assert cli.main(["issues", "--output", str(output), "--workspace", str(workspace)]) == 0
    table = pd.read_csv(output, dtype={"given_label": "str"}, keep_default_na=False)
    expected = issue_files.with_reasons(issue_files.ranked_issues(runs.read_run(workspace)))
    assert table["reason"].tolist() == expected["reason"].tolist()
    assert all(table["reason"].str.len() > 10)
    assert list(table.columns) == list(expected.columns)
    assert table["given_label"].tolist()[:16] == [issue_files.defuse(label) for label in HOSTILE[:16]]
    assert np.allclose(table["score"], expected["score"])


def test_issues_are_saved_as_known_formats_only(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("issues.xlsx", "issues"):
        assert cli.main(["issues", "--output", str(workspace / name), "--workspace", str(workspace)]) == 2
        assert ".csv, .parquet, .json" in capsys.readouterr().err
    (workspace / "folder.csv").mkdir()
    assert cli.main(["issues", "--output", str(workspace / "folder.csv"), "--workspace", str(workspace)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_link_at_the_output_is_replaced_and_not_followed(workspace: Path) -> None:
    target = workspace / "precious.csv"
    target.write_text("precious")
    (workspace / "link.csv").symlink_to(target)
    assert cli.main(["issues", "--output", str(workspace / "link.csv"), "--workspace", str(workspace)]) == 0
    assert target.read_text() == "precious"


# --- report and doctor


def test_the_report_lies_in_the_run_or_where_it_was_asked_for(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--json", "--workspace", str(workspace)]) == 0
    path = Path(json.loads(capsys.readouterr().out)["report"])
    assert path.parent == runs.read_run(workspace).folder
    assert path.read_bytes().startswith(b"<!")
    assert cli.main(["report", "pets", "--output", str(workspace / "a.html"), "--workspace", str(workspace)]) == 0
    assert "a.html" in capsys.readouterr().out


def test_doctor_finds_a_healthy_workspace_healthy(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.training.plan.weights_reachable", lambda model: (False, "no network in tests"))
    assert cli.main(["doctor", "--json", "--workspace", str(workspace)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["workspace"]["runs"] == ["pets-0"]
    assert found["packages"]["torch"]
    assert {choice["mode"] for choice in found["auto"].values()} == {"compact"} or found["gpu"]["usable"]
    assert cli.main(["doctor", "--workspace", str(workspace)]) == 0
    assert "All is well." in capsys.readouterr().out


def test_doctor_names_what_is_damaged_unfinished_or_left_over(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.training.plan.weights_reachable", lambda model: (False, "no network in tests"))
    runs.open_partial(workspace, "killed-1").release()
    (workspace / ".curate" / ".run.json.abc.tmp").write_bytes(b"half")
    (runs.read_run(workspace).folder / "issues.parquet").write_bytes(b"PAR1")
    assert cli.main(["doctor", "--workspace", str(workspace), "--json"]) == 0
    problems = "\n".join(json.loads(capsys.readouterr().out)["problems"])
    assert "killed-1" in problems
    assert ".run.json.abc.tmp" in problems
    assert "issues.parquet" in problems


def test_doctor_works_where_there_is_no_workspace_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation import doctor

    monkeypatch.setattr("curation.training.plan.weights_reachable", lambda model: (True, "in the cache"))
    found = doctor.inspect(tmp_path / "a" / "b")
    assert found["problems"] == []
    assert {choice["mode"] for choice in found["auto"].values()} & {"probe", "finetune"}
    assert not (tmp_path / "a").exists()


# --- the summary


def summary_of(run: runs.Run, width: int, said: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    print_summary(run, console, said)
    print_next(Path("/a/rather/long/place/for/a/workspace"), console)
    return stream.getvalue()


def test_the_summary_does_not_say_again_what_was_said_before_the_run(tmp_path: Path) -> None:
    plan = {"mode": "compact", "device": "cpu", "why": ["no \x1b[1mGPU"]}
    probs = np.full((2, 2), 0.5, dtype=np.float32)
    run = make_run(tmp_path, ["cat", "dog"], [], plan=plan, arrays={"pred_probs": probs})
    assert "No ␛[1mGPU." in summary_of(run, 80)
    assert "GPU." not in summary_of(run, 80, ("No \x1b[1mGPU.",))


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_shows_paths_whole_where_they_fit_and_says_how_to_correct(tmp_path: Path, width: int) -> None:
    findings = [{"at": at, "issue": "label_error", "suggestion": "cat"} for at in range(3)]
    health = {"labels": 3, "label_health": 0.97, "estimated_wrong": 2, "estimated_wrong_range": [1, 40]}
    broken = [("folder/cut.png", "the file ends too early")]
    run = make_run(tmp_path, ["trash", "glass", "cat"], findings, unreadable=broken, health=health)
    samples = run.samples()
    samples["path"] = [f"some_folder/of_pictures/{name}" for name in samples["path"]]
    samples.to_parquet(run.folder / "samples.parquet", index=False)
    text = summary_of(runs.read_run(tmp_path), width)
    assert "4 pictures (3 readable)" in text
    assert "some_folder/of_pictures/p2.png" in text
    assert all(name in text for name in ("p(given)", "Suggested", "p(suggested)"))
    assert "between 1 and 40" in " ".join(text.split())
    assert "half of the wrong labels are among the first 2" in " ".join(text.split())
    steps = text[text.index("Next") :]
    assert steps.index("curate review") < steps.index("curate issues --top 50") < steps.index("curate report --open")
    assert all(cell_len(line) <= width for line in steps.splitlines())


# --- score, as a user runs it


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in brightness, a conflicting duplicate, a broken file, and labels that are hostile."""
    root = tmp_path_factory.mktemp("source") / "shades"
    rng = np.random.default_rng(0)
    for name, level in (("dark [b]", 70), ("light;=1", 180)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            noise = rng.integers(level - 40, level + 40, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(noise).save(root / name / f"{number:02d}.png")
    twin = root / "dark [b]" / "00.png"
    (root / "light;=1" / "twin.png").write_bytes(twin.read_bytes())
    (root / "light;=1" / "cut.png").write_bytes(twin.read_bytes()[:60])
    return root


SCORE = ("--mode", "compact", "--folds", "2", "--epochs", "1", "--size", "16", "--device", "cpu")


@pytest.mark.slow
def test_score_prints_one_json_object_and_keeps_quiet_otherwise(pictures: Path, tmp_path: Path) -> None:
    done = curate("score", str(pictures), *SCORE, "--workspace", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["samples"] == 26
    assert result["unreadable"] == 1
    assert result["issues"]["conflicting_duplicate"] == 2
    assert Path(result["run_dir"]) == runs.read_run(tmp_path).folder
    assert all(seconds >= 0 for seconds in result["seconds"].values())
    again = curate("score", str(pictures), *SCORE, "--workspace", str(tmp_path), "--json")
    assert json.loads(again.stdout) == result
    assert result["run_id"] in again.stderr


@pytest.mark.slow
def test_the_summary_tells_what_was_read_found_and_what_to_type_next(pictures: Path, tmp_path: Path) -> None:
    done = curate("score", str(pictures), *SCORE, "--workspace", str(tmp_path), COLUMNS="80")
    assert done.returncode == 0, done.stderr
    for expected in ("shades", "2 classes", "cut.png", "compact", "conflicting_duplicate", "Label health", "Next"):
        assert expected in done.stdout
    assert f"curate issues --top 50 --workspace {tmp_path}" in done.stdout
    assert "dark [b]" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_killed_score_is_completed_by_the_same_command(pictures: Path, tmp_path: Path) -> None:
    arguments = ("score", str(pictures), *SCORE, "--workspace", str(tmp_path), "--json")
    killed = curate(*arguments, CURATE_FAILPOINT="run.issues.before_rename:kill:1")
    assert killed.returncode == -signal.SIGKILL
    assert runs.list_runs(tmp_path) == []
    done = curate(*arguments)
    assert done.returncode == 0, done.stderr
    assert runs.list_partial(tmp_path) == []
    full = curate("score", str(pictures), *SCORE, "--workspace", str(tmp_path / "other"), "--json")
    first, second = (pd.read_parquet(Path(json.loads(d.stdout)["run_dir"]) / "issues.parquet") for d in (done, full))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.slow
def test_a_full_disk_is_the_users_mistake(pictures: Path, tmp_path: Path) -> None:
    arguments = ("score", str(pictures), *SCORE, "--workspace", str(tmp_path))
    done = curate(*arguments, CURATE_FAILPOINT="run.before_rename:enospc:1")
    assert done.returncode == 2
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr
