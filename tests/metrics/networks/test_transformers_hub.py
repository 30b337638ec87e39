"""DINOv2 and CLIP with small random networks, compared with the library's own."""

import hashlib
import importlib
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.networks import build_extractor, transformers_hub


def random_images(count, size):
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8)


@pytest.fixture
def dinov2(tmp_path):
    transformers = pytest.importorskip("transformers")
    about = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    network = transformers.Dinov2Model(transformers.Dinov2Config(**about)).eval()
    network.save_pretrained(tmp_path / "dinov2")
    return network, tmp_path / "dinov2"


@pytest.fixture
def clip(tmp_path):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = small | {"image_size": 28, "patch_size": 14, "projection_dim": 20}
    text = small | {"vocab_size": 50, "max_position_embeddings": 8, "projection_dim": 20}
    about = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)
    network = transformers.CLIPModel(about).eval()
    network.save_pretrained(tmp_path / "clip")
    return network, tmp_path / "clip"


def normalized(images, mean, deviation):
    """Images [B, 3, H, W] of 0 to 1 -> network input."""
    parts = [(images[:, i] - mean[i]) / deviation[i] for i in range(3)]
    return torch.stack(parts, dim=1)


@torch.no_grad()
def test_dinov2_computes_the_features_of_the_library(dinov2):
    network, folder = dinov2
    images = random_images(2, 224)  # no resizing
    found = transformers_hub.dinov2_features(str(folder))
    x = normalized(images / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    wanted = network(pixel_values=x).last_hidden_state[:, 0]
    assert_close(found(images), wanted, rtol=1e-5, atol=1e-5)
    assert found.width == 32
    assert found.weights == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert found(random_images(1, 60)).shape == (1, 32)
    assert "bicubic" in found.resize
    assert "224x224" in found.resize


@torch.no_grad()
def test_clip_computes_the_features_of_the_library_from_a_file_with_a_text_encoder(clip, capfd):
    network, folder = clip
    images = random_images(3, 28)
    capfd.readouterr()
    found = build_extractor("clip", str(folder))
    assert capfd.readouterr() == ("", "")  # no report of unused tensors
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    x = normalized(images / 255, mean, deviation)
    wanted = network.visual_projection(network.vision_model(pixel_values=x).pooler_output)
    assert_close(found(images), wanted / wanted.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-5)
    assert found.width == 20
    assert "28x28" in found.resize


def test_folders_of_other_networks_are_rejected(dinov2, tmp_path):
    folder = dinov2[1]
    with pytest.raises(BadInput, match="is of a model 'dinov2', wanted 'clip' or 'clip_vision_model'"):
        transformers_hub.clip_features(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BadInput, match=r"empty has no model.safetensors, wanted config.json and model.safetensors"
    ):
        transformers_hub.dinov2_features(tmp_path / "empty")
    save_file({"layernorm.weight": torch.ones(32)}, folder / "model.safetensors")
    with pytest.raises(
        BadInput, match=r"model.safetensors leaves \d+ tensors unfilled, first embeddings.cls_token"
    ):
        transformers_hub.dinov2_features(folder)
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(BadInput, match=r"model.safetensors cannot be read"):
        transformers_hub.dinov2_features(folder)


def test_names_on_the_hub_are_downloaded(dinov2, monkeypatch):
    library = importlib.import_module("huggingface_hub")
    monkeypatch.setattr(library, "snapshot_download", lambda name, allow_patterns: str(dinov2[1]))
    assert transformers_hub.dinov2_features("facebook/dinov2-large").width == 32

    def none(name, allow_patterns):
        raise OSError("no network\nat all")

    monkeypatch.setattr(library, "snapshot_download", none)
    with pytest.raises(BadInput, match=r"nor available on the hub \(OSError: no network at all\)"):
        transformers_hub.dinov2_features("facebook/dinov2-large")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInput, match=r"clip needs transformers: pip install 'genscene\[metrics\]'"):
        transformers_hub.clip_features(tmp_path)
