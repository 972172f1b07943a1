"""`jaxdissect paint`: a page in the browser, on which units of a generator are painted with."""

import secrets
import socket
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.commands.options.generator import GeneratedSegmenterOptions, GeneratorOptions
from jaxdissect.commands.options.model import BUILT_IN
from jaxdissect.commands.options.numbers import check_within
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.commands.paint.server import create_app
from jaxdissect.commands.paint.studio import Studio
from jaxdissect.dissection.result import Dissection, load_dissection
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import digest
from jaxdissect.generators.dissection import dissect_generator
from jaxdissect.generators.generator import Generator

HOST = "127.0.0.1"

DISSECTION_SEED = 4_000_003
"""Seed of the images that are dissected, which are not those to paint on."""


@dataclass(frozen=True, kw_only=True)
class PaintOptions(GeneratedSegmenterOptions, GeneratorOptions):
    """Paint with the units of a generator, in a browser on this machine.

    Needs starlette and uvicorn: pip install 'jaxdissect[paint]'. Ctrl+C stops it.
    """

    model: Annotated[str, arg(metavar="NAME")] = BUILT_IN
    """`scenes`, the built-in generator of farms, or another; see `jaxdissect generate remove
    --help`."""
    layer: Annotated[str, arg(metavar="LAYER")] = "layer4"
    """Layer whose units are painted with; early ones have few large cells, late ones many small."""
    samples: Annotated[int, arg(metavar="N")] = 24
    """Images to choose from."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of these images."""
    dissection: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder with a dissection of the layer, which names the concepts of its units; if there is
    none yet, it is made and kept there."""
    num_latents: Annotated[int, arg(metavar="N")] = 256
    """Other images of the generator to dissect, where there is no dissection yet."""
    port: Annotated[int, arg(metavar="N")] = 0
    """Port of 127.0.0.1; 0 takes one that is free."""
    browser: bool = True
    """Open the page in the browser."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but the address and errors."""

    def run(self) -> None:
        """Serve until interrupted.

        Raises:
            ValueError, OSError: If the options cannot be followed, or starlette or uvicorn are
                missing.
        """
        check_within(
            self,
            samples=(1, 1000),
            seed=(0, 2**53),  # what JavaScript holds exactly
            num_latents=(16, 100_000),
            port=(0, 65_535),
        )
        for name in ("dry_run", "distributed", "profile"):
            if getattr(self.computing, name) not in (None, False):
                raise ValueError(f"`{name}` goes with commands that write results")
        check_installed()
        with listen(self.port) as listener:
            serve(self._studio(), listener, browser=self.browser, quiet=self.quiet)

    def _studio(self) -> Studio:
        found = self.find_generator()
        generator = found.generator(self.find_segmenter(found))
        generator.map_shape(self.layer)  # refuses layers that do not exist
        with progress_bar(quiet=self.quiet) as progress:
            result = self._find_dissection(generator, progress)
        return Studio(
            generator,
            self.layer,
            result,
            name=self.model,
            seed=self.seed,
            num_samples=self.samples,
        )

    def _find_dissection(self, generator: Generator, progress: Progress) -> Dissection:
        folder, made_with = self.dissection, digest(generator.network.params)
        if folder is not None and folder.exists() and any(folder.iterdir()):
            result = load_dissection(folder)
            if result.settings.get("generator", made_with) != made_with:
                raise ValueError(f"`dissection`: {folder} holds one of another generator")
            return result
        result = dissect_generator(
            generator,
            latents(self.num_latents, generator.latent_size, seed=DISSECTION_SEED),
            layers=(self.layer,),
            mesh=self.computing.mesh,
            progress=progress,
        )
        if folder is not None:
            result.save(folder)
        return result


def check_installed() -> None:
    """Raise ValueError if the packages of the extra `paint` are missing."""
    from importlib.util import find_spec

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"`jaxdissect paint` needs {' and '.join(missing)}: pip install 'jaxdissect[paint]'"
        )


def listen(port: int) -> socket.socket:
    """Take a port of this machine, before the long work begins.

    Raises:
        ValueError: If the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as problem:
        listener.close()
        raise ValueError(f"`port` (={port}) of {HOST} is not free: {problem.strerror}") from None
    return listener


def serve(studio: Studio, listener: socket.socket, *, browser: bool, quiet: bool) -> None:
    """Serve the page until interrupted, and print where it is."""
    import uvicorn

    token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(studio, token, port),
        access_log=False,  # addresses have the token in them
        log_level="warning",
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    address = f"http://{HOST}:{port}/{token}/"
    print(address, flush=True)
    if not quiet:
        print("Whoever knows this address can paint. Ctrl+C stops the page.", flush=True)
    if browser:
        # Some browsers return only when they are closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # the usual end
