"""A studio for tests of the painting page: a small generator, dissected by its colors."""

import functools

from support.toy_generators import labelled_generator, source

from jaxdissect.commands.paint.studio import Studio
from jaxdissect.generators import dissect_generator

LAYER = "layer2"


@functools.cache
def dissection():
    return dissect_generator(
        labelled_generator((8, 8)), source(16), layers=(LAYER,), num_top_images=3
    )


@functools.cache
def studio(num_samples=4):
    generator = labelled_generator((8, 8))
    return Studio(generator, LAYER, dissection(), name="toy", seed=3, num_samples=num_samples)
