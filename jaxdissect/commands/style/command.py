"""`jaxdissect style`: which units are sensitive to shapes or textures, as tables and figures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.computing import images_like
from jaxdissect.commands.options.labelled_images import LabelledImages, find_labelled_images
from jaxdissect.commands.options.model import LayersOptions
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.options.passes import PassOptions
from jaxdissect.commands.options.size import Size
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.commands.style import figures, tables
from jaxdissect.engine.data.decoded_cache import decoded_source
from jaxdissect.engine.data.folders import ImageFolder, image_folder
from jaxdissect.engine.data.pairs import Paired, paired_folders
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.engine.labelers import Labeler
from jaxdissect.networks.loading import load_network, pretrained
from jaxdissect.networks.network import Network
from jaxdissect.scenes.dataset import ScenesDataset
from jaxdissect.styles.style_study import MIN_STYLE_IOU, StyleStudy, study_style
from jaxdissect.styles.stylisation import stylise_folder
from jaxdissect.styles.top_pairs import top_image_pairs

STYLISED_FOLDER = "stylised"
"""Where images stylised by the command are kept, in the folder of the results."""


@dataclass(frozen=True, kw_only=True)
class StyleOptions(CheckpointOptions, PassOptions, LabelledImages, LayersOptions, TableOptions):
    """Find units that are active at the same places when an image changes its style.

    Pairs come from --sample, from two folders (--images, --stylised) whose files are named alike,
    or from --images and --styles: every image is then rendered in one of these styles. What label
    ids mean is in --concepts; labels are those of the originals, for both.
    """

    sample: Annotated[Literal["scenes"] | None, arg(metavar="scenes", help_behavior_hint="")] = None
    """The built-in scenes, drawn twice: as they are, and in any textures and colors."""
    stylised: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of stylised images: `a/1.jpg`, `a/1-stylized-monet.png`, or whatever follows
    `Places365_<split>_<number>`, goes with `a/1.jpg` and so on."""
    styles: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder of images to take styles from, such as paintings; what is stylised is kept as PNG."""
    adain: Annotated[
        tuple[Path, Path] | None,
        arg(metavar="ENCODER DECODER", help_behavior_hint="(default: downloaded once)"),
    ] = None
    """Files with the weights of style transfer."""
    alpha: Annotated[float, arg(metavar="A")] = 1.0
    """Strength of the style, from 0, the image as it is, to 1, all of the style."""
    style_size: Annotated[Size, arg(metavar="H [W]")] = (256, 256)
    """Resize the images of --styles."""
    seed: int = 0
    """Seed of the choice of styles."""
    min_style_iou: Annotated[float, arg(metavar="X")] = MIN_STYLE_IOU
    """A unit is shape-sensitive if the IoU of its regions in both styles exceeds this."""

    @looked_at_once()
    def run(self) -> None:
        """Study styles as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_passes()
        self.check_free()
        self.check_checkpoints()
        originals, labeler = _originals(self)
        image_size = originals[0]["image"].shape[:2]
        network, layers = self.find_layers(image_size)
        batch_size = self.computing.size_of_batches(network, images_like(image_size), layers=layers)
        self.claim_checkpoints({"content of images": originals, "weights of model": network.params})
        with self.working() as (folder, progress):
            source = self._keep_pairs(_pairs(self, originals, folder, progress), progress)
            study = study_style(
                network,
                source,
                labeler,
                layers=layers,
                min_style_iou=self.min_style_iou,
                grid=self.grid,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("study"),
                mesh=self.computing.mesh,
                memory_budget=self.memory_budget,
                progress=progress,
            )
            self._write(folder, study, source, network)
            shown = top_image_pairs(study, network, source, progress=progress)
            self.save_strips(folder, shown, prefix="styles")
        self.print_summary(tables.summary(study))

    def _keep_pairs(self, pairs: Paired, progress: Progress) -> Paired:
        """Read the images of pairs from --image-cache, but for those that were stylised now."""
        if self.image_cache is None:
            return pairs
        originals = self.keep_decoded(pairs.originals, progress=progress)
        if self.styles is not None:
            return Paired(originals, pairs.stylised)
        return Paired(originals, self.keep_decoded(pairs.stylised, progress=progress))

    def _write(self, folder: Path, study: StyleStudy, source: Paired, network: Network) -> None:
        written = {
            "units": tables.unit_table(study),
            "layers": tables.layer_table(study),
            "categories": tables.category_table(study),
        }
        self.write_tables(folder, written)
        self.save_figure(folder, "layers", figures.layer_figure(study, width=self.figure_inches))
        self.save_figure(folder, "iou", figures.scatter_figure(study, width=self.figure_inches))
        parts = map(decoded_source, (source.originals, source.stylised))
        folders = [part for part in parts if isinstance(part, ImageFolder)]
        skipped = [reason for part in folders for reason in part.skipped]
        facts = tables.facts(study) | {"network": digest(network.params), "skipped": skipped}
        write_settings(folder / "style.json", self, facts)


def _originals(options: StyleOptions) -> tuple[ImageFolder | ScenesDataset, Labeler]:
    """Find the originals, and what finds the concepts in them."""
    others = [name for name in ("stylised", "styles") if getattr(options, name) is not None]
    if (options.sample is None) == (options.images is None):
        raise ValueError("give one of `sample`, `images`")
    if options.images is not None and len(others) != 1:
        raise ValueError("with `images` give one of `stylised`, `styles`")
    if options.sample is not None and others:
        raise ValueError(f"`{others[0]}` goes with `images`, not with `sample`")
    if options.adain is not None and options.styles is None:
        raise ValueError("`adain` goes with `styles`")
    check_at_least(options, limit=1)
    # All originals of a folder must be there to be matched; --limit then selects the first pairs.
    wanted = options if options.stylised is None else replace(options, limit=None)
    source, labeler = find_labelled_images(wanted)
    assert isinstance(source, ImageFolder | ScenesDataset)  # there is no --tfds
    return source, labeler


def _pairs(
    options: StyleOptions, originals: ImageFolder | ScenesDataset, folder: Path, progress: Progress
) -> Paired:
    """Find or make the stylised images."""
    if isinstance(originals, ScenesDataset):
        return Paired(originals, replace(originals, stylised=True))
    place = options.stylised
    if options.styles is not None:
        place = folder / STYLISED_FOLDER
        pixels = originals[0]["image"].size
        check_space("out", options.out, needed=len(originals) * pixels)  # a byte each
        styles = image_folder(
            options.styles, image_size=options.style_size, on_error=options.on_error
        )
        parts = ("encoder", "decoder")
        encoder, decoder = (
            pretrained(f"adain_{part}")
            if options.adain is None
            else load_network(f"adain_{part}", options.adain[i])
            for i, part in enumerate(parts)
        )
        stylise_folder(
            encoder,
            decoder,
            originals,
            styles,
            place,
            alpha=options.alpha,
            checkpoints=options.checkpoints_of("stylised"),
            mesh=options.computing.mesh,
            seed=options.seed,
            progress=progress,
        )
    assert place is not None
    stylised = image_folder(place, image_size=options.image_size, on_error=options.on_error)
    return paired_folders(originals, stylised, limit=options.limit)
