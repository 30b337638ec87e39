"""What generators that are one scene share: no latent code, photographs that are remembered."""

from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.randomness import RandomStreams
from genscene.render.volume import March


class SingleScene(Generator):
    """A generator whose weights are the scene."""

    latent_dim = 0

    def latents(self, draws: RandomStreams) -> Tensor:
        """There is one scene: no numbers -> [B, 0]."""
        return next(self.parameters()).new_zeros(len(draws), 0)

    def style(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """The same nothing [B, 0]."""
        return z

    def settle(self) -> None:
        """Nothing is stored beside the weights."""


def walkable(march: March) -> None:
    """Raise BadInput where no ray can be walked along."""
    if not 0 <= march.near < march.far or (march.inverse and not march.near):
        raise BadInput(f"march.near {march.near}, march.far {march.far}: wanted 0 or more, and then farther")
    if march.samples < 1:
        raise BadInput(f"march.samples {march.samples}: wanted 1 or more")
    if march.gain <= 0 or (march.tail is not None and march.tail <= 0):
        raise BadInput(f"march.gain {march.gain}, march.tail {march.tail}: wanted numbers above 0")
