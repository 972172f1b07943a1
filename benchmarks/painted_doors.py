"""Look at a generator of scenes: samples, and what is painted on them, side by side.

    python benchmarks/painted_doors.py --out doors.png [--weights generator.safetensors]
        [--concept door] [--on house] [--layer layer4] [--units 20] [--images 32]

A person must recognise the door that is painted: numbers do not say whether one does. For kitchens,
`--concept window --on wall`. Every image is shown with all units as they are, and with the units
that match the concept best set to the mean of their highest peaks, at the lowest cell that shows
most of what is painted on.

Letters of shapes: N images, h w cells of the layer.
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jaxdissect as jd
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.generators import Generator, concept_areas, dissect_generator, paint_units
from jaxdissect.generators.dissection import ranked_units
from jaxdissect.generators.images import generate
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.plots.image_grid import draw_grid
from jaxdissect.scenes import load_generator, load_segmenter

NUM_TO_RANK = 1000


def cell_of(shown: np.ndarray, cells: tuple[int, int]) -> np.ndarray | None:
    """Mark the cell that shows most of a concept, the lowest such; None if none does by half."""
    height, width = (size // cell for size, cell in zip(shown.shape, cells, strict=True))
    share = shown.reshape(cells[0], height, cells[1], width).mean(axis=(1, 3))
    if share.max() < 0.5:
        return None
    row, column = np.argwhere(share == share.max())[-1]
    where = np.zeros(cells, np.float32)
    where[row, column] = 1
    return where


def main() -> None:
    """Dissect, choose images that show what is painted on, paint, print areas, save the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--concept", default="door")
    parser.add_argument("--on", default="house")
    parser.add_argument("--layer", default="layer4")
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--images", type=int, default=32)
    given = parser.parse_args()
    model = load_generator()
    if given.weights is not None:
        loaded = jd.load_network("proggan", given.weights)
        assert isinstance(loaded, ProgressiveGenerator)
        model = loaded
    subject = Generator(model, model.latent_size, segmenter=load_segmenter())
    concept, base = (
        subject.vocabulary.index(name, category="object") for name in (given.concept, given.on)
    )
    source = latents(NUM_TO_RANK, subject.latent_size, seed=1)
    layer = dissect_generator(subject, source, layers=(given.layer,))
    units = ranked_units(layer, given.layer, concept)[: given.units]
    values = jnp.asarray(layer[given.layer].top_values[units].mean(axis=1))
    print(
        f"units of {given.layer} for {given.concept}: IoU "
        f"{np.round(layer[given.layer].iou[concept, units[:5]], 3)}"
    )

    *cells, _ = subject.map_shape(given.layer)
    rows, changes, samples = [], [], []
    for vector in latents(NUM_TO_RANK, subject.latent_size, seed=2).read(0, NUM_TO_RANK)["latent"]:
        z = jnp.asarray(vector)[None]
        before = generate(subject, subject.params, z)
        samples.append(before[0])
        labels = subject.label(subject.params, before)
        shown = np.asarray((labels == base).any(axis=-1) & ~(labels == concept).any(axis=-1))[0]
        where = cell_of(shown, (cells[0], cells[1]))
        if where is None:
            continue
        place = jnp.asarray(where)
        after = paint_units(subject, subject.params, z, given.layer, units, values, place)
        areas = [
            int(concept_areas(found, len(subject.vocabulary))[0, concept])
            for found in (labels, subject.label(subject.params, after))
        ]
        changes.append(areas)
        rows.append([np.asarray(before[0]), np.asarray(after[0])])
        if len(rows) == given.images:
            break
    before, after = np.mean(changes, axis=0)
    grown = np.mean([new > old for old, new in changes])
    print(
        f"{given.concept} painted on {given.on} in {len(rows)} images: {before:.1f} to {after:.1f} "
        f"pixels of {given.concept} an image, more of it in {grown:.0%}"
    )
    sheet = np.asarray(rows).reshape(-1, 8, *rows[0][0].shape)
    draw_grid(sheet, columns=["before", "painted"] * 4).save(given.out)
    plain = np.asarray(samples[:32]).reshape(-1, 8, *rows[0][0].shape)
    draw_grid(plain).save(given.out.with_name(f"{given.out.stem}_samples.png"))


if __name__ == "__main__":
    main()
