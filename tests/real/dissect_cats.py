"""Dissect the real generator with the real segmenter, and remove what makes cats.

    python tests/real/dissect_cats.py [--latents 500] [--layer relu_8] [--out FOLDER]

Cats fill a third of these images. A unit that is active on 0.5% of all pixels, as in the literature
on generators, has an IoU with them of 0.015 at most and so detects none. Here units are active on
20% unless told otherwise.

Shapes: B batch, H W pixels, S conditions, U units.
"""

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxdissect as jd
from jaxdissect.engine.batching import Joined, Source, Stored, batches
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.generators import Generator, Removal, remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks, unit_set_masks
from jaxdissect.plots.bars_and_curves import curve_figure
from jaxdissect.plots.image_grid import draw_grid, paint_labels

LATENT_SIZE, IMAGE_SIZE = 512, 64
LAYERS = ("relu_7", "relu_8", "relu_9")
GRID = (64, 64)
ENLARGED = 192  # pixels: the segmenter knows photographs, in which things are larger than 64
MOST = 30
SHOWN = (0, 2, 4, 8, 16, 30)
FRACTION = 0.2
NUM_RANDOM = 4
TRIED = (10, 20, MOST)  # units removed, to compare layers


def voc_segmenter(folder: Path, *, enlarged: int = ENLARGED) -> jd.Segmenter:
    """Make a segmenter of the 20 objects of PASCAL VOC; its background is "none"."""
    weights = folder / "espnetv2_s_2.0_pascal_384x384.pth"
    return jd.pretrained_segmenter("espnetv2_voc", weights=weights, sizes=[(enlarged, enlarged)])


def as_they_are(images: jax.Array) -> jax.Array:
    """Take the generator's images, which already are RGB in [0, 1]."""
    return images


def cats(folder: Path, number: int, *, batch_size: int = 16) -> tuple[jd.Network, Source]:
    """Make the generator, and images of latents: examples with a ``latent`` and an ``image``."""
    network = jd.as_network(jd.load_network("gan_cat64", folder / "generator580.npz"))
    source = latents(number, LATENT_SIZE)
    make = jax.jit(lambda params, z: network.apply(params, z)[0])
    images = [
        np.asarray(make(network.params, batch["latent"]))[batch["weight"]]
        for batch in batches(source, batch_size)
    ]
    return network, Joined(source, Stored({"image": np.concatenate(images)}))


def labelled_cats(network: jd.Network, segmenter: jd.Segmenter) -> Generator:
    """Join the generator with a segmenter of its images."""
    return Generator(network, LATENT_SIZE, segmenter=segmenter, grid=GRID, to_pixels=as_they_are)


def dissect_cats(
    network: jd.Network,
    source: Source,
    segmenter: jd.Segmenter,
    *,
    fraction: float = FRACTION,
    progress: Progress = no_progress,
) -> jd.Dissection:
    """Dissect the layers with what the segmenter sees in the images."""
    return jd.dissect(
        network,
        source,
        jd.segmented(segmenter),
        layers=LAYERS,
        preset=jd.Preset("given", fraction=fraction, min_iou=jd.GANDISSECT2019.min_iou),
        grid=GRID,
        inputs=lambda batch: batch["latent"],
        progress=progress,
    )


def rank_units(result: jd.Dissection, layer: str, concept: str = "cat") -> np.ndarray:
    """Units of a layer by their IoU with a concept, best first."""
    return np.argsort(-result[layer].iou[result.vocabulary.index(concept)], kind="stable")


def remove_cats(
    generator: Generator,
    source: Source,
    layer: str,
    keep: np.ndarray,
    *,
    concept: str = "cat",
    chunk_size: int = 13,
    progress: Progress = no_progress,
) -> Removal:
    """Measure what is left of all concepts without sets of units."""
    return remove_units(
        generator,
        source,
        layer,
        keep,
        concepts=[generator.vocabulary.index(concept)],
        batch_size=4,
        chunk_size=chunk_size,
        progress=progress,
    )


