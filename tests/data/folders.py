"""Folders of images for the tests of data."""

import zipfile

from PIL import Image


def image_folder(root, count=5):
    """A folder with so many readable images, one damaged, one other and one hidden file."""
    (root / "inner").mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (10, 8), (10 * i, 0, 0)).save(root / "inner" / f"{i}.png")
    (root / "broken.jpg").write_bytes(b"not at all")
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"nothing")
    return root


def zip_folder(folder, path):
    """The same files in a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._a.png", b"")
    return path
