"""Names for files and folders that every file system takes, made from any text, no two of them twins.

Twins are names that differ only by case or Unicode form: one file on some systems.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

MAX_BYTES = 80  # of 255: room for a mark, an ending, and systems that count differently

_PLAIN = re.compile(r"[A-Za-z0-9_(][A-Za-z0-9 _.,()+=@-]*(?<![ .])")
_FORBIDDEN = frozenset('/\\:*?"<>|#%')
# Of Windows, and what an export itself has in its top folder.
_RESERVED = {"con", "prn", "aux", "nul", "readme", "curate-export"}
_RESERVED |= {f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"}


def safe_name(text: str) -> str:
    """`text` where it can be a name as it is; else what is left of it, without a promise that it is unlike others."""
    if len(text) <= MAX_BYTES and _PLAIN.fullmatch(text):
        name = text
    else:
        kept = (char if _is_harmless(char) else "-" for char in unicodedata.normalize("NFC", text[: 4 * MAX_BYTES]))
        name = _cut("".join(kept).lstrip(" .-~"), MAX_BYTES).rstrip(" .")
    if name.split(".")[0].rstrip(" ").lower() in _RESERVED:
        name = f"_{name}"
    return name or "unnamed"


def folder_names(texts: Sequence[str]) -> list[str]:
    """A folder name for each of some different texts, which are sorted: no twins, and sorted as the texts are.

    A text that can be a name is its own. One that had to be changed, or has a twin, gets six hex digits of its hash.
    Where names would then sort differently (so that torchvision would number the classes differently), or are still
    not different, all of them get their number in front.
    """
    plain = [safe_name(text) for text in texts]
    twins = Counter(map(twin_key, plain))
    names = [
        name if name == text and twins[twin_key(name)] == 1 else f"{name}-{mark_of(text)}"
        for name, text in zip(plain, texts, strict=True)
    ]
    if names == sorted(names) and len(set(map(twin_key, names))) == len(names):
        return names
    width = len(str(len(texts) - 1))
    return [f"{number:0{width}d}-{name}" for number, name in enumerate(plain)]


def file_names(
    folders: Sequence[str], names: Iterable[str], marks: Iterable[str], taken: Iterable[str] = ()
) -> list[str]:
    """`folder/name` for each file, without twins; of several with one name, all but the first get a mark.

    Parameters
    ----------
    folders : where each file is to be, "" for the top
    names : its name with ending, as it would like it
    marks : text that is different for each file (its sample_id)
    taken : paths that are no files' (folders)
    """
    used = set(map(twin_key, taken))
    found = []
    for folder, name, mark in zip(folders, names, marks, strict=True):
        prefix = f"{folder}/" if folder else ""
        stem, dot, ending = name.rpartition(".")
        path, tries = prefix + name, 0
        while (key := twin_key(path)) in used:
            path = f"{prefix}{stem}-{mark_of(mark + '+' * tries)}{dot}{ending}"
            tries += 1
        used.add(key)
        found.append(path)
    return found


def twin_key(name: str) -> str:
    """Equal for names that are the same file on a system that folds case or Unicode forms."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def mark_of(text: str) -> str:
    """Six hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def word_names(texts: Sequence[str], blank: str) -> list[str]:
    """As `folder_names`, of letters, digits and `_` only (ASCII), for splits in formats that take nothing else."""
    plain = [re.sub(r"\W+", "_", text, flags=re.ASCII)[:40].strip("_") or blank for text in texts]
    twins = Counter(map(str.lower, plain))
    names = [
        name if name == (text or blank) and twins[name.lower()] == 1 else f"{name}_{mark_of(text)}"
        for name, text in zip(plain, texts, strict=True)
    ]
    if len(set(map(str.lower, names))) == len(names):
        return names
    return [f"{name}_{number}" for number, name in enumerate(plain)]


def _is_harmless(char: str) -> bool:
    if char in _FORBIDDEN:
        return False
    kind = unicodedata.category(char)
    return char == " " or kind[0] not in "CZ"


def _cut(text: str, limit: int) -> str:
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")