def controls(ranking: np.ndarray) -> np.ndarray:
    """Conditions that remove as many units that match worst, and as many taken at random."""
    random = np.random.default_rng(0)
    sets = [ranking[::-1][:MOST]]
    sets += [random.permutation(len(ranking))[:MOST] for _ in range(NUM_RANDOM)]
    return unit_set_masks(sets, len(ranking))


def best_layer(
    rankings: Mapping[str, np.ndarray], remove: Callable[[str, np.ndarray], Removal]
) -> str:
    """Find the layer where removing the best units leaves the fewest pixels of cats."""
    mean_left = {}
    for layer, ranking in rankings.items():
        removal = remove(layer, best_unit_masks(ranking, MOST, len(ranking))[list(TRIED)])
        cat = removal.vocabulary.index("cat")
        left, band = removal.fraction_left[:, cat], removal.fraction_band[:, cat]
        mean_left[layer] = left.mean()
        values = (f"{n} units {left[i]:.3f} +- {band[i]:.3f}" for i, n in enumerate(TRIED))
        print(f"trial {layer}, cat pixels left without {', '.join(values)}", flush=True)
    return min(mean_left, key=mean_left.__getitem__)


def strips(
    network: jd.Network, segmenter: jd.Segmenter, layer: str, ranking: np.ndarray, z: jax.Array
) -> np.ndarray:
    """Draw images without more and more units, and below each what the segmenter sees in it."""

    @jax.jit
    def draw(params, keep):
        edits = {layer: jd.Edit(keep.astype(jnp.float32), jnp.zeros(keep.shape))}
        images = network.apply(params[0], z, edits=edits)[0]
        return images, segmenter.segment(params[1], images, (IMAGE_SIZE, IMAGE_SIZE))[..., 0]

    keep = best_unit_masks(ranking, MOST, len(ranking))[list(SHOWN)]
    drawn = [draw((network.params, segmenter.params), jnp.asarray(mask)) for mask in keep]
    images, labels = (np.stack(parts, axis=1) for parts in zip(*drawn, strict=True))
    # Every class keeps its colour, whichever are there.
    colors = paint_labels(np.arange(len(segmenter.vocabulary)))[labels]
    overlaid = np.where(labels[..., None] > 0, 0.45 * images + 0.55 * colors, images)
    return np.stack([images, overlaid], axis=1).reshape(-1, *images.shape[1:])


def report_layers(result: jd.Dissection) -> str:
    """Detectors and concepts of every layer, and its best units for cats.

    IoU is to be compared with that of a unit which is active at random places: with active and
    labelled fractions a and c of all pixels, a c / (a + c - a c).
    """
    names, cat = result.vocabulary.names, result.vocabulary.index("cat")
    fraction, min_iou = result.settings["fraction"], result.settings["min_iou"]
    lines = [f"active on {fraction:.1%} of all pixels, IoU > {min_iou}:"]
    for name, layer in result.layers.items():
        found = ", ".join(f"{names[c]} {units}" for c, units in layer.concept_counts().items())
        share = layer.counts.concept[cat] / layer.counts.total
        active = layer.active_fraction
        chance = active * share / (active + share - active * share)
        best = rank_units(result, name)[:5]
        units = ", ".join(f"{unit} ({layer.iou[cat, unit]:.3f})" for unit in best)
        lines.append(
            f"{name}: {len(layer.detectors())} detectors of {layer.num_units} units ({found}); "
            f"{(layer.iou[cat] > chance).sum()} match cat better than by chance "
            f"(IoU {chance.mean():.3f}), best {units}"
        )
    return "\n".join(lines)


