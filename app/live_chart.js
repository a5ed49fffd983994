// A chart that is updated in place: Plotly.react keeps zoom and legend while the view stays the same (uirevision), and
// nothing is drawn again while the numbers stay the same (revision). Streamlit's own chart is a new one at every change.
const LIBRARY = "/depthscope/plotly.js";
const CONFIG = {
  displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
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

export default function (component) {
  const { data, parentElement } = component;
  const figure = parentElement.querySelector("figure");
  const plot = parentElement.querySelector(".live-plot");
  figure.setAttribute("aria-label", data.alt);
  plot.style.minHeight = data.height + "px";
  if (plot.dataset.revision === data.revision) return;
  plot.dataset.revision = data.revision;
  const config = { ...CONFIG, toImageButtonOptions: { format: "svg", filename: data.file } };
  library().then((Plotly) => {
    if (plot.dataset.revision !== data.revision) return;
    const spec = JSON.parse(data.spec);
    Plotly.react(plot, spec.data, spec.layout, config);
  });
}
