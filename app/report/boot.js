// Draws the figures from the JSON beside them, one after the other so that the page can be read meanwhile; all of them
// before printing. Nothing is ever asked of the network.
(function () {
  "use strict";
  var config = {
    displaylogo: false, showSendToCloud: false, plotlyServerURL: "", responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", scale: 1 }
  };
  var waiting = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  function draw(div) {
    var figure = JSON.parse(document.getElementById(div.id + "-data").textContent);
    div.classList.add("drawn");
    config.toImageButtonOptions.filename = div.id;
    Plotly.newPlot(div, figure.data, figure.layout, config);
  }
  function next() {
    if (waiting.length) { draw(waiting.shift()); setTimeout(next, 0); }
    else { document.documentElement.setAttribute("data-figures", "drawn"); }
  }
  window.addEventListener("beforeprint", function () {
    while (waiting.length) { draw(waiting.shift()); }
    document.querySelectorAll(".plot").forEach(function (div) { Plotly.Plots.resize(div); });
  });
  document.documentElement.classList.add("js");
  setTimeout(next, 0);
})();
