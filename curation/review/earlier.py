"""What was said of an item before, in words."""

from __future__ import annotations

from collections.abc import Sequence

from curation.decisions import Decision
from curation.edits import Line
from curation.explain import Label
from curation.store.earlier import Said
from curation.wording import counted

LONGEST_NOTE = 300
_EDITS_SAID = 3


def explain_earlier(said: Said, reviewer: str) -> list[str]:
    """One sentence, such as `You kept the label cat 3 minutes ago.`, in pieces as curation.explain.explain_parts.

    reviewer : who reads it
    """
    who = "You" if said.reviewer == reviewer else said.reviewer
    parts = [who, " ", *_did(said.decisions), f" {ago(said.seconds_ago)}."]
    return [*parts, f" Note: {said.comment[:LONGEST_NOTE]}"] if said.comment.strip() else parts


def explain_undone(said: Said) -> list[str]:
    """What was taken back, such as `Taken back: you changed the label cat to dog.`, in pieces."""
    several = len({one.item_id for one in said.decisions}) > 1
    did = _did_to_many(said.decisions) if several else _did(said.decisions)
    ends_in_comma = did[-1].endswith(",") and not isinstance(did[-1], Label)  # before the time, which is not said here
    return ["Taken back: you ", *did[:-1], *([did[-1][:-1]] if ends_in_comma else did[-1:]), "."]


def ago(seconds: float) -> str:
    """`just now`, `3 minutes ago`, `2 days ago`: rounded down."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return f"{counted(int(seconds // size), unit)} ago"
    return "just now"


def _did(made: Sequence[Decision]) -> list[str]:
    """What somebody did, in the past tense."""
    return _did_to_one(made[0]) if len(made) == 1 else _did_to_copies(made)


def _did_to_one(made: Decision) -> list[str]:
    given = [Label(made.given_label)] if made.given_label else []
    if made.verdict == "keep" and made.is_part:
        found = made.claims.seen or {}
        return [f"found {counted(len(found), 'annotation')} right"] if found else ["found nothing missing"]
    if made.verdict in ("keep", "hard"):
        hard = [", as hard to see,"] if made.verdict == "hard" else []
        return ["kept the label ", *given, *hard] if given else ["kept it without a label", *hard]
    if made.verdict == "relabel":
        return ["changed the label ", *given, *([" to "] if given else []), Label(made.labels[0])]
    if made.verdict == "ambiguous":
        return ["found several labels right, ", *_listed(made.labels), ","]
    if made.verdict == "exclude":
        return [f"excluded it ({made.reason})"]
    if made.verdict == "edit":
        return did_edits(made.edits)
    return [{"unsure": "could not tell", "distinct": "said that it is no copy"}.get(made.verdict, made.verdict)]


def _did_to_copies(made: Sequence[Decision]) -> list[str]:
    verdicts = {one.verdict for one in made}
    stay = [one for one in made if one.verdict in ("keep", "relabel")]
    out = [one for one in made if one.verdict == "exclude"]
    if verdicts == {"keep"}:
        return ["left all copies as they are"]
    if verdicts == {"distinct"}:
        return ["said that these are no duplicates"]
    if verdicts == {"unsure"}:
        return ["could not tell"]
    if len(out) == len(made):
        return [f"excluded all copies ({out[0].reason})"]
    if len(stay) == len(made) and len({one.outcome for one in stay}) == 1:
        return ["gave all copies the label ", Label(stay[0].outcome)]
    if len(stay) == 1 and len(out) == len(made) - 1:
        label = [" as ", Label(stay[0].outcome)] if stay[0].outcome else []
        return ["kept one copy", *label, f" and excluded {counted(len(out), 'other')}"]
    return ["decided the copies one by one"]


def _did_to_many(made: Sequence[Decision]) -> list[str]:
    """Of several items that were decided with one key."""
    many = counted(len(made), "picture")
    verdicts = {(one.verdict, one.labels, one.reason) for one in made}
    ((verdict, labels, reason), *others) = verdicts
    given = {one.given_label for one in made}
    if others:
        return [f"decided {many} with one key"]
    if verdict == "relabel":
        was = [" from ", Label(made[0].given_label)] if len(given) == 1 and made[0].given_label else []
        return [f"changed the label of {many}", *was, " to ", Label(labels[0])]
    if verdict == "edit":
        return [f"changed the annotations of {many}"]
    if verdict == "keep" and made[0].is_part:
        return [f"found annotations of {many} right"]
    if verdict in ("keep", "hard"):
        return [f"kept the labels of {many}", ", as hard to see" if verdict == "hard" else ""]
    return [f"excluded {many} ({reason})" if verdict == "exclude" else f"could not tell of {many}"]


def did_edits(edits: Sequence[Line]) -> list[str]:
    """Up to three changes of annotations, and how many more; the same one several times is said once."""
    times: dict[tuple[str, ...], int] = {}
    for line in edits:
        said = _did_line(line)
        times[said] = times.get(said, 0) + 1
    parts: list[str] = []
    for (verb, *names), count in list(times.items())[:_EDITS_SAID]:
        parts += [", "] if parts else []
        if not names:
            parts.append(verb if count == 1 else f"moved {counted(count, 'box', 'boxes')}")
            continue
        parts += [verb if count == 1 else f"{verb}{count} x ", Label(names[0])]
        parts += [" to ", Label(names[1])] if len(names) > 1 else []
    more = sum(list(times.values())[_EDITS_SAID:])
    return [*parts, f" and changed {counted(more, 'other thing')}"] if more > 0 else parts


def _did_line(line: Line) -> tuple[str, ...]:
    """What was done, in a verb, and the labels that it is about."""
    before, after = line["from"], line["to"]
    if line["change"] == "relabel":
        return "changed ", str(before), str(after)
    if line["change"] == "box":
        return ("moved a box",)
    return ("added ", str(after["label"])) if before is None else ("removed ", str(before["label"]))


def _listed(labels: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for label in labels:
        parts += [", ", Label(label)] if parts else [Label(label)]
    return parts
