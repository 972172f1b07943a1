"""Take the trees out of a generator's images, by removing the units that match trees best.

A progressive GAN has learned to make pictures of farms; it has never seen a label. A segmenter says
where the trees are.
"""

import numpy as np

from jaxdissect.engine.data import latents
from jaxdissect.generators import (
    Generator,
    dissect_generator,
    images_without_units,
    ranked_units,
    remove_units,
)
from jaxdissect.networks import unit_set_masks
from jaxdissect.plots import draw_grid
from jaxdissect.scenes import load_generator, load_segmenter

LAYER, NUMBERS = "layer6", (0, 2, 8, 20)

model = load_generator()
generator = Generator(model, model.sizes[0], segmenter=load_segmenter())
source = latents(32, generator.latent_size, seed=0)

result = dissect_generator(generator, source, layers=[LAYER])
tree = result.vocabulary.index("tree", category="object")
ranking = ranked_units(result, LAYER, tree)
print(f"best for trees: {result.unit(LAYER, ranking[0])}")

keep = unit_set_masks([ranking[:number] for number in NUMBERS], num_units=len(ranking))
removal = remove_units(generator, source, LAYER, keep, concepts=[tree])
left = removal.area_left(tree).sum(axis=1) / removal.before[:, tree].sum()
for number, share in zip(NUMBERS, left, strict=True):
    print(f"without {number} units {share:.0%} of the tree pixels are left")

farms = np.argsort(-removal.before[:, tree])[:6]  # those with most trees
images = images_without_units(generator, source, LAYER, farms, keep)
draw_grid(images, rows=[f"without {number}" for number in NUMBERS]).save("trees.png")
