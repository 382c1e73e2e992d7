"""Every mistake that a user can make, as an exception whose text says what was found, where, and what to do.

CurationError                 the command line prints the text and exits with 2
├── SourceError               the data set cannot be read or recognised
│   ├── LabelParseError       a label or table row cannot be parsed; names file and line
│   └── UnreadableError       one picture cannot be read; the text is the reason, kept as an issue of that picture
├── SettingsError             flags that contradict each other or the data
├── WeightsError              pretrained weights not reachable, or not those of the model
├── WorkspaceError            the workspace cannot be written, is full, or belongs to another dataset
├── NotFoundError             a run, version, sample or issue name that does not exist
└── MissingPackageError       an optional package is needed; the text has the install command

Anything else that escapes is our own fault and exits with 1.
"""


class CurationError(Exception):
    """A problem that the user can put right; the text is one clear sentence or two."""


class SourceError(CurationError):
    """The data set cannot be read, or its format cannot be recognised."""


class LabelParseError(SourceError):
    """A label or a table row cannot be parsed; the text names file and line."""


class UnreadableError(SourceError):
    """One picture cannot be read; the text is the reason in plain words, without its name."""


class SettingsError(CurationError):
    """Settings contradict each other or the data."""


class WeightsError(CurationError):
    """Pretrained weights cannot be reached, or do not fit the model."""


class WorkspaceError(CurationError):
    """The workspace cannot be read or written."""


class NotFoundError(CurationError):
    """A run, version, sample or issue of that name does not exist."""


class MissingPackageError(CurationError):
    """An optional package is needed for what was asked."""
