"""Image quality and outliers: what is unusual is flagged, ordinary sets are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from curation.detectors import DETECTORS
from tests.detectors.building import make_inputs, samples_table


@pytest.mark.parametrize(
    ("issue", "column", "odd"),
    [
        ("dark", "brightness_p99", 0.1),
        ("bright", "brightness_p05", 0.99),
        ("low_information", "entropy_bits", 0.5),
        ("blurry", "sharpness", 2.0),
        ("grey", "saturation_p99", 0.0),
        ("odd_size", "width_px", 32_000),
        ("odd_aspect_ratio", "width_px", 200),
    ],
)
def test_the_odd_one_of_a_hundred_is_found(issue: str, column: str, odd: float) -> None:
    samples = samples_table(100)
    samples.loc[42, column] = odd
    table = DETECTORS[issue].find(make_inputs([0] * 100, samples=samples))
    assert table["sample_id"].tolist() == ["s000042"]


@pytest.mark.parametrize(
    ("issue", "column", "value"),
    [("dark", "brightness_p99", 0.1), ("blurry", "sharpness", 5.0), ("grey", "saturation_p99", 0.0)],
)
def test_a_set_that_is_dark_blurred_or_grey_as_a_whole_is_not_flagged(issue: str, column: str, value: float) -> None:
    assert DETECTORS[issue].find(make_inputs([0] * 100, samples=samples_table(100, **{column: value}))).empty


def test_a_picture_far_from_all_others_is_an_outlier_and_no_other_is() -> None:
    random = np.random.default_rng(0)
    embeddings = (np.eye(16)[random.integers(0, 3, 300)] * 5 + random.normal(size=(300, 16))).astype(np.float32)
    embeddings[7] = -embeddings.mean(axis=0) * 50
    table = DETECTORS["outlier"].find(make_inputs([0] * 300, embeddings=embeddings))
    assert table["sample_id"].tolist() == ["s000007"]
    assert table["score"][0] < 0.5


def test_plain_appearance_flags_what_trained_embeddings_overlook_and_ranks_nothing_else() -> None:
    random = np.random.default_rng(0)
    embeddings = (np.eye(16)[np.arange(300) % 3] * 5 + random.normal(size=(300, 16))).astype(np.float32)
    appearance = random.normal(size=(300, 20)).astype(np.float16)
    appearance[7] = 20
    appearance[8] *= 1.3  # unusual, but no more
    inputs = make_inputs(np.arange(300) % 3, embeddings=embeddings, appearance=appearance)
    table = DETECTORS["outlier"].find(inputs)
    assert table.loc[table["is_issue"], "sample_id"].tolist() == ["s000007"]
    assert "s000008" not in set(table["sample_id"])
    assert json.loads(table.set_index("sample_id")["evidence"]["s000007"])["by"] == "appearance"
    assert DETECTORS["outlier"].find(replace(inputs, appearance=None)).query("is_issue").empty
