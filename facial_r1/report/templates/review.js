/* Decisions are kept by row id; the browser remembers them for this page, the export is what counts. */
const decided = new Map();
const cards = new Map();
const list = byId("cards"), form = byId("filters");
const decisionOf = (id) => decided.get(id)?.decision || "";
const commentOf = (id) => decided.get(id)?.comment || "";

/* --- kept between two visits ------------------------------------------------------------------------------ */
function keep() {
  try { localStorage.setItem(data.key, JSON.stringify([...decided])); } catch { byId("unkept").hidden = false; }
}
try {
  for (const [id, entry] of JSON.parse(localStorage.getItem(data.key) || "[]")) decided.set(id, entry);
} catch { byId("unkept").hidden = false; }

/* --- one card a row --------------------------------------------------------------------------------------- */
function button(label, id, decision) {
  const node = el("button", "", label);
  node.type = "button";
  node.dataset.decision = decision;
  node.addEventListener("click", () => decide(id, decision));
  return node;
}
function card(row, index) {
  const group = el("div", "decide", ...data.decisions.map((name) => button(name[0].toUpperCase() + name.slice(1), row.id, name)));
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `Decision on ${row.id}`);
  const comment = el("input");
  comment.type = "text";
  comment.autocomplete = "off";
  comment.addEventListener("input", () => { set(row.id, decisionOf(row.id), comment.value); });
  const failed = row.failed.length ? el("p", "why", ...row.failed.map((name) => chip("bad", `failed: ${name.replace("_", " ")}`))) : null;
  const node = el("article", "card sample",
    el("div", "face", ...(row.faces.length ? row.faces : [-1]).map((index) => face(index, row.id))),
    el("div", "answer",
      chips(...row.truth.map((label) => chip("truth", label)), ...row.units.map((code) => chip("au", code)),
        row.AUs === "none" ? chip("", "no action unit") : null),
      failed, text(row.text), group, el("label", "comment", "Comment", comment),
      el("p", "muted small", `${index + 1} of ${data.rows.length} · ${row.id}`)));
  node.tabIndex = -1;
  node.dataset.id = row.id;
  node.setAttribute("aria-label", `Row ${index + 1} of ${data.rows.length}, ${row.id}`);
  cards.set(row.id, { node, comment, buttons: [...group.children] });
  show(row.id);
  return node;
}
function show(id) {
  const { node, comment, buttons } = cards.get(id), decision = decisionOf(id);
  for (const name of data.decisions) node.classList.toggle(name, name === decision);
  for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.decision === decision));
  if (comment.value !== commentOf(id)) comment.value = commentOf(id);
}

/* --- deciding --------------------------------------------------------------------------------------------- */
function set(id, decision, comment) {
  if (decision || comment) decided.set(id, { decision, comment });
  else decided.delete(id);
  keep();
}
function decide(id, decision) {
  set(id, decisionOf(id) === decision ? "" : decision, commentOf(id));
  show(id);
  count();
}
function count() {
  const found = data.rows.map((row) => decisionOf(row.id)).filter(Boolean);
  const parts = data.decisions.map((name) => `${found.filter((decision) => decision === name).length} ${name}`);
  byId("progress").textContent = `${found.length} of ${data.rows.length} decided: ${parts.join(", ")}`;
  byId("done").max = data.rows.length;
  byId("done").value = found.length;
}
const visible = () => data.rows.map((row) => cards.get(row.id).node).filter((node) => !node.hidden);
function filter() {
  const wish = Object.fromEntries(new FormData(form));
  for (const row of data.rows) {
    const decision = decisionOf(row.id) || "open";
    cards.get(row.id).node.hidden = Boolean((wish.decision && decision !== wish.decision) || (wish.label && !row.truth.includes(wish.label)));
  }
  byId("none").hidden = visible().length > 0;
}

/* --- keys: letters decide and go on, arrows move ------------------------------------------------------------ */
function go(node) {
  if (!node) return;
  node.focus({ preventScroll: true });
  node.scrollIntoView({ block: "nearest" });
}
const current = () => document.activeElement?.closest("article.sample");
document.addEventListener("keydown", (event) => {
  const from = event.target, here = current();
  if (from.matches(".comment input")) {
    if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); go(here); }
    return;
  }
  if (!form.elements.keys.checked || event.ctrlKey || event.metaKey || event.altKey || from.matches("input, select, textarea")) return;
  const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  const decision = data.decisions.find((name) => name[0] === event.key.toLowerCase());
  if (!move && !decision && event.key !== "c") return;
  const shown = visible(), at = shown.indexOf(here);
  event.preventDefault();
  if (at < 0) go(shown[0]);
  else if (move) go(shown[Math.max(0, Math.min(shown.length - 1, at + move))]);
  else if (event.key === "c") cards.get(here.dataset.id).comment.focus();
  else {
    const same = decisionOf(here.dataset.id) === decision;
    decide(here.dataset.id, decision);
    if (!same) go(shown[at + 1] || here);
  }
});

/* --- out and in again --------------------------------------------------------------------------------------- */
const quoted = (cell) => /[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
function table() {
  const lines = data.rows.map((row) => {
    const whole = row.text.map((part) => typeof part === "string" ? part : part[0]).join("");
    const description = data.formula.some((start) => whole.startsWith(start)) ? `'${whole}` : whole;
    const cells = { ...row, description, decision: decisionOf(row.id), comment: commentOf(row.id) };
    return data.columns.map((name) => quoted(cells[name])).join(",");
  });
  return [data.columns.join(","), ...lines, ""].join("\n");
}
byId("export").addEventListener("click", () => {
  const link = el("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = data.file;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
function parse(content) {
  const rows = [[""]];
  let inside = false;
  for (let at = 0; at < content.length; at++) {
    const sign = content[at], row = rows[rows.length - 1];
    if (inside) {
      if (sign !== '"') row[row.length - 1] += sign;
      else if (content[at + 1] === '"') { row[row.length - 1] += '"'; at++; }
      else inside = false;
    } else if (sign === '"') inside = true;
    else if (sign === ",") row.push("");
    else if (sign === "\n") rows.push([""]);
    else if (sign !== "\r") row[row.length - 1] += sign;
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}
byId("load").addEventListener("change", async (event) => {
  const [file] = event.target.files, problem = byId("problem");
  if (!file) return;
  const [head, ...rows] = parse((await file.text()).replace(/^\ufeff/, ""));
  const place = Object.fromEntries(["id", "decision", "comment"].map((name) => [name, (head || []).indexOf(name)]));
  problem.hidden = place.id >= 0 && place.decision >= 0;
  problem.textContent = `${file.name} has no columns id and decision: it is no export of a review, nothing was loaded`;
  if (!problem.hidden) return;
  let other = 0;
  for (const row of rows) {
    const id = row[place.id], decision = (row[place.decision] || "").trim().toLowerCase();
    if (!cards.has(id) || (decision && !data.decisions.includes(decision))) { other++; continue; }
    set(id, decision, place.comment < 0 ? "" : row[place.comment] || "");
    show(id);
  }
  problem.hidden = other === 0;
  problem.textContent = `${other} rows of ${file.name} are not on this page or carry no known decision; the others were loaded`;
  event.target.value = "";
  count();
  filter();
});

list.append(...data.rows.map(card));
form.addEventListener("input", (event) => { if (event.target.matches("select")) filter(); });
form.addEventListener("submit", (event) => event.preventDefault());
count();
