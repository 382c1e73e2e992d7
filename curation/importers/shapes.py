"""The box around a shape: what is drawn in labelling programs and is no box is judged by the box that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curation.importers.box_tables import number

Box = tuple[float, float, float, float]


def bounds(points: Sequence[Any]) -> Box:
    """x, y, width, height around [[x, y], ...], numbers or their text.

    Raises
    ------
    ValueError : these are no points; says what is wrong.
    """
    if not isinstance(points, Sequence) or isinstance(points, str) or not points:
        raise ValueError("it has no points")
    xs, ys = [], []
    for point in points:
        if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
            raise ValueError(f"{str(point)[:60]!r} is not a point")
        xs.append(number(point[0]))
        ys.append(number(point[1]))
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def around_circle(points: Sequence[Any]) -> Box:
    """As `bounds`, of a circle that is given by its middle and a point on it."""
    bounds(points)
    if len(points) != 2:
        raise ValueError("a circle has two points")
    (x, y), (far_x, far_y) = ((number(one) for one in point) for point in points)
    radius = ((x - far_x) ** 2 + (y - far_y) ** 2) ** 0.5
    return x - radius, y - radius, 2 * radius, 2 * radius
