"""Does cleaning help? The same recipe trained on two versions, with paired seeds, and asked about one hold-out.

two versions --samples_of--> one table --choose_holdout--> hold-out --make_arms--> labels by arm
--ask--> predictions by arm and seed --compare--> changes with intervals --> proof.json, proof.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curation import manifest
from curation.datasets import Dataset
from curation.duplicates import find_duplicates
from curation.errors import CurationError, SettingsError
from curation.files import write_atomic, write_json
from curation.manifest.history import task_of
from curation.manifest.version_files import headers, read_header
from curation.pixels import decode
from curation.progress import SILENT, Progress
from curation.proving.arms import BEFORE, PLACEBO, Arms, make_arms
from curation.proving.compare import Comparison, compare
from curation.proving.holdout import LISTED, HoldOut, choose_holdout, overlapping
from curation.records import Records, empty_annotations, empty_samples
from curation.run_key import code_version, plain
from curation.runs import list_runs
from curation.status import source_root
from curation.training.folds import combine_groups
from curation.training.plan import Plan, TrainingSettings
from curation.training.planning import plan_for
from curation.wording import counted

MIN_HELD_OUT = 20


@dataclass(frozen=True)
class ProofSettings(TrainingSettings):
    """What a user can choose, beside what is said of training.

    before, after : versions; holdout : see curation.proving.holdout.choose_holdout
    drop_overlap : train without the pictures that are copies of the hold-out's, instead of refusing
    seeds : how many networks per arm, from `seed` on
    """

    before: str
    after: str
    holdout: str = ""
    drop_overlap: bool = False
    seeds: int = 5


@dataclass(frozen=True)
class Proof:
    """What came out; `arms` has, for each but the first, the comparison with the first.

    folder : where proof.json and the predictions are
    trained_on : number of pictures by arm
    notes : sentences that belong to the result
    """

    folder: Path
    settings: ProofSettings
    plan: Plan
    classes: list[str]
    holdout: HoldOut
    trained_on: dict[str, int]
    changes: dict[str, int]
    arms: dict[str, Comparison]
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`gain`, `loss` or "" (nothing is proven): of the second version against the first, by accuracy."""
        return self.arms["after"].accuracy.proven

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        arms = {
            name: {
                **{
                    measure: {**asdict(change), "change": change.change, "proven": change.proven}
                    for measure, change in (("accuracy", found.accuracy), ("macro_f1", found.macro_f1))
                },
                "recall": {
                    self.classes[k]: {**asdict(change), "change": change.change, "proven": change.proven}
                    for k, change in found.recall.items()
                },
            }
            for name, found in self.arms.items()
        }
        held = {"name": self.holdout.name, "pictures": len(self.holdout.rows), "reviewed": self.holdout.reviewed}
        found: dict[str, Any] = plain(
            {
                "verdict": self.verdict or "no proven gain",
                "before": self.settings.before,
                "after": self.settings.after,
                "holdout": {**held, "left_out": list(self.holdout.left_out)},
                "seeds": self.settings.seeds,
                "trained_on": self.trained_on,
                "changes": self.changes,
                "arms": arms,
                "plan": self.plan.as_settings(),
                "notes": self.notes,
                "folder": str(self.folder),
            }
        )
        return found


