"""The option that keeps decoded images for further runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.engine.batching import Joined, Source
from jaxdissect.engine.data.decoded_cache import cached
from jaxdissect.engine.data.folders import ImageFolder
from jaxdissect.engine.data.tfds import TfdsSource
from jaxdissect.engine.devices import is_first_process
from jaxdissect.engine.identity import content
from jaxdissect.engine.progress import Progress


@dataclass(frozen=True, kw_only=True)
class ImageCacheOption:
    """Where decoded images are kept."""

    image_cache: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder that keeps the decoded images of folders and data sets, a byte for each color of a
    pixel, for further runs that read them; images that changed are decoded anew."""

    def keep_decoded(self, source: Source, *, progress: Progress | None = None) -> Source:
        """Return a source whose images of folders and data sets are read from --image-cache.

        They are decoded now, if they are not there. Other sources, and all without the option,
        stay as they are.

        Args:
            source: Images.
            progress: Shows how far the decoding is; a bar of its own, if it is left out.

        Raises:
            ValueError, OSError: If images cannot be read, or the folder not be written.
        """
        if self.image_cache is None:
            return source
        if isinstance(source, Joined):
            return Joined(*(self.keep_decoded(part, progress=progress) for part in source.sources))
        if not isinstance(source, ImageFolder | TfdsSource):
            return source
        own: Any = self
        if "computing" in vars(own):
            own.computing.refuse_to_write("image_cache")
        check_space("image_cache", self.image_cache)
        folder = self.image_cache / _place(source)
        if progress is not None:
            return cached(source, folder, progress=progress)
        quiet = getattr(self, "quiet", True) or not is_first_process()
        with progress_bar(quiet=quiet) as shown:
            return cached(source, folder, progress=shown)


def _place(source: ImageFolder | TfdsSource) -> str:
    """Name what is read, and how, but not what it holds: that may change."""
    if isinstance(source, ImageFolder):
        name = source.image_files[0].resolve().parents[source.names[0].count("/")]
        files = [str(file.resolve()) for file in (source.image_files[0], *source.mask_files[0])]
        read: list[Any] = [files, source.image_size, source.mask_size, source.ids, len(source)]
    else:
        name = Path(source.title.replace("/", "-").replace(":", "-").partition(" ")[0])
        read = [source.title, source.image, source.labels, source.features]
        read += [source.image_size, source.ids, len(source)]
    return f"{name.name}-{content(read).rpartition(':')[2][:8]}"
