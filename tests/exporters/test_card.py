"""The data card: hostile text is text, and every number is there."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from curation.export import ExportSettings, export
from curation.exporters.card import escape
from tests.boxes import draw_slides, records_of
from tests.exporting import HOSTILE_LABELS, make_set
from tests.round_trips import first_version

HOSTILE = (
    *HOSTILE_LABELS,
    "# heading", "```\ncode\n```", "a|b|c", "**bold**", "![x](http://evil/x.png)", "<script>1</script>",
    "https://evil.example", "\x1b[31mred", "$x^2$", "&lt;b&gt;", "~~gone~~", "[^1]", "1. one", "- item", "> quote",
    "\\", "`tick`", "a\r\nb", "\u2028x", "www.evil.example", "me@evil.example",
)  # fmt: skip
_LIVE = re.compile(r"(?<!\\)[\\`*_{}\[\]()#+\-.!|~$:@/=\"'^<>]")  # what Markdown would act on


def read_back(text: str) -> str:
    """What a Markdown reader shows of an escaped text."""
    return html.unescape(re.sub(r"\\(.)", r"\1", text))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_sign_of_a_text_means_anything(text: str) -> None:
    from curation.explain import visible

    safe = escape(text, 2000)
    assert "\n" not in safe
    assert "<" not in safe
    assert not _LIVE.search(re.sub(r"\\.", "", safe))
    assert read_back(safe) == visible(text, 2000)


@pytest.mark.parametrize("format", ["folder", "csv", "parquet"])
def test_hostile_labels_splits_and_names_stay_in_their_cells(format: str, tmp_path: Path) -> None:
    facts = [{"path": f"{at}.png", "label": label, "split": f"s{at % 3}|<b>"} for at, label in enumerate(HOSTILE)]
    workspace, dataset, source = make_set(tmp_path, facts)
    done = export(tmp_path / "out", ExportSettings(format, source=source), workspace, dataset)
    card = (done.place / "README.md").read_text()
    body = card.split("```\n", 2)[-1]  # behind the lines of Python
    rows = [line for line in body.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == len(set(HOSTILE))
    cells = 4 if format == "folder" else 3
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == cells + 1, row
    assert not re.search(r"<\w", body)
    assert not re.search(r"(?<!\\)!?\[[^\]]*\]\(", body)
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# pets, version v0001", "## How to read it", "## What is in it", "## What was changed", "## Known limits"
    ]  # fmt: skip
    known = r"---|configs:|- config_name: default|  data_files:|  - split: \w+|    path: data/[\w*-]+"
    if format == "parquet":
        assert all(re.fullmatch(known, line) for line in card.split("\n---\n")[0].splitlines())
    for at, row in enumerate(rows):
        label = read_back(row.split(" | ")[1])
        assert label == read_back(escape(done.facts["classes"][at]))


def test_the_card_has_every_number_and_what_is_not_known(tmp_path: Path) -> None:
    facts = [{"path": f"{at}.png", "label": "cat" if at % 2 else "dog", "split": "train"} for at in range(10)]
    facts[0]["label"] = ""
    facts[1]["attributes"] = {"curate:labels": ["cat", "fox"]}
    facts[2]["attributes"] = {"curate:hard": True}
    facts[3]["excluded"] = True
    facts[4]["broken"] = True
    workspace, dataset, source = make_set(tmp_path, facts)
    done = export(tmp_path / "out", ExportSettings("csv", source=source), workspace, dataset)
    card = (done.place / "README.md").read_text()
    for words in (
        done.facts["manifest_hash"],
        "| train | 8 |",
        "Left out of the version: 1 excluded, 1 unreadable.",
        "1 pictures have no label (class -1).",
        "1 pictures have several right labels; the first is the label.",
        "1 pictures are marked as right but hard to see.",
        "Nobody has reviewed it.",
        "0 of 8 pictures were looked at by a reviewer; the others are as they came.",
        "No run says which pictures look alike: only equal pictures are known.",
    ):
        assert words in card, words


def test_of_boxes_the_card_counts_all_and_calls_none_the_label(tmp_path: Path) -> None:
    boxes = draw_slides(tmp_path / "slides", 3)
    boxes = boxes[boxes["path"] != "002.png"]
    records = records_of(tmp_path / "slides", boxes, ["000.png", "001.png", "002.png"])
    dataset = first_version(records, tmp_path / "ws")
    done = export(tmp_path / "out", ExportSettings("coco", source=records.root), tmp_path / "ws", dataset)
    sizes = boxes["label"].value_counts()
    assert done.facts["counts"]["classes"] == sizes.to_dict()
    assert done.facts["counts"]["several_labels"] == 0
    card = (done.place / "README.md").read_text()
    assert f"Each box has a label: {len(boxes)} in all." in card
    assert "1 pictures have no box." in card
    for label, size in sizes.items():
        mine = boxes[boxes["label"] == label].groupby("path").size()
        assert re.search(rf"\| {label} \| {size} \| {len(mine)} \| {mine.max()} \|", card)
