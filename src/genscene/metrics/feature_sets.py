"""Two sets of features beside each other."""

from torch import Tensor

from genscene.errors import BadInput


def matched(what: str, fake: Tensor, real: Tensor, least: int = 1) -> None:
    """Raise BadInput, naming what is made of them, unless they are [N, D] and [M, D], N and M at least so many."""
    shapes = [list(x.shape) for x in (fake, real)]
    if (
        fake.dim() != 2
        or real.dim() != 2
        or shapes[0][1] != shapes[1][1]
        or min(len(fake), len(real)) < least
    ):
        raise BadInput(
            f"{what} of features {shapes[0]} and {shapes[1]}, wanted [N, D] and [M, D], N and M at least {least}"
        )
