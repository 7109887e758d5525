"""Networks with side heads: against a slow twin that goes from cell to cell, and what they refuse."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from qaclims_path.compute.resize import resize_bilinear
from qaclims_path.errors import BadConfig, BadFile, UsageError
from qaclims_path.models.backbones import Backbone, find_backbone, stages_of
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import for_inference
from qaclims_path.models.side import averaged, chosen_stages
from qaclims_path.models.side_spec import SideSpec

CLASSES = ["tumor", "stroma"]
TWO = SideSpec(stages=(2, 3), width=5)
EVERYTHING = SideSpec(stages=(2, 3), width=5, gate=True, context=3, fuse=(1, 1, 2))
NETWORKS = [  # backbone, stages, stride of the maps
    ("test_resnet", (2, 3), 8),
    ("test_convnext", (1,), 8),
    ("mobilenetv2_035", (2, 3), 8),
    ("test_vit", (1, 3), 16),
]
CPU = torch.device("cpu")


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def trained(name="test_resnet", side=EVERYTHING):
    """A network in evaluation mode whose norms have random statistics."""
    torch.manual_seed(0)
    net = CamNet(name, CLASSES, side=side)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def normed(norm, values):
    """Batch norm of D h w in evaluation mode, channel by channel."""
    out = np.empty_like(values)
    for channel in range(len(values)):
        mean, variance = norm.running_mean[channel].item(), norm.running_var[channel].item()
        scaled = (values[channel] - mean) / (variance + norm.eps) ** 0.5
        out[channel] = scaled * norm.weight[channel].item() + norm.bias[channel].item()
    return out


def pointwise(conv, values):
    """1x1 convolution of D h w, cell by cell."""
    weight = conv.weight.detach().numpy()[:, :, 0, 0]
    out = np.zeros((len(weight), *values.shape[1:]), np.float32)
    for row in range(values.shape[1]):
        for column in range(values.shape[2]):
            out[:, row, column] = weight @ values[:, row, column]
    return out if conv.bias is None else out + conv.bias.detach().numpy()[:, None, None]


def around(conv, values):
    """Depthwise convolution of D h w with zeros beyond the edge, cell by cell."""
    reach = conv.kernel_size[0] // 2
    wide = np.pad(values, ((0, 0), (reach, reach), (reach, reach)))
    out = np.zeros_like(values)
    for row in range(values.shape[1]):
        for column in range(values.shape[2]):
            window = wide[:, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            out[:, row, column] = (window * conv.weight.detach().numpy()[:, 0]).sum((1, 2))
    return out


def slow(net, image):
    """Maps of one image (3 H W): C h w."""
    pixels = net.normalise(image[None])
    with torch.no_grad():
        every = net.backbone.model.forward_intermediates(pixels, intermediates_only=True)
        deepest = net.backbone(image[None])[0].numpy()
    maps = []
    for stage, head in zip(net.side.stages, net.side_heads.values(), strict=True):
        values = np.maximum(normed(head.reduce[1], pointwise(head.reduce[0], every[stage][0].numpy())), 0)
        if net.side.gate:
            gate = resize_bilinear(pointwise(head.gate, deepest), *values.shape[1:])
            values = values / (1 + np.exp(-gate))
        maps.append(pointwise(head.classify, values))
    if net.side.context:
        deepest = deepest + normed(net.context.norm, around(net.context.around, deepest))
    maps.append(pointwise(net.head, deepest))
    finest = max(each.shape[1:] for each in maps)
    weights = net.side.fuse or (0.4 / len(net.side.stages),) * len(net.side.stages) + (0.6,)
    return sum(w * resize_bilinear(m, *finest) for w, m in zip(weights, maps, strict=True)) / sum(weights)


@pytest.mark.parametrize(
    "side", [TWO, EVERYTHING, SideSpec(stages=(1, 2, 4), width=3), SideSpec(stages=(3,), gate=True)]
)
def test_maps_equal_their_slow_twin(side, images):
    net = trained(side=side)
    with torch.no_grad():
        found = net(images[:1, :, :41, :70])  # cells of no stage fit
    np.testing.assert_allclose(found.maps[0].numpy(), slow(net, images[0, :, :41, :70]), atol=2e-5)


def test_a_context_alone_changes_the_deepest_head(images):
    net = trained(side=SideSpec(context=5))
    with torch.no_grad():
        maps, features, heads = net(images[:1])
    wide = features[0].numpy() + normed(net.context.norm, around(net.context.around, features[0].numpy()))
    np.testing.assert_allclose(maps[0].numpy(), pointwise(net.head, wide), atol=2e-5)
    assert (heads, net.stride) == ((), 16)


@pytest.mark.parametrize(("name", "stages", "stride"), NETWORKS)
@pytest.mark.parametrize("gate", [False, True])
def test_every_family_of_backbones_has_side_heads(name, stages, stride, gate, images):
    net = CamNet(name, CLASSES, side=SideSpec(stages=stages, width=8, gate=gate, context=5)).train()
    found = net(images)
    assert net.stride == stride
    assert found.maps.shape == (2, 2, 64 // stride, 96 // stride)
    assert found.maps.dtype == torch.float32
    assert len(found.heads) == len(stages) + 1
    assert found.heads[-1].shape[2:] == found.features.shape[2:] == (4, 6)
    found.maps.square().mean().backward()
    without = [name for name, each in net.named_parameters() if each.grad is None or not each.grad.abs().sum()]
    assert not [name for name in without if not name.startswith("backbone.")]
    assert net.backbone.stem_parameters()[0].grad.abs().sum()


def test_images_of_a_transformer_need_not_be_a_multiple_of_the_patch_size():
    net = CamNet("test_vit", CLASSES, side=SideSpec(stages=(0, 2), width=4)).eval()
    assert [each.shape[2:] for each in net(torch.rand(1, 3, 70, 50)).heads] == [(4, 3)] * 3


def test_the_plain_network_draws_the_same_weights_and_computes_the_same(images):
    torch.manual_seed(0)
    plain = CamNet("test_resnet", CLASSES).eval()
    state, with_heads = plain.state_dict(), trained(side=TWO).state_dict()
    assert all(torch.equal(state[key], with_heads[key]) for key in ("head.weight", "backbone.model.conv1.0.weight"))
    assert {key.partition(".")[0] for key in with_heads.keys() - state.keys()} == {"side_heads"}
    features = plain.backbone.model.forward_features(plain.normalise(images))
    assert torch.equal(plain(images).maps, nn.functional.conv2d(features, plain.head.weight))


def test_new_layers_learn_at_the_rate_of_the_head():
    net = CamNet("test_resnet", CLASSES, freeze_stem=True, side=EVERYTHING)
    backbone, head = net.parameter_groups(0.1, head_factor=10)
    assert (backbone["lr"], head["lr"]) == (0.1, 1.0)
    new = {id(each) for name, each in net.named_parameters() if not name.startswith("backbone.")}
    assert {id(each) for each in head["params"]} == new
    assert len(backbone["params"]) + len(net.backbone.stem_parameters()) + len(new) == len(list(net.parameters()))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_loaded_network_gives_the_same_maps(name, tmp_path, images):
    net = trained(name)
    net.save(tmp_path / "cam")
    again = CamNet.load(tmp_path, classes=CLASSES)
    assert (again.side, again.stride) == (EVERYTHING, net.stride)
    assert torch.equal(net(images).maps, again(images).maps)


def test_a_plain_network_is_saved_as_before(tmp_path):
    CamNet("test_resnet", CLASSES).save(tmp_path)
    keys = {"schema", "classes", "backbone", "stride", "dilated"}
    assert json.loads((tmp_path / "camnet.json").read_text()).keys() == keys


@pytest.mark.parametrize(("name", "stages", "_"), NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_for_inference_computes_the_same(name, stages, _, precision, images):
    net = trained(name, SideSpec(stages=stages, width=8, gate=True, context=5))
    fast = for_inference(net, CPU, precision)
    before, after = (sum(isinstance(m, nn.BatchNorm2d) for m in each.backbone.modules()) for each in (net, fast))
    assert after <= before // 10
    with torch.inference_mode():
        wanted = net(images)
        found = fast(images.contiguous(memory_format=torch.channels_last))
    assert found.maps.dtype == torch.float32
    for ours, theirs in zip((found.maps, *found.heads), (wanted.maps, *wanted.heads), strict=True):
        assert (ours - theirs).norm() / theirs.norm() < (1e-5 if precision == "fp32" else 0.2)


def test_initial_weights_of_a_run_include_the_heads_that_both_have(tmp_path, images):
    first = trained()
    first.save(tmp_path / "both")
    same = CamNet("test_resnet", CLASSES, weights=tmp_path / "both", side=EVERYTHING).eval()
    assert same.notes == []
    assert torch.equal(first(images).maps, same(images).maps)
    plain = CamNet("test_resnet", CLASSES, weights=tmp_path / "both").eval()
    assert torch.equal(plain.head.weight, first.head.weight)
    [note] = plain.notes
    assert "tensors of" in note
    assert "were not used (context.around.weight" in note
    plain.save(tmp_path / "plain")
    [note] = CamNet("test_resnet", CLASSES, weights=tmp_path / "plain", side=TWO).notes
    assert "has no weights for side_heads.2.classify.weight" in note
    assert note.endswith("which begin with random ones.")


def test_averaging_keeps_the_size_of_the_finest():
    coarse, fine = torch.tensor([[[[0.0, 4.0]]]]), torch.ones(1, 1, 1, 4, dtype=torch.bfloat16)
    assert averaged([fine, coarse], (0.25, 0.75)).flatten().tolist() == [0.25, 1.0, 2.5, 3.25]


@pytest.mark.parametrize(
    ("backbone", "side", "sentence"),
    [
        ("test_resnet", {"stages": (2, 5)}, r"has no stage 5\. Its stages, .* are 0 \(2 px\), 1 \(4 px\), 2 \(8 px\)"),
        ("test_vit", {"stages": (6,)}, r"has no stage 6.*5 \(16 px\)"),
        ("test_resnet", {"stages": (4,), "gate": True}, "Stage 4 of the backbone 'test_resnet' is its last"),
        ("test_vit", {"stages": (1, 5), "gate": True}, "Stage 5 of the backbone 'test_vit' is its last"),
    ],
)
def test_stages_that_a_backbone_lacks_are_refused(backbone, side, sentence):
    with pytest.raises(UsageError, match=sentence):
        CamNet(backbone, CLASSES, side=SideSpec(**side))


def test_a_backbone_of_one_depth_is_refused():
    with pytest.raises(UsageError, match="does not return the features of several depths"):
        chosen_stages(nn.Conv2d(3, 8, 1), TWO, "one layer")


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet", "mobilenetv2_035"])
def test_timm_tells_the_channels_and_strides_of_its_stages(name):
    backbone = Backbone(find_backbone(name), stride=16).eval()
    known = stages_of(backbone.model)
    with torch.no_grad():
        _, found = backbone.with_stages(torch.rand(1, 3, 64, 64), range(len(known)))
    assert [(each.shape[1], 64 // each.shape[-1]) for each in found] == [tuple(stage) for stage in known]


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        ({"stages": (3, 2)}, "the stages 3, 2 should each be named once, shallow ones first"),
        ({"stages": (2, 2)}, "should each be named once"),
        ({"stages": (-1,)}, "greater than or equal to 0"),
        ({"stages": range(100)}, "at most 64 items"),
        ({"stages": (2,), "width": 0}, "greater than or equal to 1"),
        ({"stages": (2,), "width": 9999}, "less than or equal to 4096"),
        ({"context": 14}, "a context of 14 cells has no middle; use an odd number such as 15"),
        ({"context": 65}, "less than or equal to 63"),
        ({"gate": True}, "there is no head to gate; name stages"),
        ({"fuse": (1,)}, "'fuse' weighs heads that are not there; name stages"),
        ({"stages": (2, 3), "fuse": (0.5, 0.5)}, "should hold 3 weights, one for each of the stages 2, 3 and one for"),
        ({"stages": (2,), "fuse": (0, 0)}, "a weight of 'fuse' should be above 0"),
        ({"stages": (2,), "fuse": (-1, 2)}, "greater than or equal to 0"),
        ({"stages": (2,), "fuse": (float("nan"), 1)}, "greater than or equal to 0|finite number"),
    ],
)
def test_impossible_specs_are_refused(side, sentence):
    with pytest.raises(BadConfig, match=sentence):
        SideSpec(**side)


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        ([2, 3], r"camnet\.json cannot be read: 'side' should hold settings, not \[2, 3\]\. Copy it again"),
        ({"stages": [2], "depth": 3}, "unknown key 'depth'.*Copy it again"),
        ({"stages": [2], "width": 10**9}, "less than or equal to 4096.*Copy it again"),
        ({"stages": [2, 3], "width": 7}, "does not belong to"),
        ({"stages": [9]}, "has no stage 9"),
        (None, "does not belong to"),
    ],
)
def test_damaged_settings_are_refused(side, sentence, tmp_path):
    CamNet("test_resnet", CLASSES, side=TWO).save(tmp_path)
    path = tmp_path / "camnet.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "side": side}))
    with pytest.raises((BadFile, UsageError), match=sentence):
        CamNet.load(tmp_path)


def test_shares_sum_to_one():
    assert SideSpec().shares == (1.0,)
    assert TWO.shares == pytest.approx((0.2, 0.2, 0.6))
    assert EVERYTHING.shares == (0.25, 0.25, 0.5)
    assert SideSpec(stages=(1,)).shares == pytest.approx((0.4, 0.6))


def test_compiled_heads_need_no_break_in_the_graph(images):
    net = trained("test_convnext", SideSpec(stages=(1, 2), width=4, gate=True))
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(images).maps, net(images).maps)
