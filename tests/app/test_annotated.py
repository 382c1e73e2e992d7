"""Pictures with boxes or several labels, in a real browser: accepted, refused, drawn, moved, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation import manifest, review, store
from curation.review import Context, verdict_action
from curation.review.annotations import Annotations
from curation.runs import read_run
from tests.app.annotated import BOXES, DATASET, IDS, finding, make_boxed_workspace, make_tagged_workspace
from tests.app.browsing import Reader, Server, browsing, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Server]:
    with serving(make_boxed_workspace(tmp_path / "workspace")) as started:
        yield started


@pytest.fixture
def tags(tmp_path: Path) -> Iterator[Server]:
    with serving(make_tagged_workspace(tmp_path / "workspace")) as started:
        yield started


def said(server: Server, name: str) -> tuple[str, list[dict[str, Any]]]:
    """The latest verdict on a picture, and its lines."""
    rows = store.decisions(store.open_store(server.workspace), DATASET)
    row = rows[(rows["sample_id"] == IDS[name]) & (rows["verdict"] != "undo")].iloc[-1]
    return row["verdict"], json.loads(row["edits"] or "[]")


def place(reader: Reader, x: float, y: float) -> tuple[float, float]:
    """Where a point of the picture is on the page."""
    point = f"""(() => {{ const sheet = desk.querySelector(".sheet");
        const at = new DOMPoint({x}, {y}).matrixTransform(sheet.getScreenCTM()); return [at.x, at.y]; }})()"""
    found = reader.desk(point)
    return found[0], found[1]


def drag(reader: Reader, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = reader.page.mouse
    mouse.move(*place(reader, *start))
    mouse.down()
    mouse.move(*place(reader, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    mouse.move(*place(reader, *end))
    mouse.up()


def test_one_key_accepts_what_is_proposed_and_one_says_that_all_is_right(browser: Any, boxes: Server) -> None:
    reader = Reader(browser, boxes.url)
    reader.ready()
    assert reader.item == IDS["doubled"]
    assert "remove" in reader.desk("desk.querySelector('.does').textContent")
    assert reader.desk("desk.querySelectorAll('.mark.suspect').length") == 1
    reader.decide("Enter")
    assert reader.item == IDS["swapped"]
    reader.decide("Space")
    reader.saved()
    assert said(boxes, "swapped") == ("keep", [])
    verdict, lines = said(boxes, "doubled")
    assert verdict == "edit"
    assert [(line["change"], line["annotation_id"]) for line in lines] == [("drop", f"{IDS['doubled']}-1")]
    assert lines[0]["from"]["box"] == list(map(float, BOXES["doubled"][1][1]))
    reader.check()


def test_boxes_are_drawn_named_moved_and_resized_and_each_step_can_be_taken_back(browser: Any, boxes: Server) -> None:
    reader = Reader(browser, boxes.url)
    reader.ready()
    reader.press("r")
    drag(reader, (80, 100), (110, 140))
    reader.wait("desk.querySelector('.picker input')")
    reader.page.keyboard.type("plat")
    reader.press("Enter")
    reader.wait("desk.dataset.draft === '1'")
    drag(reader, (140, 80), (130, 70))  # the cup, by 10 to the left and up
    reader.wait("desk.dataset.draft === '2'")
    reader.press("x")
    reader.wait("desk.dataset.draft === '2' && !desk.querySelector('.mark.chosen')")  # dropped, not moved
    reader.press("z")
    reader.wait("desk.querySelector('.mark.chosen')")
    drag(reader, (150, 90), (170, 110))  # its lower right corner
    reader.decide("s")
    reader.saved()
    verdict, lines = said(boxes, "doubled")
    assert verdict == "edit"
    by_kind = {line["change"]: line for line in lines}
    assert set(by_kind) == {"add", "box"}
    assert by_kind["add"]["to"]["label"] == "plate"
    assert by_kind["add"]["to"]["box"] == pytest.approx([80, 100, 30, 40], abs=1)
    assert by_kind["box"]["annotation_id"] == f"{IDS['doubled']}-2"
    assert by_kind["box"]["to"] == pytest.approx([110, 50, 60, 60], abs=1)
    reader.press("z")
    reader.wait(f"desk.dataset.item === '{IDS['doubled']}' && desk.dataset.draft === '0'")
    reader.saved()
    assert len(store.decisions(store.open_store(boxes.workspace), DATASET)) == 2
    reader.check()


def test_a_box_gets_another_class_by_keyboard(browser: Any, boxes: Server) -> None:
    reader = Reader(browser, boxes.url)
    reader.ready()
    reader.decide("Space")
    reader.press("/")
    reader.wait("desk.querySelector('.picker input')")
    reader.page.keyboard.type("plate")
    reader.decide("Enter")  # the finding was about this box: it has its answer
    reader.saved()
    assert said(boxes, "swapped") == (
        "edit",
        [{"change": "relabel", "annotation_id": f"{IDS['swapped']}-0", "from": "bottle", "to": "plate"}],
    )
    reader.check()


def test_classes_without_a_place_are_added_and_removed(browser: Any, tags: Server) -> None:
    reader = Reader(browser, tags.url)
    reader.ready()
    assert reader.item == IDS["doubled"]
    reader.decide("Enter")
    reader.decide("Enter")
    reader.saved()
    verdict, lines = said(tags, "doubled")
    assert (verdict, lines[0]["change"], lines[0]["to"]) == ("edit", "add", {"label": "plate"})
    verdict, lines = said(tags, "swapped")
    assert (verdict, [line["change"] for line in lines]) == ("edit", ["drop"])
    reader.check()


def test_all_classes_of_a_picture_are_chosen_at_once(browser: Any, tags: Server) -> None:
    reader = Reader(browser, tags.url)
    reader.ready()
    reader.press("/")
    reader.wait("desk.querySelector('.picker input')")
    reader.page.keyboard.type("cup")
    reader.press("Enter")  # it was marked: off
    reader.page.keyboard.type("plate")
    reader.press("Enter")
    reader.press("Enter")
    reader.wait("desk.dataset.draft === '2'")
    reader.decide("s")
    reader.saved()
    verdict, lines = said(tags, "doubled")
    assert verdict == "edit"
    assert sorted((line["change"], (line["to"] or line["from"])["label"]) for line in lines) == [
        ("add", "plate"),
        ("drop", "cup"),
    ]
    reader.check()


def test_what_reviewers_dispute_is_shown_side_by_side_and_the_rest_is_taken(browser: Any, boxes: Server) -> None:
    item = IDS["doubled"]
    for who, label in (("ann", "plate"), ("bob", "bottle")):
        run = read_run(boxes.workspace)
        known = Annotations(manifest.read(manifest.manifest_folder(boxes.workspace, DATASET), "v0001"))
        (card,) = review.cards(run, [item], annotations=known)
        lines = [
            {"change": "drop", "annotation_id": f"{item}-1", "to": None},
            {"change": "relabel", "annotation_id": f"{item}-2", "to": label},
        ]
        store.record(
            store.open_store(boxes.workspace), verdict_action(card, "edit", Context(DATASET, who), edits=lines)
        )
    reader = Reader(browser, boxes.url, reviewer="eve", path=f"/?item={item}")
    reader.wait(f"desk.dataset.item === '{item}' && desk.dataset.draft === '1'")  # what both say
    side = reader.desk("desk.querySelector('.side').innerText")
    assert "changed cup to plate" in side.replace("\n", "")
    assert "changed cup to bottle" in side.replace("\n", "")
    reader.decide("2")
    reader.saved()
    verdict, made = said(boxes, "doubled")
    assert (verdict, [(one["change"], one["to"]) for one in made]) == ("edit", [("drop", None), ("relabel", "bottle")])
    reader.check()


def test_one_key_moves_a_box_and_one_adds_what_a_detector_sees(browser: Any, tmp_path: Path) -> None:
    moved, added = [30, 38, 82, 64], [140, 20, 40, 40]
    facts = {"value": 0.6, "usual": 0.9, "threshold": 0.7, "box": [30, 40, 80, 60], "proposed": moved}
    more = [
        finding("fine", 0, "badly_located_box", "plate", "", facts),
        finding("fine", None, "missing_box", "", "cup", {"value": 0.9, "threshold": 0.5, "proposed": added}),
    ]
    with serving(make_boxed_workspace(tmp_path / "workspace", more=more)) as server:
        reader = Reader(browser, server.url, path=f"/?item={IDS['fine']}")
        reader.wait(f"desk.dataset.item === '{IDS['fine']}'")
        assert "move the box of" in reader.desk("desk.querySelector('.does').textContent")
        assert reader.desk("desk.querySelectorAll('.mark.proposed').length") == 1
        reader.press("Enter")
        reader.wait("desk.dataset.draft === '1' && desk.querySelector('.does').textContent.includes('add')")
        reader.decide("Enter")
        reader.saved()
        verdict, lines = said(server, "fine")
        assert (verdict, {line["change"]: line["to"] for line in lines}) == (
            "edit", {"box": moved, "add": {"label": "cup", "box": added}},
        )  # fmt: skip
        reader.check()
