"""`jaxdissect attack`: what adversarial images do to units, as a folder of tables and figures."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from tyro.conf import arg

from jaxdissect.attacks import effect_on_units
from jaxdissect.commands.attack import figures, tables
from jaxdissect.commands.options.attack import AttackedImages, attack_case
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.plots.figure_files import save_figure


@dataclass(frozen=True, kw_only=True)
class AttackOptions(AttackedImages):
    """Change images as little as may be so that a classifier takes them for another class, and
    measure which units that changes.

    Images come from --sample, from two folders (--rank-images, --images) that hold a folder for
    every class, or from two splits of --tfds. Units are ranked on the first part, images of the
    other part are attacked.
    """

    least_change: Annotated[float, arg(metavar="X")] = effect_on_units.LEAST_CHANGE
    """Change of an activation from which maps show it."""
    amplify: Annotated[float, arg(metavar="X")] = 20.0
    """Factor by which differences of images are shown (100 in the paper, for larger images)."""
    num_shown: Annotated[int, arg(metavar="N")] = 8
    """Attacked images in the figure of examples."""

    def run(self) -> None:
        """Attack as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_free()
        if self.num_shown < 1:
            raise ValueError(f"`num_shown` (={self.num_shown}) must be at least 1")
        with self.working() as (folder, progress):
            case = attack_case(self, progress)
            there = case.attacked.success
            if not there.any():
                raise ValueError(
                    f"`attack`: none of the {len(there)} images was taken for {self.target!r}; "
                    "give it more iterations, or a greater `epsilon`"
                )
            peaks = effect_on_units.attacked_peaks(
                case.network,
                case.images[there],
                np.asarray(case.attacked.images)[there],
                case.layer,
                batch_size=self.batch_size,
                progress=progress,
            )
            groups = effect_on_units.changes_by_group(
                peaks.change, case.important, case.sources[there], case.targets[there]
            )
            written = {
                "images": tables.image_table(case),
                "groups": tables.group_table(groups),
                "units": tables.unit_table(case, peaks),
            }
            self.write_tables(folder, written)
            save_figure(folder / "groups.png", figures.group_figure(groups, case))
            save_figure(folder / "units.png", figures.unit_figure(peaks, case))
            sheet = figures.example_sheet(
                case,
                peaks,
                number=self.num_shown,
                least_change=self.least_change,
                factor=self.amplify,
            )
            sheet.save(folder / "examples.png")
            write_settings(folder / "attack.json", self, tables.facts(case, groups))
        self.print_summary(tables.summary(case, groups))
