"""Retrieval: a judge ranks the terms of a lexicon for every image; no text is generated."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.errors import UsageError
from qaclims_path.language.answerers.asking import NO_ANSWER, ImageAsks, answer_by_image
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.text_store import encode_texts
from qaclims_path.types import Answer, Ask, Judge


class RetrievalAnswerer:
    """Answers with terms of the question's topic, kind and class; the score is the cosine of image and term.

    The first question of a topic is answered with the term of the highest cosine, the second with the next, and so on;
    after the last term answers are empty. A topic without terms is answered with those of all topics.

    Examples:
        >>> retrieval = RetrievalAnswerer(judge, load_lexicon("histology"), organ="breast")  # doctest: +SKIP
        >>> retrieval.answer(asks)[0]  # doctest: +SKIP
        Answer(text='spindle-shaped nuclei', score=0.31)
    """

    def __init__(
        self,
        judge: Judge,
        lexicon: Lexicon,
        *,
        templates: Sequence[str] = ("{}",),
        organ: str | None = None,
        batch: int = 8,
    ) -> None:
        self.judge, self.lexicon, self.templates, self.organ, self.batch = judge, lexicon, templates, organ, batch
        self._columns = {term: column for column, term in enumerate(lexicon.terms(organ=organ))}
        self._features: Tensor | None = None
        if not self._columns:
            raise UsageError(f"The lexicon '{lexicon.name}' has no term for the organ '{organ}'. Leave the organ out.")

    @property
    def provenance(self) -> Mapping[str, str]:
        """Judge and lexicon; the templates are part of the question bank's hash."""
        return {
            "answerer": "retrieval",
            "model": self.judge.card.id,
            "revision": self.judge.card.revision,
            "lexicon": f"{self.lexicon.name} {self.lexicon.hash}",
            "organ": self.organ or "any",
            "score": "cosine of image and term",
            **({"warning": self.judge.card.warning} if self.judge.card.warning else {}),
        }

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Return answers in order; an image is read and encoded once for all its asks."""

        def answer_images(images: Sequence[ImageAsks]) -> dict[int, Answer]:
            answers: dict[int, Answer] = {}
            cosines = self._cosines([asks[image.positions[0]].pixels() for image in images]).tolist()
            for image, of_image in zip(images, cosines, strict=True):
                ranked = self._ranked([asks[position] for position in image.positions], of_image)
                answers |= zip(image.positions, ranked, strict=True)
            return answers

        return answer_by_image(asks, self.batch, answer_images)

    def _cosines(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """B N, cosines of B pictures (H W 3) and all N terms."""
        if self._features is None:
            self._features = encode_texts(self.judge, list(self._columns), self.templates)
        prepared = [self.judge.prepare(_tensor(picture).to(self.judge.device)) for picture in pictures]
        images = self.judge.encode_images(torch.cat(prepared)).float()
        return images @ self._features.to(images).T

    def _ranked(self, asks: Sequence[Ask], cosines: Sequence[float]) -> list[Answer]:
        """Return answers to the asks of one image from its cosines with all terms."""
        counts: Counter[tuple[str, ...]] = Counter()  # asks so far about the same class, kind and topic
        answers = []
        for ask in asks:
            key = (ask.label, ask.kind, ask.topic)
            terms = sorted(self._candidates(ask), key=lambda term: -cosines[self._columns[term]])
            rank = counts[key]
            counts[key] += 1
            best = terms[rank] if rank < len(terms) else None
            answers.append(NO_ANSWER if best is None else Answer(best, cosines[self._columns[best]]))
        return answers

    def _candidates(self, ask: Ask) -> list[str]:
        label = ask.names or ask.label or None
        terms = self.lexicon.terms(ask.topic or None, self.organ, ask.kind, label)
        return terms or self.lexicon.terms(None, self.organ, ask.kind, label)


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    """Convert H W 3 bytes to 1 3 H W in 0..1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
