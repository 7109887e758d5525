"""WideResNet-38 as a backbone: its weights in other layouts, and its place in timm."""

import pytest
import torch

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.backbones import Backbone, find_backbone, stages_of
from qaclims_path.models.side import SideHead, averaged, chosen_stages
from qaclims_path.models.side_spec import SideSpec
from qaclims_path.models.weights import load_backbone
from qaclims_path.models.wideresnet import WideResNet38

OTHER_WORDS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}


@pytest.fixture(scope="module")
def backbone():
    return Backbone(find_backbone("wideresnet38"), stride=8)


def released_name(key):
    """The name of a tensor in the released file of MXNet."""
    block, *layer, what = key.split(".")
    kind = "aux" if what.startswith("running") else "arg"
    if not layer:
        return f"{kind}:{block}_{what if block == 'conv1a' else OTHER_WORDS[what]}"
    stage, _, number = block[1:].partition("_")
    type_, branch = layer[0].split("_")
    word = "weight" if type_ == "conv" else OTHER_WORDS[what]
    return f"{kind}:{'res' if type_ == 'conv' else 'bn'}{stage}{f'b{number}' if number else 'a'}_{branch}_{word}"


def test_the_released_names_are_known(backbone):
    own = {key: value for key, value in backbone.model.state_dict().items() if not key.endswith("num_batches_tracked")}
    names = {released_name(key): value for key, value in own.items()}
    assert {"arg:conv1a_weight", "arg:res2a_branch1_weight", "aux:bn4b5_branch2b1_moving_var"} <= names.keys()
    assert {"arg:res7a_branch2b2_weight", "arg:bn7_gamma", "aux:bn7_moving_mean"} <= names.keys()
    changed = {name: value + 1 for name, value in names.items() if value.numel() < 5000}
    state = {**names, **changed, "arg:linear1000_weight": torch.zeros(2, 2)}
    before = {key: value.clone() for key, value in own.items() if value.numel() < 5000}
    notes = load_backbone(backbone, state, "a.params")
    assert notes == ["1 tensors of a.params were not used (arg:linear1000_weight)."]
    after = backbone.model.state_dict()
    assert all(torch.equal(after[key], value + 1) for key, value in before.items())


def test_a_file_of_another_network_is_refused(backbone):
    with pytest.raises(BadFile, match=r"other.params does not fit the backbone 'wideresnet38': it lacks \d+ of its"):
        load_backbone(backbone, {"arg:conv1a_weight": torch.zeros(64, 3, 3, 3)}, "other.params")


def test_other_strides_are_refused_with_the_right_one():
    with pytest.raises(UsageError, match=r"with stride 16.*its stride is 8"):
        Backbone(find_backbone("wideresnet38"), stride=16)


def test_it_is_found_like_a_model_of_timm_and_its_stem_is_the_first_convolution(backbone):
    assert (backbone.width, backbone.stride) == (4096, 8)
    assert isinstance(backbone.model, WideResNet38)
    assert [tuple(parameter.shape) for parameter in backbone.stem_parameters()] == [(64, 3, 3, 3)]
    with pytest.raises(UsageError, match="Did you mean wideresnet38"):
        find_backbone("wideresnet-38")


def test_its_stages_can_have_side_heads(backbone):
    known = stages_of(backbone.model)
    with torch.no_grad():
        last, found = backbone.eval().with_stages(torch.rand(1, 3, 24, 16), range(6))
        alone = backbone(torch.rand(1, 3, 24, 16))
    assert [(each.shape[1], 24 // each.shape[2]) for each in found] == [tuple(stage) for stage in known]
    torch.testing.assert_close(last, torch.relu(backbone.model.bn7(found[-1])))
    assert alone.shape == last.shape == (1, 4096, 3, 2)
    with pytest.raises(UsageError, match=r"has no stage 6\..*5 \(8 px\)"):
        chosen_stages(backbone.model, SideSpec(stages=(6,)), "wideresnet38")


def test_a_head_on_a_stage_of_it_learns(backbone):
    stages = chosen_stages(backbone.model, SideSpec(stages=(2, 3)), "wideresnet38")
    deepest, found = backbone.train().with_stages(torch.rand(2, 3, 16, 16), (2, 3))
    heads = [SideHead(each.channels, backbone.width, 2, width=4, gated=True) for each in stages]
    maps = [head(each, deepest) for head, each in zip(heads, found, strict=True)]
    averaged(maps, (0.5, 0.5)).square().mean().backward()
    assert backbone.model.conv1a.weight.grad.abs().sum()
    assert all(each.grad.abs().sum() for head in heads for each in head.parameters())
