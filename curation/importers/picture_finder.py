"""From the name that an annotation file gives a picture to one that a walk has found: nothing else can be reached."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from curation.importers.listing import Listing
from curation.importers.table_paths import Finder, refusal, tidy
from curation.records import path_to_text


class PictureFinder(Finder):
    """A `Finder` for files that say where a picture is relative to somewhere that they do not say."""

    def __init__(self, listing: Listing) -> None:
        super().__init__(listing)
        self._endings: dict[str, list[str]] | None = None

    def find_below(self, name: str, folders: Sequence[str] = ("",)) -> tuple[str, str]:
        """(path, "") of the picture that a format calls `name`, or ("", why there is none).

        Looked for below each of `folders` (relative to the root), then as the only path that ends so. `..` may climb as
        long as it stays in the root. Only what the walk has found is given back, so no name can lead out of it.
        """
        for folder in folders:
            path = f"{folder}/{name}" if folder else name
            if path in self.known:
                return path, ""
        plain = name.strip().replace("\\", "/")
        why = refusal(name)
        if ".." in plain.split("/") and not refusal("/".join(part for part in plain.split("/") if part != "..")):
            for folder in folders:
                path = posixpath.normpath(f"{folder}/{plain}" if folder else plain)
                if path in self.known:
                    return path, ""
        if why:
            return "", why
        for folder in folders:
            path, why = self.find(f"{folder}/{name}" if folder else name)
            if path:
                return path, ""
        return self._find_ending(path_to_text(tidy(plain)), why)

    def _find_ending(self, name: str, why: str) -> tuple[str, str]:
        if self._endings is None:
            self._endings = {}
            for path in self.known:
                self._endings.setdefault(path.rpartition("/")[2], []).append(path)
        twins = [path for path in self._endings.get(name.rpartition("/")[2], ()) if f"/{path}".endswith(f"/{name}")]
        if len(twins) == 1:
            return twins[0], ""
        return "", f"{len(twins)} pictures have this name, in different folders" if twins else why
