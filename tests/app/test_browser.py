"""The app in a real browser, by keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import manifest, store
from curation.review import search_labels
from tests.app.browsing import Reader, Server, browsing, serving
from tests.app.workspaces import DATASET, make_workspace, sample_ids

pytestmark = pytest.mark.slow
IDS = sample_ids(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(make_workspace(tmp_path / "workspace")) as started:
        yield started


def rows(server: Server) -> pd.DataFrame:
    return store.decisions(store.open_store(server.workspace), DATASET)


def test_twenty_items_by_keyboard_then_undo_then_publish(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, reviewer="")
    reader.page.keyboard.type("")
    reader.wait("desk.querySelector('.ask input')")
    reader.page.keyboard.type("ann")
    reader.press("Enter")
    reader.ready()

    reader.decide("Enter")  # copies with different labels: as proposed
    reader.decide("s")  # copies with one label: keep both under it
    for key in ("Space", "1", "Enter", "2", "h", "o", "b", "u", "k", "a", "d", "3", "Space", "1"):
        reader.decide(key)
    reader.decide("/", "o", "w", "Enter")
    reader.decide("m", "Enter")
    reader.press("n")
    reader.page.keyboard.type("a note")
    reader.decide("Enter", "Space")
    reader.decide("Space")
    reader.saved()
    made = rows(server)
    assert made["action_id"].nunique() == 20
    assert made["comment"].tolist().count("a note") == 1

    last = made["item_id"].iloc[-1]
    reader.press("z")
    reader.wait(f"desk.dataset.item === '{last}'")
    reader.press("Space")
    reader.saved()
    assert rows(server)["verdict"].tolist()[-2:] == ["undo", "keep"]

    reader.page.goto(server.url + "/versions")
    reader.page.get_by_label("Your name").first.fill("ann")
    reader.page.get_by_label("Message").first.fill("twenty items")
    reader.press("Enter")
    reader.page.get_by_text("Published v0002").wait_for()
    reader.check()

    folder = manifest.manifest_folder(server.workspace, DATASET)
    labels = manifest.read(folder, "v0002").set_index("sample_id")
    was = manifest.read(folder, "v0001").set_index("sample_id")
    assert manifest.read_header(folder, "v0002")["message"] == "twenty items"
    for row in rows(server).groupby("sample_id", sort=False).last().reset_index().to_dict("records"):
        now = labels.loc[row["sample_id"]] if row["sample_id"] else None
        if row["verdict"] == "relabel":
            assert [now["label"]] == json.loads(row["labels"])
        elif row["verdict"] == "exclude":
            assert (now["status"], now["reason"]) == ("excluded", row["reason"])
        elif row["verdict"] in ("keep", "hard", "unsure"):
            assert now["label"] == was.loc[row["sample_id"], "label"]
    assert (labels["status"] == "excluded").sum() == 4  # off-topic, broken, duplicate, and one copy of the case


def test_the_name_is_one_for_all_pages_whichever_is_opened_first(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.decide("s")
    reader.saved()
    reader.page.goto(server.url + "/versions")  # a new session, as in a new tab
    field = reader.page.get_by_label("Your name").first
    field.and_(reader.page.locator("[value=ann]")).wait_for()
    reader.check()

    other = Reader(browser, server.url, reviewer="", path="/versions")
    other.page.get_by_label("Your name").first.fill("bo")
    other.page.get_by_label("Message").first.fill("one case")
    other.press("Enter")
    other.page.get_by_text("Published v0002").wait_for()
    other.page.goto(server.url)
    other.ready()
    assert other.desk("desk.querySelector('.ask') === null && desk.querySelector('.top').textContent.includes('bo')")
    other.check()


def test_keys_in_quick_succession_are_all_recorded_once(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.press(*["Space"] * 5)
    reader.wait("desk.dataset.item")
    for _ in range(15):
        reader.wait("desk.dataset.item")
        reader.press("Space")
    reader.saved()
    made = rows(server)
    assert made["action_id"].nunique() == 20
    assert not made.duplicated(["item_id", "sample_id"]).any()
    reader.check()


def test_a_key_that_is_held_down_decides_once(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    for _ in range(5):
        reader.page.keyboard.down("Space")  # the second and later ones are repeats
    reader.page.keyboard.up("Space")
    reader.saved()
    assert rows(server)["action_id"].nunique() == 1
    reader.check()


def test_decisions_survive_a_server_that_is_killed(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.press("Space")
    reader.saved()
    server.kill()
    reader.press("Space", "Space", "Space")
    reader.wait("desk.querySelector('.banner')")
    assert "kept in this tab" in reader.desk("desk.querySelector('.banner').textContent")
    assert reader.desk("desk.dataset.pending") == "3"
    server.start()
    reader.saved()
    assert rows(server)["action_id"].nunique() == 4
    reader.check()


def test_what_was_not_saved_survives_a_reload(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    server.kill()
    reader.press("Space", "Space")
    assert reader.desk("desk.dataset.pending") == "2"
    server.start()
    reader.page.reload()
    assert reader.warned
    reader.ready()
    reader.saved()
    assert rows(server)["action_id"].nunique() == 2


def test_a_reload_finds_the_items_again_and_a_second_tab_others(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    first = reader.item
    reader.page.reload()
    reader.ready()
    assert reader.item == first
    other = Reader(browser, server.url, reviewer="bo")
    other.ready()
    assert other.item != first
    reader.check()
    other.check()


def test_an_item_that_somebody_else_has_by_now_is_said_and_passed_over(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    lost = reader.item
    engine = store.open_store(server.workspace)
    store.release(engine, DATASET, reader.page.evaluate("JSON.parse(sessionStorage.getItem('curate:tab'))"))
    (taken,) = store.claim(engine, DATASET, "bo", "another tab")  # as after a lease that expired
    assert taken.item_id == lost
    reader.press("ArrowRight", "ArrowLeft")
    reader.wait(f"desk.dataset.item && desk.dataset.item !== '{lost}'")
    reader.wait("desk.querySelector('.notice')")
    assert "somebody else" in reader.desk("desk.querySelector('.notice').textContent")
    reader.decide("Space")
    reader.saved()
    assert lost not in set(rows(server)["item_id"])
    reader.check()


def test_the_grid_decides_all_but_the_marked_ones_and_takes_them_back(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, path="/grid")
    reader.wait("desk.querySelectorAll('.tile').length > 2")
    shown = reader.desk("[...desk.querySelectorAll('.tile')].map((tile) => tile.dataset.id)")
    reader.press("ArrowRight", "Space")
    assert reader.desk("desk.dataset.excepted") == "1"
    reader.press("Enter")
    reader.saved()
    made = rows(server)
    assert made["action_id"].nunique() == 1
    assert set(made["sample_id"]) == {*shown} - {shown[1]}
    assert set(made["verdict"]) == {"relabel"}
    reader.press("z")
    reader.wait("desk.querySelectorAll('.tile').length > 2")
    reader.saved()
    assert rows(server)["verdict"].tolist()[-1] == "undo"
    states = store.progress(store.open_store(server.workspace), DATASET)
    assert set(states["state"]) == {"open"}
    reader.check()


def test_undo_on_the_grid_shows_the_group_again_its_exceptions_marked(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, path="/grid")
    reader.wait("desk.querySelectorAll('.tile').length > 2")
    assert reader.desk("desk.dataset.undo") == "no"
    shown = reader.desk("[...desk.querySelectorAll('.tile')].map((tile) => tile.dataset.id)")
    reader.press("Space", "ArrowRight")
    reader.press("i", "ArrowRight", "Enter")  # all but the first are exceptions
    reader.saved()
    assert set(rows(server)["sample_id"]) == {shown[0]}
    assert reader.desk("desk.dataset.undo") == "yes"
    assert reader.desk("desk.querySelector('.aside').textContent").startswith(f"{len(shown) - 1} set aside")
    reader.press("z")
    reader.wait("desk.querySelectorAll('.tile.excepted').length > 1")
    assert reader.desk("[...desk.querySelectorAll('.tile')].map((tile) => tile.dataset.id)") == shown
    assert reader.desk("desk.dataset.excepted") == str(len(shown) - 1)
    assert "Taken back: you changed the label" in reader.desk("desk.querySelector('.notice').textContent")
    reader.press("Enter")
    reader.saved()
    reader.desk("desk.querySelector('.aside').click()")
    reader.wait(f"{shown[1:]}.includes(desk.dataset.item)")
    reader.check()


def test_a_link_to_nothing_decides_nothing_before_it_was_acknowledged(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, path="/duplicates?item=d" + "0" * 16)
    reader.wait("desk.querySelector('.empty h2')?.textContent.includes('leads to no item')")
    reader.press("1", "k", "u")
    assert reader.item == ""
    reader.press("Enter")
    reader.ready()
    assert rows(server).empty
    assert reader.desk("desk.dataset.pending") == "0"
    reader.decide("Space")
    reader.check()


def test_keys_that_mean_nothing_say_what_does_and_move_nothing(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, path=f"/?item={IDS[20]}")
    reader.wait(f"desk.dataset.item === '{IDS[20]}'")
    place = "desk.querySelector('.body').getBoundingClientRect().top"
    before = reader.desk(place)
    reader.press("9")
    reader.wait("desk.querySelector('.notice')?.textContent.includes('means nothing here')")
    assert reader.desk(place) == before
    assert reader.item == IDS[20]
    shown = reader.desk("desk.querySelector('.stage img').getBoundingClientRect().height")
    reader.press("f")
    assert reader.desk("desk.querySelector('.zoom img').getBoundingClientRect().height") > 1.1 * shown
    reader.check()


def test_differences_that_there_are_not_are_said_and_not_shown_on_the_next_case(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, path="/duplicates")
    reader.ready()
    reader.press("e")
    reader.wait("desk.querySelector('.notice')?.textContent.includes('no difference is visible')")
    assert reader.desk("desk.querySelector('.members.differ')") is None
    reader.check()


@pytest.mark.parametrize("width", [1280, 800])
def test_buttons_and_tabs_stay_where_they_are(browser: Any, server: Server, width: int) -> None:
    reader = Reader(browser, server.url, path=f"/?item={IDS[20]}")
    reader.page.set_viewport_size({"width": width, "height": 800})
    reader.wait(f"desk.dataset.item === '{IDS[20]}'")
    first = "desk.querySelector('.buttons button').getBoundingClientRect()"
    assert reader.desk(f"{first}.top === desk.querySelector('.undo').getBoundingClientRect().top")
    seen = "[...desk.querySelectorAll('.given, .why, .bars')].every((n) => n.getBoundingClientRect().bottom < 800)"
    assert reader.desk(seen)
    link = reader.page.get_by_role("link", name="Grid")
    before = link.bounding_box()
    reader.page.get_by_role("link", name="Overview").click()
    reader.page.get_by_text("Nothing is decided yet").wait_for()
    assert link.bounding_box() == before
    reader.check()


def test_typing_finds_classes_in_the_order_of_the_library(browser: Any, tmp_path: Path) -> None:
    labels = [
        "Katze",
        "wild cat",
        "cat",
        "Café",
        "catfish",
        "bobcat",
        "Ölung",
        "old owl",
        "polecat",
        "sea-cat",
        "犬",
        "ß",
    ]
    with serving(make_workspace(tmp_path / "workspace", labels=labels, count=24)) as server:
        reader = Reader(browser, server.url, path=f"/?item={IDS[20]}")
        reader.wait(f"desk.dataset.item === '{IDS[20]}'")
        names = sorted(labels, key=str.casefold)
        for text in ("cat", "CAFE", "o", "ol", "犬", "ss", "nothing"):
            reader.press("/")
            reader.wait("desk.querySelector('.picker input')")
            reader.page.keyboard.type(text)
            found = reader.desk(
                "[...desk.querySelectorAll('.picker .choice .label')].map((label) => label.textContent)"
            )
            wanted = search_labels(names, text, 50)
            assert sorted(found) == sorted(wanted), text
            assert found[:1] == wanted[:1], text
            reader.press("Escape")
        reader.press("/")
        reader.page.keyboard.type("brand new")
        reader.press("Enter")
        assert "no class" in reader.desk("desk.querySelector('.picker .hint').textContent")
        assert reader.item == IDS[20]
        reader.press("Enter")
        reader.saved()
        assert rows(server)["labels"].tolist() == ['["brand new"]']
        reader.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_draws_in_both_themes(browser: Any, server: Server, scheme: str) -> None:
    reader = Reader(browser, server.url, color_scheme=scheme)
    reader.ready()
    reader.press("Enter", "Enter", "Space")
    reader.saved()
    for path, text in [
        ("/duplicates", "No duplicates are open"),
        ("/overview", "Found by looking"),
        ("/versions", "To be published"),
    ]:
        reader.page.goto(server.url + path)
        reader.page.get_by_text(text).first.wait_for()
        background = reader.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        channels = [int(part) for part in background.strip("rgba()").split(",")[:3]]
        assert (sum(channels) > 600) == (scheme == "light"), (path, background)
    reader.check()


@pytest.mark.parametrize("keyboard", [False, True])
def test_keys_work_right_after_a_page_is_opened_through_the_top_bar(
    browser: Any, server: Server, keyboard: bool
) -> None:
    reader = Reader(browser, server.url, path="/overview")

    def go(page: str) -> None:
        before = reader.desk("desk.dataset.scope") or ""
        link = reader.page.get_by_role("link", name=page)
        link.wait_for()
        if keyboard:
            link.focus()
            reader.press("Tab", "Shift+Tab", "Enter")
        else:
            link.click()
        reader.wait(f"desk.dataset.scope !== '{before}' && (desk.dataset.item || desk.dataset.group)")

    go("Grid")
    reader.press("Space")
    assert reader.desk("desk.dataset.excepted") == "1"
    reader.press("Enter")
    reader.saved()
    assert rows(server)["action_id"].nunique() == 1
    go("Duplicates")
    reader.decide("Enter")
    go("Review")
    reader.decide("Space")
    reader.saved()
    assert rows(server)["action_id"].nunique() == 3
    reader.check()


def test_a_click_beside_everything_draws_no_frame_around_the_page(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.page.mouse.click(700, 895)
    reader.press("ArrowRight")
    style = reader.page.evaluate(
        "(() => { const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);"
        " return [document.activeElement.tagName, outlineStyle, boxShadow]; })()"
    )
    assert style[1:] == ["none", "none"], style
    reader.decide("Space")
    reader.check()


def test_a_button_that_was_reached_with_the_tabulator_is_pressed_by_space(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.page.get_by_role("button", name="? keys").focus()
    reader.press("Shift+Tab", "Tab", "Space")
    assert reader.desk("Boolean(desk.querySelector('.box.help'))")
    reader.press("Escape")
    assert rows(server).empty
    reader.check()
