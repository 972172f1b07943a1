"""Training on the scenes: reproducible, resumable, and the parts that it is made of."""

import json
import re
import signal
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.engine.checkpoints import Checkpoints
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.generators import Generator, dissect_generator
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.scenes import train as train_command
from jaxdissect.scenes.concepts import CONCEPTS
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_segmenter
from jaxdissect.scenes.train import MOST_BYTES
from jaxdissect.scenes.training import train_generator, train_segmenter, train_transformer
from jaxdissect.scenes.training.discriminator import halved
from jaxdissect.scenes.training.loop import Training, read_metrics, train
from jaxdissect.scenes.training.pool import draw_batch

# --- a training that takes no time ----------------------------------------------------------------


def counting_training(*, stop_at=None, broken_at=None, length=1.0, start=0.0):
    """State: how far a random walk has come; it may be stopped, or break."""

    @jax.jit
    def walk(state, number):
        step = jax.random.normal(jax.random.fold_in(jax.random.key(0), number), state.shape)
        return state + length * step

    def take(state, number):
        if number == stop_at:
            raise KeyboardInterrupt
        state = walk(state, number)
        return state, {"loss": jnp.nan if number == broken_at else state.sum()}

    return Training(jnp.zeros(5) + start, take, {"kind": "walk", "sizes": (1, 2)})


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("stop_at", [1, 4, 5, 8])
def test_training_that_was_stopped_ends_like_one_that_was_not(tmp_path, stop_at):
    whole = train(counting_training(), 9, tmp_path / "whole", save_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(counting_training(stop_at=stop_at), 9, tmp_path / "parts", save_every=2)
    resumed = train(counting_training(), 9, tmp_path / "parts", save_every=2)
    np.testing.assert_array_equal(whole, resumed)
    rows = [read_metrics(tmp_path / folder) for folder in ("whole", "parts")]
    assert without_seconds(rows[0]) == without_seconds(rows[1])
    assert [row["step"] for row in rows[0]] == [2, 4, 6, 8, 9]


def test_training_that_is_done_is_not_done_again(tmp_path):
    first = train(counting_training(), 4, tmp_path, save_every=4)
    again = train(counting_training(stop_at=0), 4, tmp_path, save_every=4)
    np.testing.assert_array_equal(first, again)


def test_training_refuses_the_folder_of_another(tmp_path):
    train(counting_training(), 2, tmp_path)
    with pytest.raises(ValueError, match="steps is 2 there and 3 here"):
        train(counting_training(), 3, tmp_path)
    with pytest.raises(ValueError, match="start is not the same; give another folder"):
        train(counting_training(start=1.0), 2, tmp_path)
    with pytest.raises(ValueError, match="computation is not the same; give another folder"):
        train(counting_training(length=2.0), 2, tmp_path)


def test_training_takes_the_metrics_of_a_killed_process(tmp_path):
    train(counting_training(), 4, tmp_path, save_every=2)
    path = tmp_path / "metrics.jsonl"
    rows = path.read_text().splitlines()
    path.write_text(f"{rows[0]}\n{rows[1][:20]}")
    assert [row["step"] for row in read_metrics(tmp_path)] == [2]
    path.write_text(f"{rows[0][:20]}\n{rows[1]}\n")
    with pytest.raises(ValueError, match=f"{path} is damaged .line 1 is no row.*delete the line"):
        train(counting_training(), 4, tmp_path, save_every=2)


def test_training_stops_when_a_metric_is_not_finite(tmp_path):
    with pytest.raises(ValueError, match="loss not finite by step 4"):
        train(counting_training(broken_at=3), 6, tmp_path, save_every=2)
    assert read_metrics(tmp_path)[-1]["step"] == 2


@pytest.mark.parametrize(("steps", "save_every"), [(0, 1), (1, 0)])
def test_training_refuses_no_steps(tmp_path, steps, save_every):
    with pytest.raises(ValueError, match="must be at least 1"):
        train(counting_training(), steps, tmp_path, save_every=save_every)


def test_checkpoints_keep_the_last_states(tmp_path):
    state = {"a": jnp.arange(3), "b": (jnp.float32(0.5), jnp.ones((2, 2), jnp.bfloat16))}
    with Checkpoints(tmp_path, {"seed": 1}, keep=2) as saved:
        assert saved.latest is None
        for step in (1, 2, 3):
            saved.save(step, jax.tree.map(lambda leaf, step=step: leaf + step, state))
    with Checkpoints(tmp_path, {"seed": 1}, keep=2) as saved:
        assert saved.latest == 3
        found = saved.load(3, state)
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        assert leaf.dtype == expected.dtype
        np.testing.assert_array_equal(leaf, expected + 3)
    with pytest.raises(ValueError, match="seed is 1 there and 2 here"):
        Checkpoints(tmp_path, {"seed": 2})


# --- what it learns from --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    """Not scenes, which take long to draw, but as rich in objects that are rare."""
    random = np.random.default_rng(3)
    objects = sum(category == "object" for _, category in CONCEPTS)
    labels = random.random((70, 64, 64, 4)) ** 2 * (objects + 1)
    return {
        "image": random.integers(0, 256, (70, 64, 64, 3), np.uint8),
        "labels": labels.astype(np.uint8),
        "scene": random.integers(0, 10, 70, np.uint8),
    }


def test_batches_depend_on_seed_and_step(pool):
    first, again, later = (draw_batch(pool, 16, seed=1, step=step) for step in (4, 4, 5))
    np.testing.assert_array_equal(first["image"], again["image"])
    assert not np.array_equal(first["image"], later["image"])


def test_batches_mirror_pictures_with_their_labels(pool):
    batch = draw_batch(pool, 64, seed=0, step=0)
    kinds = []
    for image, labels in zip(batch["image"], batch["labels"], strict=True):
        straight = (pool["image"] == image).all((1, 2, 3))
        mirrored = (pool["image"] == image[:, ::-1]).all((1, 2, 3))
        assert straight.any() != mirrored.any()
        kinds.append(mirrored.any())
        source = pool["labels"][np.argmax(straight | mirrored)]
        np.testing.assert_array_equal(labels, source[:, ::-1] if kinds[-1] else source)
    assert 10 < sum(kinds) < 54


# --- the generator --------------------------------------------------------------------------------


def test_schedule_grows_and_fades_in():
    steps = 200
    found = [train_generator.schedule(number, steps) for number in range(steps)]
    assert sorted({phase.resolution for phase, _, _ in found}) == [8, 16, 32, 64]
    assert [phase.resolution for phase, _, _ in found] == sorted(p.resolution for p, _, _ in found)
    for phase in train_generator.PHASES:
        numbers = [i for i, (own, _, _) in enumerate(found) if own is phase]
        fades = [found[i][2] for i in numbers]
        assert {found[i][1] for i in numbers} == {numbers[0]}
        assert fades == sorted(fades) and fades[-1] == 1 and fades[0] > 0
        assert sum(fade < 1 for fade in fades) == max(round(phase.fade * steps) - 1, 0)
    assert sum(phase.share for phase in train_generator.PHASES) == pytest.approx(1)


def test_pictures_are_shrunk_by_averaging():
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    small = train_generator.at_resolution(jnp.asarray(images), 16, 1.0)
    expected = 2 * images.reshape(2, 16, 4, 16, 4, 3).mean((2, 4)) - 1
    np.testing.assert_allclose(small, expected, atol=1e-5)
    faded = train_generator.at_resolution(jnp.asarray(images), 16, 0.0)
    np.testing.assert_allclose(halved(faded), halved(small), atol=1e-5)
    np.testing.assert_array_equal(faded[:, ::2], faded[:, 1::2])


LAYERS = ("layer1", "layer6", "layer7", "layer9")


def toy_settings(**changes):
    small: dict[str, Any] = {
        "batch_size": 4,
        "sizes": (6, 6, 6, 6, 6, 4),
        "critic_sizes": (6, 6, 6, 6, 4),
    }
    return train_generator.GeneratorSettings(**small, **changes)


@pytest.mark.slow
def test_every_step_draws_other_pictures_of_its_scene():
    programs = train_generator._programs(toy_settings(scene="kitchen", steps=0))
    first, again, later = (np.asarray(programs.draw(jnp.int32(n))) for n in (3, 3, 4))
    assert first.shape == (4, 64, 64, 3) and 0 <= first.min() and first.max() <= 1
    np.testing.assert_array_equal(first, again)
    pictures = np.concatenate([first, later])
    distances = np.abs(pictures[:, None] - pictures[None]).mean((2, 3, 4))
    assert (distances + np.eye(8) > 0.02).all()
    sorted_by_key = train_generator._programs(toy_settings(scene="kitchen", seed=1, steps=0))
    assert np.abs(np.asarray(sorted_by_key.draw(jnp.int32(3))) - first).mean() > 0.02


def test_settings_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="`scene` .='moon'. must be one of: street"):
        train_generator.generator_training(toy_settings(scene="moon"))
    with pytest.raises(ValueError, match="`batch_size` .=6. must be a positive multiple of 4"):
        settings = train_generator.GeneratorSettings(batch_size=6)
        train_generator.generator_training(settings)


