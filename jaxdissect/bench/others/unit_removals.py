"""Removal of every single unit of VGG-16's last convolution: captum, PyTorch by hand, and ours.

What is computed is captum's attribution of a layer: by how much the score of a class falls when a
unit outputs 0 everywhere, for every unit.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.others import pytorch, torchvision_forward
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.classifiers import ablation_methods
from jaxdissect.classifiers.ablation import conditions_together
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import Network

CHECKED = 2  # units whose removal is computed in float64 as well
LAYER, THEIR_LAYER, UNITS = "features.conv5_3", 28, 512
BY_HAND_TOGETHER = 32
"""Units that PyTorch removes in one batch: large enough for products of matrices to be fast."""

CAPTUM = "captum, LayerFeatureAblation"
TOLERANCES = {
    "highest": (2e-5, "float32 sums of tens of thousands of products; a share of the score"),
    "default": (1e-2, "products of 10 bits where the device prefers them; a share of the score"),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is run.

    Attributes:
        images: In a batch, of 224 x 224 pixels.
        narrower: Divides the units of every layer, for tests.
        sampled: Units that captum removes one by one; its time is scaled to all.
        together: Removals that captum runs in one batch.
        precision: "highest" or "default".
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 2
    narrower: int = 1
    sampled: int = 8
    together: int = 1
    precision: Literal["highest", "default"] = "default"
    turns: int = 7
    seconds: float = 90.0

    def __post_init__(self) -> None:
        if min(self.images, self.narrower, self.together, self.turns) < 1:
            raise ValueError(
                f"`images` (={self.images}), `narrower` (={self.narrower}), `together` "
                f"(={self.together}) and `turns` (={self.turns}) must be at least 1"
            )
        if not 1 <= self.sampled <= self.units:
            raise ValueError(f"`sampled` (={self.sampled}) must be in [1, {self.units}]")

    @property
    def units(self) -> int:
        """Units of the layer."""
        return UNITS // self.narrower


def removals_match(sizes: Sizes) -> Match:
    """Prepare the removals on torchvision's VGG-16 with random weights."""
    random = np.random.default_rng(0)
    images = random.standard_normal((sizes.images, 224, 224, 3)).astype(np.float32)
    units = np.sort(random.choice(sizes.units, sizes.sampled, replace=False))
    module: list[Any] = []
    exact: list[_ExactFalls] = []

    def by_pytorch() -> Sequence[Contender]:
        original = load("torchvision").models.vgg16(weights=None)
        module.append(pytorch.randomise(pytorch.narrowed(original, sizes.narrower), seed=0))
        exact.append(_exact_falls(module[0], images[:1], units[:CHECKED]))
        return _by_pytorch(module[0], images, sizes)

    others = [*unless_missing("PyTorch", "torch", by_pytorch)]
    if module:
        others += unless_missing(
            "captum", "captum", lambda: _by_captum(module[0], images, units, sizes)
        )
        network = torchvision_forward.imported("vgg16", module[0])
    else:
        others += unless_missing("captum", "captum", lambda: load("captum.attr") and [])
        network = torchvision_forward.drawn("vgg16", 224, sizes.narrower)
    ours = [
        _ours(network, images, ablation_methods.low_rank, sizes),
        _ours(network, images, ablation_methods.edited, sizes),
    ]
    in_float32 = jax.default_backend() == "cpu" or sizes.precision == "highest"
    tolerance, reason = TOLERANCES["highest" if in_float32 else "default"]

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        first = ours[0].name
        gates: dict[str, Gate] = {}
        if not exact:  # without PyTorch both of ours are compared with each other
            fall, other = (_falls(answers[each.name], np.arange(sizes.units)) for each in ours)
            name, why = f"{ours[1].name}: falls of all images", "small differences of scores"
            gates[name] = within(other, fall, 1e-2, reason=why, against=first)
        for oracle in exact:
            for name, answer in answers.items():
                found = _falls(answer, units[:CHECKED])[:, 0]
                gates[f"{name}: falls of an image"] = oracle.gate(found, tolerance, reason)
                if name != first:
                    # Captum's are only known of the sampled units.
                    known = units if name == CAPTUM else np.arange(sizes.units)
                    gates[f"{name}: falls of all images"] = oracle.gate(
                        _falls(answer, known),
                        2 * tolerance,
                        f"both: {reason}",
                        expected=_falls(answers[first], known),
                        against=f"{first}, {len(known)} units",
                    )
        return gates

    return Match(
        title=f"Removal of each of the {sizes.units} units of {LAYER} of VGG-16, {sizes.images} "
        f"images of 224 x 224 pixels, {sizes.precision} precision",
        unit="image",
        units=sizes.images,
        contenders=[*ours, *others],
        check=check,
        note=f"Captum removes {sizes.sampled} units, whose time is scaled: each takes as long as "
        "any other. It runs the whole network for each, as it would for any layer of any "
        "network. PyTorch by hand keeps what the layer outputs and runs what follows. Ours finds "
        "out that what follows begins with a linear map, and subtracts each unit's part: most of "
        "the ratio is less work, not faster work. The row of `edited` does the work of PyTorch "
        "by hand.",
    )


@dataclass(frozen=True)
class _ExactFalls:
    """Falls of the score of an image in float64, and the score."""

    falls: np.ndarray
    score: float

    def gate(
        self,
        found: np.ndarray,
        tolerance: float,
        reason: str,
        *,
        expected: np.ndarray | None = None,
        against: str = "PyTorch in float64 on the processor, whole passes, the first image",
    ) -> Gate:
        """Compare falls, whose rounding is that of the scores that are subtracted."""
        apart = np.abs(found - (self.falls if expected is None else expected))
        difference = float(apart.max() / abs(self.score))
        return Gate(
            passed=difference <= tolerance,
            against=against,
            difference=difference,
            tolerance=tolerance,
            reason=reason,
        )


