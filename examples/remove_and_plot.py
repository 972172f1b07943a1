"""Remove the units that one class needs most, and plot what every class loses.

Units are ranked on some pictures, and judged on others.
"""

from jaxdissect.classifiers import ablation_sweep, importance
from jaxdissect.networks import single_unit_masks, unit_set_masks
from jaxdissect.plots import bar_figure, save_figure
from jaxdissect.scenes import SCENES, load_classifier, scenes_dataset
from jaxdissect.stats import accuracy

LAYER, CLASS = "features.relu4_2", SCENES.index("bedroom")

network = load_classifier()
ranking, judging = scenes_dataset(640, seed=1), scenes_dataset(640, seed=2)

# Every unit alone, in one pass: what each class loses without it. Few pictures change their class,
# so that units of equal damage are ranked by the margin of the scores that is lost.
singles = ablation_sweep(network, ranking, LAYER, single_unit_masks(48), label_key="scene")
order = importance.ranking(singles.damage(), margin_lost=singles.margin_lost())
units = order[CLASS, :4]
print(f"{SCENES[CLASS]} needs units {', '.join(map(str, units))} of {LAYER} most")

without = ablation_sweep(
    network, judging, LAYER, unit_set_masks([units], num_units=48), label_key="scene"
)
change = without.changes(accuracy.balanced_accuracy)
low, high = change.low[0, CLASS], change.high[0, CLASS]
print(f"without them its balanced accuracy changes by {change.estimate[0, CLASS]:.3f}")
print(f"(99% interval {low:.3f} to {high:.3f}, for other pictures of the same kind)")

figure = bar_figure(
    SCENES,
    {"change": change.estimate[0]},
    title=f"Without the 4 units that {SCENES[CLASS]} needs most",
    unit="change of balanced accuracy",
)
save_figure("bedroom.png", figure)
