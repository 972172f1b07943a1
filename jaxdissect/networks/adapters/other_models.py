"""What to do with a model that is no Network: known by where its classes come from.

No other framework is imported: the modules that define the classes of a model tell which it is.
"""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from flax import nnx

_PYTORCH = (
    "it is a PyTorch {kind}, and jaxdissect runs networks of JAX: write its weights by "
    '`torch.save(model.state_dict(), "weights.pth")`; then `load_network("{known}", '
    '"weights.pth")` rebuilds it if it is of a kind known here (a wrong name lists them), and '
    '`load_weights(module, "weights.pth")` puts them into an nnx module of yours with the same '
    "layers"
)
_EQUINOX = (
    "it is an equinox module, which takes one example, channels first: split it by "
    "`params, static = equinox.partition(model, equinox.is_array)`, and write "
    "`TappedNetwork(run, params)` (of jaxdissect.networks.adapters) with\n"
    "    def run(params, images, tap):\n"
    "        model = equinox.combine(params, static)\n"
    "        return jax.vmap(model)(jnp.moveaxis(images, -1, 1))\n"
    "Layers are the values that its __call__ names, channels last:\n"
    '    x = jnp.moveaxis(checkpoint_name(jnp.moveaxis(x, 0, -1), "conv1"), -1, 0)\n'
    "with checkpoint_name of jax.ad_checkpoint; or let `run` call the parts of the model, each in "
    'a jax.vmap of its own, and pass what they give through tap("conv1", x), [B, h, w, U]'
)
_TRANSFORMERS_FLAX = (
    "it is a Flax model of transformers, which is a linen module with its parameters: "
    'LinenNetwork(model.module, {"params": model.params}), whose images are [B, H, W, C]'
)
_KERAS = (
    "it is a Keras model: with the JAX backend, `StagedNetwork(stages, params)` takes a function "
    "for each layer, such as\n"
    "    lambda params, x: layer.stateless_call(*params[layer.name], x)[0]\n"
    "with params[layer.name] = (layer.trainable_variables, layer.non_trainable_variables) as arrays"
)
_HAIKU = (
    "it is a transformed Haiku function: write it as a plain function for "
    "`StagedNetwork(stages, params)`, each stage the `apply` of a transformed part"
)
_TENSORFLOW = (
    "it is a TensorFlow model, and jaxdissect runs networks of JAX: write its weights as .npz and "
    "load them into an nnx module of yours by `load_weights`"
)
_LINEN = "wrap a linen module with its variables as LinenNetwork(module, variables)"
_FUNCTIONS = (
    "plain functions as StagedNetwork(stages, params), or TappedNetwork(function, params) of "
    "jaxdissect.networks.adapters"
)

# By the beginning of the name of a module that defines a class of the model; the first counts.
_KINDS: tuple[tuple[str, str], ...] = (
    ("transformers.modeling_flax_utils", _TRANSFORMERS_FLAX),
    ("transformers", _PYTORCH.format(kind="model of transformers", known="vit_base")),
    ("timm", _PYTORCH.format(kind="model of timm", known="resnet18")),
    ("torchvision", _PYTORCH.format(kind="model of torchvision", known="resnet18")),
    ("torch", _PYTORCH.format(kind="module", known="resnet18")),
    ("equinox", _EQUINOX),
    ("keras", _KERAS),
    ("tf_keras", _TENSORFLOW),
    ("tensorflow", _TENSORFLOW),
    ("haiku", _HAIKU),
)


def what_to_do(model: Any) -> str:
    """Say how a Network is made of a model that is none.

    Args:
        model: Whatever was given instead of a network.

    Returns:
        The end of a sentence.
    """
    if isinstance(model, type):
        return f"give a network, not its class: {model.__name__}(...)"
    homes = [kind.__module__ for kind in type(model).__mro__]
    for beginning, advice in _KINDS:
        if any(home == beginning or home.startswith(f"{beginning}.") for home in homes):
            return advice
    if isinstance(model, str):
        return (
            "a text names no network here: `pretrained(name)` and `load_network(name, file)` "
            "build those that are known"
        )
    if isinstance(model, nn.Module):
        return f"{_LINEN}; {_FUNCTIONS}"
    if isinstance(model, Mapping) and model:
        return (
            "weights alone are no network: `load_network(name, file)` builds a known one with the "
            "weights of a file, `load_weights(module, file)` puts them into an nnx module of yours"
        )
    if isinstance(model, tuple | list) and any(isinstance(part, nn.Module) for part in model):
        return "wrap the linen module with its variables as LinenNetwork(module, variables)"
    if isinstance(model, tuple | list) and any(isinstance(part, nnx.GraphDef) for part in model):
        return "give the module itself: nnx.merge(graphdef, state)"
    return f"{_LINEN}, {_FUNCTIONS}"
