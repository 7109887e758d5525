"""The small BLIP that answers about phantom tiles: truthful answers, the model, and its training.

Answers are terms of the lexicon `histology`, drawn from what is in and around the region that is asked about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.data.cards import load_card
from qaclims_path.data.phantoms.slide import PhantomSlide, PhantomSpec
from qaclims_path.data.phantoms.tiles import SLIDE_UM, phantom_tiles
from qaclims_path.files.progress import track
from qaclims_path.language.lexicon import Lexicon, load_lexicon
from qaclims_path.language.questions import Question, load_bank
from qaclims_path.language.terms import called

TILE, MPP, SIDE, GRID = 224, 0.5, 112, 14  # px of a tile, um, px that the model sees, patches along a side
CLASSES = ("tumor", "stroma", "lymphocyte", "necrosis")
WHITE = {"glass": "white glass", "fat": "adipose tissue", "lumen": "empty lumen"}
NONE, UNKNOWN = "none", "unknown"
PRESENT, BESIDE = 0.02, 0.05  # least share of a tile: of a class that is there, of one worth naming beside another
LIKELY = (0.6, 0.25, 0.15)  # how often the first, second and third phrasing is the answer
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
Truth = dict[tuple[str, int], tuple[str, ...]]  # class and number of the question to all truthful answers, best first


@dataclass(frozen=True)
class Tiles:
    """Tiles as the model sees them.

    Attributes:
        pixels: N 112 112 3, uint8.
        patches: N 14 14, uint8: the commonest code of each patch.
        truths: N, what may be answered.
    """

    pixels: NDArray[np.uint8]
    patches: NDArray[np.uint8]
    truths: list[Truth]


class Examiner:
    """Knows the truthful answers about a tile."""

    def __init__(self) -> None:
        card = load_card("phantom")
        self.questions: tuple[Question, ...] = load_bank("histology", organ=None).questions
        self.called = {label.name: called(label) for label in card.classes}
        self.names = {label.name: [called(label), *label.synonyms] for label in card.classes}
        self.lexicon = load_lexicon("histology")

    def truth(self, codes: NDArray[np.uint8], details: dict[str, float]) -> Truth:
        """All truthful answers about a tile.

        Args:
            codes: h w, class codes.
            details: Shares of white glass, fat, lumen and fold.
        """
        shares = np.bincount(codes.ravel(), minlength=5)[:5] / codes.size
        return {
            (name, number): self._answers(code, question, codes, shares, details)
            for code, name in enumerate(CLASSES)
            for number, question in enumerate(self.questions)
        }

    def _answers(
        self,
        code: int,
        question: Question,
        codes: NDArray[np.uint8],
        shares: NDArray[np.float64],
        details: dict[str, float],
    ) -> tuple[str, ...]:
        if shares[code] < PRESENT:
            return (UNKNOWN,)
        if question.kind == "foreground":
            return terms(self.lexicon, question.topic, CLASSES[code], "foreground")
        if question.topic == "artefact":
            return ("tissue fold",) if details["fold"] >= PRESENT else (NONE,)
        if question.topic == "empty":
            best = max(WHITE, key=lambda kind: details[kind])
            return (WHITE[best],) if details[best] >= BESIDE else (NONE,)
        touching = contacts(codes, code)
        weights = shares[:4].copy() if "besides" in question.text else touching[:4]
        weights[code] = 0.0
        weights[shares[:4] < BESIDE] = 0.0
        said: list[str] = []
        for other in np.argsort(-weights):
            if weights[other] > 0.5 * weights.max() > 0:  # two that are about as near are both true
                said += terms(self.lexicon, question.topic, CLASSES[other], "background")
        return tuple(said) or (NONE,)


def terms(lexicon: Lexicon, topic: str, name: str, kind: str) -> tuple[str, ...]:
    """Terms of no organ that the lexicon has for a class under a topic."""
    return tuple(
        entry.term
        for entry in lexicon
        if topic in entry.topics and name in entry.classes and kind in entry.kinds and not entry.organs
    )


def contacts(codes: NDArray[np.uint8], code: int) -> NDArray[np.float64]:
    """5, how much of each code lies within a few points of a class."""
    from scipy.ndimage import binary_dilation

    around = binary_dilation(codes == code, iterations=3) & (codes != code)
    return np.bincount(codes[around], minlength=5)[:5].astype(np.float64)


def make_tiles(seed: int, patients: Sequence[str], each: int, stains: Sequence[str]) -> Tiles:
    """Paint tiles of some patients, with the truth about each."""
    examiner, pixels, patches, truths = Examiner(), [], [], []
    slides = {
        patient: PhantomSlide(PhantomSpec(seed, side := int(SLIDE_UM / MPP), side, MPP, patient, stains[n % len(stains)]))
        for n, patient in enumerate(patients)
    }
    items = phantom_tiles(seed, patients, each, TILE, mpp=MPP, stains=stains)
    for item in track(items, "painting tiles", total=len(patients) * each):
        half = item.image.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
        pixels.append(half.round().astype(np.uint8))
        patches.append(commonest(item.labels, TILE // GRID))
        details = slides[item.patient].details(item.x, item.y, TILE, TILE)
        truths.append(examiner.truth(np.ascontiguousarray(item.labels[::4, ::4]), details))
    return Tiles(np.stack(pixels), np.stack(patches), truths)


def commonest(codes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The code that most pixels of each side x side patch have."""
    rows, columns = codes.shape[0] // side, codes.shape[1] // side
    blocks = codes.reshape(rows, side, columns, side)
    return np.argmax([(blocks == code).sum((1, 3)) for code in range(5)], axis=0).astype(np.uint8)