def prove(workspace: Path, dataset: Dataset, settings: ProofSettings, progress: Progress = SILENT) -> Proof:
    """Train on both versions, on the first without its suspects, and on a placebo; compare on one hold-out.

    Asked again with the same settings, what was trained is read; a killed proof goes on where it was.

    Raises
    ------
    NotFoundError : a version, split, table or picture that is not there.
    SettingsError : the hold-out overlaps what is trained on, or is too small; or settings that cannot be.
    WorkspaceError : the source is gone, or the workspace cannot be written.
    """
    if settings.seeds < 1:
        raise SettingsError(f"--seeds {settings.seeds}: at least one network per arm is needed; five are usual.")
    check_task(dataset, settings.before, settings.after)
    samples, classes = samples_of(dataset, settings.before, settings.after)
    cache = workspace / ".curate" / "cache"
    records = records_of(samples, source_root(workspace, dataset))
    plan = plan_for(settings, records, workspace)
    decoded = decode(records, plan.size_px, cache, progress)
    cluster = find_duplicates(decoded, cache, progress).cluster
    readable = np.flatnonzero((decoded.samples["status"] == "ok").to_numpy())
    samples = samples.iloc[readable].reset_index(drop=True)
    samples["unit"] = combine_groups(cluster[readable], samples["group"].to_numpy(dtype=object))
    holdout = choose_holdout(samples, settings.holdout, classes, workspace, settings.seed)
    flagged = _flagged(workspace, dataset, settings.before)
    arms = make_arms(samples, classes, holdout.rows, flagged)
    arms, notes = _without_overlap(arms, samples, holdout, settings)
    _check(arms, holdout, classes)
    notes += _class_notes(arms, classes, settings)
    folder = workspace / ".curate" / "proofs" / _proof_id(settings, plan, samples, holdout, arms)
    answers = _answers(decoded.gather(readable), arms, holdout, len(classes), plan, settings, folder, progress)
    units = samples["unit"].to_numpy(dtype=np.int64)[holdout.rows]
    compared = {
        name: compare(holdout.truth, answers[BEFORE], answers[name], units) for name in arms.names if name != BEFORE
    }
    proof = Proof(
        folder,
        settings,
        plan,
        classes,
        holdout,
        {name: int((arms.labels(name, settings.seed) >= 0).sum()) for name in arms.names},
        {"relabelled": arms.relabelled, "dropped": arms.dropped, "added": arms.added},
        compared,
        [*notes, *_notes(arms, holdout, settings, flagged)],
    )
    write_json(folder / "proof.json", proof.facts(), "proof")
    return proof


def check_task(dataset: Dataset, *versions: str) -> None:
    """Refuse what has several labels or boxes per picture.

    Raises
    ------
    SettingsError, NotFoundError
    """
    for version in versions:
        task = task_of(dataset.folder, version)
        if task != "single-label":
            raise SettingsError(
                f"{version} of {dataset.name} is a {task} set; networks are trained on one label per picture so far. "
                "Export it, and train with the code that you use for it: curate export."
            )


def samples_of(dataset: Dataset, before: str, after: str) -> tuple[pd.DataFrame, list[str]]:
    """The pictures of two versions in one table, and all labels of both in order.

    Returns
    -------
    columns sample_id, path, split, group, `before` and `after` (label in that version, "" = none, or not in it), and
    `reviewed` (whether a reviewer decided or changed it after the first version); sorted by sample_id. What is
    unreadable, or excluded from both, is left out; of several labels the first counts.
    """
    tables = {}
    for name, version in (("before", before), ("after", after)):
        read_header(dataset.folder, version)
        rows = manifest.read(dataset.folder, version).drop_duplicates("sample_id")
        used = rows[(rows["status"] == "ok")].set_index("sample_id")
        tables[name] = used
    ids = sorted(set(tables["before"].index) | set(tables["after"].index))
    newest = pd.concat([tables["after"], tables["before"]])
    newest = newest[~newest.index.duplicated()].reindex(ids)
    samples = newest[["path", "split", "group"]].reset_index(names="sample_id")
    for name, used in tables.items():
        samples[name] = pd.Series(used["label"].reindex(ids).fillna("").tolist(), dtype="str")
    kept = tables["before"].index.intersection(tables["after"].index)
    same = tables["before"].loc[kept, ["label", "attributes"]].eq(tables["after"].loc[kept, ["label", "attributes"]])
    unchanged = set(kept[same.all(axis=1).to_numpy()])
    samples["reviewed"] = [sample_id not in unchanged for sample_id in ids]
    classes = sorted((set(samples["before"]) | set(samples["after"])) - {""})
    if len(classes) < 2:
        raise SettingsError(f"{before} and {after} have {counted(len(classes), 'class', 'classes')}; two are needed.")
    return samples, classes


