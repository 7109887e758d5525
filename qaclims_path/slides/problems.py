"""Describe errors of slides in one sentence for the user."""

import errno
from collections.abc import Iterator

from qaclims_path.errors import QaclimsError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutOfSpace(QaclimsError):
    """The disk is full, so the remaining slides would fail as well."""


def is_user_error(error: BaseException) -> bool:
    """Return whether the user can solve it: one of our own errors, or raised from one."""
    return _own_error(error) is not None


def is_out_of_space(error: BaseException) -> bool:
    """Return whether a full disk caused the error."""
    return any(isinstance(cause, OSError) and cause.errno in NO_SPACE for cause in _causes(error))


def explain(error: BaseException) -> str:
    """Describe an error in one sentence for the user."""
    own = _own_error(error)
    if own:
        return str(own)
    *_, first = _causes(error)
    if isinstance(first, MemoryError):
        return "Not enough memory. Use fewer --workers, or smaller tiles."
    if isinstance(first, OSError) and first.filename:
        return f"{first.filename}: {first.strerror}."
    return f"Unexpected {type(first).__name__}: {first}. The slide's file under state/ has the details."


def _own_error(error: BaseException) -> QaclimsError | None:
    return next((cause for cause in _causes(error) if isinstance(cause, QaclimsError)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its chain of causes; MONAI wraps errors of its transforms."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
