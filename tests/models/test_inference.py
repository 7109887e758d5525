import pytest
import torch
from torch import nn

from qaclims_path.errors import UsageError
from qaclims_path.models.camnet import CamNet
from qaclims_path.models.inference import fastest_precision, fold_batch_norms, ready

CPU = torch.device("cpu")


def trained(name):
    """A network whose norms are not those of a fresh one."""
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
def test_ready_computes_the_same(name, norms, precision):
    net, images = trained(name), torch.rand(2, 3, 64, 64)
    fast = ready(net, CPU, precision)
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
    """One norm behind two convolutions, and a convolution whose result is used twice: neither may be folded."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norm, self.last = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.norm(self.one(x)) + self.norm(self.two(x))
        y = self.three(x)
        return self.last(y) + y


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


@pytest.mark.parametrize("model", [Shared(), Untraceable()])
def test_what_cannot_be_folded_stays(model):
    images = torch.rand(1, 3, 4, 4)
    wanted = model.eval()(images)
    assert fold_batch_norms(model) == 0
    assert torch.equal(model(images), wanted)


def test_precision_is_chosen_without_measuring():
    assert fastest_precision(CPU) in {"fp32", "bf16"}
    assert fastest_precision(CPU) == fastest_precision(CPU)
    with pytest.raises(UsageError, match="fp16 is slow on a CPU"):
        ready(CamNet("test_resnet", ["a"]), CPU, "fp16")
