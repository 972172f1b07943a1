"""Options of `jaxdissect attack` and `jaxdissect defend`: which images to attack, and how."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PyTree
from tyro.conf import arg

from jaxdissect.attacks import (
    EUCLIDEAN,
    MAXIMUM,
    Attack,
    Attacked,
    AttackStudy,
    CarliniWagnerSettings,
    PartwiseAttack,
    ProjectedGradientSettings,
    Scores,
    carlini_wagner,
    carlini_wagner_l2,
    pgd,
    projected_gradient,
    removal_damage,
    study_attack,
)
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.class_images import ClassImages, ClassSources, class_numbers
from jaxdissect.commands.options.computing import images_like
from jaxdissect.commands.options.model import LayerOptions
from jaxdissect.commands.options.numbers import check_at_least, check_within
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.engine.batching import Joined, Source, Stored
from jaxdissect.engine.folding import Progress
from jaxdissect.networks.network import Network

_COPIES = 4  # of the memory of a forward pass, which gradients take

BALLS = {"pgd-l2": EUCLIDEAN, "pgd-linf": MAXIMUM}

DAMAGES = {
    **{name: removal_damage(measure) for name, measure in importance.MEASURES.items()},
    "estimate": estimated_damage,
}


class AttackedClassifier(NamedTuple):
    """A classifier, and the images that it is attacked with.

    Attributes:
        network: The classifier.
        layer: The layer of the units that are measured or deactivated.
        num_units: Its units.
        names: Names of all classes.
        target: The class that images should be classified as.
        data: Images to rank units with, and others to attack.
        batch_size: Images in a step.
    """

    network: Network
    layer: str
    num_units: int
    names: tuple[str, ...]
    target: int
    data: ClassSources
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class AttackedImages(CheckpointOptions, LayerOptions, ClassImages, TableOptions):
    """Options of an attack: which images, towards which class, and how."""

    target: Annotated[str, arg(metavar="CLASS")]
    """The class that images should be classified as."""
    num_attacked: Annotated[int, arg(metavar="N")] = 64
    """Images to attack: the first of a random order whose class and prediction both differ from
    the target."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of that order, and of whatever else is random."""
    rank_by: Literal["balanced-accuracy", "confidence", "estimate"] = "balanced-accuracy"
    """What makes a unit important: what its removal costs, by the paper's measure or by the mean
    probability of the class, or the estimate of one backward pass."""
    top: Annotated[int, arg(metavar="N")] = importance.NUM_TOP
    """Number of units that are called important to a class."""
    attack: Literal["carlini-wagner", "pgd-l2", "pgd-linf"] = "carlini-wagner"
    """The attack: the nearest image that is classified as the target, or projected gradients of the
    margin of scores within --epsilon."""
    binary_search_steps: Annotated[int, arg(metavar="N")] = 5
    """Number of constants that Carlini and Wagner's attack tries."""
    max_iterations: Annotated[int, arg(metavar="N")] = 1000
    """Number of gradient steps of that attack with each constant."""
    confidence: Annotated[float, arg(metavar="X")] = 0.0
    """How far that attack puts the target ahead, in scores; without a target, the best other
    class."""
    learning_rate: Annotated[float, arg(metavar="X")] = 5e-3
    """Learning rate of that attack."""
    initial_const: Annotated[float, arg(metavar="X")] = 1e-2
    """First constant of that attack, the weight of scores against squared distances; a tenth of it
    does the same where scores are tenfold."""
    epsilon: Annotated[float, arg(metavar="X")] = 1.0
    """Greatest distance of projected gradients."""
    steps: Annotated[int, arg(metavar="N")] = 40
    """Number of steps of projected gradients."""

    def find_classifier(self) -> AttackedClassifier:
        """Find the network and the images that the options name.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        check_at_least(self, num_attacked=1, top=1, seed=0)
        self.chosen_attack()
        data = self.find_classes()
        image_size = data.image_size
        network, layer, num_units = self.find_layer(image_size)
        check_within(self, top=(1, num_units))
        names = data.names_of_outputs(network)
        (target,) = class_numbers("target", (self.target,), names)
        labels = _known_labels(data.ranking, data.label_key)
        if labels is not None and target not in labels:
            raise ValueError(
                f"`target` (={self.target!r}): `rank_images` has no image of this class, to rank "
                "units with"
            )
        batch_size = self.computing.size_of_batches(
            network,
            images_like(image_size),
            layers=(layer,),
            on_processor=16,
            copies=_COPIES,
        )
        return AttackedClassifier(network, layer, num_units, names, target, data, batch_size)

    def study(self, classifier: AttackedClassifier, progress: Progress) -> AttackStudy:
        """Rank units and attack images as the options say.

        Raises:
            ValueError: If the options cannot be followed.
        """
        return study_attack(
            classifier.network,
            classifier.data.ranking,
            classifier.data.judging,
            classifier.layer,
            classifier.target,
            self.chosen_attack(),
            label_key=classifier.data.label_key,
            num_attacked=self.num_attacked,
            seed=self.seed,
            damage=DAMAGES[self.rank_by],
            top=self.top,
            batch_size=classifier.batch_size,
            checkpoints=self.checkpoints_of("study"),
            mesh=self.computing.mesh,
            progress=progress,
        )

    def chosen_attack(self, *, targeted: bool = True, confidence: float | None = None) -> Attack:
        """Return the attack of the options, perhaps without a target or with another confidence.

        Raises:
            ValueError: If one of its options makes no sense.
        """
        if self.attack == "carlini-wagner":
            settings = CarliniWagnerSettings(
                binary_search_steps=self.binary_search_steps,
                max_iterations=self.max_iterations,
                confidence=self.confidence if confidence is None else confidence,
                learning_rate=self.learning_rate,
                initial_const=self.initial_const,
                targeted=targeted,
            )
            carlini_wagner_l2.check_settings(settings)
            # A study leaves those images out, and a defended network may misclassify others.
            attack = partial(
                carlini_wagner, settings=settings, refuse_reached=False, mesh=self.computing.mesh
            )
            return PartwiseAttack(lambda first: attack, ("carlini-wagner", settings))
        within = ProjectedGradientSettings(
            self.epsilon, ball=BALLS[self.attack], steps=self.steps, targeted=targeted
        )
        pgd.check_settings(within)

        def from_image(first: int) -> Attack:
            def attack(scores: Scores, params: PyTree, images: Array, classes: Array) -> Attacked:
                return projected_gradient(
                    jax.random.key(self.seed),
                    scores,
                    params,
                    images,
                    classes,
                    within,
                    first=first,
                    mesh=self.computing.mesh,
                )

            return attack

        return PartwiseAttack(from_image, ("projected gradients", self.seed, within))

    @property
    def ways_to_go_further(self) -> str:
        """Options that make the attack stronger, for messages."""
        if self.attack == "carlini-wagner":
            return "`--max-iterations`, `--binary-search-steps` or `--initial-const`"
        return "`--epsilon` or `--steps`"


def _known_labels(source: Source, label_key: str) -> np.ndarray | None:
    """Return the classes of all examples where they are known without reading any."""
    for part in source.sources if isinstance(source, Joined) else ():
        if isinstance(part, Stored) and label_key in part.arrays:
            return part.arrays[label_key]
    return None
