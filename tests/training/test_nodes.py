"""Several machines: two torchruns, files at other places on each, shares of image sets, lost machines."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genscene
from genscene.cli import main

OPTIONS = (
    "--size 16 --batch 4 --grid-every 0 --system.discriminator.mbstd-group 2 --device cpu --save-every 2"
)


def pictures(folder, count=9):
    """A folder of so many different pictures."""
    folder.mkdir(parents=True)
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return folder


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def started(commands, variables):
    """Processes with their environments, in sessions of their own, which are killed at the end."""
    common = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    running = [
        subprocess.Popen(words, env=common | more, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for words, more in zip(commands, variables, strict=True)
    ]
    try:
        yield running
    finally:
        for process in running:
            for each in [process.pid, *children(process.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.communicate()


def children(pid):
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


@contextmanager
def as_ranks(words):
    """A program in two processes as torchrun starts them on two machines; words: the arguments of each."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    variables = [shared | {"RANK": str(rank), "LOCAL_RANK": "0"} for rank in range(2)]
    with started([[sys.executable, *each] for each in words], variables) as running:
        yield running


def torchrun(rank, port, rendezvous=()):
    """The words that start the torchrun of one of two machines."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    if rendezvous:
        return [*words, *rendezvous, "--rdzv-endpoint", f"127.0.0.1:{port}", "--local-addr", "127.0.0.1"]
    return [*words, "--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", str(port)]


def said(process):
    """The lines of genscene on stderr, when it has ended."""
    _, text = process.communicate(timeout=120)
    return [line for line in text.splitlines() if line.startswith("genscene: ")], text


@pytest.mark.parametrize("cache", ["node", "share"])
def test_two_machines_with_files_at_other_places_give_the_weights_of_one(tmp_path, cache):
    homes = [tmp_path / "first", tmp_path / "second"]
    commands, variables, port = [], [], free_port()
    for rank, home in enumerate(homes):
        words = (
            f"-m genscene train pigan-demo --data {pictures(home / 'data')} --out {home / 'run'} {OPTIONS}"
        )
        words += f" --steps 4 --data-cache {cache}"
        commands.append([*torchrun(rank, port), *words.split()])
        variables.append({"GENSCENE_CACHE": str(home / "cache")})
    with started(commands, variables) as running:
        for process in running:
            _, text = process.communicate(timeout=120)
            assert process.returncode == 0, text
    assert not (homes[1] / "run").exists()
    decoded = [np.load(path) for home in homes for path in home.glob("cache/pictures/*.npy")]
    assert sorted(map(len, decoded)) == ([4, 5] if cache == "share" else [9, 9])
    one = f"train pigan-demo --data {homes[0] / 'data'} {OPTIONS}"
    assert main([*one.split(), "--out", str(tmp_path / "one"), "--steps", "4"]) == 0
    first, second = (
        torch.load(out / "state.pt", weights_only=True) for out in (homes[0] / "run", tmp_path / "one")
    )
    differences = torch.cat(
        [(x.float() - first["system"][name].float()).abs().flatten() for name, x in second["system"].items()]
    )
    assert (differences < 1e-6).float().mean() > 0.99  # Adam's steps are large where gradients are almost 0
    assert differences.max() < 1e-3
    assert main([*one.split(), "--out", str(homes[0] / "run"), "--steps", "6", "--resume"]) == 0


SHARES = """
import sys
from pathlib import Path
import torch
from genscene.data.images.shares import load_shares
from genscene.distributed import joined
from genscene.experiment.schema import ImageConfig
folder, index, out = sys.argv[1:]
with joined(torch.device("cpu")) as group:
    config = ImageConfig(index=index, background="random")
    shares = load_shares(folder, config, (8, 8), group, masks=True)
    order = torch.load(Path(out) / "order.pt").numpy()
    found = [shares.exchange(joint) for joint in order]
    images, masks = (torch.stack(part) for part in zip(*found))
    torch.save({"images": images, "masks": masks, "own": len(shares.own)}, Path(out) / f"{group.rank}.pt")
