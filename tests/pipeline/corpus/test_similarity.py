"""Similarities of answers, and the answers that they drop."""

import numpy as np
import pytest
import torch

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.files.shards import Shard
from qaclims_path.language.corpus import read_corpus
from qaclims_path.language.questions import KINDS
from qaclims_path.models.judges import load_judge
from qaclims_path.pipeline.corpus.build import build_corpus
from qaclims_path.pipeline.corpus.options import BuildOptions, CleaningOptions, CorpusOptions, JudgeOptions
from qaclims_path.pipeline.corpus.similarity import Similarity
from qaclims_path.types import Answer

TERMS = ["pink collagen", "dense nucleus", "necrosis", "gland", "lymphocyte", "fiber"]


class Toy:
    def __init__(self):
        self.provenance = {"answerer": "toy"}

    def answer(self, asks):
        return [Answer(TERMS[(len(ask.question) + len(ask.image)) % 6], -0.25) for ask in asks]


def test_cosines_of_every_image_and_text():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (height, 9, 3)).astype(np.uint8) for height in (7, 12)]
    judge, templates = load_judge("embedded", device="cpu"), ("{}", "an image of {}")
    similarity = Similarity(judge, templates)
    texts = [["gland", "", "fiber"], ["gland"], [""], ["necrosis", "gland"]]
    found = similarity([images[0], images[1], None, images[0]], texts)
    for image, of_image, values in zip([0, 1, 0, 0], texts, found, strict=True):
        pixels = torch.from_numpy(images[image]).permute(2, 0, 1)[None].float() / 255
        feature = judge.encode_images(judge.prepare(pixels))[0]
        for text, value in zip(of_image, values, strict=True):
            mean = judge.encode_texts([text, f"an image of {text}"]).mean(0)
            assert value == (pytest.approx(float(feature @ mean / mean.norm()), abs=1e-6) if text else 0)
    assert len({value for values in found for value in values}) == 5  # every pair its own, and 0
    in_other_company = Similarity(judge, templates)(images, [["gland"], texts[3]])
    assert [in_other_company[0][0], *in_other_company[1][1:]] == [found[0][0], *found[1]]


def test_texts_that_are_too_unlike_are_dropped_and_counted(tmp_path):
    write_fake(load_card("wsss4luad"), tmp_path / "data", seed=0, images=9)
    options = CorpusOptions(dataset="wsss4luad", together=2, judge=JudgeOptions(id="embedded"))
    threshold = 0.3

    def built(name, least, shards=1):
        chosen = options.model_copy(update={"cleaning": CleaningOptions(min_similarity=least)})
        for number in range(1, shards + 1):
            how = BuildOptions(shard=Shard(number, shards), device="cpu")
            report = build_corpus(chosen, tmp_path / "data", tmp_path / name, how, answerer=Toy())
        return report, list(read_corpus(tmp_path / name))

    everything, entries = built("all.jsonl", -1.0)
    said = [one for entry in entries for one in entry.foreground + entry.background if one.source == "answer"]
    values = [one.similarity for one in said if one.text]
    assert everything.unlike == 0
    assert min(values) < threshold < max(values)
    some, fewer = built("some.jsonl", threshold)
    assert some.unlike == sum(value < threshold for value in values)
    assert some.kept == everything.kept - some.unlike
    card = load_judge("embedded", device="cpu").card
    assert fewer[0].provenance["similarity"] == f"embedded {card.revision}"
    for before, after in zip(entries, fewer, strict=True):
        for kind in KINDS:
            for one, other in zip(
                before.answers(kind), after.answers(kind), strict=False
            ):  # terms may be added at the end
                if one.source == other.source == "answer" and one.text:
                    assert other.text == (one.text if one.similarity >= threshold else "")
                    assert other.similarity == one.similarity
    built("shared.jsonl", threshold, shards=3)
    assert (tmp_path / "shared.jsonl").read_bytes() == (tmp_path / "some.jsonl").read_bytes()
