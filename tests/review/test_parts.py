"""One class at a time: tiles worst first, what is said of some boxes of a picture, and what that says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curation import review, store
from curation.decisions import Action
from curation.errors import SettingsError
from curation.review import Context, verdict_action
from curation.review.cards import Card
from curation.review.cutouts import cutout_bytes, frame_in, region_around
from curation.review.earlier import explain_earlier, explain_undone
from curation.review.parts import Told, part_action, with_part
from curation.review.tiles import GIVEN, MISSING, ClassIndex, Tile
from curation.seen import read_part, read_seen
from curation.store import Filters, find_items
from curation.store.earlier import said_in, said_of
from tests.app.annotated import BOXES, DATASET, IDS, SIZE, make_boxed_workspace, make_tagged_workspace
from tests.review.test_several import Place

DOUBLED, FINE, SWAPPED = (IDS[name] for name in ("doubled", "fine", "swapped"))


class Desk(Place):
    """A place with its classes, as a page of one class has them."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.told = self.classes()
        self.count = 0

    def classes(self) -> Told:
        items = self.queue.items
        alone = items.loc[items["kind"] == "sample", "item_id"].tolist()
        index, known = review.open_index(self.run), self.queue.annotations
        return Told(lambda: ClassIndex(index, known, alone))

    def tiles(self, label: str, kind: str = GIVEN) -> list[Tile]:
        self.told.update(lambda since: store.decisions(self.engine, DATASET, since))
        classes = self.told.classes
        return classes.tiles(classes.places(kind, label, self.told.answered()))

    def say(self, tiles: list[Tile], name: str, by: str = "ann", label: str = "", **more: Any) -> dict[str, str]:
        self.count += 1
        self.tiles("")
        cards = {tile.sample_id: self.card(tile.sample_id) for tile in tiles}
        action = part_action(
            tiles, name, Context(DATASET, by), cards.__getitem__, lambda one: self.told.said.part(one, by),
            label=label, action_id=f"{self.count:032x}", **more,
        )  # fmt: skip
        return store.record(self.engine, action).states

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        self.tiles("")
        return self.told.classes.counts(self.told.answered())

    def shown(self, item_id: str, by: str = "ann") -> Card:
        self.tiles("")
        (card,) = with_part([self.card(item_id)], self.told, by)
        return card


def keys(tiles: list[Tile]) -> list[str]:
    return [f"{next(name for name, key in IDS.items() if key == tile.sample_id)} {tile.key[-2:]}" for tile in tiles]


@pytest.fixture
def boxed(tmp_path: Path) -> Desk:
    return Desk(make_boxed_workspace(tmp_path / "workspace"))


@pytest.fixture
def tagged(tmp_path: Path) -> Desk:
    return Desk(make_tagged_workspace(tmp_path / "workspace"))


# --- tiles


def test_all_boxes_of_a_class_come_worst_first_with_what_is_proposed(boxed: Desk) -> None:
    tiles = boxed.tiles("bottle")
    assert keys(tiles) == ["doubled -1", "swapped -0", "doubled -0"]
    assert [tile.is_suspect for tile in tiles] == [True, True, False]
    assert [[line["change"] for line in tile.proposal] for tile in tiles] == [["drop"], ["relabel"], []]
    assert tiles[0].box == BOXES["doubled"][1][1]
    assert [one.annotation_id for one in tiles[0].others] == [f"{DOUBLED}-0"]
    assert boxed.counts() == {(GIVEN, "bottle"): (2, 3), (GIVEN, "cup"): (0, 1), (GIVEN, "plate"): (0, 1)}
    again = boxed.told.classes.tile(tiles[0].sample_id, tiles[0].key)
    assert again == tiles[0]
    assert boxed.told.classes.tile(DOUBLED, "nothing") is None


def test_pictures_that_have_a_class_and_those_that_may_lack_it(tagged: Desk) -> None:
    assert keys(tagged.tiles("plate")) == ["swapped -1", "fine -0"]
    (lacks,) = tagged.tiles("plate", MISSING)
    assert (lacks.sample_id, lacks.annotation, lacks.box) == (DOUBLED, None, None)
    assert lacks.proposal[0]["to"] == {"label": "plate"}
    assert tagged.told.classes.tile(DOUBLED, lacks.key) == lacks
    assert tagged.counts()[MISSING, "plate"] == (1, 1)


