"""`from gsplat import rasterization` in programs that know gsplat only, on machines where it cannot run."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from genscene.errors import BadInput
from genscene.render.rasterization import has_gsplat, rasterize

# options of gsplat's that change nothing here, and those that do, with the only value that can be given
UNUSED = ("channel_chunk", "sparse_grad", "absgrad", "packed", "tile_size")
ABSENT = {
    "distributed": False,
    "segmented": False,
    "covars": None,
    "with_ut": False,
    "with_eval3d": False,
    "radial_coeffs": None,
    "tangential_coeffs": None,
    "thin_prism_coeffs": None,
    "ftheta_coeffs": None,
    "viewmats_rs": None,
}


def provide_gsplat() -> bool:
    """Let `import gsplat` give `rasterization`, computed by `rasterize`; False where gsplat is installed.

    Call it before the program that imports gsplat. Raises BadInput, when rendering, for options that
    `rasterize` does not have.
    """
    if has_gsplat():
        return False
    for name in ("gsplat", "gsplat.rendering"):
        module = ModuleType(name, "genscene.rasterize under the name of gsplat's rasterization")
        module.__spec__ = ModuleSpec(name, None)
        vars(module)["rasterization"] = rasterization
        sys.modules[name] = module
    package: Any = sys.modules["gsplat"]
    package.__path__, package.rendering = [], sys.modules["gsplat.rendering"]
    return True


def rasterization(*given: Any, **options: Any) -> Any:
    """`rasterize` with the options of gsplat 1.6; their order is the same up to rasterize_mode."""
    for name, value in ABSENT.items():
        found = options.pop(name, value)
        if found is not value:
            raise BadInput(f"rasterization: {name} is {found!r}, wanted {value!r}: only gsplat has others")
    for name in UNUSED:
        options.pop(name, None)
    return rasterize(*given, **options)