def test_what_ships_is_small_enough():
    module = nnx.eval_shape(lambda: ProgressiveGenerator(train_generator.SIZES, rngs=nnx.Rngs(0)))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
    assert 3_000_000 < 2 * numbers < MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_generator_learns_at_every_resolution(dtype):
    """A step changes the layers of its resolution and below, and none above."""
    settings = toy_settings(steps=100, dtype=dtype)
    training = train_generator.generator_training(settings)

    def kernels(state):
        layers = nnx.to_pure_dict(state.generator)["generator"]
        return {name: np.asarray(layers[name]["conv"]["kernel"]) for name in LAYERS}

    before = kernels(training.state)
    first = next(i for i in range(100) if train_generator.schedule(i, 100)[0].resolution == 16)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integers
        state, metrics = training.step(training.state, first)
    assert set(metrics) >= {"critic_loss", "generator_loss"}
    changed = {name for name, kernel in kernels(state).items() if (kernel != before[name]).any()}
    assert changed == {"layer1", "layer6"}


# --- the segmenter --------------------------------------------------------------------------------


def test_rare_concepts_weigh_more(pool):
    weights = train_segmenter.rarity_weights(pool, "object")
    labels = pool["labels"][..., 0]
    names = [None, *(name for name, category in CONCEPTS if category == "object")]
    shares = np.bincount(labels.ravel(), minlength=len(names))[: len(names)] / labels.size
    assert (weights * shares).sum() == pytest.approx(1, rel=1e-5)
    order = np.argsort(shares)
    assert (np.diff(weights[order]) <= 1e-6).all() and weights.max() <= 10 * weights.min() * 1.001


