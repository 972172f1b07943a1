"""Fool a classifier, and see which units the attack switches on and off.

Every picture is changed a little, so that the classifier takes it for a street.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxdissect as jd
from jaxdissect.attacks import (
    ClassScores,
    ProjectedGradientSettings,
    measure_peaks,
    projected_gradient,
)
from jaxdissect.plots import draw_grid
from jaxdissect.scenes import SCENES, load_classifier, scene_vocabulary, scenes_dataset

LAYER, TARGET = "features.relu4_2", SCENES.index("street")

network = load_classifier()
pictures = scenes_dataset(160, seed=3)
result = jd.dissect(
    network, pictures, jd.annotated(scene_vocabulary()), layers=LAYER, grid=(32, 32)
)

first = pictures.read(0, 24)
images = first["image"][first["scene"] != TARGET][:16]
scores = ClassScores(network)
attacked = projected_gradient(
    jax.random.key(0),
    scores,
    scores.params,
    jnp.asarray(images),
    jnp.full(len(images), TARGET),
    ProjectedGradientSettings(epsilon=2.0),
)
fooled = np.flatnonzero(attacked.success)
print(f"{len(fooled)} of {len(images)} pictures are taken for a {SCENES[TARGET]}")

adversarial = np.asarray(attacked.images)
peaks = measure_peaks(network, images[fooled], adversarial[fooled], LAYER)
rise = (peaks.after - peaks.before).mean(axis=0)
for unit in (*np.argsort(-rise)[:3], *np.argsort(rise)[:3]):
    print(f"peaks change by {rise[unit]:+.2f}: {result.unit(LAYER, unit)}")

shown = fooled[:6]
draw_grid(np.stack([images[shown], adversarial[shown]]), rows=["original", "attacked"]).save(
    "attack.png"
)
