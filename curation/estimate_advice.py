"""What follows from an estimate: whether to go on looking, and why, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from curation.confidence import Interval

GO_ON = 5.0  # fixes per 100 reviews that are worth it
CLEAN = 0.01  # share of wrong labels that need not be looked for
WIDE = 0.5  # half-width, as a share of what is left, that says too little to stop

Advice = Literal["audit", "go on", "stop", "score again"]


@dataclass(frozen=True)
class Unit:
    """What is drawn and counted; one : its name, wrong : those that are to be found."""

    one: str
    wrong: str

    @property
    def many(self) -> str:
        return f"{self.one}s"


LABEL = Unit("label", "wrong labels")
PICTURE = Unit("picture", "pictures with an error")


def advise(
    count: int, audited: int, left: Interval, fixes: float, ahead: int, unit: Unit
) -> tuple[Advice, tuple[str, ...]]:  # fmt: skip
    """Whether to go on, and why, in plain sentences.

    count : of all; audited : draws that count; left : wrong ones
    fixes : to be expected among the `ahead` most suspicious that were not looked at
    """
    if not count:
        return "stop", (f"There are no {unit.many}.",)
    per_100 = 100 * fixes / ahead if ahead else 0.0
    share = 100 * left.high / count
    productive = f"Of the next {ahead:,} suspects, about {fixes:,.0f} are {unit.wrong}"
    if not audited:
        return "audit", (
            f"No {unit.one} that was drawn at random has been reviewed yet, so how many are wrong is only what the run "
            "thinks of itself, and no interval can be given.",
            f"{productive}, as the run and the verdicts so far have it.",
        )
    most = f"{left.high:,.0f} {unit.wrong} ({share:.{2 if share < 1 else 1}f} % of all)"
    if left.high <= CLEAN * count:
        return "stop", (f"With 95 % confidence at most {most} are left.",)
    if per_100 >= GO_ON:
        return "go on", (f"{productive}: looking still pays.",)
    if left.half_width > WIDE * max(left.estimate, CLEAN * count):
        return "audit", (
            f"{productive}: looking for more hardly pays. But up to {most} may be left; more audited {unit.many} would "
            "tell.",
        )
    return "score again", (
        f"{productive}: looking for more hardly pays, yet {left.low:,.0f} to {left.high:,.0f} {unit.wrong} are left "
        "that this run does not see. Publish, score again with the corrected labels or a stronger model, and go on "
        "from there.",
    )
