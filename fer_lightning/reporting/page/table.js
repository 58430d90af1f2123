// The table, its filters, and what opens below a row. The state stands in the address, behind the #.

const DATA = JSON.parse(document.getElementById("data").textContent);
const {dagger: DAGGER} = DATA.texts;
const byId = id => document.getElementById(id);
const distinct = values => [...new Set(values.filter(value => value !== undefined && value !== null && value !== ""))];
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
const natural = new Intl.Collator("en", {numeric: true}).compare;
/** The rule with its dagger, unless it brings one. */
const marked = selection => selection.startsWith("oracle_test") && !selection.includes(DAGGER) ? `${selection} ${DAGGER}` : selection;
const listed = value => Array.isArray(value) ? value.join(", ") : value;

const cells = DATA.cells;
cells.forEach((cell, number) => {
  const {continuous, ...scores} = cell.scores;
  Object.assign(cell, {number, leaky: cell.selection.startsWith("oracle_test"), figures: {...continuous, ...scores}});
  cell.rate = isNumber(cell.lr) ? Number(cell.lr.toPrecision(6)) : "";
  cell.main = "uf1" in cell.figures ? "uf1" : "ccc";
  cell.honest = {...(continuous || {}).honest, ...scores.honest};
  cell.gap = cell.honest[`oracle_gap_${cell.main}`];
  cell.last = cell.honest[cell.main];
  cell.words = [cell.path, cell.model, cell.data, cell.task, cell.optimizer, cell.scheduler, cell.protocol, cell.selection, `seed ${cell.seed}`,
    listed(scores.device), scores.synthetic ? "SYNTHETIC" : ""].join(" ").toLowerCase();
  cell.pairs = Object.entries({...DATA.common, ...cell.settings}).map(([key, value]) => `${key}=${value}`).join(" ").toLowerCase();
});

const MEASURES = {uf1: "UF1", uar: "UAR", accuracy: "accuracy", ccc: "CCC", rmse: "RMSE"};
const FILTERS = ["model", "data", "optimizer", "scheduler", "selection"];

function groupBy(items, name) {
  const groups = new Map();
  for (const item of items) groups.has(name(item)) ? groups.get(name(item)).push(item) : groups.set(name(item), [item]);
  return groups;
}

// A row is a list of cells: one, or those that differ in nothing but the seed.
const text = (key, name, get) => ({key, name, get: row => { const found = distinct(row.map(get)); return found.length === 1 ? found[0] : found.join(", "); }});
const number = (key, name, get, show) => ({
  key, name, number: true,
  get: row => { const found = row.map(get).filter(isNumber); return found.length ? mean(found) : undefined; },
  show: row => { const found = row.map(get).filter(isNumber); return found.length ? show(mean(found)) : ""; },
});

function measure(key) {
  const column = number(key, MEASURES[key], cell => cell.figures[key], fixed);
  column.show = row => {
    const values = row.map(cell => cell.figures[key]).filter(isNumber);
    if (!values.length) return "";
    const mark = row.some(cell => cell.leaky) ? DAGGER : "";
    return [fixed(mean(values)) + mark, h("small", {}, row.length > 1 ? spread(values) : interval(row[0].figures[`${key}_ci95`]))];
  };
  return column;
}
const interval = ends => ends ? `(${short(ends[0])} to ${short(ends[1])})` : "";
function spread(values) {
  const centre = mean(values), sd = Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
  return `sd ${short(sd)}, ${short(Math.min(...values))} to ${short(Math.max(...values))}`;
}

const BEFORE = [
  text("model", "model", cell => cell.model), text("data", "data", cell => cell.data), text("optimizer", "optimizer", cell => cell.optimizer), text("lr", "lr", cell => cell.rate), text("scheduler", "scheduler", cell => cell.scheduler),
  text("selection", "selection", cell => marked(cell.selection)),
  {key: "seed", name: "seed", get: row => row.length === 1 ? row[0].seed : `${row.length}: ${row.map(cell => cell.seed).sort((a, b) => a - b).join(", ")}`},
];
const AFTER = [
  ...Object.keys(MEASURES).filter(key => cells.some(cell => isNumber(cell.figures[key]))).map(measure),
  number("gap", "oracle gap", cell => cell.gap, signed),
  number("samples", "n", cell => cell.scores.samples, value => String(value)), number("folds", "folds", cell => cell.scores.folds, value => String(value)),
  number("seconds", "time", cell => cell.scores.seconds, duration), text("device", "device", cell => listed(cell.scores.device)),
  text("task", "task", cell => cell.task),
];

