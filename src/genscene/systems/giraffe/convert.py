"""GIRAFFE's released checkpoints: model files with the moving averages under generator_test."""

from genscene.io.rename import Rules

FIELD: Rules = (
    (r"fc_in\.(weight|bias)", r"point.\1"),
    (r"fc_z\.(weight|bias)", r"shape.\1"),
    (r"blocks\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"fc_z_skips\.(\d+)\.(weight|bias)", r"skip_shapes.\1.\2"),
    (r"fc_p_skips\.(\d+)\.(weight|bias)", r"skip_points.\1.\2"),
    (r"sigma_out\.(weight|bias)", r"density.\1"),
    (r"feat_view\.(weight|bias)", r"feature_layer.\1"),
    (r"fc_z_view\.(weight|bias)", r"appearance.\1"),
    (r"fc_view\.(weight|bias)", r"direction.\1"),
    (r"feat_out\.(weight|bias)", r"feature.\1"),
)
RENDERER: Rules = (
    (r"conv_in\.(weight|bias)", r"first.\1"),
    (r"conv_layers\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"conv_rgb\.(\d+)\.(weight|bias)", r"rgb.\1.\2"),
    (r"conv_rgb\.(weight|bias)", r"rgb.0.\1"),
    (r"upsample_(?:2|rgb)\.1\.f", None),  # the blur, [1, 2, 1]
)


def within(official: str, ours: str, rules: Rules) -> Rules:
    """The rules for a part that the official model and ours have under these names."""
    return tuple((rf"{official}\.{a}", None if b is None else f"{ours}.{b}") for a, b in rules)


GENERATOR: Rules = (
    *within("decoder", "objects.0", FIELD),
    *within("background_generator", "background", FIELD),
    *within("neural_renderer", "renderer", RENDERER),
)
DISCRIMINATOR: Rules = (
    (r"blocks\.(\d+)\.weight", r"layers.\1.weight"),
    (r"conv_out\.weight", "last.weight"),
    (r"conv_img\.(weight|bias)", r"first.\1"),
    *(
        (rf"resnet\.{2 * i}\.conv_{a}\.(weight|bias)", rf"blocks.{i}.{b}.\1")
        for i in range(12)
        for a, b in (("0", "first"), ("1", "second"), ("s", "shortcut"))
    ),
    (r"fc\.(weight|bias)", r"last.\1"),
)