def test_a_box_is_shown_with_what_surrounds_it(boxed: Desk) -> None:
    assert region_around((20, 20, 50, 90), 200, 150) == (0.0, 0.0, 162.0, 150.0)
    region = region_around((100, 60, 10, 20), 200, 150)
    assert region == (87.0, 52.0, 36.0, 36.0)
    x, y, w, h = frame_in((100, 60, 10, 20), region)
    assert (x * 36 + 87, y * 36 + 52, w * 36, h * 36) == pytest.approx((100, 60, 10, 20))
    root, samples = boxed.run.info["root"], review.open_index(boxed.run).samples
    content, mime, shown = cutout_bytes(Path(root), samples, FINE, (30, 40, 80, 60), 256)
    assert mime in ("image/png", "image/jpeg")
    assert content[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
    assert shown == region_around((30, 40, 80, 60), *SIZE)
    for box in ((300, 300, 5, 5), (10, 10, 0, 0)):  # beyond the picture, without area
        assert cutout_bytes(Path(root), samples, FINE, box, 64)[0]
    assert cutout_bytes(Path(root), samples, "gone", (0, 0, 1, 1), 64)[1:] == ("image/png", None)


# --- what is said of some boxes


def test_several_boxes_of_one_picture_become_one_decision(boxed: Desk) -> None:
    first, second, third = boxed.tiles("bottle")
    states = boxed.say([first, third], "relabel", label="plate")
    assert set(states) == {DOUBLED}
    rows = store.effective(boxed.engine, DATASET)
    assert rows["verdict"].tolist() == ["edit"]
    boxed.say(boxed.tiles("cup"), "drop")  # the same picture, another key
    (card,) = (boxed.shown(DOUBLED),)
    assert [(line["annotation_id"][-2:], line["change"]) for line in card.said] == [
        ("-0", "relabel"), ("-1", "relabel"), ("-2", "drop"),
    ]  # fmt: skip
    assert len(store.effective(boxed.engine, DATASET)) == 1
    assert keys(boxed.tiles("bottle")) == ["swapped -0"]
    boxed.say([second], "accept")
    assert boxed.publish() == {
        "doubled": [("plate", (20, 20, 50, 90)), ("plate", (22, 22, 50, 88))],
        "fine": [("plate", (30, 40, 80, 60))],
        "swapped": [("cup", (60, 30, 70, 70))],
    }


def test_that_one_box_is_right_says_nothing_of_the_picture(boxed: Desk) -> None:
    (_, _, plain) = boxed.tiles("bottle")
    assert boxed.say([plain], "right") == {DOUBLED: "open"}  # its finding is about another box
    row = store.decisions(boxed.engine, DATASET).iloc[-1]
    assert (row["verdict"], read_part(row["seen"]), set(read_seen(DOUBLED, row["seen"]))) == (
        "keep", "waits", {plain.key},
    )  # fmt: skip
    assert [item.item_id for item in find_items(boxed.engine, DATASET, reviewer="ann")] == [DOUBLED, SWAPPED, FINE]
    card = boxed.shown(DOUBLED)
    assert (card.confirmed, card.said, len(card.findings)) == ((plain.key,), (), 1)
    assert boxed.shown(DOUBLED, by="bob").confirmed == ()
    assert store.verdicts(boxed.engine, DATASET).empty
    assert keys(boxed.tiles("bottle")) == ["doubled -1", "swapped -0"]
    (said,) = said_of(boxed.engine, DATASET, [DOUBLED])[DOUBLED]
    assert "found 1 annotation right" in "".join(explain_earlier(said, "ann"))


def test_a_picture_is_decided_when_all_that_was_found_has_an_answer(boxed: Desk) -> None:
    first, _, plain = boxed.tiles("bottle")
    boxed.say([plain], "right")
    assert boxed.say([first], "accept") == {DOUBLED: "done"}
    assert keys(boxed.tiles("cup")) == ["doubled -2"]  # nobody has looked at that one yet
    assert boxed.say(boxed.tiles("cup"), "right") == {DOUBLED: "done"}
    assert boxed.shown(DOUBLED).findings == ()
    waiting = boxed.say(boxed.tiles("bottle"), "accept", by="bob", may_settle=False)
    assert waiting == {SWAPPED: "open"}  # an audit wants somebody who looks at the whole picture
    assert boxed.say(boxed.tiles("plate"), "right") == {FINE: "open"}  # nothing was found there


def test_whoever_looks_at_the_whole_picture_starts_from_what_was_said_and_has_the_last_word(boxed: Desk) -> None:
    first = boxed.tiles("bottle")[0]
    boxed.say([first], "drop", may_settle=False)
    card = boxed.shown(DOUBLED)
    lines = [{"change": line["change"], "annotation_id": line["annotation_id"], "to": line["to"]} for line in card.said]
    more = {"change": "relabel", "annotation_id": f"{DOUBLED}-2", "to": "plate"}
    action = verdict_action(card, "edit", Context(DATASET, "ann"), edits=[*lines, more])
    assert store.record(boxed.engine, action).states == {DOUBLED: "done"}
    assert boxed.tiles("cup") == []
    assert boxed.publish()["doubled"] == [("bottle", (20, 20, 50, 90)), ("plate", (120, 60, 40, 40))]


def test_undo_takes_back_one_key_and_leaves_what_was_said_before(boxed: Desk) -> None:
    first, second, third = boxed.tiles("bottle")
    boxed.say([third], "right")
    boxed.say([first, second], "accept")
    undone = store.undo(boxed.engine, DATASET, "ann", undo_id="u1")
    assert undone is not None
    assert set(undone.items) == {DOUBLED, SWAPPED}
    said = said_in(boxed.engine, DATASET, undone.action_id)
    assert said is not None
    assert "2 pictures" in "".join(explain_undone(said))
    assert keys(boxed.tiles("bottle")) == ["doubled -1", "swapped -0"]
    assert boxed.shown(DOUBLED).confirmed == (third.key,)


def test_two_who_say_otherwise_of_one_box_disagree_and_of_two_boxes_do_not(boxed: Desk) -> None:
    first, second, third = boxed.tiles("bottle")
    assert boxed.say([first], "drop", may_settle=False) == {DOUBLED: "open"}
    assert boxed.say([third], "right", by="bob") == {DOUBLED: "open"}
    assert boxed.say([first], "right", by="bob") == {DOUBLED: "disagreement"}
    assert keys(boxed.tiles("bottle")) == ["swapped -0"]
    assert boxed.say([second], "relabel", label="cup") == {SWAPPED: "done"}


def test_a_whole_picture_that_is_excluded_is_not_contradicted_by_one_box(boxed: Desk) -> None:
    first = boxed.tiles("bottle")[0]
    boxed.say([first], "drop", may_settle=False)
    assert boxed.press(DOUBLED, "off-topic", by="bob") == "done"


def test_two_opinions_are_of_whole_pictures(boxed: Desk) -> None:
    store.set_policy(boxed.engine, DATASET, second_opinion=1.0)
    first = boxed.tiles("bottle")[0]
    assert boxed.say([first], "drop", may_settle=False) == {DOUBLED: "open"}
    assert len(boxed.publish()["doubled"]) == 3  # nothing is published yet


def test_what_is_missing_is_added_or_is_not_missing(tagged: Desk) -> None:
    tile = tagged.tiles("plate", MISSING)
    assert tagged.say(tile, "right") == {DOUBLED: "done"}
    assert tagged.tiles("plate", MISSING) == []
    assert tagged.shown(DOUBLED).findings == ()
    assert tagged.say(tile, "accept", by="bob") == {DOUBLED: "disagreement"}
    store.undo(tagged.engine, DATASET, "ann", undo_id="u1")
    assert tagged.publish()["doubled"] == [("bottle", None), ("cup", None), ("plate", None)]


def test_after_publishing_the_rest_of_a_picture_goes_on(boxed: Desk) -> None:
    first = boxed.tiles("bottle")[0]
    boxed.say([first], "drop", may_settle=False)
    boxed.publish()
    boxed.card(DOUBLED)
    boxed.told = boxed.classes()
    assert keys(boxed.tiles("bottle")) == ["swapped -0", "doubled -0"]
    assert boxed.say(boxed.tiles("cup"), "relabel", label="plate", may_settle=False) == {DOUBLED: "open"}
    assert boxed.publish()["doubled"] == [("bottle", (20, 20, 50, 90)), ("plate", (120, 60, 40, 40))]


def test_what_is_only_thought_to_be_missing_cannot_be_removed(tagged: Desk) -> None:
    with pytest.raises(SettingsError, match="nothing to remove"):
        tagged.say(tagged.tiles("plate", MISSING), "drop")


def test_what_cannot_be_said_of_a_tile_is_refused(boxed: Desk) -> None:
    tiles = boxed.tiles("bottle")
    for name, chosen, why in (
        ("explode", tiles, "no action 'explode'"), ("accept", tiles[2:], "Nothing is proposed"),
        ("relabel", tiles, "Choose one class"), ("right", [], "about no picture"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=why):
            boxed.say(list(chosen), name)


def test_an_action_of_many_tiles_is_one(boxed: Desk) -> None:
    tiles = boxed.tiles("bottle")
    action: Action = part_action(
        tiles, "right", Context(DATASET, "ann"), boxed.card, lambda _: None, action_id="f" * 32
    )  # fmt: skip
    assert [decision.item_id for decision in action.decisions] == [DOUBLED, SWAPPED]
    assert store.record(boxed.engine, action).new
    assert not store.record(boxed.engine, action).new
    assert find_items(boxed.engine, DATASET, Filters(state="done", item_ids=(SWAPPED,)))
