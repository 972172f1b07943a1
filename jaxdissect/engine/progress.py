"""What is called with how far a pass over the data has come."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Is called with how far a pass over the data has come."""

    def __call__(self, description: str, done: int, total: int, /) -> None: ...


@runtime_checkable
class FiguresShown(Progress, Protocol):
    """A progress that also shows the figures of the pass that is running."""

    def show_figures(self, figures: str, /) -> None:
        """Show these figures, such as "120 images/s", with what is shown next."""
        ...


def no_progress(description: str, done: int, total: int) -> None:
    """Show nothing."""