/** Settings that differ among the shown cells and have no column of their own. */
function varying(shown) {
  const values = {};
  for (const cell of shown) for (const [key, value] of Object.entries(cell.settings)) (values[key] ??= new Set()).add(value);
  const own = /^(seed|model_name|data\.name|protocol\.selection|optimizer\.lr)$|^(paper|needs)\.|\._(target|partial)_$/;
  return Object.keys(values).filter(key => !own.test(key) && (values[key].size > 1 || shown.some(cell => !(key in cell.settings)))).sort(natural);
}
/** Of these, at first: up to three that take two values for one model on one data set, so that a grid shows its axes. */
function axes(shown) {
  const seen = {};
  for (const cell of shown) for (const [key, value] of Object.entries(cell.settings)) ((seen[key] ??= {})[setName(cell)] ??= new Set()).add(value);
  return varying(shown).filter(key => !/^(optimizer|scheduler|protocol)\./.test(key) && Object.values(seen[key]).some(values => values.size > 1)).slice(0, 3);
}
/** What may be compared: the same number of samples of the same data, tested in the same way. */
const samplesName = cell => `${cell.data}, ${cell.protocol}, n = ${cell.scores.samples}${cell.scores.synthetic ? ", SYNTHETIC" : ""}`;
const setName = cell => `${cell.model} on ${samplesName(cell)}`;

const state = {q: "", sort: "", grouped: false, open: [], hidden: new Set(), extra: new Set(axes(cells))};
FILTERS.forEach(name => { state[name] = ""; });

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of ["q", "sort", ...FILTERS]) state[name] = given.get(name) ?? "";
  state.grouped = given.has("grouped");
  state.open = given.getAll("open");
}
function writeAddress() {
  const given = new URLSearchParams();
  for (const name of ["q", "sort", ...FILTERS]) if (state[name]) given.set(name, state[name]);
  if (state.grouped) given.set("grouped", "1");
  state.open.forEach(path => given.append("open", path));
  history.replaceState(null, "", `#${given}`);
}

function shownCells() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  return cells.filter(cell => FILTERS.every(name => !state[name] || cell[name] === state[name]) && words.every(word => (word.includes("=") ? cell.pairs : cell.words).includes(word)));
}
function rowsOf(shown) {
  return state.grouped ? [...groupBy(shown, cell => cell.group).values()] : shown.map(cell => [cell]);
}
function columnsOf(shown) {
  const extra = varying(shown).filter(key => state.extra.has(key)).map(key => text(key, key.split(".").at(-1), cell => String(cell.settings[key] ?? "")));
  const after = AFTER.filter(column => column.key in MEASURES ? shown.some(cell => isNumber(cell.figures[column.key])) : column.key !== "gap" || shown.some(cell => isNumber(cell.gap)));
  return [...BEFORE, ...extra, ...after].filter(column => column.key === "model" || !state.hidden.has(column.key));
}
function sorted(rows, columns) {
  const falling = state.sort.startsWith("-"), column = columns.find(each => each.key === state.sort.replace(/^-/, ""));
  if (!column) return rows;
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : natural(String(a), String(b));
  const missing = value => value === undefined || value === "";
  return rows.map(row => [row, column.get(row)]).sort(([, a], [, b]) =>
    missing(a) || missing(b) ? missing(a) - missing(b) : falling ? compare(b, a) : compare(a, b)).map(([row]) => row);
}

