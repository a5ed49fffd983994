// The chart of every page: Plotly.react updates it in place, so that zoom and legend stay while the axes mean the same
// (uirevision), and nothing is drawn again while the numbers stay the same (revision). It tells the server which stretch
// of its horizontal axis is shown (zoom) and which cell was clicked (click).
const LIBRARY = "/depthscope/plotly.js";
const PAUSE = 200; // ms without another change of the range before the server is asked for its numbers
const CONFIG = {
  displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};
const FULL_SCREEN = {
  name: "fullScreen", title: "Full screen",
  icon: { width: 24, height: 24, path: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z" },
  click: (plot) => document.fullscreenElement ? document.exitFullscreen() : plot.requestFullscreen(),
};

function library() {
  if (!window.depthscopePlotly) {
    window.depthscopePlotly = new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = LIBRARY;
      script.onload = () => done(window.Plotly);
      script.onerror = () => failed(new Error("no " + LIBRARY));
      document.head.append(script);
    });
  }
  return window.depthscopePlotly;
}

function tellZoom(plot, ends) {
  clearTimeout(plot.pending);
  plot.pending = setTimeout(() => {
    plot.pending = 0;
    plot.latest.setTriggerValue("zoom", ends);
    draw(plot); // what came in meanwhile was held back
  }, PAUSE);
}

function showAll(plot) {
  window.Plotly.relayout(plot, { "xaxis.autorange": true, "yaxis.autorange": true });
}

function relaid(plot, change) {
  const { divisor } = plot.latest.data;
  if (!divisor) return;
  const ends = change["xaxis.range"] || [change["xaxis.range[0]"], change["xaxis.range[1]"]];
  if (change["xaxis.autorange"]) tellZoom(plot, []);
  else if (ends.every(Number.isFinite)) tellZoom(plot, ends.map((end) => end * divisor));
}

function clicked(plot, event) {
  const { data, setTriggerValue } = plot.latest;
  const point = event.points.find((each) => each.z !== undefined && each.z !== null);
  if (data.clickable && point) setTriggerValue("click", [point.x, point.y]);
}

function configured(data) {
  const config = { ...CONFIG, modeBarButtonsToAdd: [FULL_SCREEN] };
  config.toImageButtonOptions = { format: "svg", filename: data.file };
  if (!data.divisor) return config;
  // The server puts the zoomed range into the layout: Plotly's own way back would end there.
  config.doubleClick = false;
  config.modeBarButtonsToRemove = [...CONFIG.modeBarButtonsToRemove, "resetScale2d"];
  config.modeBarButtonsToAdd.push(
    { name: "showAll", title: "Show all", icon: window.Plotly.Icons.home, click: showAll },
  );
  return config;
}

async function draw(plot) {
  const { data } = plot.latest;
  if (plot.pending || plot.dataset.revision === data.revision) return;
  const Plotly = await library();
  if (plot.pending || plot.latest.data !== data || plot.dataset.revision === data.revision) return;
  plot.dataset.revision = data.revision;
  const spec = JSON.parse(data.spec);
  const first = !plot.classList.contains("js-plotly-plot");
  await Plotly.react(plot, spec.data, spec.layout, configured(data));
  if (!first) return;
  plot.addEventListener("fullscreenchange", () => Plotly.relayout(plot, {
    height: document.fullscreenElement === plot ? window.innerHeight : plot.latest.data.height,
  }));
  plot.on("plotly_relayout", (change) => relaid(plot, change));
  plot.on("plotly_doubleclick", () => plot.latest.data.divisor && showAll(plot));
  plot.on("plotly_click", (event) => clicked(plot, event));
}

export default function (component) {
  const { data, parentElement } = component;
  const figure = parentElement.querySelector("figure");
  const plot = parentElement.querySelector(".depthscope-plot");
  figure.setAttribute("aria-label", data.alt);
  plot.style.minHeight = data.height + "px";
  plot.latest = component;
  draw(plot);
}
