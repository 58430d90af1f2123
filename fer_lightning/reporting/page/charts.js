"use strict";
// Elements and pictures. Every text goes through text nodes and attributes, never through innerHTML.

const NAMESPACE = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== ""));
  return node;
}

const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(NAMESPACE, tag), attributes, children);

const colour = index => `var(--c${Math.min(index, 7)})`;
const isNumber = value => typeof value === "number" && Number.isFinite(value);
const fixed = value => isNumber(value) ? value.toFixed(3).replace(/^-(?=0\.0+$)/, "") : "";
/** .735, 1.00, -.12: as the tables in the terminal print the ends of intervals. */
const short = value => (value < 0 ? "-" : "") + Math.abs(value).toFixed(3).replace(/^0/, "").slice(0, 4);
const signed = value => isNumber(value) ? (value <= -0.0005 ? "−" : value >= 0.0005 ? "+" : "") + short(Math.abs(value)) : "";

function duration(seconds) {
  if (!isNumber(seconds)) return "";
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Round values between `low` and `high`, about `count` of them. */
function ticks(low, high, count = 5) {
  const rough = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(factor => factor * power >= rough) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function legend(entries) {
  return h("ul", {class: "legend"}, entries.map(([name, stroke]) => h("li", {}, h("i", {style: `background:${stroke}`}), name)));
}

/** A frame with axes. `x`, `y`: {low, high, ticks, label, log}. Gives {node, px, py}; drawing is appended to node. */
function frame(name, width, height, x, y, left = 44) {
  const top = 8, right = 10, bottom = 34;
  const place = (axis, from, to) => value => {
    const scale = axis.log ? Math.log10 : Number;
    return from + (scale(value) - scale(axis.low)) / (scale(axis.high) - scale(axis.low) || 1) * (to - from);
  };
  const px = place(x, left, width - right), py = place(y, height - bottom, top);
  const node = s("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": name});
  for (const tick of y.ticks) {
    node.append(s("line", {class: "grid", x1: left, x2: width - right, y1: py(tick), y2: py(tick)}));
    node.append(s("text", {x: left - 5, y: py(tick) + 4, "text-anchor": "end"}, String(tick)));
  }
  for (const tick of x.ticks) {
    node.append(s("line", {class: "axis", x1: px(tick), x2: px(tick), y1: height - bottom, y2: height - bottom + 4}));
    node.append(s("text", {x: px(tick), y: height - bottom + 15, "text-anchor": "middle"}, x.text ? x.text(tick) : String(tick)));
  }
  node.append(s("path", {class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}`}));
  node.append(s("text", {x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle"}, x.label));
  return {node, px, py};
}

/** Lines over epochs. `lines`: {name: {mean, folds?, low?, high?}}, null: a gap. `mark`: an epoch; `share`: show 0 to 1. */
function lineChart(title, epochs, lines, {mark, share} = {}) {
  const names = Object.keys(lines);
  const all = names.flatMap(name => [lines[name].mean, lines[name].low || [], lines[name].high || [], ...(lines[name].folds || [])].flat()).filter(isNumber);
  if (!all.length) return null;
  let low = Math.min(...all), high = Math.max(...all);
  if (share) [low, high] = [Math.min(low, 0), Math.max(high, 1)];
  else if (low > 0 && low < high / 3) low = 0;
  const x = {low: epochs[0], high: epochs.at(-1), ticks: ticks(epochs[0], epochs.at(-1)).filter(Number.isInteger), label: "epoch"};
  const {node, px, py} = frame(`${title} over the epochs`, 460, 250, x, {low, high, ticks: ticks(low, high)});
  const path = values => values.map((value, i) => isNumber(value) ? `${isNumber(values[i - 1]) ? "L" : "M"}${px(epochs[i]).toFixed(1)},${py(value).toFixed(1)}` : "").join("");
  names.forEach((name, i) => {
    const {mean, low: lows, high: highs, folds = []} = lines[name];
    if (lows) {
      const known = epochs.map((_, k) => k).filter(k => isNumber(lows[k]) && isNumber(highs[k]));
      const edge = [...known.map(k => [epochs[k], highs[k]]), ...known.reverse().map(k => [epochs[k], lows[k]])];
      node.append(s("polygon", {class: "band", fill: colour(i), points: edge.map(([a, b]) => `${px(a).toFixed(1)},${py(b).toFixed(1)}`).join(" ")}));
    }
    for (const fold of folds) node.append(s("path", {class: "thin", stroke: colour(i), d: path(fold)}));
    node.append(s("path", {class: "mean", stroke: colour(i), d: path(mean)}));
    if (epochs.length === 1) node.append(s("circle", {cx: px(epochs[0]), cy: py(mean[0]), r: 3.5, fill: colour(i)}));
  });
  if (mark) node.append(s("line", {class: "axis dash", x1: px(mark), x2: px(mark), y1: 8, y2: 216}, s("title", {}, `scored at epoch ${mark}`)));
  return h("figure", {}, h("figcaption", {}, title), legend(names.map((name, i) => [name.replaceAll("_", " "), colour(i)])), node);
}

/** One bar a fold. `bars`: [{name, value, text}]; `level`: the pooled value, drawn as a line. */
function barChart(title, bars, level, levelName) {
  const step = Math.max(9, Math.min(40, 900 / bars.length)), width = Math.max(320, 60 + step * bars.length);
  const high = Math.max(level ?? 0, ...bars.map(bar => bar.value), 1e-9), top = high <= 1 ? 1 : high;
  const {node, px, py} = frame(title, width, 200, {low: 0, high: bars.length, ticks: [], label: `${bars.length} folds`}, {low: 0, high: top, ticks: ticks(0, top)});
  bars.forEach((bar, i) => {
    const y = Math.min(py(bar.value), py(0) - 1);
    node.append(s("rect", {x: px(i) + 1, y, width: px(1) - px(0) - 2, height: py(0) - y, fill: colour(0)}, s("title", {}, bar.text)));
  });
  if (isNumber(level)) node.append(s("line", {class: "axis dash", x1: px(0), x2: px(bars.length), y1: py(level), y2: py(level)}, s("title", {}, levelName)));
  const scroll = h("div", {class: "scroll"}, node);
  node.style.maxWidth = "none";
  return h("figure", {}, h("figcaption", {}, title), scroll);
}

/** A text of at most `most` characters; of a longer one the middle is left out: what differs stands at its ends. */
function shortened(text, most) {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  return `${text.slice(0, most - 1 - end)}…${text.slice(text.length - end)}`;
}

/** Values with intervals, one row each. `rows`: [{label, value, low, high, colour, hollow, other}]; `other`: a diamond. */
function forest(title, rows, label) {
  const ends = rows.flatMap(row => [row.value, row.low, row.high, row.other]).filter(isNumber);
  const margin = 0.02, low = Math.min(...ends) - margin, high = Math.max(...ends) + margin;
  const names = rows.map(row => shortened(row.label, 44));
  const left = 20 + 6.6 * Math.max(...names.map(name => name.length)), height = 46 + 20 * rows.length;
  const y = {low: rows.length, high: 0, ticks: []};
  const {node, px, py} = frame(title, left + 380, height, {low, high, ticks: ticks(low, high, 6), label}, y, left);
  rows.forEach((row, i) => {
    const middle = py(i + 0.5);
    node.append(s("text", {x: left - 8, y: middle + 4, "text-anchor": "end"}, names[i], s("title", {}, row.label)));
    if (isNumber(row.other)) node.append(diamond(px(row.other), middle, "var(--ink)", `${row.label}: ${fixed(row.other)} printed`));
    if (isNumber(row.value)) node.append(dot(px(row.value), middle, isNumber(row.low) && [px(row.low), px(row.high)], row));
  });
  return h("figure", {}, h("figcaption", {}, title), node);
}

const diamond = (x, y, stroke, text) => s("path", {class: "diamond", d: `M${x - 5.5},${y}L${x},${y - 5.5}L${x + 5.5},${y}L${x},${y + 5.5}Z`, stroke}, s("title", {}, text));

function dot(x, y, ends, {label, value, low, high, colour: stroke, hollow}) {
  const text = `${label}: ${fixed(value)}${ends ? ` (${short(low)} to ${short(high)})` : ""}`;
  return s("g", {}, ends ? s("line", {x1: ends[0], x2: ends[1], y1: y, y2: y, stroke, "stroke-width": 2}) : null,
    s("circle", {cx: x, cy: y, r: 4.5, stroke, "stroke-width": 2, fill: hollow ? "var(--paper)" : stroke}, s("title", {}, text)));
}

/** Score over seconds. `points`: [{x, y, colour, hollow, text, open}]. */
function scatter(title, points, label) {
  const xs = points.map(point => point.x), ys = points.map(point => point.y);
  const low = Math.min(...xs) / 1.3, high = Math.max(...xs) * 1.3, bottom = Math.min(...ys) - 0.03, top = Math.max(...ys) + 0.03;
  const inside = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600, 7200, 18000, 36000, 72000, 180000, 360000].filter(value => value >= low && value <= high);
  const steps = inside.filter((_, i) => i % Math.ceil(inside.length / 6) === 0);
  const x = {low, high, log: true, ticks: steps.length ? steps : [xs[0]], text: duration, label: "seconds of all folds together (logarithmic)"};
  const {node, px, py} = frame(`${label} and time, ${title}`, 560, 300, x, {low: bottom, high: top, ticks: ticks(bottom, top)});
  for (const point of points) {
    node.append(s("circle", {class: "point", cx: px(point.x), cy: py(point.y), r: 5, stroke: point.colour, "stroke-width": 2,
      fill: point.hollow ? "var(--paper)" : point.colour, "fill-opacity": point.hollow ? 1 : 0.7, onclick: point.open}, s("title", {}, point.text)));
  }
  return h("figure", {}, h("figcaption", {}, `${label}: ${title}`), node);
}

/** A table whose first column names the row; the others hold numbers, or words. */
function grid(head, rows, kind = "number") {
  const cell = (value, i) => h(i ? "td" : "th", {scope: i ? null : "row", class: i && kind}, value);
  return h("table", {}, h("thead", {}, h("tr", {}, head.map((name, i) => h("th", {scope: "col", class: i && kind}, name)))), h("tbody", {}, rows.map(row => h("tr", {}, row.map(cell)))));
}

/** Rows true, columns predicted: counts, and shares of each row. */
function confusion({classes, confusion: counts}, caption = "Confusion matrix: rows true, columns predicted") {
  const rows = counts.map((row, i) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return h("tr", {}, h("th", {scope: "row"}, classes[i], h("small", {}, ` n = ${all}`)), row.map(count => {
      const share = all ? count / all : 0;
      return h("td", {class: share > 0.5 && "dark", style: `background:rgba(var(--heat),${share.toFixed(3)})`}, String(count), h("small", {}, `${Math.round(100 * share)} %`));
    }));
  });
  return h("figure", {}, h("figcaption", {}, caption), h("div", {class: "scroll"},
    h("table", {class: "confusion"}, h("thead", {}, h("tr", {}, h("td"), classes.map(name => h("th", {scope: "col"}, name)))), h("tbody", {}, rows))));
}

/** A picture that stands in the page itself, or why it does not. */
function picture({name, size, source}, caption) {
  const left = `left out: ${name}.png has ${(size / 1e6).toFixed(1)} MB, and a page holds 1 MB a picture, 20 MB in all`;
  return h("figure", {class: "picture"}, h("figcaption", {}, caption), source ? h("img", {src: source, alt: caption}) : h("p", {class: "soft"}, left));
}
