"""Training task of a small judge: views of images and regions, captions of the classes present, never a mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from qaclims_path.compute.matching import matching_loss, pair_targets, patch_loss, region_shares, soft_blobs
from qaclims_path.compute.regions import Fill, compose, make_backdrop
from qaclims_path.data.dataset import to_tensor
from qaclims_path.data.record import Record
from qaclims_path.engine.task import Batch, StepInfo
from qaclims_path.language.captions import Captioner
from qaclims_path.models.judges.open_clip import encode_short

Colours = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and standard deviation of R, G, B
FILLS: tuple[Fill, ...] = ("zero", "zero", "zero", "mean", "white", "blur")  # one is drawn in each step
PER_CLASS = 4  # captions of one class alone, per class and step
OWN = 16  # images of a batch that get a caption and a hard negative of their own
MOST_SCALE = 50.0
SMALLEST_CROP = 0.7  # share of the side of the image
STAIN = 0.25  # largest relative change of the absorbance of a colour channel


class Pictures(Dataset[dict[str, Any]]):
    """Images with their labels, cropped, turned and coloured at random (from the global random state)."""

    def __init__(self, records: Sequence[Record], classes: int, size: int, *, turn: bool) -> None:
        self.records, self.classes, self.size, self.turn = records, classes, size, turn

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        present, known = torch.zeros(self.classes, dtype=torch.bool), torch.ones(self.classes, dtype=torch.bool)
        present[list(record.present or ())], known[list(record.unknown)] = True, False
        image = self._varied(to_tensor(record.image.pixels()))
        return {"id": record.id, "image": image, "present": present, "known": known}

    def _varied(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        share = SMALLEST_CROP + (1 - SMALLEST_CROP) * float(torch.rand(()))
        rows, columns = max(int(height * share), 1), max(int(width * share), 1)
        top, left = (int(torch.randint(0, free + 1, ())) for free in (height - rows, width - columns))
        image = image[None, :, top : top + rows, left : left + columns]
        image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)[0].clamp(0, 1)
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        if self.turn:
            image = image.rot90(int(torch.randint(0, 4, ())), (1, 2))
        powers = 1 + STAIN * (2 * torch.rand(3) - 1)
        return image ** powers[:, None, None]


@dataclass(frozen=True)
class Views:
    """Inputs of the image tower.

    Attributes:
        pixels: N 3 S S, normalised.
        present: N C, the classes that a view may show.
        possible: N C, these and the classes of which nothing is known.
        sure: N, whether it shows all of `present`.
        blobs: B S S in 0..1, the regions that the second B views show.
    """

    pixels: Tensor
    present: Tensor
    possible: Tensor
    sure: Tensor
    blobs: Tensor


def make_views(
    images: Tensor, present: Tensor, white: Tensor, generator: torch.Generator, *, known: Tensor | None = None
) -> Views:
    """Make views of whole images, and of regions of them or of mixtures.

    Two images of one class each are mixed, and both parts are shown as regions. Their classes are known, so regions are
    learned without a mask. For a region of an image with several classes, only the absent classes are known.

    Args:
        images: B 3 S S, normalised.
        present: B C, bool.
        white: 3, white in normalised space.
        generator: Random numbers, on the CPU.
        known: B C, bool: whether it is known that the class is present or absent; None where all are.
    """
    possible = present if known is None else present | ~known
    count, side = len(images), images.shape[-1]
    blobs = soft_blobs(count, side, generator).to(images)
    alone = (present.sum(1) == 1) & (possible.sum(1) == 1)
    singles = alone.nonzero()[:, 0]
    partner = torch.arange(count, device=images.device)
    partner[singles] = singles[torch.randperm(len(singles), generator=generator).to(images.device)]
    share = blobs[:, None]
    mixed = torch.where(share > 0.5, images, images[partner])
    fill = FILLS[int(torch.randint(0, len(FILLS), (), generator=generator))]
    backdrop = make_backdrop(mixed, fill, white)
    regions = compose(mixed, blobs, torch.arange(count, device=images.device), backdrop=backdrop)
    others = compose(mixed, 1 - blobs[singles], singles, backdrop=backdrop)
    return Views(
        torch.cat([images, regions, others]),
        torch.cat([present, present, present[partner[singles]]]),
        torch.cat([possible, possible, possible[partner[singles]]]),
        torch.cat([torch.ones_like(alone), alone, alone[singles]]),
        blobs,
    )


@dataclass(frozen=True)
class Captions:
    """Inputs of the text tower.

    Attributes:
        texts: T.
        classes: T C, the classes that a text is about.
        wrong: T, whether the text also names another class.
    """

    texts: list[str]
    classes: Tensor
    wrong: Tensor


def make_captions(captioner: Captioner, names: Sequence[str], present: Tensor, seed: int) -> Captions:
    """Make captions of every class alone, and of some images, with hard negatives."""
    texts: list[str] = []
    about: list[Tensor] = []
    wrong: list[bool] = []
    for c, name in enumerate(names):
        texts += captioner.captions([name], seed=seed + c, count=PER_CLASS)
        about += [F.one_hot(torch.tensor(c), len(names)).bool()] * PER_CLASS
        wrong += [False] * PER_CLASS
    for row, classes in enumerate(present[:OWN].cpu()):
        shown = [name for name, is_present in zip(names, classes.tolist(), strict=True) if is_present]
        right, negative = captioner.pairs(shown, seed=seed + len(names) + row, count=1)[0]
        for text, is_wrong in ((right, False), (negative, True)):
            if text:
                texts.append(text)
                about.append(classes)
                wrong.append(is_wrong)
    return Captions(texts, torch.stack(about), torch.tensor(wrong))


class JudgeTask:
    """Trains an open_clip network to tell which captions are true of which views."""

    def __init__(
        self,
        network: CustomTextCLIP,
        tokenizer: PreTrainedTokenizerFast,
        captioner: Captioner,
        names: Sequence[str],
        colours: Colours,
        *,
        seed: int,
    ) -> None:
        self.network: nn.Module = network
        self._tokenizer, self._captioner, self._names, self._seed = tokenizer, captioner, names, seed
        self._mean, self._std = (torch.tensor(values).view(3, 1, 1) for values in colours)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Group parameters: weight decay for matrices, none for scales and shifts."""
        named = list(self.network.named_parameters())
        plain = [value for _, value in named if value.ndim < 2]
        heavy = [value for _, value in named if value.ndim >= 2]
        return [{"params": heavy, "lr": lr}, {"params": plain, "lr": lr, "weight_decay": 0.0}]

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Return losses of a micro-batch."""
        network: Any = self.network
        present, known, device = batch["present"], batch["known"], batch["image"].device
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + info.step)
        mean, std = self._mean.to(device), self._std.to(device)
        white = ((1 - mean) / std).flatten()
        views = make_views((batch["image"] - mean) / std, present, white, generator, known=known)
        captions = make_captions(self._captioner, self._names, present, self._seed + 7919 * info.step)
        encoded = F.normalize(self._encode(captions.texts, device).float(), dim=-1)
        shown, positions = self._look(views.pixels, len(present))
        scale = network.logit_scale.exp().clamp(max=MOST_SCALE)
        logits = scale * shown @ encoded.T + network.logit_bias
        about, wrong = captions.classes.to(device), captions.wrong.to(device)
        truth, sure = pair_targets(views.present, views.sure, about, wrong, views.possible)
        named = self._per_class(logits)
        parts = {"matching": matching_loss(logits, truth, sure), "naming": _naming(named, views)}
        if positions is not None:
            placed = self._per_class((scale * positions @ encoded.T).flatten(0, 1)).view(*positions.shape[:2], -1)
            possible, regions = present | ~known, named[len(present) : 2 * len(present)]
            parts["placing"] = patch_loss(placed, present, possible)
            parts["regions"] = info.progress * _regions(regions, placed, views, possible)
        return {"loss": torch.stack([*parts.values()]).sum(), **{name: part.detach() for name, part in parts.items()}}

    def _encode(self, texts: list[str], device: torch.device) -> Tensor:
        network: Any = self.network
        context = network.context_length
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=context, return_tensors="pt"
        ).input_ids
        return encode_short(network.text, "eos", network.text.eos_id, tokens.to(device))

    def _look(self, pixels: Tensor, whole: int) -> tuple[Tensor, Tensor | None]:
        """Encode all views (N D), and each position of the feature map of the whole images (B K D), as unit vectors.

        The second is None where the feature map has one position. The vector of a view comes from the mean over
        positions, so what is learned for positions holds for regions.
        """
        visual = cast("Any", self.network).visual
        features = visual.trunk.forward_features(pixels)
        shown = F.normalize(visual.head(visual.trunk.forward_head(features)).float(), dim=-1)
        if features.ndim != 4 or features[0, 0].numel() == 1:
            return shown, None
        apart = features[:whole].flatten(2).transpose(1, 2).flatten(0, 1)[:, :, None, None]
        positions = visual.head(visual.trunk.forward_head(apart)).float()
        return shown, F.normalize(positions, dim=-1).view(whole, -1, shown.shape[1])

    def _per_class(self, logits: Tensor) -> Tensor:
        """Average the logits of the captions of each class alone: N T to N C."""
        classes = len(self._names)
        return logits[:, : classes * PER_CLASS].reshape(len(logits), classes, PER_CLASS).mean(2)


def _naming(named: Tensor, views: Views) -> Tensor:
    """Cross-entropy over the views that show exactly one class."""
    chosen = views.sure & (views.present.sum(1) == 1) & (views.possible.sum(1) == 1)
    if not chosen.any():
        return named.sum() * 0
    return F.cross_entropy(named[chosen], views.present[chosen].float().argmax(1))


def _regions(named: Tensor, placed: Tensor, views: Views, possible: Tensor) -> Tensor:
    """Cross-entropy between regions of images with several possible classes and the positions below them."""
    several = possible.sum(1) > 1
    if not several.any():
        return named.sum() * 0
    side = round(placed.shape[1] ** 0.5)
    under = F.adaptive_avg_pool2d(views.blobs[:, None], side).flatten(1)
    return F.cross_entropy(named[several], region_shares(placed.detach(), under, possible)[several])
