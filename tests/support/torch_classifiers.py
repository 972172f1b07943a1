"""The classifiers again, in PyTorch: an oracle for tests.

The names in the state dictionaries are the published ones, and so are those of the modules.
"""

from collections import OrderedDict
from functools import partial

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]


class VGG16(nn.Module):
    def __init__(self, num_classes, *, widths=(64, 128, 256, 512, 512), hidden=4096):
        super().__init__()
        features, inputs = OrderedDict(), 3
        for block, (units, depth) in enumerate(zip(widths, (2, 2, 3, 3, 3), strict=True), 1):
            for index in range(1, depth + 1):
                features[f"conv{block}_{index}"] = nn.Conv2d(inputs, units, 3, padding=1)
                features[f"relu{block}_{index}"] = nn.ReLU()
                inputs = units
            features[f"pool{block}"] = nn.MaxPool2d(2)
        self.features = nn.Sequential(features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            OrderedDict(
                fc6=nn.Linear(49 * inputs, hidden),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(),
                fc7=nn.Linear(hidden, hidden),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(),
                fc8a=nn.Linear(hidden, num_classes),
            )
        )

    def forward(self, images):
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class AlexNet(nn.Sequential):
    def __init__(
        self,
        num_classes,
        *,
        widths=(96, 256, 384, 384, 256),
        hidden=4096,
        include_lrn=True,
        split_groups=True,
        include_dropout=True,
    ):
        first, second, third, fourth, fifth = widths
        groups = 2 if split_groups else 1
        pool = partial(nn.MaxPool2d, 3, 2)
        normalise = partial(nn.LocalResponseNorm, 5, 1e-4, 0.75)
        layers = [
            ("conv1", nn.Conv2d(3, first, 11, 4)),
            ("relu1", nn.ReLU()),
            ("pool1", pool()),
            ("lrn1", normalise()),
            ("conv2", nn.Conv2d(first, second, 5, padding=2, groups=groups)),
            ("relu2", nn.ReLU()),
            ("pool2", pool()),
            ("lrn2", normalise()),
            ("conv3", nn.Conv2d(second, third, 3, padding=1)),
            ("relu3", nn.ReLU()),
            ("conv4", nn.Conv2d(third, fourth, 3, padding=1, groups=groups)),
            ("relu4", nn.ReLU()),
            ("conv5", nn.Conv2d(fourth, fifth, 3, padding=1, groups=groups)),
            ("relu5", nn.ReLU()),
            ("pool5", pool()),
            ("flatten", nn.Flatten()),
            ("fc6", nn.Linear(36 * fifth, hidden)),
            ("relu6", nn.ReLU()),
            ("dropout6", nn.Dropout()),
            ("fc7", nn.Linear(hidden, hidden)),
            ("relu7", nn.ReLU()),
            ("dropout7", nn.Dropout()),
            ("fc8", nn.Linear(hidden, num_classes)),
        ]
        super().__init__()
        for name, layer in layers:
            absent = (not include_lrn and isinstance(layer, nn.LocalResponseNorm)) or (
                not include_dropout and isinstance(layer, nn.Dropout)
            )
            if not absent:
                self.add_module(name, layer)


class Branches(nn.Module):
    """Give what several modules, named by their positions, say of the same."""

    def __init__(self, *branches):
        super().__init__()
        for position, branch in enumerate(branches):
            self.add_module(str(position), branch)

    def forward(self, inputs):
        return [branch(inputs) for branch in self.children()]


class Sum(nn.Module):
    def forward(self, branches):
        return torch.stack(branches).sum(0)


def normalised(inputs, units, size, stride=1):
    convolution = nn.Conv2d(inputs, units, size, stride, size // 2, bias=False)
    return convolution, nn.BatchNorm2d(units)


def bottleneck(inputs, width, stride, project):
    main = nn.Sequential(
        *normalised(inputs, width, 1),
        nn.ReLU(),
        *normalised(width, width, 3, stride),
        nn.ReLU(),
        *normalised(width, 4 * width, 1),
    )
    projection = nn.Sequential(*normalised(inputs, 4 * width, 1, stride))
    shortcut = projection if project else nn.Identity()
    return nn.Sequential(Branches(main, shortcut), Sum(), nn.ReLU())


class PlacesResNet152(nn.Sequential):
    def __init__(self, num_classes, *, sizes):
        (stem,), widths, depths = sizes
        inputs, stages = stem, []
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = []
            for index in range(depth):
                stride = 2 if number and not index else 1
                blocks.append(bottleneck(inputs, width, stride, project=not index))
                inputs = 4 * width
            stages.append(nn.Sequential(*blocks))
        super().__init__(
            *normalised(3, stem, 7, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            *stages,
            nn.AvgPool2d(7, 1),
            nn.Flatten(),
            nn.Sequential(nn.Identity(), nn.Linear(inputs, num_classes)),
        )


class SceneClassifier(nn.Module):
    """That of the built-in scenes; its pooled maps are read place by place, units last."""

    def __init__(self, *, blocks=((24,), (48,), (64, 64), (96, 48)), num_classes=10):
        super().__init__()
        features, inputs = OrderedDict(), 3
        for block, widths in enumerate(blocks, 1):
            for index, units in enumerate(widths, 1):
                features[f"conv{block}_{index}"] = nn.Conv2d(inputs, units, 3, padding=1)
                features[f"relu{block}_{index}"] = nn.ReLU()
                inputs = units
            if block != 3:
                features[f"pool{block}"] = nn.MaxPool2d(2 if block < 3 else 4)
        self.features = nn.Sequential(features)
        self.fc5 = nn.Linear(16 * inputs, num_classes)

    def forward(self, images):
        maps = self.features((images - 0.5) * 4)
        return self.fc5(maps.permute(0, 2, 3, 1).flatten(1))
