"""Processes that help to decode: they change no result, whatever happens to them, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation import pixels
from curation.decoding import workers as decode_workers
from curation.decoding.chunks import Chunk, Job
from curation.decoding.workers import _Helper
from curation.errors import WorkspaceError
from curation.files import set_failpoints
from curation.pixels import Pixels, decode
from tests.test_pixels import noise, records_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """JPEG and PNG pictures, a turned one, a copy, and some that cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(40):
        noise(seed, 150, 200).save(folder / f"{seed:02d}.{'jpg' if seed % 3 else 'png'}")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(99, 150, 200).save(folder / "turned.jpg", exif=exif)
    (folder / "copy.jpg").write_bytes((folder / "01.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes((folder / "02.jpg").read_bytes()[:900])
    (folder / "empty \udcff.png").touch()
    (folder / "late.png").symlink_to("nowhere")
    return folder


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Helpers start for the smallest set; gives the process ids of those that did."""
    monkeypatch.setattr(decode_workers, "HELPED_PICTURES", 1)
    monkeypatch.setattr(decode_workers, "PICTURES_PER_HELPER", 1)
    monkeypatch.setattr(decode_workers, "CHUNK_PICTURES", 2)
    started: list[int] = []
    greet = _Helper.greet

    def greet_and_note(self: _Helper, task: decode_workers.Task) -> None:
        started.append(self.process.pid)
        greet(self, task)

    monkeypatch.setattr(_Helper, "greet", greet_and_note)
    # The thread that decodes by itself waits until the helpers are up, or there would be nothing left for them.
    real = decode_workers.decode_chunk

    def decode_slowly(*arguments: object) -> Chunk:
        time.sleep(0.05)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(decode_workers, "decode_chunk", decode_slowly)
    return started


def names(root: Path) -> list[str]:
    return sorted(name.replace("\udcff", r"\udcff") for name in os.listdir(root))


def scan(root: Path, cache: Path, threads: int) -> Pixels:
    return decode(records_of(root, names(root)), 24, cache, threads=threads)


def assert_same(one: Pixels, other: Pixels) -> None:
    pd.testing.assert_frame_equal(one.samples, other.samples)
    readable = np.flatnonzero(one.row_of >= 0)
    for get in (Pixels.gather, Pixels.grey, Pixels.chroma):
        assert np.array_equal(get(one, readable)[:], get(other, readable)[:])


def gone(pid: int) -> bool:
    """Whether a process has ended (and, if it was ours, was waited for)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_helpers_change_no_result(root: Path, tmp_path: Path, helped: list[int]) -> None:
    alone, together = scan(root, tmp_path / "a", 1), scan(root, tmp_path / "b", 3)
    assert len(helped) == 2
    assert_same(alone, together)
    assert (alone.samples["status"] == "unreadable").sum() == 3
    assert scan(root, tmp_path / "b", 3).decoded == 0
    for pid in helped:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)  # it was waited for already


def test_helpers_leave_out_what_the_cache_holds(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan(root, tmp_path / "cache", 1)
    for path in (tmp_path / "cache").glob("*.files"):
        path.unlink()  # so that everything has to be read again
    (root / "new.jpg").write_bytes((root / "03.png").read_bytes()[:-1] + b"x")
    decoded: list[int] = []
    ask = _Helper.decode

    def count(self: _Helper, jobs: Sequence[Job]) -> Chunk:
        chunk = ask(self, jobs)
        decoded.append(len(chunk.rows))
        return chunk

    monkeypatch.setattr(_Helper, "decode", count)
    again = scan(root, tmp_path / "cache", 2)
    assert again.decoded == 1
    assert decoded
    assert sum(decoded) <= 1
    assert len(again.samples) == len(first.samples) + 1


@pytest.mark.parametrize("when", ["before the first task", "in the middle of an answer"])
def test_a_killed_helper_costs_nothing_but_time(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    tried = []

    def kill(self: _Helper) -> None:
        tried.append(self.process.pid)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    if when == "before the first task":
        ask = _Helper.decode
        monkeypatch.setattr(_Helper, "decode", lambda self, jobs: (kill(self), ask(self, jobs))[1])
    else:
        receive_array = decode_workers.receive_array
        helpers: list[_Helper] = []
        ask = _Helper.decode
        monkeypatch.setattr(_Helper, "decode", lambda self, jobs: (helpers.append(self), ask(self, jobs))[1])

        def receive_half(*arguments: object) -> np.ndarray:
            kill(helpers[-1])
            receive_array(*arguments)  # type: ignore[arg-type]
            raise EOFError

        monkeypatch.setattr(decode_workers, "receive_array", receive_half)
    together = scan(root, tmp_path / "b", 2)
    assert tried
    assert_same(scan(root, tmp_path / "a", 1), together)


@pytest.mark.parametrize("python", ["", "/nowhere/python", "/bin/false", "/bin/echo"])
def test_where_no_helper_can_be_started_threads_decode(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    together = scan(root, tmp_path / "b", 3)
    monkeypatch.undo()
    assert_same(scan(root, tmp_path / "a", 1), together)


def test_a_program_that_has_python_inside_is_not_started_again(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert scan(root, tmp_path / "b", 3).decoded


def test_a_helper_of_another_version_is_not_used(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_workers, "greeting", lambda: ["v0"])
    monkeypatch.setattr(_Helper, "decode", lambda *_: pytest.fail("it was used"))
    assert scan(root, tmp_path / "b", 2).decoded
    assert all(gone(pid) for pid in helped)


def test_big_pictures_and_array_members_are_left_to_the_caller(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_workers, "BIG_PIXELS", 150 * 200 - 1)
    left: list[Job] = []
    ask = _Helper.decode

    def note(self: _Helper, jobs: Sequence[Job]) -> Chunk:
        assert not any("#" in path for _, path in jobs)
        chunk = ask(self, jobs)
        left.extend(chunk.left)
        assert not len(chunk.rows)
        return chunk

    monkeypatch.setattr(_Helper, "decode", note)
    np.savez(root / "d.npz", images=np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8))
    paths = [name for name in names(root) if name != "d.npz"] + [f"d.npz#images/{index}" for index in range(9)]
    together = decode(records_of(root, paths), 24, tmp_path / "b", threads=2)
    assert left
    monkeypatch.undo()
    assert_same(decode(records_of(root, paths), 24, tmp_path / "a", threads=1), together)


def test_an_error_of_the_caller_stops_the_helpers(
    root: Path, tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "FLUSH_BYTES", 1)
    set_failpoints("pixels.before_close:enospc:3")
    try:
        with pytest.raises(WorkspaceError, match="Free some space"):
            scan(root, tmp_path / "b", 3)
    finally:
        set_failpoints("")
    assert all(gone(pid) for pid in helped)
    assert_same(scan(root, tmp_path / "a", 1), scan(root, tmp_path / "b", 1))


def test_a_few_pictures_start_no_helper(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert scan(root, tmp_path / "cache", 4).decoded


def test_a_helper_imports_no_more_than_it_needs() -> None:
    code = "import sys, curation.decoding.helper\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"pandas", "h5py", "torch", "scipy", "multiprocessing", "concurrent.futures"}


SCRIPT = """
import os, sys, threading, time
sys.path.insert(0, {here!r})
from pathlib import Path
from curation.decoding import workers as decode_workers
from curation import pixels
from curation.pixels import decode
from tests.test_pixels import records_of
decode_workers.HELPED_PICTURES = decode_workers.PICTURES_PER_HELPER = 1
decode_workers.CHUNK_PICTURES = 1
greet = decode_workers._Helper.greet
def note(self, task):
    greet(self, task)
    os.write(1, b"%d\\n" % self.process.pid)  # in one piece: helpers are started by several threads
decode_workers._Helper.greet = note
real = decode_workers.decode_chunk
decode_workers.decode_chunk = lambda *a: (time.sleep({pause}), real(*a))[1]
def run():
    found = decode(records_of(Path({root!r})), 24, Path({cache!r}), threads=3)
    print("decoded", found.decoded, flush=True)
"""


def script(root: Path, cache: Path, pause: float) -> str:
    return SCRIPT.format(here=os.fspath(ROOT), root=os.fspath(root), cache=os.fspath(cache), pause=pause)


@pytest.fixture
def plain_root(root: Path) -> Path:
    for name in os.listdir(root):
        if not name[0].isdigit():
            (root / name).unlink()
    return root


def test_a_script_without_a_main_guard_and_a_thread_may_decode(plain_root: Path, tmp_path: Path) -> None:
    code = (
        script(plain_root, tmp_path / "cache", 0.1)
        + "thread = threading.Thread(target=run)\nthread.start()\nthread.join()\n"
    )
    file = tmp_path / "script.py"
    file.write_text(code)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    *pids, last = done.stdout.splitlines()
    assert last == "decoded 40"
    assert len(pids) == 2
    assert done.stderr == ""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_helper_outlives_its_caller(plain_root: Path, tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", script(plain_root, tmp_path / "cache", 0.4) + "run()\n"]
    caller = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert caller.stdout
    pids = [int(caller.stdout.readline()) for _ in range(2)]
    if ending == signal.SIGINT:
        os.killpg(caller.pid, ending)  # Ctrl-C goes to all of them
    else:
        os.kill(caller.pid, ending)
    _, errors = caller.communicate(timeout=30)
    assert caller.returncode == -ending or (ending == signal.SIGINT and "KeyboardInterrupt" in errors), errors
    until = time.monotonic() + 10
    while not all(gone(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert all(gone(pid) for pid in pids)
