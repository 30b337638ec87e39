"""All systems: classes that configurations are read back into, and presets, built when first used."""

from typing import TYPE_CHECKING, Any

from genscene.contract import SystemConfig
from genscene.systems.cgsgan.system import CGSGANConfig
from genscene.systems.cips.system import CIPSConfig
from genscene.systems.distilled.system import DistilledConfig
from genscene.systems.giraffe.system import GIRAFFEConfig
from genscene.systems.graf.system import GRAFConfig
from genscene.systems.image.system import ImageSystemConfig
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.pigan.system import PiGANConfig
from genscene.systems.sdf.system import SDFConfig
from genscene.systems.splats.system import SplatsConfig
from genscene.systems.voxels.system import VoxelsConfig

if TYPE_CHECKING:
    from genscene.systems.presets import PRESETS

__all__ = ["KINDS", "PRESETS"]

KINDS: dict[str, type[SystemConfig]] = {
    "PiGANConfig": PiGANConfig,
    "CIPSConfig": CIPSConfig,
    "CGSGANConfig": CGSGANConfig,
    "GIRAFFEConfig": GIRAFFEConfig,
    "GRAFConfig": GRAFConfig,
    "NeRFConfig": NeRFConfig,
    "VoxelsConfig": VoxelsConfig,
    "ImageSystemConfig": ImageSystemConfig,
    "SDFConfig": SDFConfig,
    "SplatsConfig": SplatsConfig,
    "DistilledConfig": DistilledConfig,
}


def __getattr__(name: str) -> Any:
    if name != "PRESETS":
        raise AttributeError(f"module 'genscene.systems' has no attribute {name!r}")
    from genscene.systems.presets import PRESETS

    return PRESETS