def records_of(samples: pd.DataFrame, root: Path) -> Records:
    """What decoding needs to know of the pictures."""
    known = {name: samples[name] for name in ("sample_id", "path", "split", "group")}
    return Records(empty_samples(len(samples)).assign(status="ok", **known), empty_annotations(), root, "manifest")


def _flagged(workspace: Path, dataset: Dataset, version: str) -> Collection[str] | None:
    """What the latest run on a version, or on one with the same rows, flagged as label errors; None = no such run."""
    wanted = read_header(dataset.folder, version)["hash"]
    try:
        same = {name for name, header in headers(dataset.folder).items() if header["hash"] == wanted}
        found = [
            run
            for run in list_runs(workspace)
            if run.info.get("dataset") == dataset.name and run.info.get("manifest_version") in same
        ]
        if not found:
            return None
        issues = found[-1].issues()
    except CurationError:
        return None
    return set(issues.loc[(issues["issue"] == "label_error") & issues["is_issue"], "sample_id"])


def _without_overlap(
    arms: Arms, samples: pd.DataFrame, holdout: HoldOut, settings: ProofSettings
) -> tuple[Arms, list[str]]:
    """Arms that learn nothing of the hold-out; refuses, or drops what overlaps where that was asked for."""
    trained = (arms.before >= 0) | (arms.after >= 0)
    both = overlapping(holdout, trained, samples["unit"].to_numpy(dtype=np.int64))
    if not len(both):
        return arms, []
    named = ", ".join(repr(path) for path in samples["path"].iloc[both[:LISTED]])
    what = f"{counted(len(both), 'picture')} that would be trained on {'is a copy' if len(both) == 1 else 'are copies'}"
    if not settings.drop_overlap:
        raise SettingsError(
            f"The hold-out ({holdout.name}) overlaps the training data: {what} of, or in one group with, pictures in "
            f"it: {named}{' ...' if len(both) > LISTED else ''}. Settle those duplicates, or train without them: "
            "--drop-overlap."
        )
    used = samples.assign(**{name: samples[name].mask(samples.index.isin(both), "") for name in ("before", "after")})
    flagged = None if arms.pruned is None else set(samples["sample_id"][(arms.before >= 0) & (arms.pruned < 0)])
    classes = sorted((set(samples["before"]) | set(samples["after"])) - {""})
    return make_arms(used, classes, holdout.rows, flagged), [f"{what} of the hold-out's: left out of the training."]


def _check(arms: Arms, holdout: HoldOut, classes: list[str]) -> None:
    if len(holdout.rows) < MIN_HELD_OUT:
        raise SettingsError(
            f"The hold-out ({holdout.name}) has {counted(len(holdout.rows), 'picture')}; fewer than {MIN_HELD_OUT} "
            "prove nothing."
        )
    for name in arms.names:
        labels = arms.labels(name, 0)
        if len(np.unique(labels[labels >= 0])) < 2:
            raise SettingsError(f"There is nothing to learn in the arm '{name}': it has fewer than two classes.")


def _class_notes(arms: Arms, classes: list[str], settings: ProofSettings) -> list[str]:
    """Sentences on classes that one version alone teaches.

    Raises
    ------
    SettingsError : the versions have no class in common, so that there is nothing to compare.
    """
    known = {settings.before: set(arms.before.tolist()), settings.after: set(arms.after.tolist())}
    both = set.intersection(*known.values()) - {-1}
    if not both:
        raise SettingsError(
            f"{settings.before} and {settings.after} have no class in common, so networks of one cannot be asked about "
            "the labels of the other."
        )
    notes = []
    for version, taught in known.items():
        only = [classes[k] for k in sorted(taught - both - {-1})]
        if only:
            named = ", ".join(map(repr, only[:LISTED])) + " ..." * (len(only) > LISTED)
            notes.append(
                f"{counted(len(only), 'class is', 'classes are')} in the training data of {version} only: {named}. "
                "Part of the difference is the list of classes, not the labels."
            )
    return notes


