"""The networks of a proof, trained and asked one after the other; what is finished is kept, and read the next time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from curation.files import write_atomic
from curation.progress import Progress
from curation.proving.contract import PLACEBO, Answer, Contest, ProofSettings
from curation.proving.versions import Versions
from curation.run_key import code_version
from curation.training.plan import Plan

_Key = tuple[str, int]  # arm, seed


def proof_id(contest: Contest, settings: ProofSettings, plan: Plan, versions: Versions) -> str:
    """Name of the folder of everything that would give the same answers; more seeds are the same proof."""
    digest = hashlib.blake2b(digest_size=5)
    facts = [plan.as_settings(), code_version(), settings.seed, settings.detector_epochs, versions.classes]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    digest.update("\n".join(versions.samples["sample_id"]).encode())
    lessons = [contest.lesson(name, settings.seed) for name in contest.names if name != PLACEBO]
    for arrays in (contest.asked, *lessons):
        for array in arrays:
            digest.update(repr((array.shape, array.dtype)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return f"{settings.before}-{settings.after}-{digest.hexdigest()}"


def answers_of(contest: Contest, settings: ProofSettings, folder: Path, progress: Progress) -> dict[str, list[Answer]]:
    """What the networks of each arm say, by seed.

    Raises
    ------
    SettingsError, WeightsError, WorkspaceError
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    wanted = [(name, seed) for seed in seeds for name in contest.names]
    found: dict[_Key, Answer] = {}
    for name, seed in wanted:
        answer = _read(folder / f"{name}-{seed}.safetensors")
        if answer is not None:
            found[name, seed] = answer
    if len(found) < len(wanted):
        ask = contest.begin(folder, progress)
        views = {key: contest.views(*key) for key in wanted}
        with progress.stage("Training", sum(views.values()), "views") as advance:
            for key in wanted:
                if key in found:
                    advance(views[key])
                    continue
                twin = next((other for other in found if other[1] == key[1] and _same(contest, other, key)), None)
                if twin is None:
                    found[key] = ask(*key, advance)
                else:  # the same lesson with the same seed gives the same network
                    found[key] = found[twin]
                    advance(views[key])
                _write(folder / f"{key[0]}-{key[1]}.safetensors", found[key])
    return {name: [found[name, seed] for seed in seeds] for name in contest.names}


def _same(contest: Contest, one: _Key, other: _Key) -> bool:
    lessons = zip(contest.lesson(*one), contest.lesson(*other), strict=True)
    return all(np.array_equal(a, b) for a, b in lessons)


def _read(file: Path) -> Answer | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(file.read_bytes())
    except (SafetensorError, OSError, ValueError):
        return None


def _write(file: Path, answer: Answer) -> None:
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(array) for name, array in answer.items()})
    write_atomic(file, lambda stream: stream.write(content), "answer")
