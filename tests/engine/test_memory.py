"""A pass over many images takes no more memory than one over few."""

import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.engine.folding import fold
from jaxdissect.networks.network import as_network
from jaxdissect.scenes import load_classifier

NUMBER, SIZE = 20_000, 64
STATM = pathlib.Path("/proc/self/statm")


class Shades:
    """Images of one shade each, which cost nothing to make."""

    def __len__(self):
        return NUMBER

    def __getitem__(self, index):
        return {name: array[0] for name, array in self.read(index, index + 1).items()}

    def read(self, first, last):
        shades = (np.arange(first, last) % 97 / 97).astype(np.float32)
        return {"image": np.tile(shades[:, None, None, None], (1, SIZE, SIZE, 3))}


def resident():
    """Bytes of memory that this process has."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.skipif(not STATM.exists(), reason="this system does not tell resident memory")
def test_memory_does_not_grow_with_the_number_of_images():
    network = as_network(load_classifier())

    @partial(jax.jit, donate_argnums=0)
    def step(state, params, batch):
        scores, _ = network.apply(params, batch["image"])
        return state + scores.sum(0), scores.argmax(-1)

    classes, sizes = np.zeros(NUMBER, np.int32), {}

    def receive(batch, found):
        classes[batch["example"][batch["weight"]]] = np.asarray(found)[batch["weight"]]

    scores, _ = jax.eval_shape(network.apply, network.params, jnp.zeros((1, SIZE, SIZE, 3)))
    fold(
        lambda state, batch: step(state, network.params, batch),
        jnp.zeros(scores.shape[1]),
        Shades(),
        batch_size=32,
        kept={"classes": classes},
        receive=receive,
        progress=lambda description, done, total: sizes.update({done: resident()}),
    )
    # The allocator needs some thousand images to settle.
    thousand = NUMBER // 20
    early, late = (
        np.median([size for done, size in sizes.items() if end - thousand < done <= end])
        for end in (5 * thousand, NUMBER)
    )
    assert late - early < 15 * 2**20
    assert len(np.unique(classes)) > 1
