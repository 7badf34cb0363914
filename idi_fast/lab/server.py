"""The lab's server: on this machine only, ready once its kernels are loaded."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from idi_fast.config.arguments import check_callback, check_integer, check_path
from idi_fast.config.settings import TrainingConfig
from idi_fast.errors import InputError
from idi_fast.lab.app import make_app
from idi_fast.lab.guard import HOST, Guard
from idi_fast.lab.trainings import Trainings
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting.markets import market_figures
from idi_fast.reporting.simulations import simulated_paths


class Lab:
    """A lab that is ready to be served; a context that ends its trainings and its server.

    address: where it is opened, with the token.
    """

    def __init__(self, folder: str | Path, port: int = 0) -> None:
        port = check_integer("port", port, least=0)
        if port > 65_535:
            raise InputError(f"port is {port}; expected at most 65535")
        self.workspace = Workspace(folder)
        self.trainings = Trainings(self.workspace)
        self.guard = Guard()
        self.app = make_app(self.workspace, self.trainings, self.guard)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.guard.port = port
        try:
            self._server = make_server(HOST, port, self.app.server, threaded=True)
        except (OSError, SystemExit):  # werkzeug exits where a port is taken
            raise InputError(f"port {port} of {HOST} cannot be used; choose another, or 0 for any") from None
        self.guard.port = self._server.server_port

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.trainings.close()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Where it is opened."""
        return self.guard.address

    def load(self) -> None:
        """Load the kernels, so that the first move of a slider is as quick as the others."""
        market_figures(simulated_paths(TrainingConfig(), 300, 0, 1))

    def serve(self) -> None:
        """Answer requests, until `stop` or an interrupt."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Have `serve` return; called from another thread."""
        self._server.shutdown()


def serve_lab(folder: str | Path = ".", *, port: int = 0, ready: Callable[[str], Any] = print) -> None:
    """Serve the lab: a page in the browser with a market to play with, trainings, policies and the runs of a folder.

    It answers on 127.0.0.1 only, and only to whom has the token in its address. It reads and writes in the folder and
    nowhere else. It goes on until it is interrupted, and ends its trainings as Ctrl-C does.

    Parameters
    ----------
    folder
        Where runs and price histories are, and where new runs go.
    port
        Of the server; 0: any that is free.
    ready
        Called with the address once it can be opened.

    Returns
    -------
    None
        Never, but for an interrupt, which is raised.

    Raises
    ------
    InputError
        If there is no such folder, the port cannot be used, or Dash is not installed (`pip install 'idi-fast[lab]'`).
    """
    check_callback("ready", ready)
    with Lab(check_path("folder", folder), port) as lab:
        lab.load()
        ready(lab.address)
        lab.serve()
