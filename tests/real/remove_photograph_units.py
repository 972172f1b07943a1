"""Remove units of the real scene classifier, one by one, and measure which scenes need which units.

    python tests/real/remove_photograph_units.py [--every 1] [--dissection FOLDER] \
        [--checkpoints FOLDER] [--out FOLDER]

Units of fire9 are ranked on the annotated photographs and judged on others. The photographs show
100 scenes, 96 of which are among the 365 that the classifier scores: it is asked to tell only those
apart, and the photographs of the other 4 are left out.

Letters: U units, N = 96 classes.
"""

import argparse
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dissect_photographs import Every, dissect_photographs
from flax import nnx
from squeezenet import (
    SqueezeNet,
    preprocess,
    read_categories,
    read_mean,
    squeezenet_places365,
)

import jaxdissect as jd
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.class_study import ClassStudy, study_classes
from jaxdissect.commands.ablate import tables
from jaxdissect.commands.output.table_files import Rows, aligned, write_csv
from jaxdissect.stats import accuracy
from jaxdissect.stats.intervals import Interval

LAYER, NUM_UNITS = "fire9", 512
NUM_SHOWN = 5


class Scenes:
    """The photographs of a folder that show one of some scenes, with its number as ``label``."""

    def __init__(self, folder: Path, classes: Sequence[str]):
        rows = np.loadtxt(folder / "index.csv", dtype=str, delimiter=",", skiprows=1)
        scene = dict(zip(rows[:, 0], rows[:, 1], strict=True))
        self._images = jd.image_folder(folder / "images", image_size=(128, 128))
        number = {name: i for i, name in enumerate(classes)}
        labels = [
            number.get(scene[Path(self._images.name(i)).stem], -1) for i in range(len(self._images))
        ]
        self._places = [i for i, label in enumerate(labels) if label >= 0]
        self.labels = np.array(labels, np.int32)[self._places]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image = self._images[self._places[index]]["image"]
        return {"image": image, "label": self.labels[index]}


def known_scenes(photographs: Path, classifier: Path) -> tuple[str, ...]:
    """Names of the scenes of the photographs that the classifier knows, in its order."""
    shown = {line.split()[0] for line in (photographs / "scenes.txt").read_text().splitlines()}
    return tuple(name for name in read_categories(classifier) if name in shown)


def scores_of_scenes(classifier: Path, classes: Sequence[str]) -> SqueezeNet:
    """Build the classifier with the filters of some scenes alone: the very same scores of those."""
    network = squeezenet_places365(classifier)
    categories = read_categories(classifier)
    chosen = np.array([categories.index(name) for name in classes])
    last = network.conv10.convolution
    for name in ("kernel", "bias"):
        setattr(last, name, nnx.Param(getattr(last, name)[..., chosen]))
    return network


def study_scenes(
    ranking: Path, judging: Path, classifier: Path, *, every: int = 1, **options
) -> tuple[ClassStudy, tuple[str, ...]]:
    """Rank units on every n-th of some photographs, judge them on every n-th of others."""
    classes = known_scenes(ranking, classifier)
    mean = read_mean(classifier)
    study = study_classes(
        scores_of_scenes(classifier, classes),
        Every(Scenes(ranking, classes), every),
        Every(Scenes(judging, classes), every),
        LAYER,
        NUM_UNITS,
        inputs=lambda batch: preprocess(batch["image"], mean),
        **options,
    )
    return study, classes


def effect_rows(
    study: ClassStudy, own: Interval, classes: Sequence[str], units: Sequence[str]
) -> Rows:
    """The classes that lose most by the removal of the one unit that was ranked first for them."""
    first = study.ranking[:, 0]
    lost, low, high = (
        -end[first, np.arange(len(classes))] for end in (own.estimate, own.high, own.low)
    )
    accuracy_lost = -study.single_intervals(accuracy.overall_accuracy).estimate[first]
    header = ("class", "unit", "balanced accuracy", "lost", "99% from", "99% to", "lost by all")
    before = accuracy.balanced_accuracy(study.judging_removals.baseline)
    return header, [
        (classes[c], units[int(first[c])], before[c], lost[c], low[c], high[c], accuracy_lost[c])
        for c in np.argsort(-lost, kind="stable").tolist()
    ]


