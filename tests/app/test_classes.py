"""One class at a time, in a real browser: marked by keyboard and mouse, decided with one key, taken back with one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation import store
from tests.app.annotated import DATASET, IDS, make_boxed_workspace, make_tagged_workspace
from tests.app.browsing import Reader, Server, browsing, serving
from tests.app.test_annotated import said

pytestmark = pytest.mark.slow
GROUPS = "[...desk.querySelectorAll('.group')].map((one) => one.textContent)"


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


def opened(browser: Any, server: Server, tiles: int) -> Reader:
    reader = Reader(browser, server.url, path="/?view=classes")
    reader.wait(f"desk.dataset.tiles === '{tiles}'")
    return reader


def test_boxes_of_a_class_are_marked_and_decided_with_one_key(browser: Any, boxes: Server) -> None:
    reader = opened(browser, boxes, 3)
    assert reader.desk(GROUPS) == ["bottle2 / 3", "cup0 / 1", "plate0 / 1"]
    assert reader.desk("desk.querySelectorAll('.tile .place').length") == 4  # and the box that one of them doubles
    assert reader.desk("desk.dataset.at") == f"{IDS['doubled']} {IDS['doubled']}-1"
    reader.press("Space", "ArrowRight", "Space")
    reader.wait("desk.dataset.marked === '2'")
    reader.press("Enter")  # each as it is proposed
    reader.wait("desk.dataset.tiles === '1'")
    reader.saved()
    assert [line["change"] for line in said(boxes, "doubled")[1]] == ["drop"]
    assert [(line["change"], line["to"]) for line in said(boxes, "swapped")[1]] == [("relabel", "cup")]
    reader.press("z")
    reader.wait("desk.dataset.tiles === '3' && desk.dataset.marked === '2'")
    reader.saved()
    assert store.effective(store.open_store(boxes.workspace), DATASET).empty
    reader.press("Escape", "s")  # all on this page are right, and the next class is not begun by itself
    reader.saved()
    reader.wait(f"{GROUPS}[0].startsWith('cup')")
    assert {said(boxes, name)[0] for name in ("doubled", "swapped")} == {"keep"}
    reader.check()


def test_boxes_of_one_picture_are_one_decision_and_review_starts_from_it(browser: Any, boxes: Server) -> None:
    reader = opened(browser, boxes, 3)
    reader.page.locator(".tile").nth(2).click()  # the first bottle of the doubled picture
    reader.wait("desk.dataset.marked === '1'")
    reader.press("/")
    reader.wait("desk.querySelector('.picker input')")
    reader.page.keyboard.type("plate")
    reader.press("Enter")
    reader.wait("desk.dataset.tiles === '2'")
    reader.saved()
    reader.press("v")  # the framed one on Review
    reader.page.get_by_role("link", name="Review").wait_for()
    reader.wait("desk.dataset.item")
    assert reader.desk("desk.dataset.item") in IDS.values()
    while reader.item != IDS["doubled"]:
        reader.decide("Space")
    reader.wait("desk.dataset.draft === '1'")
    assert "changed" in reader.desk("desk.querySelector('.annotations').textContent")
    reader.press("Enter")  # and the finding on the other one is right
    reader.saved()
    verdict, lines = said(boxes, "doubled")
    assert (verdict, [(line["annotation_id"][-2:], line["change"]) for line in lines]) == (
        "edit", [("-0", "relabel"), ("-1", "drop")],
    )  # fmt: skip
    reader.check()


def test_a_class_that_is_missing_is_added_to_all_that_are_marked(browser: Any, tags: Server) -> None:
    reader = opened(browser, tags, 2)
    assert reader.desk(GROUPS) == ["bottle0 / 2", "cup0 / 1", "plate1 / 2", "missing plate1 / 1"]
    reader.press("]", "]", "]")
    reader.wait("desk.dataset.tiles === '1' && desk.querySelector('.grouphead').textContent.includes('lack')")
    reader.press("x")
    assert "Nothing is there yet" in reader.desk("desk.querySelector('.notice').textContent")
    reader.press("Enter")
    reader.saved()
    assert said(tags, "doubled")[1][0]["to"] == {"label": "plate"}
    reader.page.locator("button.group").filter(has_text="plate").first.click()
    reader.wait("desk.dataset.tiles === '2'")
    reader.press("x")
    reader.wait("desk.dataset.tiles === '1'")
    reader.saved()
    assert [line["change"] for line in said(tags, "swapped")[1]] == ["drop"]
    reader.check()


def test_class_names_are_text_whatever_is_in_them(browser: Any, tmp_path: Path) -> None:
    names = {"bottle": "<img src=x onerror=alert(1)>", "cup": "\u202egnp", "plate": "remove"}
    with serving(make_boxed_workspace(tmp_path / "workspace", names)) as server:
        reader = opened(browser, server, 3)
        groups = reader.desk(GROUPS)
        assert any("<img src=x onerror=alert(1)>" in text for text in groups)
        assert any("U+202E" in text for text in groups)
        reader.press("ArrowRight", "Enter")  # changed to the second one
        reader.saved()
        assert said(server, "swapped")[1][0]["to"] == "\u202egnp"
        reader.page.locator("button.group").filter(has_text="remove").click()
        reader.wait("desk.dataset.tiles === '1' && desk.querySelector('.grouphead').textContent.includes('remove')")
        reader.press("x")
        reader.saved()
        assert said(server, "fine")[1][0]["from"]["label"] == "remove"
        reader.check()


def test_pictures_that_one_reviewer_has_before_him_are_not_handed_to_another(browser: Any, boxes: Server) -> None:
    first = opened(browser, boxes, 3)
    second = Reader(browser, boxes.url, reviewer="bob", path="/?view=classes")
    second.wait("desk.querySelector('.empty h2')")
    assert second.desk("desk.querySelector('.empty h2').textContent") == "All taken"
    second.page.locator("button.group").filter(has_text="plate").click()
    second.wait("desk.dataset.tiles === '1'")
    first.press("s")
    first.saved()
    assert second.desk("desk.dataset.tiles") == "1"
    second.check()
    first.check()


def test_a_server_that_was_started_again_still_knows_what_a_key_was_about(browser: Any, boxes: Server) -> None:
    reader = opened(browser, boxes, 3)
    boxes.kill()
    reader.press("Enter")
    reader.wait("desk.dataset.pending === '1' && desk.dataset.tiles === '2'")
    boxes.start()
    reader.saved()
    assert [line["change"] for line in said(boxes, "doubled")[1]] == ["drop"]
    assert reader.errors == []
