"""Reading ahead: order, threads, what is wrong with examples, and stopping at any moment."""

import gc
import threading

import jax
import numpy as np
import pytest
from PIL import Image

from jaxdissect.dissection.pilot import Chosen
from jaxdissect.engine.batching import (
    Joined,
    Stored,
    batches,
    is_thread_safe,
    read_block,
    read_item,
    source_name,
)
from jaxdissect.engine.data import Paired, image_folder, latents
from jaxdissect.engine.data.pairs import WithDonors
from jaxdissect.engine.folding import fold, map_batches
from jaxdissect.engine.image_bytes import OF_FILES, Bytes, looked_up
from jaxdissect.engine.images import check_unit_range
from jaxdissect.engine.reader_threads import ReaderThreads, close

WAIT = 30  # seconds after which a test fails instead of waiting for ever


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr("jaxdissect.engine.batching.num_cores", lambda: 4)


def reader_threads():
    return [t for t in threading.enumerate() if t.name == "jaxdissect-reader"]


class Numbers:
    """Items that are their places, read by a function of the place."""

    thread_safe = True

    def __init__(self, number, read=lambda index: None):
        self.number, self.read_one = number, read

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        self.read_one(index)
        return {"x": np.full(2, index)}


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_order_is_kept_whatever_the_threads(batch_size, many_cores):
    """Every item waits until a later one of its batch has been read, where there is one."""
    read = [threading.Event() for _ in range(10)]

    def wait(index):
        other = index + 1 if index % 2 == 0 else None
        if other is not None and other // batch_size == index // batch_size:
            assert read[other].wait(WAIT)
        read[index].set()

    found = [b["x"][b["weight"], 0] for b in batches(Numbers(10, wait), batch_size)]
    assert np.concatenate(found).tolist() == list(range(10))
    assert not reader_threads()


@pytest.mark.parametrize("thread_safe", [True, False])
def test_one_thread_reads_what_may_not_be_shared(thread_safe, many_cores):
    seen, lock, most = set(), threading.Lock(), []

    def note(index):
        seen.add(threading.get_ident())
        if thread_safe and not all_here.broken:
            all_here.wait(WAIT)
        most.append(lock.acquire(blocking=False))
        if most[-1]:
            lock.release()

    all_here = threading.Barrier(4)
    source = Numbers(8, note)
    source.thread_safe = thread_safe
    list(batches(Joined(source, Stored({"y": np.arange(8)})), 8))
    assert len(seen) == (4 if thread_safe else 1)
    assert thread_safe or all(most)


def test_batches_are_read_ahead_of_the_step(many_cores):
    """The source gives a batch only when the step of the one two before has begun: no deadlock."""
    begun = [threading.Event() for _ in range(6)]

    def wait(index):
        if index >= 2:
            assert begun[index - 2].wait(WAIT)

    def step(state, batch):
        return state, batch["x"]

    def received(batch, output):
        pass

    def slow_step(state, batch):
        place = int(batch["example"][0])
        begun[place].set()
        return step(state, batch)

    fold(slow_step, None, Numbers(6, wait), batch_size=1, receive=received)


def test_reading_and_computing_overlap():
    """While a step runs the following examples are read: it waits for them, and they for it."""
    begun = [threading.Event() for _ in range(5)]
    read = [threading.Event() for _ in range(5)]

    def source_waits(index):
        if index >= 3:
            assert begun[index - 3].wait(WAIT)  # at most so far ahead, in this test
        read[index].set()

    def step_waits(batch):
        place = int(batch["example"][0])
        begun[place].set()
        assert read[min(place + 1, 4)].wait(WAIT)
        return batch["x"]

    received = []
    map_batches(
        step_waits,
        Numbers(5, source_waits),
        batch_size=1,
        receive=lambda batch, output: received.append(int(output[0, 0])),
    )
    assert received == list(range(5))