def _notes(arms: Arms, holdout: HoldOut, settings: ProofSettings, flagged: Collection[str] | None) -> list[str]:
    notes = []
    if holdout.reviewed:
        labels = counted(holdout.reviewed, "label of the hold-out was", "labels of the hold-out were")
        notes.append(
            f"{labels} changed by the same review: the comparison is with the labels of {settings.after}, and may "
            "flatter it."
        )
    notes += [f"Left out of the hold-out: {what}." for what in holdout.left_out]
    if flagged is None:
        notes.append(f"No run has scored {settings.before}, so there are no suspects to leave out: no arm 'pruned'.")
    if not (arms.relabelled or arms.dropped or arms.added):
        notes.append("What is trained on is the same in both versions.")
    if settings.seeds == 1:
        notes.append("One seed says nothing about the chance in training: the intervals are too narrow.")
    return notes


def _proof_id(settings: ProofSettings, plan: Plan, samples: pd.DataFrame, holdout: HoldOut, arms: Arms) -> str:
    digest = hashlib.blake2b(digest_size=5)
    digest.update(json.dumps([plan.as_settings(), code_version(), settings.seed], sort_keys=True).encode())
    digest.update("\n".join(samples["sample_id"]).encode())
    for array in (holdout.rows, holdout.truth, arms.before, arms.after, arms.pruned):
        digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return f"{settings.before}-{settings.after}-{digest.hexdigest()}"


def _answers(
    images: np.ndarray,
    arms: Arms,
    holdout: HoldOut,
    n_classes: int,
    plan: Plan,
    settings: ProofSettings,
    folder: Path,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """(S, n) predictions by arm; what an earlier try has finished is read."""
    from curation.training.holdout import ask, pictures_per_trial, prepare

    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(settings.seed, settings.seed + settings.seeds)
    wanted = [(name, seed) for seed in seeds for name in arms.names]
    found: dict[tuple[str, int], np.ndarray] = {}
    for name, seed in wanted:
        answer = _read_answer(folder / f"{name}-{seed}.npy", len(holdout.rows))
        if answer is not None:
            found[name, seed] = answer
    if len(found) < len(wanted):
        trials = prepare(images, holdout.rows, n_classes, plan, folder, progress)
        sizes = {key: pictures_per_trial(trials, int((arms.labels(*key) >= 0).sum())) for key in wanted}
        with progress.stage("Training", sum(sizes.values())) as advance:
            for key in wanted:
                if key in found:
                    advance(sizes[key])
                    continue
                same = next((k for k in found if k[1] == key[1] and _equal(arms, k, key)), None)
                if same is None:
                    found[key] = ask(trials, arms.labels(*key), key[1], advance)
                else:  # the same labels with the same seed give the same network
                    found[key] = found[same]
                    advance(sizes[key])
                _write_answer(folder / f"{key[0]}-{key[1]}.npy", found[key])
    return {name: np.stack([found[name, seed] for seed in seeds]) for name in arms.names}


def _equal(arms: Arms, one: tuple[str, int], other: tuple[str, int]) -> bool:
    return bool(np.array_equal(arms.labels(*one), arms.labels(*other)))


def _read_answer(file: Path, count: int) -> np.ndarray | None:
    try:
        answer = np.load(file, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return answer if answer.shape == (count,) and answer.dtype == np.int64 else None


def _write_answer(file: Path, answer: np.ndarray) -> None:
    write_atomic(file, lambda stream: np.save(stream, answer, allow_pickle=False), "answer")


__all__ = ["PLACEBO", "Proof", "ProofSettings", "check_task", "prove", "records_of", "samples_of"]
