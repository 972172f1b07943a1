"""A studio for tests of the painting page: a small generator, dissected by its colors."""

import functools

import jax.numpy as jnp
import numpy as np
from support.toy_generators import SIZES, colors_segmenter, generator, latents

from jaxdissect.commands.paint.studio import Studio, Subject
from jaxdissect.dissection.presets import GANDISSECT2019
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import segmented
from jaxdissect.networks.network import as_network

LAYER = "layer2"


@functools.cache
def dissection():
    network = as_network(generator())
    vectors = latents(16)
    images = (network.apply(network.params, jnp.asarray(vectors))[0] + 1) / 2
    source = Stored({"latent": vectors, "image": np.clip(np.asarray(images), 0, 1)})
    return dissect(
        network,
        source,
        segmented(colors_segmenter((8, 8))),
        layers=(LAYER,),
        preset=GANDISSECT2019,
        grid=(8, 8),
        inputs=lambda batch: batch["latent"],
        num_top_images=3,
    )


@functools.cache
def studio(num_samples=4):
    subject = Subject("toy", as_network(generator()), SIZES[0], seed=3, num_samples=num_samples)
    return Studio(subject, LAYER, dissection(), colors_segmenter((8, 8)))
