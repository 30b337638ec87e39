"""Figures: contact sheets show pixels as squares, under the names of their strips."""

import torch

from genscene.evaluation.figures import CAPTION, MARGIN, contact_sheet
from genscene.evaluation.report import ImageStrip


def test_a_contact_sheet_enlarges_pixels_to_squares():
    strips = [ImageStrip(name, torch.rand(3, 3, 16, 16)) for name in ("real", "generated", "nearest")]
    sheet = contact_sheet(strips)
    assert sheet.height == MARGIN + 3 * (CAPTION + 128 + MARGIN)
    top = MARGIN + CAPTION + (CAPTION + 128 + MARGIN)
    wanted = (strips[1].images[0] * 255).round().byte().movedim(0, -1)
    for y, x in ((0, 0), (3, 15), (15, 7)):
        square = sheet.crop((MARGIN + 8 * x, top + 8 * y, MARGIN + 8 * x + 8, top + 8 * y + 8))
        assert square.getcolors() == [(64, tuple(wanted[y, x].tolist()))]


def test_large_images_keep_their_size_and_long_names_widen_the_sheet():
    assert contact_sheet([ImageStrip("a", torch.zeros(1, 3, 200, 210))]).size[0] == 210 + 2 * MARGIN
    assert contact_sheet([ImageStrip("a long name " * 9, torch.zeros(1, 3, 200, 210))]).size[0] > 400
