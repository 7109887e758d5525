"""Train the embedded answerer: a small BLIP that learns first to recognise phantom tissue, then to answer questions.

The vision tower learns to name the tissue of each patch and which tissues touch. Then it is frozen, so that its output
is computed once per view and training the text part is cheap.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from embedded.truth import BLIND, CLASSES, FACTS, GRID, PRESENT, SIDE, Examiner, Tiles, vocabulary
from qaclims_path.files.atomic import atomic_path
from qaclims_path.files.progress import track
from qaclims_path.language.answerers.blip import BlipAnswerer
from qaclims_path.types import Ask

LIKELY = (0.7, 0.2, 0.1)  # probabilities of the first, second and third phrasing of an answer
ABSENT, UNNAMED, OTHERWISE = 0.15, 0.08, 0.3  # probabilities of an absent class, no class, another name of the class
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
CODES = 5
WIDTH, WIDER, HEADS = 192, 576, 6
STAIN = 0.2  # deviation of the logarithm of a colour's absorbance
LOG_EVERY = 100  # steps


@dataclass(frozen=True)
class Schedule:
    """Steps, batch and learning rate.

    Attributes:
        see: Steps of the vision tower.
        say: Steps of the text part.
        images: Images per step.
        asked: Questions about each image.
        views: Stored views of each tile, with other rotations and stains.
        lr: Highest learning rate.
        seed: Seed of all random numbers.
    """

    see: int = 2000
    say: int = 700
    images: int = 48
    asked: int = 8
    views: int = 3
    lr: float = 1e-3
    seed: int = 0


class Eyes(nn.Module):
    """The vision tower with two heads for its training: the tissue of patches, and facts about the tile."""

    def __init__(self, vision: nn.Module) -> None:
        super().__init__()
        self.vision = vision
        self.patches = nn.Linear(WIDTH, CODES)
        self.facts = nn.Linear(WIDTH, FACTS)

    def losses(self, pixels: Tensor, patches: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross entropy of the patches (B 8 8) and of the facts (B F) of images (B 3 S S)."""
        seen = self.vision(pixels).last_hidden_state
        named = F.cross_entropy(self.patches(seen[:, 1:]).flatten(0, 1).float(), patches.flatten().long())
        known = F.binary_cross_entropy_with_logits(self.facts(seen[:, 0]).float(), facts.float())
        return named, known


