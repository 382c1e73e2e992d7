"""Whether a run is the one that was asked for: a key of the data, the settings and the code that make its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curation
from curation.manifest import dataset_folder_name

# Packages whose version can change a score.
RESULT_PACKAGES = ("cleanlab", "numpy", "pandas", "pillow", "scikit-learn", "scipy", "torch", "torchvision")
# Modules and folders that only show or move results: changing one of them does not make a run stale.
_SHOWING = {"cli.py", "commands", "demo.py", "doctor.py", "explain.py", "progress.py", "report", "terminal.py"}


def run_key(samples: pd.DataFrame, annotations: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    """Hash of everything that decides a result: equal keys, equal runs.

    Parameters
    ----------
    samples : SAMPLE_COLUMNS with `content_hash` filled, whatever the order of the rows
    annotations : ANNOTATION_COLUMNS, whatever the order of the rows
    settings : JSON values, the seed and the resolved plan (model, weights, device ...) among them

    Returns
    -------
    64 hex digits, which the code and the versions of the packages that compute the result go into, too.
    """
    digest = hashlib.blake2b(digest_size=32)
    names = ["sample_id", "path", "split", "content_hash", "group", "status", "reason"]
    tables = (samples.sort_values("sample_id")[names], annotations.sort_values("annotation_id"))
    for table in tables:
        for name in table:
            digest.update(json.dumps([name, table[name].tolist()]).encode())
    digest.update(json.dumps(plain(settings), sort_keys=True).encode())
    digest.update(json.dumps([code_version(), package_versions(RESULT_PACKAGES)]).encode())
    return digest.hexdigest()


def make_run_id(dataset: str, key: str) -> str:
    """`<dataset>-<first 10 digits of the key>`; the dataset's name is made a safe folder name as for manifests."""
    return f"{dataset_folder_name(dataset)}-{key[:10]}"


def code_version() -> str:
    """The library's version and a hash of its source, without the modules that only show results."""
    digest = hashlib.blake2b(digest_size=8)
    root = Path(curation.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if _SHOWING.isdisjoint(path.relative_to(root).parts):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{curation.__version__}+{digest.hexdigest()}"


def package_versions(names: tuple[str, ...] = RESULT_PACKAGES) -> dict[str, str]:
    """Installed version by package name, "" where it is not installed; imports none of them."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def plain(value: Any) -> Any:
    """`value` as JSON values: NumPy scalars and arrays, tuples and paths converted, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
