"""Training task of a small judge: which captions are true of which views of images and regions; never a mask."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional as F

from qaclims_path.compute.matching import matching_loss, patch_loss, region_shares
from qaclims_path.compute.transfer import sent
from qaclims_path.engine.task import Batch, StepInfo
from qaclims_path.models.judges.open_clip import encode_short
from qaclims_path.pipeline.judge.plan import PER_CLASS, PLAN, Plan, show

Colours = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean and standard deviation of R, G, B
MOST_SCALE = 50.0


class JudgeTask:
    """Trains an open_clip network to tell which captions are true of which views.

    Args:
        network: The network.
        augment: Makes the images (B 3 S S in 0..1) of a batch.
        classes: Number of classes.
        colours: Mean and standard deviation of the pixels.
    """

    def __init__(
        self, network: CustomTextCLIP, augment: Callable[[Batch], Tensor], classes: int, colours: Colours
    ) -> None:
        self.network: nn.Module = network
        self._augment, self._classes = augment, classes
        self._colours = torch.tensor(colours)[..., None, None]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Group parameters: weight decay for matrices, none for scales and shifts."""
        named = list(self.network.named_parameters())
        plain = [value for _, value in named if value.ndim < 2]
        heavy = [value for _, value in named if value.ndim >= 2]
        return [{"params": heavy, "lr": lr}, {"params": plain, "lr": lr, "weight_decay": 0.0}]

    def step(self, batch: Batch, info: StepInfo) -> Mapping[str, Tensor]:
        """Return losses of a micro-batch."""
        network: Any = self.network
        present, plan = batch["present"], batch[PLAN]
        pixels = self._pixels(self._augment(batch), plan)
        encoded = F.normalize(encode_short(network.text, "eos", network.text.eos_id, plan.tokens).float(), dim=-1)
        shown, positions = self._look(pixels, len(present))
        scale = network.logit_scale.exp().clamp(max=MOST_SCALE)
        logits = scale * shown @ encoded.T + network.logit_bias
        named = self._per_class(logits)
        parts = {"matching": matching_loss(logits, plan.truth, plan.known), "naming": _naming(named, plan)}
        if positions is not None:
            placed = self._per_class((scale * positions @ encoded.T).flatten(0, 1)).view(*positions.shape[:2], -1)
            possible, regions = present | ~batch["known"], named[len(present) : 2 * len(present)]
            parts["placing"] = patch_loss(placed, present, possible)
            parts["regions"] = info.progress * _regions(regions, placed, plan, possible)
        return {"loss": torch.stack([*parts.values()]).sum(), **{name: part.detach() for name, part in parts.items()}}

    def _pixels(self, images: Tensor, plan: Plan) -> Tensor:
        """Return the normalised pixels of all views."""
        if self._colours.device != images.device:
            self._colours = sent(self._colours.numpy(), images.device)
        mean, std = self._colours.unbind()
        return show((images - mean) / std, plan.views, plan.fill, ((1 - mean) / std).flatten())

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
        alone = logits[:, : self._classes * PER_CLASS]
        return alone.reshape(len(logits), self._classes, PER_CLASS).mean(2)


def _naming(named: Tensor, plan: Plan) -> Tensor:
    """Cross-entropy over the views that show exactly one class."""
    if not len(plan.named):
        return named.sum() * 0
    return F.cross_entropy(named[plan.named], plan.label)


def _regions(named: Tensor, placed: Tensor, plan: Plan, possible: Tensor) -> Tensor:
    """Cross-entropy between regions of images with several possible classes and the positions below them."""
    if not len(plan.several):
        return named.sum() * 0
    side = round(placed.shape[1] ** 0.5)
    under = F.adaptive_avg_pool2d(plan.views.blobs[:, None], side).flatten(1)
    return F.cross_entropy(named[plan.several], region_shares(placed.detach(), under, possible)[plan.several])
