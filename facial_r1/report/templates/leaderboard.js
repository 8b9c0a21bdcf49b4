const pair = byId("pair"), filters = byId("filters"), gallery = byId("gallery"), more = byId("more"), PAGE = 24;
const several = data.models.length > 1, modes = ["compat", "strict"];
const labelOf = (key) => data.sets.find((set) => set.key === key)?.label || key;
const group = (value) => value.toLocaleString("en");
const percent = (part, whole) => whole ? `${(100 * part / whole).toFixed(1)} %` : "–";

/* --- the section one is in ---------------------------------------------------------------------------------- */
const links = new Map([...document.querySelectorAll(".bar a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) for (const [id, link] of links) link.classList.toggle("here", id === entry.target.id);
}, { rootMargin: "-60px 0px -70% 0px" });
for (const id of links.keys()) if (byId(id)) watcher.observe(byId(id));

/* --- what is chosen ----------------------------------------------------------------------------------------- */
function chosen() {
  const first = Number(pair.elements.first.value), second = several ? Number(pair.elements.second.value) : first;
  return { first, second, set: pair.elements.set.value, mode: pair.elements.mode.value };
}
function cells({ first, second, set, mode }) {
  const found = data.pairs[`${Math.min(first, second)}-${Math.max(first, second)}`]?.[set]?.[mode];
  if (!found) return null;
  const [both, one, two, neither, p] = found;
  return first < second ? { both, one, two, neither, p } : { both, one: two, two: one, neither, p };
}

/* --- agreement ---------------------------------------------------------------------------------------------- */
function agreement(now) {
  const found = cells(now), total = found ? found.both + found.one + found.two + found.neither : 0;
  const tile = (value, label) => el("div", "card", el("p", "big", group(value), " ", el("span", "range", percent(value, total))), el("p", "muted small", label));
  if (!found) byId("agreement").replaceChildren(el("p", "muted", "Choose two different models."));
  else byId("agreement").replaceChildren(
    tile(found.both, "both right"), tile(found.one, `only ${data.models[now.first]} right`), tile(found.two, `only ${data.models[now.second]} right`),
    tile(found.neither, "neither right"),
    el("div", "card", el("p", "big", found.p), el("p", "muted small", `p, exact McNemar test on ${labelOf(now.set)}, this pair alone`)));
}

/* --- confusion matrices ------------------------------------------------------------------------------------- */
function matrix(model, { set, mode }) {
  const found = data.matrices[model][set]?.[mode];
  const figure = el("figure", "card matrix", el("h3", "", data.models[model]));
  if (!found) { figure.append(el("p", "muted small", `no ${mode} figures of ${labelOf(set)}`)); return figure; }
  const head = el("tr", "", el("td", "recall"), ...found.columns.map((name) => { const cell = el("th", "", el("span", "", name)); cell.scope = "col"; return cell; }));
  const recall = el("th", "", el("span", "", "recall, %"));
  recall.scope = "col";
  head.append(recall);
  const body = el("tbody", "");
  let right = 0, total = 0;
  found.matrix.forEach((counts, row) => {
    const truth = found.labels[row], sum = counts.reduce((a, b) => a + b, 0), name = el("th", "", truth);
    name.scope = "row";
    const line = el("tr", "", name);
    counts.forEach((count, column) => {
      const share = sum ? count / sum : 0, cell = el("td", "", count ? group(count) : "");
      cell.style.setProperty("--share", String(count ? 0.08 + 0.92 * share : 0));
      cell.title = `truth ${truth}, answer ${found.columns[column]}: ${group(count)} of ${group(sum)} (${percent(count, sum)})`;
      if (truth === found.columns[column]) { cell.classList.add("right"); right += count; }
      line.append(cell);
    });
    const hit = found.columns.indexOf(truth);
    line.append(el("td", "recall", sum && hit >= 0 ? (100 * counts[hit] / sum).toFixed(1) : "–"));
    total += sum;
    body.append(line);
  });
  const table = el("table", "", el("caption", "sr", `Confusion matrix of ${data.models[model]} on ${labelOf(set)}, ${mode}`), el("thead", "", head), body);
  const scroll = el("div", "scroll", table);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `Confusion matrix of ${data.models[model]}`);
  figure.append(scroll, el("p", "muted small", `${group(right)} of ${group(total)} right`));
  return figure;
}

