"""What all tests share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from curation import store
from tests.databases import Server, running_server

# Test processes run side by side: two OpenMP pools on two cores wait for each other more than they work. Set before
# torch is imported, and inherited by every command that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """Streamlit's AppTest leaves its script behind as `__main__`, which a process that is spawned later would run."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A real PostgreSQL server, one per test process."""
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_target(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a review store can be made, once for each kind of database: a workspace folder, or a URL."""
    if request.param == "sqlite":
        return tmp_path / "workspace"
    server: Server = request.getfixturevalue("postgresql_server")
    return server.empty_database()


@pytest.fixture
def engine(store_target: Path | str) -> Iterator[Engine]:
    """An empty review store, once for each kind of database."""
    opened = store.open_store(store_target)
    yield opened
    opened.dispose()
