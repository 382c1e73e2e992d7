"""What a reviewer's verdict is, and what the verdicts on one item amount to. Pure: no database, no clock, no files.

A decision is about one sample. An action is one key press: one decision, or several that belong together (all members
of a duplicates case, all pictures of a grid). An item is what is decided at once: a sample, or a case of duplicates.

Where pictures have several labels, or boxes, a decision is about all of them: `keep` and `hard` say that what was
`seen` is right as it is, `edit` says what to change (curation.edits), and reviewers are compared annotation by
annotation (curation.agreement). Who has seen a part of the annotations has not decided the picture, which `waits` for a
look at the whole. Where every picture has one label, a decision is about that label.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from curation.agreement import Claims, Held, supports, vote
from curation.edits import Line, check_edits, labels_of
from curation.errors import SettingsError
from curation.seen import WAITS, read_absent, read_part, read_seen

# keep       the given label is right
# hard       it is right, but hard to see
# relabel    it is wrong; labels = (the right one,)
# edit       some of several labels or boxes are wrong; edits = what to change
# ambiguous  several labels are right; labels = two or more, the best first
# exclude    the picture does not belong in the data set; reason says why
# distinct   the members of a case are not duplicates of one another
# unsure     somebody else shall look
VERDICTS = ("keep", "hard", "relabel", "edit", "ambiguous", "exclude", "distinct", "unsure")
CHANGES = ("relabel", "edit", "ambiguous", "exclude")  # what was found was right, and something is different now
REASONS = ("off-topic", "broken", "duplicate")
UNDO = "undo"  # the verdict of the row that takes an action back

STATES = ("open", "second", "disagreement", "done")

LONGEST_LABEL = 1_000  # characters
LONGEST_NAME = 100
LONGEST_DATASET = 255  # with the other keys, this still fits into a row of PostgreSQL's indexes
LONGEST_COMMENT = 10_000
LONGEST_SEEN = 1_000_000
MOST_DECISIONS = 100_000  # in one action


@dataclass(frozen=True)
class Decision:
    """One verdict on one sample.

    labels : one for `relabel`, two or more for `ambiguous`, none otherwise
    reason : one of REASONS for `exclude`, "" otherwise
    given_label : the label that the reviewer saw; "" = whatever the store has, or none
    suggestion : what the model said, whether it was shown or hidden
    edits : of `edit`, the change lines; see curation.edits
    seen : curation.seen.seen_text of the picture's annotations; "" where the decision is about the one label
    """

    item_id: str
    sample_id: str
    verdict: str
    labels: tuple[str, ...] = ()
    reason: str = ""
    annotation_id: str = ""
    given_label: str = ""
    suggestion: str = ""
    edits: tuple[Line, ...] = field(default=(), hash=False)
    seen: str = ""

    @property
    def about_annotations(self) -> bool:
        """Whether this is about all annotations of the picture, which are compared one by one."""
        return self.verdict == "edit" or (bool(self.seen) and self.verdict in ("keep", "hard"))

    @property
    def claims(self) -> Claims:
        """What this says of the annotations of the picture."""
        seen = read_seen(self.sample_id, self.seen) if self.seen else None
        whole, hard = self.verdict in ("keep", "hard"), self.verdict == "hard"
        return Claims(self.edits, seen, whole, hard, self.is_part, read_absent(self.seen))

    @property
    def is_part(self) -> bool:
        """Whether this says nothing of the annotations that were not seen."""
        return bool(read_part(self.seen))

    @property
    def waits(self) -> bool:
        """Whether the picture still waits for somebody who looks at all of it."""
        return read_part(self.seen) == WAITS

    @property
    def new_labels(self) -> tuple[str, ...]:
        """All labels that this gives."""
        return (*self.labels, *labels_of(self.edits))

    @property
    def about_sample(self) -> bool:
        """Whether this says something about the sample, not only about the case that it is a member of."""
        return self.item_id == self.sample_id or self.verdict not in ("distinct", "unsure")

    @property
    def outcome(self) -> str:
        """The label that the sample has when this decision is applied."""
        return self.labels[0] if self.labels else self.given_label


@dataclass(frozen=True)
class Action:
    """One key press; `action_id` is made by the client, so that sending it twice records it once.

    seconds : time spent on it
    undoes : action_id of the action that this one takes back, "" for a decision
    session : the tab or process that it comes from, whose leases it ends
    """

    action_id: str
    dataset: str
    reviewer: str
    decisions: tuple[Decision, ...]
    seconds: float = 0.0
    run_id: str = ""
    manifest_version: str = ""
    suggestion_shown: bool = True
    comment: str = ""
    undoes: str = ""
    session: str = ""


def check_action(action: Action, known_labels: Collection[str] | None) -> Action:
    """The action, ready to be recorded; a `relabel` to the label that was given, or an `edit` of nothing, is a `keep`.

    Parameters
    ----------
    known_labels : the labels that the data set has (a set, if there are many); None: new ones are allowed

    Raises
    ------
    SettingsError : what about it cannot be recorded.
    """
    check_name("The reviewer's name", action.reviewer, LONGEST_NAME)
    check_name("The name of the data set", action.dataset, LONGEST_DATASET)
    check_name("The action's id", action.action_id, LONGEST_NAME)
    if not math.isfinite(action.seconds) or action.seconds < 0:
        raise SettingsError(f"A decision cannot take {action.seconds} seconds.")
    if len(action.comment) > LONGEST_COMMENT or any("\ud800" <= char <= "\udfff" for char in action.comment):
        raise SettingsError(f"The comment is no text, or has more than {LONGEST_COMMENT:,} characters.")
    if action.undoes:
        raise SettingsError("An action is taken back with `undo`, not recorded as a decision.")
    if not 0 < len(action.decisions) <= MOST_DECISIONS:
        raise SettingsError(f"An action has 1 to {MOST_DECISIONS:,} decisions, not {len(action.decisions):,}.")
    if len({(decision.item_id, decision.sample_id) for decision in action.decisions}) < len(action.decisions):
        raise SettingsError("An action has two decisions on the same sample.")
    return replace(action, decisions=tuple(check_decision(decision, known_labels) for decision in action.decisions))


def check_decision(decision: Decision, known_labels: Collection[str] | None) -> Decision:
    """One decision of `check_action`.

    Raises
    ------
    SettingsError : unknown verdict, labels, reason or edits that do not go with it, a label that cannot be one.
    """
    verdict, labels = decision.verdict, decision.labels
    if verdict not in VERDICTS:
        raise SettingsError(f"There is no verdict '{verdict}'. There are: {', '.join(VERDICTS)}.")
    if not decision.item_id or not decision.sample_id:
        raise SettingsError("A decision needs the sample that it is about.")
    if verdict == "distinct" and decision.item_id == decision.sample_id:
        raise SettingsError("'distinct' is said of the members of a duplicates case, not of one picture.")
    if (decision.reason in REASONS) != (verdict == "exclude") or (decision.reason and verdict != "exclude"):
        raise SettingsError(f"'exclude', and nothing else, needs a reason: {', '.join(REASONS)}.")
    for label in labels:
        check_label(label, known_labels)
    if verdict == "relabel" and len(labels) != 1:
        raise SettingsError(f"'relabel' needs one new label, not {len(labels)}.")
    if verdict == "ambiguous" and (len(labels) < 2 or len(set(labels)) < len(labels)):
        raise SettingsError("'ambiguous' needs two or more different labels.")
    if labels and verdict not in ("relabel", "ambiguous"):
        raise SettingsError(f"'{verdict}' takes no label.")
    if len(decision.seen) > LONGEST_SEEN:
        raise SettingsError(f"What was seen takes {len(decision.seen):,} characters; {LONGEST_SEEN:,} are the most.")
    if bool(decision.edits) != (verdict == "edit"):
        raise SettingsError("'edit', and nothing else, needs changes.")
    if verdict == "edit":
        lines = check_edits(decision.sample_id, decision.edits, partial(check_label, known_labels=known_labels))
        if not lines and not decision.seen:
            raise SettingsError("The edit changes nothing; to keep what there is, say `keep`.")
        return replace(decision, edits=lines, verdict="edit" if lines else "keep")
    if verdict == "relabel" and decision.given_label == labels[0]:
        return replace(decision, verdict="keep", labels=())
    return decision


def check_label(label: str, known_labels: Collection[str] | None) -> None:
    """Refuse what is no label; a label that the data set has already is one, whatever it looks like.

    Raises
    ------
    SettingsError : empty, blank, too long, with control characters, or not known.
    """
    if known_labels is not None:
        if label not in known_labels:
            raise SettingsError(f"The data set has no label '{label[:100]}'.")
        return
    if not label.strip():
        raise SettingsError("A label cannot be empty.")
    if len(label) > LONGEST_LABEL:
        raise SettingsError(f"A label has {len(label):,} characters; {LONGEST_LABEL:,} are the most.")
    if _has_controls(label):
        raise SettingsError(f"The label {label[:100]!r} has control characters in it.")


def check_name(what: str, name: str, longest: int) -> None:
    """Refuse a name that is empty, too long, or has blanks around it or control characters in it.

    Raises
    ------
    SettingsError : says `what` it is the name of.
    """
    if not name or name != name.strip():
        raise SettingsError(f"{what} is empty, or has blanks around it: {name[:LONGEST_NAME]!r}.")
    if len(name) > longest:
        raise SettingsError(f"{what} has {len(name):,} characters; {longest:,} are the most.")
    if _has_controls(name):
        raise SettingsError(f"{what} has control characters in it: {name!r}.")


def _has_controls(text: str) -> bool:
    """Whether there are control characters, line separators, or halves of characters that have no UTF-8 form."""
    return not text.isprintable() and any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


# --- ids -----------------------------------------------------------------------------------------------------------


def case_id(members: Iterable[str]) -> str:
    """The item_id of a duplicates case: `d` and 16 hex digits of its members' sample ids, in whatever order."""
    text = "\n".join(sorted(members))
    return "d" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def lot(purpose: str, seed: int, item_id: str) -> float:
    """A number in [0, 1) that an item draws for a purpose: always the same one for the same seed."""
    text = f"{purpose}\0{seed}\0{item_id}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


