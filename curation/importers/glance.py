"""One short look at a source, for all importers to say whether it is theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from curation.importers.listing import clutter, is_image_name

DEPTH = 4  # levels of folders
MOST = 20_000  # entries that are looked at: a folder of ten million pictures must not be read to learn its format
_HEAD = 65536


@dataclass
class Glance:
    """What is there at first sight.

    root : a real folder, or a file
    files : what is no picture by name, relative paths joined by "/", near ones first; for a file its own name
    folders : relative paths
    pictures : how many names of pictures were seen
    """

    root: Path
    is_file: bool = False
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    pictures: int = 0

    def ending(self, *endings: str) -> list[str]:
        """The files whose names end so, in any case."""
        return [name for name in self.files if name.lower().endswith(endings)]

    def head(self, name: str, size: int = _HEAD) -> str:
        """The first bytes of one of `files` as text, "" where it cannot be read; what is not UTF-8 is replaced."""
        return self._read(name, 0, size)

    def tail(self, name: str, size: int = _HEAD) -> str:
        """The last bytes of one of `files`, as `head`."""
        return self._read(name, -size, size)

    def _read(self, name: str, start: int, size: int) -> str:
        path = self.root if self.is_file else self.root / name
        try:
            if not os.path.isfile(path) or (os.path.islink(path) and not self.is_file):
                return ""
            with open(path, "rb") as stream:
                if start < 0:
                    stream.seek(max(0, os.fstat(stream.fileno()).st_size + start))
                return stream.read(size).decode("utf-8", "replace")
        except OSError:
            return ""


def glance(path: Path) -> Glance:
    """Look at a folder, breadth first, or at a file. What cannot be read is passed over: the importer will say so."""
    if not os.path.isdir(path):
        return Glance(path, True, [path.name])
    seen = Glance(path)
    level, looked = [""], 0
    for _ in range(DEPTH + 1):
        below: list[str] = []
        for folder in level:
            prefix = f"{folder}/" if folder else ""
            try:
                with os.scandir(path / folder) as entries:
                    for entry in entries:
                        looked += 1
                        if looked > MOST:
                            break
                        if clutter(entry.name):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            below.append(prefix + entry.name)
                        elif is_image_name(entry.name):
                            seen.pictures += 1
                        else:
                            seen.files.append(prefix + entry.name)
            except OSError:
                continue
        seen.folders += sorted(below)
        level = sorted(below)
    seen.files.sort(key=lambda name: (name.count("/"), name))
    return seen
