"""`jaxdissect defend`: whether removing units defends, as a folder of tables and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import arg

from jaxdissect.attacks import (
    Attack,
    Masks,
    defence_curve,
    first_units,
    measure_peaks,
    most_changed,
    random_among,
    random_units,
)
from jaxdissect.commands.defend import figures, tables
from jaxdissect.commands.options.attack import AttackedImages
from jaxdissect.commands.output.attack_summary import attack_facts
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.plots.figure_files import save_figure

Choice = Literal["important", "response", "random", "random-important"]


@dataclass(frozen=True, kw_only=True)
class DefendOptions(AttackedImages):
    """Deactivate units of a layer, and attack the network again, with and without knowing it.

    Images come from --sample, from two folders (--rank-images, --images) that hold a folder for
    every class, or from two splits of --tfds. Units are ranked on the first part, images of the
    other part are attacked.
    """

    choices: Annotated[tuple[Choice, ...], arg(metavar="CHOICE [CHOICE ...]")] = (
        "important",
        "response",
        "random",
        "random-important",
    )
    """Which units to deactivate: those that matter most to the target, those that an attack changes
    most, any, or any of the --pool units that matter most."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (0, 1, 2, 4, 8, 16)
    """Numbers of units to deactivate."""
    pool: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: twice the greatest size)")
    ] = None
    """Number of units from which random-important draws."""
    num_masks: Annotated[int, arg(metavar="N")] = 5
    """Number of masks whose predictions vote, where they are random; 1 is a single forward pass."""
    attacker_masks: Annotated[int, arg(metavar="N")] = 8
    """Number of masks over which the attacker takes the expectation, where they are random."""
    adaptive_confidences: Annotated[tuple[float, ...], arg(metavar="X [X ...]")] = (0.0, 2.0, 8.0)
    """Confidences of Carlini and Wagner's attack against random masks, which the attacker does not
    know: more makes images that fool other masks too, further away. For each image the least that
    suffices is used."""

    def run(self) -> None:
        """Attack, defend and attack again; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_free()
        for name in ("choices", "sizes", "adaptive_confidences"):
            if not getattr(self, name):
                raise ValueError(f"`{name}` must not be empty")
        with self.working() as (folder, progress):
            classifier = self.find_classifier()
            study = self.study(classifier, progress)
            peaks = measure_peaks(
                classifier.network,
                study.images,
                study.adversarial,
                study.layer,
                batch_size=self.batch_size,
            )
            orders = {"important": study.ranking, "response": most_changed(peaks.change)}
            curves = {}
            for choice in dict.fromkeys(self.choices):
                masks, attackers = (
                    self._masks(choice, orders, number)
                    for number in (self.num_masks, self.attacker_masks)
                )
                curves[choice] = defence_curve(
                    jax.random.key(self.seed),
                    classifier.network,
                    study.images,
                    study.labels,
                    study.targets,
                    study.adversarial,
                    study.layer,
                    masks,
                    self.sizes,
                    self._attacks(choice),
                    attacker_masks=attackers,
                    batch_size=self.batch_size,
                    description=f"attacking the defence: {choice}",
                    progress=progress,
                )
            self.write_tables(folder, {"defence": tables.defence_table(curves)})
            save_figure(folder / "defence.png", figures.defence_figure(curves))
            facts = attack_facts(study, classifier.names) | {
                "skipped": list(classifier.data.skipped)
            }
            write_settings(folder / "defence.json", self, facts)
        self.print_summary(tables.summary(study, curves, classifier.names))

    def _attacks(self, choice: Choice) -> list[Attack]:
        """Return the attacks on a defence, the gentlest first."""
        if self.attack == "carlini-wagner" and choice.startswith("random"):
            return [
                self.chosen_attack(confidence=confidence)
                for confidence in sorted(self.adaptive_confidences)
            ]
        return [self.chosen_attack()]

    def _masks(self, choice: Choice, orders: Mapping[str, np.ndarray], num_masks: int) -> Masks:
        """Return what deactivates units, given orders of all units by name."""
        num_units = len(orders["important"])
        if choice == "random":
            return random_units(num_units, num_masks=num_masks)
        if choice == "random-important":
            pool = self.pool or min(2 * max(self.sizes), num_units)
            return random_among(orders["important"], pool, num_masks=num_masks)
        return first_units(orders[choice])
