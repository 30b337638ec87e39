"""SqueezeNet as an extractor: its last features, averaged over the picture."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import interpolate

from genscene.metrics.backbone import CAFFE
from genscene.metrics.extractor import Extractor
from genscene.metrics.squeezenet import TAPS, SqueezeNet, squeezenet
from genscene.metrics.weights import sha256

LEAST, MOST = 64, 224  # pixels a side: three places a side to average, and what it was trained on


class PooledSqueezeNet(nn.Module):
    """The last tap, averaged over space."""

    def __init__(self, backbone: SqueezeNet) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in bytes -> features [B, 512]."""
        size = [min(max(side, LEAST), MOST) for side in images.shape[-2:]]
        x = images.float() / 255
        if list(x.shape[-2:]) != size:
            x = interpolate(x, size, mode="bilinear", antialias=True)
        return self.backbone(x)[-1].mean(dim=(2, 3))


def squeezenet_features(path: str | Path) -> Extractor:
    """Features 512 wide by SqueezeNet 1.1 (Iandola et al. 2016) with the weights in a file; BadInput if none fit."""
    backbone = squeezenet(path)
    lineage = "Caffe" if backbone.showing is CAFFE else "torchvision"
    return Extractor(
        name="squeezenet-1.1",
        weights=sha256(Path(path)),
        layer=f"fire{TAPS[-1]} averaged over space",
        width=backbone.widths[-1],
        resize=f"sides below {LEAST} or above {MOST} brought to these, bilinear, antialiased",
        look=PooledSqueezeNet(backbone).eval(),
        remark=f"SqueezeNet's weights of {lineage} lineage: compare with numbers by the same file alone",
    )
