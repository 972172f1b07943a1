"""Every experiment runs at reduced size, measures what it says, and is compared with nothing."""

from dataclasses import replace

import numpy as np
import pytest

from jaxdissect.reproduction import (
    PROCEDURES,
    PublishedFigure,
    Way,
    make_reduced_materials,
    read_experiments,
    run_experiment,
)
from jaxdissect.reproduction.outcome import MISSING, OUTSIDE, WITHIN
from jaxdissect.reproduction.procedures.procedure import is_measured
from jaxdissect.reproduction.reduced_materials import NOT_COMPARABLE
from jaxdissect.reproduction.settings import read_settings

EXPERIMENTS = read_experiments("pnas2020")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights and images, which experiments share."""
    return tmp_path_factory.mktemp("made")


def run(name, made, folder, way=None):
    experiment = EXPERIMENTS[name]
    materials = make_reduced_materials(experiment, made)
    return run_experiment(experiment, materials, folder, way=way or Way(batch_size=8))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXPERIMENTS) - {"proggan-church"}))  # as of kitchens
def test_every_step_runs(name, made, tmp_path):
    outcome = run(name, made, tmp_path)
    assert {row.verdict for row in outcome.compared} == {NOT_COMPARABLE}
    measured = {row.quantity: row.measured for row in outcome.compared if row.measured is not None}
    procedure = PROCEDURES[outcome.experiment.procedure]
    names = procedure.quantities(read_settings(procedure.settings, outcome.settings))
    assert measured and all(is_measured(quantity, names) for quantity in measured)
    assert all(np.isfinite(value) for value in measured.values())
    # Whatever does not depend on what random networks show is measured.
    always = [name for name in names if not any(c in name for c in "*[")]
    unsure = ("added/", "change of units", "removed/", "median", "threshold", "IoU")
    assert all(name in measured for name in always if not any(part in name for part in unsure))
    assert any(tmp_path.rglob("*"))
    if name == "attack":  # some succeed, so that peaks are compared
        assert any(quantity.endswith("median distance") for quantity in measured)


@pytest.mark.slow
def test_a_threshold_is_that_of_the_peaks_that_are_kept(made, tmp_path):
    outcome = run("airplane-unit", made, tmp_path)
    measured = {row.quantity: row.measured for row in outcome.compared}
    with np.load(tmp_path / "peaks.npz") as kept:
        peaks, labels = kept["training"], kept["training_labels"].astype(bool)
    threshold = np.float32(measured["threshold"])
    shares = (peaks[labels] >= threshold).mean(), (peaks[~labels] < threshold).mean()
    expected = 100 * float(np.mean(shares))
    assert measured["accuracy/paper's threshold, training"] == pytest.approx(expected)
    best = np.float32(measured["best threshold"])
    tried = [
        ((peaks[labels] > t).mean() + (peaks[~labels] <= t).mean()) / 2 for t in np.unique(peaks)
    ]
    assert measured["accuracy/best threshold, training"] == pytest.approx(100 * max(tried))
    assert ((peaks[labels] > best).mean() + (peaks[~labels] <= best).mean()) / 2 == max(tried)


@pytest.mark.slow
def test_a_run_resumes_with_the_same_figures(made, tmp_path):
    way = Way(batch_size=8, checkpoints=tmp_path / "saved")
    first = run("airplane-unit", made, tmp_path / "first", way)
    assert (tmp_path / "saved").is_dir()
    again = run("airplane-unit", made, tmp_path / "again", way)
    alone = run("airplane-unit", made, tmp_path / "alone")
    assert first.compared == again.compared == alone.compared


@pytest.mark.slow
def test_a_whole_run_is_compared(made, tmp_path):
    """With the settings and files of a reduced one, as if they were published."""
    reduced = EXPERIMENTS["airplane-unit"]
    materials = make_reduced_materials(reduced, made)
    found = run_experiment(reduced, materials, tmp_path / "reduced", way=Way(batch_size=8))
    value = {row.quantity: row.measured for row in found.compared}["best threshold"]
    assert value is not None

    def figure(quantity, value):
        return PublishedFigure(quantity, "x", value, "%", "printed", "a plot", 0.01, "rounding")

    figures = (
        figure("best threshold", value + 0.005),
        figure("AUROC, validation", 200.0),
        figure("nothing", 1.0),
    )
    settings = reduced.settings_of(is_reduced=True)
    experiment = replace(reduced, settings=settings, reduced={}, figures=figures)
    materials = replace(materials, is_reduced=False, comparable="")
    outcome = run_experiment(experiment, materials, tmp_path / "whole", way=Way(batch_size=8))
    verdicts = [row.verdict for row in outcome.compared[:3]]
    assert verdicts == [WITHIN, OUTSIDE, MISSING] and not outcome.is_reproduced


@pytest.mark.slow
def test_classes_that_figures_are_of_must_be_there(made, tmp_path):
    experiment = EXPERIMENTS["remove-class-units"]
    materials = make_reduced_materials(experiment, made)
    experiment = replace(experiment, reduced={**experiment.reduced, "watched": "ski_resort"})
    with pytest.raises(ValueError, match="no images of class 'ski_resort'.*class_0, class_1"):
        run_experiment(experiment, materials, tmp_path)
