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

Pictures are taken from the records as the bytes of their files, and decoded here: as in
`folders`, and so that 16-bit label maps can be read too.
"""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from jaxtyping import Float32, Int32

if TYPE_CHECKING:
    from PIL import Image

_TAKEN = ("image", "labels", "example", "weight")  # names with a meaning to the engine
_MASK_MODES = ("L", "P", "I", "I;16")  # of Pillow: grayscale, palette, 16 bits
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

    title: str  # data set, version and split, for messages
    records: Any  # len(records) serialized examples, records[i] is bytes
    schema: Any  # the `FeaturesDict` of what is read of them
    undecoded: Mapping[str, Any]  # TFDS decoders that leave pictures as bytes
    num_examples: int
    image: str
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None  # (H, W); None: as stored
    vocabulary_size: int | None = None  # label ids lie below it; None: not checked

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        place = range(self.num_examples)[index]
        stored = self.schema.deserialize_example_np(
            self.records[place], decoders=dict(self.undecoded)
        )
        with self._told(place, self.image):
            example: dict[str, np.ndarray] = {
                "image": _read_image(stored[self.image], self.image_size)
            }
        masks = []
        for name in self.labels:
            with self._told(place, name):
                masks.append(_read_mask(stored[name], self.image_size, self.vocabulary_size))
                if masks[-1].shape != masks[0].shape:
                    raise ValueError(
                        f"its size (={masks[-1].shape}) is not that of {self.labels[0]!r} "
                        f"(={masks[0].shape}); give `image_size`"
                    )
        if masks:
            example["labels"] = np.stack(masks, axis=-1)
        for name in self.features:
            example[name] = np.asarray(stored[name], self.schema[name].np_dtype)
        return example

    @contextmanager
    def _told(self, place: int, feature: str) -> Iterator[None]:
        """Make what decoders raise one ValueError that names the picture."""
        from PIL.Image import DecompressionBombError

        try:
            yield
        except (ValueError, OSError, SyntaxError, struct.error, DecompressionBombError) as problem:
            raise ValueError(f"{feature!r} of example {place} of {self.title}: {problem}") from None


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
        labels: Names of K features with label maps, pictures of one channel whose values are
            the ids of a vocabulary, 0 where nothing is labelled.
        features: Names of other features to keep, numbers of fixed shape; None keeps every numeric
            scalar, such as "label", except those named like an array of the engine ("image",
            "labels", "example", "weight"). Text is never kept.
        image_size: (H, W) in pixels to which images are resized (as by `folders.image_folder`),
            and label maps too, read at pixel centres; left out, all must have one size.
        vocabulary_size: Number of label ids including 0, `len(vocabulary)`; with it labels are
            checked when they are read.
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
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise ValueError(f"`image_size` (={image_size}) must be (H, W) of at least 1 pixel")
    for name, value in (("vocabulary_size", vocabulary_size), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")

    import tensorflow_datasets as tfds

    found = _prepared_builder(builder, data_dir)
    stored = found.info.features
    _check_pictures(stored, image, labels)
    kept = _scalars(stored) if features is None else tuple(features)
    _check_kept(stored, kept)
    records = _records(found, split)
    pictures = (image, *labels)
    return TfdsSource(
        title=f"{found.info.full_name} {split}",
        records=records,
        schema=tfds.features.FeaturesDict({name: stored[name] for name in (*pictures, *kept)}),
        undecoded={name: tfds.decode.SkipDecoding() for name in pictures},
        num_examples=len(range(len(records))[:limit]),
        image=image,
        labels=tuple(labels),
        features=kept,
        image_size=image_size,
        vocabulary_size=vocabulary_size,
    )


# --- what is prepared ---------------------------------------------------------------------------


def _prepared_builder(builder: Any, data_dir: str | os.PathLike[str] | None) -> Any:
    """Return the builder that is meant, whose data are prepared as `array_record`."""
    if isinstance(builder, (str, os.PathLike)):
        builder = _find_builder(builder, data_dir)
    elif data_dir is not None:
        raise ValueError("`data_dir` goes with the name of a data set, not with a builder")
    name, folder = builder.info.full_name, builder.data_path
    prepare = 'prepare it with download_and_prepare(), file_format="array_record"'
    if not (folder / _INFO_FILE).exists():
        raise FileNotFoundError(
            f"`builder`: {name} is not prepared in {folder}: {prepare}, or take what there is: "
            f"{_prepared_below(Path(folder.parent if data_dir is None else data_dir))}"
        )
    formats = sorted(format.value for format in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise ValueError(
            f"`builder`: {name} is prepared in {folder} as {', '.join(formats)}, whose records are "
            f"not read here: {prepare}, in another folder"
        )
    return builder


def _find_builder(builder: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds

    folder = Path(builder).expanduser()
    is_prepared = (folder / _INFO_FILE).is_file()
    if is_prepared and data_dir is not None:
        raise ValueError(
            f"`data_dir` goes with the name of a data set, not with a prepared folder ({folder})"
        )
    # "name/config" may be a name or a folder that is not there; these can be folders only.
    is_path = isinstance(builder, os.PathLike) or str(builder).startswith((".", "~", os.sep))
    if is_path and not is_prepared:
        raise FileNotFoundError(
            f"`builder`: {folder} is not a prepared folder, which holds {_INFO_FILE}; as "
            f"`data_dir` it offers {_prepared_below(folder)}"
        )
    try:
        if is_prepared:
            return tfds.builder_from_directory(folder)
        return tfds.builder(str(builder), data_dir=data_dir)
    except (ValueError, AssertionError, ImportError) as problem:
        # A wrong version is an AssertionError of TFDS; its lists of all it knows follow line 1.
        reason, *_ = str(problem).strip().splitlines()
        root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        raise ValueError(
            f"`builder` (={str(builder)!r}): {reason} It must be NAME, NAME/CONFIG, "
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
            f"`split` (={split!r}) cannot be read from {builder.info.full_name}: {reason} "
            f"Its splits and their examples: {', '.join(splits)}"
        ) from None


# --- which features -----------------------------------------------------------------------------


def _check_pictures(stored: Any, image: str, labels: Sequence[str]) -> None:
    """Raise ValueError unless the features are pictures of the kind that is needed."""
    import tensorflow_datasets as tfds

    pictures: dict[str, Any] = {
        name: feature.get_tensor_info()
        for name, feature in stored.items()
        if isinstance(feature, tfds.features.Image) and len(feature.shape) == 3
    }
    # The types of a channel, and how many channels there may be.
    photograph = (np.uint8,), (1, 3, 4), "pictures of 8 bits per channel"
    label_map = (np.uint8, np.uint16), (1,), "label maps, pictures of one channel of integers"
    asked = (("image", image, photograph), *(("labels", name, label_map) for name in labels))
    for option, name, (dtypes, channels, kind) in asked:
        fitting = [
            key
            for key, info in pictures.items()
            if info.np_dtype in dtypes and info.shape[-1] in channels
        ]
        if name not in fitting:
            raise ValueError(f"`{option}` (={name!r}) must be one of the {_those(kind, fitting)}")


def _check_kept(stored: Any, names: Sequence[str]) -> None:
    fitting = [name for name in stored if name not in _TAKEN and None not in _shape(stored, name)]
    for name in names:
        if name not in fitting:
            raise ValueError(
                f"`features` (={name!r}) must be some of the "
                f"{_those('numbers of fixed shape with a name of their own', fitting)}"
            )


def _scalars(stored: Any) -> tuple[str, ...]:
    return tuple(name for name in stored if name not in _TAKEN and _shape(stored, name) == ())


def _shape(stored: Any, name: str) -> tuple[int | None, ...]:
    """Return the shape of a feature of numbers, and (None,) for pictures, text and groups."""
    import tensorflow_datasets as tfds

    info = stored[name].get_tensor_info()  # of a group, a dictionary of such
    if isinstance(stored[name], tfds.features.Image) or not hasattr(info, "np_dtype"):
        return (None,)
    return info.shape if np.dtype(info.np_dtype).kind in "biuf" else (None,)


def _those(kind: str, names: Sequence[str]) -> str:
    return f"data set's {kind}: {', '.join(sorted(names)) or 'it has none'}"


# --- pictures -----------------------------------------------------------------------------------


def _read_image(data: bytes, size: tuple[int, int] | None) -> Float32[np.ndarray, "H W 3"]:
    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        # Straight to RGB, a palette with several transparent colours makes Pillow warn.
        opaque = image.convert("RGBA") if image.mode == "P" else image
        pixels = _resized(opaque.convert("RGB"), size, Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.float32) / 255


def _read_mask(
    data: bytes, size: tuple[int, int] | None, vocabulary_size: int | None
) -> Int32[np.ndarray, "h w"]:
    from PIL import Image

    with Image.open(BytesIO(data)) as image:
        if image.mode not in _MASK_MODES:
            raise ValueError(f"is no label map but a picture of Pillow's mode {image.mode!r}")
        labels = np.asarray(_resized(image, size, Image.Resampling.NEAREST)).astype(np.int32)
    if vocabulary_size is not None and labels.max() >= vocabulary_size:
        raise ValueError(
            f"label {labels.max()} lies outside the vocabulary, "
            f"whose ids are 0 to {vocabulary_size - 1}"
        )
    return labels


def _resized(
    picture: "Image.Image", size: tuple[int, int] | None, resampling: "Image.Resampling"
) -> "Image.Image":
    return picture if size is None else picture.resize((size[1], size[0]), resampling)
