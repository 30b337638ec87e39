"""The registry of extractors: names, weights, imports only when needed; extractors in full precision."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import genscene
from genscene.errors import BadInput
from genscene.metrics.networks import EXTRACTORS, build_extractor
from genscene.metrics.networks.extractor import Extractor, full_precision


def random_images(count=2, size=32):
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8)


def test_extractors_are_built_by_name_with_the_weights_they_need():
    networks = {"inception", "inception_clean", "vgg16", "dinov2", "clip", "mobilefacenet"}
    assert set(EXTRACTORS) == {"random", "squeezenet"} | networks
    with pytest.raises(BadInput, match="no extractor 'incepton'; did you mean 'inception'"):
        build_extractor("incepton")
    with pytest.raises(BadInput, match="inception needs weights: a file, or download"):
        build_extractor("inception")
    with pytest.raises(BadInput, match=r"random has no weights, got 'x.npz'"):
        build_extractor("random", "x.npz")
    extractor = build_extractor("random")
    assert extractor(random_images()).shape == (2, extractor.width)
    for name in ("squeezenet", "inception", "inception_clean", "vgg16", "mobilefacenet"):
        with pytest.raises(BadInput, match=r"no weights.* at nowhere.npz"):
            build_extractor(name, "nowhere.npz")


def test_networks_are_imported_only_when_built():
    code = "import sys, genscene.metrics.networks; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    prefixes = ("genscene.metrics.", "transformers", "huggingface")
    imported = [name for name in done.stdout.split() if name.startswith(prefixes)]
    assert sorted(imported) == ["genscene.metrics.networks", "genscene.metrics.networks.extractor"]


def test_full_precision_is_restored():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    x = torch.rand(4, 4)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with full_precision(x.device):
                assert not torch.backends.cuda.matmul.allow_tf32
                assert not torch.backends.cudnn.allow_tf32
                assert (x @ x).dtype == torch.float32
            assert (x @ x).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_extractors_prepare_images_and_finish_features():
    network = torch.nn.Conv2d(3, 4, 1).requires_grad_(False)
    fields = ("convolution", "random", "mean", 4, "not resized", network)
    extractor = Extractor(*fields, prepare=lambda images: images / 255, finish=lambda x: x.mean(dim=(2, 3)))
    images = random_images()
    assert torch.equal(extractor(images), network(images / 255).mean(dim=(2, 3)))


def test_extractors_compute_in_full_precision_and_check_their_features():
    weight = torch.rand(3 * 16 * 16, 4)

    def extractor(compute, width=4):
        return Extractor("linear", "random", "linear", width, "not resized", compute)

    def linear(images):
        return images.flatten(1).float() @ weight

    images = random_images(2, 16)
    with torch.autocast("cpu", torch.bfloat16):
        features, reduced = extractor(linear)(images), linear(images)
    assert torch.equal(features, linear(images))
    assert not torch.equal(features, reduced)
    with pytest.raises(BadInput, match=r"linear: features \[2, 4\], wanted \[2, 5\]"):
        extractor(linear, 5)(images)
    with pytest.raises(BadInput, match="not finite"):
        extractor(lambda x: linear(x) / 0)(images)
    with pytest.raises(BadInput, match=r"torch.float32 \[2, 3, 16, 16\], wanted torch.uint8"):
        extractor(linear)(images.float())
