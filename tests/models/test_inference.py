import pytest
import torch
from torch import nn

from qaclims_path.errors import UsageError
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.fusing import FusedConv, can_fuse_pointwise, fuse
from qaclims_path.models.inference import for_inference

CPU = torch.device("cpu")


def trained(name):
    """A network whose batch norms have random statistics and weights."""
    torch.manual_seed(0)
    net = CamNet(name, ["a", "b"])
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high, generator=generator)
    return net


@pytest.mark.parametrize(("name", "norms"), [("test_resnet", True), ("mobilenetv2_035", True), ("test_vit", False)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_for_inference_computes_the_same(name, norms, precision):
    net, images = trained(name), torch.rand(2, 3, 64, 64)
    fast = for_inference(net, CPU, precision)
    before, after = (sum(isinstance(module, nn.BatchNorm2d) for module in each.modules()) for each in (net, fast))
    assert (before > 0) == norms
    assert after <= before // 10
    with torch.inference_mode():
        wanted = net.eval()(images).maps
        found = fast(images.contiguous(memory_format=torch.channels_last)).maps
    assert found.dtype == torch.float32
    error = (found - wanted).norm() / wanted.norm()
    assert error < (1e-5 if precision == "fp32" else 0.2)


class Shared(nn.Module):
    """A norm after two convolutions, and a convolution whose result is used twice: neither may be fused."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norm, self.last = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward_features(self, x):
        x = self.norm(self.one(x)) + self.norm(self.two(x))
        y = self.three(x)
        return self.last(y) + y


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward_features(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


class Fusable(nn.Module):
    """Every operation that can be fused, in every spelling."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 3, padding=1, bias=bias) for bias in (True, False, True))
        self.first, self.second, self.third = (nn.BatchNorm2d(3) for _ in range(3))
        self.act, self.drop = nn.ReLU(), nn.Dropout(0.5)

    def forward_features(self, x):
        shortcut = x
        x = self.drop(self.act(self.first(self.one(x))))
        x = nn.functional.relu(self.second(self.two(x)) + shortcut)
        y = self.third(self.three(x))
        y += x
        return self.act(y)


@pytest.mark.parametrize("model", [Shared(), Untraceable()])
def test_a_model_that_cannot_be_fused_computes_the_same(model):
    images = torch.rand(1, 3, 4, 4)
    wanted = model.eval().forward_features(images)
    same = fuse(model, pointwise=True)
    torch.testing.assert_close(same.forward_features(images), wanted)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in same.modules()) >= 1


@pytest.mark.parametrize(
    ("bf16", "dtype", "wanted"),
    [(True, torch.bfloat16, True), (False, torch.bfloat16, False), (False, torch.float32, True)],
)
def test_relus_are_fused_only_in_a_precision_that_the_cpu_can_convolve_in(monkeypatch, bf16, dtype, wanted):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bf16)
    assert can_fuse_pointwise(torch.device("cpu"), dtype) == wanted


def test_relus_and_sums_are_fused_into_convolutions():
    model = Fusable()
    model.train().forward_features(torch.rand(8, 3, 9, 9))
    images = torch.rand(2, 3, 9, 9)
    wanted = model.eval().forward_features(images)
    for pointwise in (False, True):
        fused = fuse(model, pointwise=pointwise)
        kinds = [type(module) for module in fused.modules()]
        assert kinds.count(FusedConv) == (3 if pointwise else 0)
        assert nn.BatchNorm2d not in kinds
        with torch.inference_mode():
            torch.testing.assert_close(fused.forward_features(images), wanted)
    assert isinstance(model.first, nn.BatchNorm2d)


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(UsageError, match="fp16 is slow on a CPU"):
        for_inference(CamNet("test_resnet", ["a"]), CPU, "fp16")
