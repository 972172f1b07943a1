"""Forward passes of torchvision's networks, here and there, with the very same weights."""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.others import pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.bench.workloads.seeded_networks import make_network
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.precision import in_precision

NETWORKS = {
    "vgg16": ("vgg16", "vgg16"),
    "resnet50": ("resnet50", "resnet50"),
    "vit_b_16": ("vit_b_16", "vit_base_torchvision"),
}
"""Names in torchvision and in `jaxdissect.networks.models.catalog.ARCHITECTURES`."""

SEEDED_NAMES = {"vit_b_16": "vit_base"}
"""Names in `jaxdissect.bench.workloads.seeded_networks` that differ from torchvision's."""

TOLERANCES = {
    "highest": (2e-5, "float32 sums of tens of thousands of products in another order"),
    "default": (1e-2, "products of 10 bits where the device prefers them, through all layers"),
    "bfloat16": (6e-2, "products and activations of 8 bits, through all layers"),
}
OURS = "jaxdissect"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is run.

    Attributes:
        network: One of `NETWORKS`.
        batch: Images of a forward pass.
        precision: "highest", "default" or "bfloat16".
        image_size: Pixels along each side; ViT-B/16 takes 224.
        narrower: Divides the units of every layer, for tests; not of ViT-B/16.
        compiled: Whether `torch.compile` competes too; it needs a compiler.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    network: Literal["vgg16", "resnet50", "vit_b_16"] = "vgg16"
    batch: int = 8
    precision: Literal["highest", "default", "bfloat16"] = "default"
    image_size: int = 224
    narrower: int = 1
    compiled: bool = False
    turns: int = 11
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if min(self.batch, self.narrower, self.turns) < 1 or self.image_size < 32:
            raise ValueError(
                f"`batch` (={self.batch}), `narrower` (={self.narrower}) and `turns` "
                f"(={self.turns}) must be at least 1, and `image_size` (={self.image_size}) 32"
            )
        if self.network == "vit_b_16" and (self.image_size, self.narrower) != (224, 1):
            raise ValueError(
                f"`image_size` (={self.image_size}) must be 224 and `narrower` (={self.narrower}) "
                "1 for vit_b_16"
            )


def forward_match(sizes: Sizes) -> Match:
    """Prepare the forward passes; weights pass through a file, as a user's would."""
    shape = (sizes.batch, sizes.image_size, sizes.image_size, 3)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected: list[np.ndarray] = []
    module: list[Any] = []

    def theirs() -> Sequence[Contender]:
        torchvision = load("torchvision")
        original = getattr(torchvision.models, NETWORKS[sizes.network][0])(weights=None)
        module.append(pytorch.randomise(pytorch.narrowed(original, sizes.narrower), seed=0))
        original = module[0]
        exact = copy.deepcopy(original).double()(
            load("torch").from_numpy(images[:1].transpose(0, 3, 1, 2).astype(np.float64).copy())
        )
        expected.append(pytorch.host(exact))
        del exact
        return _by_torchvision(original, images, sizes)

    others = unless_missing("torchvision", "torchvision", theirs)
    network = (
        imported(sizes.network, module[0])
        if module
        else drawn(sizes.network, sizes.image_size, sizes.narrower)
    )
    ours = _ours(network, images, sizes)
    tolerance, reason = TOLERANCES[sizes.precision]
    if jax.default_backend() == "cpu" and sizes.precision == "default":
        tolerance, reason = TOLERANCES["highest"]  # which it is there

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        found = {name: _on_host(answer) for name, answer in answers.items()}
        gates = {
            f"{name}: scores of an image": within(
                scores[:1],
                exact,
                tolerance,
                reason=reason,
                against="torchvision in float64 on the processor, the first image",
            )
            for exact in expected
            for name, scores in found.items()
        }
        for name, scores in found.items():
            if name != OURS:
                gates[f"{name}: scores of all images"] = within(
                    scores, found[OURS], 2 * tolerance, reason=f"both: {reason}", against=OURS
                )
        return gates

    return Match(
        title=f"Forward pass of {sizes.network}, {sizes.batch} images of "
        f"{sizes.image_size} x {sizes.image_size} pixels, "
        f"{sizes.precision} precision",
        unit="image",
        units=sizes.batch,
        contenders=[ours, *others],
        check=check,
        note="Images and weights are in the memory of the device, the same for all; torchvision "
        "runs without gradients. PyTorch runs one operation after the other unless it is said to "
        "be compiled; ours is always compiled by XLA.",
    )


def drawn(name: str, image_size: int, narrower: int) -> Network:
    """The network alone, where there is no torchvision to draw the weights."""
    return as_network(make_network(SEEDED_NAMES.get(name, name), image_size, narrower))


def imported(name: str, original: Any) -> Network:
    """Read the weights of torchvision's network as from any file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        weights = {key: tensor.cpu() for key, tensor in original.state_dict().items()}
        load("torch").save(weights, path)
        return as_network(load_network(NETWORKS[name][1], path))


def _ours(network: Network, images: np.ndarray, sizes: Sizes) -> Contender:
    if sizes.precision == "bfloat16":
        network = in_precision(network, jnp.bfloat16)
    forward = jax.jit(lambda params, images: network.apply(params, images)[0])
    params, shown = jax.device_put((network.params, images))
    precision = "highest" if sizes.precision == "highest" else "default"
    with jax.default_matmul_precision(precision):
        compiled = forward.lower(params, shown).compile()
    return Contender(
        name=OURS,
        library="jaxdissect",
        run=lambda: compiled(params, shown),
        wait=jax.block_until_ready,
        terms=pytorch.own_terms(
            sizes.precision, "channels last", "rounded", convolves=sizes.network != "vit_b_16"
        ),
    )


def _by_torchvision(original: Any, images: np.ndarray, sizes: Sizes) -> Sequence[Contender]:
    torch = load("torch")
    module = copy.deepcopy(original).to(pytorch.torch_device())
    shown = pytorch.placed(images, channels_first=True)
    if sizes.precision == "bfloat16":
        module, shown = module.bfloat16(), shown.bfloat16()
    last = copy.deepcopy(module).to(memory_format=torch.channels_last)
    shown_last = shown.contiguous(memory_format=torch.channels_last)
    forms = {
        "torchvision": (module, shown, "channels first", "not compiled"),
        "torchvision, channels last": (last, shown_last, "channels last", "not compiled"),
    }
    if sizes.compiled:
        together = torch.compile(last)
        forms["torchvision, compiled"] = (together, shown_last, "channels last", "")
    return [
        pytorch.contender(
            name,
            lambda module=module, shown=shown: module(shown),
            pytorch.terms(sizes.precision, layout, "rounded", differs),
            library="torchvision",
        )
        for name, (module, shown, layout, differs) in forms.items()
    ]


def _on_host(answer: Any) -> np.ndarray:
    if isinstance(answer, jax.Array):
        return np.asarray(answer)
    return pytorch.host(answer.float())
