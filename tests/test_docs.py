"""What the documents say is true: commands run, names exist, every issue and format is documented."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from curation import cli
from curation.detectors import DETECTORS
from curation.exporters import EXPORTERS
from curation.importers import IMPORTERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(text: str, kind: str) -> list[str]:
    """Lines of the fenced blocks of one kind; what follows `#` is a comment."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def tour(text: str) -> list[list[str]]:
    """What the README has people do in the demo, in its order: command lines, and Python that reads what they left."""
    found = []
    for kind, block in re.findall(r"^```(console|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if kind == "console":
            found += [shlex.split(line) for line in commands(f"```console\n{block}```", "console")]
        elif "demo/" in block:
            found.append([sys.executable, "-c", block])
    return found


def options_of(command: str) -> set[str]:
    found = cli.cli.get_command(click.Context(cli.cli), command)
    assert found is not None, f"there is no command {command}"
    return {name for parameter in found.params for name in parameter.opts}


def test_the_readme_has_the_two_commands_and_make_knows_them() -> None:
    assert commands(README, "console")[:2] == ["make demo", "make test"]
    for target in re.findall(r"`?\bmake ([a-z]+)\b", README + CONTRIBUTING):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"


def test_every_command_and_flag_in_the_documents_exists() -> None:
    shown = re.findall(r"\bcurate ((?:" + "|".join(cli.COMMANDS) + r")\b[^\n`|#]*)", README + CONTRIBUTING)
    assert shown
    for line in shown:
        command, *rest = line.split()
        for flag in (word for word in rest if word.startswith("--")):
            assert flag in options_of(command), f"curate {command} has no {flag}"
    for flag in re.findall(r"`(--[a-z-]+)", README):
        assert any(flag in options_of(command) for command in cli.COMMANDS), flag


def test_every_issue_and_every_mode_is_documented() -> None:
    for name in [*DETECTORS, "probe", "finetune", "compact"]:
        assert f"`{name}`" in README, name


def test_every_format_is_documented() -> None:
    formats = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for name in IMPORTERS:
        assert name in formats, name


def test_every_export_format_has_its_row() -> None:
    formats = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    section = formats.split("\n## Exports\n")[1].split("\n## ")[0]
    for name, exporter in EXPORTERS.items():
        rows = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
        assert len(rows) == 1, name
        assert rows[0].count(" | ") == 2, name
        assert "DEST" in exporter.reading, name
    for name in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE):
        assert name in EXPORTERS, name


def test_links_and_pictures_of_the_documents_are_there() -> None:
    for text in (README, CONTRIBUTING):
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), target


def test_exit_codes_are_documented() -> None:
    for code in (cli.OUR_FAULT, cli.USER_MISTAKE, cli.INTERRUPTED, cli.TERMINATED, cli.OUTPUT_CLOSED):
        assert re.search(rf"\b{code}\b", README)


def test_constraints_pin_every_dependency_exactly() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for requirement in asked:
        name = re.split(r"[<>=!~\[]", requirement)[0].lower()
        assert name in {key.lower() for key in pinned}, name


def test_the_check_script_calls_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert "\nmake test\n" in text
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_make_says_so_when_python_is_too_old(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1"\nexit 1\n')
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    done = subprocess.run(["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "curate needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.1" in done.stderr


@pytest.mark.slow
def test_the_readmes_commands_work_on_the_demo(tmp_path: Path) -> None:
    ours = {name: os.environ[name] for name in ("PATH", "HOME", "OMP_NUM_THREADS") if name in os.environ}
    ours["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{ours.get('PATH', '')}"
    said = {}
    for line in [["curate", "demo"], *tour(README)[2:]]:
        done = subprocess.run(line, cwd=tmp_path, env=ours, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout, line
        said[" ".join(line[:2])] = done.stdout
    assert "gain" in said["curate prove"]
    assert "placebo" in said["curate prove"]
    trained = re.search(r"right in ([\d.]+)% of the test pictures", said[f"{sys.executable} -c"])
    assert trained is not None
    assert float(trained[1]) > 80
    assert (tmp_path / "demo" / "issues.csv").stat().st_size > 100_000
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
