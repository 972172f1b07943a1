"""The attack of Carlini and Wagner on the scene classifier against foolbox 3."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.attacks import Attacked, CarliniWagnerSettings, ClassScores, carlini_wagner
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.others import pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.networks.weights.mapping import PYTORCH, parameters
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_classifier

SEED = 2_000_003  # of scenes that the classifier was not trained on
OURS, THEIRS = "jaxdissect", "foolbox"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is attacked.

    Attributes:
        images: Scenes of 64 x 64 pixels.
        constants: How many weights of the scores are tried, by bisection.
        steps: Gradient steps with each; the paper has 1000.
        abort_early: Stop with a constant when the loss does not fall any more, which both do in
            their own way, after different numbers of steps; False makes them do the same work.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 8
    constants: int = 5
    steps: int = 100
    abort_early: bool = False
    turns: int = 7
    seconds: float = 120.0

    def __post_init__(self) -> None:
        if min(self.images, self.constants, self.turns) < 1 or self.steps < 10:
            raise ValueError(
                f"`images` (={self.images}), `constants` (={self.constants}) and `turns` "
                f"(={self.turns}) must be at least 1, and `steps` (={self.steps}) at least 10"
            )


def attack_match(sizes: Sizes) -> Match:
    """Prepare the attack of every image, to be classified as another class."""
    images = scenes_dataset(sizes.images, seed=SEED).read(0, sizes.images)["image"]
    scores = ClassScores(load_classifier())
    predictions = np.asarray(scores(scores.params, jnp.asarray(images))).argmax(1)
    targets = (predictions + 3) % 10
    others = unless_missing(
        THEIRS, "foolbox", lambda: _by_foolbox(images, targets, predictions, sizes)
    )

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        found = {name: _on_host(answer) for name, answer in answers.items()}
        return _gates(found, images, targets, scores)

    return Match(
        title=f"Carlini and Wagner's attack on {sizes.images} scenes of 64 x 64 pixels, "
        f"{sizes.constants} constants of {sizes.steps} steps"
        + (" at most" if sizes.abort_early else ""),
        unit="image",
        units=sizes.images,
        contenders=[_ours(images, targets, scores, sizes), *others],
        check=check,
        note="Same images, targets, weights and settings, those of foolbox 2 and the paper. The "
        "epsilon of Adam is 1e-7 here and 1e-8 there. The parameters are frozen in PyTorch, else "
        "foolbox would have their gradients computed too."
        + (
            " Foolbox stops a batch when the sum of its losses no longer falls, ours every image "
            "for itself: look at the time of a step."
            if sizes.abort_early
            else ""
        ),
    )


def _ours(images: np.ndarray, targets: np.ndarray, scores: ClassScores, sizes: Sizes) -> Contender:
    shown, wanted = jnp.asarray(images), jnp.asarray(targets, jnp.int32)
    settings = CarliniWagnerSettings(
        binary_search_steps=sizes.constants,
        max_iterations=sizes.steps,
        abort_early=sizes.abort_early,
    )
    steps: list[int] = [0]

    def run() -> Attacked:
        found = carlini_wagner(
            scores, scores.params, shown, wanted, settings=settings, refuse_reached=False
        )
        steps[0] = int(np.asarray(found.iterations).sum())
        return found

    return Contender(
        name=OURS,
        library="jaxdissect",
        run=run,
        wait=jax.block_until_ready,
        terms=pytorch.own_terms(
            "default", "channels last", "rounded, each image for itself", convolves=True
        ),
        steps=lambda: steps[0],
    )


def _by_foolbox(
    images: np.ndarray, targets: np.ndarray, predictions: np.ndarray, sizes: Sizes
) -> Sequence[Contender]:
    foolbox, torch = load("foolbox"), load("torch")
    module = _scene_classifier(torch)
    module.load_state_dict(
        {
            PYTORCH.name(name): torch.from_numpy(PYTORCH.to_file(np.array(array), name).copy())
            for name, array in parameters(load_classifier()).items()
        }
    )
    module = module.eval().requires_grad_(False).to(pytorch.torch_device())
    shown = pytorch.placed(images, channels_first=True)
    with torch.no_grad():
        if (pytorch.host(module(shown)).argmax(1) != predictions).any():
            raise ValueError("the classifier in PyTorch does not classify as ours does")
    goal = foolbox.criteria.TargetedMisclassification(pytorch.placed(targets))
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    module.register_forward_hook(count)
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device=pytorch.torch_device())

    def run() -> Any:
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=sizes.constants,
            steps=sizes.steps,
            stepsize=5e-3,
            confidence=0,
            initial_const=1e-2,
            abort_early=sizes.abort_early,
        )
        calls[0] = 0
        return attack.run(model, shown, goal)

    return [
        Contender(
            name=THEIRS,
            library="foolbox",
            run=run,
            wait=pytorch.wait,
            terms=pytorch.terms(
                "default", "channels first", "rounded, a batch together", "in PyTorch, not compiled"
            ),
            steps=lambda: calls[0] * len(images),
        )
    ]


def _scene_classifier(torch: Any) -> Any:
    """Restate the classifier of the scenes; its pooled maps are read place by place, units last."""
    nn = torch.nn
    layers: OrderedDict[str, Any] = OrderedDict()
    inputs = 3
    for block, widths in enumerate(((24,), (48,), (64, 64), (96, 48)), 1):
        for index, units in enumerate(widths, 1):
            layers[f"conv{block}_{index}"] = nn.Conv2d(inputs, units, 3, padding=1)
            layers[f"relu{block}_{index}"] = nn.ReLU()
            inputs = units
        if block != 3:
            layers[f"pool{block}"] = nn.MaxPool2d(2 if block < 3 else 4)

    class SceneClassifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(layers)
            self.fc5 = nn.Linear(16 * inputs, 10)

        def forward(self, images: Any) -> Any:
            maps = self.features((images - 0.5) * 4)
            return self.fc5(maps.permute(0, 2, 3, 1).flatten(1))

    return SceneClassifier()


def _on_host(answer: Any) -> np.ndarray:
    if isinstance(answer, Attacked):
        return np.asarray(answer.images)
    return pytorch.host(answer, channels_first=True)


def _gates(
    found: Mapping[str, np.ndarray], images: np.ndarray, targets: np.ndarray, scores: ClassScores
) -> dict[str, Gate]:
    """Check bounds, classes and distances anew, from nothing but the images that were found."""
    success, apart = {}, {}
    for name, changed in found.items():
        predicted = np.asarray(scores(scores.params, jnp.asarray(changed))).argmax(1)
        success[name] = predicted == targets
        apart[name] = np.sqrt(((changed - images) ** 2).reshape(len(images), -1).sum(1))
    changed = found[OURS]
    outside = float(np.maximum(changed - 1, -changed).max())
    gates = {
        f"{OURS}: within the bounds": Gate(
            passed=outside <= 1e-6,
            against="0 and 1",
            difference=max(outside, 0.0),
            tolerance=1e-6,
            reason="one rounding of a float32",
        )
    }
    if THEIRS in found:
        missed = int(success[THEIRS].sum()) - int(success[OURS].sum())
        gates[f"{OURS}: images that reach their target"] = Gate(
            passed=missed <= len(images) // 16,
            against=f"{THEIRS}, which reaches {int(success[THEIRS].sum())} of {len(images)}",
            difference=float(max(missed, 0)),
            tolerance=float(len(images) // 16),
            reason="images fewer; at the edge rounding decides",
        )
        both = success[OURS] & success[THEIRS]
        if not both.any():  # too few steps to find anything: nothing to compare
            return gates
        ratio = float(np.median(apart[OURS][both] / apart[THEIRS][both]))
        gates[f"{OURS}: distance"] = Gate(
            passed=ratio <= 1.05,
            against=THEIRS,
            difference=max(ratio - 1, 0.0),
            tolerance=0.05,
            reason="median of our distances over theirs, less 1: Adam's epsilon differs, and the "
            "steps amplify rounding; shorter is better",
        )
    return gates
