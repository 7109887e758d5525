"""Splits of phantom slides: for training the embedded models, for evaluating them, and for the demo.

No two splits share a patient, a seed or a stain family.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from qaclims_path.data.formats import FakeItem


@dataclass(frozen=True)
class PhantomSplit:
    """The slides of one split.

    Attributes:
        seed: Default seed of the layout of tissues.
        prefix: Prefix of the patients' names. Tissue depends on name and seed, so slides with different prefixes differ
            for any seed.
        stains: Stain families of `stain.FAMILIES`, which patients take in turn.
    """

    seed: int
    prefix: str
    stains: tuple[str, ...]

    def patients(self, count: int) -> list[str]:
        """Return the names of the first patients.

        Examples:
            >>> HELD_OUT.patients(2)
            ['EV0001', 'EV0002']
        """
        return [f"{self.prefix}{number:04d}" for number in range(1, count + 1)]

    def tiles(self, patients: int, each: int, size: int = 224, *, mpp: float = 0.5) -> Iterator[FakeItem]:
        """Yield tiles of the first patients.

        Args:
            patients: Number of patients.
            each: Tiles per patient.
            size: Side of a tile in pixels.
            mpp: Pixel size in um.
        """
        from qaclims_path.data.phantoms.tiles import phantom_tiles

        return phantom_tiles(self.seed, self.patients(patients), each, size, mpp=mpp, stains=self.stains)


TRAINING = PhantomSplit(7101, "ET", ("classic", "violet", "crimson"))
HELD_OUT = PhantomSplit(7202, "EV", ("pale",))
DEMO = PhantomSplit(7303, "DM", ("blue", "magenta"))
EMBEDDED = "embedded phantom model: for demonstration and tests, not for tissue"  # shown wherever one is used
