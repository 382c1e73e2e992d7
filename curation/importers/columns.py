"""Which column of a table (or key of an array file) holds what, from its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curation.errors import SettingsError, SourceError
from curation.importers.assemble import shown
from curation.importers.options import ImportOptions

# Names in two tiers, without case, blanks, "_" and "-": the second is looked at when the first has no hit.
IMAGE_NAMES = (
    "image images img path paths file filename filenames filepath filepaths imagepath imagefile imagefilename imagename"
    " imgpath imgfile imgname picture photo",
    "imageid imgid id name key",
)
LABEL_NAMES = (
    "label labels class category givenlabel target labelname classname categoryname tag breed species",
    "labelid classid categoryid targetid classlabel y",
)
SPLIT_NAMES = ("split subset",)
GROUP_NAMES = ("group groupid",)
COUNT_NAMES = "count counts number quantity amount howmany"


def find_columns(
    columns: Sequence[str], options: ImportOptions, where: str, label: bool = True
) -> tuple[dict[str, str], list[str]]:
    """The columns for image, label, split and group ("" = none, for the last two), and a sentence on what was guessed.

    label : whether there has to be a column of labels; where not, none is looked for

    Raises
    ------
    SettingsError : a column that was named is not there, or a guess is ambiguous; lists the columns.
    SourceError : no column has a usual name.
    """
    wanted = {
        "image": (options.image_column, IMAGE_NAMES),
        "label": (options.label_column, LABEL_NAMES),
        "split": (options.split_column, SPLIT_NAMES),
        "group": (options.group_column, GROUP_NAMES),
    }
    found: dict[str, str] = {}
    guessed = []
    for role, (given, names) in wanted.items():
        taken = {
            options.image_column,
            options.label_column,
            options.split_column,
            options.group_column,
            *found.values(),
        }
        if role == "label" and not label:
            found[role] = ""
            continue
        if given:
            found[role] = _named(given, columns, role, where)
            continue
        found[role] = _guess([column for column in columns if column not in taken], names, role, where)
        if found[role]:
            guessed.append(f"{role} = {shown(found[role])}")
        elif role in ("image", "label"):
            raise SourceError(_nothing(role, columns, where))
    notes = [f"Columns taken by their names: {', '.join(guessed)}."] if guessed else []
    return found, notes


def fold_name(name: str) -> str:
    """A column name without case, blanks, "_" and "-"."""
    return "".join(name.casefold().replace("_", "").replace("-", "").split())


def _named(given: str, columns: Sequence[str], role: str, where: str) -> str:
    if given in columns:
        return given
    alike = [column for column in columns if column.strip() == given.strip()]
    if len(alike) == 1:
        return alike[0]
    raise SettingsError(f"{where} has no column {shown(given)} (--{role}-column); it has {_list(columns)}.")


def _guess(columns: Iterable[str], tiers: Iterable[str], role: str, where: str) -> str:
    columns = list(columns)
    for names in tiers:
        hits = [column for column in columns if fold_name(column) in names.split()]
        if len(hits) > 1:
            raise SettingsError(
                f"{where} has several columns that may hold the {role}: {_list(hits)}. Choose one with --{role}-column."
            )
        if hits:
            return hits[0]
    return ""


def _nothing(role: str, columns: Sequence[str], where: str) -> str:
    text = (
        f"No column of {where} is named like one that holds the {role}; it has {_list(columns)}. "
        f"Name it with --{role}-column."
    )
    if any("." in column and fold_name(column).endswith(("jpg", "png", "jpeg")) for column in columns):
        text += " The first line looks like data: a table needs a line with the names of its columns above."
    return text


def _list(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return ", ".join(shown(column) for column in columns[:20]) + more
