"""Compare what the units of the two classifiers of the scenes detect, a VGG's and a transformer's.

    python benchmarks/scene_units.py [NETWORK ...] [--num-images 640] [--seeds 0 1 2]

Both learned from the names of scenes alone; the pictures are those of `jaxdissect demo`, none of
which either has seen, with the labels that were drawn, grid 32 x 32. One row for every layer: its
detectors (IoU above 0.04) by category with (distinct concepts), then the detectors of the same
networks with random weights, one for every seed.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flax import nnx

import jaxdissect as jd
from jaxdissect.scenes import SceneClassifier, SceneTransformer
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.scene_transformer import TRANSFORMER_LAYERS

PICTURES_SEED = 3_000_003


class Compared(NamedTuple):
    """A network of the scenes.

    Attributes:
        trained: Loads it.
        random: Builds it of a random stream.
        layers: Its layers to dissect.
    """

    trained: Callable[[], nnx.Module]
    random: Callable[[nnx.Rngs], nnx.Module]
    layers: Sequence[str]


NETWORKS = {
    "convolutions": Compared(
        jd.scenes.load_classifier, lambda rngs: SceneClassifier(rngs=rngs), CONVOLUTIONS
    ),
    "transformer": Compared(
        jd.scenes.load_vit, lambda rngs: SceneTransformer(rngs=rngs), TRANSFORMER_LAYERS
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare units of two networks of the scenes.")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--num-images", type=int, default=640)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options = parser.parse_args()
    pictures = jd.scenes.scenes_dataset(options.num_images, seed=PICTURES_SEED)

    def dissect(module: nnx.Module, layers: Sequence[str]) -> jd.Dissection:
        return jd.dissect(
            module,
            pictures,
            jd.annotated(jd.scenes.scene_vocabulary()),
            layers=layers,
            grid=(32, 32),
            batch_size=32,
        )

    categories = jd.scenes.scene_vocabulary().category_names
    print_row("network", "layer", "units", "detectors", *categories, "untrained", *categories)
    print_row(*["---"] * (5 + 2 * len(categories)))
    for name in options.networks or NETWORKS:
        network = NETWORKS[name]
        trained = dissect(network.trained(), network.layers)
        random = [dissect(network.random(nnx.Rngs(s)), network.layers) for s in options.seeds]
        for layer in network.layers:
            print_row(
                name,
                f"`{layer}`",
                trained[layer].num_units,
                len(trained[layer].detectors()),
                *by_category([trained[layer]]),
                together([len(found[layer].detectors()) for found in random]),
                *by_category([found[layer] for found in random]),
            )


def by_category(layers: Sequence[Any]) -> list[str]:
    """Tabulate detectors with (distinct concepts) of every category, of one network or several."""
    counts = [layer.category_counts() for layer in layers]
    return [
        together([f"{found[category].units} ({found[category].concepts})" for found in counts])
        for category in (counts[0] if counts else ())
    ]


def together(cells: Sequence[Any]) -> str:
    return ", ".join(map(str, cells))


def print_row(*cells: Any) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
