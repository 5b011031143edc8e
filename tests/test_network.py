"""The descriptor's own network."""

import pytest
import timm
import torch

from models.network import NAMED_SHAPES, CopyNetwork, Shape, folded, register, unfolded

MOST_PARAMETERS = 8_000_000


@pytest.fixture
def trained() -> CopyNetwork:
    """A network whose batch normalisation is not the identity."""
    torch.manual_seed(0)
    network = CopyNetwork(Shape(width=24, dim=16, norm=True))
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.2)
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(std=0.3)
            part.running_var.uniform_(0.5, 2)
    return network.eval()


def test_rows_have_norm_one_at_any_resolution(trained: CopyNetwork) -> None:
    for side in (32, 47, 96):
        rows = trained(torch.randn(2, 3, side, side))
        assert rows.shape == (2, 16)
        assert torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-5)


def test_folding_changes_nothing_but_the_cost(trained: CopyNetwork) -> None:
    pictures = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        before, after = trained(pictures), folded(trained)(pictures)
    assert torch.allclose(before, after, atol=1e-5)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded(trained).modules())


def test_unfolding_starts_as_the_same_function(trained: CopyNetwork) -> None:
    shipped = folded(trained)
    again = unfolded(shipped, torch.randn(8, 3, 32, 32)).eval()
    pictures = torch.randn(3, 3, 48, 48)
    with torch.inference_mode():
        assert torch.allclose(shipped(pictures), again(pictures), atol=1e-4)
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in again.modules())


@pytest.mark.parametrize("shape", NAMED_SHAPES, ids=lambda shape: shape.name)
def test_every_named_network_is_small_enough_to_ship(shape: Shape) -> None:
    parameters = sum(part.numel() for part in CopyNetwork(shape).parameters())
    assert parameters <= MOST_PARAMETERS


def test_timm_builds_registered_networks_however_often_they_are_registered() -> None:
    register()
    register()
    built = timm.create_model("afterimage_copy_w24")
    assert isinstance(built, CopyNetwork)
    with pytest.raises(ValueError, match="no weights of its own"):
        timm.create_model("afterimage_copy_w24", pretrained=True)
