"""Writing a corpus: it grows as `<name>.part` and gets its name when it is complete; a stopped one is resumed."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from qaclims_path.errors import BadFile, QaclimsError
from qaclims_path.language.corpus import Entry, Key, from_line, read_lines, to_line


class CorpusWriter:
    """Appends groups of entries to `<name>.part`, and renames it when it is complete.

    The questions of a group are answered together. After a stop, complete groups are kept and the rest is asked again,
    so that every question is answered in the same batch as without the stop, and the file has the same bytes.

    Examples:
        >>> with CorpusWriter(Path("corpus.jsonl")) as writer:  # doctest: +SKIP
        ...     for group in groups[writer.resume(groups) :]:
        ...         writer.write(answered(group))
        ...     writer.finish()
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "CorpusWriter":
        try:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.part.open("ab")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            with suppress(OSError):  # lines that were not written are asked again
                self._file.close()
                if kind is not None and not self.part.stat().st_size:  # nothing was written
                    self.part.unlink()
            self._file = None

    def resume(self, groups: Iterable[Sequence[Key]]) -> int:
        """Count the complete groups, and remove all lines after them.

        Raises:
            BadFile: The file holds other images or classes.
        """
        done, kept = 0, 0
        lines = read_lines(self.part, growing=True)
        for group in groups:
            size = self._match(lines, group)
            if size is None:
                break
            done, kept = done + 1, kept + size
        else:
            if next(lines, None) is not None:
                raise BadFile(f"{self.part} holds more images than these. Remove it, or choose another --out.")
        self._open.truncate(kept)
        return done

    def _match(self, lines: Iterator[bytes], group: Sequence[Key]) -> int | None:
        """Return bytes of the next group; None if it is incomplete."""
        size = 0
        for key in group:
            line = next(lines, None)
            if line is None:
                return None
            written = from_line(line, self.part).key
            if written != key:
                raise BadFile(
                    f"{self.part} is of other images: it continues with '{written[0]}' ({written[1]}) instead of "
                    f"'{key[0]}' ({key[1]}). Remove it, or choose another --out."
                )
            size += len(line)
        return size

    def write(self, entries: Iterable[Entry]) -> None:
        """Append a group."""
        try:
            self._open.write(b"".join(map(to_line, entries)))
            self._open.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> None:
        """Rename the complete file."""
        try:
            os.fsync(self._open.fileno())
            self._open.close()
            self._file = None
            self.part.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def _open(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("a corpus is written inside a `with` block")
        return self._file

    def _unwritable(self, error: OSError) -> QaclimsError:
        return QaclimsError(f"{self.part} cannot be written: {error.strerror or error}. Choose another --out.")
