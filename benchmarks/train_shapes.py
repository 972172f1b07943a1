"""Train the classifier of shapes that comes with the package, and save its weights.

    nice -n 10 python benchmarks/train_shapes.py

Pictures are drawn as the training goes, so none is seen twice. What the network learns from is
only which shapes are present, not where. While it learns, its convolutions are followed by batch
normalization, without which it takes several times as many steps; in the end that is folded into
kernels and biases. The file's metadata say how it was made. Takes about ten minutes on two cores.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxdissect.engine.batches import batches
from jaxdissect.engine.data.shapes import CONCEPTS, present_shapes, render, shapes_dataset
from jaxdissect.networks.models import shapes
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters

HELD_OUT_SEED = 1_000_003
"""Seed of the pictures that measure accuracy; training never draws from it."""


class NormalizedConv(nnx.Module):
    """A convolution followed by batch normalization."""

    def __init__(self, convolution: nnx.Conv, *, rngs: nnx.Rngs):
        self.convolution = convolution
        self.norm = nnx.BatchNorm(convolution.out_features, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.norm(self.convolution(inputs))

    def folded(self) -> nnx.Conv:
        """Return one convolution that does the same with the mean and variance found so far."""
        convolution, norm = self.convolution, self.norm
        assert convolution.bias is not None and norm.bias is not None and norm.scale is not None
        scale = norm.scale[...] / jnp.sqrt(norm.var[...] + norm.epsilon)
        convolution.kernel[...] = convolution.kernel[...] * scale
        convolution.bias[...] = (convolution.bias[...] - norm.mean[...]) * scale + norm.bias[...]
        return convolution


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the classifier of shapes.")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="after warming up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=2000, help="pictures to measure with")
    parser.add_argument(
        "--output", type=Path, default=Path(shapes.__file__).with_name(shapes.WEIGHTS)
    )
    options = parser.parse_args()

    rngs = nnx.Rngs(options.seed)
    model = shapes.ShapesClassifier(rngs=rngs)
    for layer in layers(model):
        layer.convolution = NormalizedConv(layer.convolution, rngs=rngs)
    definition, params, statistics = nnx.split(model, nnx.Param, ...)

    schedule = optax.warmup_cosine_decay_schedule(
        0.0, options.learning_rate, options.steps // 20, options.steps
    )
    optimizer = optax.adamw(schedule, weight_decay=1e-4)

    def loss(params, statistics, images, present):
        model = nnx.merge(definition, params, statistics, copy=True)
        losses = optax.sigmoid_binary_cross_entropy(model(images), present.astype(jnp.float32))
        return losses.mean(), nnx.state(model, nnx.Not(nnx.Param))

    @jax.jit
    def train_step(params, statistics, optimizer_state, key):
        examples = jax.vmap(render)(jax.random.split(key, options.batch_size))
        (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(
            params, statistics, examples.image, examples.present
        )
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return optax.apply_updates(params, updates), statistics, optimizer_state, value

    key, optimizer_state = jax.random.key(options.seed), optimizer.init(params)
    start, losses = time.perf_counter(), []
    for step in range(options.steps):
        params, statistics, optimizer_state, value = train_step(
            params, statistics, optimizer_state, jax.random.fold_in(key, step)
        )
        losses.append(value)
        if (step + 1) % 100 == 0:
            seconds = time.perf_counter() - start
            mean = float(jnp.stack(losses[-100:]).mean())
            print(f"step {step + 1:5d}   loss {mean:.4f}   {seconds:6.0f} s", flush=True)

    model = nnx.merge(definition, params, statistics)
    for layer in layers(model):
        layer.convolution = layer.convolution.folded()
    accuracies = balanced_accuracies(model, options.held_out)
    for (name, _), accuracy in zip(CONCEPTS, accuracies, strict=False):
        print(f"{name:>10}  {accuracy:.3f}")
    print(f"{'mean':>10}  {accuracies.mean():.3f}")

    metadata = {
        "steps": options.steps,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "balanced_accuracy": round(float(accuracies.mean()), 4),
        "held_out_examples": options.held_out,
        "held_out_seed": HELD_OUT_SEED,
        "command": shlex.join(["python", "benchmarks/train_shapes.py", *sys.argv[1:]]),
    }
    arrays = {name: np.asarray(array) for name, array in parameters(model).items()}
    write_weights(
        options.output, arrays, metadata={name: str(value) for name, value in metadata.items()}
    )
    print(f"saved {options.output}: {options.output.stat().st_size / 1000:.0f} kB")


def layers(model: shapes.ShapesClassifier) -> list[Any]:
    return [model.conv1, model.conv2, model.conv3, model.conv4, model.conv5]


def balanced_accuracies(model: shapes.ShapesClassifier, num_examples: int) -> np.ndarray:
    """Mean of the accuracies where a kind is present and where it is absent, for each kind."""
    definition, params = nnx.split(model)

    @jax.jit
    def judge(params, images, labels):
        return nnx.merge(definition, params)(images) > 0, jax.vmap(present_shapes)(labels)

    found, present = [], []
    for batch in batches(shapes_dataset(num_examples, seed=HELD_OUT_SEED), 100):
        judged = judge(params, batch["image"], batch["labels"])
        for collected, values in zip((found, present), judged, strict=True):
            collected.append(np.asarray(values)[batch["weight"]])
    found, present = np.concatenate(found), np.concatenate(present)
    right = found == present
    return (
        (right & present).sum(0) / present.sum(0) + (right & ~present).sum(0) / (~present).sum(0)
    ) / 2


if __name__ == "__main__":
    main()
