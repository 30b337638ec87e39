"""All presets by name."""

from genscene.experiment.schema import Experiment
from genscene.systems.cgsgan.presets import PRESETS as CGSGAN
from genscene.systems.cips.presets import PRESETS as CIPS
from genscene.systems.giraffe.presets import PRESETS as GIRAFFE
from genscene.systems.graf.presets import PRESETS as GRAF
from genscene.systems.image.presets import PRESETS as IMAGE
from genscene.systems.nerf.presets import PRESETS as NERF
from genscene.systems.pigan.presets import PRESETS as PIGAN
from genscene.systems.sdf.presets import PRESETS as SDF
from genscene.systems.splats.presets import PRESETS as SPLATS
from genscene.systems.voxels.presets import PRESETS as VOXELS

PRESETS: dict[str, Experiment] = {
    **PIGAN,
    **GIRAFFE,
    **GRAF,
    **CIPS,
    **CGSGAN,
    **VOXELS,
    **NERF,
    **SPLATS,
    **IMAGE,
    **SDF,
}