@pytest.mark.parametrize(
    ("batch_size", "multiple_of", "processes"), [(3, 4, 2), (5, 3, 3), (1, 1, 1)]
)
@pytest.mark.parametrize("start", [0, 4, 10])
def test_slices_of_processes_are_the_batches(batch_size, multiple_of, processes, start):
    source = Numbers(11)
    options = {"start": start, "multiple_of": multiple_of}
    whole = list(batches(source, batch_size, **options))
    parts = [
        list(batches(source, batch_size, **options, process=(number, processes)))
        for number in range(processes)
    ]
    size = -(-batch_size // multiple_of) * multiple_of
    assert [len(b["weight"]) for b in whole] == [size] * -(-(11 - start) // size)
    for together, *slices in zip(whole, *parts, strict=True):
        for name, array in together.items():
            np.testing.assert_array_equal(array, np.concatenate([s[name] for s in slices]))
    counted = np.concatenate([b["example"][b["weight"]] for b in whole])
    assert counted.tolist() == list(range(start, 11))


def test_numbers_that_make_no_sense():
    for options, message in [
        ({"batch_size": 0}, r"`batch_size` \(=0\) must be at least 1"),
        ({"start": -1}, r"`start` \(=-1\) must be at least 0"),
        ({"process": (2, 2), "multiple_of": 2}, r"`process` \(=\(2, 2\)\)"),
        ({"process": (0, 2), "multiple_of": 3}, r"must divide `multiple_of` \(=3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            list(batches(Numbers(3), **{"batch_size": 1, **options}))


def test_errors_come_in_the_order_of_the_examples(many_cores):
    """Those before an example that fails arrive, though later ones have failed earlier."""
    failed = threading.Event()

    def fail(index):
        if index == 3:
            assert failed.wait(WAIT)
            raise OSError("example 3 is gone")
        if index == 5:
            failed.set()
            raise OSError("example 5 is gone")

    found = []
    with pytest.raises(OSError, match="example 3 is gone"):
        for batch in batches(Numbers(6, fail), 2):
            found += batch["x"][:, 0].tolist()
    assert found == [0, 1] and not reader_threads()


def test_who_stops_early_leaves_no_thread(many_cores):
    for source in (Numbers(100), [{"x": np.zeros(1)}] * 100, latents(100, 2)):
        with pytest.raises(KeyboardInterrupt):
            for _ in batches(source, 2):
                raise KeyboardInterrupt
        gc.collect()
        assert not reader_threads()


def test_nobody_waits_for_a_source_that_hangs(many_cores, monkeypatch):
    monkeypatch.setattr("jaxdissect.engine.reader_threads._PATIENCE", 0.01)
    returns = threading.Event()
    found = batches(Numbers(9, lambda index: index < 1 or returns.wait(WAIT)), 1)
    next(found)
    found.close()
    assert all(thread.daemon for thread in reader_threads())
    returns.set()
    for thread in reader_threads():
        thread.join(WAIT)
    assert not reader_threads()


def test_calls_of_closed_threads_are_cancelled():
    threads = ReaderThreads(1)
    begun, go_on = threading.Event(), threading.Event()
    first = threads.submit(lambda: begun.set() or go_on.wait(WAIT))
    second = threads.submit(lambda: 1)
    assert begun.wait(WAIT)
    closer = threading.Thread(target=close, args=(threads,))
    closer.start()
    go_on.set()
    closer.join(WAIT)
    assert first.result() and second.cancelled()


# --- images as bytes ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Five images of all bytes, of several kinds of files, with label maps."""
    random = np.random.default_rng(0)
    for place, suffix in enumerate(("png", "png", "jpg", "bmp", "webp")):
        pixels = random.permutation(np.resize(np.arange(256, dtype=np.uint8), 12 * 8 * 3))
        for name, array, ending in (
            ("images", pixels.reshape(12, 8, 3), suffix),
            ("masks", pixels.reshape(12, 8, 3)[..., 0] % 5, "png"),
        ):
            file = tmp_path / name / f"{place}.{ending}"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(array).save(file)
    return image_folder(tmp_path / "images", masks=[tmp_path / "masks"])


def test_every_byte_becomes_the_same_float():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    images = Bytes(values, OF_FILES)
    expected = values.astype(np.float32) / 255
    np.testing.assert_array_equal(np.asarray(images), expected, strict=True)
    found = looked_up(jax.device_put({"image": images, "example": np.arange(16)}))
    np.testing.assert_array_equal(np.asarray(found["image"]), expected, strict=True)
    assert images.shape == (16, 16) and images.dtype == np.float32 and images.nbytes == 256
    np.testing.assert_array_equal(np.asarray(images[3:5]), expected[3:5])


def test_bytes_stay_spread_over_the_devices():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    values = jax.device_put(np.arange(64, dtype=np.uint8).reshape(8, 8), spread)
    found = looked_up({"image": Bytes(values, OF_FILES)})["image"]
    assert found.sharding.is_equivalent_to(spread, 2)


def test_steps_see_what_the_source_gives(folder):
    """Bit for bit, and of the same types, though bytes travelled; so with pairs and donors."""
    pairs = Paired(folder, folder)
    chosen = Chosen(folder, np.array([3, 1, 1, 4]))
    for source in (folder, pairs, WithDonors(folder), WithDonors(pairs), Joined(folder), chosen):
        assert is_thread_safe(source)
        block = read_block(source, 0, 4, as_bytes=True)
        assert isinstance(block["image"], Bytes) and isinstance(block["labels"], Bytes)
        seen = []
        map_batches(
            lambda batch: batch,
            source,
            batch_size=2,
            receive=lambda batch, output: seen.append(jax.tree.map(np.asarray, output)),  # noqa: B023
        )
        on_host = read_block(source, 0, len(source))
        for name, array in on_host.items():
            found = np.concatenate([batch[name] for batch in seen])[: len(source)]
            np.testing.assert_array_equal(found, array, strict=True)
            np.testing.assert_array_equal(
                array, np.stack([source[i][name] for i in range(len(source))]), strict=True
            )
            np.testing.assert_array_equal(
                np.asarray(read_item(source, 1, as_bytes=True)[name]), array[1]
            )


def test_labels_that_are_no_bytes_stay_as_they_are():
    items = [
        {"labels": Bytes(np.zeros(2, np.uint8), np.arange(256, dtype=np.int32))},
        {"labels": np.array([300, 1], np.int32)},
    ]
    block = read_block(items, 0, 2)
    np.testing.assert_array_equal(
        block["labels"], np.array([[0, 0], [300, 1]], np.int32), strict=True
    )


def test_bytes_that_cannot_be_wrong_are_not_looked_at():
    class Unseen(Bytes):
        def __array__(self, *_):
            raise AssertionError

    check_unit_range({"image": Unseen(np.zeros(1, np.uint8), OF_FILES)}, ["image"])
    with pytest.raises(ValueError, match="'image' of example 0 has values from 0 to 2"):
        check_unit_range({"image": Bytes(np.array([[0, 255]], np.uint8), OF_FILES * 2)}, ["image"])


def test_sources_have_names(folder):
    assert source_name(folder) == "folder of 5 image files"
    assert source_name(folder.chosen([0, 1])) == "folder of 2 PNG files"
    assert source_name(Paired(folder, folder)) == "folder of 5 image files"
    assert source_name(Joined(folder, Stored({}))) == "folder of 5 image files"
    assert source_name(latents(2000, 8)) == "2,000 latents"
    assert source_name([]) == "list"
