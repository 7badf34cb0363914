(() => {
  "use strict";
  const PRINT_WIDTH = 680; // pixels of an A4 or Letter page between its margins
  const palettes = JSON.parse(document.getElementById("palettes").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 600px)");
  const touch = matchMedia("(hover: none)");
  const config = {
    responsive: true,
    doubleClick: "reset",
    displaylogo: false,
    showSendToCloud: false, // nothing of a report leaves it
    plotlyServerURL: "",
  };
  const figures = [...document.querySelectorAll("figure")];
  const plotOf = (figure) => figure.querySelector(".plot");
  const scales = new Map(); // figure → the scale that its reader has chosen
  let isPrinting = false;

  function draw(figure) {
    const source = (!isPrinting && narrow.matches && figure.querySelector("script.narrow")) ||
      figure.querySelector("script.wide");
    const palette = palettes[dark.matches && !isPrinting ? "dark" : "light"];
    const painted = source.textContent.replace(/"var\(--([a-z-]+)\)"/g, (_, role) => `"${palette[role]}"`);
    const { data, layout } = JSON.parse(painted);
    layout.uirevision = "kept"; // a reader's zoom outlives a change of colours
    if (scales.has(figure)) layout.yaxis.type = scales.get(figure);
    if (touch.matches) layout.dragmode = false; // a finger on a figure scrolls the page
    if (isPrinting) Object.assign(layout, { width: PRINT_WIDTH, autosize: false });
    plotOf(figure).style.height = `${layout.height}px`;
    const canZoom = Object.entries(layout).some(([name, axis]) => /^[xy]axis/.test(name) && !axis.fixedrange);
    const buttons = [...(canZoom ? [["zoom2d", "pan2d", "resetScale2d"]] : []), ["toImage"]];
    return Plotly.react(plotOf(figure), data, layout, {
      ...config, modeBarButtons: buttons, displayModeBar: touch.matches ? false : "hover",
    });
  }

  // Figures over the same bars are zoomed together.
  const zoomOf = (figure) => (plotOf(figure).layout.meta || {}).zoom;
  let isLinking = false;
  async function zoomAlike(figure, change) {
    const keys = ["xaxis.range[0]", "xaxis.range[1]", "xaxis.autorange"].filter((key) => key in change);
    if (isLinking || !keys.length) return;
    const others = figures.filter((other) => other !== figure && zoomOf(other) === zoomOf(figure));
    isLinking = true;
    const same = () => Object.fromEntries(keys.map((key) => [key, change[key]]));
    await Promise.all(others.map((other) => Plotly.relayout(plotOf(other), same())));
    isLinking = false;
  }

  function choose(figure, button) {
    scales.set(figure, button.dataset.scale);
    for (const other of figure.querySelectorAll(".switch button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    draw(figure);
  }

  const drawAll = () => Promise.all(figures.map(draw));

  (async () => {
    for (const figure of figures) {
      await draw(figure);
      for (const button of figure.querySelectorAll(".switch button")) {
        button.addEventListener("click", () => choose(figure, button));
      }
      await new Promise((resume) => setTimeout(resume)); // the page stays awake between two figures
    }
    for (const figure of figures.filter(zoomOf)) {
      plotOf(figure).on("plotly_relayout", (change) => zoomAlike(figure, change));
    }
    document.documentElement.dataset.drawn = "true";
  })();
  dark.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { isPrinting = true; drawAll(); });
  addEventListener("afterprint", () => { isPrinting = false; drawAll(); });
})();
