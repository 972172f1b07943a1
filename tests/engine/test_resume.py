"""A sweep that was interrupted resumes, to the same result."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.processes import run_together
from support.resuming_process import VALUES, Asking, count
from support.toy_classifiers import Pooled, pooled, scenes

from jaxdissect.classifiers import replacements
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.classifiers.ablation_methods import edited
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.folding import no_progress
from jaxdissect.engine.identity import content, looked_at_once
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.processes import _slices
from jaxdissect.engine.resume import Portable, fold_resumably
from jaxdissect.engine.stopping import Stopped
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
        batch_size=10,
        chunk_size=2,
        memory_budget=2**20,
        mesh=jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
    )
    assert steps == [16, 28, 40]


def test_options_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match=r"`save_every` \(=0\)"):
        sweep(tmp_path / "new", save_every=0)


EXPECTED = 2**40 + VALUES.arrays["value"].astype(np.int64)


def test_interruptions_change_nothing(tmp_path):
    """A run that ends at random resumes with other batches, on other numbers of devices."""
    random = np.random.default_rng(0)
    left, reached = [0], []

    def end(description, done, total):
        reached.append(done)
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    found, number = None, 0
    while found is None:
        devices = (None, 2, 4)[number % 3]
        mesh = None if devices is None else jax.make_mesh((devices,), ("data",))
        left[0], first = int(random.integers(1, 4)), len(reached)
        try:
            found = count(
                tmp_path,
                VALUES,
                batch_size=int(random.integers(1, 6)),
                save_every=1,
                mesh=mesh,
                progress=end,
            )
        except Killed:
            number += 1
            assert reached[first] == (max(reached[:first]) if first else 0)
    assert number > 4
    state, kept, _ = found
    assert int(state) == VALUES.arrays["value"].sum()
    np.testing.assert_array_equal(kept["values"][:, 0], EXPECTED)
    again, read, sums = count(tmp_path, VALUES)
    assert int(again) == int(state)
    np.testing.assert_array_equal(read["values"], kept["values"])
    assert sums["total"] == EXPECTED.sum()


def test_a_request_to_stop_is_followed_when_all_is_saved(tmp_path):
    asking = Asking(8)
    with pytest.raises(Stopped):
        count(tmp_path, VALUES, progress=Meter(asking))
    assert asking.held and asking.done == [0, 4, 8]
    asking = Asking(99)
    state, kept, _ = count(tmp_path, VALUES, progress=asking)
    assert asking.done[0] == 12 and not asking.held
    np.testing.assert_array_equal(kept["values"][:, 0], EXPECTED)
    count(None, VALUES, progress=Asking(0))  # nothing would be saved


def test_states_of_several_devices_are_kept_without_them(tmp_path):
    def spread(total):
        mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        return jax.device_put(np.array([total, 0, 0, 0], np.int32), sharding)

    portable = Portable(
        lambda state: {"total": np.asarray(state).sum(dtype=np.int32)},
        lambda found: spread(found["total"]),
    )

    @jax.jit
    def step(state, batch):
        values = jnp.where(batch["weight"], batch["value"], 0).reshape(4, -1)
        return state + values.sum(1), None

    def plain(state, batch):
        return {"total": state["total"] + jnp.where(batch["weight"], batch["value"], 0).sum()}, None

    def run(start, progress):
        options = {"settings": {}, "kept": {}, "batch_size": 4, "save_every": 1}
        return fold_resumably(
            step,
            spread(start),
            VALUES,
            tmp_path,
            plain_step=plain,
            portable=portable,
            mesh=jax.make_mesh((4,), ("data",)),
            progress=progress,
            **options,
        )

    with pytest.raises(Stopped):
        run(0, Asking(8))
    assert np.asarray(run(0, Asking(99))).sum() == VALUES.arrays["value"].sum()
    with pytest.raises(ValueError, match="start is '[0-9a-f]*' there and '[0-9a-f]*' here"):
        run(1, Asking(99))


@pytest.mark.slow
def test_runs_resume_in_other_numbers_of_processes(tmp_path):
    def run(number, stop):
        return run_together(
            "support.resuming_process", number, devices=1, arguments=(str(tmp_path), str(stop))
        )

    stopped = run(2, 8)
    assert stopped[0] == stopped[1] and 8 <= stopped[0]["stopped"][-1] < 60
    for number in (3, 1):  # the last finds all of it
        for found in run(number, 1000):
            assert found["begun"] == (100 if number == 1 else stopped[0]["stopped"][-1] + 4)
            assert found["state"] == VALUES.arrays["value"].sum()
            assert found["values"] == EXPECTED.tolist() and found["total"] == EXPECTED.sum()
    assert not any((tmp_path / f"nothing{index}").exists() for index in (1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["all", "own", "interleaved", "unequal", "shared"])
def test_any_mesh_of_several_processes_resumes_whole(kind, tmp_path):
    def run(stop):
        arguments = str(tmp_path), str(stop), kind
        return run_together("support.resuming_process", 2, devices=2, arguments=arguments)

    stopped = run(8)
    assert stopped[0] == stopped[1] and 8 <= stopped[0]["stopped"][-1] < 60
    for found in run(1000):
        assert found["begun"] > stopped[0]["stopped"][-1]
        assert found["state"] == VALUES.arrays["value"].sum()
        assert found["values"] == EXPECTED.tolist() and found["total"] == EXPECTED.sum()


# Which processes have devices at each place of a mesh; which slice each of them reads.
MESHES = {
    "in order": ([[0], [0], [1], [1]], {0: (0, 2), 1: (1, 2)}),
    "of unequal slices": ([[0], [0], [1], [2]], {0: (0, 2), 1: (2, 4), 2: (3, 4)}),
    "sharing slices": ([[0, 1], [2, 3]], {0: (0, 2), 1: (0, 2), 2: (1, 2), 3: (1, 2)}),
    "interleaved": ([[0], [1], [0], [1]], {0: (0, 1), 1: (0, 1)}),
    "one not aligned": ([[0], [0], [0], [1]], {0: (0, 1), 1: (0, 1)}),
    "overlapping": ([[0, 1], [0, 0]], {0: (0, 1), 1: (0, 1)}),
}


@pytest.mark.parametrize(("places", "expected"), MESHES.values(), ids=MESHES)
def test_processes_read_slices_of_their_own(places, expected):
    assert _slices(places) == expected


def test_sources_are_looked_at_once():
    class Counted(Stored):
        looks = 0

        def fingerprint(self):
            Counted.looks += 1
            return super().fingerprint()

    source, weights = Counted(VALUES.arrays), jnp.arange(2**16)
    with looked_at_once():
        inside = [content(source) for _ in range(3)], content(weights), content(weights)
    assert Counted.looks == 1
    assert set(inside[0]) == {content(source)} and Counted.looks == 2
    assert inside[1] == inside[2] == content(weights) == content(np.arange(2**16, dtype=np.int32))


def test_without_a_folder_nothing_is_kept():
    source, seen = scenes(4, 2), {"labels": np.zeros(4, np.int32)}

    def receive(batch, output):
        seen["labels"][batch["example"]] = batch["label"]

    def step(state, batch):
        return state + 1, None

    options = {"settings": {}, "kept": seen, "receive": receive}
    assert fold_resumably(step, 0, source, None, batch_size=2, **options) == 2
    np.testing.assert_array_equal(seen["labels"], source.arrays["label"])
