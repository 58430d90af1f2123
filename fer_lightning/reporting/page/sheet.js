// What opens below a row: the files of one cell, or the cells of one group.

const link = cell => h("button", {type: "button", onclick: () => show(cell)}, cell.path);

function groupSheet(row) {
  const key = row[0].main;
  return h("div", {class: "sheet"}, h("h3", {}, `${row.length} seed${row.length > 1 ? "s" : ""}`),
    grid(["run", "seed", MEASURES[key]], row.map(cell => [link(cell), String(cell.seed), [fixed(cell.figures[key]) + (cell.leaky ? DAGGER : ""), h("small", {}, interval(cell.figures[`${key}_ci95`]))]])));
}

function sheet(cell) {
  const {scores} = cell, values = scores.continuous ?? ("targets" in scores ? scores : null);
  return h("div", {class: "sheet"},
    h("h3", {}, cell.path, scores.synthetic ? [" ", h("span", {class: "badge"}, "SYNTHETIC")] : null),
    scores.synthetic ? h("p", {}, DATA.texts.synthetic) : null,
    h("p", {}, DATA.texts.selection[cell.selection] ?? `selection: ${cell.selection}`),
    "classes" in scores ? scoreTable(cell, scores, ["uf1", "uar", "accuracy"], ["weighted_f1", "mcc", "accuracy_one_vs_rest"]) : null,
    values ? scoreTable(cell, values, ["ccc", ...values.targets.map(name => `ccc_${name}`), "rmse"], ["mae", "sagr"]) : null,
    h("p", {class: "soft"}, distinct([scores.interval, values?.interval]).join(" ")),
    "classes" in scores ? h("div", {class: "blocks"}, confusion(scores), perClass(scores)) : null,
    curves(cell), foldBars(cell), pictures(cell), facts(cell), settings(cell));
}

function scoreTable(cell, block, scored, plain) {
  const rows = [[`all${cell.leaky ? ` ${DAGGER}` : ""}`, block], ["last epoch", block.honest], ...Object.entries(block.parts ?? {}).map(([name, part]) => [name + (cell.leaky ? ` ${DAGGER}` : ""), part]), ["validation", block.validation]];
  const names = {...MEASURES, weighted_f1: "weighted F1", mcc: "MCC", accuracy_one_vs_rest: "accuracy, one vs rest", mae: "MAE", sagr: "SAGR"};
  return h("div", {class: "scroll"}, grid(["", "n", ...[...scored, ...plain].map(key => names[key] ?? key.replace("ccc_", "CCC "))],
    rows.filter(([, figures]) => figures).map(([name, figures]) => [name, String(figures.samples), ...scored.map(key => [fixed(figures[key]), h("small", {}, interval(figures[`${key}_ci95`]))]), ...plain.map(key => fixed(figures[key]))])));
}

const perClass = ({per_class: each}) => h("figure", {}, h("figcaption", {}, "Classes"), h("div", {class: "scroll"}, grid(["", "precision", "recall", "F1", "n"],
  Object.entries(each).map(([name, figures]) => [name, fixed(figures.precision), fixed(figures.recall), fixed(figures.f1), String(figures.support)]))));

function curves(cell) {
  if (!cell.curves) return h("p", {class: "soft"}, "This run kept no learning curves.");
  const {epochs, of, folds, lines} = cell.curves;
  const pick = test => Object.fromEntries(Object.entries(lines).filter(([name]) => test(name)));
  const mark = cell.folds.length === 1 ? cell.folds[0][3] : null, rate = pick(name => name === "lr");
  const still = (rate.lr?.mean ?? []).every(value => value === rate.lr.mean[0]);
  const charts = [lineChart("Loss", epochs, pick(name => name.endsWith("loss")), {mark}),
    lineChart("Scores while training", epochs, pick(name => !name.endsWith("loss") && name !== "lr" && name !== "epoch"), {mark, share: true}), still ? null : lineChart("Learning rate", epochs, rate)];
  const notes = [];
  if (folds > 1) notes.push(Object.values(lines)[0].low ? `Thick: mean of ${folds} folds; band: 10 to 90 % of the folds.` : `Thick: mean of ${folds} folds; thin: each fold.`);
  if (epochs.length < of) notes.push(`Thinned: ${epochs.length} of ${of} epochs are drawn.`);
  if (mark) notes.push(`Dashed: epoch ${mark}, which is scored.`);
  return h("div", {}, h("div", {class: "blocks"}, charts), h("p", {class: "soft"}, notes.join(" ")));
}

