"""Data sets prepared by TensorFlow Datasets (TFDS), read without TensorFlow.

    pets = tfds_source(
        "oxford_iiit_pet:4.0.0", "test", labels=["segmentation_mask"], image_size=(224, 224)
    )
    pets[0]["image"].shape     # (224, 224, 3)
    pets[0]["labels"].shape    # (224, 224, 1)
    pets[0]["species"]         # array(0)

The data must have been prepared, once, as `array_record`, the format whose records can be read in
any order:

    tfds.builder("oxford_iiit_pet:4.0.0", file_format="array_record").download_and_prepare()

Pictures are taken from the records as the bytes of their files and decoded by `pictures`: as those
of `folders` are, and so that 16-bit label maps can be read too.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, SupportsIndex

import numpy as np

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.data import pictures
from jaxdissect.engine.identity import spread
from jaxdissect.engine.image_bytes import labels_as_bytes

_TAKEN = ("image", "labels", "example", "weight")  # names with a meaning to the engine
_HOW_RECORDS_READ = ("records", "schema", "undecoded")  # objects of TFDS
_INFO_FILE = "dataset_info.json"  # lies in every prepared folder


@dataclass(frozen=True, eq=False)
class TfdsSource:
    """A source of prepared examples; built by `tfds_source`.

    `source[i]` decodes one example, a dictionary of NumPy arrays:

    - "image": float32 [H, W, 3], RGB in [0, 1];
    - "labels": int32 [h, w, K], one channel per label feature. Only with `labels`;
    - every name in `features`, with the type that the data set gives it.

    It raises ValueError, naming the example, if a picture is damaged, a label map is none, those of
    an example differ in size, or a label lies outside the vocabulary. Threads may share a source.
    """

    thread_safe: ClassVar[bool] = True

    title: str  # data set, version and split, for messages
    records: Any  # len(records) serialized examples, records[i] is bytes
    schema: Any  # the `FeaturesDict` of what is read of them
    undecoded: dict[str, Any]  # TFDS decoders that leave pictures as bytes
    num_examples: int
    image: str
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None  # (H, W); None: as stored
    ids: pictures.LabelIds = pictures.LabelIds()  # what the values of label maps mean

    __repr__ = short_repr

    def __len__(self) -> int:
        return self.num_examples

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the feature "label"; none where the data set does not say."""
        import tensorflow_datasets as tfds

        feature = self.schema["label"] if "label" in self.features else None
        if not isinstance(feature, tfds.features.ClassLabel) or feature.num_classes is None:
            return ()
        return tuple(feature.names)

    def describe(self) -> str:
        """Name the source for people, such as "1,000 examples of mnist/3.0.1 test"."""
        return f"{len(self):,} examples of {self.title}"

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        return {name: np.asarray(array) for name, array in self.item_as_bytes(index).items()}

    def item_as_bytes(self, index: SupportsIndex) -> dict[str, Any]:
        """Decode one example, and leave the image, and labels below 256, as `Bytes`."""
        place = range(self.num_examples)[index]
        stored = self.schema.deserialize_example_np(self.records[place], decoders=self.undecoded)
        where = f"example {place} of {self.title}"
        named = {name: f"{name!r} of {where}" for name in (self.image, *self.labels)}
        image = pictures.read_image_bytes(
            named[self.image], stored[self.image], size=self.image_size
        )
        example: dict[str, Any] = {"image": image}
        masks = {}
        for name in self.labels:
            masks[name] = pictures.read_label_map(
                named[name], stored[name], size=self.image_size, ids=self.ids
            )
            sizes = (
                pictures.image_file_size(named[self.image], stored[self.image]),
                pictures.label_map_size(named[name], stored[name]),
            )
            if fault := pictures.shape_fault(named[self.image], sizes[0], named[name], sizes[1]):
                raise ValueError(fault)
        if len({mask.shape for mask in masks.values()}) > 1:
            sizes = ", ".join(f"{name!r} {mask.shape}" for name, mask in masks.items())
            raise ValueError(f"the label maps of {where} differ in size: {sizes}; set `image_size`")
        if masks:
            example["labels"] = labels_as_bytes(np.stack(list(masks.values()), axis=-1))
        for name in self.features:
            example[name] = np.asarray(stored[name], self.schema[name].np_dtype)
        return example

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`.

        Records are known by a sample of their bytes.
        """
        read = {name: value for name, value in vars(self).items() if name not in _HOW_RECORDS_READ}
        return read | {"sample": [self.records[place] for place in spread(len(self))]}


def tfds_source(
    builder: Any,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image: str = "image",
    labels: Sequence[str] = (),
    features: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int | None = None,
    ignore_label: int | None = None,
    first_label: int = 1,
    limit: int | None = None,
) -> TfdsSource:
    """Read a data set that TensorFlow Datasets has prepared as `array_record`.

    Nothing is downloaded or prepared, and only the features asked for are decoded.

    Args:
        builder: The name of a data set as TFDS writes it, "name", "name/config" or
            "name/config:version"; or a prepared folder, the one that holds `dataset_info.json`,
            for which the code of the data set is not needed; or a `tfds.core.DatasetBuilder`.
        split: Such as "test", "train[:10%]" or "train+test".
        data_dir: Where TFDS keeps prepared data, for a name; None is its own default, the
            environment's TFDS_DATA_DIR or ~/tensorflow_datasets.
        image: Name of the feature with the picture, of 8 bits per channel. Grayscale is repeated
            to three channels, transparency dropped.
        labels: Names of K features with label maps, pictures of one channel stored as PNG whose
            values are the ids of a vocabulary, 0 where nothing is labelled.
        features: Names of other features to keep, numbers of fixed shape; None keeps every numeric
            scalar, such as "label", except those named like an array of the engine ("image",
            "labels", "example", "weight"). Text is never kept.
        image_size: (H, W) in pixels to which images are resized (see `pictures.read_image`), and
            label maps too, read at pixel centres; left out, all must have one size.
        vocabulary_size: Number of label ids including 0, `len(vocabulary)`; with it labels are
            checked when they are read.
        ignore_label: Value of label maps where nothing is labelled besides 0, often 255.
        first_label: Value of the first concept in label maps: 1, or 0 where 0 is a concept.
        limit: Take only so many examples, the first.

    Raises:
        FileNotFoundError: If the data are not prepared.
        ValueError: If the data set, split or a feature is unknown or of another kind, the data are
            not prepared as `array_record`, or an option makes no sense. The message lists what
            there is.
    """
    for name, value in (("labels", labels), ("features", features)):
        if isinstance(value, str):
            raise ValueError(f"`{name}` (={value!r}) must be a list of names, even of one")
    pictures.check_options(image_size=image_size, limit=limit)
    ids = pictures.LabelIds(vocabulary_size, ignore_label, first_label)
    ids.check()

    import tensorflow_datasets as tfds

    found = _prepared_builder(builder, data_dir)
    stored = found.info.features
    scalars = (name for name, info in _numbers(stored).items() if info.shape == ())
    kept = tuple(scalars if features is None else features)
    _check_features(stored, image, labels, kept)
    records = _records(found, split)
    return TfdsSource(
        title=f"{found.info.full_name} {split}",
        records=records,
        schema=tfds.features.FeaturesDict({name: stored[name] for name in (image, *labels, *kept)}),
        undecoded={name: tfds.decode.SkipDecoding() for name in (image, *labels)},
        num_examples=len(range(len(records))[:limit]),
        image=image,
        labels=tuple(labels),
        features=kept,
        image_size=image_size,
        ids=ids,
    )


# --- what is prepared ---------------------------------------------------------------------------


def _prepared_builder(builder: Any, data_dir: str | os.PathLike[str] | None) -> Any:
    """Return the builder that is meant, whose data are prepared as `array_record`."""
    # "name/config" may be a name or a folder: a folder if one is there.
    is_name = isinstance(builder, str) and not builder.startswith((".", "~", os.sep))
    if is_name and not Path(builder, _INFO_FILE).is_file():
        builder = _named_builder(builder, data_dir)
    elif data_dir is not None:
        raise ValueError("`data_dir` goes with the name of a data set, not a folder or a builder")
    elif isinstance(builder, (str, os.PathLike)):
        builder = _stored_builder(Path(builder).expanduser())
    name, folder = builder.info.full_name, builder.data_path
    prepare = 'prepare it with download_and_prepare(), file_format="array_record"'
    if not (folder / _INFO_FILE).exists():
        raise FileNotFoundError(
            f"`builder`: {name} is not prepared in {folder}: {prepare}, or take what there is: "
            f"{_prepared_below(Path(folder).parents[name.count('/')])}"
        )
    formats = sorted(format.value for format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise ValueError(
            f"`builder`: {name} is prepared in {folder} as {', '.join(formats)}, whose records are "
            f"not read here: {prepare}, in another folder"
        )
    return builder


def _stored_builder(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    if not (folder / _INFO_FILE).is_file():
        raise FileNotFoundError(
            f"`builder`: {folder} is not a prepared folder, which holds {_INFO_FILE}; as "
            f"`data_dir` it offers {_prepared_below(folder)}"
        )
    return tfds.builder_from_directory(folder)


def _named_builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError, ImportError) as problem:
        # A wrong version is an AssertionError of TFDS; its lists of all it knows follow line 1.
        reason, *_ = str(problem).strip().splitlines()
        root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        raise ValueError(
            f"`builder` (={name!r}): {reason.rstrip('.')}; it must be NAME, NAME/CONFIG, "
            f"NAME/CONFIG:VERSION or a prepared folder; prepared in {root}: "
            f"{_prepared_below(Path(root).expanduser())}"
        ) from None


def _prepared_below(root: Path) -> str:
    """List the prepared data sets of a data folder by the names that TFDS gives them."""
    folders = [
        file.parent.relative_to(root)
        for folder in ("*/*", "*/*/*")  # name/version, name/config/version
        for file in root.glob(f"{folder}/{_INFO_FILE}")
    ]
    return ", ".join(sorted(f"{path.parent.as_posix()}:{path.name}" for path in folders)) or "none"


def _records(builder: Any, split: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        return builder.as_data_source(
            split,
            deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
            file_format="array_record",
        )
    except ValueError as problem:
        reason, *_ = str(problem).strip().splitlines()
        splits = (f"{name} ({info.num_examples})" for name, info in builder.info.splits.items())
        raise ValueError(
            f"`split` (={split!r}) cannot be read from {builder.info.full_name}: "
            f"{reason.rstrip('.')}; its splits and their examples: {', '.join(splits)}"
        ) from None


# --- which features -----------------------------------------------------------------------------


def _check_features(
    stored: Any, image: str, labels: Sequence[str], features: Sequence[str]
) -> None:
    """Raise ValueError, listing those that fit, unless all features are of the kind needed."""
    photographs = _pictures(stored, (np.uint8,), (1, 3, 4))
    label_maps = _pictures(stored, (np.uint8, np.uint16), (1,))
    asked = (
        ("image", (image,), photographs, "pictures of 8 bits per channel"),
        ("labels", labels, label_maps, "label maps, pictures of one channel of integers"),
        ("features", features, _numbers(stored), f"numbers of fixed shape, not named {_TAKEN}"),
    )
    for option, names, fitting, kind in asked:
        for name in names:
            if name not in fitting:
                found = ", ".join(sorted(fitting)) or "it has none"
                raise ValueError(
                    f"`{option}` (={name!r}) must be among the data set's {kind}: {found}"
                )


def _pictures(stored: Any, dtypes: Sequence[type], channels: Sequence[int]) -> list[str]:
    """Name the pictures whose type and number of channels are among these."""
    return [
        name
        for name, info in _infos(stored, of_pictures=True).items()
        if info.np_dtype in dtypes and info.shape[-1] in channels
    ]


def _numbers(stored: Any) -> dict[str, Any]:
    """Return what TFDS knows of the numbers of fixed shape whose name is free."""
    return {
        name: info
        for name, info in _infos(stored, of_pictures=False).items()
        if name not in _TAKEN and np.dtype(info.np_dtype).kind in "biuf" and None not in info.shape
    }


def _infos(stored: Any, *, of_pictures: bool) -> dict[str, Any]:
    """Return the `TensorInfo` of features, be they pictures or not; groups have none."""
    import tensorflow_datasets as tfds

    infos = {
        name: feature.get_tensor_info()
        for name, feature in stored.items()
        if isinstance(feature, tfds.features.Image) == of_pictures
    }
    return {name: info for name, info in infos.items() if not isinstance(info, dict)}
