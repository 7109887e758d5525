"""A frozen judge of two towers; a family only provides functions that load and call its towers."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.devices import DTYPES, check_precision, device_of, fastest_precision
from qaclims_path.compute.regions import Fill, Mode, make_backdrop, region_views
from qaclims_path.errors import UsageError, first_of
from qaclims_path.files.digest import digest_of
from qaclims_path.models.judges.towers import Recompute, cast_once, is_too_much, kept_bytes, recompute_blocks
from qaclims_path.registry import suggest
from qaclims_path.types import JudgeCard

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
CPU_TEXTS, GPU_TEXTS = 24, 256  # per call; on a CPU, padding texts to the longest costs more than calls


@dataclass(frozen=True)
class Towers:
    """Parts of a judge that its family provides.

    Attributes:
        card: Facts about the model.
        module: Holds all parameters; it is frozen, put into evaluation mode and moved to the device.
        image: P 3 S S normalised pixels to P D vectors of any length.
        text: N L tokens to N D vectors of any length; L is at least the longest of `lengths`.
        tokenise: N texts to N L tokens, cut to the context and padded.
        lengths: N L tokens to N: the number of tokens that matter. If None, the text tower gets the full context.
        count: Number of tokens of a text before cutting. If None, there is no warning about cut texts.
        prompted: P 3 S S pixels and P S S binary masks to P D, for an image tower with mask prompts.
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
    """Compares regions and texts. Its parameters are frozen; gradients flow to the maps of the regions.

    Args:
        towers: Towers of the model.
        device: Name of its device; `auto` is the accelerator if there is one.
        dtype: Precision of the towers, whatever the precision around; `auto` is bf16 on a GPU (fp16 if it has no bf16),
            and elsewhere that of the autocast around, such as a training step's. Features are always fp32.
        mode: Way in which a region is masked, see `compute.regions.pixel_weights`.
        fill: Content of the pixels outside a region.
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
        for option, value, values in (("mode", mode, Mode), ("filling", fill, Fill), ("precision", dtype, Dtype)):
            if value not in get_args(values):
                raise UsageError(f"There is no {option} '{value}' of a judge. {suggest(value, list(get_args(values)))}")
        if mode == "mask-prompt" and towers.prompted is None:
            raise UsageError(
                f"The judge '{towers.card.id}' was not trained with mask prompts. Choose another mode of regions, or "
                "a mask-prompted checkpoint: ovseg:FILE."
            )
        if published_pixels and fill == "white":
            raise UsageError(
                "With published pixels the value of white is unknown to the judge. Fill with zero, mean or blur."
            )
        self.mode, self.fill, self.published_pixels = mode, fill, published_pixels
        self._card, self._towers, self._device = towers.card, towers, device_of(device)
        self._dtype = _dtype_of(dtype, self._device)
        towers.module.eval().requires_grad_(requires_grad=False).to(self._device)
        self._mean = torch.tensor(self._card.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(self._card.std, device=self._device).view(3, 1, 1)
        self._white = ((1 - self._mean) / self._std).flatten()
        if self._dtype not in (None, torch.float32):
            with self._precision():
                cast_once(towers.module, towers.image, self._one_view(), self._dtype)

    @property
    def card(self) -> JudgeCard:
        """Facts about the model."""
        return self._card

    @property
    def device(self) -> torch.device:
        """Device of the towers."""
        return self._device

    def prepare(self, images: Tensor) -> Tensor:
        """Resize B 3 H W images in 0..1 to B 3 S S and normalise them with the judge's mean and standard deviation."""
        images = images.to(self._device, torch.float32)
        size = (self._card.input_size, self._card.input_size)
        if self.published_pixels:
            return F.interpolate(images, size, mode="bilinear", align_corners=True)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        return (images - self._mean) / self._std

    def encode_regions(self, prepared: Tensor, maps: Tensor, owner: Tensor, *, outside: bool = False) -> Tensor:
        """Encode regions of images.

        Args:
            prepared: B 3 S S from `prepare`.
            maps: P h w in 0..1.
            owner: P, index of each map's image.
            outside: Encode the background of each map instead; in most modes that differs from `1 - maps`.

        Returns:
            P D unit vectors.
        """
        return self._encode(prepared, maps, owner, outside=outside)

    def encode_both(self, prepared: Tensor, maps: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Encode foregrounds and backgrounds of P maps in one call of the image tower, see `encode_regions`."""
        foreground, background = self._encode(prepared, maps, owner, outside="both").chunk(2)
        return foreground, background

    def _encode(self, prepared: Tensor, maps: Tensor, owner: Tensor, *, outside: bool | Literal["both"]) -> Tensor:
        if not len(maps):
            return prepared.new_zeros(0, self._card.width)
        backdrop = make_backdrop(prepared, self.fill, self._white)
        views, masks = region_views(prepared, maps, owner, mode=self.mode, outside=outside, backdrop=backdrop)
        with self._precision():
            if self.mode == "mask-prompt" and self._towers.prompted is not None:
                features = self._towers.prompted(views, masks)
            else:
                features = self._towers.image(views)
        return F.normalize(features.float(), dim=-1)

    def encode_images(self, prepared: Tensor) -> Tensor:
        """Encode whole images as B D unit vectors."""
        with self._precision():
            features = self._towers.image(prepared)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as N D unit vectors, each unique text once; a warning names texts that are too long and cut."""
        if not texts:
            return torch.zeros(0, self._card.width, device=self._device)
        unique = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        tokens = self._towers.tokenise(list(unique))
        lengths = self._lengths(tokens)
        self._warn_about_cut_texts(list(unique), lengths)
        order = torch.argsort(lengths, stable=True)
        features = torch.empty(len(unique), self._card.width, device=self._device)
        size = CPU_TEXTS if self._device.type == "cpu" else GPU_TEXTS
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = tokens[rows, : int(lengths[rows].max())].to(self._device)
            with self._precision():
                encoded = self._towers.text(batch)
            features[rows.to(self._device)] = F.normalize(encoded.float(), dim=-1)
        return features[[unique[text] for text in texts]]

    def recompute(self, when: Recompute, views: int) -> bool:
        """Compute blocks of the towers again in the backward pass instead of keeping their activations.

        Args:
            when: `auto` does so on a GPU if the activations of all views need too much memory, see `is_too_much`.
            views: Views that are encoded together.

        Returns:
            Whether blocks are computed again.
        """
        wanted = when == "on" or (when == "auto" and self._device.type == "cuda" and self._is_too_much(views))
        return wanted and recompute_blocks(self._towers.module) > 0

    def compile(self, backend: str = "inductor") -> None:
        """Compile the image tower with `torch.compile`; call `recompute` before."""
        image, prompted = self._towers.image, self._towers.prompted
        self._towers = replace(
            self._towers,
            image=torch.compile(image, backend=backend),
            prompted=prompted and torch.compile(prompted, backend=backend),
        )

    def _is_too_much(self, views: int) -> bool:
        with self._precision():
            kept = kept_bytes(self._towers.module, self._towers.image, self._one_view())
        return is_too_much(kept, views, torch.cuda.mem_get_info(self._device)[0])

    def _one_view(self) -> Tensor:
        return torch.zeros(1, 3, self._card.input_size, self._card.input_size, device=self._device)

    def _lengths(self, tokens: Tensor) -> Tensor:
        if self._towers.lengths is None:
            return torch.full((len(tokens),), tokens.shape[1])
        return self._towers.lengths(tokens)

    def _warn_about_cut_texts(self, texts: list[str], lengths: Tensor) -> None:
        """Warn about texts longer than the context; only those that fill it are counted."""
        full = (lengths >= self._card.context).nonzero()[:, 0].tolist()
        count = self._towers.count
        cut = [texts[row] for row in full if count is not None and count(texts[row]) > self._card.context]
        if cut:
            named = first_of([f"'{text[:60]}{'...' if len(text) > 60 else ''}'" for text in cut], 3)
            message = f"Longer than the {self._card.context} tokens of '{self._card.id}', and cut: {named}."
            warnings.warn(message, stacklevel=3)

    def _precision(self) -> AbstractContextManager[object]:
        if self._dtype is None:
            return nullcontext()
        if self._dtype == torch.float32:
            return torch.autocast(self._device.type, enabled=False)
        return torch.autocast(self._device.type, self._dtype)


def _dtype_of(name: Dtype, device: torch.device) -> torch.dtype | None:
    """Return the precision of the towers; None follows the autocast around."""
    if name != "auto":
        check_precision(name, device)
        return DTYPES[name]
    return DTYPES[fastest_precision(device)] if device.type == "cuda" else None


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Short hash of weights without a commit; equal weights have equal hashes, whatever their file."""
    parts: list[str | memoryview] = []
    for name, value in sorted(weights.items()):
        parts += [name, value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data]
    return f"sha256:{digest_of(*parts)}"
