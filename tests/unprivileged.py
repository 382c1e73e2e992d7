"""Run code without the right to read everything, also where the tests themselves run as root (as in containers)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Root obeys permission bits once it has lost these two capabilities.
_DROP = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def unprivileged() -> list[str]:
    """What to put in front of a command so that permission bits count for it; skips the test where that cannot be."""
    if os.geteuid() != 0:
        return []
    probe = [*_DROP, "true"]
    if not shutil.which("setpriv") or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs an ordinary user, or setpriv and the right to drop capabilities")
    return [*_DROP, "--"]


def run_unprivileged(code: str) -> str:
    """What Python `code` prints when permission bits count for it."""
    command = [*unprivileged(), sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
