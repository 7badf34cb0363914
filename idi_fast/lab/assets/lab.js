"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tell = () => window.dash_clientside.set_props("scheme", { data: dark.matches ? "dark" : "light" });
  const ROLE = /"var\(--([a-z-]+)\)"/g;

  function painted(stored, palette, scale) {
    const text = JSON.stringify({ data: stored.data, layout: stored.layout });
    const { data, layout } = JSON.parse(text.replace(ROLE, (_, role) => `"${palette[role]}"`));
    layout.uirevision = "kept"; // a zoom outlives the move of a slider
    if (scale) layout.yaxis.type = scale;
    if (matchMedia("(hover: none)").matches) layout.dragmode = false; // a finger scrolls the page
    return { data, layout };
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    lab: {
      // The page that the address names; the first one for others.
      show(hash) {
        const names = ["market", "train", "policy", "runs"];
        const chosen = names.includes((hash || "").slice(1)) ? hash.slice(1) : names[0];
        for (const name of names) {
          const link = document.getElementById(`link-${name}`);
          if (name === chosen) link?.setAttribute("aria-current", "page");
          else link?.removeAttribute("aria-current");
        }
        return [...names.map((name) => name !== chosen), ...names.map((name) => (name === chosen ? "here" : ""))];
      },

      reset(clicks, defaults) {
        return [...defaults, ...defaults];
      },

      files(names) {
        return names;
      },

      sources(names) {
        const first = { label: "The simulated market", value: "simulated" };
        return [first, ...names.map((name) => ({ label: name, value: name }))];
      },

      // A plan has no episodes.
      without_episodes(algorithm) {
        return algorithm === "value_iteration";
      },

      // The figures of a store, painted in the colours of the scheme; those it does not hold are hidden.
      draw(stored, scheme, ...others) {
        const palettes = others.pop();
        const scales = others;
        const outputs = window.dash_clientside.callback_context.outputs_list;
        const names = outputs.filter(({ property }) => property === "figure").map(({ id }) => id);
        const none = window.dash_clientside.no_update;
        const held = names.map((name) => (stored || {})[name]);
        const figures = held.map((one, k) => (one ? painted(one, palettes[scheme], k === 0 ? scales[0] : null) : none));
        const heights = held.map((one) => (one ? { height: `${one.layout.height}px` } : none));
        const titles = held.map((one) => (one ? one.title : none));
        const captions = held.map((one) => (one ? one.caption : ""));
        names.forEach((name, k) => {
          const plot = document.getElementById(name);
          if (!plot || !held[k]) return;
          plot.setAttribute("role", "img");
          plot.setAttribute("aria-label", held[k].alt);
        });
        return [...figures, ...heights, ...titles, ...captions, ...held.map((one) => !one)];
      },
    },
  });

  // A slider and its field tell each other. By no callback of Dash: it would be a circle, and each move would wait for it.
  const sets = (id, value) => window.dash_clientside.set_props(id, { value });
  document.addEventListener("input", ({ target }) => {
    if (target.type === "range") sets(`${target.id}-number`, Number(target.value));
  });
  document.addEventListener("change", ({ target }) => {
    const slider = target.type === "number" && document.getElementById(target.id.replace(/-number$/, ""));
    if (slider?.type === "range" && target.value !== "" && target.validity.valid) sets(slider.id, Number(target.value));
  });

  dark.addEventListener("change", tell);
  const ready = setInterval(() => {
    if (!window.dash_clientside.set_props || !document.getElementById("page-market")) return;
    clearInterval(ready);
    // Figures that were drawn on a hidden page get their width when it is shown.
    const shown = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
    document.querySelectorAll("main section").forEach((section) => shown.observe(section));
    tell();
    document.documentElement.dataset.ready = "true";
  }, 20);
})();
