"""AlexNet's convolutions (Krizhevsky 2014, "one weird trick"): a backbone of LPIPS."""

from torch.nn import Conv2d, MaxPool2d, ReLU

from genscene.metrics.networks.backbone import Backbone


def alexnet() -> Backbone:
    """AlexNet up to its last convolution; returns the outputs of its five rectifiers."""
    layers = [
        *(Conv2d(3, 64, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(192, 384, 3, padding=1), ReLU()),
        *(Conv2d(384, 256, 3, padding=1), ReLU()),
        *(Conv2d(256, 256, 3, padding=1), ReLU()),
    ]
    return Backbone("AlexNet", "alex", layers, {1: 64, 4: 192, 7: 384, 9: 256, 11: 256}, least=31)