def vocabulary(examiner: Examiner) -> list[str]:
    """Every word of the questions and of the answers, after the marks."""
    names = [name.lower() for several in examiner.names.values() for name in several]
    texts = [question.about(name) for question in examiner.questions for name in names]
    texts += [entry.term for entry in examiner.lexicon if not entry.organs]
    texts += [*WHITE.values(), NONE, UNKNOWN, "tissue fold"]
    spaced = " ".join(texts).lower()
    for mark in "?,.()-'&":
        spaced = spaced.replace(mark, f" {mark} ")
    return [*MARKS, *sorted(set(spaced.split()))]


def build(words: list[str], seed: int) -> tuple[Any, Any]:
    """A small BLIP and its processor."""
    import tempfile

    from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    torch.manual_seed(seed)
    text = {"hidden_size": 160, "intermediate_size": 480, "num_hidden_layers": 2, "num_attention_heads": 5}
    vision = {"hidden_size": 160, "intermediate_size": 480, "num_hidden_layers": 6, "num_attention_heads": 5}
    marks = {"bos_token_id": words.index("[DEC]"), "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(
        text_config=text | marks | {"encoder_hidden_size": 160, "vocab_size": len(words), "max_position_embeddings": 48},
        vision_config=vision | {"image_size": SIDE, "patch_size": SIDE // GRID},
    )
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
        tokenizer = BertTokenizer(str(path))
    processor = BlipProcessor(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer)
    return BlipForQuestionAnswering(config), processor


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int = 6000
    images: int = 48
    asked: int = 6
    lr: float = 1e-3
    seed: int = 0


def train(tiles: Tiles, schedule: Schedule) -> tuple[Any, Any]:
    """Train a model from nothing; what it sees is also taught by naming the tissue of each patch."""
    examiner = Examiner()
    model, processor = build(vocabulary(examiner), schedule.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    namer = nn.Linear(model.config.vision_config.hidden_size, 5).to(device)
    model.to(device).train()
    parameters = [*model.parameters(), *namer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.lr, weight_decay=0.02)
    warmup = min(300, schedule.steps // 10)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.lr, schedule.steps, pct_start=warmup / schedule.steps)
    draws = batches(tiles, examiner, processor, schedule)
    for step in track(range(schedule.steps), "training the answerer"):
        batch = {name: value.to(device) for name, value in next(draws).items()}
        with torch.autocast(device.type, torch.bfloat16):
            said, named = losses(model, namer, batch)
        (said + named).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 200 == 0:
            print(f"step {step}: answers {said.item():.3f}, patches {named.item():.3f}", flush=True)
    return model.eval(), processor


def losses(model: Any, namer: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Cross entropy of the answers, and of the tissue of each patch."""
    seen = model.vision_model(batch["pixels"]).last_hidden_state
    named = F.cross_entropy(namer(seen[:, 1:]).flatten(0, 1), batch["patches"].flatten())
    images = seen[batch["owner"]]
    asked = model.text_encoder(
        input_ids=batch["questions"], attention_mask=batch["asked"], encoder_hidden_states=images
    ).last_hidden_state
    answers = batch["answers"]
    inputs = answers.clone()
    inputs[answers < 0] = 0
    logits = model.text_decoder(
        input_ids=inputs[:, :-1],
        attention_mask=(answers[:, :-1] >= 0).long(),
        encoder_hidden_states=asked,
        encoder_attention_mask=batch["asked"],
    ).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), answers[:, 1:].flatten(), ignore_index=-100), named


def batches(tiles: Tiles, examiner: Examiner, processor: Any, schedule: Schedule) -> Iterator[dict[str, Tensor]]:  # noqa: ANN401
    """Endless batches: images turned and restained, some questions about each."""
    rng = np.random.default_rng(schedule.seed)
    tokenizer = processor.tokenizer
    mean = torch.tensor(processor.image_processor.image_mean).view(3, 1, 1)
    std = torch.tensor(processor.image_processor.image_std).view(3, 1, 1)
    start = tokenizer.convert_tokens_to_ids("[DEC]")
    while True:
        picks = rng.integers(0, len(tiles.pixels), schedule.images)
        turned = [turn(tiles.pixels[i], tiles.patches[i], rng) for i in picks]
        pixels = torch.stack([restained(image, rng) for image, _ in turned])
        asked, answers = [], []
        for i in picks:
            for _ in range(schedule.asked):
                question, answer = quiz(tiles.truths[i], examiner, rng)
                asked.append(question)
                answers.append(answer)
        questions = tokenizer(asked, padding=True, return_tensors="pt")
        said = [[start, *tokenizer(answer, add_special_tokens=False)["input_ids"], 3] for answer in answers]
        longest = max(map(len, said))
        yield {
            "pixels": (pixels - mean) / std,
            "patches": torch.from_numpy(np.stack([patches for _, patches in turned]).astype(np.int64)),
            "owner": torch.arange(len(picks)).repeat_interleave(schedule.asked),
            "questions": questions["input_ids"],
            "asked": questions["attention_mask"],
            "answers": torch.tensor([ids + [-100] * (longest - len(ids)) for ids in said]),
        }


def quiz(truth: Truth, examiner: Examiner, rng: np.random.Generator) -> tuple[str, str]:
    """A question and a truthful answer; classes that are there are asked about most."""
    there = [name for name in CLASSES if truth[name, 0] != (UNKNOWN,)]
    name = str(rng.choice(there if there and rng.random() < 0.85 else CLASSES))
    number = int(rng.integers(len(examiner.questions)))
    options = truth[name, number][: len(LIKELY)]
    odds = np.array(LIKELY[: len(options)])
    answer = options[rng.choice(len(options), p=odds / odds.sum())]
    usual = rng.random() < 0.7
    word = examiner.called[name] if usual else str(rng.choice(examiner.names[name])).lower()
    return examiner.questions[number].about(word), answer


def turn(
    image: NDArray[np.uint8], patches: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One of the eight ways to lay a tile down."""
    quarter, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
    image, patches = np.rot90(image, quarter), np.rot90(patches, quarter)
    return (image[:, ::-1], patches[:, ::-1]) if flip else (image, patches)


def restained(image: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """3 H W in 0..1, with the optical densities of each colour made stronger or weaker."""
    density = -np.log(np.maximum(image.astype(np.float32), 1.0) / 255.0)
    gain = np.exp(rng.normal(0, 0.18, 3)).astype(np.float32) * np.float32(np.exp(rng.normal(0, 0.12)))
    return torch.from_numpy(np.ascontiguousarray(np.exp(-density * gain).transpose(2, 0, 1)))


def exam(model: Any, processor: Any, tiles: Tiles) -> dict[str, float]:  # noqa: ANN401
    """Share of questions about what is there whose answer is truthful, over all and by topic; by greedy decoding."""
    from qaclims_path.language.answerers.blip import BlipAnswerer
    from qaclims_path.types import Ask

    examiner, answerer = Examiner(), BlipAnswerer(model.float(), processor, batch=32)
    right: dict[str, list[bool]] = {}
    asks, keys = [], []
    for i, truth in enumerate(tiles.truths):
        for name in CLASSES:
            if truth[name, 0] == (UNKNOWN,):
                continue
            for number, question in enumerate(examiner.questions):
                text = question.about(examiner.called[name])
                asks.append(Ask(str(i), lambda i=i: tiles.pixels[i], name, text, question.kind, question.topic))
                keys.append((question.topic, truth[name, number]))
    for answer, (topic, accepted) in zip(answerer.answer(asks), keys, strict=True):
        right.setdefault(topic, []).append(answer.text in accepted)
    by_topic = {topic: float(np.mean(hits)) for topic, hits in right.items()}
    return {"all": float(np.mean([hit for hits in right.values() for hit in hits])), **by_topic}
