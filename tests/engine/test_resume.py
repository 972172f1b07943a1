"""A sweep that was interrupted resumes, to the same result."""

import shutil

import jax
import numpy as np
import pytest
from flax import nnx
from support.toy_classifiers import Pooled, pooled, scenes

from jaxdissect.classifiers import replacements
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.classifiers.ablation_methods import edited
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.folding import no_progress
from jaxdissect.engine.resume import fold_resumably
from jaxdissect.networks.ablation_masks import single_unit_masks

WIDTH, CLASSES, NUMBER = 6, 5, 40
NETWORK, SOURCE = pooled(), scenes(NUMBER, CLASSES)
OPTIONS = {"keep_predictions": True, "count_scores": True, "batch_size": 8}


class Killed(Exception):
    pass


def sweep(folder=None, progress=no_progress, **options):
    data = {
        "network": NETWORK,
        "source": SOURCE,
        "layer": "conv2",
        "keep": single_unit_masks(WIDTH),
    }
    options = {**data, **OPTIONS, "checkpoints": folder, "progress": progress, **options}
    return ablation_sweep(**options)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder in which a sweep has ended after three of five steps."""
    folder = tmp_path_factory.mktemp("sweep") / "checkpoints"

    def kill(description, done, total):
        if done == 24:
            raise Killed

    with pytest.raises(Killed):
        sweep(folder, kill, save_every=2)
    return folder


def test_what_was_interrupted_goes_on(interrupted, tmp_path):
    steps, folder = [], shutil.copytree(interrupted, tmp_path / "copy")

    def count(description, done, total):
        steps.append(done)

    found = sweep(folder, count, save_every=2)
    assert steps == [16, 24, 32, 40]
    expected = sweep()
    for name in ("baseline", "counts", "unchanged", "labels", "predictions", "auroc_counts"):
        parts = getattr(found, name), getattr(expected, name)
        jax.tree.map(np.testing.assert_array_equal, *parts)
    assert expected.predictions is not None and len(np.unique(expected.predictions)) > 2
    sweep(folder, count, save_every=2)
    assert steps[4:] == [40]


class Doubled(Pooled):
    def __call__(self, images):
        return 2 * super().__call__(images)


def other(**arrays):
    return Stored(SOURCE.arrays | arrays)


def with_another_image(place):
    image = SOURCE.arrays["image"].copy()
    image[place] += 0.1
    return other(image=image)


DOUBLED = Doubled(WIDTH, CLASSES, rngs=nnx.Rngs(1))
nnx.update(DOUBLED, nnx.state(NETWORK))

# By what differs: the option, and how the refusal begins to name it.
OTHERS = {
    "sets": ({"keep": ~single_unit_masks(WIDTH)}, "keep is not the same; give"),
    "layer": ({"layer": "conv1"}, "layer is 'conv2' there and 'conv1' here; "),
    "batches": ({"batch_size": 10}, "batch_size is 8 there and 10 here"),
    "scores": ({"count_scores": False}, "count_scores is True there and False here"),
    "predictions": ({"keep_predictions": False}, "keep_predictions is True there and False here"),
    "method": ({"methods": (edited,)}, "method is 'low_rank' there and 'edited' here; give"),
    "weights": ({"network": pooled(seed=1)}, "network (weights) is not the same; give"),
    "code": ({"network": DOUBLED}, "network (code) is not the same; give"),
    "inputs": ({"inputs": lambda batch: 3 * batch["image"] - 1}, "inputs is not the same; give"),
    "means": ({"replacement": replacements.mean(np.arange(6.0))}, "replacement is not the same"),
    "an image": ({"source": with_another_image(17)}, "source is not the same; give"),
    "labels": ({"source": other(label=SOURCE.arrays["label"][::-1])}, "source is not the same"),
    "number": ({"source": scenes(NUMBER - 1, CLASSES)}, "examples is 40 there and 39 here"),
}


@pytest.mark.parametrize(("options", "named"), OTHERS.values(), ids=OTHERS)
def test_another_sweep_is_refused(interrupted, options, named):
    with pytest.raises(ValueError) as caught:
        sweep(interrupted, **options)
    message = str(caught.value)
    assert message.startswith(f"{interrupted} holds a computation with other settings: ")
    assert named in message and "\n" not in message


@pytest.mark.slow
def test_what_changes_the_speed_alone_may_be_another(interrupted, tmp_path):
    steps, folder = [], shutil.copytree(interrupted, tmp_path / "copy")
    sweep(
        folder,
        lambda description, done, total: steps.append(done),
        chunk_size=2,
        memory_budget=2**20,
        mesh=jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
    )
    assert steps == [16, 24, 32, 40]


def test_options_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match=r"`save_every` \(=0\)"):
        sweep(tmp_path / "new", save_every=0)


def test_without_a_folder_nothing_is_kept():
    source, seen = scenes(4, 2), {"labels": np.zeros(4, np.int32)}

    def receive(batch, output):
        seen["labels"][batch["example"]] = batch["label"]

    def step(state, batch):
        return state + 1, None

    options = {"settings": {}, "kept": seen, "receive": receive}
    assert fold_resumably(step, 0, source, None, batch_size=2, **options) == 2
    np.testing.assert_array_equal(seen["labels"], source.arrays["label"])
