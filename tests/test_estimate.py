"""How many labels are wrong: intervals that hold, whatever the model, whoever else looks, whenever one stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.confidence import draw_order, is_refuted, limits
from curation.estimate import NEVER, Evidence, audit_weights, estimate, recalibrated, sequence

COUNT = 240


def population(seed: int, rate: float = 0.15, skill: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a mediocre model gives, and whether the labels are wrong."""
    random = np.random.default_rng(seed)
    wrong = (random.random(COUNT) < rate).astype(np.float64)
    odds = random.standard_normal(COUNT) + skill * wrong - skill
    return 1 / (1 + np.exp(-2 * odds)), wrong


def reviewed(
    prob: np.ndarray, wrong: np.ndarray, seed: int, draws: int, suspects_per_draw: int = 0, block: int = 4
) -> Evidence:
    """An audit of so many draws, handed out in blocks; in between, reviewers look for more of what they found last."""
    count = len(prob)
    weight = audit_weights(prob)
    order = draw_order(weight, 10_000 + seed)  # not the random numbers that made the population
    since = np.full(count, NEVER)
    rows: list[int] = []
    released: list[int] = []
    clock = 0
    while len(rows) < draws and (since == NEVER).any():
        now, last = clock, 0
        for row in [int(row) for row in order if since[row] == NEVER][:block]:
            clock += 1
            since[row] = clock
            rows.append(row)
            released.append(now)
            last = row
        for _ in range(suspects_per_draw * block):
            open_rows = np.flatnonzero(since == NEVER)
            if not len(open_rows):
                break
            # Who found a wrong label looks for more nearby, else at what is most suspicious: it depends on the draws.
            best = np.abs(open_rows - last).argmin() if wrong[last] else prob[open_rows].argmax()
            clock += 1
            since[open_rows[best]] = clock
    answered = since != NEVER
    return Evidence(
        wrong_prob=prob,
        weight=weight,
        least=np.where(answered, wrong, 0.0),
        most=np.where(answered, wrong, 1.0),
        since=since,
        answered=answered,
        draws=np.array(rows, dtype=np.int64),
        released=np.array(released, dtype=np.int64),
        given=np.arange(count) % 2,
        classes=("even", "odd"),
    )


@pytest.mark.parametrize("suspects_per_draw", [0, 2])
@pytest.mark.parametrize("skill", [2.0, 0.0, -2.0])
def test_intervals_of_all_looks_contain_the_truth_in_95_percent(skill: float, suspects_per_draw: int) -> None:
    audits = 150
    missed = 0
    for seed in range(audits):
        prob, wrong = population(seed, skill=skill)
        draws = sequence(reviewed(prob, wrong, seed, COUNT, suspects_per_draw))
        missed += bool(is_refuted(draws, wrong.sum()).any())
    assert missed <= 0.07 * audits


def test_the_estimate_of_every_draw_is_unbiased_although_reviewers_look_where_errors_were_found() -> None:
    prob, wrong = population(0)
    found = [sequence(reviewed(prob, wrong, seed, 40, 2)).z_least for seed in range(600)]
    shortest = min(map(len, found))
    late = np.array([z[:shortest] for z in found])
    error = late.mean(axis=0) - wrong.sum()
    assert (np.abs(error) < 4.5 * late.std(axis=0) / np.sqrt(len(late)) + 1e-9).all()


def test_when_everything_is_reviewed_the_number_is_known() -> None:
    prob, wrong = population(1)
    found = estimate(reviewed(prob, wrong, 1, COUNT))
    assert (found.start.low, found.start.high) == (wrong.sum(), wrong.sum())
    assert (found.left.low, found.left.high, found.fixed) == (0, 0, wrong.sum())
    assert found.advice == "stop"


def test_limits_grow_together_and_agree_with_what_bets_refute() -> None:
    prob, wrong = population(2)
    draws = sequence(reviewed(prob, wrong, 2, 120))
    before = (0.0, float(COUNT))
    for number in (10, 40, 80, 120):
        low, high = limits(draws.first(number), 0.0, float(COUNT))
        assert before[0] <= low <= high <= before[1]
        assert not is_refuted(draws.first(number), low + 0.1)[-1]
        assert low == 0 or is_refuted(draws.first(number), low - 0.1)[-1]
        assert high == COUNT or is_refuted(draws.first(number), high + 0.1)[-1]
        before = (low, high)


def test_a_good_model_narrows_the_interval() -> None:
    _, wrong = population(3)
    good = np.where(wrong > 0, 0.9, 0.02)
    widths = [estimate(reviewed(guess, wrong, 3, 100)).start.half_width for guess in (good, np.full(COUNT, 0.15))]
    assert widths[0] < 0.7 * widths[1]


