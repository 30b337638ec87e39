"""How large the pictures of a folder or zip are, by a look at their heads."""

import io

from PIL import Image

from genscene.data.decode import Broken
from genscene.data.images import listed, upright
from genscene.errors import BadInput
from genscene.geometry.cameras import Size


def one_size(path: str) -> Size:
    """Height and width that all pictures of a folder or zip have; BadInput names two that differ."""
    files, first = listed(path), None
    with files.open() as reader:
        for name in files.names:
            try:
                with Image.open(io.BytesIO(reader.read(name))) as image:
                    size = upright(image)
            except (Broken, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue  # broken files are named when they are decoded
            if first is None:
                first = (name, size)
            elif size != first[1]:
                one, other = (f"{name} is {size[0]}x{size[1]}" for name, size in (first, (name, size)))
                raise BadInput(
                    f"{path} holds pictures of mixed sizes ({one}, {other}): --size N makes them one size"
                )
    if first is None:
        raise BadInput(f"none of the {len(files.names)} pictures in {path} can be read")
    return first[1]
