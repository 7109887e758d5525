"""Time text features and questions against the released code: the same model, equal results asserted first.

    python scripts/bench/language.py [--rows photo_texts tissue_texts gather questions] [--runs 5] [--threads 1]

Text features: 96 different prompts through the text tower of a randomly initialised ViT-B-32 of open_clip; one call per
prompt with the full context of 77 tokens, against sorted batches cut to their longest prompt. Once as published ('a
photo of {}.' with everyday terms, 7 tokens on average) and once about tissue (five templates, 14 tokens). Gather: 1 000
random rows of 20 000 features of 512 numbers; a pickled dictionary of tensors, against opening the store and taking
rows of its mapped matrix. Both files are in the system's cache. Questions: the 16 published questions about one image
at 384 pixels, to a randomly initialised BLIP of the base size; one `generate` of transformers per question, against one
call of the answerer `blip`. At most three runs.
"""

import argparse
import logging
import os
import pickle
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qaclims_path.language.answerers.asking import mean_log_probability, until_end
from qaclims_path.language.answerers.blip import MAX_TOKENS, BlipAnswerer
from qaclims_path.language.lexicon import load_lexicon
from qaclims_path.language.questions import load_bank
from qaclims_path.language.text_store import TextStore, encode_texts
from qaclims_path.models.judges.frozen import FrozenJudge
from qaclims_path.models.judges.notes import Notes
from qaclims_path.models.judges.open_clip import make_towers
from qaclims_path.types import Ask, JudgeCard

PROMPTS = 96
STORED, TAKEN, WIDTH = 20_000, 1_000, 512
SEP = 3  # token that ends an answer


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: What is compared.
        usual: Median seconds of the peer.
        ours: Median seconds of this package.
        spread: Slowest less fastest run in seconds, of the peer and of ours.
        promised: Least ratio that the documentation claims.
        difference: Largest difference between the results.
    """

    what: str
    usual: float
    ours: float
    spread: tuple[float, float]
    promised: float
    difference: float

    @property
    def ratio(self) -> float:
        """Seconds of the peer over ours."""
        return self.usual / self.ours


def photo_texts(runs: int) -> Row:
    """Compare features of everyday terms in the published template."""
    return text_features("natural", promised=5, runs=runs)


def tissue_texts(runs: int) -> Row:
    """Compare features of histology terms in several, longer templates."""
    return text_features("histology", promised=5, runs=runs)


def text_features(bank: str, *, promised: float, runs: int) -> Row:
    """Compare prompts one by one with `encode_texts`."""
    import open_clip

    logging.disable(logging.WARNING)  # open_clip warns that the weights are random
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32").eval()
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    judge = FrozenJudge(make_towers("bench", "random", model, tokenizer, Notes()), device="cpu", dtype="fp32")
    terms = [entry.term for entry in load_lexicon(bank)]
    every = [template.replace("{}", term) for term in terms for template in load_bank(bank).templates]
    prompts = every[:: len(every) // PROMPTS][:PROMPTS]
    assert len(set(prompts)) == PROMPTS

    @torch.no_grad()
    def one_by_one() -> Tensor:
        rows = [F.normalize(model.encode_text(tokenizer([prompt])), dim=-1) for prompt in prompts]
        return torch.cat(rows)

    what = f"features of {PROMPTS} different prompts ({bank})"
    return compare(what, one_by_one, lambda: encode_texts(judge, prompts), promised=promised, tolerance=1e-5, runs=runs)


class Remembered:
    """A judge with stored features, so that only files are timed."""

    card = JudgeCard("remembered", "1", "bench", 224, (0.5,) * 3, (0.5,) * 3, WIDTH, 77, 0.07)
    device = torch.device("cpu")

    def __init__(self, features: dict[str, Tensor]) -> None:
        self.features = features

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return stored rows."""
        return torch.stack([self.features[text] for text in texts])


def gather(runs: int) -> Row:
    """Compare random rows of a pickled dictionary with those of a store, opened for each run."""
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(STORED, WIDTH, generator=generator), dim=-1)
    table = {f"text {number}": row.clone() for number, row in enumerate(features)}
    wanted = [f"text {number}" for number in torch.randint(0, STORED, (TAKEN,), generator=generator).tolist()]
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / "features.pkl"
        pickled.write_bytes(pickle.dumps(table))
        judge = Remembered(table)
        TextStore(judge, ["{}"], Path(folder)).rows(list(table))  # type: ignore[arg-type] # needs no image tower

        def from_pickle() -> Tensor:
            found = pickle.loads(pickled.read_bytes())
            return torch.stack([found[text] for text in wanted])

        def from_store() -> Tensor:
            store = TextStore(judge, ["{}"], Path(folder))  # type: ignore[arg-type]
            return store.features[store.rows(wanted)]

        what = f"{TAKEN} random rows of {STORED} stored features"
        return compare(what, from_pickle, from_store, promised=50, tolerance=1e-6, runs=runs)


