"""The process that decodes for `curation.decoding.workers`, and how the two speak: lengths, JSON and raw arrays.

It imports as little as it can: a helper that is up sooner decodes more.
"""

from __future__ import annotations

import gc
import json
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from curation.decoding.chunks import Task, decode_chunk, decoder_tag
from curation.decoding.pixel_cache import INDEX_RECORD

_LENGTH = struct.Struct("<Q")
_MAX_LENGTH = 2**26  # of a head; more is no length, but the chatter of some other program


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """The helper's side: decode what comes in, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who then stops us
    gc.freeze()  # what was imported stays, and need not be looked through again and again
    settings = receive(source)
    valid = _exactly(source, 16 * settings.pop("valid"))
    known = frozenset(bytes(valid[at : at + 16]) for at in range(0, len(valid), 16))
    task = Task(Path(settings.pop("root")), valid=known, **settings)
    send(sink, greeting())
    with suppress(EOFError, BrokenPipeError):
        while True:
            chunk = decode_chunk(task, [(row, path) for row, path in receive(source)])
            states = [(row, _hex(content), _hex(key), reason) for row, content, key, reason in chunk.states]
            head = {"states": states, "left": chunk.left, "rows": len(chunk.rows), "records": len(chunk.records)}
            send(sink, head, chunk.rows, chunk.records)


def greeting() -> list[str]:
    return [decoder_tag(), repr(INDEX_RECORD.descr)]


def send(stream: IO[bytes], head: Any, *bodies: bytes | np.ndarray) -> None:
    """Length of the head, head as JSON, bodies as they are."""
    text = json.dumps(head).encode()
    write_all(stream, _LENGTH.pack(len(text)) + text)
    for body in bodies:
        write_all(stream, body if isinstance(body, bytes) else body.tobytes())
    stream.flush()


def write_all(stream: IO[bytes], data: bytes) -> None:
    """All of it: a pipe may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def receive(stream: IO[bytes]) -> Any:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _MAX_LENGTH:
        raise ValueError("not the answer of a helper")
    return json.loads(_exactly(stream, length))


def receive_array(stream: IO[bytes], record: np.dtype, count: int) -> np.ndarray:
    return np.frombuffer(_exactly(stream, count * record.itemsize), record)


def _exactly(stream: IO[bytes], count: int) -> bytearray:
    """So many bytes; EOFError where the other side ended before."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = stream.readinto(view)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        view = view[got:]
    return data


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
