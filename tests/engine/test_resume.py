"""A sweep that was interrupted resumes, to the same result."""

import jax
import numpy as np
import pytest
from support.toy_classifiers import pooled, scenes

from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.engine.folding import no_progress
from jaxdissect.engine.resume import digest, fold_resumably
from jaxdissect.networks.ablation_masks import single_unit_masks

WIDTH, CLASSES, NUMBER = 6, 5, 40
OPTIONS = {"keep_predictions": True, "count_scores": True, "batch_size": 8}


class Killed(Exception):
    pass


def sweep(folder=None, progress=no_progress, keep=None, **options):
    keep = single_unit_masks(WIDTH) if keep is None else keep
    source = scenes(NUMBER, CLASSES)
    options = {**OPTIONS, "checkpoints": folder, "progress": progress, **options}
    return ablation_sweep(pooled(), source, "conv2", keep, **options)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder in which a sweep has ended after three of five steps."""
    folder = tmp_path_factory.mktemp("sweep") / "checkpoints"

    def kill(description, done, total):
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        sweep(folder, kill, save_every=2)
    return folder


def test_what_was_interrupted_goes_on(interrupted, tmp_path):
    steps = []

    def count(description, done, total):
        steps.append(done)

    found = sweep(interrupted, count, save_every=2)
    assert steps == [2, 3, 4, 5]
    expected = sweep()
    for name in ("baseline", "counts", "labels", "predictions", "auroc_counts"):
        parts = getattr(found, name), getattr(expected, name)
        jax.tree.map(np.testing.assert_array_equal, *parts)
    assert expected.predictions is not None and len(np.unique(expected.predictions)) > 2
    sweep(interrupted, count, save_every=2)
    assert steps[4:] == [5]


@pytest.mark.parametrize(
    "options", [{"keep": ~single_unit_masks(WIDTH)}, {"batch_size": 10}, {"count_scores": False}]
)
def test_another_sweep_is_refused(interrupted, options):
    with pytest.raises(ValueError, match="holds a computation with other settings"):
        sweep(interrupted, **options)


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


def test_digests_tell_arrays_apart():
    one = np.arange(4, dtype=np.int32)
    others = [one.astype(np.int64), one.reshape(2, 2), one + 1, {"a": one, "b": one}]
    assert len({digest(one), *map(digest, others)}) == 5
    assert digest({"a": one}) == digest({"a": one.copy()})
