"""What the units of the scene classifier detect, and which classes need them.

Results are written as `jaxdissect dissect` and `jaxdissect ablate` write theirs.
"""

from pathlib import Path
from typing import Any

from jaxdissect.classifiers.class_correlation import correlate_with_classes
from jaxdissect.classifiers.class_study import ClassStudy, study_classes
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.commands.ablate import figures, tables
from jaxdissect.commands.demo.dissected_network import write_network
from jaxdissect.commands.demo.settings import command_of
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.commands.output.table_files import write_csv
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import digest
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.network import Network
from jaxdissect.plots.figure_files import save_figure
from jaxdissect.scenes.concepts import scene_vocabulary
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.scene_classifier import BLOCKS, CONVOLUTIONS
from jaxdissect.stats import accuracy

NUM_REMOVED = 4
"""Units of a class that are removed together."""

_BATCH = 32


def dissect_classifier(network: Network, source: Source, progress: Progress) -> Dissection:
    """Dissect every convolution with the labels that were drawn."""
    return dissect(
        network,
        source,
        annotated(scene_vocabulary()),
        layers=CONVOLUTIONS,
        grid=(32, 32),
        num_top_images=16,
        batch_size=_BATCH,
        progress=progress,
    )


def write_classifier(
    folder: Path,
    result: Dissection,
    network: Network,
    source: Source,
    sample: int,
    options: Any,
    progress: Progress,
) -> None:
    """Write the dissection, and what its page shows of every unit."""
    write_network(
        folder,
        result,
        network,
        source,
        annotated(scene_vocabulary()),
        sample=sample,
        options=options,
        progress=progress,
    )


def study_scenes(
    network: Network, ranking: Source, judging: Source, progress: Progress
) -> ClassStudy:
    """Rank the units of the last convolution for every class, and remove the first on others.

    Args:
        network: The classifier.
        ranking: Pictures to rank units with, one by one.
        judging: Other pictures, to measure with.
        progress: Is called with how far the passes have come.
    """
    return study_classes(
        network,
        ranking,
        judging,
        CONVOLUTIONS[-1],
        BLOCKS[-1][-1],
        sizes=(NUM_REMOVED,),
        rank_by=accuracy.confidence,  # distinguishes more from few pictures
        label_key="scene",
        batch_size=_BATCH,
        progress=progress,
    )


def write_study(
    folder: Path,
    study: ClassStudy,
    result: Dissection,
    network: Network,
    ranking: Source,
    judging: Source,
    options: Any,
    progress: Progress,
) -> None:
    """Write which classes need which units, beside what the units detect."""
    layer, classes = CONVOLUTIONS[-1], {"label_key": "scene", "batch_size": _BATCH}
    estimate = estimated_damage(network, ranking, layer, len(SCENES), progress=progress, **classes)
    correlation = correlate_with_classes(network, judging, layer, progress=progress, **classes)
    single = study.single_intervals(accuracy.balanced_accuracy)
    iou = result[layer].best_iou
    folder.mkdir()
    for name, rows in {
        "units": tables.unit_table(study, single, estimate, correlation, SCENES),
        "classes": tables.class_table(study, SCENES),
        "rates": tables.rate_table(study, SCENES),
        "sets": tables.set_table(study, SCENES),
        "improvements": tables.improvement_table(study, single, SCENES),
        "important": tables.important_table(study, SCENES, iou),
        "importance": tables.importance_table(study, iou),
    }.items():
        write_csv(folder / f"{name}.csv", *rows)
    for name, figure in {
        "classes": figures.class_figure(study, SCENES),
        "distribution": figures.distribution_figure(study),
        "importance": figures.mean_importance_figure(study, iou),
    }.items():
        save_figure(folder / f"{name}.png", figure)
    facts = tables.facts(study, single, estimate, correlation)
    facts["network"] = digest(network.params)
    described = {"sizes": [NUM_REMOVED], "rank_by": "confidence", "replace": "zero"}
    write_settings(folder / "ablation.json", options, facts | command_of(options, **described))


def study_sentence(study: ClassStudy) -> str:
    """Say what the removal costs the class that loses most, and all classes together."""
    whole, without, _ = study.own_balanced_accuracies()
    most = int((whole - without).argmax())
    before = float(accuracy.overall_accuracy(study.set_removals.baseline))
    after = float(accuracy.overall_accuracy(study.set_removals.counts)[most])
    return (
        f"Without its {NUM_REMOVED} most important units, {SCENES[study.classes[most]]!r} loses "
        f"most: balanced accuracy {whole[most]:.2f} becomes {without[most]:.2f} (chance 0.50), "
        f"accuracy over all classes {before:.2f} becomes {after:.2f}."
    )
