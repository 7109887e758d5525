"""A frozen judge around two towers: a family only says how its towers are loaded and called."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.devices import device_of
from qaclims_path.compute.regions import Fill, Mode, make_backdrop, region_views
from qaclims_path.errors import UsageError
from qaclims_path.files.digest import digest_of
from qaclims_path.registry import suggest
from qaclims_path.types import JudgeCard

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
TEXTS_AT_ONCE = {"cpu": 24}  # few where padding short ones to the longest costs more than calls do
TEXTS_ELSEWHERE = 256
NAMED = 3  # texts written out in a warning
SHOWN = 60  # letters of each


@dataclass(frozen=True)
class Towers:
    """What a family of judges provides.

    Attributes:
        card: What is to be known of the model.
        module: Holds all parameters; it is frozen, set to evaluation and moved to the device.
        image: P 3 S S normalised pixels to P D, of any length.
        text: N L tokens to N D, of any length; L is at least what `lengths` says of every row.
        tokenise: N texts to N L tokens, cut to the context and padded.
        lengths: N L tokens to N: how many of a row matter. Without it, the text tower always sees the full context.
        count: Tokens of a text if nothing was cut. Without it, nobody is told of texts that were cut.
        prompted: P 3 S S pixels and P S S binary masks to P D, where masks can be given to the image tower itself.
    """

    card: JudgeCard
    module: nn.Module
    image: Callable[[Tensor], Tensor]
    text: Callable[[Tensor], Tensor]
    tokenise: Callable[[Sequence[str]], Tensor]
    lengths: Callable[[Tensor], Tensor] | None = None
    count: Callable[[str], int] | None = None
    prompted: Callable[[Tensor, Tensor], Tensor] | None = None


class FrozenJudge:
    """Compares regions and texts; its parameters never change, and gradients reach the maps of the regions.

    Args:
        towers: Of the model.
        device: Where it computes; `auto` takes an accelerator where there is one.
        dtype: Precision of the towers; `auto` is bf16 on a GPU and fp32 elsewhere. Features are always fp32.
        mode: How a region is shown, see `compute.regions.pixel_weights`.
        fill: What is shown where a region is not.
        published_pixels: `prepare` gets the backbone's normalised pixels and passes them on, as the original code does.
    """

    def __init__(
        self,
        towers: Towers,
        *,
        device: str = "auto",
        dtype: Dtype = "auto",
        mode: Mode = "soft",
        fill: Fill = "zero",
        published_pixels: bool = False,
    ) -> None:
        for what, given, known in (("mode", mode, Mode), ("filling", fill, Fill), ("precision", dtype, Dtype)):
            if given not in get_args(known):
                raise UsageError(f"There is no {what} '{given}' of a judge. {suggest(given, list(get_args(known)))}")
        if mode == "mask-prompt" and towers.prompted is None:
            raise UsageError(
                f"The judge '{towers.card.id}' was not trained with mask prompts. Choose another mode of regions, or "
                "a mask-prompted checkpoint: ovseg:FILE."
            )
        if published_pixels and fill == "white":
            raise UsageError("With published pixels the judge cannot know what white is. Fill with zero, mean or blur.")
        self.mode, self.fill, self.published_pixels = mode, fill, published_pixels
        self._card, self._towers, self._device = towers.card, towers, device_of(device)
        kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        kinds["auto"] = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self._dtype = kinds[dtype]
        towers.module.eval().requires_grad_(requires_grad=False).to(self._device)
        self._mean = torch.tensor(self._card.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(self._card.std, device=self._device).view(3, 1, 1)

    @property
    def card(self) -> JudgeCard:
        """What it is."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    def prepare(self, images: Tensor) -> Tensor:
        """B 3 H W in 0..1 to B 3 S S, resized as a whole and normalised with the judge's own mean and deviation."""
        images = images.to(self._device, torch.float32)
        size = (self._card.input_size, self._card.input_size)
        if self.published_pixels:
            return F.interpolate(images, size, mode="bilinear", align_corners=True)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return (images - self._mean) / self._std

    def encode_regions(self, prepared: Tensor, maps: Tensor, owner: Tensor, *, outside: bool = False) -> Tensor:
        """Look at regions.

        Args:
            prepared: B 3 S S from `prepare`.
            maps: P h w in 0..1.
            owner: P, the image of each map.
            outside: Look at the background of each map instead; in most modes this is not the view of `1 - maps`.

        Returns:
            P D unit vectors.
        """
        if not len(maps):
            return prepared.new_zeros(0, self._card.width)
        white = ((1 - self._mean) / self._std).flatten()
        backdrop = make_backdrop(prepared, self.fill, white)
        views, masks = region_views(prepared, maps, owner, mode=self.mode, outside=outside, backdrop=backdrop)
        with self._precision():
            if self.mode == "mask-prompt" and self._towers.prompted is not None:
                features = self._towers.prompted(views, masks)
            else:
                features = self._towers.image(views)
        return F.normalize(features.float(), dim=-1)

    def encode_images(self, prepared: Tensor) -> Tensor:
        """B D unit vectors of whole images."""
        with self._precision():
            features = self._towers.image(prepared)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """N D unit vectors in order. Each text is encoded once; texts that are too long are cut, and named."""
        if not texts:
            return torch.zeros(0, self._card.width, device=self._device)
        unique = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        tokens = self._towers.tokenise(list(unique))
        lengths = self._lengths(tokens)
        self._warn_of_cut(list(unique), lengths)
        order = torch.argsort(lengths, stable=True)
        features = torch.empty(len(unique), self._card.width, device=self._device)
        size = TEXTS_AT_ONCE.get(self._device.type, TEXTS_ELSEWHERE)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = tokens[rows, : int(lengths[rows].max())].to(self._device)
            with self._precision():
                encoded = self._towers.text(batch)
            features[rows.to(self._device)] = F.normalize(encoded.float(), dim=-1)
        return features[[unique[text] for text in texts]]

    def _lengths(self, tokens: Tensor) -> Tensor:
        if self._towers.lengths is None:
            return torch.full((len(tokens),), tokens.shape[1])
        return self._towers.lengths(tokens)

    def _warn_of_cut(self, texts: list[str], lengths: Tensor) -> None:
        """Count exactly only the texts that fill the context."""
        full = (lengths >= self._card.context).nonzero()[:, 0].tolist()
        count = self._towers.count
        cut = [texts[row] for row in full if count is not None and count(texts[row]) > self._card.context]
        if cut:
            named = ", ".join(f"'{text[:SHOWN]}{'...' if len(text) > SHOWN else ''}'" for text in cut[:NAMED])
            more = f" and {len(cut) - NAMED} more" if len(cut) > NAMED else ""
            said = f"Longer than the {self._card.context} tokens of '{self._card.id}', and cut: {named}{more}."
            warnings.warn(said, stacklevel=3)

    def _precision(self) -> AbstractContextManager[object]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """A short hash of weights that came without a commit; equal weights have equal hashes, whatever file held them."""
    parts: list[str | memoryview] = []
    for name, value in sorted(weights.items()):
        parts += [name, value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data]
    return f"sha256:{digest_of(*parts)}"
