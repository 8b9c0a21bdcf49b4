/* --- the section one is in ---------------------------------------------------------------------------------- */
const links = new Map([...document.querySelectorAll(".bar a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) for (const [id, link] of links) link.classList.toggle("here", id === entry.target.id);
}, { rootMargin: "-60px 0px -70% 0px" });
for (const id of links.keys()) if (byId(id)) watcher.observe(byId(id));

/* --- one sample --------------------------------------------------------------------------------------------- */
const form = byId("filters"), gallery = byId("gallery"), more = byId("more"), PAGE = 24, LONG = 1500;
const words = { right: "✓ ", wrong: "✗ ", unparsed: "✗ ", unscored: "" };
function full(segments) {
  const paragraph = text(segments);
  if (paragraph.textContent.length <= LONG) return [paragraph];
  const button = el("button", "fold", "Whole text");
  button.type = "button";
  paragraph.classList.add("clamped");
  button.addEventListener("click", () => { button.textContent = paragraph.classList.toggle("clamped") ? "Whole text" : "Less"; });
  return [paragraph, button];
}
function answerCard(side, answer, won) {
  const given = answer.labels.join(", ") || (answer.outcome === "unparsed" ? (answer.cut ? "cut off" : "no readable answer") : "no emotion");
  const score = answer.score === null ? null : chip("", `${data.decider} ${answer.score.toFixed(3)}`);
  return el("div", `answer ${won ? "won" : "lost"}`, el("h3", "", `${data.sides[side].letter} · ${data.sides[side].name}`),
    chips(chip(answer.outcome, words[answer.outcome] + given), data.binary ? null : score,
      ...answer.hit.map((code) => chip("good", code, "named and present")),
      ...answer.false.map((code) => chip("bad", `✗ ${code}`, "named, not present")),
      ...answer.missed.map((code) => chip("missed", code, "present, not named")),
      ...answer.named.map((code) => chip("", code))), ...full(answer.text));
}
function card(sample) {
  const about = [sample.dataset, sample.id, sample.subject].filter(Boolean).join(" · ");
  const truth = chips(...sample.labels.map((label) => chip("truth", label)), ...(sample.aus || []).map((code) => chip("au", code)));
  const left = el("div", "face", face(sample.face, sample.id), el("div", "", el("p", "muted small", "Truth"), truth, el("p", "muted small", about)));
  const parts = sample.answers.map((answer, side) => answerCard(side, answer, sample.better === "ab"[side]));
  return el("article", "card sample flip", left, el("div", "models", ...parts));
}

/* --- filters ------------------------------------------------------------------------------------------------ */
let shown = [], drawn = 0;
function drawMore() {
  gallery.append(...shown.slice(drawn, drawn + PAGE).map(card));
  drawn = Math.min(shown.length, drawn + PAGE);
  more.hidden = drawn >= shown.length;
}
const searchable = new Map();
function haystack(sample) {
  if (!searchable.has(sample)) {
    const texts = sample.answers.map((answer) => answer.text.map((part) => typeof part === "string" ? part : part[0]).join(""));
    searchable.set(sample, [sample.id, sample.subject, sample.dataset, ...sample.labels, ...texts].join(" ").toLowerCase());
  }
  return searchable.get(sample);
}
function filter() {
  const wish = Object.fromEntries(new FormData(form)), needle = (wish.text || "").trim().toLowerCase();
  shown = data.samples.filter((sample) => (!wish.direction || sample.better === wish.direction)
    && (!wish.truth || sample.labels[0] === wish.truth) && (!wish.dataset || sample.dataset === wish.dataset)
    && (!wish.unit || [...(sample.aus || []), ...sample.answers.flatMap((answer) => [...answer.false, ...answer.named])].includes(wish.unit))
    && (!needle || haystack(sample).includes(needle)));
  byId("count").textContent = shown.length === data.samples.length ? `${shown.length} samples` : `${shown.length} of ${data.samples.length} samples`;
  gallery.replaceChildren();
  drawn = 0;
  drawMore();
}
if (form) {
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", drawMore);
  filter();
}
