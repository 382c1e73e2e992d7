"""The overview's section on how many labels are wrong: numbers, advice, and no label that acts as markup."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    from app import wrong_labels
    from curation.estimate import ClassEstimate, Estimate, Interval

    start, left = Interval(140.0, 110.0, 190.0), Interval(40.0, 10.0, 90.0)
    wrong_labels.draw(
        Estimate(
            labels=1360, reviewed=200, unsettled=0, audited=80, waiting=0, start=start, fixed=100, left=left,
            classes=(ClassEstimate("cat\u202e **x**", 80, 20, Interval(9.0, 6.0, 14.0), 5),),
            halve=120, fixes=30.0, ahead=100, advice="go on", reasons=("Looking still pays.",),
        )
    )  # fmt: skip


def test_numbers_intervals_and_advice_are_shown() -> None:
    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    totals, classes = (frame.value for frame in at.dataframe)
    assert totals["number"].tolist() == ["about 140", "100", "about 40"]
    assert totals["95 % interval"].tolist() == ["110 to 190", "counted", "10 to 90"]
    assert any("Go on." in text.value and "120 more audited labels" in text.value for text in at.markdown)
    assert "\u202e" not in classes["given label"].iloc[0]
    assert not any("**x**" in text.value for text in at.markdown)
