"""All systems: the presets by name, and the classes their numbers are read back into."""

from genscene.experiment import Experiment
from genscene.system import SystemConfig
from genscene.systems.nerf.grid_system import GridConfig
from genscene.systems.nerf.presets import PRESETS as NERF
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.pigan.presets import PRESETS as PIGAN
from genscene.systems.pigan.system import PiGANConfig

PRESETS: dict[str, Experiment] = {**PIGAN, **NERF}

KINDS: dict[str, type[SystemConfig]] = {kind.__name__: kind for kind in (PiGANConfig, NeRFConfig, GridConfig)}
