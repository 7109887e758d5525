"""The network of maps, and a step of the classifier that comes first, against the released ones."""

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.compute.losses import classification
from qaclims_path.engine.network import training_mode
from qaclims_path.engine.optim import build_optimizer, rate_factor, set_rates
from qaclims_path.engine.settings import TrainOptions
from qaclims_path.models.camnet import CamNet
from qaclims_path.pipeline.cam.options import load_options

CLASSES = [str(number) for number in range(20)]
TOLERANCE, MOVED = 1e-4, 1e-3


def units(net: CamNet) -> list[list[nn.Module]]:
    """Parts of the network in the order of the rule."""
    model = net.backbone.model
    found: list[list[nn.Module]] = [[model.conv1, model.bn1]]
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            found += [[block.conv1, block.bn1], [block.conv2, block.bn2], [block.conv3, block.bn3]]
            found += [] if block.downsample is None else [list(block.downsample)]
    return [*found, [net.head]]


@pytest.fixture(scope="module")
def released(arrays):
    return arrays("resnet50_cam")


@pytest.fixture
def net(released, rule):
    """The network of the published recipes with weights by rule; its judge and heads do not matter."""
    network = load_options("voc2012/cam", ["published=true"]).cam.network
    built = CamNet(
        network.backbone, CLASSES, stride=network.stride, dilated=network.dilated, freeze_stem=network.freeze_stem
    )
    assert rule.fill(units(built), int(released["seed"])) == released["n_units"]
    return built.eval()


@torch.no_grad()
def test_maps_are_as_released(net, released, rule):
    pixels = torch.from_numpy(released["pixels"]).movedim(-1, 1) / 255
    maps = net(pixels).maps
    assert rule.relative(maps, released["cam_separate"]) < TOLERANCE
    assert rule.relative(maps.mean((2, 3)), released["logits"]) < TOLERANCE
    assert rule.relative(maps.sigmoid(), released["clims_eval"]) < TOLERANCE
    both = net(torch.stack([pixels[0], pixels[0].flip(-1)])).maps.relu()
    assert rule.relative(both[0] + both[1].flip(-1), released["cam_pair"]) < TOLERANCE


@torch.no_grad()
def test_norms_of_the_second_network_move_as_released(net, released, rule):
    training_mode(net, load_options("voc2012/clims", ["published=true"]).cam.train)
    maps = net(torch.from_numpy(released["pixels"]).movedim(-1, 1) / 255).maps.sigmoid()
    model = net.backbone.model
    assert rule.relative(maps, released["clims_train"]) < MOVED
    assert rule.relative(model.bn1.running_mean, released["clims_train_bn1_mean"]) < MOVED
    assert rule.relative(model.bn1.running_var, released["clims_train_bn1_var"]) < MOVED
    assert rule.relative(model.layer4[2].bn3.running_mean[:64], released["clims_train_last_mean64"]) < MOVED


class Classifier:
    """The published training of the classifier, as far as the optimiser asks."""

    def __init__(self, network: CamNet) -> None:
        self.network = network

    def parameter_groups(self, lr: float) -> list[dict[str, object]]:
        return self.network.parameter_groups(lr)


def watched(net: CamNet) -> dict[str, torch.Tensor]:
    """Values that the reference shows before and after steps."""
    model = net.backbone.model
    last = model.layer4[2].bn3
    return {
        "classifier_weight_64": net.head.weight[:, :64, 0, 0],
        "layer4_2_bn3_weight_64": last.weight[:64],
        "layer4_2_bn3_bias_64": last.bias[:64],
        "layer4_2_bn3_mean_64": last.running_mean[:64],
        "layer1_0_conv1_weight": model.layer1[0].conv1.weight[:16, :16, 0, 0],
        "layer3_0_conv2_weight": model.layer3[0].conv2.weight[:4, :4],
        "layer1_0_bn1_weight": model.layer1[0].bn1.weight,
        "stem_weight": model.conv1.weight[:4],
        "stem_bn_weight": model.bn1.weight,
    }


@pytest.mark.parametrize(("prefix", "lr", "steps"), [("", 0.1, 1), ("small_", 0.001, 3)])
def test_steps_of_the_classifier_are_as_released(prefix, lr, steps, net, arrays):
    given = arrays("fixed_bn_step")
    options: TrainOptions = load_options("voc2012/cam", ["published=true", f"cam.train.lr={lr}"]).cam.train
    optimizer = build_optimizer(Classifier(net), options)
    training_mode(net, options)
    before = {name: value.detach().clone() for name, value in watched(net).items()}
    pixels, labels = torch.from_numpy(given["pixels"]).movedim(-1, 1) / 255, torch.from_numpy(given["labels"])
    seen, rates = [], []
    for step in range(steps):
        set_rates(optimizer, rate_factor(options, step, int(given["max_step"])))
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.zero_grad()
        logits = net(pixels).maps.mean((2, 3))
        loss = classification(logits, labels.bool()).mean()
        seen.append((logits.detach(), float(loss.detach())))
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(rates, given[f"{prefix}lrs"], rtol=0, atol=1e-8)
    np.testing.assert_allclose([loss for _, loss in seen], given[f"{prefix}losses"], rtol=TOLERANCE)
    assert np.abs(seen[0][0].numpy() - given["logits"]).max() < TOLERANCE * np.abs(given["logits"]).max()
    for name, after in watched(net).items():
        change = given[f"{prefix}{name}_after"].astype(float) - given[f"{name}_before"]
        found = (after.detach() - before[name]).double().numpy()
        assert np.abs(found - change).max() <= 1e-3 * np.abs(change).max() + 2e-7, name