/* --- questions ---------------------------------------------------------------------------------------------- */
const steps = { text: "found in the text, outside an answer block", synonym: "found by a synonym" };
function answerCard(model, answer, mode) {
  if (!answer) return el("div", "", el("h3", "", data.models[model]), el("p", "muted small", "no result"));
  const verdict = answer.right[modes.indexOf(mode)], other = mode === "strict" ? "compat" : "strict";
  const kind = verdict === 1 ? "right" : "wrong", row = chips(chip(kind, `${verdict === 1 ? "✓" : "✗"} ${answer[mode]}`));
  if (answer[other] !== answer[mode]) row.append(chip("", `${other}: ${answer[other]}`));
  if (!answer.valid) row.append(chip("", "not well-formed"));
  if (mode === "compat" && steps[answer.step]) row.append(chip("", steps[answer.step]));
  const body = text(answer.text), parts = [body];
  if (answer.cut) body.append(" …");
  if (body.textContent.length > 520) {
    const button = el("button", "fold", "Whole text");
    button.type = "button";
    body.classList.add("clamped");
    button.addEventListener("click", () => { button.textContent = body.classList.toggle("clamped") ? "Whole text" : "Less"; });
    parts.push(button);
  }
  return el("div", "answer", el("h3", "", data.models[model]), row, ...parts);
}
const brief = (name) => name.length > 24 ? `${name.slice(0, 10)}…${name.slice(-10)}` : name;
function card(sample, { first, second, mode }) {
  const place = el("p", "muted small", `${labelOf(sample.set)} · ${brief(sample.id.split("/").pop())}`);
  place.title = sample.id;
  const left = el("div", "face", face(sample.face, sample.id), el("div", "", chips(chip("truth", sample.truth)), place));
  const shown = first === second ? [first] : [first, second];
  return el("article", "card sample", left, el("div", "models", ...shown.map((model) => answerCard(model, sample.answers[model], mode))));
}
const searchable = new Map();
function haystack(sample) {
  if (!searchable.has(sample)) {
    const texts = sample.answers.filter(Boolean).map((answer) => answer.text.map((part) => typeof part === "string" ? part : part[0]).join(""));
    searchable.set(sample, [sample.id, sample.truth, ...texts].join(" ").toLowerCase());
  }
  return searchable.get(sample);
}
let shown = [], drawn = 0, now = null;
function drawMore() {
  gallery.append(...shown.slice(drawn, drawn + PAGE).map((sample) => card(sample, now)));
  drawn = Math.min(shown.length, drawn + PAGE);
  more.hidden = drawn >= shown.length;
}
function filter() {
  const wish = Object.fromEntries(new FormData(filters)), at = modes.indexOf(now.mode), needle = (wish.text || "").trim().toLowerCase();
  const differs = (sample) => {
    const one = sample.answers[now.first]?.right[at], two = sample.answers[now.second]?.right[at];
    if (now.first === now.second) return one === 0;
    if (one === undefined || two === undefined || one < 0 || two < 0 || one === two) return false;
    return !wish.who || (wish.who === "first" ? one === 1 : two === 1);
  };
  const fits = data.samples.filter((sample) => (now.set === "pooled" || sample.set === now.set) && differs(sample));
  shown = fits.filter((sample) => (!wish.truth || sample.noun === wish.truth) && (!needle || haystack(sample).includes(needle)));
  const found = cells(now), all = found ? { first: found.one, second: found.two, "": found.one + found.two }[wish.who || ""] : null;
  const narrowed = wish.truth || needle ? `${group(shown.length)} of ${group(fits.length)} questions` : `${group(shown.length)} questions`;
  byId("count").textContent = all === null || all === fits.length ? narrowed : `${narrowed} in this page; they differ on ${group(all)}, all are in the result files`;
  gallery.replaceChildren();
  drawn = 0;
  drawMore();
}

/* --- together ----------------------------------------------------------------------------------------------- */
function draw() {
  now = chosen();
  if (several) agreement(now);
  byId("matrices").replaceChildren(...(now.first === now.second ? [now.first] : [now.first, now.second]).map((model) => matrix(model, now)));
  filter();
}
const nouns = [...new Set(data.samples.map((sample) => sample.noun))].sort();
filters.elements.truth.append(...nouns.map((noun) => { const option = el("option", "", noun); option.value = noun; return option; }));
for (const form of [pair, filters]) form.addEventListener("submit", (event) => event.preventDefault());
pair.addEventListener("input", draw);
filters.addEventListener("input", filter);
more.addEventListener("click", drawMore);
draw();
