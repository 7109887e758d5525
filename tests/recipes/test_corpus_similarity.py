"""What the judge thinks of answers, and what is dropped for it."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.language.corpus import read_corpus
from qaclims_path.language.questions import KINDS
from qaclims_path.recipes import corpus_build
from qaclims_path.recipes.corpus_build import How, build_corpus
from qaclims_path.recipes.corpus_options import CleaningOptions, CorpusOptions, JudgeOptions
from qaclims_path.recipes.corpus_similarity import Similarity
from qaclims_path.types import Answer

TERMS = ["pink collagen", "dense nucleus", "bright", "gland", "duct", "fiber"]


class ToyJudge:
    """Images are their mean colours, texts are drawn from their letters."""

    card = SimpleNamespace(id="toy", revision="1", width=3)
    device = torch.device("cpu")

    def prepare(self, images):
        return F.interpolate(images, (4, 4))

    def encode_images(self, prepared):
        return F.normalize(prepared.mean((2, 3)) - 0.5, dim=1)

    def encode_texts(self, texts):
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        rows = [torch.randn(3, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return F.normalize(torch.stack(rows), dim=1)


class Toy:
    def __init__(self):
        self.provenance = {"answerer": "toy"}

    def answer(self, asks):
        return [Answer(TERMS[(len(ask.question) + len(ask.image)) % 6], -0.25) for ask in asks]


def test_cosines_of_every_image_and_text():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (height, 9, 3)).astype(np.uint8) for height in (7, 12)]
    judge, templates = ToyJudge(), ("{}", "an image of {}")
    similarity = Similarity(judge, templates)
    texts = [["gland", "", "fiber"], ["gland"], [""], ["duct", "gland"]]
    found = similarity([images[0], images[1], None, images[0]], texts)
    for image, of_image, values in zip([0, 1, 0, 0], texts, found, strict=True):
        pixels = torch.from_numpy(images[image]).permute(2, 0, 1)[None].float() / 255
        feature = judge.encode_images(judge.prepare(pixels))[0]
        for text, value in zip(of_image, values, strict=True):
            mean = judge.encode_texts([text, f"an image of {text}"]).mean(0)
            assert value == (pytest.approx(float(feature @ mean / mean.norm()), abs=1e-6) if text else 0)
    assert similarity([images[0]], [texts[3]])[0] == found[3]  # in other company


def test_what_is_too_unlike_is_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_build, "load_judge", lambda *_, **__: ToyJudge())
    write_fake(load_card("wsss4luad"), tmp_path / "data", seed=0, images=9)
    options = CorpusOptions(dataset="wsss4luad", together=2, judge=JudgeOptions(id="toy"))

    def built(name, threshold, shards=1):
        chosen = options.model_copy(update={"cleaning": CleaningOptions(min_similarity=threshold)})
        for number in range(1, shards + 1):
            how = How(shard=(number, shards))
            report = build_corpus(chosen, tmp_path / "data", tmp_path / name, how, answerer=Toy())
        return report, list(read_corpus(tmp_path / name))

    everything, entries = built("all.jsonl", -1.0)
    said = [one for entry in entries for one in entry.foreground + entry.background if one.source == "answer"]
    values = [one.similarity for one in said if one.text]
    assert everything.unlike == 0
    assert min(values) < 0.1 < max(values)
    some, fewer = built("some.jsonl", 0.1)
    assert some.unlike == sum(value < 0.1 for value in values)
    assert some.kept == everything.kept - some.unlike
    assert fewer[0].provenance["similarity"] == "toy 1"
    for before, after in zip(entries, fewer, strict=True):
        for kind in KINDS:
            for one, other in zip(before.said(kind), after.said(kind), strict=False):  # terms may be added at the end
                if one.source == other.source == "answer" and one.text:
                    assert other.text == (one.text if one.similarity >= 0.1 else "")
                    assert other.similarity == one.similarity
    built("shared.jsonl", 0.1, shards=3)
    assert (tmp_path / "shared.jsonl").read_bytes() == (tmp_path / "some.jsonl").read_bytes()