def test_disturbing_keeps_some_pictures_as_they_are():
    images = jax.random.uniform(jax.random.key(0), (64, 64, 64, 3))
    seen = train_segmenter.disturbed(jax.random.key(1), images)
    same = (seen == images).all((1, 2, 3))
    assert 10 < same.sum() < 40 and 0 <= seen.min() and seen.max() <= 1


# --- the transformer ------------------------------------------------------------------------------


def test_images_are_shifted_by_a_few_pixels_each():
    images = np.random.default_rng(0).random((40, 16, 12, 3)).astype(np.float32)
    seen = np.asarray(train_transformer.shifted(jax.random.key(1), jnp.asarray(images), 2))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    shifts = []
    for image, wide in zip(seen, padded, strict=True):
        fitting = [
            (down, across)
            for down in range(5)
            for across in range(5)
            if np.array_equal(image, wide[down : down + 16, across : across + 12])
        ]
        assert len(fitting) == 1
        shifts += fitting
    assert len(set(shifts)) > 10 and {0, 4} <= {down for down, _ in shifts}


@pytest.mark.slow
def test_transformer_learns_in_every_layer(pool):
    settings = train_transformer.TransformerSettings(steps=20, batch_size=4)
    training = train_transformer.transformer_training(pool, settings)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(training.state.params)]
    with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integers
        state, _ = training.step(training.state, 0)  # at a rate of zero
        state, metrics = training.step(state, 1)
    after = jax.tree.leaves(state.params)
    assert all((a != b).any() for a, b in zip(after, before, strict=True))
    assert set(metrics) == {"accuracy", "loss"}


# --- the command ----------------------------------------------------------------------------------


def command(folder, *options):
    arguments = "--steps 15 --save-every 5 --num-images 64 --num-held-out 64".split()
    return [
        *(sys.executable, "-m", "jaxdissect.scenes.train", "classifier", *arguments),
        *("--out", str(folder), *options),
    ]


@pytest.mark.slow
def test_command_that_is_killed_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))  # all run the same
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(whole), check=True, capture_output=True)
    process = subprocess.Popen(command(parts), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r"step +5 ", line):
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert read_metrics(parts)[-1]["step"] < 15
    weights = tmp_path / "classifier.safetensors"
    subprocess.run(command(parts, "--weights", str(weights)), check=True, capture_output=True)
    rows = without_seconds(read_metrics(whole))
    assert len(rows) == 3 and without_seconds(read_metrics(parts)) == rows
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["steps"] == 15 and 0 <= card["accuracy"] <= 1 and "--steps 15" in card["command"]


TOY = (
    *("--scene", "kitchen", "--batch-size", "4", "--num-held-out", "32", "--save-every", "10"),
    *("--sizes", *"6 6 6 6 6 4".split(), "--critic-sizes", *"6 6 6 6 4".split()),
)


def generator_command(folder, *options):
    module = [sys.executable, "-m", "jaxdissect.scenes.train", "generator"]
    return [*module, *TOY, "--out", str(folder), *options]


