"""genscene doctor: versions, devices, optional packages, video, cache."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from genscene.cli.shared.options import parse, print_line
from genscene.compilation import compiler_name, find_compiler
from genscene.io.atomic import cache_folder
from genscene.kernels.choice import choose
from genscene.version import __version__

NEEDED = ("numpy", "pillow", "safetensors", "tyro", "rich", "av", "scikit-image", "trimesh", "numba")
EXTRAS = {
    "viewer": "viser",
    "cuda": "gsplat",
    "triton": "triton",
    "metrics": "transformers",
    "sfm": "pycolmap",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "hub": "huggingface_hub",
}


@dataclass(frozen=True)
class Doctor:
    """No options."""


def main(words: list[str]) -> None:
    """Run the verb."""
    parse(Doctor, words, "genscene doctor", description="Report versions, devices and optional packages.")
    for line in findings():
        print_line(line)


def findings() -> Iterator[str]:
    """One line for each finding."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"  # platform() starts uname
    yield f"genscene {__version__}, Python {platform.python_version()}, {system}"
    yield f"torch {torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    yield f"memory: {memory()}"
    yield from devices()
    yield from implementations()
    none = f"no {compiler_name()} (or CXX)"
    yield f"C++ compiler, for genscene train --compile on a CPU: {find_compiler() or none}"
    for name in NEEDED:
        yield f"{name} {version(name) or 'is missing: pip install genscene again'}"
    for extra, name in EXTRAS.items():
        found = version(name)
        state = f"{name} {found}" if found else f"not installed (pip install 'genscene[{extra}]')"
        yield f"extra {extra}: {state}"
    yield f"video: {video()}"
    yield f"cache: {cache_folder()} ({writable()})"


def devices() -> Iterator[str]:
    """The devices that torch can use."""
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
            yield f"cuda:{i}: {about.name}, {about.total_memory / 2**30:.0f} GiB, {bf16}"
    else:
        yield "cuda: none that this torch can use; everything runs on the CPU"
    if torch.backends.mps.is_available():
        yield "mps: there"


def implementations() -> Iterator[str]:
    """Which kernels compute fields, rays and random numbers on each device, and why."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device in [torch.device("cpu"), *(torch.device("cuda", i) for i in range(count))]:
        chosen = choose(device)
        yield f"kernels on {device}: {'Triton' if chosen.triton else 'torch'} ({chosen.why})"


def version(name: str) -> str:
    """The version of an installed package, or nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def video() -> str:
    """Whether videos can be written."""
    try:
        import av
    except ImportError as error:
        return f"cannot write videos ({error})"
    return "mp4 (H.264) and gif" if "libx264" in av.codecs_available else "gif only: this av has no H.264"


def memory() -> str:
    """The memory of this machine."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return f"unknown on {sys.platform}"


def writable() -> str:
    """Whether the cache can be written."""
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    return "writable" if os.access(folder, os.W_OK) else "not writable: images are decoded again in every run"