def report_removal(removal: Removal) -> str:
    """What is left of cats, condition by condition, and what comes instead."""
    cat, names = removal.vocabulary.index("cat"), removal.vocabulary.names
    left, band = removal.fraction_left[:, cat], removal.fraction_band[:, cat]
    share = removal.mean_before / removal.num_pixels
    lines = ["before: " + ", ".join(f"{names[c]} {share[c]:.3f}" for c in np.argsort(-share)[:8])]
    lines.append("units removed  cat pixels left  99% band")
    lines += [f"{n:13}  {left[n]:15.3f}  +- {band[n]:.3f}" for n in range(MOST + 1)]
    worst, chosen = left[MOST + 1], left[MOST + 2 :]
    lines.append(f"the {MOST} worst units: {worst:.3f} +- {band[MOST + 1]:.3f}")
    lines.append(
        f"{MOST} random units, {len(chosen)} sets: mean {chosen.mean():.3f}, "
        f"{chosen.min():.3f} to {chosen.max():.3f}"
    )
    for n in (8, MOST):
        change = removal.mean_change[n] / removal.num_pixels
        gained = ", ".join(f"{names[c]} {change[c]:+.3f}" for c in removal.gained(n, number=6))
        lines.append(f"{n} units removed: cat {change[cat]:+.3f} of all pixels, instead {gained}")
    return "\n".join(lines)


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Dissect the generator of cats.")
    parser.add_argument("--latents", type=int, default=500)
    parser.add_argument("--fraction", type=float, default=FRACTION, help="of pixels, to be active")
    parser.add_argument("--layer", choices=LAYERS, help="where to remove; the best when left out")
    parser.add_argument("--trial", type=int, default=48, help="latents to find the best layer with")
    parser.add_argument("--dissect-only", action="store_true", help="remove nothing")
    parser.add_argument("--rows", type=int, default=8, help="latents in the strip of images")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    say = functools.partial(_say, time.perf_counter())
    network, source = cats(real_folder("gan_cat64"), options.latents)
    segmenter = voc_segmenter(real_folder("segmenter_espnetv2_voc"))
    result = dissect_cats(network, source, segmenter, fraction=options.fraction, progress=say)
    print(report_layers(result), flush=True)
    if options.out:
        result.save(options.out)
    if options.dissect_only:
        return

    generator = labelled_cats(network, segmenter)
    rankings = {layer: rank_units(result, layer) for layer in LAYERS}
    trial = latents(min(options.trial, options.latents), LATENT_SIZE)

    def remove_from_few(layer, keep):
        return remove_cats(generator, trial, layer, keep, progress=say)

    layer = options.layer or best_layer(rankings, remove_from_few)
    ranking = rankings[layer]
    keep = np.concatenate([best_unit_masks(ranking, MOST, len(ranking)), controls(ranking)])
    begin = time.perf_counter()
    removal = remove_cats(generator, source, layer, keep, progress=say)
    seconds = time.perf_counter() - begin
    print(f"removing the best of {len(ranking)} units of {layer} for cat: {ranking[:MOST]}")
    print(report_removal(removal))
    print(f"{options.latents} latents, {len(keep)} conditions, {seconds:.0f} s")
    if options.out:
        cat = removal.vocabulary.index("cat")
        # The first images with a cat worth the name, in order and not chosen otherwise.
        shown = np.flatnonzero(removal.before[:, cat] > removal.num_pixels / 5)[: options.rows]
        z = jnp.asarray(np.stack([source[int(i)]["latent"] for i in shown]))
        pictures = strips(network, segmenter, layer, ranking, z)
        names = [text for i in shown for text in (f"latent {i}", "labels")]
        columns = [f"{n} removed" for n in SHOWN]
        sheet = draw_grid(pictures, rows=names, columns=columns)
        sheet.save(options.out / "cats_removed.png")
        curve_figure(
            range(MOST + 1),
            {"cat": removal.fraction_left[: MOST + 1, cat]},
            bands={"cat": removal.fraction_band[: MOST + 1, cat]},
            title=f"Removing the units of {layer} that match cats best",
            across="units removed",
            up="fraction of cat pixels left",
        ).savefig(options.out / "curve.png", dpi=150)


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total) and not description.startswith("thresholds"):
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
