"""`jaxdissect attack`: what adversarial images do to units, as a folder of tables and figures."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from tyro.conf import arg

from jaxdissect.experiments.attacks import unit_changes
from jaxdissect.faces import attack_figures, attack_tables, tables
from jaxdissect.faces.attacked_images import AttackedImages, attack_case
from jaxdissect.faces.figures import save_figure
from jaxdissect.faces.provenance import provenance


@dataclass(frozen=True, kw_only=True)
class AttackOptions(AttackedImages):
    """Change images as little as may be so that a classifier takes them for another class, and
    measure which units that changes.

    Images come from --sample, from two folders (--rank-images, --images) that hold a folder for
    every class, or from two splits of --tfds. Units are ranked on the first part, images of the
    other part are attacked.
    """

    least_change: Annotated[float, arg(metavar="X")] = unit_changes.LEAST_CHANGE
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
            peaks = unit_changes.attacked_peaks(
                case.network,
                case.images[there],
                np.asarray(case.attacked.images)[there],
                case.layer,
                batch_size=self.batch_size,
                progress=progress,
            )
            groups = unit_changes.changes_by_group(
                peaks.change, case.important, case.sources[there], case.targets[there]
            )
            written = {
                "images": attack_tables.image_table(case),
                "groups": attack_tables.group_table(groups),
                "units": attack_tables.unit_table(case, peaks),
            }
            for name, (header, rows) in written.items():
                for ending in self.tables:
                    tables.WRITERS[ending](folder / f"{name}.{ending}", header, rows)
            save_figure(folder / "groups.png", attack_figures.group_figure(groups, case))
            save_figure(folder / "units.png", attack_figures.unit_figure(peaks, case))
            sheet = attack_figures.example_sheet(
                case,
                peaks,
                number=self.num_shown,
                least_change=self.least_change,
                factor=self.amplify,
            )
            sheet.save(folder / "examples.png")
            attack_tables.write_settings(folder / "attack.json", case, groups, provenance(self))
        self.tell(attack_tables.summary(case, groups))
