"""Why a sample was flagged, as one plain sentence; what each kind of issue means; text from outside made harmless."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation import explain_boxes, explain_counts
from curation.detectors import DETECTORS
from curation.explain_words import Label as Label
from curation.explain_words import number
from curation.explain_words import percent as percent
from curation.wording import as_sentence, counted

# What the finding means for somebody who has never seen such a tool, and what to do about it. A detector without a line
# here is introduced by its title alone.
MEANINGS = {
    **explain_boxes.MEANINGS,
    **explain_counts.MEANINGS,
    "conflicting_duplicate": "The same picture, or a copy of it, is in the data set under different labels. Unless a "
    "picture may be two things at once, at least one of the labels is wrong. No model is needed to see this, which "
    "makes it the surest evidence there is: settle these first.",
    "label_error": "A model that never saw the picture, nor any copy of it, was asked what it shows, and found the "
    "given label improbable. Not every flag is an error: the picture can be hard, or show two things. The score is the "
    "estimated probability that the given label is right.",
    "wrong_label": "A model that never saw the picture, nor any copy of it, does not find the class that was given. "
    "The score is the estimated probability that it is there.",
    "missing_label": "A model that never saw the picture, nor any copy of it, finds a class in it that was not given. "
    "The score is the estimated probability that the class is not there.",
    "odd_combination": "Labels that (nearly) never stand on one picture, or one without the label that it always goes "
    "with: too seldom for chance. No model is needed to see this; a rare picture can be right all the same.",
    "split_leak": "The same picture is in two splits. What is measured on the test pictures is then partly remembered "
    "instead of learned. Remove one of the two, as a rule from the training split.",
    "exact_duplicate": "The pixels are identical, whatever the files are called and however they are compressed. "
    "Copies count double in training, and cost the time to label them twice.",
    "near_duplicate": "Resized, recompressed, slightly cropped or otherwise edited copies of one picture. They count "
    "double in training, and can leak from one split into another.",
    "outlier": "These pictures are unlike all the others: often something that does not belong in the data set (a "
    "poster among shoes), sometimes only a rare view.",
    "dark": "Hardly any light: neither a person nor a model can be sure what these show.",
    "bright": "Overexposed: neither a person nor a model can be sure what these show.",
    "blurry": "Out of focus or moved, compared with the rest of the set.",
    "low_information": "Nearly a single colour: there is little in these to learn from.",
    "grey": "Without colour in a set where most pictures have some: perhaps from another source.",
    "odd_size": "Far smaller or larger than the rest: thumbnails, or scans among photographs.",
    "odd_aspect_ratio": "Far wider or taller than the rest: banners, screenshots, bad crops.",
    "unreadable": "These files could not be read as pictures. They were left out of everything else.",
}

MAX_SHOWN = 120  # characters of a label, name or reason; longer ones are cut and say so

# Characters without a shape of their own, blanks that look like another, and what reorders its neighbours. The
# zero-width (non-)joiners stay: emoji and whole scripts need them.
_CONTROL = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_HIDDEN = re.compile(
    "[\x80-\xa0\xad\u061c\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_EDGE_BLANKS = re.compile("^ +| +$")


def visible(text: str, limit: int = MAX_SHOWN, mark_blanks: bool = True) -> str:
    """`text` with everything invisible shown: safe in a terminal, not yet escaped for HTML.

    Control characters become symbols; reordering ones, odd blanks and lone surrogates (bytes of a name that is not
    UTF-8) become their number, ⟨U+202E⟩; blanks at either end become ␣, so that "cat" and "cat " look different.
    """
    cut = text[:limit]
    if mark_blanks:
        cut = _EDGE_BLANKS.sub(lambda blanks: "␣" * len(blanks[0]), cut)
    cut = _HIDDEN.sub(lambda hidden: f"⟨U+{ord(hidden[0]):04X}⟩", cut.translate(_CONTROL))
    return cut if len(text) <= limit else f"{cut}… ({len(text):,} characters)"


def title_of(issue: str) -> str:
    """A few words for people, from the detector's own record; the name itself for an issue nobody has registered."""
    if issue in DETECTORS:
        return DETECTORS[issue].title
    return _OTHER_TITLES.get(issue, issue.replace("_", " "))