def build(words: list[str], seed: int) -> tuple[Any, Any]:
    """Build a small BLIP and its processor."""
    from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering, BlipImageProcessor, BlipProcessor

    torch.manual_seed(seed)
    shape = {"hidden_size": WIDTH, "intermediate_size": WIDER, "num_attention_heads": HEADS}
    marks = {"bos_token_id": words.index("[DEC]"), "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    sizes = {"encoder_hidden_size": WIDTH, "vocab_size": len(words), "max_position_embeddings": 48}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BlipConfig(
        text_config={**shape, **marks, **sizes, **still, "num_hidden_layers": 2},
        vision_config={**shape, "image_size": SIDE, "patch_size": SIDE // GRID, "num_hidden_layers": 4},
    )
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
        tokenizer = BertTokenizer(str(path), do_lower_case=True)
    make: Any = BlipProcessor  # shipped without types
    processor = make(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer)
    return BlipForQuestionAnswering(config), processor


def learn(tiles: Tiles, schedule: Schedule, work: Path) -> tuple[Any, Any]:
    """Train a model from random weights; a vision tower that an earlier run left in `work` is used again."""
    examiner = Examiner()
    model, processor = build(vocabulary(examiner, MARKS), schedule.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    kept = work / f"eyes-{schedule.see}.safetensors"
    if kept.is_file():
        model.vision_model.load_state_dict(load_file(kept, device=str(device)))
    else:
        learn_to_see(Eyes(model.vision_model).to(device), tiles, schedule, mean_std(processor))
        with atomic_path(kept) as temporary:
            save_file({name: value.contiguous() for name, value in model.vision_model.state_dict().items()}, temporary)
    learn_to_say(model, processor, tiles, examiner, schedule)
    return model.eval(), processor


def learn_to_see(eyes: Eyes, tiles: Tiles, schedule: Schedule, colours: tuple[Tensor, Tensor]) -> None:
    """Train the vision tower."""
    rng, device = np.random.default_rng(schedule.seed), eyes.patches.weight.device
    optimizer, rate = optimizer_of(list(eyes.parameters()), schedule.lr, schedule.see)
    mean, std = (value.to(device) for value in colours)
    for step in track(range(schedule.see), "learning to see"):
        picks = rng.integers(0, len(tiles.pixels), schedule.images)
        views = [turned(tiles.pixels[i], tiles.patches[i], rng) for i in picks]
        pixels = torch.stack([restained(image, rng) for image, _ in views]).to(device)
        patches = torch.from_numpy(np.stack([patches for _, patches in views])).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            named, known = eyes.losses((pixels - mean) / std, patches, torch.from_numpy(tiles.facts[picks]).to(device))
        torch.autograd.backward(named + 2 * known)
        update(eyes, optimizer, rate)
        if step % LOG_EVERY == 0:
            print(f"seeing, step {step}: patches {named.item():.3f}, facts {known.item():.3f}", flush=True)


def learn_to_say(model: Any, processor: Any, tiles: Tiles, examiner: Examiner, schedule: Schedule) -> None:  # noqa: ANN401
    """Train the text encoder and decoder on the stored output of the vision tower for a few views of every tile."""
    blip = BlipAnswerer(model, processor)  # training goes through the answerer's own code
    seen = keep_views(model.vision_model, tiles, schedule, mean_std(processor))
    rng = np.random.default_rng(schedule.seed + 1)
    texts = nn.ModuleList([model.text_encoder, model.text_decoder])
    optimizer, rate = optimizer_of(list(texts.parameters()), schedule.lr, schedule.say)
    device = model.device
    for step in track(range(schedule.say), "learning to answer"):
        picks = rng.integers(0, len(tiles.pixels), schedule.images)
        views = rng.integers(0, schedule.views, schedule.images)
        quizzes = [quiz(tiles, int(i), examiner, rng) for i in picks for _ in range(schedule.asked)]
        owners = [row for row in range(len(picks)) for _ in range(schedule.asked)]
        shown = seen[views, picks].to(device).float()
        with torch.autocast(device.type, torch.bfloat16):
            states = blip._encode_questions(shown, owners, [question for question, _ in quizzes])
            loss = saying_loss(model, processor, states, [answer for _, answer in quizzes])
        torch.autograd.backward(loss)
        update(texts, optimizer, rate)
        if step % LOG_EVERY == 0:
            print(f"answering, step {step}: {loss.item():.3f}", flush=True)


def saying_loss(model: Any, processor: Any, states: list[Tensor], answers: list[str]) -> Tensor:  # noqa: ANN401
    """Return the cross entropy of answers, word by word, given encoded questions (L D) with their images."""
    start, device = model.config.text_config.bos_token_id, states[0].device
    words = [processor.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
    rows = [torch.tensor([start, *ids, 3], device=device) for ids in words]
    inputs = pad_sequence(rows, batch_first=True)
    targets = pad_sequence(rows, batch_first=True, padding_value=-100)[:, 1:]
    asked = pad_sequence(
        [torch.ones(len(state), dtype=torch.long, device=device) for state in states], batch_first=True
    )
    logits = model.text_decoder(
        input_ids=inputs[:, :-1],
        attention_mask=torch.ones_like(inputs[:, :-1]),  # padding is last, and nothing attends to it
        encoder_hidden_states=pad_sequence(states, batch_first=True),
        encoder_attention_mask=asked,
    ).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100)


@torch.no_grad()
def keep_views(vision: nn.Module, tiles: Tiles, schedule: Schedule, colours: tuple[Tensor, Tensor]) -> Tensor:
    """Return the output of the vision tower for a few views of every tile: V N S D, half precision."""
    rng, device = np.random.default_rng(schedule.seed + 2), next(vision.parameters()).device
    mean, std = colours
    kept = torch.empty(schedule.views, len(tiles.pixels), GRID * GRID + 1, WIDTH, dtype=torch.float16)
    for view in range(schedule.views):
        for start in track(range(0, len(tiles.pixels), 64), f"looking, view {view + 1}"):
            images = tiles.pixels[start : start + 64]
            pixels = torch.stack([restained(turned(image, image, rng)[0], rng) for image in images])
            with torch.autocast(device.type, torch.bfloat16):
                seen = vision(((pixels - mean) / std).to(device)).last_hidden_state
            kept[view, start : start + 64] = seen.half().cpu()
    return kept


def quiz(tiles: Tiles, image: int, examiner: Examiner, rng: np.random.Generator) -> tuple[str, str]:
    """Draw a question about a tile and a truthful answer; most questions are about classes in the tile."""
    seen = tiles.seen[image]
    there = [name for name, share in zip(CLASSES, seen.shares, strict=False) if share >= PRESENT]
    kind = rng.random()
    name = BLIND if kind < UNNAMED else str(rng.choice(CLASSES if kind < UNNAMED + ABSENT or not there else there))
    question = examiner.questions[int(rng.integers(len(examiner.questions)))]
    options = examiner.truth(seen, name, question)[: len(LIKELY)]
    odds = np.array(LIKELY[: len(options)])
    answer = options[int(rng.choice(len(options), p=odds / odds.sum()))]
    word = str(rng.choice(examiner.names[name])) if rng.random() < OTHERWISE else examiner.called[name]
    return question.about(word), answer


def exam(folder: Path, tiles: Tiles) -> dict[str, Any]:
    """Return the shares of truthful answers, by exact match, to every question about every class of every tile.

    For classes in the tile, by topic; for absent classes, whose answer is "unknown"; and for all.
    """
    examiner, answerer = Examiner(), BlipAnswerer.load(str(folder), device="cpu", batch=32)
    asks: list[Ask] = []
    keys: list[tuple[str, str, tuple[str, ...]]] = []
    for i, seen in enumerate(tiles.seen):
        for code, name in enumerate(CLASSES):
            for question in examiner.questions:
                text = question.about(examiner.called[name])
                asks.append(
                    Ask(str(i), partial(tiles.pixels.__getitem__, i), name, text, question.kind, question.topic)
                )
                group = "there" if seen.shares[code] >= PRESENT else "absent"
                keys.append((group, f"{question.kind}: {question.topic}", examiner.truth(seen, name, question)))
    right: dict[str, list[bool]] = {}
    for answer, (group, topic, truthful) in zip(answerer.answer(asks), keys, strict=True):
        hit = answer.text in truthful
        for name in ("all", group, *([topic, topic.split(":")[0]] if group == "there" else [])):
            right.setdefault(name, []).append(hit)
    return {group: round(float(np.mean(hits)), 4) for group, hits in sorted(right.items())} | {"questions": len(asks)}


def mean_std(processor: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Return mean and standard deviation (3 1 1 each) of the processor's normalisation."""
    images = processor.image_processor
    return torch.tensor(images.image_mean).view(3, 1, 1), torch.tensor(images.image_std).view(3, 1, 1)


def optimizer_of(parameters: list[nn.Parameter], lr: float, steps: int) -> tuple[Any, Any]:
    """Return AdamW and a schedule that rises briefly and falls along a cosine."""
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.02, betas=(0.9, 0.98))
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, max(steps, 2), pct_start=0.08)


def update(network: nn.Module, optimizer: Any, rate: Any) -> None:  # noqa: ANN401
    """Take one optimiser step and clear the gradients."""
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    rate.step()
    optimizer.zero_grad(set_to_none=True)


def turned(
    image: NDArray[np.uint8], patches: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Rotate or mirror a tile in one of eight ways."""
    quarter, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
    image, patches = np.rot90(image, quarter), np.rot90(patches, quarter)
    image, patches = (image[:, ::-1], patches[:, ::-1]) if flip else (image, patches)
    return np.ascontiguousarray(image), np.ascontiguousarray(patches)


def restained(image: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Return the image (3 H W in 0..1) with the absorbance of each colour scaled at random."""
    powers = np.exp(rng.normal(0, STAIN, 3) + rng.normal(0, STAIN))
    table = (np.arange(256) / 255.0)[:, None] ** powers
    return torch.from_numpy(np.stack([table[image[..., c], c] for c in range(3)]).astype(np.float32))
