"""The generator of cats, with its real weights, against what another implementation made."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from paths import real_folder

import jaxdissect as jd


def test_images_equal_those_of_another_implementation():
    folder = real_folder("gan_cat64")
    graph, state = nnx.split(jd.load_network("gan_cat64", folder / "generator580.npz"))
    with np.load(folder / "golden.npz") as file:
        latents, images = file["z"], file["image"].astype(np.float32).transpose(0, 2, 3, 1)

    made = jax.jit(lambda state, z: nnx.merge(graph, state)(z))(state, jnp.asarray(latents))
    assert made.shape == (16, 64, 64, 3) and images.std() > 0.2
    # The recorded images are in half precision, and not yet cut off at black and white.
    np.testing.assert_allclose(made, np.clip(images, 0, 1), rtol=0, atol=5e-4)
