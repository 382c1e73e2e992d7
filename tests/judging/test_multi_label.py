"""When no model can judge labels of which a picture can have several, and why."""

import re

import numpy as np
import pytest

from curation.judging.multi_label import why_untrainable

SPREAD = np.arange(12)
SEVERAL = np.array([[i % 2, i % 3 == 0] for i in range(12)], dtype=np.int8)


@pytest.mark.parametrize(
    ("given", "groups", "why"),
    [
        (np.zeros((12, 0)), SPREAD, "no labels"),
        (np.zeros((12, 2)), SPREAD, "no labels"),
        (SEVERAL[:9], SPREAD[:9], r"too few labelled pictures \(9; 10 are the least\)"),
        (SEVERAL, np.zeros(12), "copies of each other"),
        (np.ones((12, 2)), SPREAD, "no class is in two pictures, and absent from two"),
        # Each class is in one picture, or in all but one.
        (np.eye(12, 1), SPREAD, "no class is in two"),
        (1 - np.eye(12, 1), SPREAD, "no class is in two"),
    ],
)
def test_what_cannot_be_learned_is_named(given, groups, why):
    assert re.search(why, why_untrainable(np.asarray(given, dtype=np.int8), groups))


def test_one_class_that_some_have_and_some_have_not_is_enough():
    assert why_untrainable(SEVERAL, SPREAD) == ""
    assert why_untrainable(SEVERAL[:, :1], SPREAD) == ""
    unknown = np.concatenate([SEVERAL, np.full((5, 2), -1, dtype=np.int8)])
    assert why_untrainable(unknown, np.arange(17)) == ""
