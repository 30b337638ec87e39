"""An image set of which every process decodes and stores a share; what a batch needs is exchanged."""

import json
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genscene.data.images.files import list_images
from genscene.data.images.image_set import ImageSet
from genscene.data.images.load import SYNTHETIC, chosen_images, decode_cached, load_masks, read_cameras
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Camera, Size

SAMPLED = 16  # images that machines compare


@dataclass(frozen=True)
class ImageShares:
    """N images of one size, each in one process of a group, with their cameras where these are known."""

    own: ImageSet  # the images of this process, with their masks
    group: ProcessGroup
    owner: np.ndarray  # [N], rank of the process that holds an image
    row: np.ndarray  # [N], its place there
    cameras: Camera | None = None  # N cameras

    def __len__(self) -> int:
        return len(self.owner)

    def exchange(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Images at the indices [B] of a joint batch -> those of this rank's part, and their masks.

        [B / processes, 3 or 4, H, W] and [B / processes, 1, H, W] in [0, 1]. All processes call this together
        with the same indices. Images go to others as bytes, each once.
        """
        rank, world = self.group.rank, self.group.world
        parts = indices.reshape(world, -1)
        owned = self.owner[parts] == rank
        rows = self.row[parts[owned]]  # sorted by the rank they are for
        pixels = self.own.bytes_of(rows)
        if self.own.masks is not None:
            pixels = np.concatenate([pixels, self.own.masks.bytes_of(rows)], axis=-1)
        senders = self.owner[parts[rank]]
        received = np.bincount(senders, minlength=world)
        flat = torch.from_numpy(pixels).flatten(1)
        found = self.group.exchange_rows(flat, owned.sum(axis=1).tolist(), received.tolist())
        batch = torch.empty_like(found)
        batch[torch.from_numpy(np.argsort(senders, kind="stable"))] = found
        images = batch.view(-1, *pixels.shape[1:]).movedim(-1, 1).float() / 255
        return (images, None) if self.own.masks is None else (images[:, :-1], images[:, -1:])


def load_shares(
    source: str,
    config: ImageConfig,
    size: Size,
    group: ProcessGroup,
    cameras: bool = False,
    masks: bool = False,
) -> ImageShares:
    """The images of a folder or zip as `load_images` gives them, shared out among the processes of a group.

    Each decodes, and has in its cache, one of so many images in turn. Raises BadInput, in every process,
    where none can be loaded, one has no camera or mask, or the machines have other files.
    """
    if source.startswith(SYNTHETIC):
        raise BadInput(f"--data-cache share: wanted a folder or zip of images, not {source}")
    files = list_images(source)
    listed = chosen_images(files, config)
    names = "/".join(files.names[i] for i in listed)
    require_same_images(source, len(listed), names.encode(errors="surrogateescape"), group)
    mine = sorted(set(listed))[group.rank :: group.world]
    if not mine:
        raise BadInput(f"{source}: fewer images than processes ({group.world}): wanted --data-cache node")
    pixels, notes = decode_cached(files, mine, config, size, not group.is_main)
    readable: list[int] = notes["readable"]
    found = load_masks(files, readable, config, size, not group.is_main) if masks else None
    everywhere = [json.loads(part) for part in group.all_gather_bytes(json.dumps(readable).encode())]
    places = {index: (rank, row) for rank, part in enumerate(everywhere) for row, index in enumerate(part)}
    kept = [index for index in listed if index in places]
    owner, row = np.array([places[index] for index in kept]).T
    labels = read_cameras(files, kept, size) if cameras else None
    return ImageShares(ImageSet(pixels, masks=found), group, owner, row, labels)


def require_same_images(source: str, count: int, content: bytes, group: ProcessGroup) -> None:
    """Raise BadInput, in every process, where one has not as many images as rank 0, or not the same.

    content: what is compared of them.
    """
    own = json.dumps([source, count, zlib.crc32(content)]).encode()
    first, *others = (json.loads(part) for part in group.all_gather_bytes(own))
    for rank, found in enumerate(others, 1):
        if found[1:] != first[1:]:
            where = f"{found[0]} of process {rank} has {found[1]} images, {first[0]} of process 0 {first[1]}"
            raise BadInput(f"{where}, or other ones: wanted the same files on every machine")


def sample_bytes(images: ImageSet) -> bytes:
    """Some images of a set, by which it is compared with others."""
    return images.bytes_of(np.linspace(0, len(images) - 1, SAMPLED).astype(int)).tobytes()
