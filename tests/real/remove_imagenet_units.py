"""Remove each unit of the head of EfficientNet-Lite0, on one photograph of every class of ImageNet.

    python tests/real/remove_imagenet_units.py [--every 1]

With one photograph of a class, which the network has probably been trained on, nothing can be said
of single classes: only how many photographs are classified otherwise in all.
"""

import argparse
import functools
import time
from typing import Any

import numpy as np
from dissect_photographs import Every
from photograph_networks import efficientnet_lite0
from test_imagenet_real import centre

from jaxdissect.classifiers.ablation import Ablation, ablation_sweep
from jaxdissect.engine.batching import Stored
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.stats import accuracy

LAYER, UNITS = "bn2", 1280


def remove_units(*, every: int = 1, **options: Any) -> Ablation:
    """Remove each unit of the head, on every n-th class."""
    from paths import real_folder

    files = sorted((real_folder("imagenet_samples") / "images").glob("*.jpg"))
    images = np.stack([centre(path, 224) for path in files]).astype(np.float32) / np.float32(255)
    source = Stored({"image": images, "label": np.arange(len(files), dtype=np.int32)})
    subject = efficientnet_lite0()
    return ablation_sweep(
        subject.network,
        Every(source, every),
        LAYER,
        single_unit_masks(UNITS),
        inputs=subject.inputs,
        **options,
    )


def report(found: Ablation) -> str:
    """Top-1 with all units, and without each."""
    whole = float(accuracy.overall_accuracy(found.baseline))
    photographs = len(found.labels)
    lost = np.round((whole - accuracy.overall_accuracy(found.counts)) * photographs).astype(int)
    worst = ", ".join(f"{unit}: {lost[unit]}" for unit in np.argsort(-lost, kind="stable")[:10])
    return (
        f"{photographs} photographs, top-1 {whole:.3f}, removals computed by {found.method}\n"
        f"right photographs less without a unit (most): {worst}\n"
        f"units that cost none {(lost == 0).sum()}, one {(lost == 1).sum()}, more "
        f"{(lost > 1).sum()}; whose removal gains {(lost < 0).sum()}; mean {lost.mean():.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Remove units of EfficientNet-Lite0.")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    begin = time.perf_counter()
    print(report(remove_units(every=options.every, progress=functools.partial(_say, begin))))
    print(f"{time.perf_counter() - begin:.0f} s")


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total):
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
