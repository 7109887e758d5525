"""Options of the probe of an answerer."""

from typing import Annotated

from pydantic import Field

from qaclims_path.config import Options


class ProbeOptions(Options):
    """How an answerer is loaded and probed.

    Attributes:
        split: Split to ask about; the first with image-level labels if not given.
        images: Largest number of images to ask about, spread over the split.
        named: Name the class in the question, as a corpus does, instead of hiding it.
        bank: Question bank, by name or path; that of the card's domain if not given.
        organ: Organ of the questions and terms, or `none`; that of the card if not given.
        lexicon: Lexicon, by name or path, or `none`; that of the questions if not given.
        revision: Branch, tag or commit of the model on the hub.
        device: Device of the model: auto, cpu, cuda, cuda:1, ...
        dtype: Number format of the model: auto, float32, bfloat16 or float16.
        batch: Images that the answerer looks at together.
        size: Side in pixels to which images are resized; that of the model if not given (blip: 480, as published).
    """

    split: str | None = None
    images: Annotated[int, Field(ge=1)] = 64
    named: bool = False
    bank: str | None = None
    organ: str | None = None
    lexicon: str | None = None
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: Annotated[int, Field(ge=1)] = 8
    size: Annotated[int, Field(ge=1)] | None = None
