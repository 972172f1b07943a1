"""The generator of cats against what another implementation made of the same latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cat_generator import cat_generator
from flax import nnx
from paths import real_folder


def test_images_equal_those_of_another_implementation():
    folder = real_folder("gan_cat64")
    graph, state = nnx.split(cat_generator(folder))
    with np.load(folder / "golden.npz") as file:
        latents, images = file["z"], file["image"].astype(np.float32).transpose(0, 2, 3, 1)

    made = jax.jit(lambda state, z: nnx.merge(graph, state)(z))(state, jnp.asarray(latents))
    assert made.shape == (16, 64, 64, 3) and images.std() > 0.2
    # The recorded images are in half precision, and not yet cut off at black and white.
    np.testing.assert_allclose(made, np.clip(images, 0, 1), rtol=0, atol=5e-4)


def test_weights_that_do_not_fit_are_all_named(tmp_path):
    with np.load(real_folder("gan_cat64") / "generator580.npz") as file:
        arrays = dict(file)
    del arrays["dense_2/bias"]
    arrays["conv2d_7/kernel"] = arrays["conv2d_7/kernel"].swapaxes(2, 3)
    arrays["conv2d_12/bias"] = arrays["conv2d_11/bias"]
    np.savez(tmp_path / "generator580.npz", **arrays)

    with pytest.raises(ValueError, match="`folder`") as error:
        cat_generator(tmp_path)
    assert str(error.value).splitlines()[1:] == [
        "conv2d_12/bias: expected no such array, got (3,)",
        "conv2d_7/kernel: expected (5, 5, 8, 64), got (5, 5, 64, 8)",
        "dense_2/bias: expected (512,), got nothing",
    ]
