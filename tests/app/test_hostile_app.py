"""Labels, file names, names of reviewers and addresses that try something: shown as they are, and nothing happens."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from curation import store
from tests.app.browsing import Reader, Server, browsing, serving
from tests.app.workspaces import DATASET, make_workspace

pytestmark = pytest.mark.slow

MARK = "window.hacked=1"
LABELS = (
    f"<script>{MARK}</script>",
    f"<img src=x onerror='{MARK}'>",
    f"[click](javascript:{MARK})",
    "![shot](http://192.0.2.1/a.png)",
    "**bold** :material/delete: :red[red] $\\frac{1}{2}$ :smile:",
    "=cmd|' /C calc'!A0",
    "\u202egpj.cat",
    "a\nb\tc\x1b[31m",
    " cat ",
    "x' OR '1'='1",
    "100%_",
    "user__password",
    "nan",
    "../../etc/passwd",
    "y" * 20_000,
    "</style><style>*{display:none}</style>",
)
NAMES = (
    f"<img src=x onerror={MARK}>.png".replace("/", "_"),
    "a'b\"c,d;e.png",
    "-rf.png",
    "\u202egnp.exe.png",
    ":material_delete:.png",
    "[x](javascript:alert(1)).png",
)
REVIEWER = f"<b onmouseover={MARK}>**bo** :smile:</b>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile") / "workspace"
    with serving(make_workspace(folder, count=8 * len(LABELS), labels=LABELS, names=NAMES)) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


def check(reader: Reader) -> None:
    """Nothing ran, nothing was made of the labels but text."""
    assert reader.page.evaluate("window.hacked") is None
    made = "[onerror], [onmouseover], a[href^='javascript'], img[src^='http'], img[src='x']"
    for selector in (f'document.querySelectorAll("{made}")', f'desk.querySelectorAll("{made}")'):
        if selector.startswith("document") or reader.desk("1"):
            found = (
                reader.desk(f"{selector}.length") if reader.desk("1") else reader.page.evaluate(f"{selector}.length")
            )
            assert found == 0, selector
    reader.check()


def test_labels_and_file_names_are_text_on_the_review_page(browser: Any, server: Server) -> None:
    reader = Reader(browser, server.url, reviewer=REVIEWER)
    reader.ready()
    seen = []
    for _ in range(20):
        seen.append(reader.desk("desk.textContent"))
        reader.decide("Space")
    reader.saved()
    for text in (
        "<script>window.hacked=1</script>",
        "[click](javascript:window.hacked=1)",
        ":material/delete:",
        "⟨U+202E⟩gpj.cat",
    ):
        assert any(text in page for page in seen), text
    assert any("␣cat␣" in page for page in seen)
    assert any("(20,000 characters)" in page for page in seen)
    reader.press("/")
    reader.wait("desk.querySelector('.picker .choice')")
    reader.page.keyboard.type("<script")
    assert reader.desk("desk.querySelectorAll('.picker .choice').length") == 1
    reader.press("Enter")
    reader.saved()
    check(reader)
    made = store.decisions(store.open_store(server.workspace), DATASET)
    assert set(made["reviewer"]) == {REVIEWER}
    assert json.loads(made["labels"].iloc[-1]) == [LABELS[0]]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/grid", "Groups"),
        ("/duplicates", "decided"),
        ("/overview", "Corrected most"),
        ("/versions", "To be published"),
    ],
)
def test_labels_and_file_names_are_text_on_the_other_pages(browser: Any, server: Server, path: str, text: str) -> None:
    reader = Reader(browser, server.url, reviewer=REVIEWER)
    reader.ready()
    reader.decide("1")
    reader.saved()
    reader.page.goto(server.url + path)
    reader.page.get_by_text(text).first.wait_for()
    reader.page.wait_for_timeout(1500)
    check(reader)


@pytest.mark.parametrize("theme", ["light"])
def test_filters_offer_labels_as_text(browser: Any, server: Server, theme: str) -> None:
    reader = Reader(browser, server.url)
    reader.ready()
    reader.page.get_by_test_id("stExpandSidebarButton").click()
    reader.page.get_by_label("Given label").click()
    reader.page.get_by_role("option").filter(has_text="<script>").first.wait_for()
    reader.press("Escape")
    check(reader)


@pytest.mark.parametrize(
    "query",
    [
        "?item=<script>window.hacked=1</script>",
        "?item=../../etc/passwd",
        "?item=" + "x" * 10_000,
        "?view=../../main&page=-1",
        "?view=overview&page=999999999999",
        "?view=versions&page=-5&item=%00",
        "?reviewer=admin&session=0",
    ],
)
def test_addresses_that_try_something_change_nothing(browser: Any, server: Server, query: str) -> None:
    reader = Reader(browser, server.url, path="/" + query)
    reader.page.get_by_text("Review").first.wait_for()
    reader.page.wait_for_timeout(1500)
    check(reader)


@pytest.mark.parametrize(
    ("host", "origin", "accepted"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", True),
        ("localhost:{port}", "http://localhost:{port}", True),
        ("evil.example:{port}", "http://evil.example:{port}", False),
        ("127.0.0.1:{port}", "http://evil.example", False),
    ],
)
def test_only_pages_of_our_own_can_talk_to_the_server(server: Server, host: str, origin: str, accepted: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {
        "Host": host.format(port=server.port),
        "Origin": origin.format(port=server.port),
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    assert (connection.getresponse().status == 101) == accepted
    connection.close()
