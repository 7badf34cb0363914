"""The lab's page as a Dash application: its four parts, and what they share."""

import re
from importlib.resources import files

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from flask import Response, request

from idi_fast import __version__
from idi_fast.errors import IdiFastError
from idi_fast.lab import market_page, parts, policy_page, runs_page, train_page
from idi_fast.lab.guard import REPORT_POLICY, Guard
from idi_fast.lab.trainings import Trainings
from idi_fast.lab.workspace import Workspace
from idi_fast.reporting import render_run
from idi_fast.reporting.page import page_css
from idi_fast.reporting.theme import PALETTES

PAGES = ("market", "train", "policy", "runs")
INDEX = """<!doctype html>
<html lang="en-GB">
<head>
{%metas%}
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" href="data:,">
<style>STYLE</style>
{%css%}
</head>
<body>
{%app_entry%}
{%config%}
{%scripts%}
{%renderer%}
</body>
</html>"""
FIGURES = {
    "price-figure": ("prices",),
    "market-figures": ("returns", "tails", "volatility", "autocorrelation"),
    "train-figures": ("live", "evaluation-figure"),
    "runs-figures": ("courses",),
    "policy-figures": tuple(name for name, _ in policy_page.MAPS),
}
"""Which figures are drawn from which store."""
SCALED = ("prices",)


def make_app(workspace: Workspace, trainings: Trainings, guard: Guard) -> Dash:
    """The application; `guard` watches over all it answers."""
    app = Dash(
        "idi_fast.lab",
        title="idi-fast lab",
        update_title="",
        serve_locally=True,
        assets_folder=str(files("idi_fast.lab").joinpath("assets")),
        index_string=INDEX.replace("STYLE", re.sub(r"\s*\n\s*", "\n", page_css())),
        suppress_callback_exceptions=True,  # the digits of a state come with its policy
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        enable_mcp=False,
        add_log_handler=False,
        on_error=None,
    )
    guard.install(app.server)
    app.server.route("/report")(lambda: _report(workspace))
    app.layout = lambda: _layout(workspace)
    market_page.register(app, workspace)
    train_page.register(app, workspace, trainings)
    policy_page.register(app, workspace)
    runs_page.register(app, workspace)
    _register(app)
    guard.scripts = tuple(app.csp_hashes())
    return app


def _layout(workspace: Workspace) -> html.Div:
    links = [html.A(name.capitalize(), href=f"#{name}", id=f"link-{name}") for name in PAGES]
    return html.Div(
        [
            dcc.Location(id="location"),
            html.Header(
                [
                    html.P("idi-fast lab", className="kind"),
                    html.Nav(links, **parts.aria(label="Pages")),
                    html.P(str(workspace.root), className="lead"),
                ]
            ),
            html.Main(
                [
                    market_page.layout(workspace),
                    train_page.layout(workspace),
                    policy_page.layout(),
                    runs_page.layout(),
                ]
            ),
            html.Footer(html.P(f"idi-fast {__version__}. Nothing leaves this machine.")),
            dcc.Store(id="scheme", data="light"),
            dcc.Store(id="palettes", data=PALETTES),
            dcc.Store(id="defaults", data=[knob.value for knob in market_page.ALL]),
            dcc.Store(id="folder", data={"runs": []}),
            dcc.Store(id="files", data=workspace.histories()),
            dcc.Store(id="changed", data={"times": 0, "name": None}),
        ]
    )


def _register(app: Dash) -> None:
    """What runs in the browser alone: the choice of a page, the drawing of figures."""
    app.clientside_callback(
        ClientsideFunction("lab", "show"),
        *(Output(f"page-{name}", "hidden") for name in PAGES),
        *(Output(f"link-{name}", "className") for name in PAGES),
        Input("location", "hash"),
    )
    for store, names in FIGURES.items():
        scales = [Input(f"{name}-scale", "value") for name in names if name in SCALED]
        app.clientside_callback(
            ClientsideFunction("lab", "draw"),
            *(Output(name, "figure") for name in names),
            *(Output(name, "style") for name in names),
            *(Output(f"{name}-title", "children") for name in names),
            *(Output(f"{name}-caption", "children") for name in names),
            *(Output(f"{name}-figure", "hidden") for name in names),
            Input(store, "data"),
            Input("scheme", "data"),
            *scales,
            State("palettes", "data"),
        )


def _report(workspace: Workspace) -> Response:
    """The report of a run in the folder."""
    name = request.args.get("run", "")
    try:
        html_text, _, _ = render_run(workspace.run(name))
    except IdiFastError as error:
        return Response(f"{error}\n", 404, mimetype="text/plain")
    return Response(html_text, mimetype="text/html", headers={"Content-Security-Policy": REPORT_POLICY})
