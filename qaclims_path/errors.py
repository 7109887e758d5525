"""Errors that a user can correct. Every message is a sentence: what is wrong, where, and what to do.

The command line turns a `QaclimsError` into one line and its `exit_code`; any other error is a bug and keeps its
traceback. May be imported from everywhere and imports nothing of this package.
"""

from collections.abc import Sequence


class QaclimsError(Exception):
    """A problem whose message names the remedy."""

    exit_code = 1


class UsageError(QaclimsError):
    """Wrong use: an unknown name, an impossible combination of options, a typo in a configuration."""

    exit_code = 2


class NotRegistered(UsageError):
    """A name that is not in a registry."""


class BadConfig(UsageError):
    """A YAML file or an option with a value that is not allowed."""


class BadFile(QaclimsError):
    """A file that is missing, damaged, of the wrong kind, or not safe to read."""


class DatasetProblem(QaclimsError):
    """A folder that is not laid out as the card of the data set says."""


class SplitAbsent(DatasetProblem):
    """A split whose images, list, labels or masks do not exist."""


class PredictionProblem(QaclimsError):
    """Predictions that cannot be scored."""


class MissingExtra(QaclimsError):
    """An optional library is needed and not installed."""


class ResolutionUnknown(UsageError):
    """A slide without pixel size, where a length in micrometres is needed."""


class Interrupted(QaclimsError):
    """A signal stopped the training, which is saved."""

    exit_code = 130


def first_of(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first names of a list for a message, and the number of the others.

    Examples:
        >>> first_of(["a.png", "b.png", "c.png"], 2)
        'a.png, b.png and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more
