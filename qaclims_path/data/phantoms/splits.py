"""Which phantom slides are for what: the embedded models learn from some, are examined on others, and show on others.

No two of these share a patient, a seed or a stain family, so that a model has never seen what it is shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from qaclims_path.data.formats import FakeItem


@dataclass(frozen=True)
class PhantomSplit:
    """Slides of one purpose.

    Attributes:
        seed: Where their tissues lie, unless another one is asked for.
        prefix: How the names of their patients begin. A name decides the tissue with the seed, so slides of two
            prefixes differ whatever the seed.
        stains: Families of `stain.FAMILIES`, which the patients take in turn.
    """

    seed: int
    prefix: str
    stains: tuple[str, ...]

    def patients(self, count: int) -> list[str]:
        """Names of the first patients.

        Example:
            >>> HELD_OUT.patients(2)
            ['EV0001', 'EV0002']
        """
        return [f"{self.prefix}{number:04d}" for number in range(1, count + 1)]

    def tiles(self, patients: int, each: int, size: int = 224, *, mpp: float = 0.5) -> Iterator[FakeItem]:
        """Tiles of the first patients, `each` of them.

        Args:
            patients: How many.
            each: Tiles of a patient.
            size: Side in pixels.
            mpp: Pixel size in um.
        """
        from qaclims_path.data.phantoms.tiles import phantom_tiles

        return phantom_tiles(self.seed, self.patients(patients), each, size, mpp=mpp, stains=self.stains)


TRAINING = PhantomSplit(7101, "ET", ("classic", "violet", "crimson"))
HELD_OUT = PhantomSplit(7202, "EV", ("pale",))
DEMO = PhantomSplit(7303, "DM", ("blue", "magenta"))
EMBEDDED = "embedded phantom model: for demonstration and tests, not for tissue"  # said wherever they are used
