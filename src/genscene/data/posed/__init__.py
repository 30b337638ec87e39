"""Posed photographs: images with cameras, as written by the programs that estimated or rendered them."""

from genscene.data.posed.decode import PosedImages, decode_posed
from genscene.data.posed.loader import Split, available_splits, load_posed
from genscene.data.posed.posed_files import PosedFiles

__all__ = ["PosedFiles", "PosedImages", "Split", "available_splits", "decode_posed", "load_posed"]
