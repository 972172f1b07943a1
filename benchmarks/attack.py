"""Time the attack of Carlini and Wagner on the scene classifier: ours against foolbox 3.

    python benchmarks/attack.py [--images 16] [--repeats 3] [--iterations 1000] [--record]

The competitors take turns in one process on the same images, targets and weights, with the same
settings (those of the paper, which are not the defaults of foolbox 3). They differ in two ways that
no setting changes: foolbox 3 stops a batch when the sum of its losses no longer falls, ours every
image for itself, as foolbox 2 did; and the epsilon of Adam. So the number of steps of each is
printed too, with the time of one. The parameters of the network in PyTorch are frozen, else foolbox
would compute their gradients as well; --unfrozen adds that, which is what foolbox does by default.
Wall-clock time counts only on a quiet machine; processor time, of all threads, is steadier on a
busy one. With --record, a line is added to `attack.jsonl` beside this file.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from vgg16 import interleave

from jaxdissect.attacks import Attacked, CarliniWagnerSettings, ClassScores, carlini_wagner
from jaxdissect.networks.weights.mapping import PYTORCH, parameters
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_classifier

# The restatements in PyTorch are those that the tests compare with.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

RECORD = Path(__file__).with_suffix(".jsonl")
SEED = 2_000_003  # of scenes that the classifier was not trained on
BAR = 5.0
"""How many times as fast as foolbox ours should be."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time Carlini and Wagner's attack.")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slots", type=int, help="images that run together, ours")
    parser.add_argument("--devices", type=int, default=2, help="parts of the processor, ours")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch, on CPU")
    parser.add_argument("--unfrozen", action="store_true", help="also foolbox as it comes")
    parser.add_argument("--record", action="store_true", help=f"add a line to {RECORD.name}")
    options = parser.parse_args()
    # XLA runs these small convolutions on one core: as many devices as PyTorch has threads.
    jax.config.update("jax_num_cpu_devices", options.devices)
    report = measure(options)
    if options.record:
        with open(RECORD, "a") as file:
            file.write(json.dumps(report) + "\n")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Let them take turns, and print a table."""
    images = scenes_dataset(options.images, seed=SEED).read(0, options.images)["image"]
    scores = ClassScores(load_classifier())
    predictions = np.asarray(scores(scores.params, jnp.asarray(images))).argmax(1)
    targets = (predictions + 3) % 10
    results: dict[str, dict[str, Any]] = {}
    runs = {"ours": ours(images, targets, scores, options, results)}
    runs |= by_foolbox(images, targets, predictions, options, results)
    wall, processor = interleave(runs, options.repeats)
    print(
        f"{options.images} images, 5 constants of {options.iterations} steps at most, "
        f"{jax.devices()[0].device_kind}, medians of {options.repeats}"
    )
    print(
        f"{'':20}{'seconds':>9}{'ratio':>7}{'CPU s':>9}{'ratio':>7}{'success':>9}"
        f"{'median L2':>11}{'steps':>9}{'ms/step':>9}"
    )
    for name in runs:
        result = results[name]
        result["seconds"], result["cpu_seconds"] = median(wall[name]), median(processor[name])
        result["ms_per_step"] = 1000 * result["seconds"] / result["steps"]
        ratio, cpu_ratio = (
            result[kind] / results["ours"][kind] for kind in ("seconds", "cpu_seconds")
        )
        print(
            f"{name:20}{result['seconds']:9.1f}{ratio:7.2f}{result['cpu_seconds']:9.1f}"
            f"{cpu_ratio:7.2f}{result['success']:9.2f}{result['distance']:11.4f}"
            f"{result['steps']:9}{result['ms_per_step']:9.2f}"
        )
    if "foolbox" in results:
        ratio = results["foolbox"]["seconds"] / results["ours"]["seconds"]
        print(f"foolbox / ours: {ratio:.2f}, {'at least' if ratio >= BAR else 'below'} {BAR:g}")
    return {
        "date": datetime.date.today().isoformat(),
        "device": jax.devices()[0].device_kind,
        "jax": version("jax"),
        "images": options.images,
        "iterations": options.iterations,
        "repeats": options.repeats,
        "slots": options.slots,
        "devices": min(options.devices, jax.device_count()),
        "threads": options.threads,
        "results": results,
    }


def summed(images: np.ndarray, found: np.ndarray, success: np.ndarray, steps: int) -> dict:
    """Success, median distance and gradient steps of images (each of one image)."""
    apart = np.sqrt(((found - images) ** 2).reshape(len(images), -1).sum(1))
    middle = float(np.median(apart[success])) if success.any() else float("nan")
    return {"success": float(success.mean()), "distance": middle, "steps": steps}


def ours(
    images: np.ndarray,
    targets: np.ndarray,
    scores: ClassScores,
    options: argparse.Namespace,
    results: dict[str, dict[str, Any]],
) -> Callable[[], np.ndarray]:
    """Compile, and return a run."""
    shown, wanted = jnp.asarray(images), jnp.asarray(targets, jnp.int32)

    number, axis_types = min(options.devices, jax.device_count()), (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((number,), ("data",), axis_types=axis_types)

    def attack(settings: CarliniWagnerSettings) -> Attacked:
        return carlini_wagner(
            scores, scores.params, shown, wanted, settings=settings, slots=options.slots, mesh=mesh
        )

    jax.block_until_ready(attack(CarliniWagnerSettings(binary_search_steps=1, max_iterations=1)))

    def run() -> np.ndarray:
        found = jax.tree.map(
            np.asarray, attack(CarliniWagnerSettings(max_iterations=options.iterations))
        )
        steps = int(found.iterations.sum())
        results["ours"] = summed(images, found.images, found.success, steps)
        return found.images

    return run


def by_foolbox(
    images: np.ndarray,
    targets: np.ndarray,
    predictions: np.ndarray,
    options: argparse.Namespace,
    results: dict[str, dict[str, Any]],
) -> dict[str, Callable[[], np.ndarray]]:
    """The same attack by foolbox on the same network in PyTorch; empty where they are missing."""
    try:
        import foolbox  # pyright: ignore[reportMissingImports]
        import torch  # pyright: ignore[reportMissingImports]
        from torch_classifiers import SceneClassifier  # pyright: ignore[reportMissingImports]
    except ImportError as problem:
        print(f"without foolbox: {problem}")
        return {}
    fb: Any = foolbox
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shown = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    goal = fb.criteria.TargetedMisclassification(torch.from_numpy(targets).to(device))
    weights = {
        PYTORCH.name(name): torch.from_numpy(PYTORCH.to_file(np.array(array), name).copy())
        for name, array in parameters(load_classifier()).items()
    }
    runs = {}
    for name in ("foolbox", "foolbox, unfrozen")[: 1 + options.unfrozen]:
        module = SceneClassifier()
        module.load_state_dict(weights)
        module = module.eval().requires_grad_(name != "foolbox").to(device)
        with torch.no_grad():
            assert (module(shown).argmax(1).cpu().numpy() == predictions).all()
        calls = [0]

        def count(*_: Any, calls: list[int] = calls) -> None:
            calls[0] += 1

        module.register_forward_hook(count)
        model = fb.PyTorchModel(module, bounds=(0, 1), device=device)

        def run(
            name: str = name,
            module: Any = module,
            model: Any = model,
            calls: list[int] = calls,
            steps: int = options.iterations,
        ) -> np.ndarray:
            attack = fb.attacks.L2CarliniWagnerAttack(
                binary_search_steps=5,
                steps=steps,
                stepsize=5e-3,
                confidence=0,
                initial_const=1e-2,
                abort_early=True,
            )
            calls[0] = 0
            found = attack.run(model, shown, goal)
            taken = calls[0] * len(images)
            with torch.no_grad():
                success = module(found).argmax(1).cpu().numpy() == targets
            adversarial = found.cpu().numpy().transpose(0, 2, 3, 1)
            results[name] = summed(images, adversarial, success, taken)
            return adversarial

        run(steps=2)  # the first calls of PyTorch are slow
        runs[name] = run
    return runs


if __name__ == "__main__":
    main()
