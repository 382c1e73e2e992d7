"""`curate review`: the review app, in the browser."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from curation.commands.options import Command, common, option, print_json, run_argument, store_option
from curation.errors import NotFoundError, SettingsError

REVIEW = "Review"
PORT = 8501
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MEGABYTES = 200  # of one message between browser and server

# Colours of both themes; the components take theirs from here.
THEME = {
    "theme.baseRadius": "6px",
    "theme.light.primaryColor": "#2563eb",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f4f6",
    "theme.light.textColor": "#1f2328",
    "theme.dark.primaryColor": "#5b8def",
    "theme.dark.backgroundColor": "#16181d",
    "theme.dark.secondaryBackgroundColor": "#20232a",
    "theme.dark.textColor": "#e3e5e8",
}


@click.command(cls=Command)
@run_argument
@option(
    "--port",
    group=REVIEW,
    type=click.IntRange(1, 65535),
    help=f"Port to listen on (default: {PORT} or a free one after it).",
)
@option(
    "--host",
    group=REVIEW,
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than this machine only with authentication.",
)
@option("--no-browser", group=REVIEW, is_flag=True, help="Do not open the browser.")
@store_option
@common
def command(
    run_id: str | None, port: int | None, host: str, store: str, no_browser: bool, as_json: bool, workspace: Path
) -> None:
    """Correct labels in the browser, by keyboard.

    RUN is a run id or the beginning of one; without it, the latest run. Listens on this machine only, unless sign-in
    by OpenID Connect is configured ([auth] in .streamlit/secrets.toml).
    """
    from curation.runs import read_run

    run = read_run(workspace, run_id)  # what is missing is said here, not in the browser
    if host not in LOOPBACK and not _has_authentication(Path.cwd()):
        raise SettingsError(
            f"--host {host} would let everybody who can reach this machine change labels under any name. Configure "
            "sign-in first ([auth] in .streamlit/secrets.toml), or keep 127.0.0.1 and forward the port."
        )
    if _has_authentication(Path.cwd()) and (missing := _missing_for_sign_in()):
        raise SettingsError(
            f"Sign-in is configured in .streamlit/secrets.toml, but needs {missing}: pip install 'curate[auth]', or in "
            "a checkout pip install -e '.[auth]'."
        )
    port = _free_port(host, port)
    url = f"http://{'localhost' if host in LOOPBACK else host}:{port}"
    if as_json:
        print_json({"url": url, "run_id": run.run_id})
    else:
        click.echo(f"Review of run {run.run_id}: {url}\nStop it with Ctrl-C; everything decided is saved.")
    sys.stdout.flush()
    if click.get_current_context().get_parameter_source("store") is ParameterSource.ENVIRONMENT:
        store = ""  # the app reads it there; on a command line everybody on the machine would see the password
    parts = streamlit_command(workspace, run_id, store, host, port, not no_browser)
    os.execv(parts[0], parts)


def streamlit_command(
    workspace: Path, run_id: str | None, store: str, host: str, port: int, browser: bool
) -> list[str]:
    """What starts the app; in the place of this process, so that Ctrl-C and a service manager reach it."""
    script = _app_script()
    flags: dict[str, str] = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": str(not browser).lower(),
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "server.maxMessageSize": str(MEGABYTES),
        "server.maxUploadSize": "1",
        "browser.gatherUsageStats": "false",
        # Streamlit would go through all that is in memory after each answer, and let nobody else run meanwhile.
        "runner.postScriptGC": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "logger.hideWelcomeMessage": "true",
        "logger.level": "warning",  # else it names its server, below our own line
        **THEME,
    }
    # A page elsewhere whose name was made to lead here gets no answer.
    hosts = [f"--server.allowedHosts={name}" for name in LOOPBACK] if host in LOOPBACK else []
    given = ["--workspace", str(workspace.resolve()), *(["--run", run_id] if run_id else [])]
    given += ["--store", store] if store else []
    return [
        sys.executable, "-m", "streamlit", "run", str(script),
        *(f"--{name}={value}" for name, value in flags.items()), *hosts, "--", *given,
    ]  # fmt: skip


def _app_script() -> Path:
    """The app's file: beside the library, in a checkout as in a wheel. A path, because the library imports no app."""
    script = Path(__file__).parents[2] / "app" / "main.py"
    if not script.is_file():
        raise NotFoundError(f"The review app is not installed: {script} is missing. Install curate again.")
    return script


def _has_authentication(folder: Path) -> bool:
    """Whether Streamlit will find a sign-in provider: in the current folder or the user's home."""
    import tomllib

    for place in (folder, Path.home()):
        try:
            found = tomllib.loads((place / ".streamlit" / "secrets.toml").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found.get("auth"), dict) and found["auth"].get("cookie_secret"):
            return True
    return False


def _missing_for_sign_in() -> str:
    """The packages of the `auth` extra that are not installed."""
    return " and ".join(name for name in ("authlib", "httpx") if importlib.util.find_spec(name) is None)


def _free_port(host: str, wanted: int | None) -> int:
    candidates: Sequence[int] = [wanted] if wanted else range(PORT, PORT + 50)
    for port in candidates:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except OSError as error:
                reason = error.strerror or str(error)
    raise SettingsError(f"Port {candidates[-1]} on {host} cannot be used: {reason}. Choose another one with --port.")
