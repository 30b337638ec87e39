"""All systems: the presets by name, and the classes their numbers are read back into."""

from genscene.experiment import Experiment
from genscene.system import SystemConfig
from genscene.systems.pigan.presets import PRESETS as PIGAN
from genscene.systems.pigan.system import PiGANConfig

PRESETS: dict[str, Experiment] = {**PIGAN}

KINDS: dict[str, type[SystemConfig]] = {kind.__name__: kind for kind in (PiGANConfig,)}
