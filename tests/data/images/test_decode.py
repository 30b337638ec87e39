"""Image files of every mode decoded to one size and colour space."""

import io

import numpy as np
import pytest
from PIL import Image

from genscene.data.images.decode import DecodeOptions, UnreadableImage, decode_image, parse_color
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig

RED = Image.new("RGB", (8, 8), (255, 0, 0))


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def options(size=(8, 8), **config):
    return DecodeOptions(size, ImageConfig(**config))


def modes():
    grey = Image.new("L", (8, 8), 128)
    palette = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    grey_alpha = Image.new("LA", (8, 8), (0, 0))
    wide = Image.fromarray(np.full((8, 8), 32896, np.uint16))
    floating = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    keyed = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    return {
        "rgb": (encode(RED), (255, 0, 0)),
        "jpeg": (encode(RED, "JPEG", quality=100), (254, 0, 0)),
        "grey": (encode(grey), (128, 128, 128)),
        "bilevel": (encode(grey.convert("1", dither=Image.Dither.NONE)), (255, 255, 255)),
        "16-bit": (encode(wide), (128, 128, 128)),
        "floating": (encode(floating, "TIFF"), (128, 128, 128)),
        "palette": (encode(palette), (255, 0, 0)),
        "cmyk": (encode(RED.convert("CMYK"), "TIFF"), (255, 0, 0)),
        "half transparent": (encode(transparent), (255, 127, 127)),
        "fully transparent": (encode(grey_alpha), (255, 255, 255)),
        "palette with a transparent colour": (encode(keyed, transparency=0), (255, 255, 255)),
        "webp": (encode(RED, "WEBP", lossless=True), (255, 0, 0)),
    }


@pytest.mark.parametrize("name", modes())
def test_decoded_colors_of_every_mode(name):
    content, color = modes()[name]
    pixels = decode_image(content, options())
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - color).max() <= 2


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (4, 8), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 4, 4))  # the top half is white
    exif = image.getexif()
    exif[0x0112] = 6  # to be rotated clockwise
    pixels = decode_image(encode(image, "JPEG", exif=exif, quality=100), options((4, 8), fit="stretch"))
    assert pixels[:, :3].mean() < 20  # the top is at the right now
    assert pixels[:, 5:].mean() > 235


def test_downsampling_is_antialiased_and_premultiplied():
    stripes = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    assert np.abs(decode_image(encode(stripes), options((8, 8))).astype(int) - 128).max() < 12
    dot = Image.new("RGBA", (64, 64), (0, 255, 0, 0))  # green, but transparent
    dot.paste((255, 0, 0, 255), (16, 16, 48, 48))
    pixels = decode_image(encode(dot), options((16, 16), background="white")).astype(int)
    assert (pixels[..., 0] > 250).all()  # red or white everywhere, no green or dark fringe
    assert (np.abs(pixels[..., 1] - pixels[..., 2]) <= 1).all()


@pytest.mark.parametrize(
    ("fit", "middle", "left"), [("cover", 100, 100), ("contain", 100, 255), ("stretch", 100, 0)]
)
def test_fit_crops_pads_or_stretches(fit, middle, left):
    wide = Image.new("RGB", (40, 20), (0, 0, 0))
    wide.paste((100, 100, 100), (10, 0, 30, 20))
    tall = wide.rotate(90, expand=True)
    pixels = decode_image(encode(wide), options((20, 20), fit=fit))
    assert abs(int(pixels[10, 10, 0]) - middle) <= 1
    top = decode_image(encode(tall), options((20, 20), fit=fit))
    if fit == "contain":
        assert (pixels[:4] == 255).all()
        assert (top[:, :4] == 255).all()
    else:
        assert abs(int(pixels[10, 0, 0]) - left) <= 2
        assert abs(int(top[0, 10, 0]) - left) <= 2


def test_center_crop():
    image = Image.new("RGB", (100, 120), (0, 0, 0))
    image.paste((200, 200, 200), (10, 20, 90, 100))
    assert (decode_image(encode(image), options((16, 16), center_crop=0.8)) > 160).all()


def test_random_background_keeps_premultiplied_alpha():
    image = Image.new("RGBA", (8, 8), (200, 100, 0, 51))
    pixels = decode_image(encode(image), options(background="random"))
    assert pixels.shape == (8, 8, 4)
    assert np.abs(pixels[0, 0].astype(int) - (40, 20, 0, 51)).max() <= 1


def test_parse_color():
    assert parse_color("10, 20,30") == (10, 20, 30)
    for bad in ("pink", "1,2", "1,2,300", "-1,0,0", ""):
        with pytest.raises(BadInput, match="wanted white"):
            parse_color(bad)


@pytest.mark.parametrize("content", [b"", b"no picture", encode(RED)[:40], encode(RED, "JPEG")[:-200]])
def test_damaged_files_are_unreadable(content):
    with pytest.raises(UnreadableImage):
        decode_image(content, options())


@pytest.mark.parametrize("fit", ["cover", "stretch", "contain"])
def test_opaque_images_are_decoded_as_transparent_ones_whose_alpha_is_full(fit):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 33, 3), np.uint8))
    how = options((13, 11), fit=fit, background="black")
    assert np.array_equal(decode_image(encode(noise), how), decode_image(encode(noise.convert("RGBA")), how))