# Of what no detector finds.
_OTHER_TITLES = {"import_conflict": "changed on both sides", "disagreement": "reviewers disagree"}


def read_evidence(row: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence of an issue row as a dictionary; empty where it is none."""
    try:
        evidence = json.loads(row["evidence"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return evidence if isinstance(evidence, dict) else {}


def explain(row: Mapping[str, Any]) -> str:
    """Why one sample was flagged, one plain sentence; labels in quotes, invisible characters shown.

    row : one row of the issue table, as a mapping (a dict or a pandas Series)
    """
    return explain_pieces(explain_parts(row))


def explain_pieces(pieces: Sequence[str]) -> str:
    """The pieces of a sentence as one safe sentence, class names in quotes."""
    return "".join(f"“{visible(part)}”" if isinstance(part, Label) else visible(part, 500, False) for part in pieces)


def explain_parts(row: Mapping[str, Any], place: bool = True) -> list[str]:
    """The same sentence in pieces, class names as `Label`; nothing is made harmless yet.

    place : whether it says which box it is about; not where that is seen
    """
    evidence = read_evidence(row)
    return [*(_box_place(row, evidence) if place else []), *_explain_finding(row, evidence)]


def box_of(evidence: Mapping[str, Any]) -> list[float]:
    """x, y, w, h of the box that a finding is about, in pixels of the upright picture; [] where it is about none."""
    box = evidence.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        return []
    return [float(value) for value in box]


def _box_place(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    """Which box a finding is about, with the number by which `curate decide` knows it; nothing if it is about none."""
    box = box_of(evidence)
    if not box:
        return []
    x, y, w, h = box
    number = str(row.get("annotation_id", "")).removeprefix(f"{row.get('sample_id', '')}-")
    named = f" {number}" if number.isdecimal() else ""
    return [f"Box{named} at {x:.0f}, {y:.0f} ({w:.0f} × {h:.0f} px): "]


def _explain_finding(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    issue = str(row["issue"])
    try:
        if issue in _SENTENCES:
            return _SENTENCES[issue](row, evidence)
        if "twin" in evidence:
            return _twin(row, evidence)
        if "value" in evidence and "threshold" in evidence:
            return _measured(row, evidence)
        if "reason" in evidence:
            return [as_sentence(str(evidence["reason"]))]
    except (KeyError, TypeError, ValueError, IndexError):
        pass  # evidence of an older or a foreign detector: say less rather than nothing
    return [f"Found to be {title_of(issue)}; score {float(row['score']):.2f} (0 is worst)."]


def explain_case(row: Mapping[str, Any]) -> list[str]:
    """For copies that are shown side by side: what they are to each other, in pieces as `explain_parts`."""
    evidence = read_evidence(row)
    kind = str(evidence.get("kind") or "")
    if kind == "exact":
        parts = ["Identical pixels"]
    elif kind == "cluster":
        parts = ["Joined by a chain of copies"]
    else:
        parts = [f"Copies of one picture ({kind})" if kind not in ("", "near") else "Changed copies of one picture"]
    given, twin_label = str(row["given_label"]), str(evidence.get("twin_label", ""))
    if evidence.get("differs"):
        return [*parts, ", labelled differently: only one has ", *_listed(evidence["differs"]), "."]
    if given != twin_label and given and twin_label:
        parts += [", labelled ", Label(given), " and ", Label(twin_label)]
    if evidence.get("split") and evidence.get("split") != evidence.get("twin_split"):
        parts += [", in the splits ", Label(evidence["split"]), " and ", Label(evidence["twin_split"])]
    favoured = _FAVOURED.get(str(evidence.get("favoured_by")))
    return [*parts, "; ", favoured, Label(row["suggestion"]), "."] if favoured and row["suggestion"] else [*parts, "."]


# --- conflicts ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One side of a conflict: what it is called, who changed the sample there last, when (ISO 8601); "" = unknown."""

    name: str
    who: str = ""
    when: str = ""

    @property
    def words(self) -> str:
        """`ann, 2026-03-01`, or what of it is known."""
        return ", ".join(part for part in (self.who, self.when[:10]) if part) or self.name


@dataclass(frozen=True)
class Conflict:
    """Something that two sides changed to different values: a review and the source, or two branches.

    field : label, split, path, group, status, box, picture, sample, annotation, or attributes.KEY
    base, here, there : what it was, what the data set has now, and what the other side wants, as a change line has it
    wanted : the other side's label, "" where it is about something else
    merged : of two branches; found : when it was noticed (ISO 8601)
    """

    field: str
    base: Any
    here: Any
    there: Any
    wanted: str
    ours: Side
    theirs: Side
    merged: bool
    found: str


def explain_conflict(conflict: Conflict) -> list[str]:
    """What each side says, who and when, in pieces as `explain_parts`."""
    ours, theirs = conflict.ours, conflict.theirs
    if conflict.field == "picture":
        return ["The file was changed after the review, and may show something else now: please look again."]
    is_label = conflict.field == "label"
    here, there = _value(conflict.here), _value(conflict.there)
    if conflict.merged:
        parts = ["Two branches disagree: ", f"{ours.name} says ", *here, _by(ours), f", {theirs.name} says "]
        parts += [*there, _by(theirs)]
    else:
        parts = ["Reviewed as " if is_label else "After the review it is ", *here, _by(ours), "; the source says "]
        parts += [*there, f" since it was imported again ({conflict.found[:10]})"]
    if not is_label:
        parts.insert(0, f"{_FIELDS.get(conflict.field, conflict.field)}. ")
    if conflict.base is not None:
        parts += [". Before, it was ", *_value(conflict.base)]
    parts.append("." if is_label else ". That stays as it is here; a look at the label settles the conflict.")
    return [part for part in parts if part]


def _by(side: Side) -> str:
    return f" ({side.words})" if side.who or side.when else ""


_FIELDS = {
    "path": "File name",
    "split": "Split",
    "group": "Group",
    "status": "Whether it is used",
    "box": "Box",
    "sample": "Whether the picture belongs to the data set",
    "annotation": "Whether the picture has this label",
    "count": "How many of this class there are",
}


def _value(value: Any) -> list[str]:
    """A side's value in pieces: labels as `Label`, other things in words."""
    if value is None:
        return ["nothing"]
    if isinstance(value, str):
        return [Label(value)] if value != "present" else ["present"]
    if not isinstance(value, dict):
        return [Label(json.dumps(value, ensure_ascii=False))]
    if "status" in value:
        reason = f" ({value['reason']})" if value.get("reason") else ""
        return ["usable" if value["status"] == "ok" else f"{value['status']}{reason}"]
    if "count" in value:
        return [f"{value['count']} x ", Label(value.get("label", ""))]
    several = value.get("curate:labels")
    labels = several if isinstance(several, list) and several else [value.get("label", "")]
    parts: list[str] = []
    for label in labels:
        parts += [" or ", Label(label)] if parts else [Label(label)]
    return [*parts, *([", hard to see"] if value.get("curate:hard") else [])]


# --- findings ----------------------------------------------------------------------------------------------------


def _label_error(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    given, p_given = Label(row["given_label"]), float(evidence["p_given"])
    best, p_best = Label(evidence["top3"][0][0]), float(evidence["top3"][0][1])
    if evidence.get("judged") is False:
        return ["Labelled ", given, ", a class that no model could learn without this picture: look for yourself."]
    if best == given:
        parts = ["Labelled ", given, f", to which the model gives {percent(p_given)}"]
        parts.append(", but it was hard to learn in training" if row["is_issue"] else ": nothing speaks against it")
    else:
        parts = ["Labelled ", given, f", to which the model gives {percent(p_given)}; it sees "]
        parts += [best, f" with {percent(p_best)}"]
    return [*parts, *_neighbours(given, evidence.get("neighbours") or []), "."]


def _set_label(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    """A label that was given, or was not, among several of a picture."""
    given = bool(row["given_label"])
    parts = ["Labelled " if given else "Not labelled ", Label(evidence["class"])]
    if evidence.get("judged") is False or evidence.get("p_there") is None:
        return [*parts, ", a class that no model could learn without this picture: look for yourself."]
    parts.append(f", to which the model gives {percent(float(evidence['p_there']))}")
    if evidence.get("neighbours"):
        parts.append(f"; {evidence['neighbours_with']} of its {evidence['neighbours']} nearest pictures have it")
    others = [name for name in evidence.get("labels") or [] if name != evidence["class"]]
    parts += ["; beside ", *_listed(others)] if others else ["; without any other label"]
    if evidence.get("combination"):
        parts += ["; ", *_together(evidence["class"], evidence["combination"])]
    return [*parts, "."]


def _odd_combination(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    return ["Labelled ", *_listed(evidence["labels"]), "; ", *_together(evidence["class"], evidence), "."]


def _together(name: str, facts: Mapping[str, Any]) -> list[str]:
    """Why one class is odd beside, or without, another one."""
    first, second = Label(name), Label(facts["other"])
    if facts["kind"] == "missing":
        first, second = second, first
    words = [first, " and ", second, " are"] if facts["kind"] == "never" else [first, " is without ", second]
    pictures, expected = int(facts["pictures"]), float(facts["expected"])
    in_few = f" in {counted(pictures, 'picture')} only, where chance would give {number(expected)}"
    return [*words, f"{' together' if facts['kind'] == 'never' else ''}{in_few}"]


def _listed(labels: Sequence[str]) -> list[str]:
    """Some of the labels of a picture, in pieces."""
    parts: list[str] = []
    for label in labels[:_NAMED_LABELS]:
        parts += [", ", Label(label)] if parts else [Label(label)]
    more = len(labels) - _NAMED_LABELS
    return [*parts, f" and {more} more"] if more > 0 else parts


def _neighbours(given: str, neighbours: Sequence[Sequence[Any]]) -> list[str]:
    if not neighbours:
        return []
    labels = [str(neighbour[1]) for neighbour in neighbours]
    most = max(sorted(set(labels)), key=labels.count)
    if labels.count(most) == 1 < len(labels):
        return [f"; its {len(labels)} nearest neighbours all have different labels"]
    how_many = "all" if labels.count(most) == len(labels) else str(labels.count(most))
    of = f"{how_many} of its {len(labels)} nearest neighbours" if len(labels) > 1 else "its nearest neighbour"
    return [
        f"; {of} {'are' if len(labels) > 1 else 'is'} labelled ",
        *(["the same"] if most == given else [Label(most)]),
    ]


def _conflict(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    if "differs" in evidence:
        here, there = ([_listed(evidence[key]) or ["nothing"]] for key in ("labels", "twin_labels"))
        return ["Labelled ", *here[0], f", while {_other_copy(evidence)} is labelled ", *there[0], "."]
    parts = ["Labelled ", Label(row["given_label"]), f", while {_other_copy(evidence)} is labelled "]
    parts.append(Label(evidence["twin_label"]))
    favoured = _FAVOURED.get(str(evidence.get("favoured_by")))
    return [*parts, "; ", favoured, Label(row["suggestion"]), "."] if favoured and row["suggestion"] else [*parts, "."]


def _leak(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    here, there = evidence.get("split"), evidence["twin_split"]
    parts = [*_copy_of(evidence), " in the split ", Label(there)]
    return [*parts, ", while this one is in ", Label(here), "."] if here else [*parts, "."]


def _twin(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    more = int(evidence.get("member_count") or 2) - 2
    parts = [*_copy_of(evidence), " labelled ", Label(evidence["twin_label"])] if evidence.get("twin_label") else [
        *_copy_of(evidence), " without a label"]  # fmt: skip
    parts.append(f", and of {more} more" if more > 0 else "")
    return [*parts, _advice(row, evidence), "."]


def _advice(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    """Which copy is worth keeping. Nothing where labels differ: which one is right then has its say, see keeping.py."""
    twin_label = str(evidence.get("twin_label") or "")
    if not evidence.get("keep") or (twin_label and row["given_label"] and twin_label != row["given_label"]):
        return ""
    if row["suggestion"] != "exclude":
        return "; this is the one to keep"
    return f"; {'that' if evidence['keep'] == evidence.get('twin') else 'another copy'} is the one to keep"


def _other_copy(evidence: Mapping[str, Any]) -> str:
    kind = str(evidence.get("kind") or "")
    if kind == "exact":
        return "a picture with identical pixels"
    if kind == "cluster":
        return "a picture joined to it by a chain of copies"
    return f"a changed copy ({visible(kind)})" if kind not in ("", "near") else "a changed copy"


def _copy_of(evidence: Mapping[str, Any]) -> list[str]:
    kind = str(evidence.get("kind") or "")
    if kind == "exact":
        return ["The pixels are identical to those of a picture"]
    if kind == "cluster":
        return ["Joined by a chain of copies to a picture"]
    return [
        f"A changed copy ({visible(kind)}) of a picture" if kind not in ("", "near") else "A changed copy of a picture"
    ]


def _outlier(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    times = float(evidence["distance"]) / max(float(evidence["usual_distance"]), 1e-9)
    how = ", by plain appearance" if evidence.get("by") == "appearance" else ""
    what = "boxes" if box_of(evidence) else "pictures"
    return [f"Its nearest {what} are {times:.1f} times as far away as is usual in this set{how}."]


def _unreadable(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    return [as_sentence(str(evidence["reason"]))]


def _measured(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    value, threshold = float(evidence["value"]), float(evidence["threshold"])
    measured = str(evidence.get("measured") or "measurement")
    side = "below" if value < threshold else "above"
    if measured not in _MEASUREMENTS:
        return [as_sentence(f"{measured.replace('_', ' ')} {number(value)} is {side} the limit of {number(threshold)}")]
    what, scale = _MEASUREMENTS[measured]
    return [f"{what} {number(value)}{scale}, {side} the limit of {number(threshold)}."]


# What the columns of curation.pixels are called for people, and the scale or unit of the value.
_BRIGHTNESS = " (0 is black, 1 is white)"
_MEASUREMENTS = {
    "brightness_p99": ("Even its lightest parts have a brightness of only", _BRIGHTNESS),
    "brightness_p05": ("Even its darkest parts have a brightness of", _BRIGHTNESS),
    "entropy_bits": ("It holds information of", " bits per pixel (0 to 8)"),
    "saturation": ("Its most colourful parts have a saturation of", " (0 is grey, 1 is a pure colour)"),
    "sharpness": ("Its sharpness is", ""),
    "side_px": ("Its side length is", " pixels"),
    "aspect_ratio": ("Its width is", " times its height"),
}
_NAMED_LABELS = 5
_FAVOURED = {"model": "the model favours ", "majority": "most copies say "}
_SENTENCES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]] = {
    **explain_boxes.SENTENCES,
    **explain_counts.SENTENCES,
    "label_error": _label_error,
    "wrong_label": _set_label,
    "missing_label": _set_label,
    "odd_combination": _odd_combination,
    "conflicting_duplicate": _conflict,
    "split_leak": _leak,
    "outlier": _outlier,
    "unreadable": _unreadable,
}
