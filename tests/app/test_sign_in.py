"""Signing in with a real OpenID Connect provider: whose name stands beside a decision, whatever the browser says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import store
from tests.app.browsing import Reader, Server, browsing
from tests.app.provider import CLIENT, SECRET, Provider, providing
from tests.app.tabs import decision
from tests.app.workspaces import DATASET, make_workspace, sample_ids

pytestmark = pytest.mark.slow
IDS = sample_ids(30)

ANN = {"sub": "1", "name": "Ann", "email": "ann@example.org", "email_verified": True}
KIM = {"sub": "2", "name": "Kim"}
OTHER_KIM = {"sub": "3", "name": "Kim"}
IMPOSTOR = {"sub": "4", "name": "Ann", "email": "ann@example.org", "email_verified": False}


class SecureServer(Server):
    """`curate review` in a folder where sign-in is configured."""

    def __init__(self, workspace: Path, provider: Provider) -> None:
        self.provider = provider
        super().__init__(workspace)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        secrets = self.workspace / ".streamlit" / "secrets.toml"
        secrets.parent.mkdir(exist_ok=True)
        values = {
            "redirect_uri": f"{self.url}/oauth2callback",
            "cookie_secret": uuid.uuid4().hex,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "server_metadata_url": f"{self.provider.url}/.well-known/openid-configuration",
        }
        secrets.write_text("[auth]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        super().start()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("authlib", reason="authlib comes with the auth and dev extras")
    with browsing() as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SecureServer]:
    with providing() as provider:
        started = SecureServer(make_workspace(tmp_path / "workspace"), provider)
        try:
            yield started
        finally:
            started.kill()


def sign_in(browser: Any, server: SecureServer, account: dict[str, Any], reviewer: str = "", path: str = "/") -> Reader:
    """A browser of its own, signed in; `reviewer` is the name that it keeps from before."""
    server.provider.account = account
    reader = Reader(browser, server.url, reviewer=reviewer, path=path)
    reader.page.get_by_role("button", name="Sign in").click()
    reader.ready()
    return reader


def reviewers(server: Server) -> pd.Series:
    return store.decisions(store.open_store(server.workspace), DATASET)["reviewer"]


def test_decisions_carry_the_account_and_not_the_name_that_a_browser_keeps(browser: Any, server: SecureServer) -> None:
    reader = sign_in(browser, server, ANN, reviewer="the boss")
    assert "ann@example.org" in reader.desk("desk.querySelector('.top').textContent")
    reader.decide("Enter")
    reader.saved()
    room = f"{store.store_id(store.open_store(server.workspace))}:{DATASET}"
    forged = [{**decision("keep", IDS[20]), "reviewer": "the boss"}]
    reader.page.evaluate(
        "([room, actions]) => sessionStorage.setItem(`curate:pending:${room}`, JSON.stringify(actions))", [room, forged]
    )
    reader.page.reload()
    reader.ready()
    reader.saved()
    made = store.decisions(store.open_store(server.workspace), DATASET)
    assert IDS[20] in set(made["sample_id"])
    assert set(made["reviewer"]) == {"ann@example.org"}
    reader.page.goto(server.url + "/versions")
    field = reader.page.get_by_label("Your name").first
    field.wait_for()
    assert (field.input_value(), field.is_disabled()) == ("ann@example.org", True)


def test_accounts_with_the_same_name_are_different_reviewers(browser: Any, server: SecureServer) -> None:
    for account in (KIM, OTHER_KIM, IMPOSTOR, ANN):
        reader = sign_in(browser, server, account)
        reader.decide("Space")
        reader.saved()
        reader.context.close()
    names = reviewers(server).drop_duplicates().tolist()
    assert len(names) == 4
    assert [name.split(" (")[0] for name in names] == ["Kim", "Kim", "Ann", "ann@example.org"]


def test_who_signs_out_sees_nothing_any_more(browser: Any, server: SecureServer) -> None:
    reader = sign_in(browser, server, KIM)
    reader.page.get_by_test_id("stExpandSidebarButton").click()
    reader.page.get_by_role("button", name="Sign out").click()
    reader.page.get_by_text("Please sign in.").wait_for()
    reader.page.wait_for_timeout(1000)
    assert reader.desk("true") is None
