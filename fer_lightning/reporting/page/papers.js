// The papers' tables: printed figures beside ours, and the pictures of each table.

const DATA = JSON.parse(document.getElementById("data").textContent);
const {dagger: DAGGER} = DATA.texts;
const byId = id => document.getElementById(id);
const distinct = values => [...new Set(values)];
const names = new Set(DATA.tables.map(table => table.name));
/** Where a link of a README leads to from this page: to the web, to another table, or nowhere. */
const place = target => /^https?:\/\//.test(target) ? target : names.has(target.replace(/^(\.\.\/)+|\/$/g, "")) ? `#${target.replace(/^(\.\.\/)+|\/$/g, "")}` : "";
const marked = text => inline(text, place);
/** How many rows' matrices or curves are drawn at once; of more, when they are opened. */
const MOST = 6;

/** A wide table that can be scrolled by keyboard. `found`: lines without a result are grey. */
function wide(name, heads, lines, found) {
  const rows = lines.map((line, i) => h("tr", {class: found && !found[i] && "absent"}, line.map((text, k) => h(k ? "td" : "th", {scope: k ? null : "row"}, marked(text)))));
  return h("div", {class: "scroll wide", tabindex: 0, role: "region", "aria-label": name},
    h("table", {}, h("thead", {}, h("tr", {}, heads.map(head => h("th", {scope: "col"}, head)))), h("tbody", {}, rows)));
}

/** Something that is drawn when it is first opened. */
function later(title, open, draw) {
  const body = h("div"), once = () => { if (node.open && !body.hasChildNodes()) body.append(...[draw()].flat()); };
  const node = h("details", {open, ontoggle: () => once()}, h("summary", {}, title), body);
  once();
  return node;
}

function section(table) {
  const printed = table.sources.join(", ") || "nothing is printed";
  return h("section", {id: table.name, "aria-label": table.title}, h("h2", {}, table.title),
    h("p", {class: "soft"}, `${table.name}. Printed: ${printed}. To run it: `, h("code", {}, `make reproduce TABLE=${table.name} BUDGET=full`), table.others && ` (${table.others.replace(/; $/, "")})`, "."),
    table.conventions.map(text => h("p", {}, marked(text))),
    table.budgets.map(budget => block(table, budget)),
    markdown(table.remarks, place), markdown(table.deviations, place));
}

function block(table, budget) {
  const leaky = new Set(budget.points.filter(point => point.leaky).map(point => point.row));
  const label = row => leaky.has(row) ? `${row} ${DAGGER}` : row, open = items => distinct(items.map(item => item.row)).length <= MOST;
  const [gapHeads, gaps] = budget.gaps, [pairHeads, pairs] = budget.against, [runHeads, runs] = budget.runs;
  return h("div", {class: "budget"}, budget.heading ? h("h3", {}, budget.heading) : null,
    budget.synthetic ? h("p", {class: "warning"}, DATA.texts.synthetic) : null,
    wide(`${table.name}: paper and ours`, budget.heads, budget.lines, budget.found),
    runs.length ? h("details", {}, h("summary", {}, "How each result was made"), wide(`${table.name}: runs`, runHeads, runs)) : null,
    charts(table, budget.points),
    gaps.length ? h("div", {}, h("h4", {}, "What the leak is worth"), wide(`${table.name}: oracle gap`, gapHeads, gaps)) : null,
    pairs.length ? h("details", {open: true}, h("summary", {}, "Rows against the first"), h("p", {class: "soft"}, table.method.replaceAll("*", "")), wide(`${table.name}: rows against the first`, pairHeads, pairs)) : null,
    budget.confusions.length ? later("Confusion matrices", open(budget.confusions), () => matrices(budget.confusions, label)) : null,
    budget.curves.length ? later("Learning curves", open(budget.curves), () => learning(budget.curves, label)) : null,
    budget.maps.length ? later("Where the networks look: mean Grad-CAM of each class", open(budget.maps), () => h("div", {class: "blocks"}, budget.maps.map(each => picture(each, `${label(each.row)}, seed ${each.seed}`)))) : null);
}

/** Paper against ours, and over the branches of a module; of one figure and part at a time. */
function charts(table, points) {
  const key = point => point.part === "all" ? point.metric : `${point.metric}, ${point.part}`, keys = distinct(points.map(key));
  if (!keys.length) return null;
  const body = h("div", {class: "blocks"});
  const draw = chosen => {
    const own = points.filter(point => key(point) === chosen);
    const rows = own.map(point => ({label: point.row, value: point.value, low: point.low, high: point.high, other: point.paper, colour: colour(point.leaky ? 2 : 0), hollow: point.leaky}));
    body.replaceChildren(...[forest(`${chosen}: paper and ours`, rows, chosen), branches(chosen, own, table.places)].filter(Boolean));
  };
  draw(keys[0]);
  const choice = h("select", {onchange: event => draw(event.target.value)}, keys.map(value => h("option", {value}, value)));
  const note = `◇ printed; ● ours with its 95 % interval${points.some(point => point.leaky) ? `; ○ ${DAGGER} ours by oracle_test` : ""}.`;
  return h("div", {}, keys.length > 1 ? h("label", {class: "choice"}, "figure: ", choice) : null, body, h("p", {class: "soft"}, note));
}

