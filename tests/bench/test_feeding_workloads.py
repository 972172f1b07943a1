"""Feeding, reading ahead and intervals as workloads, and the files that are made for them."""

import numpy as np
import pytest
from PIL import Image

from jaxdissect.bench.workloads import feeding, intervals, made_images, reading_ahead
from jaxdissect.bench.workloads.drawn_values import drawn_labels


def run_of(prepared):
    assert prepared.run is not None
    return prepared.run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reader": "pillow"},
        {"label_maps": 2},
        {"input": "decoded"},
        {"input": "memory"},
    ],
)
def test_every_pixel_arrives(options):
    prepared = feeding.prepare(
        feeding.FeedingSizes(images=5, batch_size=2, image_size=16, **options)
    )
    answer = run_of(prepared)()
    gate = prepared.check(answer)
    assert gate.passed and gate.fingerprint
    changed = answer.copy()
    changed[2] += 1
    assert not prepared.check(changed).passed
    # Images in another order, as if batches had been mixed up.
    assert not prepared.check(answer[::-1].copy()).passed


def test_library_and_pillow_feed_the_same():
    prints = {
        prepared.check(run_of(prepared)()).fingerprint
        for prepared in (
            feeding.prepare(
                feeding.FeedingSizes(images=3, batch_size=2, image_size=16, reader=reader)
            )
            for reader in ("library", "pillow")
        )
    }
    assert len(prints) == 1


def test_sums_tell_places_apart():
    images = np.zeros((2, 2, 2, 3), np.float32)
    images[0, 0, 0, 0] = images[1, 1, 1, 2] = 1
    first, second = np.asarray(feeding.add_up(images, None))
    assert (first, second) == (255, 255 * 12)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 12}, "multiple of 8"),
        ({"label_maps": 1, "input": "memory"}, "read from files"),
        ({"reader": "pillow", "input": "decoded"}, "reads images alone"),
    ],
)
def test_feeding_refuses_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        feeding.FeedingSizes(**options)


def test_made_files_are_as_large_as_photographs_and_have_the_labels():
    labels = drawn_labels(2, 8, concepts=1000, channels=2, labels_per_image=5)
    files = made_images.make_files(2, labels)
    with Image.open(next(files.images.iterdir())) as image:
        assert (image.height, image.width) == made_images.STORED
    assert 30_000 < files.bytes / 2 < 200_000
    found = files.source(16)[1]["labels"]
    assert found.shape == (12, 16, 2)
    rows, columns = (((np.arange(8) + 0.5) * side / 8).astype(int) for side in (12, 16))
    assert np.array_equal(found[rows[:, None], columns], labels[1])
    folder = files.images
    del files
    assert not folder.exists()


def test_reading_ahead_sees_every_example():
    prepared = reading_ahead.prepare(
        reading_ahead.ReadingAheadSizes(steps=4, read_ms=1.0, step_ms=1.0)
    )
    answer = run_of(prepared)()
    assert prepared.check(answer).passed
    assert not prepared.check(answer[::-1]).passed
    with pytest.raises(ValueError, match="`read_ms`"):
        reading_ahead.ReadingAheadSizes(read_ms=-1.0)


def test_intervals_are_checked():
    prepared = intervals.prepare(intervals.IntervalsSizes(images=300, classes=4, sets=5))
    answer = run_of(prepared)()
    gate = prepared.check(answer)
    assert gate.passed and gate.fingerprint
    recall = answer.intervals["recall"]
    shifted = {**answer.intervals, "recall": recall._replace(low=recall.high)}
    assert not prepared.check(answer._replace(intervals=shifted)).passed
    answer.counts.after.correct[0, 0] += 1
    assert not prepared.check(answer).passed
