"""Thumbnails of pictures that were decoded once, also of files that are gone: the cache keeps them by content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curation.decoding import pixel_cache

_INDEX = re.compile(r"(.+)_s(\d{1,5})\.index")


def cached_thumbnails(cache: Path, contents: Sequence[str]) -> dict[str, np.ndarray]:
    """(64, 64) uint8 luma by content hash, of those pictures that the cache holds whole, at whatever size and release.

    cache : folder of curation.pixels.decode
    contents : `content_hash` of samples
    """
    wanted = {bytes.fromhex(content): content for content in contents if re.fullmatch(r"[0-9a-f]{32}", content)}
    found: dict[str, np.ndarray] = {}
    for file in sorted(cache.glob("*.index"), reverse=True):
        match = _INDEX.fullmatch(file.name)
        if match is None or not wanted:
            continue
        stem, size = cache / file.name.removesuffix(".index"), int(match[2])
        records, position = pixel_cache.read_entries(stem)
        there = [content for content in wanted if content in position]
        at = np.array([position[content] for content in there], dtype=np.int64)
        rows = pixel_cache.open_rows(stem, size)
        numbers = records["row"][at]
        wrong = pixel_cache.wrong_rows(rows, numbers, records["row_crc"][at], threads=1)
        for content, number, bad in zip(there, numbers.tolist(), wrong.tolist(), strict=True):
            if number >= 0 and not bad:
                found[wanted.pop(content)] = np.array(rows["grey"][number])
    return found
