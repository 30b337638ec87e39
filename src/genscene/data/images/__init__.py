"""Folders and zips of images, and embedded sets, as arrays of one size."""

from genscene.data.images.files import common_size, list_images
from genscene.data.images.image_set import ImageSet
from genscene.data.images.load import EMBEDDED, SYNTHETIC, load_images

__all__ = ["EMBEDDED", "SYNTHETIC", "ImageSet", "common_size", "list_images", "load_images"]
