"""A total over a finite population, from random draws without replacement: limits that hold at any time of looking.

Every unit has a value in [0, 1], a guess of it, and a weight. The next draw is one of the units that are not known yet,
with a chance in proportion to its weight; each draw gives an unbiased estimate of the total,

    z = sum of the known values + sum of the guesses of the others + (value - guess) / chance,

and betting on z against a total w, with stakes fixed before the draw, must not make anybody rich if w is the truth.
The limits are the totals against which such bets have not multiplied the stake by 2 / ERROR_SHARE (Ville's inequality),
so the interval may be looked at after every draw, and looking may decide whether to go on.

What was known before a draw may depend on everything before it, other than the draws to come: units that somebody
looked at for reasons of his own become known, their value then counts exactly, and they are drawn no more.

References
----------
Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting (sampling without replacement).
Waudby-Smith, Stark & Ramdas (2021), RiLACS: risk-limiting audits via confidence sequences.
Shekhar, Xu, Lipton, Liang & Ramdas (2023), Risk-limiting financial audits via weighted sampling without replacement
(chances in proportion to size, guesses as control variates). Here the stakes are a mixture over horizons.
Efraimidis & Spirakis (2006), Weighted random sampling with a reservoir (the order by exponential clocks).
Saerndal, Swensson & Wretman (1992), Model assisted survey sampling (the difference estimator).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ERROR_SHARE = 0.05  # half of it for each side
# Numbers of draws at which the stakes are best; the bets are spread over all of them.
HORIZONS = np.array([30.0, 100.0, 300.0, 1000.0, 3000.0])
MOST_STAKED = 0.9  # of what a bet could lose at worst
MODEL_DRAWS = 20  # what the guesses say of the spread counts like so many draws
_LIMIT = float(np.log(2 / ERROR_SHARE))
_ARRAYS = ("z_least", "z_most", "lowest", "highest", "spread", "residual")
_AIM = _LIMIT + 1.0  # growth that stakes aim at: the limit, and what spreading them costs


@dataclass(frozen=True)
class Interval:
    """A number, and between which numbers it lies with 95 % confidence, at whatever time one looks."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def less(self, known: int) -> Interval:
        """The same without labels that are known to be among them."""
        return Interval(*(max(value - known, 0.0) for value in (self.estimate, self.low, self.high)))


@dataclass(frozen=True)
class Draws:
    """T draws in their order, each as an estimate of the total; (T,) float64 each.

    z_least, z_most : the estimate with values that are not settled taken as 0, and as 1
    lowest, highest : between which the estimates were bound to be
    spread : standard deviation that is to be expected of z, from the guesses alone
    residual : what the value added to the guesses; of an unsettled one, half-way
    count : size of the population
    """

    z_least: np.ndarray
    z_most: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    spread: np.ndarray
    residual: np.ndarray
    count: int

    def __len__(self) -> int:
        return len(self.z_least)

    def first(self, number: int) -> Draws:
        """The first `number` draws alone."""
        return join([self], self.count, number)


def draw_order(weights: np.ndarray, seed: int) -> np.ndarray:
    """(N,) row numbers in the order in which they are drawn without replacement, chances in proportion to `weights`.

    Those of an exponential clock's first rings: leaving out any rows, for whatever reason that does not look at the
    order, leaves the others in an order of the same kind.
    """
    clock = np.random.default_rng(seed).exponential(size=len(weights)) / weights
    return np.argsort(clock, kind="stable")


