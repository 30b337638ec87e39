"""MobileFaceNet: the table of the paper, files that do not fit, and embeddings that ignore small changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.networks.mobilefacenet import BOTTLENECKS, MobileFaceNet, mobilefacenet_features

WEIGHTS = Path(__file__).parents[3] / "../shared/data/weights/mobilefacenet/mobilefacenet_112x96.npz"


@pytest.fixture
def faces():
    if not WEIGHTS.is_file():
        pytest.skip(f"needs {WEIGHTS}")
    return mobilefacenet_features(WEIGHTS)


def test_mobilefacenet_has_the_table_of_the_paper():
    network = MobileFaceNet()
    assert len(network.blocks) == sum(count for _, _, count, _ in BOTTLENECKS) == 15
    assert 0.9e6 < sum(p.numel() for p in network.parameters()) < 1.1e6  # 0.99 million in table 2
    residual = [False, *[True] * 4, False, *[True] * 6, False, *[True] * 2]
    assert [block.residual for block in network.blocks] == residual
    assert network.eval()(torch.rand(2, 3, 112, 96)).shape == (2, 128)


def test_embeddings_of_any_size_have_length_1(tmp_path):
    save_file(MobileFaceNet().state_dict(), tmp_path / "faces.safetensors")
    extractor = mobilefacenet_features(tmp_path / "faces.safetensors")
    embeddings = extractor(torch.randint(256, (2, 3, 50, 40), dtype=torch.uint8))
    assert embeddings.shape == (2, extractor.width)
    assert_close(embeddings.norm(dim=1), torch.ones(2))


def test_other_weights_are_rejected(tmp_path):
    np.savez(tmp_path / "faces.npz", **{"conv1.conv.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with pytest.raises(BadInput, match=r"faces.npz: the checkpoint leaves \d+ of our tensors unfilled"):
        mobilefacenet_features(tmp_path / "faces.npz")
    np.savez(tmp_path / "faces.npz", **{"conv1.relu.weight": np.zeros(64, np.float32)})
    with pytest.raises(BadInput, match=r"conv1.relu.weight"):
        mobilefacenet_features(tmp_path / "faces.npz")


def test_embeddings_of_shifted_and_noisy_images_stay_close(faces):
    coarse = interpolate(torch.rand(6, 3, 9, 9) * 255, (64, 56), mode="bicubic").clamp(0, 255)
    images = coarse.to(torch.uint8)
    embeddings = faces(images)
    assert embeddings.shape == (6, faces.width)
    assert_close(embeddings.norm(dim=1), torch.ones(6))
    others = (embeddings @ embeddings.mT - 2 * torch.eye(6)).amax(dim=1)
    noisy = (coarse + 8 * torch.randn(coarse.shape)).clamp(0, 255).to(torch.uint8)
    for changed in (noisy, images.roll(1, dims=-1), images.roll(-1, dims=-2)):
        assert ((faces(changed) * embeddings).sum(dim=1) > others).all()
    assert_close(faces(images[:1]), embeddings[:1], rtol=1e-4, atol=1e-5)