def report(study: ClassStudy, classes: Sequence[str], dissection: jd.Dissection | None) -> str:
    """Accuracy, the classes with the largest effects of single units, importance against IoU."""
    overall = float(accuracy.overall_accuracy(study.judging_removals.baseline))
    overall_change = study.single_intervals(accuracy.overall_accuracy)
    worst = int(overall_change.estimate.argmin())
    lines = [
        f"ranked on {len(study.ranking_removals.labels)}, judged on "
        f"{len(study.judging_removals.labels)} photographs of {len(classes)} scenes; "
        f"removals computed by {study.judging_removals.method}",
        f"accuracy over all classes {overall:.3f}; ranking photographs "
        f"{float(accuracy.overall_accuracy(study.ranking_removals.baseline)):.3f}; chance "
        f"{1 / len(classes):.3f}",
        f"the single unit that costs most accuracy: {worst}, "
        f"{overall_change.estimate[worst]:+.4f}"
        f" [{overall_change.low[worst]:+.4f}, {overall_change.high[worst]:+.4f}]",
    ]
    names = [str(unit) for unit in range(NUM_UNITS)]
    if dissection is not None:
        last = dissection[LAYER]
        names = [
            f"{unit} ({last.vocabulary.names[concept]} {iou:.3f})"
            for unit, (concept, iou) in enumerate(
                zip(last.best_concept, last.best_iou, strict=True)
            )
        ]
    own = study.single_intervals(accuracy.balanced_accuracy)
    header, rows = effect_rows(study, own, classes, names)
    clear = sum(row[4] > 0 for row in rows)
    lines += ["", *_printed(header, rows[:NUM_SHOWN])]
    lines.append(f"{clear} of {len(rows)} classes lose for sure (99%) by their first unit")
    lines += ["", *_printed(*_set_rows(study))]
    if dissection is not None:
        iou = dissection[LAYER].best_iou
        damage = study.ranked_by.mean(axis=1)
        correlation = importance.rank_correlation(damage, iou)
        lines += ["", *_printed(*tables.importance_table(study, iou))]
        lines.append(f"rank correlation of mean damage and IoU {correlation:.3f}")
    return "\n".join(lines)


def _set_rows(study: ClassStudy) -> Rows:
    """Mean balanced accuracy of all classes, each without its n best units and with them alone."""
    whole, *sets = study.own_balanced_accuracies().mean(axis=1)
    without, alone = sets[: len(study.sizes)], sets[len(study.sizes) :]
    rows = [(str(n), a, b) for n, a, b in zip(study.sizes, without, alone, strict=True)]
    return ("n", "without the n best", "the n best alone"), [("all units", whole, whole), *rows]


def _printed(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    text = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    return list(aligned([header, *text]))


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Remove units of the scene classifier.")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 20])
    parser.add_argument("--dissection", type=Path, help="saved by dissect_photographs")
    parser.add_argument("--dissect", action="store_true", help="dissect the same photographs")
    parser.add_argument("--rank-by", choices=RANKINGS, default="balanced_accuracy")
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ranking, judging = real_folder("miniplaces"), real_folder("miniplaces_scenes")
    classifier = real_folder("squeezenet_places365")
    begin = time.perf_counter()
    say = functools.partial(_say, begin)
    study, classes = study_scenes(
        ranking,
        judging,
        classifier,
        every=options.every,
        sizes=options.sizes,
        rank_by=RANKINGS[options.rank_by],
        checkpoints=options.checkpoints,
        progress=say,
    )
    seconds = time.perf_counter() - begin
    dissection = None
    if options.dissection:
        dissection = jd.load_dissection(options.dissection)
    elif options.dissect:  # of the photographs that units are ranked on
        dissection = dissect_photographs(
            ranking, classifier, every=options.every, layers=[LAYER], progress=say
        )
    print(report(study, classes, dissection))
    print(f"{seconds:.0f} s for the removals")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        if options.dissect and dissection is not None:
            dissection.save(options.out / "dissection")
        own = study.single_intervals(accuracy.balanced_accuracy)
        names = [str(unit) for unit in range(NUM_UNITS)]
        write_csv(options.out / "first_units.csv", *effect_rows(study, own, classes, names))
        np.savez(
            options.out / "single_removals.npz",
            damage=study.judging_removals.damage(),
            ranked_by=study.ranked_by,
        )


RANKINGS = {
    "balanced_accuracy": accuracy.balanced_accuracy,
    "confidence": accuracy.confidence,
}


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total) or done % 256 < 16:
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