def _exact_falls(original: Any, image: np.ndarray, units: np.ndarray) -> _ExactFalls:
    torch = load("torch")
    module = copy.deepcopy(original).double()
    removed: list[int] = []

    def remove(_module: Any, _inputs: Any, output: Any) -> Any:
        output = output.clone()
        output[:, removed] = 0
        return output

    module.features[THEIR_LAYER].register_forward_hook(remove)
    shown = torch.from_numpy(image.transpose(0, 3, 1, 2).astype(np.float64).copy())
    with torch.inference_mode():
        whole = module(shown)[0]
        chosen = int(whole.argmax())
        falls = []
        for unit in units.tolist():
            removed[:] = [unit]
            falls.append(float(whole[chosen] - module(shown)[0, chosen]))
    return _ExactFalls(np.array(falls), float(whole[chosen]))


def _falls(answer: Any, units: np.ndarray) -> np.ndarray:
    """Bring falls [units, images] of the sampled units to the host."""
    if isinstance(answer, jax.Array):
        return np.asarray(answer)[units]
    found = pytorch.host(answer)
    # Captum's are the same at every place of a unit.
    return found[:, units, 0, 0].T if found.ndim == 4 else found[units]


def _ours(
    network: Network,
    images: np.ndarray,
    method: ablation_methods.AblationMethod,
    sizes: Sizes,
) -> Contender:
    masks = jnp.asarray(single_unit_masks(sizes.units))

    def falls(params: Any, images: jax.Array, masks: jax.Array) -> jax.Array:
        nothing = jnp.zeros((), jnp.float32)
        case = ablation_methods.AblationCase(network, params, images, LAYER, sizes.units, nothing)
        scores = method(case)
        assert scores is not None  # both methods apply to this layer
        whole = scores(case.all_kept)
        chosen = whole.argmax(-1)

        def fall(keep: jax.Array) -> jax.Array:
            lost = whole - scores(keep)
            return jnp.take_along_axis(lost, chosen[:, None], 1)[:, 0]

        together = conditions_together(2**30, scores, masks)
        return jax.lax.map(fall, masks, batch_size=together)

    given = jax.device_put((network.params, images, masks))
    with jax.default_matmul_precision("highest" if sizes.precision == "highest" else "default"):
        compiled = jax.jit(falls).lower(*given).compile()
    does = {
        "low_rank": "subtracts each unit's part from the first linear map",
        "edited": "runs what follows the layer for every unit",
    }
    return Contender(
        name=f"jaxdissect, {method.__name__}",
        library="jaxdissect",
        run=lambda: compiled(*given),
        wait=jax.block_until_ready,
        terms=pytorch.own_terms(
            sizes.precision,
            "channels last",
            "rounded",
            does[method.__name__],
            convolves=True,
        ),
    )


def _by_pytorch(original: Any, images: np.ndarray, sizes: Sizes) -> Sequence[Contender]:
    torch = load("torch")
    module = original.to(pytorch.torch_device())
    shown = pytorch.placed(images, channels_first=True)

    def run() -> Any:
        kept = module.features[: THEIR_LAYER + 1](shown)

        def scores(activations: Any) -> Any:
            # Out of place: the ReLU of the network would overwrite what is kept.
            pooled = module.features[THEIR_LAYER + 2 :](activations.relu())
            return module.classifier(module.avgpool(pooled).flatten(1))

        whole = scores(kept)
        chosen = whole.argmax(1)
        found = []
        for removed in torch.arange(sizes.units, device=kept.device).split(BY_HAND_TOGETHER):
            number = len(removed)
            without = kept.repeat(number, 1, 1, 1, 1)  # [units, B, U, h, w]
            without[torch.arange(number, device=kept.device), :, removed] = 0
            left = scores(without.flatten(0, 1)).unflatten(0, (number, -1))
            lost = whole - left
            found.append(lost.gather(2, chosen.expand(number, -1)[..., None])[..., 0])
        return torch.cat(found)

    return [
        pytorch.contender(
            "PyTorch, what follows the layer",
            run,
            pytorch.terms(
                sizes.precision,
                "channels first",
                "rounded",
                f"written by hand; {BY_HAND_TOGETHER} units together",
            ),
        )
    ]


def _by_captum(
    original: Any, images: np.ndarray, units: np.ndarray, sizes: Sizes
) -> Sequence[Contender]:
    torch, captum = load("torch"), load("captum.attr")
    module = original.to(pytorch.torch_device())
    for layer in module.modules():
        if isinstance(layer, torch.nn.ReLU):
            layer.inplace = False  # it would overwrite what captum keeps of the layer
    shown = pytorch.placed(images, channels_first=True)
    with torch.inference_mode():
        chosen = module(shown).argmax(1)
    features = np.zeros(sizes.units, np.int64)  # all others are removed together, as one more
    features[units] = np.arange(1, len(units) + 1)
    if len(units) == sizes.units:
        features -= 1
    mask = pytorch.placed(features).reshape(1, -1, 1, 1)
    mask = mask.expand(1, -1, 14, 14)
    ablation = captum.LayerFeatureAblation(module, module.features[THEIR_LAYER])
    removed = int(features.max()) + 1

    def run() -> Any:
        return ablation.attribute(
            shown,
            target=chosen,
            layer_mask=mask,
            perturbations_per_eval=sizes.together,
        )

    return [
        pytorch.contender(
            CAPTUM,
            run,
            pytorch.terms(
                sizes.precision,
                "channels first",
                "rounded",
                "runs the whole network for every unit",
            ),
            library="captum",
            share=(removed + 2) / (sizes.units + 2),  # it runs the network twice before
        )
    ]
