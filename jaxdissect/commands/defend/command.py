"""`jaxdissect defend`: whether removing units defends, as a folder of tables and figures."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import arg

from jaxdissect.attacks import defence, effect_on_units
from jaxdissect.classifiers import importance
from jaxdissect.commands.attack import figures, tables
from jaxdissect.commands.options.attack import AttackedImages, Case, attack_case, chosen_attack
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
    most, any, any of the --pool that matter most."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (0, 1, 2, 4, 8, 16)
    """How many."""
    pool: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: twice the greatest size)")
    ] = None
    """Units that random-important draws of."""
    num_masks: Annotated[int, arg(metavar="N")] = 5
    """Masks whose predictions vote, where they are random; 1 is a single forward pass."""
    attacker_masks: Annotated[int, arg(metavar="N")] = 8
    """Masks over which the attacker takes the expectation, where they are random."""
    adaptive_confidences: Annotated[tuple[float, ...], arg(metavar="X [X ...]")] = (0.0, 2.0, 8.0)
    """Confidences of Carlini and Wagner's attack against random masks, which the attacker does not
    know: more makes images that hold for other masks too, further away. The least that will do is
    taken, image by image."""

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
            case = attack_case(self, progress)
            adversarial = np.asarray(case.attacked.images)
            orders = self._orders(case)
            curves = {}
            for choice in dict.fromkeys(self.choices):
                masks, attackers = (
                    self._masks(choice, orders, number)
                    for number in (self.num_masks, self.attacker_masks)
                )
                curves[choice] = defence.defence_curve(
                    jax.random.key(self.seed),
                    case.network,
                    case.images,
                    case.labels,
                    case.targets,
                    adversarial,
                    case.layer,
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
            write_settings(folder / "defence.json", self, tables.attack_facts(case))
        self.print_summary(tables.defence_summary(case, curves))

    def _orders(self, case: Case) -> dict[str, np.ndarray]:
        """Orders of units: by importance to the target, and by what the attack changes."""
        important = importance.ranking(case.damage)[int(case.targets[0])]
        peaks = effect_on_units.attacked_peaks(
            case.network,
            case.images,
            np.asarray(case.attacked.images),
            case.layer,
            batch_size=self.batch_size,
        )
        return {"important": important, "response": effect_on_units.most_changed(peaks.change)}

    def _attacks(self, choice: str) -> list[defence.Attack]:
        """Attacks on a defence, the gentlest first."""
        if self.attack == "carlini-wagner" and choice.startswith("random"):
            return [
                chosen_attack(self, confidence=confidence)
                for confidence in sorted(self.adaptive_confidences)
            ]
        return [chosen_attack(self)]

    def _masks(self, choice: str, orders: dict[str, np.ndarray], num_masks: int) -> defence.Masks:
        num_units = len(orders["important"])
        if choice == "random":
            return defence.random_units(num_units, num_masks=num_masks)
        if choice == "random-important":
            pool = self.pool or min(2 * max(self.sizes), num_units)
            return defence.random_among(orders["important"], pool, num_masks=num_masks)
        return defence.first_units(orders[choice])