def test_without_an_audit_there_is_no_interval_and_the_advice_is_to_draw_one() -> None:
    prob, wrong = population(4)
    evidence = reviewed(prob, wrong, 4, 0)
    found = estimate(evidence)
    assert (found.start.low, found.start.high, found.audited, found.halve) == (0, COUNT, 0, None)
    assert found.start.estimate == pytest.approx(prob.sum(), rel=0.1)
    assert found.advice == "audit"
    assert "no interval" in found.reasons[0]


def test_few_draws_give_a_wide_interval() -> None:
    prob, wrong = population(5)
    found = estimate(reviewed(prob, wrong, 5, 8))
    assert found.start.half_width > 0.6 * wrong.sum()
    assert not found.classes


def test_draws_after_a_gap_wait_for_their_turn() -> None:
    evidence = reviewed(*population(6), 6, 40)
    gap = int(evidence.draws[10])
    answered = evidence.answered.copy()
    answered[gap] = False
    since = evidence.since.copy()
    since[gap] = NEVER
    most, least = evidence.most.copy(), evidence.least.copy()
    most[gap], least[gap] = 1, 0
    found = estimate(replace(evidence, answered=answered, since=since, most=most, least=least))
    assert (found.audited, found.waiting) == (10, 30)


def test_what_is_not_settled_counts_against_both_sides() -> None:
    prob, wrong = population(7)
    evidence = reviewed(prob, wrong, 7, 100)
    settled = estimate(evidence)
    row = evidence.draws[50]
    least, most = evidence.least.copy(), evidence.most.copy()
    least[row], most[row] = 0, 1
    found = estimate(replace(evidence, least=least, most=most))
    assert found.unsettled == 1
    assert found.start.low <= settled.start.low + 0.05
    assert found.start.high >= settled.start.high - 0.05
    assert found.start.half_width > settled.start.half_width


def test_what_was_known_before_it_was_drawn_is_not_drawn() -> None:
    prob, wrong = population(8)
    evidence = reviewed(prob, wrong, 8, 20)
    since = evidence.since.copy()
    since[evidence.draws[5]] = 0  # judged before the first draw was handed out
    assert len(sequence(replace(evidence, since=since))) == 19


def test_left_is_what_is_wrong_less_what_was_fixed() -> None:
    prob, wrong = population(9)
    evidence = reviewed(prob, wrong, 9, 60, 1)
    found = estimate(evidence)
    assert found.fixed == evidence.least.sum()
    assert found.left.high == pytest.approx(found.start.high - found.fixed)
    assert found.left.low == pytest.approx(max(found.start.low - found.fixed, 0))


def test_classes_are_estimated_where_there_are_enough_draws() -> None:
    prob, wrong = population(10, rate=0.3, skill=3)
    evidence = reviewed(prob, wrong, 10, 160)
    found = {line.name: line for line in estimate(evidence).classes}
    assert set(found) == {"even", "odd"}
    for number, name in enumerate(("even", "odd")):
        truth = wrong[evidence.given == number].sum()
        assert found[name].start.low <= truth <= found[name].start.high
        assert found[name].labels == COUNT / 2


def test_the_draws_that_halve_the_interval_about_do() -> None:
    prob, wrong = population(11)
    first = estimate(reviewed(prob, wrong, 11, 40))
    assert first.halve is not None
    later = estimate(reviewed(prob, wrong, 11, 40 + first.halve))
    assert 0.3 < later.start.half_width / first.start.half_width < 0.75


def test_fixes_to_expect_follow_the_verdicts_rather_than_the_run() -> None:
    prob, wrong = population(12)
    boastful = np.clip(prob * 3, 0, 0.97)
    found = estimate(reviewed(boastful, wrong, 12, 60, 1))
    assert found.fixes_per_100 < 0.8 * np.sort(boastful)[::-1][60:160].mean() * 100


def test_recalibration_takes_back_overconfidence() -> None:
    random = np.random.default_rng(0)
    odds = random.normal(-2, 2, 20_000)
    wrong = (random.random(len(odds)) < 1 / (1 + np.exp(-(odds - 1) / 2))).astype(np.float64)
    prob = recalibrated(1 / (1 + np.exp(-odds)), np.ones(len(odds), dtype=bool), wrong)
    assert prob.sum() == pytest.approx(wrong.sum(), rel=0.02)


def test_an_empty_population_is_no_trouble() -> None:
    nothing = np.zeros(0)
    ids = np.zeros(0, dtype=np.int64)
    evidence = Evidence(
        wrong_prob=nothing, weight=nothing, least=nothing, most=nothing, since=ids, answered=ids.astype(bool),
        draws=ids, released=ids, given=ids,
    )  # fmt: skip
    found = estimate(evidence)
    assert (found.start.estimate, found.left.high, found.fixes_per_100, found.advice) == (0, 0, 0, "stop")
