"""Findings about boxes: what each kind means, and one plain sentence for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from curation.explain_words import Label, number, percent
from curation.wording import counted

MEANINGS = {
    "conflicting_boxes": "The same picture is in the data set twice, with other boxes: in one of the two something was "
    "forgotten or drawn twice. No model is needed to see this.",
    "conflicting_crops": "Boxes of two pictures that look the same have two labels: the same object in two frames or "
    "shots, or two that cannot be told apart. One of the labels is wrong, mostly the one that the model believes less.",
    "box_geometry": "Boxes that cannot be right whatever they hold: without area, outside of their picture, or "
    "reaching beyond it. Training code crashes on some of these, and quietly skips others.",
    "duplicate_box": "Two boxes in the same place, closer than objects of this set usually are. As a rule one object "
    "was labelled twice; the one whose label the model believes less is named.",
    "box_outlier": "Boxes of a size, shape or place far from what is usual for their class: slips of the mouse, boxes "
    "around several objects at once, another class, or a rare view.",
    "box_count": "Far more or fewer boxes of a class than pictures of this set usually have: objects may have been "
    "forgotten, or drawn twice.",
    "no_box": "Pictures without a single box in a set where nearly all have some: background on purpose, or forgotten.",
    "missing_box": "A detector that did not see the picture is sure of an object where no box is; the proposed box "
    "is its own.",
    "spurious_box": "A detector that did not see the picture finds nothing in the place of these boxes, though it "
    "finds most boxes of their class.",
    "badly_located_box": "A detector that did not see the picture puts the same class close by, with other edges.",
    "swapped_box": "A detector that did not see the picture is sure of another class in the place of these boxes.",
}

_NAMED_COUNTS = 3
_BOX_MEASUREMENTS = {
    "size": ("as a share of the picture's, its sides measure", "%"),
    "aspect_ratio": ("its width over its height is", ""),
    "place_x": ("its middle, from the left, lies at", "%"),
    "place_y": ("its middle, from the top, lies at", "%"),
}
_TWINS = {"exact": "A picture with identical pixels"}


def _conflicting_boxes(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    parts = [f"{_TWINS.get(str(evidence.get('kind')), 'A changed copy')} has "]
    for place, (label, here, there) in enumerate(evidence["counts"][:_NAMED_COUNTS]):
        parts += [", " if place else "", f"{counted(int(there), 'box', 'boxes')} of ", Label(label), f" (here {here})"]
    return [*parts, "."]


def _conflicting_crops(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    twin = "A box with the same pixels" if evidence.get("kind") == "exact" else "A box that looks the same"
    labelled = [" in another picture is labelled ", Label(evidence["other_label"])]
    return [twin, *labelled, "; this one ", Label(row["given_label"]), "."]


def _duplicate_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    shares = percent(float(evidence["value"]))
    parts = ["Labelled ", Label(row["given_label"]), f", it overlaps by {shares} with a box labelled "]
    parts.append(Label(evidence["other_label"]))
    if evidence.get("habit"):
        return [*parts, "; boxes of these two classes often lie on each other in this set."]
    return [*parts, f"; more than {percent(float(evidence['threshold']))} is unusual here."]


def _box_geometry(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    problem, (width, height) = evidence["problem"], evidence["picture"]
    labelled = ["Labelled ", Label(row["given_label"]), ", it "]
    if problem == "no area":
        return [*labelled, "has no area."]
    if problem == "hardly a line":
        return [*labelled, f"is only {number(float(evidence['value']))} pixels across."]
    if problem == "outside of the picture":
        return [*labelled, f"lies outside of the picture ({width} × {height} px)."]
    beyond = number(float(evidence["value"]))
    return [*labelled, f"reaches {beyond} pixels beyond the picture ({width} × {height} px)."]


def _box_outlier(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    value, usual = float(evidence["value"]), float(evidence["usual"])
    what, unit = _BOX_MEASUREMENTS[evidence["measured"]]
    shown = [f"{100 * number:.0f} %" if unit == "%" else f"{number:.2f}{unit}" for number in (value, usual)]
    return ["Labelled ", Label(row["given_label"]), f": {what} {shown[0]}; {shown[1]} is usual for the class."]


def _box_count(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    usual = number(float(evidence["usual"]))
    return [f"{counted(int(evidence['value']), 'box', 'boxes')} of ", Label(evidence["class"]), f"; {usual} is usual."]


def _missing_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    x, y, w, h = (float(value) for value in evidence["proposed"])
    parts = [
        "A detector sees ",
        Label(row["suggestion"]),
        f" at {x:.0f}, {y:.0f} ({w:.0f} × {h:.0f} px), where no box is;",
    ]
    return [*parts, f" it is right in {percent(float(evidence['value']))} of such cases."]


def _spurious_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    return ["Labelled ", Label(row["given_label"]), ", but a detector sees hardly anything in its place."]


def _badly_located_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    value, usual = (percent(float(evidence[name])) for name in ("value", "usual"))
    return [
        "Labelled ",
        Label(row["given_label"]),
        f", it overlaps with what a detector sees there by {value}; {usual} is usual.",
    ]


def _swapped_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    other = [Label(row["suggestion"])] if row["suggestion"] else ["another class"]
    return ["Labelled ", Label(row["given_label"]), ", while a detector is sure of ", *other, " there."]


def _no_box(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    return [f"It has no box, as {percent(float(evidence['value']))} of the pictures."]


SENTENCES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]] = {
    "conflicting_boxes": _conflicting_boxes,
    "conflicting_crops": _conflicting_crops,
    "box_geometry": _box_geometry,
    "duplicate_box": _duplicate_box,
    "box_outlier": _box_outlier,
    "box_count": _box_count,
    "no_box": _no_box,
    "missing_box": _missing_box,
    "spurious_box": _spurious_box,
    "badly_located_box": _badly_located_box,
    "swapped_box": _swapped_box,
}
