"""What went wrong with a slide, as one sentence."""

import errno
from collections.abc import Iterator

from qaclims_path.errors import QaclimsError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutOfSpace(QaclimsError):
    """Nothing more can be written: going on with other slides would fail as well."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; MONAI wraps what happens in its transforms."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__


def known(error: BaseException) -> QaclimsError | None:
    """The problem that the user can mend, if that is what it is."""
    return next((cause for cause in _causes(error) if isinstance(cause, QaclimsError)), None)


def no_space(error: BaseException) -> bool:
    """Whether it is for lack of room on the disk."""
    return any(isinstance(cause, OSError) and cause.errno in NO_SPACE for cause in _causes(error))


def sentence(error: BaseException) -> str:
    """What to tell the user."""
    ours = known(error)
    if ours:
        return str(ours)
    *_, first = _causes(error)
    if isinstance(first, MemoryError):
        return "There is not enough memory for it. Use fewer --workers, or smaller tiles."
    if isinstance(first, OSError) and first.filename:
        return f"{first.filename}: {first.strerror}."
    return f"Unexpected {type(first).__name__}: {first}. The details are in its file under state/."
