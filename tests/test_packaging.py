"""A wheel built from the tree installs and works outside of the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_works_outside_of_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="the package build comes with the dev extra")
    # From a copy: a build folder left behind by an earlier build would leak removed files into the wheel.
    tree = tmp_path / "tree"
    skip = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "demo", "scratch")
    shutil.copytree(ROOT, tree, ignore=skip)
    # Without isolation: no network; setuptools is there because torch needs it.
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, tree, cwd=tmp_path)
    (wheel,) = tmp_path.glob("curate-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"curation/cli.py", "curation/commands/score.py", "curation/report/style.py"} <= set(names)
    parts = [path for path in (ROOT / "app").rglob("*") if path.suffix in (".py", ".js", ".css")]
    assert {path.relative_to(ROOT).as_posix() for path in parts} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "pipelines", "data_manifest"))]

    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=True)
    python = fresh / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies are those of this environment, behind the fresh one's own packages.
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert "Commands" in run(fresh / "bin" / "curate", "--help", cwd=tmp_path)
    code = "import curation, curation.score, curation.report; print(curation.__file__)"
    assert run(python, "-c", code, cwd=tmp_path).strip().startswith(str(packages))
    code = "from curation.commands.review import _app_script as app; print(app())"
    assert run(python, "-c", code, cwd=tmp_path).strip().startswith(str(packages))
    found = run(fresh / "bin" / "curate", "doctor", "--json", "--workspace", tmp_path / "new", cwd=tmp_path)
    assert '"curate": "0.' in found
