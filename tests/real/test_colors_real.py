"""Our colour rules against the color names that Broden's labels come from, on photographs."""

import jax
import jax.numpy as jnp
import numpy as np
from paths import real_folder
from PIL import Image

from jaxdissect.arrays.colors import COLOR_NAMES, color_labels

NUM_PHOTOGRAPHS = 300


def _photographs() -> np.ndarray:
    files = sorted((real_folder("miniplaces") / "images").glob("*.jpg"))
    chosen = files[:: len(files) // NUM_PHOTOGRAPHS][:NUM_PHOTOGRAPHS]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in chosen])


def _learned_labels(photographs: np.ndarray) -> np.ndarray:
    """Look every pixel up in the table of van de Weijer et al., as labels 1 to 11."""
    table = np.load(real_folder("vocab_and_published_tables") / "w2color.npy")
    red, green, blue = np.moveaxis(photographs // 8, -1, 0)
    return table[red, green, blue].astype(np.int32) + 1


def test_photographs_get_the_names_learned_from_real_images():
    photographs = _photographs()
    expected = _learned_labels(photographs)
    label = jax.jit(lambda batch: color_labels(batch.astype(jnp.float32) / 255))
    labels = np.concatenate([label(jnp.asarray(batch)) for batch in np.split(photographs, 6)])

    same = labels == expected
    recall = {
        name: float(same[expected == index].mean()) for index, name in enumerate(COLOR_NAMES, 1)
    }
    assert same.mean() > 0.85, f"agreement {same.mean():.3f}, recall {recall}"
    assert min(recall.values()) > 0.50, recall