/** A figure over the number of branches, a line for each place of the module; level lines: the network without it. */
function branches(title, points, places) {
  const inside = points.filter(point => point.row in places), all = points.flatMap(({paper, value, low, high}) => [paper, value, low, high]).filter(isNumber);
  const counts = distinct(inside.map(point => places[point.row][1])).sort((a, b) => a - b), lines = distinct(inside.map(point => places[point.row][0]));
  if (counts.length < 2) return null;
  const low = Math.min(...all) - 0.01, high = Math.max(...all) + 0.01;
  const {node, px, py} = frame(`${title} over the branches`, 460, 300, {low: counts[0] - 0.4, high: counts.at(-1) + 0.4, ticks: counts, label: "branches"}, {low, high, ticks: ticks(low, high)});
  const path = (spots, name, attributes) => s("path", {class: `mean${name === "paper" ? " dash" : ""}`, d: spots.map(([x, point], i) => `${i ? "L" : "M"}${px(x)},${py(point[name])}`).join(""), ...attributes});
  for (const point of points.filter(each => !(each.row in places)))
    for (const name of ["paper", "value"]) if (isNumber(point[name])) node.append(path([[counts[0] - 0.4, point], [counts.at(-1) + 0.4, point]], name, {stroke: "var(--soft)"}));
  lines.forEach((line, i) => {
    const shift = 0.05 * (2 * i - lines.length + 1), stroke = colour(i);
    const spots = inside.filter(point => places[point.row][0] === line).map(point => [places[point.row][1] + shift, point]).sort(([a], [b]) => a - b);
    for (const name of ["paper", "value"]) node.append(path(spots.filter(([, point]) => isNumber(point[name])), name, {stroke}));
    for (const [x, point] of spots) {
      const ends = isNumber(point.low) && [[px(x), py(point.low)], [px(x), py(point.high)]], text = `${point.row}, ${line}: ${fixed(point.value)}`;
      if (ends) node.append(s("line", {x1: ends[0][0], y1: ends[0][1], x2: ends[1][0], y2: ends[1][1], stroke, "stroke-width": 1.5}));
      if (isNumber(point.value)) node.append(s("circle", {cx: px(x), cy: py(point.value), r: 4, fill: stroke}, s("title", {}, text)));
      if (isNumber(point.paper)) node.append(diamond(px(x), py(point.paper), stroke, `${point.row}, ${line}: ${fixed(point.paper)} printed`));
    }
  });
  const without = points.length > inside.length ? [["without the module", "var(--soft)"]] : [];
  return h("figure", {}, h("figcaption", {}, `${title} over branches and place; dashed: printed`), legend([...lines.map((line, i) => [`after ${line}`, colour(i)]), ...without]), node);
}

function matrices(confusions, label) {
  const caption = ({row, part, seeds}) => [label(row), part === "all" ? "" : part, seeds > 1 ? `${seeds} seeds together` : ""].filter(Boolean).join(", ");
  return [h("p", {class: "soft"}, "Rows: true, columns: predicted; counts, and shares of each row."), h("div", {class: "blocks small"}, confusions.map(each => confusion(each, caption(each))))];
}

function learning(curves, label) {
  return h("div", {class: "blocks small"}, curves.map(({row, epochs, lines, seeds, folds}) => {
    const pick = test => Object.fromEntries(Object.entries(lines).filter(([name]) => test(name)));
    const more = [folds > 1 ? `mean of ${folds} folds` : "", seeds > 1 ? `thin: ${seeds} seeds` : ""].filter(Boolean).join("; ");
    const title = what => `${label(row)}: ${what}${more ? ` (${more})` : ""}`;
    return h("div", {class: "pair"}, lineChart(title("loss"), epochs, pick(name => name.endsWith("loss"))), lineChart(title("scores"), epochs, pick(name => !name.endsWith("loss")), {share: true}));
  }));
}

function start() {
  const ran = DATA.tables.filter(table => table.budgets.some(budget => budget.found.includes(true))).length;
  byId("summary").textContent = `${DATA.tables.length} table${DATA.tables.length === 1 ? "" : "s"}, ${ran} of them with results of ours${DATA.broken.length ? `, ${DATA.broken.length} refused` : ""}. Every number comes from paper.csv, results.csv and the predictions beside them.`;
  byId("synthetic").hidden = !DATA.synthetic;
  byId("synthetic").textContent = DATA.texts.synthetic;
  byId("broken").hidden = !DATA.broken.length;
  document.querySelector("#broken .body").replaceChildren(wide("Refused", ["table", "why"], DATA.broken.map(({path, reason}) => [path, reason])));
  byId("glance").replaceChildren(wide("At a glance", DATA.heads, DATA.tables.map(table => table.glance)),
    h("p", {class: "soft"}, "Differences are ours less the paper's, of the first metric of the table, at budget full where there is a result, else at the budget named."),
    ...(DATA.kept.length ? [h("p", {}, "Runs that are kept whole, beside this page:"), h("ul", {}, DATA.kept.map(([name, title]) => h("li", {}, h("code", {}, name), `: ${title}`)))] : []));
  byId("contents").replaceChildren(...DATA.tables.map(table => h("li", {}, h("a", {href: `#${table.name}`}, table.name))));
  byId("tables").replaceChildren(...DATA.tables.map(section));
  byId(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}
start();
