"""What a result depends on is told apart by content, and the same in every process."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.data.pairs import WithDonors
from jaxdissect.engine.identity import code_digest, content, digest, traced
from jaxdissect.engine.resume import computation_settings
from jaxdissect.scenes.dataset import scenes_dataset

IMAGES = np.random.default_rng(0).random((16, 4, 4, 3)).astype(np.float32)
STRUCT = jax.ShapeDtypeStruct((2, 4), jnp.float32)


class Opened:
    """Examples of the user's own kind, which are read one by one."""

    def __init__(self, images, key="image"):
        self.images, self.key, self.handle = images, key, object()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {self.key: self.images[index]}


def items(images, key="image"):
    return [{key: image} for image in images]


def changed(place):
    images = IMAGES.copy()
    images[place, 1, 2, 0] += 1e-3
    return images


KINDS = {
    "list": items,
    "stored": lambda images, key="image": Stored({key: images}),
    "joined": lambda images, key="image": Joined(
        Stored({key: images}), Stored({"i": images[:, 0]})
    ),
    "opened": Opened,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_sources_are_told_apart_by_all_that_they_give(kind):
    others = [
        kind(changed(0)),
        kind(changed(7)),
        kind(changed(15)),
        kind(IMAGES[::-1]),
        kind(np.concatenate([IMAGES[1:2], IMAGES[:1], IMAGES[2:]])),
        kind(IMAGES[:-1]),
        kind(IMAGES, key="picture"),
        kind(IMAGES.astype(np.float64)),
        kind(IMAGES.reshape(16, 4, 12)),
        WithDonors(kind(IMAGES)),
        WithDonors(kind(IMAGES), seed=1),
    ]
    assert len({content(kind(IMAGES)), *map(content, others)}) == len(others) + 1
    assert content(kind(IMAGES)) == content(kind(IMAGES.copy()))


def test_sources_that_are_described_are_not_read():
    sources = [
        scenes_dataset(10**9),
        scenes_dataset(10**9, seed=1),
        scenes_dataset(10**9, stylised=True),
        scenes_dataset(10**9 - 1),
        latents(10**9, 4),
        latents(10**9, 4, seed=2),
    ]
    assert len(set(map(content, sources))) == len(sources)


def test_folders_are_told_apart_by_every_file(tmp_path):
    from PIL import Image

    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    before = content(image_folder(tmp_path))
    assert content(image_folder(tmp_path)) == before
    found = [
        before,
        content(image_folder(tmp_path, image_size=(4, 4))),
        content(image_folder(tmp_path, limit=2)),
    ]
    os.utime(tmp_path / "b.png", ns=(1, 1))
    found.append(content(image_folder(tmp_path)))
    (tmp_path / "b.png").rename(tmp_path / "bb.png")
    found.append(content(image_folder(tmp_path)))
    assert len(set(found)) == len(found)


def twice(x, factor=2.0):
    return jnp.sin(x * factor)


def times(factor):
    return lambda x: jnp.sin(x * factor)


def on_host(function):
    return lambda x: jax.pure_callback(function, STRUCT, x, vmap_method="sequential")


def host_times(factor):
    return lambda x: np.sin(x) * factor


FUNCTIONS = {
    "twice": twice,
    "thrice": times(3.0),
    "of an array": times(jnp.arange(4.0)[None]),
    "of another array": times(jnp.arange(4.0).at[2].add(1e-6)[None]),
    "in a loop": lambda x: jax.lax.map(times(2.0), x),
    "in another loop": lambda x: jax.lax.map(times(2.5), x),
    "drawn": lambda x: x + jax.random.normal(jax.random.key(3), (2, 4)),
    "drawn again": lambda x: x + jax.random.normal(jax.random.key(4), (2, 4)),
    "rectified": jax.nn.relu,
    "smoothly": jax.nn.gelu,
    "two": lambda x: (x, x),
    "named": lambda x: {"a": x, "b": x},
    "called back": on_host(host_times(2.0)),
    "called back with 3": on_host(host_times(3.0)),
    "called back with an array": on_host(host_times(np.arange(4.0))),
    "called back with a set": on_host(lambda x: x * ("a" in {"a", "b", "c", "d"})),
    "on the host": lambda x: np.sin(np.asarray(x)) * 2,
    "on the host with 3": lambda x: np.sin(np.asarray(x)) * 3,
}


def test_functions_are_told_apart_by_what_they_compute():
    texts = {name: traced(function, STRUCT) for name, function in FUNCTIONS.items()}
    assert len(set(texts.values())) == len(texts)
    # Neither names nor objects count.
    assert texts["twice"] == traced(times(2.0), STRUCT)
    assert traced(twice, jax.ShapeDtypeStruct((2, 5), jnp.float32)) != texts["twice"]


@dataclasses.dataclass
class Scaled:
    """An object that is called like a function, on the host."""

    factor: float

    def __call__(self, x):
        return np.asarray(x) * self.factor


def test_what_cannot_be_told_apart_is_refused_with_the_way_out():
    assert traced(Scaled(2.0), STRUCT) == traced(Scaled(2.0), STRUCT) != traced(Scaled(3.0), STRUCT)
    kept = iter(())
    with pytest.raises(ValueError, match=r"iterator cannot be told .* `fingerprint\(\)`"):
        traced(on_host(lambda x: x * len(list(kept))), STRUCT)

    class Known:
        def fingerprint(self):
            return "known"

    known = Known()
    assert traced(on_host(lambda x: x * known.factor), STRUCT)  # pyright: ignore


def test_values_that_hold_themselves():
    def faculty(n):
        return n * faculty(n - 1) if n else 1

    assert content(faculty) == content(faculty) != content(host_times)
    loop: list = [1]
    loop.append(loop)
    assert content(loop) == content(loop)


def settings(**changes):
    chosen = {"factor": 2.0, "images": IMAGES, "start": 0.0, "width": 5, **changes}

    @jax.jit
    def step(state, batch):
        return state + (batch["image"] * chosen["factor"]).sum(), batch["label"]

    source = Stored({"image": chosen["images"], "label": np.zeros(len(chosen["images"]), np.int64)})
    kept = {"labels": np.zeros(chosen["width"], np.int32)}
    return computation_settings(step, jnp.float32(chosen["start"]), source, kept=kept)


CHANGES = {
    "nothing": ({}, set()),
    "what the step holds": ({"factor": 3.0}, {"computation"}),
    "an image in the middle": ({"images": changed(9)}, {"source"}),
    "one image less": ({"images": IMAGES[:-1]}, {"source", "examples"}),
    "where it begins": ({"start": 1.0}, {"start"}),
    "what is kept": ({"width": 6}, {"kept"}),
}


@pytest.mark.parametrize(("change", "names"), CHANGES.values(), ids=CHANGES)
def test_every_part_of_a_fold_counts(change, names):
    before, after = settings(), settings(**change)
    assert {name for name in before if before[name] != after[name]} == names
    assert {"jaxdissect", "jax", "numpy", "pillow", "device", "precision"} < before.keys()


def test_code_counts_but_for_what_draws(tmp_path):
    def written(place, text):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
        code_digest.cache_clear()
        return code_digest(tmp_path)

    found = [written("stats/a.py", "1"), written("stats/a.py", "2"), written("b.py", "1")]
    assert len(set(found)) == 3 and written("plots/a.py", "1") == found[2]


@pytest.mark.parametrize("array", [IMAGES, IMAGES[0, 0, 0], IMAGES[:0], IMAGES.astype("f2")])
def test_layout_in_memory_does_not_count(array):
    assert content(np.asfortranarray(array)) == content(array) == content(jnp.asarray(array))
    assert content(array) != content(array[None])


def test_digests_tell_arrays_apart():
    one = np.arange(4, dtype=np.int32)
    others = [one.astype(np.int64), one.reshape(2, 2), one + 1, {"a": one, "b": one}]
    assert len({digest(one), *map(digest, others)}) == 5
    assert digest({"a": one}) == digest({"a": one.copy()})


def all_texts():
    own = {name: content(kind(IMAGES)) for name, kind in KINDS.items()}
    return own | {name: traced(function, STRUCT) for name, function in FUNCTIONS.items()}


@pytest.mark.slow
def test_another_process_finds_the_same():
    folder = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", "import test_identity as t; print(t.all_texts() | t.settings())"],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{folder}:{folder.parent}"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout.strip() == str(all_texts() | settings())
