"""All systems: the presets by name, and the classes that their configurations are read back into."""

from genscene.contract import SystemConfig
from genscene.experiment.schema import Experiment
from genscene.systems.nerf.presets import PRESETS as NERF
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.pigan.presets import PRESETS as PIGAN
from genscene.systems.pigan.system import PiGANConfig
from genscene.systems.voxels.presets import PRESETS as VOXELS
from genscene.systems.voxels.system import VoxelsConfig

PRESETS: dict[str, Experiment] = {**PIGAN, **VOXELS, **NERF}

KINDS: dict[str, type[SystemConfig]] = {
    kind.__name__: kind for kind in (PiGANConfig, NeRFConfig, VoxelsConfig)
}