function foldBars(cell) {
  if (cell.folds.length < 2) return null;
  const hits = "classes" in cell.scores;
  const bars = cell.folds.map(([name, n, figure, epoch]) => ({name, value: hits ? (n ? figure / n : 0) : figure, text: `${name}: ${hits ? `${figure} of ${n}` : `RMSE ${fixed(figure)}, n = ${n}`}${epoch ? `, epoch ${epoch}` : ""}`}));
  const level = hits ? cell.scores.accuracy : cell.scores.rmse, title = hits ? "Share of hits in each fold; dashed: all samples pooled" : "Mean RMSE of each fold; dashed: all samples pooled";
  const rows = cell.folds.map(([name, n, figure, epoch, seconds]) => [name, String(n), hits ? String(figure) : fixed(figure), String(epoch ?? ""), duration(seconds)]);
  return h("div", {}, barChart(title, bars, level, `pooled: ${fixed(level)}`), h("details", {}, h("summary", {}, `The ${rows.length} folds in numbers`), grid(["fold", "n", hits ? "hits" : "RMSE", "epoch", "time"], rows)));
}

/** Grad-CAM and feature maps, where the run has them. */
function pictures(cell) {
  if (!cell.pictures.length) return null;
  const names = {grad_cam: "Grad-CAM of chosen samples", feature_maps: "Feature maps of chosen samples"};
  return h("div", {}, h("div", {class: "blocks"}, cell.pictures.map(each => picture(each, names[each.name]))),
    h("p", {class: "soft"}, "They show test samples: of a licensed data set they may not be passed on."));
}

function facts(cell) {
  const versions = [DATA.versions[cell.versions]].flat(), epochs = distinct(cell.folds.map(fold => fold[3]));
  const scored = epochs.length ? `scored at epoch ${epochs.length > 1 ? `${Math.min(...epochs)} to ${Math.max(...epochs)}, by fold,` : epochs[0]} of ${cell.epochs ?? "?"}` : "";
  const commit = String(versions[0]?.commit ?? "unknown"), packages = versions.map(each => Object.entries(each.packages ?? {}).map(pair => pair.join(" ")).join(", "));
  return h("div", {}, h("h3", {}, "How it was made"), h("p", {}, [`${cell.protocol}, seed ${cell.seed}`, scored, duration(cell.scores.seconds), listed(cell.scores.device)].filter(Boolean).join(", "), "."),
    h("p", {class: "soft"}, packages.join("; ")),
    versions.length > 1 ? h("p", {}, `Folds were run at different versions: ${versions.map(each => each.commit).join(", ")}.`) : null,
    again(cell, commit));
}

function again(cell, commit) {
  const {"ensemble.rule": rule} = {...DATA.common, ...cell.settings};
  if (rule) return h("p", {}, `An ensemble (rule: ${rule}); its members are named in ensemble.json, and python -m fer_lightning.ensemble makes it again.`);
  const checkout = !/^[0-9a-f]{7,64}(-dirty)?$/.test(commit) ? [] : [`git checkout ${commit.replace("-dirty", "")}${commit.endsWith("-dirty") ? "   # and changes that were not committed" : ""}`];
  const quoted = `"$RUNS/${cell.path.replace(/["\\$`]/g, "\\$&")}"`;
  const command = `python train.py --config-path=${quoted} --config-name=config hydra.run.dir=. hydra.output_subdir=null hydra/job_logging=stdout paths.runs=again`;
  const note = "To run it again from its own config, with RUNS set to the (absolute) folder this page was made of; raw data and prepared arrays are looked for where they lay then; data.root=<folder> and paths.cache=<folder> say where they lie now:";
  return [h("p", {}, note), h("pre", {tabindex: 0}, [...checkout, command].join("\n"))];
}

function settings(cell) {
  const rows = Object.entries({...DATA.common, ...cell.settings}).sort(([a], [b]) => natural(a, b));
  return h("details", {}, h("summary", {}, `All ${rows.length} settings (bold: not the same in all cells)`),
    h("table", {class: "settings"}, h("tbody", {}, rows.map(([key, value]) => h("tr", {class: key in cell.settings && "differs"}, h("th", {scope: "row"}, key), h("td", {}, String(value)))))));
}
