"""The two ResNets against the libraries that define them."""

import subprocess
import sys

import pytest
import torch
from open_clip import modified_resnet
from timm.models import resnet as timm_resnet
from torch import Tensor, nn

from models.backbones.resnet import ModifiedResNet, ResNet


def images() -> Tensor:
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))


def lively(network: nn.Module) -> None:
    """Gives all batch norms statistics and scales of their own; fresh ones would hide an exchange."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                assert values is not None
                values.data.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias, module.running_mean):
                assert values is not None
                values.data.normal_(0, 0.1, generator=generator)


@pytest.mark.parametrize(
    ("layers", "widths", "stem_channels"),
    [((3, 4, 6, 3), (64, 128, 256, 512), 64), ((2, 2, 2, 2), (32, 64, 96, 160), 32)],
)
def test_the_plain_one_is_timms(layers: tuple[int, ...], widths: tuple[int, ...], stem_channels: int) -> None:
    theirs = timm_resnet.ResNet(
        timm_resnet.Bottleneck,
        layers=layers,
        channels=widths,
        stem_type="" if stem_channels == 64 else "deep",
        stem_width=stem_channels // 2,
        num_classes=0,
    ).eval()
    lively(theirs)
    ours = ResNet(layers, widths, stem_channels).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        found = ours.features(images())
        torch.testing.assert_close(found[-1], theirs.forward_features(images()))
        torch.testing.assert_close(found[0], theirs.act1(theirs.bn1(theirs.conv1(images()))))


@pytest.mark.parametrize(("layers", "width"), [((3, 4, 6, 3), 64), ((2, 2, 2, 2), 32)])
def test_clips_is_open_clips(layers: tuple[int, ...], width: int) -> None:
    theirs = modified_resnet.ModifiedResNet(list(layers), output_dim=64, heads=8, width=width).eval()
    lively(theirs)
    ours = ModifiedResNet(layers, width).eval()
    pooling = {name for name in theirs.state_dict() if name.startswith("attnpool.")}
    ours.load_state_dict(
        {name: values for name, values in theirs.state_dict().items() if name not in pooling}
    )
    theirs.attnpool = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(ours.features(images())[-1], theirs(images()))


def test_both_begin_as_the_libraries_do() -> None:
    """What training starts from: the spread of the weights, and which blocks begin as nothing."""
    torch.manual_seed(0)
    pairs = [
        (
            ResNet((2, 1, 1, 1), (32, 32, 32, 32), 64),
            timm_resnet.ResNet(
                timm_resnet.Bottleneck,
                layers=(2, 1, 1, 1),
                channels=(32, 32, 32, 32),
                num_classes=0,
                zero_init_last=False,
            ),
        ),
        (
            ModifiedResNet((2, 1, 1, 1), 32),
            modified_resnet.ModifiedResNet([2, 1, 1, 1], output_dim=64, heads=8, width=32),
        ),
    ]
    for ours, theirs in pairs:
        expected = theirs.state_dict()
        for name, values in ours.state_dict().items():
            if values.is_floating_point():
                assert float(values.std()) == pytest.approx(float(expected[name].std()), rel=0.15), name


@pytest.mark.process
def test_an_inference_process_does_without_the_libraries() -> None:
    """They take longer to import than all else; only a text encoder needs one."""
    program = (
        "import sys, app.processes.child, app.inference.build\n"
        "print(sorted({'timm', 'open_clip', 'torchvision', 'torch._dynamo'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