def estimates(
    rows: np.ndarray,
    known_from: np.ndarray,
    weight: np.ndarray,
    guess: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
    start: int = 0,
    end: int | None = None,
) -> Draws:
    """What the draws from number `start` to `end`, made with the same guesses, say of the total.

    Parameters
    ----------
    rows : (T,) rows in the order of the draw; one that was known before its turn was not drawn, and is left out
    known_from : (N,) int64, number of the first draw before which each row is known: 0 = before all of them, a drawn
        one at the latest before the next draw, T = later or never
    weight, guess : (N,) float64, positive; guesses in (0, 1)
    least, most : (N,) values, equal where they are settled; those of rows that never become known do not count
    """
    end = len(rows) if end is None else end
    moment = np.clip(known_from, start, end) - start

    def known(values: np.ndarray) -> np.ndarray:
        """Sums over the rows that are known before each draw."""
        return np.cumsum(np.bincount(moment, weights=values, minlength=end - start + 1))[: end - start]

    use = np.flatnonzero(known_from[rows[start:end]] > np.arange(start, end))
    mine = rows[start:end][use]
    size = np.maximum((weight.sum() - known(weight))[use], weight[mine])
    guessed = guess.sum() - known(guess)
    base_least, base_most = ((guessed + known(values))[use] for values in (least, most))
    variance = guess * (1 - guess) / weight
    per_chance = size / weight[mine]
    return Draws(
        z_least=base_least + (least[mine] - guess[mine]) * per_chance,
        z_most=base_most + (most[mine] - guess[mine]) * per_chance,
        # Over all rows, not only those still open: a little wider than need be, and quick.
        lowest=base_least - size * (guess / weight).max(initial=0.0),
        highest=base_most + size * ((1 - guess) / weight).max(initial=0.0),
        spread=np.sqrt(size * np.maximum((variance.sum() - known(variance))[use], 0.0)),
        residual=((least[mine] + most[mine]) / 2 - guess[mine]) * per_chance,
        count=len(weight),
    )


def join(parts: list[Draws], count: int, first: int | None = None) -> Draws:
    """Draws one after the other, or the first of them, from a population of `count`."""
    arrays = {name: np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])[:first] for name in _ARRAYS}
    return Draws(**arrays, count=count)


def stakes(draws: Draws) -> np.ndarray:
    """(T, H) stakes before the bound, each fixed before its draw, for every horizon."""
    spread = np.maximum(draws.spread, 1e-9)
    seen = np.cumsum((draws.residual / spread) ** 2) - (draws.residual / spread) ** 2
    variance = spread**2 * (MODEL_DRAWS + seen) / (MODEL_DRAWS + np.arange(len(draws)))
    return np.sqrt(2 * _AIM / (HORIZONS * variance[:, None]))


def log_wealth(draws: Draws, staked: np.ndarray, total: float, above: bool) -> np.ndarray:
    """(T,) logarithm of what a stake of 1 has become, in bets that the truth lies above `total` (or below)."""
    if above:
        room, gain = total - draws.lowest, draws.z_least - total
    else:
        room, gain = draws.highest - total, total - draws.z_most
    # Without room a bet cannot lose: the total lies beyond what the draw could say.
    most = np.where(room > 0, MOST_STAKED / np.maximum(room, 1e-300), np.inf)
    growth = np.log1p(np.minimum(staked, most[:, None]) * gain[:, None])
    together = np.cumsum(growth, axis=0)
    top = together.max(axis=1, initial=-np.inf)
    return top + np.log(np.exp(together - top[:, None]).mean(axis=1))


def is_refuted(draws: Draws, total: float) -> np.ndarray:
    """(T,) bool: whether the interval after each draw, or one before, does not contain `total`."""
    staked = stakes(draws)
    best = np.maximum(log_wealth(draws, staked, total, True), log_wealth(draws, staked, total, False))
    return np.maximum.accumulate(best) >= _LIMIT


def limits(draws: Draws, least: float, most: float) -> tuple[float, float]:
    """The interval after all these draws, within [least, most], which are sure."""
    if not len(draws) or least >= most:
        return least, most
    staked = stakes(draws)
    low = _boundary(draws, staked, least, most, above=True)
    high = _boundary(draws, staked, least, most, above=False)
    if low > high:  # both sides are wrong at most once in 20 reviews
        low = high = (low + high) / 2
    return low, high


def _boundary(draws: Draws, staked: np.ndarray, least: float, most: float, above: bool) -> float:
    """Where bets on more than this (or on less) stop being refutations; wealth changes in one direction with it."""
    if log_wealth(draws, staked, least if above else most, above).max() < _LIMIT:
        return least if above else most
    out, inside = (least, most) if above else (most, least)
    while abs(inside - out) > max(1e-4 * draws.count, 0.01):
        middle = (out + inside) / 2
        if log_wealth(draws, staked, middle, above).max() >= _LIMIT:
            out = middle
        else:
            inside = middle
    return out
