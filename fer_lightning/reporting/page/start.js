// Controls, the lists that do not change, and the first drawing.

function drawFilters() {
  const pick = name => h("label", {}, name, h("select", {onchange: event => change({[name]: event.target.value})}, h("option", {value: ""}, "all"),
    distinct(cells.map(cell => cell[name])).sort(natural).map(value => h("option", {value, selected: value === state[name]}, name === "selection" ? marked(value) : value))));
  const tick = (name, on, toggle) => h("label", {class: "tick"}, h("input", {type: "checkbox", checked: on, onchange: event => toggle(event.target.checked)}), name);
  const member = (set, key, on) => { on ? set.add(key) : set.delete(key); draw(); };
  const search = h("input", {type: "search", value: state.q, placeholder: "any words, or key=value", oninput: event => change({q: event.target.value})});
  byId("filters").replaceChildren(...FILTERS.map(pick), h("label", {}, "text", search), tick("group seeds", state.grouped, on => change({grouped: on, open: []})),
    h("details", {}, h("summary", {}, "columns"), h("div", {},
      h("fieldset", {}, h("legend", {}, "results"), [...BEFORE.slice(1), ...AFTER].map(column => tick(column.name, !state.hidden.has(column.key), on => member(state.hidden, column.key, !on)))),
      h("fieldset", {}, h("legend", {}, "settings that differ"), varying(cells).map(key => tick(key, state.extra.has(key), on => member(state.extra, key, on)))))));
}

function drawLists() {
  const models = distinct(cells.map(cell => cell.model)).length, sets = distinct(cells.map(cell => cell.data)).length;
  const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
  byId("summary").textContent = `${count(cells.length, "finished cell")} (${count(models, "model")}, ${count(sets, "data set")}), ${DATA.unfinished.length} unfinished, ${DATA.broken.length} refused. One cell is one run folder; every number comes from its files.`;
  const made = cells.filter(cell => cell.scores.synthetic).length;
  byId("synthetic").hidden = !made;
  byId("synthetic").textContent = `${count(made, "cell")} of ${cells.length}: ${DATA.texts.synthetic}`;
  const list = (id, head, rows) => {
    byId(id).hidden = !rows.length;
    document.querySelector(`#${id} .body`).replaceChildren(h("div", {class: "scroll"}, grid(head, rows, "words")));
  };
  list("unfinished", ["run", "folds done", "model", "data", "selection", "seed"], DATA.unfinished.map(run => [run.path, `${run.done} of ${run.of ?? "?"}`, run.model, run.data, marked(run.selection), String(run.seed)]));
  list("broken", ["folder", "why"], DATA.broken.map(({path, reason}) => [path, reason]));
}

readAddress();
drawLists();
drawFilters();
draw();
addEventListener("hashchange", () => { readAddress(); drawFilters(); draw(); });