function draw() {
  const shown = shownCells(), columns = columnsOf(shown), rows = sorted(rowsOf(shown), columns);
  const head = columns.map(column => {
    const direction = {[column.key]: "ascending", [`-${column.key}`]: "descending"}[state.sort];
    const [first, second] = column.number ? [`-${column.key}`, column.key] : [column.key, `-${column.key}`];
    const next = {[first]: second, [second]: ""}[state.sort] ?? first;
    return h("th", {scope: "col", class: column.number && "number", "aria-sort": direction},
      h("button", {type: "button", title: column.key, "data-sort": column.key, onclick: () => change({sort: next}, `[data-sort="${CSS.escape(column.key)}"]`)}, column.name));
  });
  const body = rows.flatMap(row => {
    const key = state.grouped ? `group-${row[0].group}` : row[0].path, open = state.open.includes(key);
    const line = h("tr", {}, columns.map(column => {
      const value = column.show ? column.show(row) : String(column.get(row));
      if (column.key !== "model") return h("td", {class: column.number && "number"}, value);
      const badge = row.some(cell => cell.scores.synthetic) ? [" ", h("span", {class: "badge"}, "SYNTHETIC")] : [];
      return h("td", {}, h("button", {type: "button", "aria-expanded": String(open), title: row.map(cell => cell.path).join("\n"), "data-open": key,
        onclick: () => change({open: open ? state.open.filter(each => each !== key) : [...state.open, key]}, `[data-open="${CSS.escape(key)}"]`)}, `${open ? "▾" : "▸"} ${value}`), badge);
    }));
    return open ? [line, h("tr", {class: "detail"}, h("td", {colspan: columns.length}, row.length > 1 || state.grouped ? groupSheet(row) : sheet(row[0])))] : [line];
  });
  byId("table").replaceChildren(h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
  byId("status").textContent = `${shown.length} of ${cells.length} cells shown${state.grouped ? `, ${rows.length} rows` : ""}.`;
  drawNotes(shown);
  drawRules(shown);
  drawCost(shown);
}
/** Change the state, draw again, and give the focus back to the control that was used. */
function change(what, selector) {
  Object.assign(state, what);
  writeAddress();
  draw();
  if (selector) document.querySelector(selector)?.focus();
}

function drawNotes(shown) {
  const notes = distinct(shown.map(cell => DATA.texts.selection[cell.selection] && `${cell.selection}: ${DATA.texts.selection[cell.selection]}`));
  notes.push(state.grouped
    ? "Rows of several seeds: mean, standard deviation over the seeds (n − 1), lowest to highest. Rows of one seed: 95 % interval over the test samples."
    : "In brackets: 95 % interval. It covers the choice of test samples, not the randomness of training; group the seeds for that.");
  notes.push("Whoever picks the best row of many picks it on the test samples; choose on validation figures and report the row that they choose.");
  if (shown.some(cell => isNumber(cell.gap))) notes.push(`Oracle gap: what ${DAGGER} gains over the last epoch of the same training.`);
  notes.push(DATA.checked ? "Every score was rebuilt from its prediction files when this page was made." : "Scores are those of each scores.json; the page made with --check rebuilds them from the prediction files.");
  byId("notes").replaceChildren(...notes.map(note => h("p", {class: "soft"}, note)));
}

function drawRules(shown) {
  const groups = groupBy(shown, setName), COLOURS = {last: colour(0), inner_val: colour(3), oracle_test: colour(2)}, RULES = Object.keys(COLOURS), most = 30;
  const blocks = [...groups].filter(([, members]) => members.some(cell => cell.leaky) || distinct(members.map(cell => cell.selection)).length > 1).map(([name, members]) => {
    const key = members[0].main, differing = axes(members), recipe = cell => [cell.optimizer, cell.rate, cell.scheduler].filter(part => part !== "none").join(" ");
    const recipes = distinct(members.map(recipe)).length > 1;
    const label = cell => [marked(cell.selection), ...(recipes ? [recipe(cell)] : []), ...differing.map(each => `${each.split(".").at(-1)} ${cell.settings[each] ?? ""}`), `seed ${cell.seed}`].join(", ");
    const ordered = [...members].sort((a, b) => a.recipe - b.recipe || a.seed - b.seed || RULES.indexOf(a.selection) - RULES.indexOf(b.selection));
    const line = (name, figures, value, more) => ({label: name, value, low: figures?.[`${key}_ci95`]?.[0], high: figures?.[`${key}_ci95`]?.[1], ...more});
    const rows = ordered.flatMap(cell => [line(label(cell), cell.figures, cell.figures[key], {colour: COLOURS[cell.selection] ?? colour(7)}),
      ...(isNumber(cell.last) ? [line("the same training, last epoch", cell.honest, cell.last, {colour: COLOURS.last, hollow: true})] : [])]);
    return h("div", {}, h("h3", {}, name), rulesInWords(members, key).map(text => h("p", {}, text)), forest(`${MEASURES[key]} by the rule that chose the epoch`, rows.slice(0, most), MEASURES[key]),
      rows.length > most ? h("p", {class: "soft"}, `The first ${most} of ${rows.length} lines; filter the table to see others.`) : null);
  });
  const none = "No model and data set among the shown cells was scored by oracle_test or by more than one rule.";
  document.querySelector("#rules .body").replaceChildren(...(blocks.length ? [h("div", {class: "blocks"}, blocks)] : [h("p", {class: "soft"}, none)]));
}
function rulesInWords(members, key) {
  const range = (values, show) => values.length === 1 ? show(values[0]) : `${show(Math.min(...values))} to ${show(Math.max(...values))} (${values.length} cells)`;
  const lines = ["last", "inner_val"].map(rule => [rule, members.filter(cell => cell.selection === rule).map(cell => cell.figures[key])])
    .filter(([, values]) => values.length).map(([rule, values]) => `${rule}: ${MEASURES[key]} ${range(values, fixed)}.`);
  const leaky = members.filter(cell => isNumber(cell.gap)), gaps = leaky.map(cell => cell.gap);
  if (leaky.length) lines.push(`oracle_test ${DAGGER}: ${MEASURES[key]} ${range(leaky.map(cell => cell.figures[key]), fixed)}; the last epoch of the same training scores ${range(leaky.map(cell => cell.last), fixed)}. `
    + `Gained by the leak: ${range(gaps, signed)}${gaps.length > 1 ? `, ${signed(mean(gaps))} in the mean` : ""}.`);
  return lines;
}

function drawCost(shown) {
  const models = distinct(cells.map(cell => cell.model)).sort(natural), here = distinct(shown.map(cell => cell.model)).sort(natural);
  const open = cell => () => { show(cell); document.querySelector(`[data-open="${CSS.escape(cell.path)}"]`)?.scrollIntoView(); };
  const charts = [...groupBy(shown.filter(cell => cell.scores.seconds > 0), samplesName)].filter(([, members]) => members.length > 1).map(([name, members]) => scatter(name, members.map(cell => ({
    x: cell.scores.seconds, y: cell.figures[cell.main], colour: colour(models.indexOf(cell.model)), hollow: cell.leaky, open: open(cell),
    text: `${cell.path}: ${MEASURES[cell.main]} ${fixed(cell.figures[cell.main])}${cell.leaky ? DAGGER : ""}, ${duration(cell.scores.seconds)}, ${listed(cell.scores.device)}`,
  })), MEASURES[members[0].main]));
  const note = `Hollow: oracle_test ${DAGGER}. A click opens the cell. Seconds of different devices, or of a machine that was busy, cannot be compared.`;
  const named = here.filter(model => models.indexOf(model) < 7).map(model => [model, colour(models.indexOf(model))]), others = here.length - named.length;
  document.querySelector("#cost .body").replaceChildren(...(charts.length ? [legend([...named, ...(others ? [[`${others} other models`, colour(7)]] : [])]), h("div", {class: "blocks"}, charts), h("p", {class: "soft"}, note)]
    : [h("p", {class: "soft"}, "Two cells with the same test samples are needed.")]));
}

/** Open one cell, whatever was filtered or grouped. */
function show(cell) {
  FILTERS.forEach(name => { if (state[name] !== cell[name]) state[name] = ""; });
  change({q: "", grouped: false, open: distinct([...state.open, cell.path])});
  drawFilters();
}
