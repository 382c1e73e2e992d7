"""Pictures that say how many of each class they show, in a real browser: accepted, one more, one fewer, typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation import manifest, store
from curation.manifest.publish import publish
from tests.app.annotated import DATASET, IDS, make_counted_workspace
from tests.app.browsing import Reader, Server, browsing, serving
from tests.app.test_annotated import said

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Server]:
    with serving(make_counted_workspace(tmp_path / "workspace")) as started:
        yield started


def shown(reader: Reader) -> dict[str, int]:
    """Class -> how many, as it stands on the page."""
    found = reader.desk("Object.fromEntries([...desk.querySelectorAll('.tally')].map((n) => [n.dataset.label, "
                        "Number(n.dataset.count)]))")  # fmt: skip
    return dict(found)


def published(server: Server) -> dict[str, Counter[str]]:
    """What each picture has in the version that the decisions so far make."""
    folder = manifest.manifest_folder(server.workspace, DATASET)
    publish(folder, store.open_store(server.workspace), DATASET, "reviewed", "lead")
    rows = manifest.read(folder, str(manifest.version_files.head(folder)))
    return {name: Counter(rows.loc[rows["sample_id"] == key, "label"]) for name, key in IDS.items()}


def test_one_key_accepts_the_number_and_plus_and_minus_change_it(browser: Any, counted: Server) -> None:
    reader = Reader(browser, counted.url)
    reader.ready()
    assert reader.item == IDS["doubled"]
    assert shown(reader) == {"bottle": 1, "cup": 2}
    assert "bottle" in reader.desk("desk.querySelector('.does').textContent")
    assert reader.desk("desk.querySelector('.tally.chosen').dataset.label") == "bottle"
    reader.press("+")
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '2'")
    reader.decide("Enter")  # three, however many they were made before
    assert reader.item == IDS["swapped"]
    reader.press("-")
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '3'")
    reader.press("ArrowDown")
    reader.press("+")
    reader.press("+")
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '3'")
    assert shown(reader) == {"cup": 3, "plate": 3}
    reader.press("z")
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '2'")
    reader.decide("s")
    reader.saved()
    verdict, lines = said(counted, "doubled")
    assert (verdict, [line["change"] for line in lines]) == ("edit", ["add", "add"])
    assert len({line["annotation_id"] for line in lines}) == 2
    assert published(counted) == {
        "doubled": {"bottle": 3, "cup": 2},
        "fine": {"plate": 1},
        "swapped": {"cup": 3, "plate": 2},
    }
    reader.check()


def test_a_number_is_typed_and_all_can_be_taken_back(browser: Any, counted: Server) -> None:
    reader = Reader(browser, counted.url)
    reader.ready()
    for digit in "12":
        reader.press(digit)
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '12'")
    reader.press("Escape")
    reader.wait("desk.dataset.draft === '0'")
    assert shown(reader) == {"bottle": 1, "cup": 2}
    reader.press("0")
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '0'")
    reader.decide("Space")  # as it stands: the change is kept
    reader.saved()
    verdict, lines = said(counted, "doubled")
    assert (verdict, [line["change"] for line in lines]) == ("edit", ["drop"])
    assert lines[0]["annotation_id"] == f"{IDS['doubled']}-0"
    reader.press("z")
    reader.wait(f"desk.dataset.item === '{IDS['doubled']}' && desk.dataset.draft === '0'")
    reader.decide("Space")
    reader.saved()
    assert said(counted, "doubled") == ("keep", [])
    reader.check()


def test_the_mouse_counts_and_another_class_is_added(browser: Any, counted: Server) -> None:
    reader = Reader(browser, counted.url)
    reader.ready()
    plus, minus = "[aria-label='one more: cup']", "[aria-label='one fewer: bottle']"
    reader.page.click(plus)
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '3'")
    reader.page.click(minus)
    reader.wait("desk.querySelector('.tally.chosen').dataset.count === '0'")
    assert reader.desk(f'desk.querySelector("{minus}").disabled')
    reader.press("/")
    reader.wait("desk.querySelector('.picker input')")
    reader.page.keyboard.type("plate")
    reader.press("Enter")
    reader.wait("desk.querySelectorAll('.tally').length === 3")
    assert shown(reader) == {"bottle": 0, "cup": 3, "plate": 1}
    reader.decide("s")
    reader.saved()
    assert published(counted)["doubled"] == {"cup": 3, "plate": 1}
    reader.check()
