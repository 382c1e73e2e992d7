"""The files of a network for use: tensors, one JSON file that says what they are, and a card for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation.errors import NotFoundError, SettingsError, WeightsError
from curation.explain import visible
from curation.files import write_atomic, write_json
from curation.proving.compare import MEASURES
from curation.training.plan import Plan, choose_plan
from curation.wording import counted

FORMAT = "curate-model-1"


def check_output(output: Path) -> None:
    """Refuse a folder that holds something else.

    Raises
    ------
    SettingsError
    """
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / "model.json").exists())):
        raise SettingsError(f"{output} is there already and no model of curate: choose another --output.")


def write_model(output: Path, state: dict[str, Any], facts: dict[str, Any], what: str) -> None:
    """Write weights, card and, last, model.json.

    Raises
    ------
    WorkspaceError : `output` cannot be written.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    (output / "model.json").unlink(missing_ok=True)  # from here on until it is written again, nothing is complete
    content = save(tensors, {"format": FORMAT})
    option = "--output DIR"
    write_atomic(output / "weights.safetensors", lambda stream: stream.write(content), "weights", option=option)
    text = card(facts, what).encode()
    write_atomic(output / "README.md", lambda stream: stream.write(text), "card", option=option)
    write_json(output / "model.json", facts, "model")


def read_model(folder: Path, device: str, assemble: Callable[[dict[str, Any], Plan, dict[str, Any]], Any]) -> Any:
    """(network, facts, plan) of a model; nothing in it is ever unpickled.

    assemble : (facts, plan on the chosen device, tensors) -> network

    Raises
    ------
    NotFoundError : there is none.
    WeightsError : it is damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise WeightsError(f"{folder} is a model of format {str(facts['format'])[:50]!r}, not {FORMAT}.")
        fields = {name: facts["plan"][name] for name in Plan.__dataclass_fields__}
        chosen = choose_plan("compact", device=device).device
        plan = Plan(**{**fields, "device": chosen, "weights": "none", "why": ()})
        network = assemble(facts, plan, load_file(folder / "weights.safetensors"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{folder} holds no model; make one with: curate retrain --output DIR") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"The model in {folder} is damaged: {str(error).splitlines()[0][:200]}") from error
    return network, facts, plan


def card(facts: dict[str, Any], what: str) -> str:
    """The model card, in Markdown; names from outside are code, so that nothing in them is markup."""
    metrics = facts["metrics"]
    lines = [
        f"# {what} of {_code(facts['dataset'])}",
        "",
        f"Trained by curate {facts['curate']} on version {_code(facts['version'])} of {_code(facts['dataset'])} "
        f"(`{facts['version_hash']}`): {facts['trained_on']:,} pictures, "
        f"{counted(len(facts['classes']), 'class', 'classes')}, seed {facts['seed']}.",
        "",
        f"- {_network(facts)}",
        "- `weights.safetensors`: the tensors; `model.json`: everything needed to use them; `curate predict` does",
        "- labels are those of the version: what is wrong there was learnt, too",
        *(["- a class is said to be there from a probability on that is its own, `threshold` in `model.json`; these "
           "were chosen on a fifth of what was learnt, never on the hold-out"] if "scale" in facts else []),
        "",
        "## Measured",
        "",
    ]  # fmt: skip
    if metrics is None:
        return "\n".join([*lines, "Nothing: there was no hold-out."]) + "\n"
    measured = "; ".join(f"{MEASURES[name]} {value:.1%}" for name, value in metrics.items() if isinstance(value, float))
    lines.append(f"On {metrics['pictures']:,} pictures ({_code(metrics['holdout'])}), not trained on: {measured}.")
    for name, by_class in metrics.items():
        if isinstance(by_class, dict):
            lines += ["", f"| class | {MEASURES[name]} |", "|---|---|"]
            lines += [f"| {_code(k)} | {value:.1%} |" for k, value in by_class.items()]
    return "\n".join(lines) + "\n"


def _network(facts: dict[str, Any]) -> str:
    plan = facts["plan"]
    if "backbone" in facts:
        return f"Faster R-CNN on {_code(facts['backbone'])}, {facts['detector_epochs']} passes"
    return (
        f"mode {_code(plan['mode'])}, network {_code(plan['model'])}, {plan['epochs']} passes, pictures of "
        f"{plan['size_px']} x {plan['size_px']} px"
    )


def _code(text: str) -> str:
    """Text as Markdown code, whatever is in it."""
    safe = visible(text, 200).replace("|", "\u2223").replace("`", "\u02cb")
    return f"`{safe or ' '}`"