def questions(runs: int) -> Row:
    """Compare a call of transformers for each of 16 questions about one image with one call of ours."""
    blip = random_blip()
    size, context = {"height": blip.size, "width": blip.size}, {"max_new_tokens": MAX_TOKENS, "do_sample": False}
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    bank = load_bank("natural")
    asks = [Ask("image", lambda: picture, "dog", one.about("dog"), one.kind) for one in bank.questions]
    assert len(asks) == 16
    texts: dict[str, list[str]] = {}

    @torch.inference_mode()
    def one_by_one() -> Tensor:
        texts["usual"], scores = [], []
        for ask in asks:
            pixels = blip.processor.image_processor([ask.pixels()], size=size, return_tensors="pt")["pixel_values"]
            ids = blip.processor.tokenizer(ask.question, return_tensors="pt")["input_ids"]
            out = blip.model.generate(ids, pixels, output_logits=True, return_dict_in_generate=True, **context)
            tokens = out.sequences[:, 1:]
            scores.append(mean_log_probability(out.logits, tokens, [SEP]))
            kept = tokens[until_end(tokens, [SEP])]
            texts["usual"].append(blip.processor.tokenizer.decode(kept, skip_special_tokens=True).strip())
        return torch.cat(scores)

    def together() -> Tensor:
        answers = blip.answer(asks)
        texts["ours"] = [answer.text for answer in answers]
        return torch.tensor([answer.score for answer in answers])

    what = "16 questions about one image"
    row = compare(what, one_by_one, together, promised=4, tolerance=1e-4, runs=min(runs, 3))
    assert texts["usual"] == texts["ours"], "answers differ"
    return row


def random_blip() -> BlipAnswerer:
    """Build a BLIP of the size of `blip-vqa-base` with random weights, and a tokenizer with the questions' words."""
    from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    said = " ".join(question.about("dog") for question in load_bank("natural").questions)
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "?", *said.lower().replace("?", "").split()])
    vocabulary = [*words, *(f"word{number}" for number in range(30_522 - len(words))), "[DEC]", "[ENC]"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_text("\n".join(vocabulary))
        tokenizer = BertTokenizer(f"{folder}/vocab.txt")
    torch.manual_seed(0)
    text = {"vocab_size": 30_524, "bos_token_id": 30_522, "eos_token_id": SEP, "sep_token_id": SEP, "pad_token_id": 0}
    config = BlipConfig(text_config={**text, "encoder_hidden_size": 768}, vision_config={"image_size": 384})
    model: Any = BlipForQuestionAnswering(config)
    processor: Any = BlipProcessor
    return BlipAnswerer(model.eval(), processor(BlipImageProcessor(), tokenizer))


ROWS: list[Callable[[int], Row]] = [photo_texts, tissue_texts, gather, questions]


def compare(
    what: str,
    usual: Callable[[], Tensor],
    ours: Callable[[], Tensor],
    *,
    promised: float,
    tolerance: float,
    runs: int,
) -> Row:
    """Time both in turn, after one run of each whose results must agree."""
    difference = float((usual() - ours()).abs().max())
    assert difference <= tolerance, f"{what}: results differ by {difference}"
    times: list[tuple[float, float]] = [(seconds(usual), seconds(ours)) for _ in range(runs)]
    first, second = zip(*times, strict=True)
    spread = max(first) - min(first), max(second) - min(second)
    return Row(what, statistics.median(first), statistics.median(second), spread, promised, difference)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print a Markdown table; exit with 1 where a claim is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.__name__ for row in ROWS]
    parser.add_argument("--rows", nargs="*", choices=names, default=names)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "transformers", "safetensors")
    )
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"Python {platform.python_version()}, {packages}; {options.threads} threads; load {load}.\n")
    print("| what | usual s (spread) | ours s (spread) | faster by | promised | largest difference |")
    print("|---|---|---|---|---|---|")
    broken = []
    for measure in ROWS:
        if measure.__name__ in options.rows:
            row = measure(options.runs)
            usual, ours = f"{row.usual:.4f} ({row.spread[0]:.4f})", f"{row.ours:.4f} ({row.spread[1]:.4f})"
            print(f"| {row.what} | {usual} | {ours} | {row.ratio:.1f}x | {row.promised:g}x | {row.difference:.1e} |")
            broken += [row.what] if row.ratio < row.promised else []
    sys.exit(f"claims not reached: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