"""


def test_shares_are_exchanged_to_the_images_and_masks_of_one(tmp_path):
    from genscene.data.images import load_images
    from genscene.experiment.schema import ImageConfig

    folder = pictures(tmp_path / "data")
    for path in folder.glob("*.png"):
        picture = Image.open(path)
        picture.putalpha(Image.fromarray(np.asarray(picture)[..., 0]))
        picture.save(path)
    (folder / "3.png").write_bytes(b"broken")
    index = tmp_path / "index.json"
    index.write_text(json.dumps([8, 1, 3, 5, 1, 1, 0, 7, 6]))
    whole = load_images(
        str(folder), ImageConfig(index=str(index), background="random"), (8, 8), quiet=True, masks=True
    )
    order = np.random.default_rng(0).integers(0, len(whole), (5, 6))
    torch.save(torch.from_numpy(order), tmp_path / "order.pt")
    words = ["-c", SHARES, str(folder), str(index), str(tmp_path)]
    with as_ranks([words, words]) as running:
        for process in running:
            _, text = said(process)
            assert process.returncode == 0, text
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert sorted(part["own"] for part in parts) == [3, 3]
    for joint, *exchanged in zip(
        order, *(zip(p["images"], p["masks"], strict=True) for p in parts), strict=True
    ):
        assert torch.equal(torch.cat([images for images, _ in exchanged]), whole.take(joint))
        assert torch.equal(torch.cat([masks for _, masks in exchanged]), whole.masks.take(joint))


@pytest.mark.parametrize(
    ("second", "line"),
    [
        ("--batch 8", "process 1 of the 2 was started with other options than process 0"),
        ("--data {other}", "of process 1 has 5 images, .* of process 0 9"),
        ("--data-cache share", r"there --data-cache share, here --data-cache node"),
    ],
)
def test_machines_that_do_not_agree_are_refused_by_all(tmp_path, second, line):
    words = f"-m genscene train pigan-demo --data {pictures(tmp_path / 'data')} {OPTIONS} --steps 2"
    more = second.format(other=pictures(tmp_path / "other", 5))
    each = [f"{words} --out {tmp_path / 'run'} {options}".split() for options in ("", more)]
    with as_ranks(each) as running:
        for process in running:
            lines, text = said(process)
            assert process.returncode == 2, text
            assert re.search(line, lines[0]), text
    assert not (tmp_path / "run").exists()


def test_what_rank_0_refuses_ends_the_others_with_its_reason(tmp_path):
    words = f"-m genscene train pigan-demo --data {pictures(tmp_path / 'data')} {OPTIONS} --steps 2"
    (tmp_path / "file").write_text("no folder")
    each = [f"{words} --out {tmp_path / name}".split() for name in ("file", "run")]
    with as_ranks(each) as running:
        for process in running:
            lines, text = said(process)
            assert process.returncode == 2, text
            assert "is a file, wanted the name of a folder" in lines[0]


FASTER = """
import sys
from genscene import heartbeat
from genscene.cli import main
heartbeat.BEAT, heartbeat.SILENT = 0.2, 20
sys.exit(main(sys.argv[1:]))
"""
LOST = {  # what is lost: signal, which of the processes of a machine get it, rendezvous
    "a killed torchrun": (signal.SIGKILL, slice(0, 1), ("--rdzv-backend", "c10d", "--rdzv-id", "test")),
    "a killed machine": (signal.SIGKILL, slice(None), ()),
    "a machine without power": (signal.SIGSTOP, slice(None), ()),
}


@pytest.mark.parametrize(
    ("what", "rank"),
    [
        ("a killed torchrun", 0),
        ("a killed torchrun", 1),
        ("a killed machine", 0),
        ("a machine without power", 0),
    ],
)
def test_a_lost_machine_ends_the_others_with_the_step_to_go_on_from(tmp_path, what, rank):
    kind, which, rendezvous = LOST[what]
    out, port = tmp_path / "run", free_port()
    words = f"train pigan-demo --data {pictures(tmp_path / 'data')} {OPTIONS} --steps 100000 --out {out}"
    program = tmp_path / "faster.py"
    program.write_text(FASTER)
    commands = [[*torchrun(n, port, rendezvous), str(program), *words.split()] for n in range(2)]
    with started(commands, [{}, {}]) as running:
        until = time.monotonic() + 60
        while not (out / "checkpoints" / "00000004.pt").exists() and time.monotonic() < until:
            time.sleep(0.05)
        lost, other = running[rank], running[1 - rank]
        for each in [lost.pid, *children(lost.pid)][which]:
            os.kill(each, kind)
        before = time.monotonic()
        lines, text = said(other)
        assert time.monotonic() - before < 60
    assert other.returncode not in (0, None), text
    found = re.fullmatch(
        rf"genscene: .* lost: start all again with --resume --out {out}, which goes on from the checkpoint of"
        r" step (\d+) \(step \d+ was done\)",
        lines[0],
    )
    assert found, text
    assert int(found[1]) <= torch.load(out / "state.pt", weights_only=True)["step"] <= int(found[1]) + 2
    again = words.replace("100000", str(int(found[1]) + 4)).split()
    assert main([*again, "--resume"]) == 0


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np
from genscene.data.images import load_images
from genscene.experiment.schema import ImageConfig
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
load_images(sys.argv[1], ImageConfig(limit=1), (8, 8), quiet=True)
before = peak()
images = load_images(sys.argv[1], ImageConfig(), (512, 512), quiet=True)
decoded = peak() - before
Path("/proc/self/clear_refs").write_text("5")  # the peak is what is in use now
before = peak()
order = np.random.default_rng(0).permutation(len(images))
for start in range(0, len(order), 2):
    images.take(order[start : start + 2])
print(images.pixels.nbytes, decoded, peak() - before)
"""


def test_memory_does_not_grow_with_the_set(tmp_path):
    folder = pictures(tmp_path / "data", 500)
    environment = os.environ | {"PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    environment |= {"GENSCENE_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEMORY, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    whole, decoding, reading = map(int, done.stdout.split())
    assert whole == 500 * 512 * 512 * 3  # 375 MiB
    assert decoding < 160 << 20  # 64 decoded images that wait, and the pages that were written last
    assert reading < whole / 3
