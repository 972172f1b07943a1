"""`jaxdissect defend`: whether removing units defends, as a folder of tables and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import arg

from jaxdissect.attacks import (
    Attack,
    AttackStudy,
    ClassScores,
    Masks,
    attack_resumably,
    defence_curve,
    first_units,
    measure_peaks,
    most_changed,
    random_among,
    random_units,
)
from jaxdissect.attacks.defence import NUM_DRAWS
from jaxdissect.commands.defend import figures, tables
from jaxdissect.commands.options.attack import AttackedClassifier, AttackedImages
from jaxdissect.commands.options.numbers import check_at_least, check_within
from jaxdissect.commands.output.attack_summary import attack_facts
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import content, digest, looked_at_once
from jaxdissect.networks.network import Network

Choice = Literal["important", "response", "random", "random-important"]
Goal = Literal["targeted", "untargeted"]


@dataclass(frozen=True, kw_only=True)
class DefendOptions(AttackedImages):
    """Deactivate units of a layer, and attack the network again, with and without knowing it, with
    and without a target.

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
    goals: Annotated[tuple[Goal, ...], arg(metavar="GOAL [GOAL ...]")] = ("targeted", "untargeted")
    """What attacks want: the --target, or any other class than the image's own."""
    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (0, 1, 2, 4, 8, 16)
    """Numbers of units to deactivate."""
    pool: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: twice the greatest size)")
    ] = None
    """Number of units from which random-important draws."""
    num_masks: Annotated[int, arg(metavar="N")] = 5
    """Number of masks whose predictions vote, where they are random; 1 is a single forward pass."""
    num_draws: Annotated[int, arg(metavar="N")] = NUM_DRAWS
    """How often these are drawn anew: accuracies are means over the draws, and their intervals are
    for other images and other draws."""
    attacker_masks: Annotated[int, arg(metavar="N")] = 8
    """Number of masks over which the attacker takes the expectation, where they are random."""
    adaptive_confidences: Annotated[tuple[float, ...], arg(metavar="X [X ...]")] = (0.0, 2.0, 8.0)
    """Confidences of Carlini and Wagner's attack against random masks, which the attacker does not
    know: more makes images that fool other masks too, further away. For each image the least that
    suffices is used."""

    @looked_at_once()
    def run(self) -> None:
        """Attack, defend and attack again; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_free()
        self.check_checkpoints()
        for name in ("choices", "goals", "sizes", "adaptive_confidences"):
            if not getattr(self, name):
                raise ValueError(f"`{name}` must not be empty")
        check_at_least(self, num_masks=1, num_draws=1, attacker_masks=1, sizes=0)
        for choice in self.choices:
            self._attacks(choice, targeted=True)
        classifier = self.find_classifier()
        check_within(self, sizes=(0, classifier.num_units))
        check_within(self, pool=(max(1, *self.sizes), classifier.num_units))
        self.claim_checkpoints(self.contents(classifier.data, classifier.network))
        with self.working() as (folder, progress):
            study = self.study(classifier, progress)
            peaks = measure_peaks(
                classifier.network,
                study.images,
                study.adversarial,
                study.layer,
                batch_size=classifier.batch_size,
                checkpoints=self.checkpoints_of("peaks"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            orders = {"important": study.ranking, "response": most_changed(peaks.change)}
            defences = [
                self._measure(choice, goal, classifier, study, orders, progress)
                for goal in dict.fromkeys(self.goals)
                for choice in dict.fromkeys(self.choices)
            ]
            self.write_tables(folder, {"defences": tables.defence_table(defences, study)})
            chart = figures.defence_figure(defences, width=self.figure_inches)
            self.save_figure(folder, "defence", chart)
            facts = attack_facts(study, classifier.names)
            facts["network"] = digest(classifier.network.params)
            write_settings(folder / "defence.json", self, facts)
        self.print_summary(tables.summary(study, defences, classifier.names))

    def _measure(
        self,
        choice: Choice,
        goal: Goal,
        classifier: AttackedClassifier,
        study: AttackStudy,
        orders: Mapping[str, np.ndarray],
        progress: Progress,
    ) -> tables.Defence:
        """Attack a defence, given orders of all units by name."""
        targeted, network = goal == "targeted", classifier.network
        masks, attackers = (
            self._masks(choice, orders, number) for number in (self.num_masks, self.attacker_masks)
        )
        curve = defence_curve(
            jax.random.key(self.seed),
            network,
            study.images,
            study.labels,
            study.targets if targeted else study.labels,
            study.adversarial if targeted else self._untargeted(network, study, progress),
            study.layer,
            masks,
            self.sizes,
            self._attacks(choice, targeted=targeted),
            targeted=targeted,
            attacker_masks=attackers,
            num_draws=self.num_draws,
            batch_size=classifier.batch_size,
            checkpoints=self.checkpoints_of(f"{choice}-{goal}"),
            mesh=self.computing.mesh,
            description=f"attacking the defence: {choice}, {goal}",
            progress=progress,
        )
        return tables.Defence(choice, goal, orders.get(choice), curve)

    def _untargeted(self, network: Network, study: AttackStudy, progress: Progress) -> np.ndarray:
        """Attack the undefended network so that images are classified as any other class."""
        scores = ClassScores(network)
        found = attack_resumably(
            self.chosen_attack(targeted=False),
            scores,
            scores.params,
            study.images,
            study.labels,
            self.checkpoints_of("untargeted"),
            settings={"weights": content(network.params)},
            progress=progress,
        )
        return np.asarray(found.images)

    def _attacks(self, choice: Choice, *, targeted: bool) -> list[Attack]:
        """Return the attacks on a defence, the gentlest first."""
        if self.attack == "carlini-wagner" and choice.startswith("random"):
            return [
                self.chosen_attack(targeted=targeted, confidence=confidence)
                for confidence in sorted(self.adaptive_confidences)
            ]
        return [self.chosen_attack(targeted=targeted)]

    def _masks(self, choice: Choice, orders: Mapping[str, np.ndarray], num_masks: int) -> Masks:
        """Return what deactivates units, given orders of all units by name."""
        num_units = len(orders["important"])
        if choice == "random":
            return random_units(num_units, num_masks=num_masks)
        if choice == "random-important":
            pool = self.pool
            if pool is None:
                pool = max(1, min(2 * max(self.sizes), num_units))
            return random_among(orders["important"], pool, num_masks=num_masks)
        return first_units(orders[choice])
