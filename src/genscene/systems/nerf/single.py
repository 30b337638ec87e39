"""What generators that are one scene share: no latent code, photographs that are remembered."""

from torch import Tensor

from genscene.draws import Draws
from genscene.system import Generator


class SingleScene(Generator):
    """A generator whose weights are the scene."""

    latent_dim = 0

    def latents(self, draws: Draws) -> Tensor:
        """There is one scene: no numbers -> [B, 0]."""
        return next(self.parameters()).new_zeros(len(draws), 0)

    def style(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """The same nothing [B, 0]."""
        return z

    def settle(self) -> None:
        """Nothing is stored beside the weights."""
