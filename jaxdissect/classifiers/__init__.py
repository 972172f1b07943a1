"""What units cause in a classifier: removal, importance to classes, and single-unit detectors.

- `ablation_sweep` counts what a classifier predicts without sets of units; `study_classes` ranks
  units by it for every class, and removes the most and the least important ones.
- `ablation_methods` compute removals, `replacements` are what removed units output instead.
- `importance` holds what follows from the damage of removals: rankings and groups of units.
- `estimated_damage` estimates the damage of all removals in one backward pass, and
  `correlate_with_classes` compares peaks of units with probabilities of classes.
- `peak_activations` and `best_detectors` look for the best unit that detects each class.
"""

from jaxdissect.classifiers import ablation_methods as ablation_methods
from jaxdissect.classifiers import importance as importance
from jaxdissect.classifiers import replacements as replacements
from jaxdissect.classifiers.ablation import Ablation as Ablation
from jaxdissect.classifiers.ablation import Measure as Measure
from jaxdissect.classifiers.ablation import ablation_sweep as ablation_sweep
from jaxdissect.classifiers.class_correlation import ClassCorrelation as ClassCorrelation
from jaxdissect.classifiers.class_correlation import PositiveShares as PositiveShares
from jaxdissect.classifiers.class_correlation import (
    correlate_with_classes as correlate_with_classes,
)
from jaxdissect.classifiers.class_correlation import positive_shares as positive_shares
from jaxdissect.classifiers.class_study import ClassStudy as ClassStudy
from jaxdissect.classifiers.class_study import study_classes as study_classes
from jaxdissect.classifiers.detectors import Detectors as Detectors
from jaxdissect.classifiers.detectors import PeakActivations as PeakActivations
from jaxdissect.classifiers.detectors import ReferenceDetector as ReferenceDetector
from jaxdissect.classifiers.detectors import UnitDetectors as UnitDetectors
from jaxdissect.classifiers.detectors import as_binary as as_binary
from jaxdissect.classifiers.detectors import best_detectors as best_detectors
from jaxdissect.classifiers.detectors import peak_activations as peak_activations
from jaxdissect.classifiers.detectors import reference_detectors as reference_detectors
from jaxdissect.classifiers.detectors import unit_detectors as unit_detectors
from jaxdissect.classifiers.taylor_importance import estimated_damage as estimated_damage
