"""`jaxdissect attack`: what adversarial images do to units, as a folder of tables and figures."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tyro.conf import arg

from jaxdissect.attacks import changes_by_group, find_attack_examples, measure_peaks
from jaxdissect.attacks.attack_examples import LEAST_CHANGE
from jaxdissect.commands.attack import figures, tables
from jaxdissect.commands.options.attack import AttackedImages
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.identity import digest, looked_at_once


@dataclass(frozen=True, kw_only=True)
class AttackOptions(AttackedImages):
    """Change images as little as possible so that a classifier misclassifies them as another class,
    and measure which units that changes.

    Images come from --sample, from two folders (--rank-images, --images) that hold a folder for
    every class, or from two splits of --tfds. Units are ranked on the first part, images of the
    other part are attacked.
    """

    least_change: Annotated[float, arg(metavar="X")] = LEAST_CHANGE
    """Change of an activation above which it is shown."""
    amplify: Annotated[float, arg(metavar="X")] = 20.0
    """Factor by which differences of images are amplified (100 in the paper, for larger images)."""
    num_shown: Annotated[int, arg(metavar="N")] = 8
    """Number of attacked images in the figure of examples."""

    of_results_alone: ClassVar = frozenset(("least_change", "amplify", "num_shown"))

    @looked_at_once()
    def run(self) -> None:
        """Attack as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_free()
        self.check_checkpoints()
        check_at_least(self, num_shown=1, least_change=0, amplify=0)
        classifier = self.find_classifier()
        self.claim_checkpoints(self.contents(classifier.data, classifier.network))
        with self.working() as (folder, progress):
            names = classifier.names
            study = self.study(classifier, progress)
            there = study.succeeded
            if not len(there):
                raise ValueError(
                    f"`attack`: none of the {len(study.images)} images was misclassified as "
                    f"{self.target!r}; give it more of {self.ways_to_go_further}"
                )
            peaks = measure_peaks(
                classifier.network,
                study.images[there],
                study.adversarial[there],
                study.layer,
                batch_size=classifier.batch_size,
                checkpoints=self.checkpoints_of("peaks"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            groups = changes_by_group(
                peaks.change, study.important, study.sources[there], study.targets[there]
            )
            written = {
                "images": tables.image_table(study, names),
                "groups": tables.group_table(groups),
                "units": tables.unit_table(study, peaks),
            }
            self.write_tables(folder, written)
            width = self.figure_inches
            group_chart = figures.group_figure(groups, study, names, width=width)
            self.save_figure(folder, "groups", group_chart)
            self.save_figure(folder, "units", figures.unit_figure(peaks, study, width=width))
            examples = find_attack_examples(
                classifier.network,
                study,
                peaks,
                number=self.num_shown,
                least_change=self.least_change,
                batch_size=classifier.batch_size,
                mesh=self.computing.mesh,
            )
            sheet = figures.example_sheet(examples, names, factor=self.amplify, width=width)
            self.save_figure(folder, "examples", sheet)
            facts = tables.facts(study, groups, names)
            facts |= {
                "network": digest(classifier.network.params),
                "skipped": list(classifier.data.skipped),
            }
            write_settings(folder / "attack.json", self, facts)
        self.print_summary(tables.summary(study, groups, names))
