"""Statistics that stream and merge exactly; most are `init`, `update`, `merge`, `finalize`.

Each is a module to be used by its name, as in `stats.quantile.upper_quantile(samples, 0.01)`:

- `quantile`: exact upper quantiles of many columns, by counting; `counting` counts.
- `agreement`: counts of the pixels that units and concepts share; `scores`: IoU and others of them.
- `region_overlap`: overlap of the regions in which units are active under two conditions.
- `brackets`: the few values inside brackets with their labels, and counts of those beside them.
- `topk`: the examples with the greatest values.
- `moments`: means and covariances; `frechet`: the Fréchet distance of two sets of features.
- `accuracy`: accuracies of single classes; `score_margin`: how far ahead their scores are;
  `auroc`: AUROC and margins.
- `intervals`: confidence intervals of proportions and of their changes, Student's t;
  `paired_accuracy`: those of changes of accuracies that were measured on the same images.
- `threshold_classifier`: the best threshold of one number for every class.
- `paired_changes`: means of integer changes by group, with standard errors.
- `int64_counter`: the 64-bit counter of two 32-bit limbs that the others count with.
"""

from jaxdissect.stats import accuracy as accuracy
from jaxdissect.stats import agreement as agreement
from jaxdissect.stats import auroc as auroc
from jaxdissect.stats import brackets as brackets
from jaxdissect.stats import counting as counting
from jaxdissect.stats import frechet as frechet
from jaxdissect.stats import int64_counter as int64_counter
from jaxdissect.stats import intervals as intervals
from jaxdissect.stats import moments as moments
from jaxdissect.stats import paired_accuracy as paired_accuracy
from jaxdissect.stats import paired_changes as paired_changes
from jaxdissect.stats import quantile as quantile
from jaxdissect.stats import region_overlap as region_overlap
from jaxdissect.stats import score_margin as score_margin
from jaxdissect.stats import scores as scores
from jaxdissect.stats import threshold_classifier as threshold_classifier
from jaxdissect.stats import topk as topk
