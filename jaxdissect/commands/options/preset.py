"""Options that choose a preset, and change it."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.commands.options.numbers import check_share
from jaxdissect.dissection.presets import PRESETS, Preset, annotated_pixels

PresetName = Literal["pnas2020", "netdissect2017", "gandissect2019", "reference"]


@dataclass(frozen=True, kw_only=True)
class PresetOptions:
    """Options that choose a preset, and change it."""

    preset: PresetName = "pnas2020"
    """Convention for thresholds and scores."""
    fraction: Annotated[
        float | None, arg(metavar="F", help_behavior_hint="(default: of the preset)")
    ] = None
    """A unit is active on at most this fraction of all pixels."""
    min_iou: Annotated[
        float | None, arg(metavar="X", help_behavior_hint="(default: of the preset)")
    ] = None
    """A unit is a detector above this IoU."""
    annotated_pixels_only: FlagCreatePairsOff[bool] = False
    """Only pixels with a label of a concept's category count against it."""

    def find_preset(self) -> Preset:
        """Return the preset, with what the options change of it.

        Raises:
            ValueError: If a number makes no sense, or the preset cannot be changed so.
        """
        check_share(self, "fraction", "min_iou")
        preset = PRESETS[self.preset]
        if self.fraction is not None:
            preset = replace(preset, fraction=self.fraction)
        if self.min_iou is not None:
            preset = replace(preset, min_iou=self.min_iou)
        if not self.annotated_pixels_only:
            return preset
        if preset.score is not None:
            raise ValueError(
                f"`annotated_pixels_only` does not go with `preset` {preset.name!r}, whose score "
                "always compares all pixels"
            )
        return replace(preset, scope=annotated_pixels)
