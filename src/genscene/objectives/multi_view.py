"""Adversarial training on images with cameras: several views of each scene in the memory of one (CGS-GAN)."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from genscene.contract import ImageBatch, PosedImageBatch, RenderOptions, Stats, StepContext, SystemConfig
from genscene.devices import with_saved_bytes
from genscene.errors import BadInput
from genscene.geometry.cameras import LABEL_SIZE, Camera, Size, View, named_tensors
from genscene.geometry.priors import camera_angles
from genscene.layers.mapping import map_tensors
from genscene.objectives.adversarial import (
    AUGMENT_REALS,
    GENERATOR,
    AdversarialConfig,
    AdversarialSystem,
    FakeBatch,
    Reals,
)
from genscene.ranges import Count
from genscene.render.canvas import append_coords
from genscene.render.splatting import splat_bytes
from genscene.scenes import Gaussians

LABELS = {"none": 0, "label": LABEL_SIZE, "angles": 5}  # numbers that the discriminator is told of a camera
# bytes of a turn of the discriminator, on reals and fakes or for the penalty, in those of its graph for reals
TURN_GRAPHS = 2.7
VIEWS, AUGMENT_VIEWS = 100, 10_000  # numbers of turns from here on are those of views


@dataclass(frozen=True)
class MultiViewConfig(AdversarialConfig):
    """What systems share that see their scenes from the cameras of the images."""

    batch: ClassVar[Literal["posed_images"]] = "posed_images"
    less_memory: ClassVar[str] = SystemConfig.less_memory  # nothing is computed again
    views: Count = 4  # of each scene in a step of the generator, with cameras of the batch
    # these views count as pictures: a batch has as many scenes as it has groups of views, of which the
    # discriminator sees all; off: as many scenes as pictures, and the discriminator sees one view of each
    views_in_batch: bool = False
    # behind fakes: a color of its own for each view, against holes; wants --images.background random
    background: Literal["random", "white", "black"] = "random"
    # what the discriminator knows of the camera: nothing; its 25 numbers; sines and cosines of its angles
    discriminator_camera: Literal["none", "label", "angles"] = "label"
    discriminator_coords: bool = False  # it also sees the coordinates of pixels, so of a patch where it is
    # fakes are rendered with so many times the side of what the discriminator sees, and averaged
    supersample: Count = 1

    @property
    def mbstd_group(self) -> int:
        """Pictures that stay together: groups of the minibatch deviation, as many as have all views."""
        group = super().mbstd_group
        return group * (self.views if self.views_in_batch else -(-self.views // group))

    @property
    def discriminator_inputs(self) -> tuple[int, int]:
        """Channels of images that the discriminator sees, and numbers that it is told of their cameras."""
        return 5 if self.discriminator_coords else 3, LABELS[self.discriminator_camera]

    def check_views(self) -> None:
        """Raise BadInput for augmentation that does not fit views, and for parts computed again."""
        if self.recompute:
            raise BadInput("recompute: wanted off, a step holds one view at a time")
        if self.augment.active and self.views_in_batch:
            raise BadInput("augment: wanted off with views_in_batch")
        if self.augment.flip and (self.discriminator_camera != "none" or self.discriminator_coords):
            raise BadInput("augment.flip: wanted off, the discriminator tells left from right")


class MultiViewSystem(AdversarialSystem):
    """Views of a scene have cameras of other images; no group of the discriminator has two of one scene."""

    config: MultiViewConfig

    @abstractmethod
    def sample_scenes(self, batch: PosedImageBatch, context: StepContext, turn: int) -> tuple[Tensor, Any]:
        """Latent codes [S, latent_dim] and scenes, a dataclass of tensors, as many as a batch has."""

    @abstractmethod
    def regularizers(self, scene: Any) -> Stats:
        """Weighted terms [] of the generator's loss that depend on scenes, by name."""

    def graph_bytes(self, pictures: int, size: Size) -> int:
        """Bytes of the graphs of a turn: of scenes and one view of each, or of the discriminator's."""
        config = self.config
        scenes = max(1, pictures // config.views) if config.views_in_batch else pictures
        height, width = (config.patches.size,) * 2 if config.patches.size else size
        z = torch.empty(scenes, self.generator.latent_dim)
        scene, of_scenes = with_saved_bytes(lambda: self.generator.scene(z))
        assert isinstance(scene, Gaussians)
        pixels = scenes * height * width * config.supersample**2
        of_views = splat_bytes(scene.means.shape[:2].numel(), 1, pixels)
        channels, numbers = config.discriminator_inputs
        images = torch.empty(pictures, channels, height, width).requires_grad_()
        labels = torch.empty(pictures, numbers) if numbers else None
        _, seen = with_saved_bytes(lambda: self.discriminator(images, labels))
        return max(of_scenes + of_views + seen * scenes // pictures, int(TURN_GRAPHS * seen))

    def generator_loss(self, batch: ImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The mean of the losses of all views, one after the other, and the regularizers."""
        assert isinstance(batch, PosedImageBatch)
        z, scene = self.sample_scenes(batch, context, GENERATOR)
        kept: list[FakeBatch] = []
        real = None
        if self.config.loss.kind == "relativistic":
            with torch.no_grad():
                real = self.predict(*self.prepare_reals(batch, context), context, AUGMENT_REALS).logits

        def loss_of_view(leaves: Any, number: int) -> Tensor:
            fakes = self.render_view(leaves, z, batch, context, (GENERATOR, number))
            if self.config.share_fakes and (self.config.views_in_batch or not number):
                kept.append(fakes.detach())
            output = self.predict(
                2 * fakes.images - 1, fakes.view, fakes.windows, context, AUGMENT_VIEWS + number
            )
            paired = None if real is None else real[self.places(len(batch), number)]
            return self.config.loss.generator(output.logits, paired, context.step)

        adversarial = mean_over_views(scene, self.config.views, loss_of_view)
        if self.config.share_fakes:
            context.shared[context.first] = self.in_order(kept)
        others = self.regularizers(scene)
        return adversarial + sum(others.values()), {"generator": adversarial, **others}

    def sample_fakes(self, batch: ImageBatch, context: StepContext, turn: int) -> FakeBatch:
        """As many images as the batch has: one view of each scene, or all views where these count."""
        assert isinstance(batch, PosedImageBatch)
        z, scene = self.sample_scenes(batch, context, turn)
        numbers = range(self.config.views if self.config.views_in_batch else 1)
        return self.in_order([self.render_view(scene, z, batch, context, (turn, i)) for i in numbers])

    def render_view(
        self, scene: Any, z: Tensor, batch: PosedImageBatch, context: StepContext, which: tuple[int, int]
    ) -> FakeBatch:
        """Images of scenes from one of their cameras; which: numbers of the turn and of the view."""
        turn, number = which
        places, size = self.places(len(batch), number), self.discriminator_size(batch)
        of_view = VIEWS * (1 + turn) + number
        randomness = context.random_streams(len(batch), of_view, batch.images.device)
        colors = randomness.uniform(3)[places]
        view = self.view_cameras(batch, number).resized(size)
        windows = self.sample_windows(batch, context, randomness)
        if windows is not None:
            windows = windows[places]
            view = view.crop(windows, size)
        times = self.config.supersample
        finer = view.resized((size[0] * times, size[1] * times))
        found = self.generator.render(scene, finer, RenderOptions(background="black"))
        assert found.alpha is not None
        if self.config.background != "random":
            colors = torch.full_like(colors, float(self.config.background == "white"))
        image = found.image + (1 - found.alpha) * colors.to(found.image)[..., None, None]
        return FakeBatch(avg_pool2d(image, times) if times > 1 else image, z, view, windows)

    def prepare_reals(self, batch: ImageBatch, context: StepContext) -> Reals:
        """Real images, and their cameras, cropped to the windows as those of fakes are."""
        images, view, windows = super().prepare_reals(batch, context)
        if windows is not None and isinstance(view, Camera):
            view = view.crop(windows, self.discriminator_size(batch))
        return images, view, windows

    def discriminator_given(
        self, images: Tensor, view: View | None, windows: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Images [B, 3, S, S] and cameras -> the same with coordinates, and labels [B, L], as configured."""
        assert isinstance(view, Camera)
        if self.config.discriminator_coords:
            images = append_coords(images, windows, None)
        if self.config.discriminator_camera == "angles":
            yaw, pitch = camera_angles(view, 0.0)
            numbers = yaw.sin(), yaw.cos(), (2 * yaw).sin(), (2 * yaw).cos(), pitch.cos()
            return images, torch.stack(numbers, dim=-1)
        return images, view.label() if self.config.discriminator_camera == "label" else None

    def view_cameras(self, batch: PosedImageBatch, number: int) -> Camera:
        """The cameras of one view of each scene: of the batch, moved on by one from view to view."""
        count = len(batch)
        if self.config.views_in_batch:
            return batch.cameras[self.places(count, number)]
        together = gcd(self.config.mbstd_group, count)  # parts of the batch keep their cameras
        moved = torch.arange(count).unflatten(0, (-1, together)).roll(-1 - number, 1)
        return batch.cameras[moved.flatten()]

    def places(self, count: int, number: int) -> Tensor:
        """Which of `count` pictures are a view of the scenes, the view with this number -> [S]."""
        if not self.config.views_in_batch:
            return torch.arange(count)
        together = self.config.mbstd_group
        if count % together:
            raise BadInput(
                f"a batch, or a part of one, of {count} pictures: wanted a multiple of {together},"
                f" {self.config.views} views of each group of scenes (views_in_batch)"
            )
        return (
            torch.arange(count)
            .view(-1, self.config.views, together // self.config.views)[:, number]
            .flatten()
        )

    def in_order(self, views: Sequence[FakeBatch]) -> FakeBatch:
        """The images of all views, in the order of their places."""
        if len(views) == 1:
            return views[0]
        count = sum(len(each.images) for each in views)
        order = torch.cat([self.places(count, number) for number in range(len(views))]).argsort()
        tensors = [named_tensors(each) for each in views]
        found = {name: torch.cat([each[name] for each in tensors])[order] for name in tensors[0]}
        first = views[0].view
        assert isinstance(first, Camera)
        view = replace(first, pose=found["pose"], intrinsics=found["intrinsics"])
        return FakeBatch(found["images"], found["z"], view, found.get("windows"))


def mean_over_views(scene: Any, count: int, loss_of_view: Callable[[Any, int], Tensor]) -> Tensor:
    """The mean [] of the losses of `count` views of scenes, with its gradient at the scenes.

    scene: a dataclass of tensors with a graph. The loss of each view is differentiated down to the scenes
    before the next one is computed, and the sum of these gradients is what the scenes' graph is given.
    """
    leaves = map_tensors(lambda x: x.detach().requires_grad_(x.requires_grad), scene)
    parts = []
    for number in range(count):
        loss = loss_of_view(leaves, number) / count
        if loss.requires_grad:
            loss.backward()
        parts.append(loss.detach())
    total, whole = torch.stack(parts).sum(), named_tensors(scene)
    for name, leaf in named_tensors(leaves).items():
        if leaf.grad is not None:
            total = total + with_gradient(whole[name], leaf.grad)
    return total


def with_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """0 [], whose gradient at x is the given one."""
    return ((x - x.detach()) * gradient).sum()