# --- what the verdicts on one item amount to -------------------------------------------------------------------------


@dataclass(frozen=True)
class Opinion:
    """What one reviewer says of an item at present: the decisions of his or her latest action on it.

    decision_id : of the first of them
    adjudicates : given by somebody new to the item while the others disagreed, knowing what they had said
    """

    reviewer: str
    decisions: tuple[Decision, ...]
    decision_id: int = 0
    adjudicates: bool = False

    @property
    def verdict(self) -> str:
        """The verdict; of a case whose members got different ones, the first of VERDICTS that is not `keep`."""
        found = {decision.verdict for decision in self.decisions}
        return min(found - {"keep"} or found, key=VERDICTS.index)

    @property
    def waits(self) -> bool:
        """Whether it is about a part of the annotations only, and decides nothing about the item."""
        return any(decision.waits for decision in self.decisions)

    @property
    def content(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """What is compared: verdict and labels of each sample. Labels of `ambiguous` agree in any order.

        "It is a dog" is one opinion, whether it was said when the label was cat (relabel), or after that had been
        published (keep). All that is said of a picture's annotations is one content, to be compared one by one.
        """
        return tuple(
            sorted(
                (d.sample_id, "annotations", ())
                if d.about_annotations
                else (d.sample_id, "label", (d.outcome,))
                if d.verdict in ("keep", "relabel")
                else (d.sample_id, d.verdict, tuple(sorted(d.labels)))
                for d in self.decisions
            )
        )

    @property
    def claims(self) -> dict[str, Claims]:
        """What it says of the annotations of each picture, by sample id."""
        return {d.sample_id: d.claims for d in self.decisions if d.about_annotations}


@dataclass(frozen=True)
class Agreement:
    """What holds for an item.

    opinions : those that say so, the one that stands for all of them last; of edits, all of which some part holds
    held : what is agreed on about the annotations of each picture; voters are places in `of[sample_id]`
    of : by sample id, the opinions that say anything of its annotations, in the order of decision_id
    """

    opinions: tuple[Opinion, ...]
    held: dict[str, list[Held]] = field(default_factory=dict)
    of: dict[str, list[Opinion]] = field(default_factory=dict)


def item_state(opinions: Sequence[Opinion], needed: int) -> str:
    """Where an item stands: "open", "second" (wants another opinion), "disagreement" or "done".

    Opinions that are `unsure` do not count. One that adjudicates settles the item; so do `needed` that agree, and a
    strict majority of at least two. Opinions on a part of the annotations settle nothing, but may contradict others.
    """
    counted = _heard(opinions)
    if not counted:
        return "open"
    if any(opinion.adjudicates for opinion in counted):
        return "done"
    whole = sum(not opinion.waits for opinion in counted)
    if whole < needed:
        return "second" if whole else "open" if needed > 1 or agreement(counted, needed) else "disagreement"
    most = max(_votes(counted).values())
    if most < len(counted) and (most < 2 or 2 * most <= len(counted)):
        return "disagreement"
    edited = any(decision.about_annotations for opinion in counted for decision in opinion.decisions)
    return "done" if not edited or agreement(counted, needed) is not None else "disagreement"


def agreed(opinions: Sequence[Opinion], needed: int = 1) -> Opinion | None:
    """The opinion that holds for an item that is `done`: the adjudicator's, else the latest of the majority.

    None where there is no opinion that counts, or no majority.
    """
    found = agreement(opinions, needed)
    return found.opinions[-1] if found else None


def agreement(opinions: Sequence[Opinion], needed: int = 1) -> Agreement | None:
    """What holds for an item that is `done`; None where there is no opinion that counts, or they contradict each other.

    needed : how many opinions the item wants: from two on, an edit says of what it leaves alone that it is right
    """
    counted = sorted(_heard(opinions), key=lambda opinion: opinion.decision_id)
    adjudicating = [opinion for opinion in counted if opinion.adjudicates]
    if adjudicating:
        chosen = adjudicating[-1]
        counted = [opinion for opinion in counted if opinion.decision_id >= chosen.decision_id or not chosen.claims]
    else:
        votes = _votes(counted)
        best = max(votes.values(), default=0)
        if 2 * best <= len(counted):
            return None
        chosen = next(opinion for opinion in reversed(counted) if votes[opinion.content] == best)
    alike = [opinion for opinion in counted if opinion.content == chosen.content]
    if not chosen.claims:
        return Agreement((*(opinion for opinion in alike if opinion is not chosen), chosen))
    held: dict[str, list[Held]] = {}
    for sample_id in chosen.claims:
        claims = [opinion.claims[sample_id] for opinion in alike]
        found = vote(claims, needed > 1, alike.index(chosen) if adjudicating else None)
        if found is None:
            return None
        held[sample_id] = found
    said = [o for place, o in enumerate(alike) if _is_supporting(place, alike, held)]
    return Agreement(tuple(said), held, dict.fromkeys(held, alike)) if said else None


def _heard(opinions: Sequence[Opinion]) -> list[Opinion]:
    """Those that count: none that is `unsure`; and where somebody says something else of the picture than about its
    annotations (`exclude`), none about a part of these."""
    counted = [opinion for opinion in opinions if opinion.verdict != "unsure"]
    whole = [opinion for opinion in counted if not opinion.waits]
    return counted if all(opinion.claims for opinion in whole) else whole


def _is_supporting(place: int, alike: Sequence[Opinion], held: dict[str, list[Held]]) -> bool:
    return any(supports(place, [o.claims[name] for o in alike], found) for name, found in held.items())


def _votes(opinions: Sequence[Opinion]) -> dict[tuple[tuple[str, str, tuple[str, ...]], ...], int]:
    votes: dict[tuple[tuple[str, str, tuple[str, ...]], ...], int] = {}
    for opinion in opinions:
        votes[opinion.content] = votes.get(opinion.content, 0) + 1
    return votes


def opinions_of(given: Sequence[Opinion], needed: int) -> list[Opinion]:
    """The current opinion of each reviewer, from all that were ever given and not taken back.

    Parameters
    ----------
    given : in the order in which they were recorded; the later one of a reviewer replaces the earlier
    needed : how many opinions the item wants

    Returns
    -------
    One per reviewer in the order of decision_id, `adjudicates` set by what the item's state was at the time.
    """
    current: dict[str, Opinion] = {}
    for opinion in given:
        before = current.pop(opinion.reviewer, None)
        known = [*current.values(), *([before] if before else [])]
        # One of two who disagree can give way, but not overrule the other by saying the same again.
        new_to_it = before is None or before.verdict == "unsure"
        adjudicates = item_state(known, needed) == "disagreement" if new_to_it else bool(before and before.adjudicates)
        current[opinion.reviewer] = replace(opinion, adjudicates=adjudicates and opinion.verdict != "unsure")
    return list(current.values())