@pytest.mark.slow
def test_generator_from_training_to_its_units(tmp_path, monkeypatch):
    """Killed, resumed, exported, loaded, dissected: the whole path, in toy sizes."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    weights = tmp_path / "kitchen.safetensors"
    written = ("--steps", "40", "--weights", str(weights))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    refused = subprocess.run(generator_command(whole, *written), capture_output=True, text=True)
    assert refused.returncode == 1 and not weights.exists()
    assert "`max_distance` (=0.004): the Fréchet distance is" in refused.stderr
    process = subprocess.Popen(
        generator_command(parts, *written), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r"step +20 ", line):
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    assert read_metrics(parts)[-1]["step"] < 40
    again = generator_command(parts, *written, "--max-distance", "100")
    subprocess.run(again, check=True, capture_output=True)
    rows = [without_seconds(read_metrics(folder)) for folder in (whole, parts)]
    assert rows[0] == rows[1] and [row["step"] for row in rows[0]] == [10, 20, 30, 40]
    states = [next((folder / "states" / "40").glob("*.npz")) for folder in (whole, parts)]
    with np.load(states[0]) as first, np.load(states[1]) as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])

    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["steps"] == 40 and card["scene"] == "kitchen" and card["dtype"] == "float32"
    assert "--scene 'kitchen' --dtype float32 --batch-size 4 --sizes 6 6" in card["command"]
    assert card["data"].startswith("160 drawn pictures of kitchen, seed 0, others in every step")
    model = load_network("proggan", weights)
    assert isinstance(model, ProgressiveGenerator)
    held_out = scenes_dataset(32, seed=1_000_003, scenes=("kitchen",))
    measured = train_generator.evaluate_generator(model, held_out, scenes=("kitchen",))
    assert measured["frechet_distance"] == pytest.approx(card["frechet_distance"], rel=1e-3)
    assert card["frechet_distance_of_other_drawn_pictures"] < card["frechet_distance"]
    subject = Generator(model, model.latent_size, segmenter=load_segmenter())
    result = dissect_generator(subject, latents(16, model.latent_size), layers=("layer6",))
    assert result["layer6"].iou.shape == (len(subject.vocabulary), 6)


@pytest.mark.slow
def test_a_training_of_some_minutes_keeps_its_number_of_steps(tmp_path, monkeypatch, capsys):
    options: dict[str, Any] = {
        "network": "generator",
        "scene": "farm",
        "batch_size": 4,
        "minutes": 0.5,
    }
    options |= {"sizes": (6, 6, 6, 6, 6, 4), "critic_sizes": (6, 6, 6, 6, 4), "num_held_out": 8}
    monkeypatch.setattr(train_command, "seconds_per_step", lambda settings: 0.2)
    found = []

    def stop(training, steps, folder, **others):
        found.append(steps)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "train", stop)
    for slower in (0.2, 5.0):
        monkeypatch.setattr(train_command, "seconds_per_step", lambda _, s=slower: s)
        with pytest.raises(KeyboardInterrupt):
            train_command.TrainOptions(**options, out=tmp_path).run()
    assert found[0] == found[1] and 130 <= found[0] <= 150
    with pytest.raises(ValueError, match="holds a training of 0.5 minutes; give these"):
        train_command.TrainOptions(**{**options, "minutes": 1.0}, out=tmp_path).run()
    assert "200.0 ms a step" in capsys.readouterr().out


@pytest.mark.slow
def test_steps_are_timed():
    with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integers
        assert 0 < train_generator.seconds_per_step(toy_settings(), num_timed=1)


def test_command_refuses_what_cannot_work(tmp_path):
    from jaxdissect.scenes.train import TrainOptions

    with pytest.raises(ValueError, match="num_images"):
        TrainOptions("classifier", out=tmp_path, num_images=0).run()
    small = {"batch_size": 4, "sizes": (6, 6, 6, 6, 6, 4), "critic_sizes": (6, 6, 6, 6, 4)}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"network": "classifier", "minutes": 1.0}, "`minutes` cannot be given for `network` 'cl"),
        ({"network": "generator", "num_images": 9}, "`num_images` cannot be given for `network`"),
        ({"network": "generator", **small, "save_every": 0}, "must be at least 1"),
        ({"network": "generator", **small, "steps": 0}, "must be at least 1"),
        ({"network": "generator", "minutes": -1.0}, "`minutes` .=-1.0. must be positive"),
        ({"network": "generator", "minutes": 1.0, "steps": 9}, "exclude each other"),
        ({"network": "generator", "scene": "moon"}, "`scene` .='moon'. must be one of"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            TrainOptions(**options, out=tmp_path).run()
    with pytest.raises(ValueError, match="must end in .safetensors"):
        TrainOptions("classifier", out=tmp_path, weights=tmp_path / "weights.npz").run()
    assert not list(tmp_path.iterdir())
