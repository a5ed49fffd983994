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
  // The numbers below a figure to take away: what stands in the table, as CSV.
  function csv(table) {
    return Array.prototype.map.call(table.rows, function (row) {
      return Array.prototype.map.call(row.cells, function (cell) {
        return '"' + cell.textContent.replace(/"/g, '""') + '"';
      }).join(",");
    }).join("\r\n") + "\r\n";
  }
  document.querySelectorAll("figure .scroll").forEach(function (scroll) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "save";
    button.textContent = "Save these numbers as CSV";
    button.addEventListener("click", function () {
      var link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(scroll.querySelector("table"))], { type: "text/csv" }));
      link.download = scroll.closest("figure").querySelector(".plot").id + ".csv";
      link.click();
      setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
    });
    scroll.before(button);
  });
  // The picture to take away.
  document.querySelectorAll("figure .plot").forEach(function (plot) {
    var place = document.createElement("p");
    place.className = "pictures";
    ["svg", "png"].forEach(function (format) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "save";
      button.textContent = "Save as " + format.toUpperCase();
      button.addEventListener("click", function () {
        Plotly.downloadImage(plot, { format: format, scale: format === "png" ? 2 : 1, filename: plot.id });
      });
      place.append(button, " ");
    });
    plot.closest("figure").querySelector("details.about").before(place);
  });
  document.documentElement.classList.add("js");
  setTimeout(next, 0);
})();
