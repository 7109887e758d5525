import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.models.backbones import Backbone, find_backbone
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.names import split_revision

CLASSES = ["tumor", "stroma", "lymphocyte"]
FAMILIES = [  # name, stride asked, stride had
    ("test_resnet", 16, 16),
    ("test_resnet", 8, 8),
    ("test_convnext", 16, 16),
    ("mobilenetv2_035", 16, 16),
    ("test_vit", 16, 16),
    ("vit_tiny_patch16_224", 16, 16),
    ("eva02_tiny_patch14_224", 16, 14),
]


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def hub_folder(tmp_path):
    """A folder as on the hub: timm settings with extra arguments, and weights with a classifier."""
    model = timm.create_model("test_vit", num_classes=7, reg_tokens=4, img_size=64)
    folder = tmp_path / "foundation"
    folder.mkdir()
    save_file({**model.state_dict()}, folder / "model.safetensors")
    settings = {
        "architecture": "test_vit",
        "num_classes": 7,
        "model_args": {"reg_tokens": 4, "img_size": 64},
        "pretrained_cfg": {"mean": [0.7, 0.5, 0.6], "std": [0.2, 0.25, 0.3]},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    return folder, model


@pytest.mark.parametrize(("name", "requested", "stride"), FAMILIES)
def test_every_family_of_backbones_gives_maps(name, requested, stride, images):
    net = CamNet(name, CLASSES, stride=requested).eval()
    with torch.no_grad():
        maps, features, heads = net(images)
    cells = tuple(-(-side // stride) if side % stride == 0 else round(side / stride) for side in (64, 96))
    assert (net.stride, heads) == (stride, ())
    assert maps.shape == (2, 3, *cells)
    assert features.shape[2:] == maps.shape[2:]
    torch.testing.assert_close(maps, torch.nn.functional.conv2d(features, net.head.weight))


def test_pixels_are_normalised_inside(images):
    net = CamNet("test_resnet", CLASSES).eval()
    model = net.backbone.model
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(net.normalise(images), (images - mean) / std)
    torch.testing.assert_close(net(images).features, model.forward_features((images - mean) / std))


def test_patch_tokens_keep_their_positions_without_class_and_register_tokens(hub_folder):
    folder, model = hub_folder
    backbone = Backbone(find_backbone(f"local-dir:{folder}"))
    backbone.model.load_state_dict(model.state_dict(), strict=False)
    picture = torch.rand(1, 3, 64, 64)
    tokens = backbone.model.eval().forward_features(backbone.normalise(picture))
    assert tokens.shape[1] == 1 + 4 + 16
    features = backbone.eval()(picture)
    torch.testing.assert_close(features[0, :, 1, 2], tokens[0, 1 + 4 + 4 * 1 + 2])


def test_images_need_not_be_a_multiple_of_the_patch_size():
    net = CamNet("test_vit", CLASSES).eval()
    assert net(torch.rand(1, 3, 70, 50)).maps.shape[2:] == (4, 3)


def test_an_undilated_network_has_no_dilated_convolutions():
    wide, narrow = (CamNet("resnet10t", CLASSES, dilated=dilated) for dilated in (True, False))
    for module in wide.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # timm's residual branches start at zero
    narrow.load_state_dict(wide.state_dict())
    picture = torch.rand(1, 3, 64, 64)
    assert wide.eval()(picture).maps.shape == narrow.eval()(picture).maps.shape
    assert not torch.equal(wide(picture).maps, narrow(picture).maps)
    assert max(max(m.dilation) for m in narrow.modules() if isinstance(m, torch.nn.Conv2d)) == 1


def test_a_frozen_stem_is_in_no_parameter_group():
    net = CamNet("test_resnet", CLASSES, freeze_stem=True)
    backbone, head = net.parameter_groups(0.1, head_factor=10)
    assert (backbone["lr"], head["lr"]) == (0.1, 1.0)
    stem = net.backbone.stem_parameters()
    assert stem
    assert not any(parameter.requires_grad for parameter in stem)
    grouped = len(backbone["params"]) + len(head["params"])
    assert grouped + len(stem) == len(list(net.parameters()))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_loaded_network_gives_the_same_maps(name, tmp_path, images):
    net = CamNet(name, CLASSES, dilated=False).eval()
    net.save(tmp_path / "run" / "cam")
    again = CamNet.load(tmp_path / "run", classes=CLASSES)
    assert again.classes == tuple(CLASSES)
    assert not again.training
    assert torch.equal(net(images).maps, again(images).maps)


def test_a_network_on_a_hub_backbone_is_loaded_without_the_folder(hub_folder, tmp_path):
    folder, model = hub_folder
    net = CamNet(f"local-dir:{folder}", CLASSES, weights="pretrained").eval()
    assert torch.equal(net.backbone.model.reg_token, model.reg_token)
    assert net.notes == [f"2 tensors of local-dir:{folder} were not used (head.bias, head.weight)."]
    net.save(tmp_path / "cam")
    (folder / "config.json").unlink()
    again = CamNet.load(tmp_path / "cam")
    picture = torch.rand(1, 3, 64, 64)
    assert torch.equal(net(picture).maps, again(picture).maps)
    assert again.backbone.mean.flatten().tolist() == pytest.approx([0.7, 0.5, 0.6])
    assert str(tmp_path) not in (tmp_path / "cam" / "camnet.json").read_text()


def test_initial_weights_of_a_run_include_the_head_of_the_same_classes(tmp_path, images):
    first = CamNet("test_resnet", CLASSES).eval()
    first.save(tmp_path / "cam")
    same = CamNet("test_resnet", CLASSES, weights=tmp_path).eval()
    assert same.notes == []
    assert torch.equal(first(images).maps, same(images).maps)
    other = CamNet("test_resnet", ["gland"], weights=tmp_path).eval()
    assert torch.equal(first(images).features, other(images).features)
    assert other.notes == [
        f"The head of {tmp_path / 'cam'} was not loaded, because it is for other classes (tumor, stroma, lymphocyte)."
    ]


@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone.", "model."])
def test_prefixes_of_wrappers_are_removed(prefix, tmp_path):
    model = timm.create_model("test_resnet", num_classes=5)
    save_file({prefix + key: value for key, value in model.state_dict().items()}, tmp_path / "w.safetensors")
    net = CamNet("test_resnet", CLASSES, weights=tmp_path / "w.safetensors")
    assert torch.equal(net.backbone.model.conv1[0].weight, model.conv1[0].weight)
    assert net.notes[0].endswith("not used (fc.bias, fc.weight).")


def test_other_layouts_are_converted_by_timm(tmp_path):
    """The original DINOv2 files have another name for registers, and an unused mask token."""
    model = timm.create_model("test_vit", num_classes=0, reg_tokens=2, no_embed_class=True, init_values=1e-5)
    plain = {key.replace("reg_token", "register_tokens"): value for key, value in model.state_dict().items()}
    plain["mask_token"] = torch.zeros(1, 1)
    plain["pos_embed"] = torch.cat([torch.zeros_like(plain["pos_embed"][:, :1]), plain["pos_embed"]], 1)
    save_file(plain, tmp_path / "w.safetensors")
    settings = {"architecture": "test_vit", "model_args": {"reg_tokens": 2, "no_embed_class": True, "init_values": 1}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    net = CamNet(f"local-dir:{tmp_path}", CLASSES, weights="pretrained")
    torch.testing.assert_close(net.backbone.model.reg_token, model.reg_token)
    torch.testing.assert_close(net.backbone.model.pos_embed, model.pos_embed)


@pytest.fixture
def other_shape(tmp_path):
    """Weights of test_resnet with one tensor of another shape."""
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file({**state, "conv1.0.weight": torch.zeros(1)}, tmp_path / "shape.safetensors")
    return tmp_path / "shape.safetensors"


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("test_resnet", r"1 tensors have another shape \(conv1\.0\.weight is \(1,\) instead of"),
        ("test_vit", r"does not fit the backbone 'test_vit': it lacks \d+ of its \d+ tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused(backbone, message, other_shape):
    with pytest.raises(BadFile, match=message):
        CamNet(backbone, CLASSES, weights=other_shape)


def test_an_incomplete_file_of_weights_is_refused(other_shape):
    other_shape.write_bytes(other_shape.read_bytes()[:-9])
    with pytest.raises(BadFile, match="not a complete safetensors file"):
        CamNet("test_resnet", CLASSES, weights=other_shape)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbone": "resnet5O"}, "Did you mean resnet50"),
        ({"backbone": "swin_tiny_patch4_window7_224"}, "has the stride 32, which cannot be changed to 16"),
        ({"backbone": "test_resnet", "stride": 12}, "with stride 12"),
        ({"backbone": "test_resnet", "weights": "old.bin"}, "they can run code"),
        ({"backbone": "test_resnet", "weights": "old.safetensors"}, "do not exist"),
        ({"backbone": "test_resnet", "classes": []}, "at least one class"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises((UsageError, BadFile), match=sentence):
        CamNet(**{"classes": CLASSES, **options})


def test_a_folder_without_a_network_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"holds no camnet\.json"):
        CamNet.load(tmp_path)


def test_a_network_of_other_classes_is_refused(tmp_path):
    CamNet("test_resnet", CLASSES).save(tmp_path)
    with pytest.raises(UsageError, match="was trained for the classes tumor, stroma, lymphocyte, not gland"):
        CamNet.load(tmp_path, classes=["gland"])


def test_weights_without_a_head_are_refused(tmp_path):
    CamNet("test_resnet", CLASSES).save(tmp_path)
    state = load_file(tmp_path / "camnet.safetensors")
    save_file({key: value for key, value in state.items() if key != "head.weight"}, tmp_path / "camnet.safetensors")
    with pytest.raises(BadFile, match="does not belong to"):
        CamNet.load(tmp_path)


BACKBONE = {"source": "test_resnet", "architecture": "test_resnet", "arguments": {}, "mean": None, "std": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "has schema 99"),
        ({"backbone": {**BACKBONE, "depth": 50}}, r"camnet\.json cannot be read: .*depth.*Copy it again"),
        ({"backbone": {"source": "test_resnet"}}, r"camnet\.json cannot be read: .*architecture.*Copy it again"),
        ("{", "cannot be read"),
    ],
)
def test_damaged_settings_are_refused(change, message, tmp_path):
    CamNet("test_resnet", CLASSES).save(tmp_path)
    path = tmp_path / "camnet.json"
    path.write_text(change if isinstance(change, str) else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadFile, match=message):
        CamNet.load(tmp_path)


def test_only_hub_models_have_a_revision():
    assert split_revision("hf-hub:a/b@v1") == ("hf-hub:a/b", "v1")
    assert split_revision("local-dir:/home/a@b") == ("local-dir:/home/a@b", None)


def test_real_weights_fit(real_data):
    path = real_data / "weights" / "mobilenetv2_100.imagenet.safetensors"
    net = CamNet("mobilenetv2_100", CLASSES, weights=path)
    assert net.notes == []
    assert torch.equal(net.backbone.model.conv_stem.weight, load_file(path)["conv_stem.weight"])
