"""One line of a YOLO label file: a class number and a box, a polygon or a box with points, in shares of the picture."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

# `3 0.5 0.5 0.2 0.1`: how the first line of a label file looks
LOOKS = re.compile(r"\s*\d+(?:\.0*)?(?:\s+[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?){4,}\s*", re.I | re.ASCII)


@dataclass
class YoloLine:
    """box : x, y, width, height of the upper left corner and the sides, in shares; None with a `fault`"""

    class_id: int
    box: tuple[float, float, float, float] | None
    attributes: dict[str, str]
    fault: str = ""


def read_line(line: str, points: int = 0) -> YoloLine:
    """What a line says.

        class cx cy w h                    a box
        class cx cy w h confidence         a box as a detector writes it; kept as the attribute `confidence`
        class x1 y1 x2 y2 x3 y3 ...        a polygon (also oriented boxes); kept verbatim as the attribute `polygon`
        class cx cy w h points             kept verbatim as the attribute `keypoints`

    points : how many numbers of key points follow a box (`kpt_shape` of data.yaml), 0 = none
    """
    texts = line.split()
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return YoloLine(-1, None, {}, f"{line.strip()[:80]!r} is not a class number and at least 4 numbers")
    if len(values) < 5:
        return YoloLine(-1, None, {}, f"{len(values)} numbers, but a class and a box are 5")
    if not all(map(math.isfinite, values)) or "_" in line:
        return YoloLine(-1, None, {}, "a number in it is not finite")
    if values[0] != int(values[0]) or values[0] < 0:
        return YoloLine(-1, None, {}, f"{texts[0][:40]!r} is no class number: those are 0, 1, 2 ...")
    found = YoloLine(int(values[0]), _centred(*values[1:5]), {})
    if points and len(values) == 5 + points:
        found.attributes["keypoints"] = " ".join(texts[5:])
    elif len(values) == 6:
        found.attributes["confidence"] = texts[5]
    elif len(values) >= 7 and len(values) % 2:
        found.box = bounds(values[1:])
        found.attributes["polygon"] = " ".join(texts[1:])
    elif len(values) > 6:
        return YoloLine(-1, None, {}, f"{len(values)} numbers: a class and a polygon are 7, 9, 11 ...")
    return found


def bounds(points: list[float]) -> tuple[float, float, float, float]:
    """x, y, width, height around points x1 y1 x2 y2 ..."""
    left, top = min(points[::2]), min(points[1::2])
    return left, top, max(points[::2]) - left, max(points[1::2]) - top


def _centred(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    return x - w / 2, y - h / 2, w, h
