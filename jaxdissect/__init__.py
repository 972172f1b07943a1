"""Find out what the individual units of a vision network do.

`dissect` names the concept that every unit of a layer detects. What it needs is made here too: a
`Network` of any nnx or linen module or of plain functions, or a published one (`pretrained`); a
source of images such as `image_folder`; and a `Labeler` that says what every pixel shows, perhaps
with a published segmenter (`pretrained_segmenter`).

Everything else has its package, which is imported when it is first asked for:

    classifiers, generators, attacks, styles, painting
        the other experiments: what units cause, what attacks and other styles do to them.
    dissection, scenes, engine, networks, stats, arrays
        what they stand on: presets, the drawn scenes, data sources, networks, statistics, arrays.
    plots, report
        figures and the page that commands write.
    reproduction
        the experiments of a paper as configurations, run and compared with what was published.
    bench
        how fast all this is, what share of the hardware it reaches, and whether it is right.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdissect import arrays as arrays
    from jaxdissect import attacks as attacks
    from jaxdissect import bench as bench
    from jaxdissect import classifiers as classifiers
    from jaxdissect import dissection as dissection
    from jaxdissect import engine as engine
    from jaxdissect import generators as generators
    from jaxdissect import networks as networks
    from jaxdissect import painting as painting
    from jaxdissect import plots as plots
    from jaxdissect import report as report
    from jaxdissect import reproduction as reproduction
    from jaxdissect import scenes as scenes
    from jaxdissect import stats as stats
    from jaxdissect import styles as styles
    from jaxdissect.arrays.concepts import Vocabulary as Vocabulary
    from jaxdissect.arrays.concepts import read_concepts as read_concepts
    from jaxdissect.arrays.concepts import vocabulary as vocabulary
    from jaxdissect.dissection.comparison import compare as compare
    from jaxdissect.dissection.presets import GANDISSECT2019 as GANDISSECT2019
    from jaxdissect.dissection.presets import NETDISSECT2017 as NETDISSECT2017
    from jaxdissect.dissection.presets import PNAS2020 as PNAS2020
    from jaxdissect.dissection.presets import REFERENCE as REFERENCE
    from jaxdissect.dissection.presets import Preset as Preset
    from jaxdissect.dissection.result import Dissection as Dissection
    from jaxdissect.dissection.result import load_dissection as load_dissection
    from jaxdissect.dissection.run import dissect as dissect
    from jaxdissect.engine.data.folders import image_folder as image_folder
    from jaxdissect.engine.labelers import Labeler as Labeler
    from jaxdissect.engine.labelers import annotated as annotated
    from jaxdissect.engine.labelers import colored as colored
    from jaxdissect.engine.labelers import segmented as segmented
    from jaxdissect.engine.labelers import together as together
    from jaxdissect.networks.adapters.linen_network import LinenNetwork as LinenNetwork
    from jaxdissect.networks.adapters.nnx_network import NnxNetwork as NnxNetwork
    from jaxdissect.networks.adapters.staged_network import StagedNetwork as StagedNetwork
    from jaxdissect.networks.edits import Edit as Edit
    from jaxdissect.networks.edits import ablate as ablate
    from jaxdissect.networks.edits import insert as insert
    from jaxdissect.networks.edits import mask_params as mask_params
    from jaxdissect.networks.loading import load_network as load_network
    from jaxdissect.networks.loading import pretrained as pretrained
    from jaxdissect.networks.network import Network as Network
    from jaxdissect.networks.network import as_network as as_network
    from jaxdissect.networks.segmenters.pretrained import (
        pretrained_segmenter as pretrained_segmenter,
    )
    from jaxdissect.networks.segmenters.segmenter import Segmenter as Segmenter
    from jaxdissect.networks.weights.linen_weights import load_linen_weights as load_linen_weights
    from jaxdissect.networks.weights.nnx_weights import load_weights as load_weights

    __version__: str

_PACKAGES = (
    *("arrays", "attacks", "classifiers", "dissection", "engine", "generators", "networks"),
    *("painting", "plots", "report", "reproduction", "scenes", "stats", "styles", "bench"),
)

_MODULES = {
    "Vocabulary": "arrays.concepts",
    "read_concepts": "arrays.concepts",
    "vocabulary": "arrays.concepts",
    "compare": "dissection.comparison",
    "GANDISSECT2019": "dissection.presets",
    "NETDISSECT2017": "dissection.presets",
    "PNAS2020": "dissection.presets",
    "REFERENCE": "dissection.presets",
    "Preset": "dissection.presets",
    "Dissection": "dissection.result",
    "load_dissection": "dissection.result",
    "dissect": "dissection.run",
    "image_folder": "engine.data.folders",
    "Labeler": "engine.labelers",
    "annotated": "engine.labelers",
    "colored": "engine.labelers",
    "segmented": "engine.labelers",
    "together": "engine.labelers",
    "LinenNetwork": "networks.adapters.linen_network",
    "NnxNetwork": "networks.adapters.nnx_network",
    "StagedNetwork": "networks.adapters.staged_network",
    "Edit": "networks.edits",
    "ablate": "networks.edits",
    "insert": "networks.edits",
    "mask_params": "networks.edits",
    "load_network": "networks.loading",
    "pretrained": "networks.loading",
    "Network": "networks.network",
    "as_network": "networks.network",
    "pretrained_segmenter": "networks.segmenters.pretrained",
    "Segmenter": "networks.segmenters.segmenter",
    "load_linen_weights": "networks.weights.linen_weights",
    "load_weights": "networks.weights.nnx_weights",
}
"""Where public names are defined. A module is imported when one of its names is asked for: all of
them take seconds, which a command that prints its help need not wait for."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"jaxdissect.{name}")
    if name in _MODULES:
        value = getattr(importlib.import_module(f"jaxdissect.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    if name == "__version__":
        from importlib.metadata import version

        return version("jaxdissect")
    raise AttributeError(f"module 'jaxdissect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_MODULES, *_PACKAGES, "__version__"})
