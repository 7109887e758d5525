"""Retrieval: nothing is generated; a judge ranks the terms of a lexicon for every image."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qaclims_path.errors import UsageError
from qaclims_path.language.answerers.asking import batches, by_image
from qaclims_path.language.lexicon import Lexicon
from qaclims_path.language.text_features import encode_texts
from qaclims_path.types import Answer, Ask, Judge

SILENCE = Answer("", float("nan"))


class RetrievalAnswerer:
    """Answers with terms of the question's topic, kind and class; the score is the cosine of image and term.

    The first question of a topic is answered with the term that the judge finds most alike, the second with the next,
    and so on; where the terms run out the answer is empty. A topic that has no term is answered from all topics.

    Example:
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
        """Answers in order; an image is read and encoded once for all its asks."""
        answers: dict[int, Answer] = {}
        groups = by_image(asks)
        for part in batches(len(groups), self.batch):
            together = groups[part]
            alike = self._alike([asks[group.asks[0]].pixels() for group in together])
            for group, cosines in zip(together, alike.tolist(), strict=True):
                answers |= zip(
                    group.asks, self._ranked([asks[position] for position in group.asks], cosines), strict=True
                )
        return [answers[position] for position in range(len(asks))]

    def _alike(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """B N, cosines of H W 3 pictures and all terms."""
        if self._features is None:
            self._features = encode_texts(self.judge, list(self._columns), self.templates)
        prepared = [self.judge.prepare(_tensor(picture).to(self.judge.device)) for picture in pictures]
        images = self.judge.encode_images(torch.cat(prepared)).float()
        return images @ self._features.to(images).T

    def _ranked(self, asks: Sequence[Ask], cosines: Sequence[float]) -> list[Answer]:
        """Answers to the asks of one image, whose cosines with all terms are given."""
        asked: Counter[tuple[str, ...]] = Counter()
        answers = []
        for ask in asks:
            about = (ask.label, ask.kind, ask.topic)
            terms = sorted(self._candidates(ask), key=lambda term: -cosines[self._columns[term]])
            rank = asked[about]
            asked[about] += 1
            best = terms[rank] if rank < len(terms) else None
            answers.append(SILENCE if best is None else Answer(best, cosines[self._columns[best]]))
        return answers

    def _candidates(self, ask: Ask) -> list[str]:
        label = ask.names or ask.label or None
        found = self.lexicon.terms(ask.topic or None, self.organ, ask.kind, label)
        return found or self.lexicon.terms(None, self.organ, ask.kind, label)


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    """1 3 H W in 0..1 from H W 3 bytes."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
