"""Decode chunks side by side: in threads, and where there are many pictures, in processes.

Half of decoding a small photo is Python, during which threads wait for each other: two threads gain a quarter, two
processes nearly double. So one thread decodes here, and each of the others waits for a helper: a fresh interpreter that
imports NumPy, Pillow and our decoding, nothing else. It is started, never forked, and does not import the caller's
`__main__`: so it may be used from any thread, after CUDA, inside Streamlit, and in scripts without a main guard. Both
sides speak through pipes, in JSON and raw arrays.

A helper keeps nothing and writes nothing. Where it could not be started, or was killed, the thread that waited for it
decodes here instead; what comes out is the same, whoever computed it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from curation.decoding import BIG_PIXELS
from curation.decoding.chunks import Chunk, Job, Task, decode_chunk
from curation.decoding.helper import greeting, receive, receive_array, send, write_all
from curation.decoding.pixel_cache import INDEX_RECORD, row_record
from curation.decoding.sources import split_member

CHUNK_PICTURES, CHUNK_BYTES = 16, 2**21  # of a task: so many pictures, or as many as fill that much of the cache
HELPED_PICTURES = 512  # below this, helpers would have to go before they are up: starting takes as long as 150 pictures
PICTURES_PER_HELPER = 128
MAX_HELPERS = 31  # some 50 MB of memory each
_PIPE_BYTES = 2**20

# What a helper runs. Its path is ours, so site (-S), which takes longer than decoding ten pictures, is not needed. What
# any library prints must not get between the answers.
_BOOTSTRAP = """
import json, os, sys
sink = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
sys.path[:] = json.loads(sys.stdin.buffer.readline())
from curation.decoding.helper import serve
serve(sys.stdin.buffer, sink)
"""
_GONE = (OSError, EOFError, ValueError)  # what talking to a helper may raise


def decode_chunks(task: Task, jobs: Sequence[Job], threads: int) -> Generator[Chunk, None, None]:
    """Decode `jobs` by up to `threads` cores, a chunk at a time, in order, with a few chunks in flight."""
    count = max(1, min(CHUNK_PICTURES, CHUNK_BYTES // row_record(task.size).itemsize))
    helpers = min(threads - 1, len(jobs) // PICTURES_PER_HELPER, MAX_HELPERS) if len(jobs) >= HELPED_PICTURES else 0
    crew = _Crew(task, helpers)
    waiting: deque[Future[list[Chunk]]] = deque()
    with (
        crew,
        warnings.catch_warnings(),
        ThreadPoolExecutor(helpers + 1 if helpers else threads, "decode", crew.join) as pool,
    ):
        # Pillow warns about faults that it can live with; filters are global, so they are set here and not in threads.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            for start in range(0, len(jobs), count):
                waiting.append(pool.submit(crew.decode, jobs[start : start + count]))
                if len(waiting) > 4 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()


class _Crew:
    """The threads of one `decode_chunks`, and who of them has a helper."""

    def __init__(self, task: Task, helpers: int) -> None:
        self.task, self.helpers = task, helpers
        self.numbers = itertools.count()
        self.mine = threading.local()
        self.started: list[_Helper] = []
        self.stopped = False

    def join(self) -> None:
        """Called once in each thread: the first decodes itself, so that nobody waits until the helpers are up."""
        self.mine.helper = None
        if 0 < next(self.numbers) <= self.helpers:
            with suppress(*_GONE):
                helper = _Helper()
                self.started.append(helper)
                if self.stopped:  # `stop` may not have seen this one
                    helper.stop()
                helper.greet(self.task)
                self.mine.helper = helper

    def decode(self, jobs: Sequence[Job]) -> list[Chunk]:
        # An array file is opened once, here, and not unpacked in every process.
        if self.mine.helper is not None and not any("#" in path and split_member(path) for _, path in jobs):
            try:
                chunk: Chunk = self.mine.helper.decode(jobs)
                return [chunk, decode_chunk(self.task, chunk.left)] if chunk.left else [chunk]
            except _GONE:
                if self.stopped:
                    raise
                self.mine.helper.stop()
                self.mine.helper = None
        return [decode_chunk(self.task, jobs)]

    def stop(self) -> None:
        self.stopped = True
        for helper in list(self.started):
            helper.stop()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        """After the threads have ended: none of them reads from a pipe that is closed here."""
        self.stop()
        for helper in self.started:
            helper.to.close()
            helper.back.close()


class _Helper:
    """One process that decodes; whatever is asked of it raises one of _GONE when it is no longer there."""

    def __init__(self) -> None:
        if not sys.executable or getattr(sys, "frozen", False):  # Python inside of another program
            raise OSError
        command = [sys.executable, "-S", "-W", "ignore", "-c", _BOOTSTRAP]
        self.process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdin
        assert self.process.stdout
        self.to, self.back = self.process.stdin, self.process.stdout
        with suppress(AttributeError, OSError):  # Linux only, and within limits
            fcntl.fcntl(self.back, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def greet(self, task: Task) -> None:
        """Say what is to be done, and wait until it is up and proves to be of our kind: code may have been updated."""
        self.size = task.size
        path = [*filter(None, map(str, sys.path)), os.fspath(Path(__file__).parents[2])]
        write_all(self.to, json.dumps(path).encode() + b"\n")
        settings = {"size": task.size, "racy_seconds": task.racy_seconds, "max_pixels": BIG_PIXELS}
        send(self.to, settings | {"root": os.fspath(task.root), "valid": len(task.valid)}, b"".join(task.valid))
        if receive(self.back) != greeting():
            raise ValueError("the helper is of another version")

    def decode(self, jobs: Sequence[Job]) -> Chunk:
        send(self.to, list(jobs))
        answer = receive(self.back)
        rows = receive_array(self.back, row_record(self.size), answer["rows"])
        records = receive_array(self.back, INDEX_RECORD, answer["records"])
        states = [(row, _bytes(content), _bytes(key), reason) for row, content, key, reason in answer["states"]]
        return Chunk(states, rows, records, [(row, path) for row, path in answer["left"]])

    def stop(self) -> None:
        self.process.kill()  # it keeps nothing that could be lost
        self.process.wait()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)
