"""Draw docs/demo.svg, the README's picture, from what `curate demo` really prints. Run by `make picture`.

Only the seconds that the run took differ from one drawing to the next.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from curation import demo
from curation.commands.demo import print_comparison
from curation.commands.summary import print_next, print_summary
from curation.runs import read_run
from curation.terminal import RichProgress

WIDTH = 92  # columns
OUTPUT = Path(__file__).parents[1] / "docs" / "demo.svg"


def main(workspace: Path, output: Path) -> None:
    with RichProgress() as progress:
        result = demo.run(workspace, progress)  # an unchanged demo is not scored again
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, markup=False, emoji=False, highlight=False
    )
    console.print("$ curate demo", style="bold")
    print_summary(read_run(workspace, result["run_id"]), console, progress.said)
    print_comparison(result, console)
    print_next(workspace, console)
    picture = console.export_svg(title="curate demo", unique_id="demo")
    # The font would be fetched from outside; every system has a monospaced one.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace(
        "font-family: Fira Code, monospace", "font-family: ui-monospace, Menlo, Consolas, monospace"
    )
    output.parent.mkdir(exist_ok=True)
    output.write_text(picture, encoding="utf-8")
    print(f"{output}: {len(picture) / 1024:.0f} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"), Path(sys.argv[2]) if len(sys.argv) > 2 else OUTPUT)
